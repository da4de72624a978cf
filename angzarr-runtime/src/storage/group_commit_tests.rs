//! Group commit in front of a store whose commits can be held, counted and made to fail.

use bytes::Bytes;
use uuid::Uuid;

use super::super::{
    Append, BoxFuture, Dedup, EditionInfo, Extras, Intent, IntentFilter, IntentId, Memory, NewEvent, SnapshotWrite,
    StorageFuture, StreamFilter, StreamInfo, StreamRead, StreamSlice,
};
use super::*;
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{Headers, LogEvent, Retention, StoredSnapshot, StreamKey};
use crate::testing::storage_contract::block_on;

/// Memory that does not commit at once: each batch takes a permit of the gate.
struct Gated {
    memory: Memory,
    gate: Semaphore,
    batches: Mutex<Vec<usize>>,
    broken: AtomicBool,
    /// Others may join a batch while it waits at the gate.
    open: AtomicBool,
}

impl Gated {
    fn new(open: bool) -> Arc<Self> {
        let gate = Semaphore::new(if open { 1_000_000 } else { 0 });
        Arc::new(Self {
            memory: Memory::new(),
            gate,
            batches: Mutex::default(),
            broken: AtomicBool::new(false),
            open: AtomicBool::new(false),
        })
    }

    fn let_go(&self, batches: usize) {
        self.gate.add_permits(batches);
    }

    fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }

    fn stored(&self) -> u64 {
        self.memory.head()
    }
}

impl Storage for Gated {
    fn describe(&self) -> String {
        "gated".to_owned()
    }
    fn id(&self) -> Uuid {
        self.memory.id()
    }
    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            self.batches.lock().push(batch.len());
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
            if self.broken.load(Ordering::Relaxed) {
                let error = StorageError::new(StorageErrorKind::Failed, "gated", "broken");
                return batch.iter().map(|_| Err(error.clone().into())).collect();
            }
            self.memory.commit(batch).await
        })
    }
    fn commit_open(&self, mut batch: OpenBatch) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !self.open.load(Ordering::Relaxed) {
                let writes = batch.close().await;
                return batch.answer(Ok(self.commit(writes).await));
            }
            let mut writes = batch.next_writes().unwrap_or_default();
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
            while let Some(joined) = batch.next_writes() {
                writes.extend(joined);
            }
            self.batches.lock().push(writes.len());
            if self.broken.load(Ordering::Relaxed) {
                let error = StorageError::new(StorageErrorKind::Failed, "gated", "broken");
                return batch.answer(Err(error));
            }
            batch.answer(Ok(self.memory.commit(writes).await));
        })
    }
    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice> {
        self.memory.read_stream(key, read)
    }
    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>> {
        self.memory.find_duplicate(key, dedup)
    }
    fn read_log(&self, after: u64, limit: usize, bytes: usize) -> StorageFuture<'_, Vec<LogEvent>> {
        self.memory.read_log(after, limit, bytes)
    }
    fn head(&self) -> u64 {
        self.memory.head()
    }
    fn read_correlation<'a>(&'a self, id: &'a str) -> StorageFuture<'a, Vec<LogEvent>> {
        self.memory.read_correlation(id)
    }
    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>> {
        self.memory.streams(filter, after, limit)
    }
    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>> {
        self.memory.editions()
    }
    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>> {
        self.memory.dedup_keys(key)
    }
    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>> {
        self.memory.intents(filter)
    }
    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>> {
        self.memory.intent(id)
    }
    fn domains(&self) -> StorageFuture<'_, Vec<String>> {
        self.memory.domains()
    }
    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>> {
        self.memory.snapshots(key)
    }
    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>> {
        self.memory.checkpoint(subscriber)
    }
    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>> {
        self.memory.dead_letters(filter)
    }
    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>> {
        self.memory.dead_letter(id)
    }
    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>> {
        self.memory.parked_streams(component)
    }
    fn oldest_parked<'a>(&'a self, component: &'a str, key: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>> {
        self.memory.oldest_parked(component, key)
    }
    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool> {
        self.memory.resolve_dead_letter(id, resolution)
    }
}

