//! Components in another process, as far as a test needs one: gRPC servers over a real socket that do what they are told and
//! remember what they were asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto;
use proto::command_handler_service_server::{CommandHandlerService, CommandHandlerServiceServer};
use proto::process_manager_service_server::{ProcessManagerService, ProcessManagerServiceServer};
use proto::projector_service_server::{ProjectorService, ProjectorServiceServer};
use proto::saga_service_server::{SagaService, SagaServiceServer};
use proto::upcaster_service_server::{UpcasterService, UpcasterServiceServer};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

type Answer<A> = Result<Response<A>, Status>;
type Does<Q, A> = Arc<dyn Fn(&Q) -> Result<A, Status> + Send + Sync>;

/// What a component does, and what it was asked.
pub(crate) struct Component<Q, A> {
    does: Does<Q, A>,
    asked: Arc<Mutex<Vec<Q>>>,
    /// `traceparent` and `tracestate` of what it was asked.
    traces: Arc<Mutex<Vec<[Option<String>; 2]>>>,
}

impl<Q, A> Clone for Component<Q, A> {
    fn clone(&self) -> Self {
        Self { does: self.does.clone(), asked: self.asked.clone(), traces: self.traces.clone() }
    }
}

impl<Q: Clone, A> Component<Q, A> {
    pub(crate) fn new(does: impl Fn(&Q) -> Result<A, Status> + Send + Sync + 'static) -> Self {
        Self { does: Arc::new(does), asked: Arc::default(), traces: Arc::default() }
    }

    fn answer(&self, request: Request<Q>) -> Answer<A> {
        let text = |name: &str| Some(request.metadata().get(name)?.to_str().expect("text").to_owned());
        self.traces.lock().unwrap().push([text("traceparent"), text("tracestate")]);
        let question = request.into_inner();
        self.asked.lock().unwrap().push(question.clone());
        (self.does)(&question).map(Response::new)
    }

    /// What it does, without being asked over the wire.
    pub(crate) fn does(&self, question: &Q) -> Result<A, Status> {
        (self.does)(question)
    }

    #[allow(dead_code)] // of the tests that look at traces
    pub(crate) fn traces(&self) -> Vec<[Option<String>; 2]> {
        self.traces.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> Vec<Q> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) type Saga = Component<proto::SagaHandleRequest, proto::SagaResponse>;
pub(crate) type Projector = Component<proto::EventBook, proto::Projection>;
pub(crate) type Process = Component<proto::ProcessManagerHandleRequest, proto::ProcessManagerHandleResponse>;

pub(crate) type Upcaster = Component<proto::UpcastRequest, proto::UpcastResponse>;

#[tonic::async_trait]
impl UpcasterService for Upcaster {
    async fn upcast(&self, request: Request<proto::UpcastRequest>) -> Answer<proto::UpcastResponse> {
        self.answer(request)
    }
}

#[tonic::async_trait]
impl SagaService for Saga {
    async fn handle(&self, request: Request<proto::SagaHandleRequest>) -> Answer<proto::SagaResponse> {
        self.answer(request)
    }
}

#[tonic::async_trait]
impl ProjectorService for Projector {
    async fn handle(&self, request: Request<proto::EventBook>) -> Answer<proto::Projection> {
        self.answer(request)
    }
    async fn handle_speculative(&self, request: Request<proto::EventBook>) -> Answer<proto::Projection> {
        (self.does)(&request.into_inner()).map(Response::new)
    }
}

#[tonic::async_trait]
impl ProcessManagerService for Process {
    async fn handle(
        &self,
        request: Request<proto::ProcessManagerHandleRequest>,
    ) -> Answer<proto::ProcessManagerHandleResponse> {
        self.answer(request)
    }
}

/// An aggregate: commands and, if it takes them, facts.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) commands: Component<proto::ContextualCommand, proto::BusinessResponse>,
    pub(crate) facts: Component<proto::FactRequest, proto::EventBook>,
    pub(crate) replays: Component<proto::ReplayRequest, proto::ReplayResponse>,
}

impl Handler {
    pub(crate) fn new(
        does: impl Fn(&proto::ContextualCommand) -> Result<proto::BusinessResponse, Status> + Send + Sync + 'static,
    ) -> Self {
        let facts = Component::new(|_: &proto::FactRequest| Err(Status::unimplemented("no facts")));
        let replays = Component::new(|_: &proto::ReplayRequest| Err(Status::unimplemented("no replay")));
        Self { commands: Component::new(does), facts, replays }
    }
}

#[tonic::async_trait]
impl CommandHandlerService for Handler {
    async fn handle(&self, request: Request<proto::ContextualCommand>) -> Answer<proto::BusinessResponse> {
        self.commands.answer(request)
    }
    async fn handle_fact(&self, request: Request<proto::FactRequest>) -> Answer<proto::EventBook> {
        self.facts.answer(request)
    }
    async fn replay(&self, request: Request<proto::ReplayRequest>) -> Answer<proto::ReplayResponse> {
        self.replays.answer(request)
    }
}

/// A server of components, as far from here as another process: it ends when it is dropped, and its connections break.
pub(crate) struct Served {
    address: SocketAddr,
    threads: Option<tokio::runtime::Runtime>,
}

impl Served {
    async fn on(address: SocketAddr, router: Router) -> Self {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = threads.spawn(async move {
            let listener = loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    // Its last owner may still be on the way out.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            let address = listener.local_addr().unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            tokio::spawn(router.serve_with_incoming(incoming));
            address
        });
        Self { address: serving.await.unwrap(), threads: Some(threads) }
    }

    pub(crate) fn url(&self) -> String {
        url(self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Any port.
pub(crate) fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A port that nobody listens on.
pub(crate) async fn nowhere() -> SocketAddr {
    TcpListener::bind(anywhere()).await.unwrap().local_addr().unwrap()
}

pub(crate) async fn upcaster_on(address: SocketAddr, upcaster: &Upcaster) -> Served {
    Served::on(address, Server::builder().add_service(UpcasterServiceServer::new(upcaster.clone()))).await
}

pub(crate) async fn saga_on(address: SocketAddr, saga: &Saga) -> Served {
    Served::on(address, Server::builder().add_service(SagaServiceServer::new(saga.clone()))).await
}

pub(crate) async fn projector_on(address: SocketAddr, projector: &Projector) -> Served {
    Served::on(address, Server::builder().add_service(ProjectorServiceServer::new(projector.clone()))).await
}

pub(crate) async fn process_on(address: SocketAddr, process: &Process) -> Served {
    Served::on(address, Server::builder().add_service(ProcessManagerServiceServer::new(process.clone()))).await
}

pub(crate) async fn aggregate_on(address: SocketAddr, handler: &Handler) -> Served {
    Served::on(address, Server::builder().add_service(CommandHandlerServiceServer::new(handler.clone()))).await
}

/// Waits until a component says why it stands still.
pub(crate) async fn stalled(runtime: &Runtime, component: &str) -> String {
    let found = async {
        loop {
            let status = runtime.subscriptions().into_iter().find(|it| it.name == component).expect("the component");
            if let Some(reason) = status.stalled {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("it stands still")
}

/// Waits until everything is handled.
pub(crate) async fn settled(runtime: &Runtime) {
    tokio::time::timeout(Duration::from_secs(30), runtime.settled()).await.expect("everything is handled");
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let so = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), so).await.is_ok(), "never happened: {what}");
}
