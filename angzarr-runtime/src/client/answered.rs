//! Errors as the wire has them, read back: the other side of `server/status.rs`.
//!
//! In: a gRPC status with `google.rpc.Status` in its details. Out: code, facts, when to try again, and the runtime's own error
//! where nothing of it is missing. Never: an error whose parts were guessed.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use angzarr_proto as proto;
use prost::Message as _;
use proto::AnyExt as _;
use tonic::Status;
use tonic_types::pb;
use uuid::Uuid;

use crate::declare::{MergeStrategy, Rejection};
use crate::error::{About, Code, Error, SequenceMismatch, Subject};
use crate::stream::{Edition, Name, StreamKey};

/// What a server answered instead of what was asked for.
#[derive(Debug)]
pub struct Answered {
    code: String,
    status: Code,
    message: String,
    facts: Vec<(String, String)>,
    retry_after: Option<Duration>,
    details: Vec<prost_types::Any>,
    error: Option<Error>,
}

impl Answered {
    /// Reads a status; `None` for one that says nothing of itself, which is not from a server of this contract.
    pub(crate) fn of(status: &Status) -> Option<Self> {
        let pb::Status { details, .. } = pb::Status::decode(status.details()).ok()?;
        let infos = details.iter().filter_map(|it| it.unpack_as::<pb::ErrorInfo>("google.rpc.ErrorInfo").ok());
        let info = infos.into_iter().find(|info| info.domain == "angzarr")?;
        let retries = details.iter().filter_map(|it| it.unpack_as::<pb::RetryInfo>("google.rpc.RetryInfo").ok());
        // One without a delay, or with a negative one, is for at once.
        let retry_after = retries
            .map(|retry| retry.retry_delay.and_then(|delay| Duration::try_from(delay).ok()).unwrap_or_default())
            .next();
        let is_own = |it: &prost_types::Any| matches!(it.type_name(), "google.rpc.ErrorInfo" | "google.rpc.RetryInfo");
        let details: Vec<_> = details.iter().filter(|it| !is_own(it)).cloned().collect();
        let received = Received {
            status: code_of(status.code()),
            message: status.message(),
            details: &details,
            facts: &info.metadata,
        };
        let error = received.error(&info.reason);
        let mut facts: Vec<_> = info.metadata.into_iter().collect();
        facts.sort_unstable();
        Some(Self {
            code: info.reason,
            status: code_of(status.code()),
            message: status.message().to_owned(),
            facts,
            retry_after,
            details,
            error,
        })
    }

    /// A status of something else that speaks gRPC.
    pub(super) fn bare(status: &Status) -> Self {
        Self {
            code: name_of(status.code()).to_owned(),
            status: code_of(status.code()),
            message: status.message().to_owned(),
            facts: Vec::new(),
            retry_after: None,
            details: Vec::new(),
            error: None,
        }
    }

    /// The stable code; that of the gRPC status, if the answer has none.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The gRPC status.
    pub fn status(&self) -> Code {
        self.status
    }

    /// What it says, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The facts, in order of their stable names.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One of the facts.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A retry can succeed, after this; `None` where it cannot.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The details of the answer beside code, facts and retry.
    pub fn details(&self) -> &[prost_types::Any] {
        &self.details
    }

    /// The runtime's own error, if the wire carries all of it.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The stream and the sequence of a mismatch whose book did not fit into the answer.
    pub(super) fn mismatch_without_book(&self) -> Option<SequenceMismatch> {
        if self.code != "SEQUENCE_MISMATCH" || self.error.is_some() {
            return None;
        }
        let facts: HashMap<_, _> = self.facts.iter().cloned().collect();
        Received { status: self.status, message: &self.message, details: &self.details, facts: &facts }.mismatch()
    }

    /// With the book that did not fit.
    pub(super) fn with_mismatch(mut self, mismatch: SequenceMismatch) -> Self {
        self.error = Some(Error::SequenceMismatch(Box::new(mismatch)));
        self
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => error.fmt(f),
            None if self.message.is_empty() => f.write_str(&self.code),
            None => f.write_str(&self.message),
        }
    }
}

/// What an error is made of again.
struct Received<'a> {
    status: Code,
    message: &'a str,
    details: &'a [prost_types::Any],
    facts: &'a HashMap<String, String>,
}