fn write(stream: u128, expected: u32) -> Write {
    sized_write(stream, expected, 10)
}

fn sized_write(stream: u128, expected: u32, bytes: usize) -> Write {
    Write::append(Append {
        key: StreamKey::main("account", Uuid::from_u128(stream)),
        expected,
        events: vec![NewEvent {
            type_name: "e".into(),
            schema_version: 1,
            payload: Bytes::from(vec![0; bytes]),
            isolated: false,
        }]
        .into(),
        created_at: 0,
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    })
}

fn snapshot(stream: u128) -> Write {
    let snapshot = StoredSnapshot {
        sequence: 0,
        created_at: 0,
        type_name: "s".into(),
        state_version: 1,
        state: Bytes::new(),
        retention: Retention::Default,
    };
    let key = StreamKey::main("account", Uuid::from_u128(stream));
    Write::extras(Extras { snapshots: vec![SnapshotWrite { key, snapshot }], ..Extras::default() })
}

fn gated(open: bool) -> (Arc<Gated>, Writer) {
    let store = Gated::new(open);
    (store.clone(), Writer::new(store))
}

/// Lets everybody run who can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_lone_write_is_committed_at_once() {
    block_on(async {
        let (store, writer) = gated(true);
        for n in 0..5 {
            assert_eq!(writer.commit(write(1, n)).await.expect("stored").first_sequence, n);
        }
        assert_eq!(store.batches(), [1; 5]);
    });
}

#[test]
fn what_waits_together_is_committed_together() {
    block_on(async {
        let (store, writer) = gated(false);
        let callers: Vec<_> = (0..50u128)
            .map(|n| {
                let writer = writer.clone();
                // Every tenth one expects nonsense.
                tokio::spawn(async move { writer.commit(write(n, if n % 10 == 9 { 7 } else { 0 })).await })
            })
            .collect();
        settle().await;
        store.let_go(10);
        for (n, caller) in callers.into_iter().enumerate() {
            let outcome = caller.await.expect("no panic");
            match n % 10 {
                9 => assert!(matches!(outcome, Err(WriteError::Conflict { .. }))),
                _ => assert_eq!(outcome.expect("stored").count, 1),
            }
        }
        assert!(store.batches().len() <= 2, "the first one may have found nobody to wait for: {:?}", store.batches());
    });
}

#[test]
fn who_comes_while_a_batch_is_worked_on_joins_it() {
    block_on(async {
        let (store, writer) = gated(true);
        let spawn = |n: u128, expected: u32| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.commit(write(n, expected)).await })
        };
        // Two at once: from now on more than one is expected.
        for caller in [spawn(0, 0), spawn(1, 0)] {
            caller.await.expect("no panic").expect("stored");
        }
        let (before, permits) = (store.batches().len(), store.gate.forget_permits(usize::MAX));
        assert!(permits > 0);
        store.open.store(true, Ordering::Relaxed);
        let first: Vec<_> = (10..12).map(|n| spawn(n, 0)).collect();
        settle().await;
        // One of them expects nonsense: its neighbours do not mind.
        let later: Vec<_> = (20..30).map(|n| spawn(n, u32::from(n == 25))).collect();
        settle().await;
        store.let_go(1);
        for caller in first {
            caller.await.expect("no panic").expect("stored");
        }
        for (n, caller) in (20..).zip(later) {
            let outcome = caller.await.expect("no panic");
            assert_eq!(outcome.is_err(), n == 25, "{n}: {outcome:?}");
        }
        assert_eq!(store.batches()[before..], [12], "one permit, one batch");
        assert_eq!(writer.shared.lobby.room.available_permits(), ROOM as usize);

        store.broken.store(true, Ordering::Relaxed);
        let failing: Vec<_> = (40..44).map(|n| spawn(n, 0)).collect();
        settle().await;
        store.let_go(4);
        for caller in failing {
            let outcome = caller.await.expect("no panic");
            let Err(WriteError::Storage(error)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.message, "broken", "the store's own words, for each");
        }
    });
}

