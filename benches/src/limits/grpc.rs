//! Over tonic, without a framework: a hash map behind the same service.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use angzarr_runtime::prost_types::Any;
use angzarr_runtime::proto::command_handler_coordinator_service_server::{
    CommandHandlerCoordinatorService, CommandHandlerCoordinatorServiceServer,
};
use angzarr_runtime::proto::{self, AnyExt as _, CommandPageExt as _, EventPageExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::Result;
use crate::domain::{Deposit, Deposited};
use crate::load::Measured;
use crate::ours::{Caller, call};

/// A balance and encoded events.
type Account = (i64, Vec<Vec<u8>>);

/// By root.
#[derive(Default)]
struct Accounts(Mutex<HashMap<Vec<u8>, Account>>);

#[tonic::async_trait]
impl CommandHandlerCoordinatorService for Accounts {
    async fn handle_command(
        &self,
        request: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        let book = request.into_inner().command.ok_or_else(|| Status::invalid_argument("no command"))?;
        let cover = book.cover.ok_or_else(|| Status::invalid_argument("no cover"))?;
        let root = cover.root.clone().unwrap_or_default().value;
        let mut pages = Vec::new();
        let mut accounts = self.0.lock().map_err(|_| Status::internal("broken"))?;
        let (balance, events) = accounts.entry(root).or_default();
        for page in &book.pages {
            let command = page.command().ok_or_else(|| Status::invalid_argument("no command"))?;
            let deposit: Deposit = command.unpack().map_err(|error| Status::invalid_argument(error.to_string()))?;
            *balance += deposit.amount;
            let event = Any::pack(&Deposited { amount: deposit.amount, balance: balance.cast_unsigned() });
            let now = std::time::SystemTime::now().into();
            pages.push(proto::EventPage::of(events.len() as u32, event.clone()).with_created_at(now));
            events.push(event.value);
        }
        let next_sequence = events.len() as u32;
        drop(accounts);
        let events = proto::EventBook { cover: Some(cover), snapshot: None, pages, next_sequence };
        Ok(Response::new(proto::CommandResponse { events: Some(events), ..Default::default() }))
    }

    async fn handle_event(
        &self,
        _: Request<proto::EventRequest>,
    ) -> Result<Response<proto::FactInjectionResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn handle_sync_speculative(
        &self,
        _: Request<proto::SpeculateCommandHandlerRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn handle_compensation(
        &self,
        _: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::BusinessResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Calls per second.
pub async fn commands(caller: Caller, tasks: usize, seconds: f64) -> Result<Measured> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address: SocketAddr = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder().add_service(CommandHandlerCoordinatorServiceServer::new(Accounts::default()));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let running = tokio::spawn(server.serve_with_incoming_shutdown(incoming, async move {
        let _stopped = stopped.await;
    }));
    let measured = call(caller, address, tasks, seconds).await?;
    drop(stop);
    running.await??;
    Ok(measured)
}
