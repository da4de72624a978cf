//! Everything that a call of the runtime can fail with.

use std::borrow::Cow;

use angzarr_proto as proto;
use uuid::Uuid;

use crate::declare::{MergeStrategy, Rejection};
use crate::reaction::CascadeFailed;
use crate::registry::WiringErrors;
use crate::runtime::MergeConflict;
use crate::storage::{StorageError, StorageErrorKind};
use crate::stream::StreamKey;

mod subject;

pub(crate) use subject::About;
pub use subject::Subject;

/// `Result` with the runtime's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The gRPC status that an error is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The request makes no sense in any state.
    InvalidArgument,
    /// A bound ran out: time, attempts.
    DeadlineExceeded,
    /// What the request names does not exist.
    NotFound,
    /// A limit was passed.
    ResourceExhausted,
    /// The state does not allow it.
    FailedPrecondition,
    /// It lost against another writer.
    Aborted,
    /// Not offered.
    Unimplemented,
    /// A bug, in a handler or in the framework.
    Internal,
    /// Out of reach for the moment.
    Unavailable,
    /// Done or not done: nobody can tell.
    Unknown,
    /// Stored data cannot be read.
    DataLoss,
    /// Nobody knows who asks. Only a server answers with it.
    Unauthenticated,
    /// Whoever asks may not. Only a server answers with it.
    PermissionDenied,
}

