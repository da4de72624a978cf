//! How a call is made: with token and deadline, and again where that is safe.
//!
//! In: a message and a method. Out: the answer, or why there is none. Never: a message sent again that might be done twice, nor
//! before the server said.

use std::sync::Arc;
use std::time::Duration;

use angzarr_proto as proto;
use backon::BackoffBuilder as _;
use proto::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient as CommandStub;
use proto::event_query_service_client::EventQueryServiceClient as QueryStub;
use proto::event_stream_service_client::EventStreamServiceClient as StreamStub;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::error::whole_text;
use super::{Answered, ClientError, Subscription};
use crate::telemetry;

const COMMANDS: &str = "angzarr.CommandHandlerCoordinatorService";
const QUERIES: &str = "angzarr.EventQueryService";
const STREAMS: &str = "angzarr.EventStreamService";

/// Metadata of a subscription: begin behind this position of the log.
const AFTER: &str = "angzarr-after";
/// The shortest and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Times and numbers of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) deadline: Duration,
    pub(super) attempts: u32,
    pub(super) message_bytes: usize,
}

/// What happens if a message comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It only asks, or the server knows it again.
    Harmless,
    /// It is done twice.
    Doubles,
}

impl Repeat {
    pub(super) fn if_known(is_known: bool) -> Self {
        if is_known { Self::Harmless } else { Self::Doubles }
    }
}

/// A connection, with what every call needs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line {
    shared: Arc<Shared>,
    deadline: Duration,
}

struct Shared {
    channel: Channel,
    url: String,
    token: Option<MetadataValue<Ascii>>,
    bounds: Bounds,
}

impl Line {
    pub(super) fn new(channel: Channel, url: String, token: Option<MetadataValue<Ascii>>, bounds: Bounds) -> Self {
        Self { deadline: bounds.deadline, shared: Arc::new(Shared { channel, url, token, bounds }) }
    }

    pub(super) fn with_deadline(&self, deadline: Duration) -> Self {
        Self { shared: self.shared.clone(), deadline }
    }

    pub(super) fn url(&self) -> &str {
        &self.shared.url
    }

    pub(super) fn attempts(&self) -> u32 {
        self.shared.bounds.attempts
    }

    /// When a call that begins now is given up.
    pub(super) fn until(&self) -> Instant {
        let now = Instant::now();
        // One that is longer than time goes is for a year.
        now.checked_add(self.deadline).unwrap_or_else(|| now + Duration::from_secs(31_536_000))
    }

    pub(super) async fn command(
        &self,
        request: proto::CommandRequest,
        repeat: Repeat,
    ) -> Result<proto::CommandResponse, ClientError> {
        self.command_until(self.until(), request, repeat).await
    }

    pub(super) async fn command_until(
        &self,
        until: Instant,
        request: proto::CommandRequest,
        repeat: Repeat,
    ) -> Result<proto::CommandResponse, ClientError> {
        let send = |request| {
            let mut stub = self.commands();
            async move { stub.handle_command(request).await }
        };
        Ok(self.call((COMMANDS, "HandleCommand"), until, repeat, request, send).await?.into_inner())
    }

    pub(super) async fn fact(
        &self,
        request: proto::EventRequest,
        repeat: Repeat,
    ) -> Result<proto::FactInjectionResponse, ClientError> {
        let send = |request| {
            let mut stub = self.commands();
            async move { stub.handle_event(request).await }
        };
        Ok(self.call((COMMANDS, "HandleEvent"), self.until(), repeat, request, send).await?.into_inner())
    }

    pub(super) async fn speculate(
        &self,
        request: proto::SpeculateCommandHandlerRequest,
    ) -> Result<proto::CommandResponse, ClientError> {
        let send = |request| {
            let mut stub = self.commands();
            async move { stub.handle_sync_speculative(request).await }
        };
        Ok(self
            .call((COMMANDS, "HandleSyncSpeculative"), self.until(), Repeat::Harmless, request, send)
            .await?
            .into_inner())
    }

    /// One stream in one book.
    pub(super) async fn book(
        &self,
        until: Instant,
        query: proto::Query,
    ) -> Result<Response<proto::EventBook>, ClientError> {
        let send = |request| {
            let mut stub = self.queries();
            async move { stub.get_event_book(request).await }
        };
        self.call((QUERIES, "GetEventBook"), until, Repeat::Harmless, query, send).await
    }

    /// Books, piece by piece, to the end.
    pub(super) async fn books(&self, query: proto::Query) -> Result<Vec<proto::EventBook>, ClientError> {
        self.books_until(self.until(), query).await
    }

    pub(super) async fn books_until(
        &self,
        until: Instant,
        query: proto::Query,
    ) -> Result<Vec<proto::EventBook>, ClientError> {
        let send = |request| {
            let mut stub = self.queries();
            async move {
                let mut pieces = stub.get_events(request).await?.into_inner();
                let mut books = Vec::new();
                while let Some(book) = pieces.message().await? {
                    books.push(book);
                }
                Ok(books)
            }
        };
        self.call((QUERIES, "GetEvents"), until, Repeat::Harmless, query, send).await
    }

