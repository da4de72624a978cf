//! What SQLite says, as errors that say what to do.

use rusqlite::ErrorCode;

use super::super::{StorageError, StorageErrorKind};

pub(super) const BACKEND: &str = "sqlite";

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

/// The commit itself failed. If the disk failed under it, its last page may be in the log all the same: a process that is
/// killed before the next commit would find it there. Nobody can tell until then.
pub(super) fn not_committed(what: &str) -> impl FnOnce(rusqlite::Error) -> StorageError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => unknown(format!(
            "the disk failed during the commit: {error}; whether it is stored after all shows after a restart. Look into the \
             system's log"
        )),
        _ => while_doing(what)(error),
    }
}

/// An error of SQLite while it was doing `what`.
pub(super) fn while_doing(what: impl std::fmt::Display) -> impl FnOnce(rusqlite::Error) -> StorageError {
    move |error| {
        let (kind, advice) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                StorageErrorKind::Unavailable,
                "; another program holds the file: close it (a database browser, a backup, a shell)",
            ),
            Some(ErrorCode::NotADatabase) => (
                StorageErrorKind::Corrupt,
                "; the file is no SQLite database, or its first page is damaged: check the path, or restore a backup",
            ),
            Some(ErrorCode::DatabaseCorrupt) => {
                (StorageErrorKind::Corrupt, "; run `PRAGMA integrity_check` on a copy, or restore a backup")
            }
            Some(ErrorCode::DiskFull) => (StorageErrorKind::Failed, "; the disk is full: make room"),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                (StorageErrorKind::Failed, "; the process may not write there: check owner and permissions")
            }
            Some(ErrorCode::CannotOpen) => {
                (StorageErrorKind::Failed, "; check that the directory exists and that the process may write to it")
            }
            Some(ErrorCode::SystemIoFailure) => {
                (StorageErrorKind::Failed, "; reading or writing the disk failed: look into the system's log")
            }
            _ => (StorageErrorKind::Failed, ""),
        };
        StorageError::new(kind, BACKEND, format!("{what}: {error}{advice}"))
    }
}

/// Whether another connection holds the file at the moment.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the same failure awaits every other write too, so that trying them one by one makes no sense.
pub(super) fn concerns_all(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
        )
    )
}
