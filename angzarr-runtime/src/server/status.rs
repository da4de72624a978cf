//! Errors as the wire has them: a gRPC status with `google.rpc.Status` in `grpc-status-details-bin`.
//!
//! In: an [`Error`], or what only a server knows of. Out: a status with an `ErrorInfo`; a `RetryInfo` exactly when a retry can
//! succeed; the fresh `EventBook` for rows M1 and M2. Never: more than a client's limit on metadata takes.

use std::collections::HashMap;
use std::time::Duration;

use angzarr_proto as proto;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::error::{self, Error};

/// Who speaks: `ErrorInfo.domain`.
pub(super) const DOMAIN: &str = "angzarr";

/// Bytes of details that a client takes whatever it is written in: trailers are metadata, and gRPC's C core, which Python and
/// others are made of, refuses more than 8 KiB of it. The details travel in base64.
pub(super) const ROOM: usize = 5 * 1024;

/// Characters of a message, and of one fact.
const TEXT: usize = 500;

/// Why a call failed, as the wire tells it.
pub(super) struct Trouble {
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// A retry can succeed, after this.
    pub(super) retry: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), facts: Vec::new(), retry: None }
    }

    pub(super) fn fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    pub(super) fn facts(mut self, facts: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.facts.extend(facts);
        self
    }

    pub(super) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry = Some(pause);
        self
    }

    /// As a status. What does not fit into `room` is left out whole, and a fact says so: half a book would be taken for a
    /// whole one.
    fn with_details(self, details: Vec<prost_types::Any>, room: usize) -> Status {
        let Self { code, reason, message, facts, retry } = self;
        let mut metadata: HashMap<String, String> =
            facts.into_iter().map(|(name, value)| (name.to_owned(), shortened(&value))).collect();
        let retry = retry.map(|pause| {
            let retry_delay = prost_types::Duration::try_from(pause).ok();
            proto::pack_as("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay })
        });
        let message = shortened(&message);
        let encode = |metadata: &HashMap<String, String>, more: &[prost_types::Any]| {
            let (reason, domain) = (reason.to_owned(), DOMAIN.to_owned());
            let info = pb::ErrorInfo { reason, domain, metadata: metadata.clone() };
            let mut all = vec![proto::pack_as("google.rpc.ErrorInfo", &info)];
            all.extend(retry.iter().cloned());
            all.extend(more.iter().cloned());
            pb::Status { code: code as i32, message: message.clone(), details: all }
        };
        let mut whole = encode(&metadata, &details);
        if whole.encoded_len() > room && !details.is_empty() {
            let bytes: usize = details.iter().map(|detail| detail.value.len()).sum();
            let left_out = details.iter().map(|it| proto::type_name_of(&it.type_url)).collect::<Vec<_>>().join(", ");
            metadata.insert("left_out".to_owned(), format!("{left_out}: {bytes} bytes are more than metadata takes"));
            whole = encode(&metadata, &[]);
        }
        Status::with_details(code, message.clone(), whole.encode_to_vec().into())
    }
}

impl From<Trouble> for Status {
    fn from(trouble: Trouble) -> Self {
        trouble.with_details(Vec::new(), ROOM)
    }
}

/// The status of an error, with details of at most about `room` bytes.
pub(super) fn status_of(error: &Error, room: usize) -> Status {
    let trouble = Trouble {
        code: code_of(error.status()),
        reason: error.code(),
        message: error.to_string(),
        facts: error.facts(),
        retry: error.is_retryable().then(|| pause_before_retry(error)),
    };
    let details = match error {
        Error::Rejected(rejection) => rejection.details().to_vec(),
        // Of the dead letter of row M4 the caller has nothing to build anew.
        Error::SequenceMismatch(mismatch) => vec![proto::pack_as("angzarr.EventBook", &mismatch.book)],
        _ => Vec::new(),
    };
    trouble.with_details(details, room)
}

/// How long whoever tries again should wait.
fn pause_before_retry(error: &Error) -> Duration {
    match error {
        // With the fresh state in hand there is nothing to wait for.
        Error::SequenceMismatch(_) => Duration::ZERO,
        Error::Contention { .. } => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    }
}

fn code_of(code: error::Code) -> Code {
    match code {
        error::Code::InvalidArgument => Code::InvalidArgument,
        error::Code::DeadlineExceeded => Code::DeadlineExceeded,
        error::Code::NotFound => Code::NotFound,
        error::Code::ResourceExhausted => Code::ResourceExhausted,
        error::Code::FailedPrecondition => Code::FailedPrecondition,
        error::Code::Aborted => Code::Aborted,
        error::Code::Unimplemented => Code::Unimplemented,
        error::Code::Internal => Code::Internal,
        error::Code::Unavailable => Code::Unavailable,
        error::Code::Unknown => Code::Unknown,
        error::Code::DataLoss => Code::DataLoss,
        error::Code::Unauthenticated => Code::Unauthenticated,
        error::Code::PermissionDenied => Code::PermissionDenied,
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TEXT {
        return text.to_owned();
    }
    text.chars().take(TEXT).collect::<String>() + "…"
}

/// What tonic answers by itself says nothing of the contract: it gets what every answer has. `None` where it has it.
pub(super) fn completed(status: &Status) -> Option<Status> {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    let is_about = |words: &str| message.to_ascii_lowercase().contains(words);
    let trouble = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if is_about("too large") => {
            let message = format!("{message}; send less at a time");
            Trouble::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
        }
        Code::Internal if is_about("decode") => {
            Trouble::new(Code::InvalidArgument, "MALFORMED_MESSAGE", format!("the request cannot be read: {message}"))
        }
        Code::Unimplemented if message.is_empty() => {
            Trouble::new(Code::Unimplemented, "UNKNOWN_METHOD", "this server does not offer that method")
        }
        Code::Unimplemented => Trouble::new(Code::Unimplemented, "UNSUPPORTED", message),
        code => Trouble::new(code, "TRANSPORT", message),
    };
    Some(trouble.into())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
