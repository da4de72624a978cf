//! Storage in the memory of the process: for tests, demonstrations and caches that may be lost.
//!
//! In: writes and questions. Out: the same promises as any other backend, but for durability: everything is gone with the
//! process. Never: waiting; a write is stored when [`Storage::commit_now`] returns.

mod answers;
mod branches;
mod intents;
mod log;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use self::state::State;
use super::{
    Answers, BoxFuture, Dedup, EditionInfo, Intent, IntentFilter, IntentId, Lease, Leases, Storage, StorageFuture,
    StreamFilter, StreamInfo, StreamRead, StreamSlice, Write, WriteError, Written,
};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{LogEvent, StoredSnapshot, StreamKey};

/// Events that a reader copies before it lets writers go on.
const CHUNK: usize = 1_024;

/// Storage in the memory of the process. A clone is the same store, so that a test can stop one runtime and start
/// another on what it left behind.
///
/// ```
/// use angzarr_runtime::storage::{Memory, Storage};
/// let store = Memory::new();
/// assert_eq!(store.head(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
    many: bool,
}

#[derive(Debug)]
struct Shared {
    id: Uuid,
    /// One lock for all: an append holds it for some tens of nanoseconds, which is less than two locks would cost.
    state: Mutex<State>,
    head: AtomicU64,
    leases: Mutex<BTreeMap<String, (Uuid, Instant)>>,
    /// Tells other runtimes on the same store.
    changes: watch::Sender<u64>,
    told: watch::Sender<()>,
}

impl Default for Shared {
    fn default() -> Self {
        let (state, leases) = (Mutex::default(), Mutex::default());
        let (changes, told) = (watch::Sender::new(0), watch::Sender::new(()));
        Self { id: Uuid::new_v4(), state, head: AtomicU64::default(), leases, changes, told }
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// For several runtimes at a time, each on a clone: they share the work as processes on a database do (row R5). For tests of
    /// what happens then.
    #[must_use]
    pub fn for_many_runtimes(mut self) -> Self {
        self.many = true;
        self
    }

    fn store(&self, write: Write) -> Result<Written, WriteError> {
        let tells = self.many && write.extras.as_ref().is_some_and(|extras| !extras.answers.is_empty());
        let mut state = self.shared.state.lock();
        let written = state.commit(write)?;
        // Set while the lock is held, so that the head never goes back.
        self.shared.head.store(state.head(), Ordering::Release);
        if self.many {
            self.shared.changes.send_replace(state.head());
        }
        if tells {
            self.shared.told.send_replace(());
        }
        Ok(written)
    }

    /// A long stream is copied in pieces: between them writers get their turn. What was asked for cannot change
    /// meanwhile, because events are only ever added behind it; where an edition was discarded, it begins anew.
    fn slice(&self, key: &StreamKey, read: &StreamRead) -> StreamSlice {
        loop {
            let (located, discards) = {
                let state = self.shared.state.lock();
                (state.locate(key, read), state.discards())
            };
            let Some((mut slice, stream, mut range)) = located else { return StreamSlice::default() };
            slice.events.reserve_exact(range.len());
            let torn = loop {
                if range.is_empty() {
                    break false;
                }
                let end = range.end.min(range.start + CHUNK);
                let state = self.shared.state.lock();
                if state.discards() != discards {
                    break true;
                }
                if !state.copy(stream, range.start..end, read.until, &mut slice.events) {
                    break false;
                }
                range.start = end;
            };
            if !torn {
                return slice;
            }
        }
    }
}

fn ready<'a, T: Send + 'a, E: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, E>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Leases for Memory {
    fn hold<'a>(&'a self, holder: Uuid, names: &'a [String], time: Duration) -> StorageFuture<'a, Vec<bool>> {
        let mut leases = self.shared.leases.lock();
        let now = Instant::now();
        let mut hold = |name: &String| {
            let lease = leases.entry(name.clone()).or_insert((holder, now));
            let mine = lease.0 == holder || lease.1 <= now;
            if mine {
                *lease = (holder, now + time);
            }
            mine
        };
        ready(names.iter().map(&mut hold).collect())
    }

    fn release<'a>(&'a self, holder: Uuid, names: &'a [String]) -> StorageFuture<'a, ()> {
        self.shared.leases.lock().retain(|name, (of, _)| *of != holder || !names.contains(name));
        ready(())
    }

    fn list(&self) -> StorageFuture<'_, Vec<Lease>> {
        let now = Instant::now();
        let leases = self.shared.leases.lock();
        let open = leases.iter().filter(|(_, (_, until))| *until > now);
        let lease = |(name, (holder, until)): (&String, &(Uuid, Instant))| Lease {
            name: name.clone(),
            holder: *holder,
            left: *until - now,
        };
        ready(open.map(lease).collect())
    }
}