/// What a call of the runtime can fail with. [`code`](Self::code) is stable; the text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The handler said no (row C4).
    #[error("rejected: {0}")]
    Rejected(Rejection),

    /// The stream is not where the command expected it (rows M1, M2).
    #[error("{0}")]
    SequenceMismatch(Box<SequenceMismatch>),

    /// The stream is not where the command expected it, and the command waits in the dead letters (row M4).
    #[error("{mismatch}; the command was put into the dead letters as {letter}")]
    DeadLettered {
        /// What was expected and what was there.
        mismatch: Box<SequenceMismatch>,
        /// The id of the letter.
        letter: Uuid,
    },

    /// No aggregate has this domain (row C7).
    #[error("no aggregate has the domain `{domain}`{}", nearest_text(.nearest))]
    UnknownDomain {
        /// The domain.
        domain: String,
        /// The nearest names that exist.
        nearest: Vec<String>,
        /// What it is about.
        subject: Subject,
    },

    /// The aggregate does not handle this command (row C7).
    #[error("the aggregate of `{domain}` does not handle `{command}`{}", nearest_text(.nearest))]
    UnknownCommand {
        /// The domain.
        domain: String,
        /// The command's full protobuf name.
        command: String,
        /// The nearest names that exist.
        nearest: Vec<String>,
        /// What it is about.
        subject: Subject,
    },

    /// The aggregate has neither a `#[fact]` nor an `#[apply]` for this fact (row F1).
    #[error("the aggregate of `{domain}` has no place for the fact `{fact}`{}", nearest_text(.nearest))]
    UnknownFact {
        /// The domain.
        domain: String,
        /// The fact's full protobuf name.
        fact: String,
        /// The nearest names that exist.
        nearest: Vec<String>,
        /// What it is about.
        subject: Subject,
    },

    /// A method of a process manager, or of a compensation, failed.
    #[error("`{handler}` failed: {message}")]
    Reaction {
        /// The method.
        handler: String,
        /// What it said.
        message: String,
        /// Whether a retry is pointless.
        permanent: bool,
        /// What it is about.
        subject: Subject,
    },

    /// A reaction of a CASCADE failed (rows E). The command's own events are stored, and what ran keeps its effects, unless
    /// the mode was to compensate them.
    #[error("{0}")]
    Cascade(Box<CascadeFailed>),

    /// No stream has this edition (row B5).
    #[error("no stream has the edition `{edition}`{}", nearest_text(.nearest))]
    UnknownEdition {
        /// The edition.
        edition: String,
        /// The nearest names that exist.
        nearest: Vec<String>,
        /// What it is about.
        subject: Subject,
    },

    /// The main timeline has moved past a branch that was to be merged; nothing was written (row B6).
    #[error("the edition `{edition}` cannot be merged: {}", listed(.conflicts))]
    MergeConflict {
        /// The edition.
        edition: String,
        /// Every stream in the way.
        conflicts: Vec<MergeConflict>,
        /// What it is about.
        subject: Subject,
    },

    /// A part of the request is missing or malformed (row C7).
    #[error("{field}: {message}")]
    InvalidArgument {
        /// The offending part.
        field: Cow<'static, str>,
        /// What is wrong and what to send instead.
        message: String,
        /// What it is about.
        subject: Subject,
    },

    /// A limit of the contract's section L was passed.
    #[error("{field}: {actual} is over the limit of {limit} {hint}")]
    Limit {
        /// The offending part.
        field: Cow<'static, str>,
        /// How much it is.
        actual: usize,
        /// How much is allowed.
        limit: usize,
        /// The unit and what to do.
        hint: &'static str,
        /// What it is about.
        subject: Subject,
    },

    /// A command handler, or the `#[apply]` of an event that it returned, panicked: nothing was stored (row C5). The panic's text is in the log under the reference.
    #[error("the handler `{handler}` panicked; look for reference {reference} in the log")]
    HandlerPanicked {
        /// The handler.
        handler: String,
        /// Connects this answer with the log.
        reference: Uuid,
        /// What it is about.
        subject: Subject,
    },

    /// A handler returned an event that cannot be read back from its encoding: nothing was stored (row C5).
    #[error("the handler `{handler}` returned a `{type_name}` that cannot be read back: {message}")]
    UnreadableReturn {
        /// The handler.
        handler: String,
        /// Type of the event.
        type_name: String,
        /// What is wrong.
        message: String,
        /// What it is about.
        subject: Subject,
    },

    /// Other writers were faster every time (row C6).
    #[error("gave up on {stream} after {attempts} attempts against other writers")]
    Contention {
        /// The stream.
        stream: Box<StreamKey>,
        /// How often it was tried.
        attempts: u32,
        /// What it is about.
        subject: Subject,
    },

    /// A stored event has a newer version than this program knows (row U5).
    #[error(
        "{stream} #{sequence}: `{type_name}` is stored with schema version {stored}, this program knows versions up to {known}; run a newer version of the program"
    )]
    SchemaTooNew {
        /// The stream.
        stream: Box<StreamKey>,
        /// The event.
        sequence: u32,
        /// Its type.
        type_name: String,
        /// Its version.
        stored: u32,
        /// The newest known version.
        known: u32,
        /// What it is about.
        subject: Subject,
    },

    /// A stored event cannot be folded into the state.
    #[error("{stream} #{sequence} (`{type_name}`): {message}")]
    UnreadableEvent {
        /// The stream.
        stream: Box<StreamKey>,
        /// The event.
        sequence: u32,
        /// Its type.
        type_name: String,
        /// What is wrong.
        message: String,
        /// What it is about.
        subject: Subject,
    },

    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),

    /// The program is not wired correctly.
    #[error(transparent)]
    Wiring(#[from] WiringErrors),

    /// A component in another process decides on this, and could not be asked, or could not answer.
    #[error("{message}")]
    OutOfReach {
        /// The component.
        component: String,
        /// What is in the way.
        message: String,
        /// Nobody has answered; `false` for a component that was reached and failed.
        outage: bool,
        /// What it is about.
        subject: Subject,
    },

    /// A component could not start.
    #[error("{component}: {message}")]
    Component {
        /// The component.
        component: String,
        /// What is wrong.
        message: String,
    },

    /// The read model of a projector does not hold the events of this store (row J1).
    #[error("{component}: {problem}; delete the read model, it is built again from the log")]
    ReadModel {
        /// The projector.
        component: String,
        /// What is wrong.
        problem: ForeignReadModel,
    },

    /// A projector was not built anew (row J3). But for [`RebuildProblem::AfterSwitch`] the old state stays as it is.
    #[error("{component}: {problem}")]
    Rebuild {
        /// The projector.
        component: String,
        /// Why not.
        problem: RebuildProblem,
    },

    /// The runtime takes no more work (row R6).
    #[error("the runtime is shutting down")]
    ShuttingDown,

    /// Not offered by this version.
    #[error("{what} is not offered by this version: {hint}")]
    NotOffered {
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        hint: &'static str,
        /// What it is about.
        subject: Subject,
    },
}

/// Why a read model does not go with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignReadModel {
    /// It was built from another store.
    #[error("its read model belongs to the store {read_model}, this one is {store}")]
    OtherStore {
        /// The store whose events it holds.
        read_model: Uuid,
        /// The store that was opened.
        store: Uuid,
    },
    /// It holds events that the store has lost.
    #[error(
        "its read model is ahead of the store: it holds the events up to position {read_model}, the store ends at \
         {head} (restored from a backup, or relaxed when the power went)"
    )]
    Ahead {
        /// The position of the read model.
        read_model: u64,
        /// The newest position of the store.
        head: u64,
    },
    /// It keeps its checkpoint in a form that this version does not read.
    #[error("its read model was written by an earlier version")]
    EarlierVersion,
}

