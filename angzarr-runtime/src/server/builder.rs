//! From a description to a server that listens, and to its end.
//!
//! In: a runtime, an address, and what callers may. Out: a server that runs until it is told to stop, and stops in order (row R6).
//! Never: the end of the runtime; that is its owner's business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use angzarr_proto as proto;
use proto::command_handler_coordinator_service_server::CommandHandlerCoordinatorServiceServer as CommandServer;
use proto::event_query_service_server::EventQueryServiceServer as QueryServer;
use proto::event_stream_service_server::EventStreamServiceServer as StreamServer;
use proto::process_manager_coordinator_service_server::ProcessManagerCoordinatorServiceServer as ProcessServer;
use proto::projector_coordinator_service_server::ProjectorCoordinatorServiceServer as ProjectorServer;
use proto::saga_coordinator_service_server::SagaCoordinatorServiceServer as SagaServer;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::server::NamedService;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_layer::{Identity as NoLayer, Stack};

use super::authorize::Authorize;
use super::calls::{Bounds, Calls};
use super::commands::Commands;
use super::components::Components;
use super::door::{Doors, House, Stage};
use super::error::{ServeError, whole_text};
use super::queries::Queries;
use super::status::ROOM;
use super::streams::Streams;
use crate::Runtime;

/// Clients of other languages look here first.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_051);
/// Connections have so long to notice that everything is over.
const CLOSING: Duration = Duration::from_secs(1);

/// A gRPC server in front of a [`Runtime`], for callers in any language.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Describes a server.
    pub fn builder(runtime: Runtime) -> ServerBuilder {
        let limits = &runtime.core().limits;
        let bounds = Bounds {
            default_deadline: Duration::from_secs(30),
            max_deadline: Duration::from_secs(300),
            calls: 1_024,
            streams: 1_024,
            request_bytes: limits.payload_bytes.saturating_add(limits.ext_bytes).saturating_add(1 << 20),
            answer_bytes: limits.payload_bytes.saturating_add(limits.ext_bytes).saturating_add(1 << 20),
            details_bytes: ROOM,
        };
        ServerBuilder {
            runtime,
            address: DEFAULT_ADDRESS,
            identity: None,
            client_ca: None,
            authorize: None,
            bounds,
            drain: Duration::from_secs(30),
        }
    }
}

/// Describes a server. From [`Runtime::serve`] or [`Server::builder`]; nothing happens before [`bind`](Self::bind).
pub struct ServerBuilder {
    runtime: Runtime,
    address: SocketAddr,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
    authorize: Option<Arc<dyn Authorize>>,
    bounds: Bounds,
    drain: Duration,
}

impl ServerBuilder {
    /// Where to listen; `127.0.0.1:50051` if nothing is said. Port 0 takes a free one.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Speaks TLS, with this certificate (and those that lead to its root) and its key, both PEM.
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Lets only clients in whose certificate is signed by this authority (PEM): mutual TLS. Needs [`tls`](Self::tls).
    #[must_use]
    pub fn client_ca(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.client_ca = Some(certificate.into());
        self
    }

    /// Lets only calls in that this allows. Everything but the health service is denied without a bearer token then.
    #[must_use]
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(authorize));
        self
    }

    /// How long a call may take whose caller says nothing; 30 s if nothing is said. At most the maximum.
    #[must_use]
    pub fn default_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.default_deadline = deadline;
        self
    }

    /// How long a call may take at most, whatever its caller says; 5 minutes if nothing is said. Streams have no end but
    /// that which their caller sets.
    #[must_use]
    pub fn max_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.max_deadline = deadline;
        self
    }

    /// How many calls run at a time, those included whose caller has gone; 1,024 if nothing is said. One more is refused at
    /// once, to be tried again: nothing queues.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.bounds.calls = calls.max(1);
        self
    }

    /// How many answers that are streams are open at a time; 1,024 if nothing is said.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.bounds.streams = streams.max(1);
        self
    }

    /// Bytes of one request; if nothing is said, the runtime's limits on a payload and an extension, and 1 MiB for the rest of
    /// a book.
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.bounds.request_bytes = bytes;
        self
    }

    /// Bytes of one book that is an answer; as many as for a request if nothing is said. Clients have a limit too, 4 MiB mostly.
    /// `GetEvents` cuts what is larger into pieces.
    #[must_use]
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.bounds.answer_bytes = bytes;
        self
    }

    /// Bytes of the details of an error; 5 KiB if nothing is said, which clients take in every language. A fresh event book that
    /// is larger is left out of a sequence mismatch, and the facts say so: raise this where all clients take more metadata.
    #[must_use]
    pub fn max_details_bytes(mut self, bytes: usize) -> Self {
        self.bounds.details_bytes = bytes;
        self
    }

    /// How long the end waits for what runs; 30 s if nothing is said.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Takes the address. Callers may connect from now on; they are served when the server [runs](Bound::run_until).
    ///
    /// # Errors
    /// The address is taken, or certificates or descriptors cannot be used.
    pub async fn bind(self) -> Result<Bound, ServeError> {
        let Self { runtime, address, identity, client_ca, authorize, mut bounds, drain } = self;
        bounds.default_deadline = bounds.default_deadline.min(bounds.max_deadline);
        let tls = tls_of(identity, client_ca)?;
        let is_tls = tls.is_some();
        let calls = Calls::new(bounds);
        let house = Arc::new(House::new(authorize, calls.clone()));
        // More than we take, so that it is us who refuse: what a client queues by itself, nobody tells it to send later.
        let at_once = u32::try_from(bounds.calls.saturating_add(bounds.streams).saturating_add(64)).unwrap_or(u32::MAX);
        let mut server = tonic::transport::Server::builder()
            .layer(Doors(house.clone()))
            .max_concurrent_streams(at_once)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)));
        if let Some(tls) = tls {
            server = server.tls_config(tls).map_err(|error| ServeError::Tls { message: whole_text(&error) })?;
        }
        let (health, health_server) = tonic_health::server::health_reporter();
        let (v1, v1alpha) = super::reflection::services(&runtime)?;
        let at_most = bounds.request_bytes;
        let commands = Commands { runtime: runtime.clone(), calls: calls.clone() };
        let queries = Queries { runtime: runtime.clone(), calls: calls.clone() };
        let streams = Streams { runtime: runtime.clone(), calls: calls.clone() };
        let components = Components { runtime: runtime.clone(), calls: calls.clone() };
        let router = server
            .add_service(health_server)
            .add_service(v1)
            .add_service(v1alpha)
            .add_service(CommandServer::new(commands).max_decoding_message_size(at_most))
            .add_service(QueryServer::new(queries).max_decoding_message_size(at_most))
            .add_service(StreamServer::new(streams).max_decoding_message_size(at_most))
            .add_service(SagaServer::new(components.clone()).max_decoding_message_size(at_most))
            .add_service(ProcessServer::new(components.clone()).max_decoding_message_size(at_most))
            .add_service(ProjectorServer::new(components).max_decoding_message_size(at_most));
        for name in OFFERED {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        let refused = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Bound { router, listener, address, is_tls, house, calls, health, drain })
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("address", &self.address)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// The services that callers find here, beside health and reflection.
pub(super) const OFFERED: [&str; 6] = [
    CommandServer::<Commands>::NAME,
    QueryServer::<Queries>::NAME,
    StreamServer::<Streams>::NAME,
    SagaServer::<Components>::NAME,
    ProcessServer::<Components>::NAME,
    ProjectorServer::<Components>::NAME,
];

