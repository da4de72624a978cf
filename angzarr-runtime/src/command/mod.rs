//! The way of a command: route → duplicate check → load → sequence check → decide → append → answer (row C1).
//!
//! In: a typed command, or a `CommandRequest` from anywhere. Out: a [`Receipt`], after everything was stored. Never: a
//! second way; both entries build a `Submission` and run the one pipeline.

mod answer;
mod decide;
mod detached;
mod fold;
mod payloads;
mod pipeline;
mod query;
mod request;
mod send;
mod settle;
mod snapshot;
mod state_cache;

pub use answer::{Projection, Receipt};
pub use query::{Preview, PreviewCommand, StateQuery};
pub use send::{SendCommand, Sending};

pub(crate) use answer::{cover_of, event_page};
pub(crate) use detached::detached;
pub(crate) use fold::Loaded;
pub(crate) use pipeline::{Core, Submission, panic_text, retry_delays};
pub(crate) use request::{Provenance, ReactionCommand, any_of, deferred_of};
pub(crate) use snapshot::encode as encode_state;
pub(crate) use state_cache::StateCache;

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
            Self::Isolated => angzarr_proto::SyncMode::Isolated,
        }
    }
}
