//! Intents: what still has to be done because of a write.
//!
//! In: work that was decided. Out: the same work, when it is due, until a write carries it out. Never: a look into the
//! work; the store keeps and counts it, and does not do it.

use bytes::Bytes;
use uuid::Uuid;

use crate::stream::{Nanos, StreamKey};

/// Identifies an intent. The same work has the same id, so that deciding it again changes nothing.
pub type IntentId = Uuid;

/// Something that has to be done because of a write, stored in the same step as it (rows P1, P5, K1, E3). It is there
/// until a write settles it or takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Same work, same id.
    pub id: IntentId,
    /// What kind of work it is.
    pub kind: IntentKind,
    /// The stream whose write decided it. With the stream's edition it is discarded (row B5).
    pub stream: StreamKey,
    /// Not to be done before.
    pub due: Nanos,
    /// How often it was tried.
    pub attempts: u32,
    /// The work, encoded. The store never looks inside.
    pub work: Bytes,
}

/// What kind of work an intent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IntentKind {
    /// A command that is to be sent (row P1).
    Command,
    /// A fact that is to be recorded (row P1).
    Fact,
    /// A rejection that its source is to be told of (row K1).
    Notification,
    /// A command whose effect is to be made undone (row E3).
    Compensation,
    /// A process manager that is to be woken (row P5).
    Timeout,
}

impl IntentKind {
    /// A stable name, for lists and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Fact => "fact",
            Self::Notification => "notification",
            Self::Compensation => "compensation",
            Self::Timeout => "timeout",
        }
    }
}

impl std::fmt::Display for IntentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which intents to list. The default lists every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntentFilter {
    /// Only those that are due at this time or before.
    pub due_until: Option<Nanos>,
    /// Only of this stream.
    pub stream: Option<StreamKey>,
    /// Only of this kind.
    pub kind: Option<IntentKind>,
    /// At most so many; `None` for 1,000.
    pub limit: Option<usize>,
}

impl IntentFilter {
    /// How many are to be listed at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(1_000)
    }
}

/// That an intent is carried out by the write which holds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The intent.
    pub id: IntentId,
    /// The due time that it had when its work was begun: where it was moved since, that work is outdated.
    pub due: Nanos,
}
