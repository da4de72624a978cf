//! The door: every request passes it, whatever it is for.
//!
//! In: an HTTP request. Out: what the services answer. Never: a call without the token that is asked for, a new one while the
//! server drains, or a status that does not say what the contract wants said.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Frame;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};
use tower_service::Service;

use super::authorize::{Authorize, Call, Denied, bearer};
use super::builder::OFFERED;
use super::calls::{Arrived, Calls, Place, in_time, timeout_of};
use super::status::{Trouble, completed};
use super::traced::traced;
use crate::storage::BoxFuture;
use crate::telemetry;

/// How far the life of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// Nothing new is let in; what runs runs to its end.
    Draining,
    /// Whatever still runs is cut off.
    Over,
}

/// What the server and all its doors share.
pub(super) struct House {
    pub(super) stage: watch::Sender<Stage>,
    /// Requests that are inside, those for the health left out.
    inside: watch::Sender<usize>,
    authorize: Option<Arc<dyn Authorize>>,
    calls: Calls,
}

impl House {
    pub(super) fn new(authorize: Option<Arc<dyn Authorize>>, calls: Calls) -> Self {
        Self { stage: watch::Sender::new(Stage::Serving), inside: watch::Sender::new(0), authorize, calls }
    }

    /// How many requests are inside.
    pub(super) fn running(&self) -> usize {
        *self.inside.borrow()
    }

    /// Resolves when none is.
    pub(super) async fn empty(&self) {
        let mut inside = self.inside.subscribe();
        // The sender lives as long as this, and the answer is a lock that must not be kept.
        drop(inside.wait_for(|inside| *inside == 0).await);
    }

    fn enter(self: &Arc<Self>) -> Inside {
        self.inside.send_modify(|inside| *inside += 1);
        Inside(self.clone())
    }

    /// Resolves when the server has come to a stage.
    fn reached(&self, stage: Stage) -> BoxFuture<'static, ()> {
        let mut watched = self.stage.subscribe();
        Box::pin(async move {
            drop(watched.wait_for(|now| *now >= stage).await);
        })
    }
}

/// A request that is inside.
struct Inside(Arc<House>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}

/// Whoever decides about tokens has so long.
const AUTHORIZING: Duration = Duration::from_secs(10);

/// Puts a door before services.
#[derive(Clone)]
pub(super) struct Doors(pub(super) Arc<House>);

impl<S> tower_layer::Layer<S> for Doors {
    type Service = Door<S>;
    fn layer(&self, services: S) -> Door<S> {
        Door { services, house: self.0.clone() }
    }
}

/// A door.
#[derive(Clone)]
pub(super) struct Door<S> {
    services: S,
    house: Arc<House>,
}

/// What a request is for, as far as the door cares.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Anybody may ask, until the very end.
    Health,
    /// A stream that has no end of its own: it ends when the server begins to drain.
    Endless,
    /// A stream that ends.
    Stream,
    /// One answer.
    Unary,
}

fn kind_of(path: &str) -> Kind {
    match path {
        "/angzarr.EventStreamService/Subscribe" | "/angzarr.EventQueryService/Synchronize" => Kind::Endless,
        "/angzarr.EventQueryService/GetEvents" | "/angzarr.EventQueryService/GetAggregateRoots" => Kind::Stream,
        _ if path.starts_with("/grpc.health.v1.Health/") => Kind::Health,
        _ if path.starts_with("/grpc.reflection.") => Kind::Endless,
        _ => Kind::Unary,
    }
}

impl<S> Service<http::Request<Body>> for Door<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that is ready is this one.
        let waiting = self.services.clone();
        let services = std::mem::replace(&mut self.services, waiting);
        let house = self.house.clone();
        Box::pin(async move {
            let (path, headers) = (request.uri().path(), request.headers());
            let is_told =
                OFFERED.iter().any(|service| path.strip_prefix('/').is_some_and(|it| it.starts_with(service)));
            let span = if is_told { telemetry::server_span(path, headers) } else { tracing::Span::none() };
            Ok(traced(span, pass(services, house, request)).await)
        })
    }
}

