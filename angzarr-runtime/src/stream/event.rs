//! Events as they are stored and read back.

use bytes::Bytes;
use std::sync::Arc;

use super::{Name, StreamKey, TraceContext, WaitMark};
use crate::error::{Error, Result, Subject};

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Nanos = i64;

/// One event as the store holds it. The payload is the protobuf encoding, exactly as it was written (row U1).
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Place in the whole store: strictly increasing, from 1; 0 while not stored.
    pub position: u64,
    /// Place in its stream, the first event is 0.
    pub sequence: u32,
    /// When it was accepted; never earlier than the event before it in the stream (row C2).
    pub created_at: Nanos,
    /// Full protobuf name of the payload.
    pub type_name: Name,
    /// Version of the payload's schema, from 1.
    pub schema_version: u32,
    /// The encoded payload.
    pub payload: Bytes,
    /// What came with the command: correlation id, extension, divergences, trace.
    pub headers: Headers,
    /// Stored by an ISOLATED command: no subscriber may ever see it (row S5).
    pub isolated: bool,
}

/// What a command hands on to each of its events (rows I1, I3, B4). Empty in most systems, so it is shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Option<Arc<HeaderFields>>);

/// The fields behind [`Headers`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderFields {
    /// The correlation id; empty means none (row I2).
    pub correlation_id: String,
    /// The opaque extension of the cover.
    pub ext: Option<prost_types::Any>,
    /// The explicit divergence points of the command's edition (row B4).
    pub divergences: Vec<(Name, u32)>,
    /// The span that the command ran in, if somebody traces.
    pub trace: Option<TraceContext>,
    /// That somebody waits for what follows, where several processes share the store (row R5).
    pub wait: Option<WaitMark>,
}

impl Headers {
    /// Headers from a correlation id (empty for none) and an extension.
    pub fn new(correlation_id: impl Into<String>, ext: Option<prost_types::Any>) -> Self {
        let correlation_id = correlation_id.into();
        if correlation_id.is_empty() && ext.is_none() {
            return Self(None);
        }
        Self(Some(Arc::new(HeaderFields { correlation_id, ext, ..HeaderFields::default() })))
    }

    /// The same with the explicit divergence points of the command's edition (row B4): domain and sequence.
    #[must_use]
    pub fn with_divergences(self, divergences: Vec<(Name, u32)>) -> Self {
        if divergences.as_slice() == self.divergences() {
            return self;
        }
        self.changed(|fields| fields.divergences = divergences)
    }

    /// The same with the span that the command runs in. Where nobody traces there is none, and nothing is stored for it.
    #[must_use]
    pub fn with_trace(self, trace: Option<TraceContext>) -> Self {
        if trace == self.trace() { self } else { self.changed(|fields| fields.trace = trace) }
    }

    /// The same with the mark of a wait, or without one. Most events have none, and nothing is stored for it.
    #[must_use]
    pub fn with_wait(self, wait: Option<WaitMark>) -> Self {
        if wait.as_ref() == self.wait() { self } else { self.changed(|fields| fields.wait = wait) }
    }

    fn changed(self, change: impl FnOnce(&mut HeaderFields)) -> Self {
        let mut fields = self.0.map(Arc::unwrap_or_clone).unwrap_or_default();
        change(&mut fields);
        if fields == HeaderFields::default() { Self(None) } else { Self(Some(Arc::new(fields))) }
    }

    /// The span that the command ran in, if somebody traced it.
    pub fn trace(&self) -> Option<TraceContext> {
        self.0.as_deref().and_then(|fields| fields.trace)
    }

    /// The mark of the wait that the event belongs to, if somebody in another process may wait for what follows from it.
    pub fn wait(&self) -> Option<&WaitMark> {
        self.0.as_deref().and_then(|fields| fields.wait.as_ref())
    }

    /// Trace and wait in one piece, as databases and intents keep them: the trace, or as many zeroes where only a wait follows.
    /// Empty where there is neither.
    pub(crate) fn origin(&self) -> Vec<u8> {
        let trace = self.trace().map(|trace| trace.to_bytes());
        match (trace, self.wait()) {
            (None, None) => Vec::new(),
            (Some(trace), None) => trace.to_vec(),
            (trace, Some(wait)) => [&trace.unwrap_or_default()[..], &wait.to_bytes()].concat(),
        }
    }

    /// The same with what [`origin`](Self::origin) made; `None` for anything else.
    pub(crate) fn with_origin(self, origin: &[u8]) -> Option<Self> {
        let (trace, wait) = read_origin(origin)?;
        Some(self.with_trace(trace).with_wait(wait))
    }

    /// The explicit divergence points of the command's edition (row B4); empty on the main timeline.
    pub fn divergences(&self) -> &[(Name, u32)] {
        self.0.as_deref().map_or(&[], |fields| &fields.divergences)
    }

    /// The correlation id, empty if there is none.
    pub fn correlation_id(&self) -> &str {
        self.0.as_deref().map_or("", |fields| fields.correlation_id.as_str())
    }

    /// The extension of the cover.
    pub fn ext(&self) -> Option<&prost_types::Any> {
        self.0.as_deref().and_then(|fields| fields.ext.as_ref())
    }
}

/// What [`Headers::origin`] made; `None` for anything else.
pub(crate) fn read_origin(origin: &[u8]) -> Option<(Option<TraceContext>, Option<WaitMark>)> {
    let Some((trace, wait)) = origin.split_at_checked(TraceContext::BYTES) else {
        return origin.is_empty().then_some((None, None));
    };
    let trace = match trace.iter().all(|byte| *byte == 0) {
        true => None,
        false => Some(TraceContext::from_bytes(trace)?),
    };
    let wait = if wait.is_empty() { None } else { Some(WaitMark::from_bytes(wait)?) };
    // Zeroes stand for a trace only where something follows.
    (trace.is_some() || wait.is_some()).then_some((trace, wait))
}

/// An event with the stream that it belongs to, as a subscriber reads it from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// The stream.
    pub stream: StreamKey,
    /// The event.
    pub event: StoredEvent,
}

impl LogEvent {
    /// The payload, if it is an `M`.
    ///
    /// # Errors
    /// It says that it is one, and cannot be decoded.
    pub fn decode<M: prost::Message + prost::Name + Default>(&self) -> Result<Option<M>> {
        if self.event.type_name.as_str() != M::full_name() {
            return Ok(None);
        }
        M::decode(self.event.payload.as_ref()).map(Some).map_err(|error| Error::UnreadableEvent {
            stream: Box::new(self.stream.clone()),
            sequence: self.event.sequence,
            type_name: self.event.type_name.to_string(),
            message: error.to_string(),
            subject: Subject::default(),
        })
    }
}

/// The state of a stream at one point, as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSnapshot {
    /// Sequence of the last event that the state holds.
    pub sequence: u32,
    /// `created_at` of that event; decides whether a snapshot may serve an `as_of_time` (row T2).
    pub created_at: Nanos,
    /// Names the kind of state, so that another kind is never decoded by mistake.
    pub type_name: Name,
    /// Version of the state's shape (row N4).
    pub state_version: u32,
    /// The encoded state.
    pub state: Bytes,
    /// How long it is kept.
    pub retention: Retention,
}

/// How long a snapshot is kept (rows N1 to N3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Until a newer one is written.
    #[default]
    Default,
    /// For good.
    Persist,
    /// Until a newer one is written.
    Transient,
}
