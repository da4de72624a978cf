//! What a command of the tool fails with.

use std::fmt;
use std::process::ExitCode;

use crate::error::Error;
use crate::registry::WiringErrors;
use crate::storage::StorageError;

/// A failure with the next step for the person at the terminal.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    hint: Option<String>,
    usage: bool,
    closed_pipe: bool,
}

impl Failure {
    /// Something went wrong.
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None, usage: false, closed_pipe: false }
    }

    /// The arguments make no sense.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self { usage: true, ..Self::new(message) }
    }

    /// What to do next.
    pub(super) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(super) fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.usage { ExitCode::from(2) } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end())?;
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let closed_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { closed_pipe, ..Self::new(format_args!("cannot write the answer: {error}")) }
    }
}

impl From<WiringErrors> for Failure {
    fn from(error: WiringErrors) -> Self {
        Self::new(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::new(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::UnknownDomain { .. } => Self::usage(&error).hint("`streams` lists what is stored"),
            Error::Storage(_) => Self::new(&error).hint("`config` shows which store the program uses"),
            _ => Self::new(&error),
        }
    }
}
