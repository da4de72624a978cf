//! What every call has: a place among those that run, and a deadline.
//!
//! In: the work of a call. Out: its answer, or that there is no room, or that time is up. Never: a queue; what does not fit is
//! refused at once. A command that has begun keeps its place until it ends, whether its caller still waits or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;

use super::status::{Trouble, status_of};
use crate::command::panic_text;
use crate::error::Error;

/// Times and numbers of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) default_deadline: Duration,
    pub(super) max_deadline: Duration,
    pub(super) calls: usize,
    pub(super) streams: usize,
    /// Bytes of one request.
    pub(super) request_bytes: usize,
    /// Bytes of one answer.
    pub(super) answer_bytes: usize,
    /// Bytes of the details of an error.
    pub(super) details_bytes: usize,
}

/// When a request came to the door.
#[derive(Clone, Copy)]
pub(super) struct Arrived(pub(super) Instant);

/// The place of a request among those that run, from the door on: before its message is read, so that what does not fit costs no
/// memory.
#[derive(Clone)]
pub(super) struct Place(#[allow(dead_code)] pub(super) Arc<OwnedSemaphorePermit>);

/// What is known of a caller beside the message.
pub(super) struct Caller {
    pub(super) metadata: MetadataMap,
    arrived: Instant,
    place: Option<Place>,
}

impl Caller {
    /// How long it waits, if it says so.
    fn timeout(&self) -> Option<Duration> {
        timeout_of(self.metadata.get("grpc-timeout")?.to_str().ok())
    }
}

/// A request, taken apart.
pub(super) fn taken<T>(request: Request<T>) -> (Caller, T) {
    let (metadata, mut extensions, message) = request.into_parts();
    let arrived = extensions.get::<Arrived>().map_or_else(Instant::now, |Arrived(at)| *at);
    (Caller { metadata, arrived, place: extensions.remove() }, message)
}

/// Why a call has no answer.
pub(super) enum Failure {
    Error(Error),
    Status(Status),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Status(trouble.into())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The calls that run now. Cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) bounds: Bounds,
    unary: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// What the caller may do when its time is up.
pub(super) enum Late {
    /// It was a question: it ends, and may be asked again.
    Question,
    /// It was a command, which runs on. It may be sent again only if it would be known as the same.
    Command { repeatable: bool },
}

impl Calls {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            unary: Arc::new(Semaphore::new(bounds.calls.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(bounds.streams.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// As a status.
    pub(super) fn status(&self, failure: impl Into<Failure>) -> Status {
        match failure.into() {
            Failure::Error(error) => status_of(&error, self.bounds.details_bytes),
            Failure::Status(status) => status,
        }
    }

    /// Runs a call with one answer. `about` says what the call is about, for whoever waits in vain.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        late: Late,
        about: Vec<(&'static str, String)>,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let given = self.time_of(caller.timeout());
        let Caller { arrived, place, .. } = caller;
        let mut task = Running {
            task: tokio::spawn(
                async move {
                    let answer = work.await;
                    drop(place);
                    answer
                }
                .in_current_span(),
            ),
            ends_with_caller: matches!(late, Late::Question),
        };
        match tokio::time::timeout_at(arrived + in_time(given), &mut task.task).await {
            Ok(Ok(Ok(answer))) => Ok(Response::new(answer)),
            Ok(Ok(Err(failure))) => Err(self.status(failure)),
            Ok(Err(ended)) => Err(panicked(ended)),
            Err(_) => Err(too_late(given, &late).facts(about).into()),
        }
    }

    /// A place for a call with one answer.
    pub(super) fn place(&self) -> Result<Place, Status> {
        take(&self.unary, "calls", self.bounds.calls)
    }

    /// A place for a call that answers with a stream.
    pub(super) fn stream_place(&self) -> Result<Place, Status> {
        take(&self.streams, "streams", self.bounds.streams)
    }

    /// How long a call has, by what its caller says.
    pub(super) fn time_of(&self, given: Option<Duration>) -> Duration {
        given.map_or(self.bounds.default_deadline, |given| given.min(self.bounds.max_deadline))
    }

    /// When a stream has to end; `None` where the caller did not say.
    pub(super) fn stream_deadline(&self, caller: &Caller) -> Option<(Instant, Duration)> {
        let given = caller.timeout()?;
        Some((caller.arrived + in_time(given), given))
    }

    /// Resolves when no call with one answer runs any more, those included that nobody waits for.
    pub(super) async fn idle(&self) {
        let all = u32::try_from(self.bounds.calls).unwrap_or(u32::MAX);
        // Only closed semaphores fail, and these never are.
        let _all = self.unary.acquire_many(all).await;
    }
}

/// A task that ends with whoever waits for it, if it is a question.
struct Running<T> {
    task: JoinHandle<Result<T, Failure>>,
    ends_with_caller: bool,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if self.ends_with_caller {
            self.task.abort();
        }
    }
}

fn take(places: &Arc<Semaphore>, what: &str, limit: usize) -> Result<Place, Status> {
    places.clone().try_acquire_owned().map(|permit| Place(Arc::new(permit))).map_err(|_| {
        let message = format!("{limit} {what} run already, which is as many as this server takes; try again");
        Trouble::new(Code::ResourceExhausted, "OVERLOADED", message)
            .fact("limit", limit.to_string())
            .retry_after(Duration::from_millis(100))
            .into()
    })
}

/// The caller stops to listen at its deadline: an answer has to be there before.
pub(super) fn in_time(given: Duration) -> Duration {
    given - (given / 5).min(Duration::from_millis(100))
}

fn too_late(given: Duration, late: &Late) -> Trouble {
    let (what, retry) = match late {
        Late::Question => ("the question was given up", true),
        Late::Command { repeatable: true } => {
            ("the command runs on; sent again with the same external id it is answered, not run twice", true)
        }
        Late::Command { repeatable: false } => (
            "the command runs on and may be stored; look before you send it again, or send commands with an external id",
            false,
        ),
    };
    let trouble =
        Trouble::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", format!("no answer within {given:?}: {what}"))
            .fact("deadline_ms", given.as_millis().to_string())
            .fact("runs_on", matches!(late, Late::Command { .. }).to_string());
    if retry { trouble.retry_after(Duration::from_millis(100)) } else { trouble }
}

/// Handlers' panics are caught where they happen: this is one of ours.
fn panicked(ended: tokio::task::JoinError) -> Status {
    let reference = uuid::Uuid::new_v4();
    if ended.is_panic() {
        let panic = ended.into_panic();
        tracing::error!(%reference, panic = panic_text(panic.as_ref()), "a call of the server panicked");
    }
    let message = format!("the call broke; look for reference {reference} in the log");
    Trouble::new(Code::Internal, "PANICKED", message).fact("reference", reference.to_string()).into()
}

/// What a caller's `grpc-timeout` says.
pub(super) fn timeout_of(header: Option<&str>) -> Option<Duration> {
    parse_timeout(header?)
}

/// `grpc-timeout`: at most eight digits and a unit. What is malformed counts as not said.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for nonsense in ["", "m", "250", "-1S", "1.5S", "999999999S", "1ä", "1 S"] {
            assert_eq!(parse_timeout(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_answer_comes_before_the_caller_stops_to_listen() {
        assert_eq!(in_time(Duration::from_millis(50)), Duration::from_millis(40));
        assert_eq!(in_time(Duration::from_secs(10)), Duration::from_millis(9_900));
        assert_eq!(in_time(Duration::ZERO), Duration::ZERO);
    }
}
