//! Who works on a branch, and who may end it.
//!
//! In: the name of an edition. Out: a pass for commands, of which there may be many, or the whole edition for a discard or
//! a merge. Never: anything for the main timeline; it has no end, and its commands do not come here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::stream::Name;

/// One lock for each edition that somebody works on.
#[derive(Default)]
pub(crate) struct EditionGate(Mutex<HashMap<Name, Arc<RwLock<()>>>>);

impl EditionGate {
    fn lock(&self, edition: &Name) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock();
        // Those that nobody holds any more are made again when they are needed.
        if locks.len() > 1_024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        locks.entry(edition.clone()).or_default().clone()
    }

    /// For a command: waits while the edition is being ended.
    pub(crate) async fn pass(&self, edition: &Name) -> Option<OwnedRwLockReadGuard<()>> {
        if edition.is_empty() {
            return None;
        }
        Some(self.lock(edition).read_owned().await)
    }

    /// For who ends it: waits until no command is under way.
    pub(crate) async fn whole(&self, edition: &Name) -> OwnedRwLockWriteGuard<()> {
        self.lock(edition).write_owned().await
    }
}