#[test]
fn batches_are_bounded() {
    block_on(async {
        let (store, writer) = gated(false);
        let mut callers = Vec::new();
        for n in 0..3_000u128 {
            let writer = writer.clone();
            callers.push(tokio::spawn(async move { writer.commit(write(n, 0)).await }));
        }
        settle().await;
        store.let_go(100);
        for caller in callers {
            caller.await.expect("no panic").expect("stored");
        }
        let batches = store.batches();
        assert!(batches.iter().all(|it| *it <= 1_024) && batches.len() <= 4, "{batches:?}");

        let (store, writer) = gated(false);
        let callers: Vec<_> = (0..7u128)
            .map(|n| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.commit(sized_write(n, 0, 3 << 20)).await })
            })
            .collect();
        settle().await;
        store.let_go(100);
        for caller in callers {
            caller.await.expect("no panic").expect("stored");
        }
        let batches = store.batches();
        assert!(batches.iter().all(|it| *it <= 2) && batches.len() <= 4, "at most 8 MiB: {batches:?}");
    });
}

#[test]
fn callers_wait_for_room() {
    block_on(async {
        let (store, writer) = gated(false);
        let callers: Vec<_> = (0..40u128)
            .map(|n| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.commit(sized_write(n, 0, 4 << 20)).await })
            })
            .collect();
        settle().await;
        assert!(writer.shared.lobby.waiting() <= 16, "64 MiB, not 160");
        store.let_go(100);
        for caller in callers {
            caller.await.expect("no panic").expect("stored");
        }
        assert_eq!(store.stored(), 40);
        assert_eq!(writer.shared.lobby.room.available_permits(), ROOM as usize, "all room was given back");
    });
}

#[test]
fn a_cancelled_caller_loses_nothing_for_the_others() {
    block_on(async {
        let (store, writer) = gated(false);
        // The one that drives, and some that only wait.
        let leader = tokio::spawn({
            let writer = writer.clone();
            async move { writer.commit(write(0, 0)).await }
        });
        settle().await;
        let others: Vec<_> = (1..10u128)
            .map(|n| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.commit(write(n, 0)).await })
            })
            .collect();
        settle().await;
        leader.abort();
        others[3].abort();
        settle().await;
        store.let_go(100);
        for (n, other) in others.into_iter().enumerate() {
            if n != 3 {
                other.await.expect("no panic").expect("stored");
            }
        }
        assert_eq!(store.stored(), 10, "whoever was in the queue is stored, gone or not");
        assert_eq!(writer.commit(write(0, 1)).await.expect("stored").first_sequence, 1);
        assert_eq!(writer.shared.lobby.room.available_permits(), ROOM as usize);
    });
}

#[test]
fn a_driver_hands_over_when_it_has_its_answer() {
    block_on(async {
        let (store, writer) = gated(false);
        let leader = tokio::spawn({
            let writer = writer.clone();
            async move { writer.commit(write(0, 0)).await }
        });
        settle().await;
        let other = tokio::spawn({
            let writer = writer.clone();
            async move { writer.commit(write(1, 0)).await }
        });
        settle().await;
        store.let_go(1);
        leader.await.expect("no panic").expect("stored");
        assert_eq!(store.stored(), 1, "the second batch is still held");
        store.let_go(1);
        other.await.expect("no panic").expect("stored");
    });
}

#[test]
fn a_caller_that_is_kept_and_not_polled_holds_up_nobody() {
    block_on(async {
        let (store, writer) = gated(false);
        let mut kept = Box::pin(writer.commit(write(0, 0)));
        // Polled once, as `select!` does with a future that it borrows; then something else is waited for.
        assert!(futures_util::poll!(&mut kept).is_pending());
        let mut also_kept = Box::pin(writer.commit(write(1, 0)));
        assert!(futures_util::poll!(&mut also_kept).is_pending());
        store.let_go(100);
        let other = tokio::time::timeout(Duration::from_secs(10), writer.commit(write(2, 0))).await;
        other.expect("not held up").expect("stored");
        assert_eq!(store.stored(), 3);
        kept.await.expect("stored as well");
        also_kept.await.expect("stored as well");
    });
}