    pub(super) async fn subscribe(
        &self,
        correlation_id: &str,
        after: Option<u64>,
    ) -> Result<Subscription, ClientError> {
        let filter = proto::EventStreamFilter { correlation_id: correlation_id.to_owned() };
        let send = |mut request: Request<_>| {
            // The deadline is for the beginning only.
            request.metadata_mut().remove("grpc-timeout");
            if let Some(after) = after {
                request.metadata_mut().insert(AFTER, MetadataValue::from(after));
            }
            let mut stub = StreamStub::new(self.shared.channel.clone())
                .max_decoding_message_size(self.shared.bounds.message_bytes);
            async move { stub.subscribe(request).await }
        };
        let answer = self.call((STREAMS, "Subscribe"), self.until(), Repeat::Harmless, filter, send).await?;
        Ok(Subscription::new(answer, self.clone()))
    }

    fn commands(&self) -> CommandStub<Channel> {
        let bytes = self.shared.bounds.message_bytes;
        CommandStub::new(self.shared.channel.clone()).max_decoding_message_size(bytes).max_encoding_message_size(bytes)
    }

    fn queries(&self) -> QueryStub<Channel> {
        QueryStub::new(self.shared.channel.clone()).max_decoding_message_size(self.shared.bounds.message_bytes)
    }

    /// Makes a call, again and again where that is safe and makes sense, until `until`.
    async fn call<Q: Clone, T, F>(
        &self,
        method: (&str, &str),
        until: Instant,
        repeat: Repeat,
        message: Q,
        send: impl Fn(Request<Q>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut pauses = backon::ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(PAUSES.0)
            .with_max_delay(PAUSES.1)
            .with_max_times(self.attempts().saturating_sub(1) as usize)
            .build();
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(until.saturating_duration_since(Instant::now()));
            if let Some(token) = &self.shared.token {
                request.metadata_mut().insert("authorization", token.clone());
            }
            let span = telemetry::client_span(method, None, &self.shared.url);
            telemetry::send_along(&span, None, request.metadata_mut());
            let answer = telemetry::within(span.clone(), tokio::time::timeout_at(until, send(request))).await;
            telemetry::called(
                &span,
                match &answer {
                    Ok(Ok(_)) => Code::Ok,
                    Ok(Err(status)) => status.code(),
                    Err(_) => Code::DeadlineExceeded,
                },
            );
            drop(span);
            let error = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => self.failure(&status, repeat),
                Err(_) => self.late(repeat),
            };
            let Some(at_least) = pause_before_repeat(&error) else { return Err(error) };
            let Some(pause) = pauses.next() else { return Err(error) };
            // Behind the time that the server names, not at it: it named it to others as well.
            let next = Instant::now().checked_add(at_least.saturating_add(pause));
            match next.filter(|next| *next < until) {
                Some(next) => tokio::time::sleep_until(next).await,
                None => return Err(error),
            }
        }
    }

    fn late(&self, repeat: Repeat) -> ClientError {
        let repeatable = repeat == Repeat::Harmless;
        ClientError::Late { url: self.shared.url.clone(), deadline: self.deadline, repeatable }
    }

    /// Why a call failed.
    pub(super) fn failure(&self, status: &Status, repeat: Repeat) -> ClientError {
        if let Some(answered) = Answered::of(status) {
            return ClientError::Answered(Box::new(answered));
        }
        let url = || self.shared.url.clone();
        if is_caused_by::<tonic::ConnectError>(status) {
            return ClientError::Unreachable { url: url(), message: whole_text(status) };
        }
        if is_caused_by::<tonic::TimeoutExpired>(status) || status.code() == tonic::Code::DeadlineExceeded {
            return self.late(repeat);
        }
        // Broken off below the protocol, or by something between here and the server that knows no better.
        let is_lost = std::error::Error::source(status).is_some() || status.code() == tonic::Code::Unavailable;
        if is_lost {
            let repeatable = repeat == Repeat::Harmless;
            return ClientError::Lost { url: url(), message: whole_text(status), repeatable };
        }
        ClientError::Answered(Box::new(Answered::bare(status)))
    }

    pub(super) fn unreadable(&self, message: impl Into<String>) -> ClientError {
        ClientError::Unreadable { url: self.shared.url.clone(), message: message.into() }
    }
}

/// How long a call waits at least before it is made again; `None` where it is not.
fn pause_before_repeat(error: &ClientError) -> Option<Duration> {
    match error {
        // The same command would be refused again: it expects what is not there.
        ClientError::Answered(answered) if answered.code() == "SEQUENCE_MISMATCH" => None,
        ClientError::Answered(answered) => answered.retry_after(),
        ClientError::Unreachable { .. } | ClientError::Lost { repeatable: true, .. } => Some(Duration::ZERO),
        _ => None,
    }
}

fn is_caused_by<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        if cause.is::<E>() {
            return true;
        }
        source = cause.source();
    }
    false
}
