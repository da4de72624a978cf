//! What can go wrong before a server serves, and when it stops.

use std::net::SocketAddr;

/// A server could not be set up, or did not end as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificate, key or the clients' authority cannot be used.
    #[error("TLS: {message}")]
    Tls {
        /// What is wrong.
        message: String,
    },
    /// The descriptors of the program's messages cannot be read.
    #[error("reflection: {message}")]
    Reflection {
        /// What is wrong.
        message: String,
    },
    /// The server stopped by itself.
    #[error("the server stopped: {message}")]
    Stopped {
        /// Why.
        message: String,
    },
}

impl ServeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "BIND",
            Self::Tls { .. } => "TLS",
            Self::Reflection { .. } => "REFLECTION",
            Self::Stopped { .. } => "STOPPED",
        }
    }

    /// Whether the same can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    }

    /// The facts, under stable names.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Bind { address, .. } => vec![("address", address.to_string())],
            _ => Vec::new(),
        }
    }
}

/// Everything that an error says, with what is behind it.
pub(super) fn whole_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
