//! Calls of a component.
//!
//! In: a message of the contract. Out: the component's answer, its refusal, or that it is out of reach. Never: a wait without
//! end, or an outage that is taken for an answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::declare::ReactionError;
use crate::stream::{StreamKey, TraceContext};
use crate::telemetry;

/// The services of the contract that components offer.
pub(super) const HANDLER: &str = "angzarr.CommandHandlerService";
pub(super) const PROCESS: &str = "angzarr.ProcessManagerService";
pub(super) const SAGA: &str = "angzarr.SagaService";
pub(super) const PROJECTOR: &str = "angzarr.ProjectorService";
pub(super) const UPCASTER: &str = "angzarr.UpcasterService";

/// Metadata of each call: which component is meant, where several are behind one address.
const COMPONENT: &str = "angzarr-component";

/// The largest answer that is read. What is in it is held to the limits of the runtime like everything else.
pub(super) const ANSWER_BYTES: usize = 64 << 20;

/// One component in another process.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    name: &'static str,
    address: String,
    deadline: Duration,
    endpoint: Endpoint,
    /// Made by the first call, and again after one that got no answer: the connection may be dead without knowing it.
    channel: Mutex<Option<Channel>>,
    /// Where streams were when no snapshot of them was to be had.
    failed_snapshots: Mutex<HashMap<StreamKey, u32>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.address)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody can tell what the component would say.
    OutOfReach(String),
    /// It is there and offers no such method.
    NotOffered(String),
    /// The component says no.
    Refused(Status),
}

impl Client {
    pub(super) fn new(name: &'static str, address: &str, deadline: Duration, endpoint: Endpoint) -> Self {
        let (address, channel, failed_snapshots) = (address.to_owned(), Mutex::new(None), Mutex::default());
        Self(Arc::new(Inner { name, address, deadline, endpoint, channel, failed_snapshots }))
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.0.deadline
    }

    pub(super) fn failed_snapshots(&self) -> &Mutex<HashMap<StreamKey, u32>> {
        &self.0.failed_snapshots
    }

    /// One call. `trace` is what it is about has brought, for where nobody traces here.
    pub(super) async fn call<Q, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        method: (&str, &str),
        trace: Option<TraceContext>,
        message: Q,
        call: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<A, Trouble> {
        let mut request = Request::new(message);
        request.set_timeout(self.0.deadline);
        if let Ok(name) = MetadataValue::<Ascii>::try_from(self.0.name) {
            request.metadata_mut().insert(COMPONENT, name);
        }
        // Connects when it is called, in the tokio runtime of whoever calls.
        let channel = self.0.channel.lock().get_or_insert_with(|| self.0.endpoint.connect_lazy()).clone();
        let span = telemetry::client_span(method, Some(self.0.name), &self.0.address);
        telemetry::send_along(&span, trace, request.metadata_mut());
        let answer = tokio::time::timeout(self.0.deadline, call(channel, request));
        let answer = telemetry::within(span.clone(), answer).await;
        telemetry::called(
            &span,
            match &answer {
                Ok(Ok(_)) => Code::Ok,
                Ok(Err(status)) => status.code(),
                Err(_elapsed) => Code::DeadlineExceeded,
            },
        );
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.trouble(status)),
            Err(_elapsed) => {
                *self.0.channel.lock() = None;
                Err(Trouble::OutOfReach(self.silent()))
            }
        }
    }

    fn trouble(&self, status: Status) -> Trouble {
        // What has a cause comes from this side of the connection.
        let is_ours = std::error::Error::source(&status).is_some();
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled if !is_ours => Trouble::OutOfReach(self.silent()),
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Unauthenticated
            | Code::PermissionDenied => Trouble::OutOfReach(self.out_of_reach(&status)),
            Code::Unimplemented => Trouble::NotOffered(self.out_of_reach(&status)),
            _ if is_ours => Trouble::OutOfReach(self.out_of_reach(&status)),
            _ => Trouble::Refused(status),
        }
    }

    fn silent(&self) -> String {
        let Inner { name, address, deadline, .. } = &*self.0;
        format!("`{name}` at {address} did not answer within {deadline:?}")
    }

    fn out_of_reach(&self, status: &Status) -> String {
        let Inner { name, address, .. } = &*self.0;
        let mut reason = format!("`{name}` at {address} is out of reach: {:?}", status.code());
        if !status.message().is_empty() {
            reason.push_str(&format!(": {}", status.message()));
        }
        if let Some(cause) = std::error::Error::source(status) {
            reason.push_str(&format!(": {}", with_causes(cause)));
        }
        reason
    }

    /// Why the answer cannot be used; it would be the same the next time.
    pub(super) fn unusable(&self, what: impl fmt::Display) -> ReactionError {
        ReactionError::permanent(format!("`{}` at {} answered {what}", self.name(), self.address()))
    }
}

impl Trouble {
    /// What it means for an event: one that its component refuses for good is not asked again (row D4).
    pub(super) fn of_reaction(self) -> ReactionError {
        match self {
            Self::OutOfReach(reason) | Self::NotOffered(reason) => ReactionError::outage(reason),
            Self::Refused(status) => {
                let text = format!("{:?}: {}", status.code(), status.message());
                match status.code() {
                    Code::InvalidArgument
                    | Code::NotFound
                    | Code::AlreadyExists
                    | Code::FailedPrecondition
                    | Code::OutOfRange
                    | Code::DataLoss => ReactionError::permanent(text),
                    _ => ReactionError::transient(text),
                }
            }
        }
    }
}

/// An error with everything that led to it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
