//! What a call over the wire can fail with.

use std::time::Duration;

use angzarr_proto as proto;

use super::Answered;
use crate::declare::Rejection;
use crate::error::{Code, Error, SequenceMismatch};

/// What a call of a [`Client`](super::Client) can fail with. [`code`](Self::code) is stable; the text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered with an error: the runtime behind it, the server itself, or something between.
    #[error("{0}")]
    Answered(Box<Answered>),

    /// There is no connection, so nothing was sent.
    #[error("{url} is out of reach: {message}")]
    Unreachable {
        /// Where the server should be.
        url: String,
        /// Why not.
        message: String,
    },

    /// The connection was lost before the answer came: done or not done, nobody can tell.
    #[error("the answer of {url} was lost on its way: {message}")]
    Lost {
        /// Where the server is.
        url: String,
        /// What happened.
        message: String,
        /// Sent again it would be known, or it only asks.
        repeatable: bool,
    },

    /// The answer did not come in time. A command that was sent runs on.
    #[error("no answer of {url} within {deadline:?}")]
    Late {
        /// Where the server is.
        url: String,
        /// How long it was waited for, all attempts together.
        deadline: Duration,
        /// Sent again it would be known, or it only asks.
        repeatable: bool,
    },

    /// The answer makes no sense.
    #[error("the answer of {url} cannot be read: {message}")]
    Unreadable {
        /// Where the server is.
        url: String,
        /// What is wrong.
        message: String,
    },

    /// The connection cannot be what was described.
    #[error("{field}: {message}")]
    Setup {
        /// The part of the description.
        field: &'static str,
        /// What is wrong.
        message: String,
    },

    /// It failed in this process: it cannot be said on the wire, or the state cannot be folded from what came.
    #[error(transparent)]
    Here(Box<Error>),
}

impl From<Error> for ClientError {
    fn from(error: Error) -> Self {
        Self::Here(Box::new(error))
    }
}

impl ClientError {
    /// The stable code, `UPPER_SNAKE`: that of the runtime's [`Error`], where it is one; of the server; or of the client.
    pub fn code(&self) -> &str {
        match self {
            Self::Answered(answered) => answered.code(),
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::Lost { .. } => "ANSWER_LOST",
            Self::Late { .. } => "DEADLINE_EXCEEDED",
            Self::Unreadable { .. } => "UNREADABLE_ANSWER",
            Self::Setup { .. } => "CLIENT_SETUP",
            Self::Here(error) => error.code(),
        }
    }

    /// The gRPC status.
    pub fn status(&self) -> Code {
        match self {
            Self::Answered(answered) => answered.status(),
            Self::Unreachable { .. } => Code::Unavailable,
            Self::Lost { .. } => Code::Unknown,
            Self::Late { .. } => Code::DeadlineExceeded,
            Self::Unreadable { .. } => Code::Internal,
            Self::Setup { .. } => Code::InvalidArgument,
            Self::Here(error) => error.status(),
        }
    }

    /// Whether the same call can succeed if it is sent again, without being done twice (after rebuilding on the fresh state, for
    /// a sequence mismatch).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Answered(answered) => answered.retry_after().is_some(),
            Self::Unreachable { .. } => true,
            Self::Lost { repeatable, .. } | Self::Late { repeatable, .. } => *repeatable,
            Self::Unreadable { .. } | Self::Setup { .. } => false,
            Self::Here(error) => error.is_retryable(),
        }
    }

    /// How long to wait before, if the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(answered) => answered.retry_after(),
            _ => None,
        }
    }

    /// The facts, under stable names.
    pub fn facts(&self) -> Vec<(&str, String)> {
        match self {
            Self::Answered(answered) => answered.facts().map(|(name, value)| (name, value.to_owned())).collect(),
            Self::Unreachable { url, .. } | Self::Unreadable { url, .. } => vec![("url", url.clone())],
            Self::Lost { url, repeatable, .. } => {
                vec![("url", url.clone()), ("repeatable", repeatable.to_string())]
            }
            Self::Late { url, repeatable, deadline } => vec![
                ("url", url.clone()),
                ("repeatable", repeatable.to_string()),
                ("deadline", format!("{deadline:?}")),
            ],
            Self::Setup { field, .. } => vec![("field", (*field).to_owned())],
            Self::Here(error) => error.facts(),
        }
    }

    /// The runtime's own error, with its type: where it is of one that the wire carries whole, or arose in this process.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Answered(answered) => answered.error(),
            Self::Here(error) => Some(error),
            _ => None,
        }
    }

    /// The rejection, if a handler said no.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.error().and_then(Error::rejection)
    }

    /// The sequence mismatch, if it is one (rows M1, M2).
    pub fn sequence_mismatch(&self) -> Option<&SequenceMismatch> {
        match self.error() {
            Some(Error::SequenceMismatch(mismatch)) => Some(mismatch),
            _ => None,
        }
    }

    /// The fresh state that came with a sequence mismatch.
    pub fn event_book(&self) -> Option<&proto::EventBook> {
        self.error().and_then(Error::event_book)
    }
}

/// Everything that an error says, with what is behind it.
pub(super) fn whole_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
