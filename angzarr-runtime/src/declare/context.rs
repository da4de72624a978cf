//! What a handler may know besides its state and its message.
//!
//! Time and ids come from here and nowhere else, so that a replay and a test are deterministic (row C11).

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::stream::{Edition, Headers, Name, Nanos, StreamKey};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> SystemTime;

    /// How long the runtime may sleep, while a timeout is scheduled, before it looks at this clock again (row P5). A clock
    /// that goes at its own pace is looked at often.
    fn look_again(&self) -> Duration {
        Duration::from_millis(20)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    // It may be set, so not for longer.
    fn look_again(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// Where ids come from.
pub trait IdSource: Send + Sync + 'static {
    /// A new id, never given before.
    fn next_id(&self) -> Uuid;
}

/// Random ids (UUID version 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Nanoseconds since 1970, saturating at the ends of `i64` (years 1677 and 2262).
pub(crate) fn nanos_of(time: SystemTime) -> Nanos {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

/// The time of a number of nanoseconds since 1970.
pub(crate) fn time_of(nanos: Nanos) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// What a command handler may know besides the state and the command.
#[derive(Clone, Copy)]
pub struct CommandContext<'a> {
    pub(crate) key: &'a StreamKey,
    pub(crate) headers: &'a Headers,
    pub(crate) expected: Option<u32>,
    pub(crate) next_sequence: u32,
    pub(crate) now: Nanos,
    pub(crate) ids: &'a dyn IdSource,
    /// Set by a handler that asks for a snapshot.
    pub(crate) milestone: &'a Cell<bool>,
}

impl CommandContext<'_> {
    /// The root that the command is for.
    pub fn root(&self) -> Uuid {
        self.key.root
    }
    /// The domain that the command is for.
    pub fn domain(&self) -> &str {
        &self.key.domain
    }
    /// The timeline; empty for the main one.
    pub fn edition(&self) -> &str {
        &self.key.edition
    }
    /// The sequence that the sender expected; `None` if it did not say. Differs from
    /// [`next_sequence`](Self::next_sequence) only under `AggregateHandles` (row M3).
    pub fn expected_sequence(&self) -> Option<u32> {
        self.expected
    }
    /// The sequence that the first event of this command will get.
    pub fn next_sequence(&self) -> u32 {
        self.next_sequence
    }
    /// The correlation id; `None` if the command carries none (row I2).
    pub fn correlation_id(&self) -> Option<&str> {
        Some(self.headers.correlation_id()).filter(|id| !id.is_empty())
    }
    /// The opaque extension of the command's cover.
    pub fn ext(&self) -> Option<&prost_types::Any> {
        self.headers.ext()
    }
    /// When the command is accepted, if it is: `created_at` of its events.
    pub fn now(&self) -> SystemTime {
        time_of(self.now)
    }
    /// A new id.
    pub fn new_id(&self) -> Uuid {
        self.ids.next_id()
    }
    /// Marks the state after this command's events as a business milestone: its snapshot is kept for good (row N2). Without
    /// effect if the command is rejected or returns no event, or if the aggregate has no snapshots.
    pub fn keep_snapshot(&self) {
        self.milestone.set(true);
    }
}

impl std::fmt::Debug for CommandContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandContext")
            .field("stream", self.key)
            .field("expected", &self.expected)
            .field("next_sequence", &self.next_sequence)
            .finish_non_exhaustive()
    }
}

/// Namespace of ids that are made from an event's place.
const EVENTS: Uuid = Uuid::from_u128(0x5f1c_7a3e_92d4_5b06_8e71_c3a9_d2f0_4b68);

/// What a saga, process manager or projector may know about the event that it handles.
pub struct EventContext {
    pub(crate) stream: StreamKey,
    pub(crate) edition: Edition,
    pub(crate) sequence: u32,
    /// Which of the parts that upcasters made of the stored event; 0 for the first.
    pub(crate) part: u32,
    pub(crate) position: u64,
    pub(crate) created_at: Nanos,
    pub(crate) type_name: Name,
    pub(crate) headers: Headers,
    pub(crate) replay: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// The read model's open transaction, if the projector has a read model (see `crate::reaction::read_model`).
    pub(crate) transaction: Option<Arc<dyn Any + Send + Sync>>,
}

impl EventContext {
    /// The root that the event happened to.
    pub fn root(&self) -> Uuid {
        self.stream.root
    }
    /// The domain that the event happened in.
    pub fn domain(&self) -> &str {
        &self.stream.domain
    }
    /// The timeline that it happened on.
    pub fn edition(&self) -> &Edition {
        &self.edition
    }
    /// The stream.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }
    /// Its place in its stream.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }
    /// An id of the event that is the same whenever it comes, in every process and every database: for consumers that have
    /// to know whether they have seen it (row J1; see [`SeenEvents`](crate::reaction::SeenEvents)).
    ///
    /// It is the UUID v5 in the namespace `5f1c7a3e-92d4-5b06-8e71-c3a9d2f04b68` of `{stream}#{sequence}`, where the stream is
    /// written as `domain/root` or `domain@edition/root`. The parts of an event that an upcaster has split share it.
    pub fn event_id(&self) -> Uuid {
        Uuid::new_v5(&EVENTS, format!("{}#{}", self.stream, self.sequence).as_bytes())
    }
    /// Its place in the whole store.
    pub fn position(&self) -> u64 {
        self.position
    }
    /// When it was accepted.
    pub fn created_at(&self) -> SystemTime {
        time_of(self.created_at)
    }
    /// Full protobuf name of the event as it is handled (after upcasting).
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
    /// The correlation id; `None` if there is none.
    pub fn correlation_id(&self) -> Option<&str> {
        Some(self.headers.correlation_id()).filter(|id| !id.is_empty())
    }
    /// The opaque extension of the event's cover.
    pub fn ext(&self) -> Option<&prost_types::Any> {
        self.headers.ext()
    }
    /// Whether the event is handled again for a rebuild, so that effects outside must not be repeated (rows J3, J6). A handler
    /// that is nothing but such an effect is better marked `#[handler(live_only)]`.
    pub fn is_replay(&self) -> bool {
        self.replay
    }
    /// Now, by the runtime's clock.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

impl std::fmt::Debug for EventContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventContext")
            .field("stream", &self.stream)
            .field("sequence", &self.sequence)
            .field("position", &self.position)
            .field("type_name", &self.type_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_and_times_agree_before_and_after_1970() {
        for nanos in [0, 1, -1, 1_360_000_000_000_000_000, i64::MAX, -5_000_000_000] {
            assert_eq!(nanos_of(time_of(nanos)), nanos);
        }
    }
}
