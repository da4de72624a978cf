//! The way of a command: route → duplicate check → load → sequence check → decide → append → answer (row C1).
//!
//! In: a typed command, or a `CommandRequest` from anywhere. Out: a [`Receipt`], after everything was stored. Never: a
//! second way; both entries build a `Submission` and run the one pipeline.

mod ahead;
mod answer;
mod books;
mod decide;
mod detached;
mod edition_gate;
mod fact;
mod fold;
mod payloads;
mod pipeline;
mod provenance;
mod query;
mod request;
#[cfg(feature = "server")]
mod selection;
mod send;
mod settle;
mod snapshot;
#[cfg(feature = "server")]
mod speculate;
mod state_cache;

use std::sync::Arc;

pub use answer::{Projection, Receipt};
pub use fact::RecordFact;
#[cfg(feature = "client")]
pub(crate) use query::about;
pub use query::{Preview, PreviewCommand, StateQuery};
pub use send::{SendCommand, Sending};

pub(crate) use ahead::{Ahead, Situation};
#[cfg(feature = "server")]
pub(crate) use answer::cover_of;
pub(crate) use answer::event_page;
pub(crate) use books::Form;
#[cfg(any(feature = "server", feature = "remote"))]
pub(crate) use decide::COMPLETED;
pub(crate) use decide::note;
pub(crate) use detached::detached;
pub(crate) use edition_gate::{Because, Doubts, EditionGate};
pub(crate) use fact::FactWork;
pub(crate) use fold::Loaded;
pub(crate) use pipeline::{
    Along, Core, Decided, Decider, Decoded, Outcome, Refusal, Submission, panic_text, retry_delays,
};
pub(crate) use provenance::{Provenance, deferred_of, external_dedup, external_id_on_main};
pub(crate) use request::{Alone, ReactionCommand, any_of, cover_on, edition_of};
#[cfg(feature = "server")]
pub(crate) use request::{cascade_error_mode, sync_mode};
#[cfg(feature = "server")]
pub(crate) use selection::{Selection, as_of, is_on_timeline};
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) use snapshot::decode as decode_state;
pub(crate) use snapshot::encode as encode_state;
pub(crate) use state_cache::StateCache;

/// Where commands, facts and questions go whose sender shares a process with the runtime.
#[derive(Clone)]
pub struct InProcess {
    core: Arc<Core>,
}

impl InProcess {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// When the answer to a command comes. Every mode stores (or rejects) before it answers (rows S).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncMode {
    /// As soon as the events are stored; projectors and sagas run later.
    #[default]
    Async,
    /// The same for the caller: accepted or rejected is the answer (row S2).
    Decision,
    /// When the projectors concerned have handled these very events; their projections are in the answer (row S3).
    Simple,
    /// When projectors, sagas and process managers have handled these very events, and so on through the commands that they
    /// send, to the end (row S4). What a failure does is up to the [`CascadeErrorMode`].
    Cascade,
    /// As soon as the events are stored; no projector, saga or process manager ever sees them (row S5).
    Isolated,
}

impl SyncMode {
    /// As the wire has it.
    pub(crate) fn to_proto(self) -> angzarr_proto::SyncMode {
        match self {
            Self::Async => angzarr_proto::SyncMode::Async,
            Self::Decision => angzarr_proto::SyncMode::Decision,
            Self::Simple => angzarr_proto::SyncMode::Simple,
            Self::Cascade => angzarr_proto::SyncMode::Cascade,
            Self::Isolated => angzarr_proto::SyncMode::Isolated,
        }
    }

    /// Whether the answer waits for components.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Simple | Self::Cascade)
    }
}

/// What becomes of a CASCADE when a reaction fails: a handler's error, or a command that it sent is rejected (rows E).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CascadeErrorMode {
    /// The request fails with that reason at once. What ran keeps its effects; the events stay (row E1).
    #[default]
    FailFast,
    /// Every reaction runs; the request succeeds, and the answer lists each failure (row E2).
    Continue,
    /// The request fails, and every command of a reaction that had succeeded is undone: one `Compensate` each, delivered to its
    /// target's `#[compensate]` (row E3).
    Compensate,
    /// The failure goes to the dead letters, the rest runs, the request succeeds (row E4).
    DeadLetter,
}

impl CascadeErrorMode {
    /// As the wire has it.
    pub(crate) fn to_proto(self) -> angzarr_proto::CascadeErrorMode {
        match self {
            Self::FailFast => angzarr_proto::CascadeErrorMode::CascadeErrorFailFast,
            Self::Continue => angzarr_proto::CascadeErrorMode::CascadeErrorContinue,
            Self::Compensate => angzarr_proto::CascadeErrorMode::CascadeErrorCompensate,
            Self::DeadLetter => angzarr_proto::CascadeErrorMode::CascadeErrorDeadLetter,
        }
    }

    /// What the wire means.
    pub(crate) fn from_proto(mode: angzarr_proto::CascadeErrorMode) -> Self {
        match mode {
            angzarr_proto::CascadeErrorMode::CascadeErrorFailFast => Self::FailFast,
            angzarr_proto::CascadeErrorMode::CascadeErrorContinue => Self::Continue,
            angzarr_proto::CascadeErrorMode::CascadeErrorCompensate => Self::Compensate,
            angzarr_proto::CascadeErrorMode::CascadeErrorDeadLetter => Self::DeadLetter,
        }
    }
}