/// Why a projector was not built anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildProblem {
    /// Two at once would write to the same fresh state.
    #[error("a rebuild of it runs already; wait for it, its subscription's status shows how far it is")]
    Running,
    /// Nothing of the framework's could be built anew.
    #[error(
        "it has no read model that a fresh one could be made of; give the rebuild an instance that writes to an empty \
         place: `.into_instance(…)`"
    )]
    NoReadModel,
    /// Its read model cannot make a fresh one.
    #[error("{0}")]
    NoFreshState(String),
    /// The instance is of another type.
    #[error("an instance of `{instance}` was given, which is another component")]
    OtherProjector {
        /// Its type.
        instance: &'static str,
    },
    /// The given instance does not write to an empty place.
    #[error("the read model of the given instance holds events up to position {position} already; give an empty one")]
    NotFresh {
        /// The position.
        position: u64,
    },
    /// So many events failed that it must be the code.
    #[error(
        "{events} events could not be handled; the old state stays, and the dead letters of the new one were not stored"
    )]
    TooManyParked {
        /// How many so far.
        events: usize,
    },
    /// Something else.
    #[error("the rebuild failed, the old state stays: {0}")]
    Failed(String),
    /// The fresh state is in place, and something after it failed.
    #[error(
        "the fresh state is in place, but dead letters whose events it holds are still open: {0}; retry them, they have no second effect in a read model that keeps the checkpoint"
    )]
    AfterSwitch(String),
}

/// A command expected one sequence and its stream had another.
#[derive(Debug, thiserror::Error)]
#[error("{stream} is at sequence {actual}, the command expected {expected} (merge strategy {})", .strategy.as_str())]
pub struct SequenceMismatch {
    /// The stream.
    pub stream: StreamKey,
    /// The strategy that decided.
    pub strategy: MergeStrategy,
    /// What the command expected.
    pub expected: u32,
    /// The stream's next sequence.
    pub actual: u32,
    /// The fresh state: snapshot, pages and next sequence, so that the caller rebuilds without another read.
    pub book: proto::EventBook,
    /// What else it is about.
    pub subject: Subject,
}

/// Where each error keeps what it is about; borrowed as the caller says.
macro_rules! subject_of {
    ($error:ident, $($borrow:tt)+) => {
        match $error {
            Error::Rejected(rejection) => Some($($borrow)+ rejection.subject),
            Error::SequenceMismatch(mismatch) | Error::DeadLettered { mismatch, .. } => {
                Some($($borrow)+ mismatch.subject)
            }
            Error::Storage(error) => Some($($borrow)+ error.subject),
            Error::Cascade(failed) => Some($($borrow)+ failed.subject),
            Error::UnknownDomain { subject, .. }
            | Error::UnknownCommand { subject, .. }
            | Error::UnknownFact { subject, .. }
            | Error::Reaction { subject, .. }
            | Error::UnknownEdition { subject, .. }
            | Error::MergeConflict { subject, .. }
            | Error::InvalidArgument { subject, .. }
            | Error::Limit { subject, .. }
            | Error::HandlerPanicked { subject, .. }
            | Error::UnreadableReturn { subject, .. }
            | Error::Contention { subject, .. }
            | Error::SchemaTooNew { subject, .. }
            | Error::UnreadableEvent { subject, .. }
            | Error::OutOfReach { subject, .. }
            | Error::NotOffered { subject, .. } => Some(subject),
            Error::Wiring(_)
            | Error::Component { .. }
            | Error::ReadModel { .. }
            | Error::Rebuild { .. }
            | Error::ShuttingDown => None,
        }
    };
}

impl Error {
    pub(crate) fn invalid_argument(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::InvalidArgument { field: field.into(), message: message.into(), subject: Subject::default() }
    }

    pub(crate) fn limit(field: impl Into<Cow<'static, str>>, actual: usize, limit: usize, hint: &'static str) -> Self {
        Self::Limit { field: field.into(), actual, limit, hint, subject: Subject::default() }
    }

    pub(crate) fn not_offered(what: &'static str, hint: &'static str) -> Self {
        Self::NotOffered { what, hint, subject: Subject::default() }
    }

    /// Says what the error is about, where it does not say so yet.
    pub(crate) fn about(mut self, facts: impl FnOnce() -> About) -> Self {
        if let Some(subject) = self.subject_mut() {
            subject.complete(facts());
        }
        self
    }

    fn subject(&self) -> Option<&Subject> {
        subject_of!(self, &)
    }