fn tls_of(
    identity: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
) -> Result<Option<ServerTlsConfig>, ServeError> {
    let Some((certificate, key)) = identity else {
        if client_ca.is_some() {
            let message =
                "clients cannot show certificates without it: give the server a certificate and a key of its own";
            return Err(ServeError::Tls { message: message.to_owned() });
        }
        return Ok(None);
    };
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).timeout(Duration::from_secs(10));
    Ok(Some(match client_ca {
        Some(authority) => tls.client_ca_root(Certificate::from_pem(authority)),
        None => tls,
    }))
}

/// A server that has its address. Run it.
#[must_use = "a server serves nobody until it runs"]
pub struct Bound {
    router: Router<Stack<Doors, NoLayer>>,
    listener: TcpListener,
    address: SocketAddr,
    is_tls: bool,
    house: Arc<House>,
    calls: Calls,
    health: HealthReporter,
    drain: Duration,
}

impl Bound {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The services that it offers, beside health and reflection.
    pub fn services(&self) -> &'static [&'static str] {
        &OFFERED
    }

    /// Serves until `shutdown` resolves, and then ends in order (row R6): health says NOT_SERVING, new calls are refused with a
    /// `RetryInfo`, subscriptions end with a clear status, what runs has the drain limit to finish. The runtime goes on. A
    /// future that is dropped ends everything at once; commands run to their end all the same.
    ///
    /// # Errors
    /// The server stopped by itself.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { router, listener, address, house, calls, health, drain, .. } = self;
        let _over = Over(house.clone());
        let incoming =
            TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(60)));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = router.serve_with_incoming_shutdown(incoming, async {
            let _gone = stopped.await;
        });
        let mut serving = std::pin::pin!(serving);
        tracing::info!(%address, "the server listens");
        tokio::select! {
            ended = &mut serving => return ended_early(ended),
            () = shutdown => {}
        }
        let running = house.running();
        tracing::info!(%address, running, "the server drains");
        for name in OFFERED.into_iter().chain([""]) {
            health.set_service_status(name, ServingStatus::NotServing).await;
        }
        house.stage.send_replace(Stage::Draining);
        let drained = async {
            house.empty().await;
            calls.idle().await;
        };
        tokio::select! {
            ended = &mut serving => return ended_early(ended),
            drained = tokio::time::timeout(drain, drained) => if drained.is_err() {
                let running = house.running();
                tracing::warn!(running, "calls still ran when the drain limit of the server passed; they are cut off");
            }
        }
        house.stage.send_replace(Stage::Over);
        // Whoever waits for this has its answer; connections that nobody closes are dropped with the process.
        let _told = stop.send(());
        let _closed = tokio::time::timeout(CLOSING, &mut serving).await;
        tracing::info!(%address, "the server has ended");
        Ok(())
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).field("tls", &self.is_tls).finish_non_exhaustive()
    }
}

fn ended_early(ended: Result<(), tonic::transport::Error>) -> Result<(), ServeError> {
    let message = ended.err().map_or_else(|| "it takes no connections any more".to_owned(), |error| whole_text(&error));
    Err(ServeError::Stopped { message })
}

/// However the server ends, nothing of it goes on.
struct Over(Arc<House>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.stage.send_replace(Stage::Over);
    }
}
