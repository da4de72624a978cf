//! Merge and discard of a branch (rows B5, B6).

use super::Runtime;
use crate::error::{Error, Result};

/// A branch of the timeline. From [`Runtime::edition`].
pub struct EditionHandle {
    _runtime: Runtime,
    _name: String,
}

impl EditionHandle {
    pub(crate) fn new(runtime: Runtime, name: &str) -> Self {
        Self { _runtime: runtime, _name: name.to_owned() }
    }

    /// Appends the branch's events to the main timeline.
    ///
    /// # Errors
    /// [`Error::NotOffered`]: this version writes and reads branches, and cannot merge them yet.
    pub async fn merge(self) -> Result<()> {
        Err(Error::not_offered("the merge of an edition", "send the branch's commands to the main timeline"))
    }

    /// Removes the branch's events.
    ///
    /// # Errors
    /// [`Error::NotOffered`]: this version writes and reads branches, and cannot remove them yet.
    pub async fn discard(self) -> Result<()> {
        Err(Error::not_offered("the discard of an edition", "leave it, and use a new name for the next one"))
    }
}
