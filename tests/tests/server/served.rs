//! A runtime that is served, and what its callers see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_runtime::proto::event_query_service_client::EventQueryServiceClient;
use angzarr_runtime::proto::{self, CommandBookExt as _, CommandPageExt as _, CoverExt as _};
use angzarr_runtime::server::{ServeError, ServerBuilder};
use angzarr_runtime::{Builder, Memory};
use angzarr_tests::Rig;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::{ErrorInfo, StatusExt as _};

/// A server that runs until it is told to stop.
pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) rig: Rig,
    stop: Arc<Notify>,
    running: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    /// With everything in memory.
    pub(crate) async fn start() -> Self {
        Self::with(|server| server).await
    }

    /// The same with a server that is described further.
    pub(crate) async fn with(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::of(|builder| builder, describe).await
    }

    pub(crate) async fn of(
        runtime: impl FnOnce(Builder) -> Builder,
        describe: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let rig = Rig::new();
        let shop = crate::domain::Shop::default();
        let builder = rig
            .builder()
            .with(crate::domain::ReserveSaga { tries: shop.tries.clone() })
            .with(crate::domain::Report { seen: shop.seen.clone() })
            .storage(Memory::new());
        let runtime = runtime(builder).build().await.expect("the runtime starts");
        let here = "127.0.0.1:0".parse().expect("an address");
        let bound = describe(runtime.serve(here)).bind().await.expect("an address");
        let address = bound.local_addr();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let running = tokio::spawn(async move { bound.run_until(stopped.notified()).await });
        Self { runtime, address, rig, stop, running }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).expect("a URI").connect().await.expect("a connection")
    }

    pub(crate) async fn commands(&self) -> CommandHandlerCoordinatorServiceClient<Channel> {
        CommandHandlerCoordinatorServiceClient::new(self.channel().await)
    }

    pub(crate) async fn queries(&self) -> EventQueryServiceClient<Channel> {
        EventQueryServiceClient::new(self.channel().await)
    }

    /// Tells it to stop, and goes on.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.running).await;
        ended.expect("the server ends").expect("it does not panic").expect("it ends in order");
        self.runtime.shutdown().await.expect("the runtime ends");
    }

    pub(crate) async fn end(self) {
        self.stop();
        self.ended().await;
    }
}

/// What an error says of itself: its reason and facts.
pub(crate) fn info(status: &Status) -> ErrorInfo {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "angzarr");
    info
}

pub(crate) fn reason(status: &Status) -> String {
    info(status).reason
}

pub(crate) fn fact(status: &Status, name: &str) -> String {
    info(status).metadata.get(name).cloned().unwrap_or_else(|| panic!("no fact `{name}` in {status:?}"))
}

/// Whether it says that a retry can succeed.
pub(crate) fn may_be_retried(status: &Status) -> bool {
    status.get_details_retry_info().is_some()
}

/// The event book that came with it.
pub(crate) fn book_of(status: &Status) -> Option<proto::EventBook> {
    let details = tonic_types::pb::Status::decode(status.details()).expect("a google.rpc.Status");
    assert_eq!(details.code, status.code() as i32);
    assert_eq!(details.message, status.message());
    let mut books = details.details.iter().filter(|it| it.type_url == "type.googleapis.com/angzarr.EventBook");
    books.next().map(|book| proto::EventBook::decode(book.value.as_slice()).expect("an EventBook"))
}

/// A request with one command.
pub(crate) fn command<M: prost::Message + prost::Name>(domain: &str, root: Uuid, command: &M) -> proto::CommandRequest {
    let book = proto::CommandBook::single(proto::Cover::of(domain, root.into_bytes()), command);
    proto::CommandRequest { command: Some(book), ..Default::default() }
}

/// The same that expects a sequence.
pub(crate) fn expecting(mut request: proto::CommandRequest, sequence: u32) -> proto::CommandRequest {
    if let Some(book) = &mut request.command {
        book.pages = book.pages.drain(..).map(|page| page.expecting(sequence)).collect();
    }
    request
}

/// The events of a book, decoded.
pub(crate) fn events<M: prost::Message + prost::Name + Default>(book: &proto::EventBook) -> Vec<M> {
    let name = M::full_name();
    let of_page = |page: &proto::EventPage| match &page.payload {
        Some(proto::event_page::Payload::Event(event)) if proto::type_name_of(&event.type_url) == name => {
            Some(M::decode(event.value.as_slice()).expect("an event"))
        }
        _ => None,
    };
    book.pages.iter().filter_map(of_page).collect()
}

pub(crate) fn sequences(book: &proto::EventBook) -> Vec<u32> {
    book.pages.iter().filter_map(proto::EventPageExt::sequence).collect()
}
