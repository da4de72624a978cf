//! Who works on a branch, and who may end it.
//!
//! In: the name of an edition. Out: a pass for commands, of which there may be many, or the whole edition for a discard or
//! a merge; and what of it is in doubt afterwards. Never: a wait for the main timeline; it has no end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::Core;
use crate::error::Result;
use crate::storage::StreamRead;
use crate::stream::{LogEvent, Name, StreamKey};

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

/// The event that a reaction is for.
#[derive(Clone, Copy)]
pub(crate) struct Because<'a> {
    pub(crate) stream: &'a StreamKey,
    pub(crate) sequence: u32,
    /// Tells it from one that has its place since the branch began anew.
    pub(crate) position: u64,
}

impl<'a> Because<'a> {
    pub(crate) fn of(item: &'a LogEvent) -> Self {
        Self { stream: &item.stream, sequence: item.event.sequence, position: item.event.position }
    }
}

/// Keeps a branch from being ended for as long as it is there.
pub(crate) struct Pass(#[allow(dead_code)] Option<OwnedRwLockReadGuard<()>>);

impl Core {
    /// Whether an event is still stored: it may have been read before its branch was discarded (row B5).
    pub(crate) async fn is_still_there(&self, because: &Because<'_>) -> Result<bool> {
        if because.stream.is_main() {
            return Ok(true);
        }
        let read = StreamRead { from: because.sequence, to: Some(because.sequence), ..StreamRead::all() };
        let slice = self.storage.read_stream(because.stream, read).await?;
        Ok(slice.events.first().is_some_and(|event| event.position == because.position))
    }

    /// Whether an event may have been handled before: by an earlier process, in a branch that was merged, or by another process
    /// that shares the store.
    pub(crate) fn may_have_been_handled(&self, position: u64) -> bool {
        self.ownership.is_shared() || self.doubts.cover(position)
    }

    /// A pass for whoever stores something on account of an event; `None` where the event is gone.
    pub(crate) async fn pass_for(&self, because: Option<&Because<'_>>) -> Result<Option<Pass>> {
        let Some(because) = because else { return Ok(Some(Pass(None))) };
        let pass = self.editions.pass(&because.stream.edition).await;
        Ok(self.is_still_there(because).await?.then_some(Pass(pass)))
    }
}

/// Which events may have been handled before: what a saga sends for them may have been rejected already.
pub(crate) struct Doubts(Mutex<(u64, usize)>);

impl Doubts {
    /// Events up to this position may have been handled by an earlier process.
    pub(crate) fn new(head_at_start: u64) -> Self {
        Self(Mutex::new((head_at_start, 0)))
    }

    /// Whether an event is one of them.
    pub(crate) fn cover(&self, position: u64) -> bool {
        let (until, merging) = *self.0.lock();
        merging > 0 || position <= until
    }

    /// A merge begins: whatever comes may have been handled in the branch.
    pub(crate) fn merge_begins(&self) {
        self.0.lock().1 += 1;
    }

    /// A merge has ended; what it brought is no newer than this.
    pub(crate) fn merge_ended(&self, head: u64) {
        let mut doubts = self.0.lock();
        doubts.0 = doubts.0.max(head);
        doubts.1 = doubts.1.saturating_sub(1);
    }
}
