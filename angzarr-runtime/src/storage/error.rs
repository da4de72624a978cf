//! What can go wrong in a store.

/// A store could not do what was asked. Conflicts and duplicates are no errors of the store: see `WriteError`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{backend}: {message}")]
#[non_exhaustive]
pub struct StorageError {
    /// What kind of trouble.
    pub kind: StorageErrorKind,
    /// Which backend.
    pub backend: &'static str,
    /// What happened, and what to do next where that is known.
    pub message: String,
    /// The command that met it.
    pub(crate) subject: crate::error::Subject,
}

/// Kinds of trouble, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// Busy, restarting, out of reach: nothing was stored, and the same call may go through later.
    Unavailable,
    /// The write may be stored or not: it was given to the disk or the server, and the answer never came. What is true
    /// shows when the stream is read. Only what has an external id may be sent again without looking (row C10).
    Unknown,
    /// The file or server holds something that this version does not understand; nothing was changed.
    Incompatible,
    /// Another process owns it.
    Locked,
    /// The data contradicts itself.
    Corrupt,
    /// Everything else: disk full, permission denied, a bug.
    Failed,
}

impl StorageErrorKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Incompatible => "incompatible",
            Self::Locked => "locked",
            Self::Corrupt => "corrupt",
            Self::Failed => "failed",
        }
    }
}

impl StorageError {
    /// An error of `backend`.
    pub fn new(kind: StorageErrorKind, backend: &'static str, message: impl Into<String>) -> Self {
        Self { kind, backend, message: message.into(), subject: Default::default() }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.kind == StorageErrorKind::Unavailable
    }
}