impl Received<'_> {
    fn fact(&self, name: &str) -> Option<String> {
        self.facts.get(name).cloned()
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.facts.get(name)?.parse().ok()
    }

    fn subject(&self) -> Subject {
        let text = |name| self.fact(name).unwrap_or_default();
        let mut subject = Subject::default();
        subject.complete(About {
            domain: text("domain"),
            root: self.number("root"),
            edition: text("edition"),
            command_type: text("command_type"),
            field: text("field"),
        });
        subject
    }

    fn stream(&self) -> Option<StreamKey> {
        Some(StreamKey {
            domain: Name::new(&self.fact("domain")?),
            edition: Edition::named(self.fact("edition").unwrap_or_default()).name().clone(),
            root: self.number::<Uuid>("root")?,
        })
    }

    fn nearest(&self) -> Vec<String> {
        let names = self.fact("nearest").unwrap_or_default();
        names.split(", ").filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// A mismatch with an empty book.
    fn mismatch(&self) -> Option<SequenceMismatch> {
        use MergeStrategy::{AggregateHandles, Commutative, Manual, Strict};
        let name = self.fact("merge_strategy")?;
        Some(SequenceMismatch {
            stream: self.stream()?,
            strategy: [Commutative, Strict, AggregateHandles, Manual].into_iter().find(|it| it.as_str() == name)?,
            expected: self.number("expected_sequence")?,
            actual: self.number("actual_sequence")?,
            book: proto::EventBook::default(),
            subject: self.subject(),
        })
    }

    fn error(&self, reason: &str) -> Option<Error> {
        let subject = self.subject();
        Some(match reason {
            "REJECTED" => {
                let (code, why) = (self.fact("rejection_code")?, self.fact("rejection_reason").unwrap_or_default());
                let mut rejection = Rejection::received(self.status, code, why, self.details.to_vec());
                rejection.subject = subject;
                Error::Rejected(rejection)
            }
            "SEQUENCE_MISMATCH" => {
                let book = self.details.iter().find_map(|it| it.unpack::<proto::EventBook>().ok())?;
                Error::SequenceMismatch(Box::new(SequenceMismatch { book, ..self.mismatch()? }))
            }
            "UNKNOWN_DOMAIN" => Error::UnknownDomain { domain: self.fact("domain")?, nearest: self.nearest(), subject },
            "UNKNOWN_COMMAND" => Error::UnknownCommand {
                domain: self.fact("domain")?,
                command: self.fact("command_type")?,
                nearest: self.nearest(),
                subject,
            },
            "UNKNOWN_FACT" => Error::UnknownFact {
                domain: self.fact("domain")?,
                fact: self.fact("command_type")?,
                nearest: self.nearest(),
                subject,
            },
            "UNKNOWN_EDITION" => {
                Error::UnknownEdition { edition: self.fact("edition")?, nearest: self.nearest(), subject }
            }
            "INVALID_ARGUMENT" => {
                let field = self.fact("field")?;
                let message = self.message.strip_prefix(field.as_str())?.strip_prefix(": ")?.to_owned();
                Error::InvalidArgument { field: field.into(), message, subject }
            }
            "HANDLER_PANICKED" => {
                Error::HandlerPanicked { handler: self.fact("handler")?, reference: self.number("reference")?, subject }
            }
            "CONTENTION" => {
                Error::Contention { stream: Box::new(self.stream()?), attempts: self.number("attempts")?, subject }
            }
            "SCHEMA_TOO_NEW" => Error::SchemaTooNew {
                stream: Box::new(self.stream()?),
                sequence: self.number("sequence")?,
                type_name: self.fact("event_type")?,
                stored: self.number("stored_version")?,
                known: self.number("known_version")?,
                subject,
            },
            "SHUTTING_DOWN" => Error::ShuttingDown,
            // The others have parts that the wire does not carry.
            _ => return None,
        })
    }
}

fn code_of(code: tonic::Code) -> Code {
    match code {
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Code::InvalidArgument,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::Aborted => Code::Aborted,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::Internal => Code::Internal,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DataLoss => Code::DataLoss,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::Ok | tonic::Code::Cancelled | tonic::Code::Unknown | tonic::Code::AlreadyExists => Code::Unknown,
    }
}

fn name_of(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
