//! A server that answers what it is told to: for what ours answers only when something is wrong with it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use angzarr_runtime::Client;
use angzarr_runtime::proto;
use proto::command_handler_coordinator_service_server::{
    CommandHandlerCoordinatorService, CommandHandlerCoordinatorServiceServer,
};
use proto::event_query_service_server::{EventQueryService, EventQueryServiceServer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

type Books = futures_util::stream::Iter<std::vec::IntoIter<Result<proto::EventBook, Status>>>;

#[derive(Clone, Default)]
pub(crate) struct Script {
    /// What it fails with, one after the other; then it does what it is asked for.
    pub(crate) failures: Arc<Mutex<VecDeque<Status>>>,
    /// The answer to `GetEventBook`, and to `GetEvents`.
    pub(crate) book: proto::EventBook,
    pub(crate) books: Vec<proto::EventBook>,
    /// What is said of the book's snapshot.
    pub(crate) state_version: Option<u32>,
    pub(crate) calls: Arc<Mutex<HashMap<&'static str, usize>>>,
}

impl Script {
    pub(crate) fn of(failures: impl IntoIterator<Item = Status>) -> Self {
        Self { failures: Arc::new(Mutex::new(failures.into_iter().collect())), ..Self::default() }
    }

    pub(crate) fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or_default()
    }

    fn next(&self, method: &'static str) -> Result<(), Status> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    /// Serves it, and connects.
    pub(crate) async fn serve(&self) -> Acting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = tonic::transport::Server::builder()
            .add_service(CommandHandlerCoordinatorServiceServer::new(self.clone()))
            .add_service(EventQueryServiceServer::new(self.clone()));
        let task = tokio::spawn(async move {
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Acting { address, task }
    }
}

pub(crate) struct Acting {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Acting {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.url()).await.unwrap()
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A failure as the contract has it.
pub(crate) fn failure(code: Code, reason: &str, retry: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "angzarr", HashMap::new());
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    Status::with_error_details(code, "scripted", details)
}

fn not_offered<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not in the script"))
}

#[tonic::async_trait]
impl CommandHandlerCoordinatorService for Script {
    async fn handle_command(
        &self,
        _: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        self.next("handle_command")?;
        let events = Some(proto::EventBook { next_sequence: 1, ..Default::default() });
        Ok(Response::new(proto::CommandResponse { events, ..Default::default() }))
    }
    async fn handle_event(
        &self,
        _: Request<proto::EventRequest>,
    ) -> Result<Response<proto::FactInjectionResponse>, Status> {
        self.next("handle_event")?;
        // An answer without what it needs.
        Ok(Response::new(proto::FactInjectionResponse::default()))
    }
    async fn handle_sync_speculative(
        &self,
        _: Request<proto::SpeculateCommandHandlerRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        not_offered()
    }
    async fn handle_compensation(
        &self,
        _: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::BusinessResponse>, Status> {
        not_offered()
    }
}

#[tonic::async_trait]
impl EventQueryService for Script {
    async fn get_event_book(&self, _: Request<proto::Query>) -> Result<Response<proto::EventBook>, Status> {
        self.next("get_event_book")?;
        let mut answer = Response::new(self.book.clone());
        if let Some(version) = self.state_version {
            answer.metadata_mut().insert("angzarr-state-version", version.into());
        }
        Ok(answer)
    }
    type GetEventsStream = Books;
    async fn get_events(&self, _: Request<proto::Query>) -> Result<Response<Books>, Status> {
        self.next("get_events")?;
        let books: Vec<_> = self.books.iter().cloned().map(Ok).collect();
        Ok(Response::new(futures_util::stream::iter(books)))
    }
    type SynchronizeStream = Books;
    async fn synchronize(&self, _: Request<Streaming<proto::Query>>) -> Result<Response<Books>, Status> {
        not_offered()
    }
    type GetAggregateRootsStream = futures_util::stream::Empty<Result<proto::AggregateRoot, Status>>;
    async fn get_aggregate_roots(&self, _: Request<()>) -> Result<Response<Self::GetAggregateRootsStream>, Status> {
        not_offered()
    }
}
