//! What can go wrong in a transport.

/// A transport could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{transport}: {message}")]
#[non_exhaustive]
pub struct TransportError {
    /// What kind of trouble.
    pub kind: TransportErrorKind,
    /// Which transport.
    pub transport: String,
    /// What happened, and what to do next where that is known.
    pub message: String,
    /// Of a batch that was published: how many publications, from its beginning, are confirmed nevertheless. 0 where nobody
    /// knows.
    pub confirmed: usize,
    of_connection: bool,
}

/// Kinds of trouble, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// Out of reach, restarting, not confirmed in time: the same call may go through later. What was published may have
    /// been taken or not.
    Unavailable,
    /// The transport says no and will go on saying it until somebody changes something: a message over its limit, no
    /// permission, a name that it does not take.
    Refused,
    /// Everything else; a bug.
    Failed,
}

impl TransportError {
    /// An error of `transport`.
    pub fn new(kind: TransportErrorKind, transport: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, transport: transport.into(), message: message.into(), confirmed: 0, of_connection: false }
    }

    /// Says how many publications from the beginning of the batch are confirmed nevertheless.
    #[must_use]
    pub fn confirmed(mut self, count: usize) -> Self {
        self.confirmed = count;
        self
    }

    /// Says that it is about the connection, whatever was to go through it.
    #[must_use]
    pub fn of_connection(self) -> Self {
        Self { of_connection: true, ..self }
    }

    /// Whether it is about the connection, and says nothing about what was to go through it.
    pub fn is_of_connection(&self) -> bool {
        self.of_connection
    }

    pub(super) fn only_wakes(transport: String) -> Self {
        Self::new(TransportErrorKind::Refused, transport, "it wakes subscribers and carries no events")
    }

    /// The stable code, `UPPER_SNAKE`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            TransportErrorKind::Unavailable => "TRANSPORT_UNAVAILABLE",
            TransportErrorKind::Refused => "TRANSPORT_REFUSED",
            TransportErrorKind::Failed => "TRANSPORT_FAILED",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.kind == TransportErrorKind::Unavailable
    }
}