impl Storage for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn id(&self) -> Uuid {
        self.shared.id
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.many.then(|| self.shared.changes.subscribe())
    }

    fn leases(&self) -> Option<&dyn Leases> {
        self.many.then_some(self)
    }

    fn answers(&self) -> Option<&dyn Answers> {
        self.many.then_some(self)
    }

    fn commits_now(&self) -> bool {
        true
    }

    fn next_sequence_now(&self, key: &StreamKey) -> Option<u32> {
        Some(self.shared.state.lock().next_sequence(key))
    }

    fn commit_now(&self, write: Write) -> Result<Result<Written, WriteError>, Write> {
        Ok(self.store(write))
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        Box::pin(std::future::ready(batch.into_iter().map(|write| self.store(write)).collect()))
    }

    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice> {
        ready(self.slice(key, &read))
    }

    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>> {
        ready(self.shared.state.lock().find_duplicate(key, dedup))
    }

    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>> {
        ready(self.shared.state.lock().dedup_keys(key))
    }

    fn read_log(&self, mut after: u64, limit: usize, mut bytes: usize) -> StorageFuture<'_, Vec<LogEvent>> {
        let mut events = Vec::new();
        while events.len() < limit && (events.is_empty() || bytes > 0) {
            let positions = CHUNK.min(limit - events.len());
            match self.shared.state.lock().read_log(after, positions, bytes, &mut events) {
                Some(next) => (after, bytes) = next,
                None => break,
            }
        }
        ready(events)
    }

    fn head(&self) -> u64 {
        self.shared.head.load(Ordering::Acquire)
    }

    fn read_correlation<'a>(&'a self, correlation_id: &'a str) -> StorageFuture<'a, Vec<LogEvent>> {
        ready(self.shared.state.lock().read_correlation(correlation_id))
    }

    fn read_wait(&self, wait: Uuid, after: u64) -> StorageFuture<'_, Vec<LogEvent>> {
        ready(self.shared.state.lock().read_wait(wait, after))
    }

    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>> {
        ready(self.shared.state.lock().streams(filter, after, limit))
    }

    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>> {
        ready(self.shared.state.lock().editions())
    }

    fn domains(&self) -> StorageFuture<'_, Vec<String>> {
        ready(self.shared.state.lock().domains())
    }

    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>> {
        ready(self.shared.state.lock().snapshots(key))
    }

    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>> {
        ready(self.shared.state.lock().checkpoint(subscriber))
    }

    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>> {
        ready(self.shared.state.lock().intents.list(filter))
    }

    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>> {
        ready(self.shared.state.lock().intents.get(id))
    }

    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>> {
        ready(self.shared.state.lock().dead_letters(filter))
    }

    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>> {
        ready(self.shared.state.lock().dead_letter(id))
    }

    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>> {
        ready(self.shared.state.lock().parked_streams(component))
    }

    fn oldest_parked<'a>(&'a self, component: &'a str, stream: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>> {
        ready(self.shared.state.lock().oldest_parked(component, stream))
    }

    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool> {
        ready(self.shared.state.lock().resolve(id, resolution))
    }
}
