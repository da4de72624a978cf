//! The program itself, started for a command that changes something.
//!
//! In: a builder. Out: a runtime, shut down in order at the end. Never: a second process on a store.

use super::Builder;
use super::failure::Failure;
use crate::error::Error;
use crate::runtime::Runtime;
use crate::storage::StorageErrorKind;

pub(super) struct Live {
    pub(super) runtime: Runtime,
}

impl Live {
    /// Starts the program. `instead` is what to call in the one that runs already.
    pub(super) async fn start(builder: Builder, instead: &str) -> Result<Self, Failure> {
        match builder.build().await {
            Ok(runtime) => Ok(Self { runtime }),
            Err(Error::Storage(error)) if error.kind == StorageErrorKind::Locked => {
                Err(Failure::new(&error)
                    .hint(format_args!("stop that process and try again, or call {instead} inside it")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stops it in order, whatever came of the work.
    pub(super) async fn end<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let ended = self.runtime.shutdown().await;
        let done = done?;
        ended?;
        Ok(done)
    }
}