async fn pass<S>(mut services: S, house: Arc<House>, mut request: http::Request<Body>) -> http::Response<Body>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let arrived = tokio::time::Instant::now();
    let kind = kind_of(request.uri().path());
    let inside = (kind != Kind::Health).then(|| house.enter());
    let mut place = None;
    if kind != Kind::Health {
        // After it was counted: whoever drains either sees this request or is seen by it.
        if *house.stage.borrow() != Stage::Serving {
            return leaving("this server is shutting down and takes nothing new").into_http();
        }
        if let Some(authorize) = &house.authorize
            && let Err(status) = admit(authorize.as_ref(), call_of(&request)).await
        {
            return status.into_http();
        }
        // Before the message is read.
        let taken = if kind == Kind::Unary { house.calls.place() } else { house.calls.stream_place() };
        match taken {
            Ok(taken) if kind == Kind::Unary => drop(request.extensions_mut().insert(taken)),
            Ok(taken) => place = Some(taken),
            Err(status) => return status.into_http(),
        }
    }
    request.extensions_mut().insert(Arrived(arrived));
    let given = request.headers().get("grpc-timeout").and_then(|value| value.to_str().ok());
    let time = house.calls.time_of(timeout_of(given));
    let response = tokio::select! {
        biased;
        response = services.call(request) => match response {
            Ok(response) => response,
            Err(never) => match never {},
        },
        () = house.reached(Stage::Over) => {
            return leaving("the server was shut down before there was an answer").into_http();
        }
        // Calls keep their deadline by themselves, a moment before; a message that does not end is nobody's call yet.
        () = tokio::time::sleep_until(arrived + in_time(time) + Duration::from_millis(1)) => {
            return unread(time).into_http();
        }
    };
    let response = if kind == Kind::Health { response } else { with_whole_status(response) };
    let last = if kind == Kind::Endless { Stage::Draining } else { Stage::Over };
    response.map(|body| Body::new(Ending { body, end: Some(house.reached(last)), _inside: inside, _place: place }))
}

fn unread(time: Duration) -> Status {
    let message = format!("the request did not come to its end within {time:?}; nothing was done");
    Trouble::new(Code::DeadlineExceeded, "REQUEST_UNFINISHED", message)
        .fact("deadline_ms", time.as_millis().to_string())
        .retry_after(Duration::ZERO)
        .into()
}

/// What is told of a server that goes: another one, or this one a moment later, will do.
fn leaving(message: &str) -> Status {
    Trouble::new(Code::Unavailable, "SHUTTING_DOWN", message).retry_after(Duration::from_secs(1)).into()
}

/// What is asked about a request; `None` where it has no bearer token.
fn call_of(request: &http::Request<Body>) -> Option<Call> {
    let token = bearer(request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?)?.to_owned();
    let tls = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let tcp = tls.map(TlsConnectInfo::get_ref).or_else(|| request.extensions().get::<TcpConnectInfo>());
    let certificates = tls.and_then(TlsConnectInfo::peer_certs);
    Some(Call {
        token,
        method: request.uri().path().to_owned(),
        peer: tcp.and_then(TcpConnectInfo::remote_addr),
        certificates: certificates.iter().flat_map(|all| all.iter()).map(|der| der.as_ref().to_vec()).collect(),
    })
}

async fn admit(authorize: &dyn Authorize, call: Option<Call>) -> Result<(), Status> {
    let Some(call) = call else {
        let message = "this server wants the metadata `authorization: Bearer TOKEN`";
        return Err(Trouble::new(Code::Unauthenticated, "UNAUTHENTICATED", message).into());
    };
    let method = call.method.clone();
    let asked = AssertUnwindSafe(async { authorize.authorize(call).await }).catch_unwind();
    let trouble = match tokio::time::timeout(AUTHORIZING, asked).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(Denied::Unknown))) => {
            Trouble::new(Code::Unauthenticated, "UNAUTHENTICATED", "nobody here knows that token")
        }
        Ok(Ok(Err(Denied::Forbidden))) => {
            Trouble::new(Code::PermissionDenied, "FORBIDDEN", "that token is not for this method")
        }
        Ok(Ok(Err(Denied::Unavailable))) | Err(_) => {
            let message = "whoever knows the tokens cannot be asked now; try again";
            Trouble::new(Code::Unavailable, "AUTHORIZATION_UNAVAILABLE", message).retry_after(Duration::from_secs(1))
        }
        Ok(Err(panic)) => {
            let panic = crate::command::panic_text(panic.as_ref());
            tracing::error!(method, panic, "the hook that authorizes calls panicked; the call is refused");
            Trouble::new(Code::Internal, "AUTHORIZATION_FAILED", "whoever knows the tokens is out of order")
        }
    };
    Err(trouble.fact("method", method).into())
}

/// A status that tonic has made by itself, with what every one of ours has.
fn with_whole_status(mut response: http::Response<Body>) -> http::Response<Body> {
    let Some(whole) = Status::from_header_map(response.headers()).as_ref().and_then(completed) else { return response };
    // What cannot be written leaves the status as it was.
    let _told = whole.add_header(response.headers_mut());
    response
}

pin_project_lite::pin_project! {
    /// A body that ends with a clear status when the server says so.
    struct Ending {
        #[pin]
        body: Body,
        end: Option<BoxFuture<'static, ()>>,
        _inside: Option<Inside>,
        _place: Option<Place>,
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        // A body that is at its end says so by itself.
        if this.body.is_end_stream() {
            return this.body.poll_frame(context);
        }
        let Some(end) = this.end else { return Poll::Ready(None) };
        if end.as_mut().poll(context).is_ready() {
            *this.end = None;
            let mut trailers = http::HeaderMap::new();
            return match leaving("this server is shutting down; go on with another call").add_header(&mut trailers) {
                Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(status) => Poll::Ready(Some(Err(status))),
            };
        }
        this.body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