#[test]
fn what_is_submitted_goes_along_or_soon_after() {
    block_on(async {
        // The clock moves only where everybody waits for it.
        tokio::time::pause();
        let (store, writer) = gated(true);
        writer.submit(snapshot(1));
        writer.commit(write(1, 0)).await.expect("stored");
        assert_eq!(store.batches(), [2], "it went along");
        writer.submit(snapshot(2));
        writer.submit(snapshot(3));
        settle().await;
        assert_eq!(store.batches(), [2], "it waits a little");
        tokio::time::sleep(PATIENCE * 4).await;
        assert_eq!(store.batches(), [2, 2], "and not for ever");
        writer.submit(snapshot(4));
        writer.drain().await;
        assert_eq!(store.batches(), [2, 2, 2], "drained");
        tokio::time::sleep(PATIENCE * 4).await;
        writer.submit(snapshot(5));
        tokio::time::sleep(PATIENCE * 4).await;
        assert_eq!(store.batches(), [2, 2, 2, 1]);
        assert_eq!(writer.failed_submissions(), 0);
    });
}

#[test]
fn failed_submissions_are_counted() {
    block_on(async {
        let (store, writer) = gated(true);
        store.broken.store(true, Ordering::Relaxed);
        writer.submit(snapshot(1));
        assert!(matches!(writer.commit(write(1, 0)).await, Err(WriteError::Storage(_))));
        writer.drain().await;
        assert_eq!(writer.failed_submissions(), 1);
        store.broken.store(false, Ordering::Relaxed);
        writer.commit(write(1, 0)).await.expect("it goes on");
    });
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let (store, writer) = gated(false);
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    first.block_on(async {
        let writer = writer.clone();
        tokio::spawn(async move { writer.commit(write(1, 0)).await });
        settle().await;
    });
    // Somebody else waits for what the first runtime drives.
    let waiting = std::thread::spawn({
        let writer = writer.clone();
        move || block_on(async move { writer.commit(write(2, 0)).await })
    });
    while writer.shared.lobby.waiting() == 0 {
        std::thread::yield_now();
    }
    drop(first);
    let Err(WriteError::Storage(error)) = waiting.join().expect("no panic") else {
        panic!("nobody was left to write it")
    };
    assert!(error.is_retryable(), "it never came to its turn: {error}");
    // And the next one starts afresh.
    store.let_go(100);
    block_on(async { writer.commit(write(3, 0)).await }).expect("stored");
    assert_eq!(writer.shared.lobby.room.available_permits(), ROOM as usize);
}

#[test]
fn callers_outlive_the_runtime_that_it_was_made_in() {
    let home = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (store, writer) = home.block_on(async { gated(true) });
    drop(home);
    block_on(async {
        for n in 0..3 {
            writer.commit(write(1, n)).await.expect("stored");
        }
        let callers: Vec<_> = (2..20u128)
            .map(|n| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.commit(write(n, 0)).await })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic").expect("stored");
        }
    });
    assert_eq!(store.stored(), 21);
}

#[test]
fn threads_and_tasks_get_every_answer() {
    // The callers' runtimes end one after the other; what they leave behind is finished at home.
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let _inside = home.enter();
    for _ in 0..3 {
        let (store, writer) = gated(true);
        std::thread::scope(|scope| {
            for thread in 0..4u128 {
                let writer = writer.clone();
                scope.spawn(move || {
                    block_on(async {
                        let tasks: Vec<_> = (0..16u128)
                            .map(|task| {
                                let writer = writer.clone();
                                tokio::spawn(async move {
                                    for n in 0..50 {
                                        writer.commit(write(thread * 100 + task, n)).await.expect("stored");
                                    }
                                })
                            })
                            .collect();
                        for task in tasks {
                            task.await.expect("no panic");
                        }
                    });
                });
            }
        });
        assert_eq!(store.stored(), 4 * 16 * 50);
    }
}

#[test]
fn facts_name_what_is_lost() {
    assert!(facts(&snapshot(7)).starts_with("snapshot of account/"), "{}", facts(&snapshot(7)));
    assert_eq!(
        facts(&Write::extras(Extras { checkpoints: vec![("p".into(), 3)], ..Extras::default() })),
        "checkpoint p = 3"
    );
}