    fn subject_mut(&mut self) -> Option<&mut Subject> {
        subject_of!(self, &mut)
    }

    /// The stable code, `UPPER_SNAKE`. For a rejection it is the framework's `REJECTED`; the handler's own code is in the
    /// [`Rejection`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "REJECTED",
            Self::SequenceMismatch(_) => "SEQUENCE_MISMATCH",
            Self::DeadLettered { .. } => "DEAD_LETTERED",
            Self::UnknownDomain { .. } => "UNKNOWN_DOMAIN",
            Self::UnknownCommand { .. } => "UNKNOWN_COMMAND",
            Self::UnknownFact { .. } => "UNKNOWN_FACT",
            Self::UnknownEdition { .. } => "UNKNOWN_EDITION",
            Self::MergeConflict { .. } => "MERGE_CONFLICT",
            Self::Reaction { .. } => "REACTION_FAILED",
            Self::Cascade(failed) => failed.code(),
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::Limit { .. } => "LIMIT_EXCEEDED",
            Self::HandlerPanicked { .. } => "HANDLER_PANICKED",
            Self::UnreadableReturn { .. } => "UNREADABLE_RETURN",
            Self::Contention { .. } => "CONTENTION",
            Self::SchemaTooNew { .. } => "SCHEMA_TOO_NEW",
            Self::UnreadableEvent { .. } => "UNREADABLE_EVENT",
            Self::Storage(error) if error.kind == StorageErrorKind::Unknown => "OUTCOME_UNKNOWN",
            Self::Storage(_) => "STORAGE",
            Self::Wiring(_) => "WIRING",
            Self::OutOfReach { .. } => "COMPONENT_OUT_OF_REACH",
            Self::Component { .. } => "COMPONENT",
            Self::ReadModel { .. } => "READ_MODEL",
            Self::Rebuild { .. } => "REBUILD",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::NotOffered { .. } => "NOT_OFFERED",
        }
    }

    /// The gRPC status.
    pub fn status(&self) -> Code {
        match self {
            Self::Rejected(rejection) => rejection.status(),
            Self::SequenceMismatch(mismatch) if mismatch.strategy == MergeStrategy::Commutative => {
                Code::FailedPrecondition
            }
            Self::SequenceMismatch(_)
            | Self::DeadLettered { .. }
            | Self::Contention { .. }
            | Self::MergeConflict { .. } => Code::Aborted,
            Self::UnknownEdition { .. } => Code::NotFound,
            Self::UnknownDomain { .. } | Self::UnknownCommand { .. } | Self::UnknownFact { .. } => Code::NotFound,
            Self::Cascade(failed) => failed.status(),
            Self::InvalidArgument { .. } | Self::Limit { .. } => Code::InvalidArgument,
            Self::HandlerPanicked { .. } | Self::UnreadableReturn { .. } | Self::Reaction { .. } => Code::Internal,
            Self::SchemaTooNew { .. } | Self::UnreadableEvent { .. } => Code::DataLoss,
            Self::Storage(error) if error.is_retryable() => Code::Unavailable,
            Self::Storage(error) if error.kind == StorageErrorKind::Unknown => Code::Unknown,
            Self::Storage(_) | Self::Component { .. } => Code::Internal,
            Self::Wiring(_) | Self::ReadModel { .. } | Self::Rebuild { .. } => Code::FailedPrecondition,
            Self::ShuttingDown | Self::OutOfReach { .. } => Code::Unavailable,
            Self::NotOffered { .. } => Code::Unimplemented,
        }
    }

    /// Whether the same call can succeed if it is sent again (after rebuilding on the fresh state, for a sequence
    /// mismatch).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::SequenceMismatch(mismatch) => mismatch.strategy == MergeStrategy::Commutative,
            Self::Contention { .. } | Self::ShuttingDown | Self::OutOfReach { .. } => true,
            Self::Storage(error) => error.is_retryable(),
            Self::Reaction { permanent, .. } => !permanent,
            _ => false,
        }
    }

    /// The rejection, if a handler said no.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// The fresh state that came with a sequence mismatch.
    pub fn event_book(&self) -> Option<&proto::EventBook> {
        match self {
            Self::SequenceMismatch(mismatch) | Self::DeadLettered { mismatch, .. } => Some(&mismatch.book),
            _ => None,
        }
    }

    /// The facts, as `ErrorInfo.metadata` carries them: names are stable.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = self.own_facts();
        let own = facts.len();
        for (name, value) in self.subject().into_iter().flat_map(Subject::facts) {
            if !facts[..own].iter().any(|(known, _)| *known == name) {
                facts.push((name, value));
            }
        }
        facts
    }

    /// What the error says by itself.
    fn own_facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Rejected(rejection) => {
                vec![
                    ("rejection_code", rejection.code().to_owned()),
                    ("rejection_reason", rejection.reason().to_owned()),
                ]
            }
            Self::SequenceMismatch(mismatch) => mismatch.facts(),
            Self::DeadLettered { mismatch, letter } => {
                let mut facts = mismatch.facts();
                facts.push(("dead_letter", letter.to_string()));
                facts
            }
            Self::UnknownDomain { domain, nearest, .. } => {
                vec![("domain", domain.clone()), ("nearest", nearest.join(", "))]
            }
            Self::UnknownCommand { domain, command, nearest, .. } => {
                vec![("domain", domain.clone()), ("command_type", command.clone()), ("nearest", nearest.join(", "))]
            }
            Self::UnknownFact { domain, fact, nearest, .. } => {
                vec![("domain", domain.clone()), ("command_type", fact.clone()), ("nearest", nearest.join(", "))]
            }
            Self::Reaction { handler, .. } => vec![("handler", handler.clone())],
            Self::UnknownEdition { edition, nearest, .. } => {
                vec![("edition", edition.clone()), ("nearest", nearest.join(", "))]
            }
            Self::MergeConflict { edition, conflicts, .. } => {
                vec![("edition", edition.clone()), ("conflicts", listed(conflicts))]
            }
            Self::Cascade(failed) => failed.facts(),
            Self::InvalidArgument { field, .. } => vec![("field", field.to_string())],
            Self::Limit { field, actual, limit, .. } => {
                vec![("field", field.to_string()), ("actual", actual.to_string()), ("limit", limit.to_string())]
            }
            Self::HandlerPanicked { handler, reference, .. } => {
                vec![("handler", handler.clone()), ("reference", reference.to_string())]
            }
            Self::UnreadableReturn { handler, type_name, .. } => {
                vec![("handler", handler.clone()), ("event_type", type_name.clone())]
            }
            Self::Contention { stream, attempts, .. } => {
                let mut facts = vec![("attempts", attempts.to_string())];
                facts.extend(stream_facts(stream));
                facts
            }
            Self::SchemaTooNew { stream, sequence, type_name, stored, known, .. } => {
                let mut facts = vec![
                    ("sequence", sequence.to_string()),
                    ("event_type", type_name.clone()),
                    ("stored_version", stored.to_string()),
                    ("known_version", known.to_string()),
                ];
                facts.extend(stream_facts(stream));
                facts
            }
            Self::UnreadableEvent { stream, sequence, type_name, .. } => {
                let mut facts = vec![("sequence", sequence.to_string()), ("event_type", type_name.clone())];
                facts.extend(stream_facts(stream));
                facts
            }
            Self::OutOfReach { component, .. }
            | Self::Component { component, .. }
            | Self::Rebuild { component, .. } => {
                vec![("component", component.clone())]
            }
            Self::ReadModel { component, problem } => {
                let mut facts = vec![("component", component.clone())];
                match problem {
                    ForeignReadModel::OtherStore { read_model, store } => {
                        facts.extend([("read_model_store", read_model.to_string()), ("store", store.to_string())]);
                    }
                    ForeignReadModel::Ahead { read_model, head } => {
                        facts.extend([("read_model_position", read_model.to_string()), ("head", head.to_string())]);
                    }
                    ForeignReadModel::EarlierVersion => {}
                }
                facts
            }
            Self::Storage(error) => {
                vec![("backend", error.backend.to_owned()), ("trouble", error.kind.as_str().to_owned())]
            }
            Self::NotOffered { what, .. } => vec![("what", (*what).to_owned())],
            Self::Wiring(_) | Self::ShuttingDown => Vec::new(),
        }
    }
}

impl SequenceMismatch {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("expected_sequence", self.expected.to_string()),
            ("actual_sequence", self.actual.to_string()),
            ("merge_strategy", self.strategy.as_str().to_owned()),
        ];
        facts.extend(stream_facts(&self.stream));
        facts
    }
}

fn stream_facts(stream: &StreamKey) -> Vec<(&'static str, String)> {
    About::of(stream).facts().collect()
}

fn listed(conflicts: &[MergeConflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn nearest_text(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean {}?", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")),
    }
}

/// The names that are most like `name`, best first, at most three.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 128 bytes on, clippy complains about every function of a user that returns it.
    #[test]
    fn an_error_is_small_enough_to_be_returned() {
        assert!(size_of::<Error>() <= 96, "{}", size_of::<Error>());
    }
}
