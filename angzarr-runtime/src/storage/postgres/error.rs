//! What PostgreSQL says, as errors that say what to do.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::super::{StorageError, StorageErrorKind};

pub(super) const BACKEND: &str = "postgres";

/// Somebody else has written since; raised by `refuse_outdated`.
pub(super) const STALE: &str = "AZ001";
/// An intent is not there any more; raised by `commit_batch`.
pub(super) const SETTLED: &str = "AZ002";

pub(super) fn failed(message: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Failed, BACKEND, message)
}

pub(super) fn corrupt(message: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, BACKEND, message)
}

pub(super) fn incompatible(message: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Incompatible, BACKEND, message)
}

pub(super) fn unavailable(message: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, BACKEND, message)
}

pub(super) fn unknown(message: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Unknown, BACKEND, message)
}

/// An error of the server or of the way to it while it was doing `what`.
pub(super) fn while_doing(what: impl std::fmt::Display) -> impl FnOnce(Error) -> StorageError {
    move |error| {
        let (kind, advice) = judge(&error);
        StorageError::new(kind, BACKEND, format!("{what}: {}{advice}", told(&error)))
    }
}

/// The server's own words; for other errors all of the chain.
pub(super) fn told(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail} [{}]", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the connection is gone, and with it every answer that it still owed.
pub(super) fn is_lost(error: &Error) -> bool {
    match error.code() {
        Some(code) => {
            let ends = [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            ];
            ends.contains(code) || code.code().starts_with("08") || is_fatal(error)
        }
        // Without a code it is not from the server, but from the way there, unless a value could not be encoded.
        None => error.is_closed() || has_io_source(error),
    }
}

fn is_fatal(error: &Error) -> bool {
    use tokio_postgres::error::Severity;
    let severity = error.as_db_error().and_then(|it| it.parsed_severity());
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

fn has_io_source(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

pub(super) fn is_code(error: &Error, code: &str) -> bool {
    error.code().is_some_and(|it| it.code() == code)
}

/// Whether what was decided in memory was refused by what is stored: it has to be decided again, on what is there now.
pub(super) fn is_outdated(error: &Error) -> bool {
    is_code(error, STALE) || is_code(error, SETTLED) || error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// Whether a write waited too long for what somebody else holds.
pub(super) fn is_held_up(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the same failure awaits every other write too, so that trying them one by one makes no sense.
pub(super) fn concerns_all(error: &Error) -> bool {
    judge(error).0 == StorageErrorKind::Unavailable
        || error.code().is_some_and(|code| ["53", "57", "58", "42", "25"].iter().any(|it| code.code().starts_with(it)))
}

fn judge(error: &Error) -> (StorageErrorKind, &'static str) {
    use StorageErrorKind::{Failed, Unavailable};
    let Some(code) = error.code() else {
        return match is_lost(error) {
            true => (Unavailable, "; check that the server runs and that the address is right"),
            false => (Failed, ""),
        };
    };
    match code.code() {
        "28P01" | "28000" => (Failed, "; check user and password of the URL, and the server's pg_hba.conf"),
        "3D000" => (Failed, "; create the database first: `createdb NAME`"),
        "42501" => (Failed, "; the user may not do that: grant it, or use its owner"),
        "42P01" | "42883" => (
            Failed,
            "; a newer program has changed the schema, and this one has to be renewed, or something of the store was dropped",
        ),
        "53100" => (Failed, "; the server's disk is full: make room"),
        "53300" => (Unavailable, "; the server has no connection left: raise max_connections, or run fewer processes"),
        "55P03" => (Unavailable, ""),
        "25006" => (Unavailable, "; the server is a standby: give the address of the primary"),
        "57014" => (Unavailable, "; somebody has cancelled it, or a statement_timeout is set for this user"),
        "57P01" | "57P02" | "57P03" => (Unavailable, "; the server goes down or comes up"),
        "40001" | "40P01" => (Unavailable, ""),
        code if code.starts_with("08") => (Unavailable, ""),
        code if code.starts_with("XX") => (StorageErrorKind::Corrupt, "; look into the server's log"),
        _ => (Failed, ""),
    }
}
