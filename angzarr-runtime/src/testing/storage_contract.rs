//! The contract suite of [`Storage`]: what every backend has to pass, ours and yours.
//!
//! In: an empty store for each check. Out: a panic that names the promise that is broken. Never: anything that only one
//! backend can do.
//!
//! ```
//! use angzarr_runtime::storage::Memory;
//!
//! angzarr_runtime::storage_contract!(memory, async { Memory::new() });
//! # fn main() {}
//! ```

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_proto as proto;
use bytes::Bytes;
use uuid::Uuid;

use crate::dead_letter::{DeadLetter, DeadLetterFilter, Resolution};
use crate::storage::{
    Append, Dedup, Extras, NewEvent, SnapshotWrite, Storage, StreamRead, Write, WriteError, Written,
};
use crate::stream::{Headers, LogEvent, Name, Nanos, Retention, StoredSnapshot, StreamKey};

/// A store under test, with what has to live as long as it: a directory, a container.
pub struct Subject {
    storage: Arc<dyn Storage>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// A store, and what is dropped after it.
    pub fn new(storage: Arc<dyn Storage>, kept: impl Any + Send + Sync) -> Self {
        Self { storage, _kept: Box::new(kept) }
    }
}

impl<S: Storage> From<S> for Subject {
    fn from(storage: S) -> Self {
        Self::new(Arc::new(storage), ())
    }
}

/// Makes a module of tests out of a future that opens an empty store. It may answer the store itself, or a [`Subject`]
/// that keeps something alive beside it.
#[macro_export]
macro_rules! storage_contract {
    ($name:ident, $open:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::storage_contract!(@checks $open;
                p1_a_write_is_all_or_nothing
                p1_a_write_with_two_appends_to_one_stream_is_refused
                p3_a_conflict_amid_a_batch_leaves_its_neighbours_alone
                p4_conflict_stores_nothing
                c2_events_are_read_back_as_they_were_written
                c9_racing_writers_leave_no_gap
                c10_dedup_key_once_per_stream
                c10_a_known_key_comes_before_a_conflict
                f2_a_key_without_events_is_remembered
                g2_a_key_is_known_to_its_own_stream_only
                r4_positions_never_appear_late
                r4_the_log_is_in_order_and_in_pieces
                i4_a_correlation_id_finds_every_stream
                s5_isolated_flag_survives
                t1_as_of_sequence_and_time
                t2_a_snapshot_from_after_the_point_is_not_used
                n1_n3_a_newer_snapshot_deletes_older_ones
                n2_a_persistent_snapshot_stays
                n4_a_snapshot_of_another_version_is_not_used
                n5_newest_snapshot_is_never_deleted
                n6_retention_ends_at_the_stream
                b1_a_stream_of_an_edition_starts_where_it_diverged
                b3_editions_do_not_show_on_main
                b7_another_divergence_is_a_conflict
                u1_types_and_versions_are_kept
                d1_a_dead_letter_is_stored_with_its_write
                d2_dead_letters_are_listed_filtered_and_resolved
                checkpoints_never_move_back
                streams_are_listed_in_order
                an_absent_stream_is_empty
                a_cancelled_commit_is_whole_or_absent
                big_batches_and_big_payloads
            );
        }
    };
    (@checks $open:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::testing::storage_contract::block_on(async {
                    let subject = $crate::testing::storage_contract::Subject::from($open.await);
                    $crate::testing::storage_contract::$check(&subject).await;
                });
            }
        )*
    };
}

/// Runs a check to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("no runtime for the check: {error}"),
    }
}

// ---- what the checks are written with ----

fn key(n: u128) -> StreamKey {
    StreamKey::main("account", Uuid::from_u128(n))
}

fn event(text: &str) -> NewEvent {
    NewEvent { type_name: "bank.Deposited".into(), schema_version: 1, payload: Bytes::copy_from_slice(text.as_bytes()), isolated: false }
}

/// `count` events for the end of a stream.
fn append(key: &StreamKey, expected: u32, count: u32) -> Append {
    Append {
        key: key.clone(),
        expected,
        events: (expected..expected + count).map(|sequence| event(&format!("{key} {sequence}"))).collect(),
        created_at: 1_000 + i64::from(expected),
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    }
}

fn with_key(mut append: Append, dedup: &str) -> Append {
    append.dedup = Some(self::dedup(dedup));
    append
}

fn dedup(key: &str) -> Dedup {
    Dedup(Bytes::copy_from_slice(key.as_bytes()))
}

fn extras(change: impl FnOnce(&mut Extras)) -> Write {
    let mut extras = Extras::default();
    change(&mut extras);
    Write::extras(extras)
}

fn snapshot(sequence: u32, retention: Retention) -> StoredSnapshot {
    StoredSnapshot {
        sequence,
        created_at: 1_000 + i64::from(sequence),
        type_name: "bank.Account".into(),
        state_version: 1,
        state: Bytes::from(format!("state {sequence}")),
        retention,
    }
}

fn snapshot_write(key: &StreamKey, snapshot: StoredSnapshot) -> Write {
    extras(|it| it.snapshots.push(SnapshotWrite { key: key.clone(), snapshot }))
}

impl Subject {
    /// One write, by the way that the store prefers.
    async fn put(&self, write: Write) -> Result<Written, WriteError> {
        match self.storage.commit_now(write) {
            Ok(outcome) => outcome,
            Err(write) => self.batch(vec![write]).await.remove(0),
        }
    }

    async fn batch(&self, batch: Vec<Write>) -> Vec<Result<Written, WriteError>> {
        let count = batch.len();
        let outcomes = self.storage.commit(batch).await;
        assert_eq!(outcomes.len(), count, "one outcome for each write");
        outcomes
    }

    async fn store(&self, append: Append) -> Written {
        match self.put(Write::append(append)).await {
            Ok(written) => written,
            Err(error) => panic!("not stored: {error}"),
        }
    }

    async fn store_snapshot(&self, key: &StreamKey, it: StoredSnapshot) {
        if let Err(error) = self.put(snapshot_write(key, it)).await {
            panic!("snapshot not stored: {error}");
        }
    }

    async fn payloads(&self, key: &StreamKey, read: StreamRead) -> Vec<String> {
        let slice = self.storage.read_stream(key, read).await.expect("a stream can be read");
        slice.events.iter().map(|it| String::from_utf8_lossy(&it.payload).into_owned()).collect()
    }

    async fn sequences(&self, key: &StreamKey, read: StreamRead) -> Vec<u32> {
        let slice = self.storage.read_stream(key, read).await.expect("a stream can be read");
        slice.events.iter().map(|it| it.sequence).collect()
    }

    async fn next_sequence(&self, key: &StreamKey) -> u32 {
        self.storage.read_stream(key, StreamRead::all()).await.expect("a stream can be read").next_sequence
    }

    async fn log(&self) -> Vec<LogEvent> {
        self.storage.read_log(0, usize::MAX).await.expect("the log can be read")
    }

    async fn snapshot_sequences(&self, key: &StreamKey) -> Vec<u32> {
        let snapshots = self.storage.snapshots(key).await.expect("snapshots can be read");
        snapshots.iter().map(|it| it.sequence).collect()
    }
}

#[track_caller]
fn conflict_at(outcome: &Result<Written, WriteError>, wanted: u32) {
    match outcome {
        Err(WriteError::Conflict { actual, .. }) => assert_eq!(*actual, wanted, "where the stream is"),
        other => panic!("a conflict was due, not {other:?}"),
    }
}

#[track_caller]
fn duplicate_of(outcome: &Result<Written, WriteError>, wanted: Written) {
    match outcome {
        Err(WriteError::Duplicate(first)) => assert_eq!(*first, wanted, "what the first one stored"),
        other => panic!("a duplicate was due, not {other:?}"),
    }
}

// ---- the checks ----

/// Promise 1.
pub async fn p1_a_write_is_all_or_nothing(it: &Subject) {
    it.store(append(&key(3), 0, 1)).await;
    let letter = letter(1, "account", "saga", "w");
    let mut write = extras(|extras| {
        extras.appends = vec![append(&key(2), 0, 1), append(&key(3), 0, 1)]; // the last one conflicts
        extras.snapshots.push(SnapshotWrite { key: key(1), snapshot: snapshot(0, Retention::Default) });
        extras.checkpoints.push(("p".into(), 7));
        extras.dead_letters.push(letter.clone());
    });
    write.append = Some(with_key(append(&key(1), 0, 2), "once"));
    conflict_at(&it.put(write.clone()).await, 1);
    assert_eq!(it.log().await.len(), 1);
    assert_eq!(it.storage.head(), 1);
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    assert!(it.snapshot_sequences(&key(1)).await.is_empty());
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), None);
    assert_eq!(it.storage.dead_letter(letter.id).await.expect("a letter"), None);
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("once")).await.expect("a key"), None);

    if let Some(extras) = &mut write.extras {
        extras.appends[1].expected = 1;
    }
    let written = it.put(write).await.expect("nothing is in the way now");
    assert_eq!(written, Written { first_sequence: 0, count: 2, last_position: 3 });
    assert_eq!(it.log().await.len(), 5);
    assert_eq!(it.snapshot_sequences(&key(1)).await, [0]);
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), Some(7));
    assert!(it.storage.dead_letter(letter.id).await.expect("a letter").is_some());
}

/// Promise 1: two appends to one stream in one write prove nothing about each other, so they are refused.
pub async fn p1_a_write_with_two_appends_to_one_stream_is_refused(it: &Subject) {
    let mut write = extras(|extras| extras.appends = vec![append(&key(1), 1, 1)]);
    write.append = Some(append(&key(1), 0, 1));
    assert!(matches!(it.put(write).await, Err(WriteError::Storage(_))));
    assert_eq!(it.log().await.len(), 0);
}

/// Promise 3.
pub async fn p3_a_conflict_amid_a_batch_leaves_its_neighbours_alone(it: &Subject) {
    it.store(with_key(append(&key(0), 0, 1), "k")).await;
    let batch = vec![
        Write::append(append(&key(1), 0, 2)),
        Write::append(append(&key(1), 1, 1)), // conflict with the write before it
        Write::append(append(&key(1), 2, 1)),
        Write::append(with_key(append(&key(0), 1, 1), "k")), // duplicate
        Write::append(with_key(append(&key(2), 0, 1), "new")),
        Write::append(with_key(append(&key(2), 1, 1), "new")), // duplicate of the write before it
        Write::default(),
        Write::append(append(&key(0), 1, 1)),
    ];
    let outcomes = it.batch(batch).await;
    assert_eq!(outcomes[0].as_ref().ok(), Some(&Written { first_sequence: 0, count: 2, last_position: 3 }));
    conflict_at(&outcomes[1], 2);
    assert_eq!(outcomes[2].as_ref().ok(), Some(&Written { first_sequence: 2, count: 1, last_position: 4 }));
    duplicate_of(&outcomes[3], Written { first_sequence: 0, count: 1, last_position: 1 });
    duplicate_of(&outcomes[5], Written { first_sequence: 0, count: 1, last_position: 5 });
    assert!(outcomes[4].is_ok() && outcomes[6].is_ok() && outcomes[7].is_ok());
    assert_eq!(it.sequences(&key(1), StreamRead::all()).await, [0, 1, 2]);
    assert_eq!(it.sequences(&key(0), StreamRead::all()).await, [0, 1]);
    assert_eq!(it.log().await.len(), 6);
    assert_eq!(it.storage.head(), 6);
}

/// Promise 4.
pub async fn p4_conflict_stores_nothing(it: &Subject) {
    conflict_at(&it.put(Write::append(append(&key(1), 1, 1))).await, 0);
    it.store(append(&key(1), 0, 3)).await;
    conflict_at(&it.put(Write::append(append(&key(1), 0, 1))).await, 3);
    conflict_at(&it.put(Write::append(append(&key(1), 4, 1))).await, 3);
    conflict_at(&it.put(Write::append(with_key(append(&key(1), 9, 1), "k"))).await, 3);
    assert_eq!(it.log().await.len(), 3);
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("k")).await.expect("a key"), None);
    it.store(append(&key(1), 3, 1)).await;
}

/// Row C2.
pub async fn c2_events_are_read_back_as_they_were_written(it: &Subject) {
    let any = prost_types::Any { type_url: "type.googleapis.com/bank.Ext".into(), value: vec![0, 1, 255] };
    let cases = [
        Headers::default(),
        Headers::new("workflow 1", None),
        Headers::new("", Some(any.clone())),
        Headers::new("Überweisung 7", Some(any)),
        Headers::new("", Some(prost_types::Any::default())),
    ];
    for (n, headers) in (0u32..).zip(cases) {
        let mut append = append(&key(1), n * 2, 2);
        append.headers = headers.clone();
        append.events[1].payload = Bytes::new();
        let events = append.events.clone();
        let written = it.store(append).await;
        assert_eq!((written.first_sequence, written.count), (n * 2, 2));
        let read = StreamRead { from: n * 2, ..StreamRead::all() };
        let slice = it.storage.read_stream(&key(1), read).await.expect("a stream can be read");
        for (place, (read, new)) in slice.events.iter().zip(&events).enumerate() {
            assert_eq!(read.position, written.last_position - 1 + place as u64);
            assert_eq!(read.sequence, n * 2 + place as u32);
            assert_eq!(read.created_at, 1_000 + i64::from(n * 2));
            assert_eq!((&read.type_name, read.schema_version, &read.payload), (&new.type_name, 1, &new.payload));
            assert_eq!(read.headers, headers);
            assert!(!read.isolated);
        }
        assert_eq!(slice.events.len(), 2);
        assert_eq!((slice.next_sequence, slice.last_created_at), (n * 2 + 2, 1_000 + i64::from(n * 2)));
    }
}

/// Row C9, with threads that really run at the same time.
pub async fn c9_racing_writers_leave_no_gap(it: &Subject) {
    const EACH: usize = 40;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                block_on(async {
                    for n in 0..EACH {
                        loop {
                            let at = it.next_sequence(&key(1)).await;
                            let mut append = append(&key(1), at, 1);
                            append.events[0] = event(&format!("{writer}/{n}"));
                            match it.put(Write::append(append)).await {
                                Ok(written) => {
                                    assert_eq!(written.first_sequence, at);
                                    break;
                                }
                                Err(WriteError::Conflict { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
            });
        }
    });
    let payloads = it.payloads(&key(1), StreamRead::all()).await;
    assert_eq!(payloads.iter().collect::<BTreeSet<_>>().len(), 4 * EACH, "nothing lost, nothing twice");
    assert_eq!(it.sequences(&key(1), StreamRead::all()).await, (0..4 * EACH as u32).collect::<Vec<_>>());
}

/// Row C10, promise 5.
pub async fn c10_dedup_key_once_per_stream(it: &Subject) {
    let first = it.store(with_key(append(&key(1), 0, 3), "ext-1")).await;
    let second = it.store(with_key(append(&key(1), 3, 1), "ext-2")).await;
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 4, 1), "ext-1"))).await, first);
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 4, 1), "ext-2"))).await, second);
    assert_eq!(it.log().await.len(), 4);
    let found = it.storage.find_duplicate(&key(1), &dedup("ext-1")).await.expect("a key");
    assert_eq!(found, Some(first));
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("ext-3")).await.expect("a key"), None);
    // Also where the duplicate is only a part of a write.
    let mut write = extras(|extras| extras.appends = vec![with_key(append(&key(1), 4, 1), "ext-1")]);
    write.append = Some(append(&key(2), 0, 1));
    duplicate_of(&it.put(write).await, first);
    assert_eq!(it.log().await.len(), 4);
}

/// Row C10: whoever repeats a command expects what was true when it was sent.
pub async fn c10_a_known_key_comes_before_a_conflict(it: &Subject) {
    let first = it.store(with_key(append(&key(1), 0, 1), "k")).await;
    it.store(append(&key(1), 1, 5)).await;
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 0, 1), "k"))).await, first);
}

/// Row F2.
pub async fn f2_a_key_without_events_is_remembered(it: &Subject) {
    let nothing = it.store(with_key(append(&key(1), 0, 0), "k")).await;
    assert_eq!(nothing, Written { first_sequence: 0, count: 0, last_position: 0 });
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 0, 1), "k"))).await, nothing);
    it.store(append(&key(1), 0, 1)).await;
    let again = it.store(with_key(append(&key(1), 1, 0), "l")).await;
    assert_eq!(again.first_sequence, 1);
    assert_eq!(it.log().await.len(), 1);
}

/// Row G2.
pub async fn g2_a_key_is_known_to_its_own_stream_only(it: &Subject) {
    it.store(with_key(append(&key(1), 0, 1), "k")).await;
    it.store(with_key(append(&key(2), 0, 1), "k")).await;
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    assert_eq!(it.storage.find_duplicate(&branch, &dedup("k")).await.expect("a key"), None);
}

/// Row R4, promise 6: a reader that goes on behind what it saw misses nothing, whatever is written meanwhile.
pub async fn r4_positions_never_appear_late(it: &Subject) {
    const WRITERS: u128 = 4;
    const EACH: u32 = 60;
    let done = AtomicBool::new(false);
    let (seen, heads) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            block_on(async {
                let mut seen: Vec<LogEvent> = Vec::new();
                let mut heads = vec![0];
                loop {
                    let finished = done.load(Ordering::Acquire);
                    heads.push(it.storage.head());
                    let after = seen.last().map_or(0, |it| it.event.position);
                    let more = it.storage.read_log(after, 7).await.expect("the log can be read");
                    if more.is_empty() && finished {
                        return (seen, heads);
                    }
                    seen.extend(more);
                }
            })
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    block_on(async {
                        for n in 0..EACH {
                            it.store(append(&key(writer), n * 2, 2)).await;
                            let head = it.storage.head();
                            assert!(head >= u64::from(n) * 2 + 2, "the head shows what was acknowledged");
                        }
                    });
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer ends well");
        }
        done.store(true, Ordering::Release);
        reader.join().expect("the reader ends well")
    });
    assert!(heads.is_sorted(), "the head never goes back");
    assert!(seen.windows(2).all(|pair| pair[0].event.position < pair[1].event.position));
    let mut next = BTreeMap::new();
    for it in &seen {
        let next: &mut u32 = next.entry(it.stream.clone()).or_default();
        assert_eq!(it.event.sequence, *next, "the reader saw every event of {}", it.stream);
        *next += 1;
    }
    assert_eq!(next.values().sum::<u32>(), WRITERS as u32 * EACH * 2);
}

/// Row R4.
pub async fn r4_the_log_is_in_order_and_in_pieces(it: &Subject) {
    for n in 0..10 {
        it.store(append(&key(n % 3), (n / 3) as u32, 1)).await;
    }
    let all = it.log().await;
    assert_eq!(all.iter().map(|it| it.event.position).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(all[4].stream, key(1));
    let piece = it.storage.read_log(4, 3).await.expect("the log can be read");
    assert_eq!(piece[..], all[4..7]);
    assert!(it.storage.read_log(10, 3).await.expect("the log can be read").is_empty());
    assert!(it.storage.read_log(u64::MAX, 3).await.expect("the log can be read").is_empty());
    assert!(it.storage.read_log(0, 0).await.expect("the log can be read").is_empty());
    assert_eq!(it.storage.head(), 10);
}

/// Row I4.
pub async fn i4_a_correlation_id_finds_every_stream(it: &Subject) {
    let order = StreamKey::main("order", Uuid::from_u128(9));
    let (one, two) = (Headers::new("one", None), Headers::new("two", None));
    it.store(Append { headers: one.clone(), ..append(&order, 0, 2) }).await;
    it.store(Append { headers: two, ..append(&key(1), 0, 1) }).await;
    it.store(append(&key(1), 1, 1)).await;
    it.store(Append { headers: one, ..append(&key(1), 2, 1) }).await;
    let found = it.storage.read_correlation("one").await.expect("a workflow");
    let places: Vec<_> = found.iter().map(|it| (it.stream.clone(), it.event.sequence)).collect();
    assert_eq!(places, [(order.clone(), 0), (order, 1), (key(1), 2)]);
    assert!(it.storage.read_correlation("three").await.expect("a workflow").is_empty());
    assert!(it.storage.read_correlation("").await.expect("a workflow").is_empty(), "none is no id");
}

/// Row S5.
pub async fn s5_isolated_flag_survives(it: &Subject) {
    let mut hidden = append(&key(1), 0, 2);
    hidden.events.iter_mut().for_each(|event| event.isolated = true);
    it.store(hidden).await;
    it.store(append(&key(1), 2, 1)).await;
    let flags: Vec<_> = it.log().await.iter().map(|it| it.event.isolated).collect();
    assert_eq!(flags, [true, true, false]);
    let slice = it.storage.read_stream(&key(1), StreamRead::all()).await.expect("a stream can be read");
    assert_eq!(slice.events.iter().map(|it| it.isolated).collect::<Vec<_>>(), [true, true, false]);
}

/// Row T1.
pub async fn t1_as_of_sequence_and_time(it: &Subject) {
    for (n, at) in [10, 20, 20, 20, 40].into_iter().enumerate() {
        it.store(Append { created_at: at, ..append(&key(1), n as u32, 1) }).await;
    }
    let until = |until: Nanos| StreamRead { until: Some(until), ..StreamRead::all() };
    for (at, wanted) in [(9, 0), (10, 1), (19, 1), (20, 4), (39, 4), (40, 5), (i64::MAX, 5), (i64::MIN, 0)] {
        assert_eq!(it.sequences(&key(1), until(at)).await, (0..wanted).collect::<Vec<u32>>(), "as of {at}");
    }
    let range = |from, to| StreamRead { from, to: Some(to), ..StreamRead::all() };
    assert_eq!(it.sequences(&key(1), range(0, 2)).await, [0, 1, 2]);
    assert_eq!(it.sequences(&key(1), range(1, 1)).await, [1]);
    assert_eq!(it.sequences(&key(1), range(3, u32::MAX)).await, [3, 4]);
    assert!(it.sequences(&key(1), range(3, 2)).await.is_empty());
    assert!(it.sequences(&key(1), range(5, 9)).await.is_empty());
    let both = StreamRead { from: 1, to: Some(3), until: Some(20), snapshot: None };
    assert_eq!(it.sequences(&key(1), both).await, [1, 2, 3]);
    let part = it.storage.read_stream(&key(1), range(0, 0)).await.expect("a stream can be read");
    assert_eq!((part.next_sequence, part.last_created_at), (5, 40), "of the whole stream");
}

fn from_snapshot(read: StreamRead) -> StreamRead {
    StreamRead { snapshot: Some(("bank.Account".into(), 1)), ..read }
}

/// Row T2.
pub async fn t2_a_snapshot_from_after_the_point_is_not_used(it: &Subject) {
    for n in 0..10 {
        it.store(append(&key(1), n, 1)).await; // created at 1,000 + n
    }
    it.store_snapshot(&key(1), snapshot(3, Retention::Persist)).await;
    it.store_snapshot(&key(1), snapshot(6, Retention::Persist)).await;
    let point = |to: Option<u32>, until: Option<Nanos>| from_snapshot(StreamRead { to, until, ..StreamRead::all() });
    for (read, snapshot, first, last) in [
        (point(None, None), Some(6), 7, 9),
        (point(Some(6), None), Some(6), 7, 6),
        (point(Some(5), None), Some(3), 4, 5),
        (point(Some(2), None), None, 0, 2),
        (point(None, Some(1_006)), Some(6), 7, 6),
        (point(None, Some(1_005)), Some(3), 4, 5),
        (point(None, Some(1_002)), None, 0, 2),
        (point(Some(8), Some(1_004)), Some(3), 4, 4),
        (StreamRead { from: 8, ..point(None, None) }, None, 8, 9),
        (StreamRead { from: 7, ..point(None, None) }, Some(6), 7, 9),
        (StreamRead { from: 2, ..point(None, None) }, Some(6), 7, 9),
    ] {
        let slice = it.storage.read_stream(&key(1), read.clone()).await.expect("a stream can be read");
        assert_eq!(slice.snapshot.map(|it| it.sequence), snapshot, "{read:?}");
        let wanted: Vec<u32> = (first..=last).collect();
        assert_eq!(slice.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), wanted, "{read:?}");
    }
}

/// Rows N1 and N3.
pub async fn n1_n3_a_newer_snapshot_deletes_older_ones(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    let stored = it.storage.snapshots(&key(1)).await.expect("snapshots can be read");
    assert_eq!(stored, [snapshot(15, Retention::Default)]);
    it.store_snapshot(&key(1), snapshot(31, Retention::Transient)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [31]);
    it.store_snapshot(&key(1), snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [47]);
}

/// Row N2.
pub async fn n2_a_persistent_snapshot_stays(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    for (sequence, retention) in
        [(10, Retention::Persist), (15, Retention::Default), (20, Retention::Persist), (31, Retention::Default)]
    {
        it.store_snapshot(&key(1), snapshot(sequence, retention)).await;
    }
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31]);
    // Asked for where an ordinary one is: from now on it is kept.
    it.store_snapshot(&key(1), snapshot(31, Retention::Persist)).await;
    it.store_snapshot(&key(1), snapshot(31, Retention::Default)).await;
    it.store_snapshot(&key(1), snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31, 47]);
    // And where a newer one is already.
    it.store_snapshot(&key(1), snapshot(40, Retention::Persist)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31, 40, 47]);
}

/// Row N4.
pub async fn n4_a_snapshot_of_another_version_is_not_used(it: &Subject) {
    it.store(append(&key(1), 0, 10)).await;
    it.store_snapshot(&key(1), snapshot(3, Retention::Persist)).await;
    it.store_snapshot(&key(1), StoredSnapshot { state_version: 2, ..snapshot(5, Retention::Persist) }).await;
    it.store_snapshot(&key(1), StoredSnapshot { type_name: "other".into(), ..snapshot(7, Retention::Persist) }).await;
    it.store_snapshot(&key(1), StoredSnapshot { state_version: 2, ..snapshot(3, Retention::Persist) }).await;
    let used = |name: &str, version| {
        let read = StreamRead { snapshot: Some((Name::new(name), version)), ..StreamRead::all() };
        async move {
            let slice = it.storage.read_stream(&key(1), read).await.expect("a stream can be read");
            slice.snapshot.map(|it| (it.sequence, it.state))
        }
    };
    assert_eq!(used("bank.Account", 1).await, Some((3, Bytes::from("state 3"))));
    assert_eq!(used("bank.Account", 2).await.map(|it| it.0), Some(5));
    assert_eq!(used("other", 1).await.map(|it| it.0), Some(7));
    assert_eq!(used("bank.Account", 3).await, None);
}

/// Row N5: what arrives late neither deletes nor replaces what is newer.
pub async fn n5_newest_snapshot_is_never_deleted(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    it.store_snapshot(&key(1), snapshot(31, Retention::Transient)).await;
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [31]);
    let other = StoredSnapshot { state: Bytes::from("another"), ..snapshot(31, Retention::Default) };
    it.store_snapshot(&key(1), other).await;
    it.store_snapshot(&key(1), snapshot(20, Retention::Persist)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [20, 31]);
    let slice = it.storage.read_stream(&key(1), from_snapshot(StreamRead::all())).await.expect("a stream can be read");
    assert_eq!(slice.snapshot.map(|it| it.state), Some(Bytes::from("state 31")));
}

/// Row N6.
pub async fn n6_retention_ends_at_the_stream(it: &Subject) {
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    it.store_snapshot(&key(2), snapshot(31, Retention::Default)).await;
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store_snapshot(&branch, snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [15]);
    assert_eq!(it.snapshot_sequences(&key(2)).await, [31]);
    assert_eq!(it.snapshot_sequences(&branch).await, [47]);
}

/// Row B1.
pub async fn b1_a_stream_of_an_edition_starts_where_it_diverged(it: &Subject) {
    it.store(append(&key(1), 0, 5)).await;
    let branch = StreamKey { edition: "what-if".into(), ..key(1) };
    let first = Append { diverged_at: Some(3), ..append(&branch, 3, 2) };
    conflict_at(&it.put(Write::append(Append { expected: 0, ..first.clone() })).await, 3);
    assert_eq!(it.store(first).await.first_sequence, 3);
    it.store(append(&branch, 5, 1)).await;
    let slice = it.storage.read_stream(&branch, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(3), 6));
    assert_eq!(slice.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    let before = it.storage.read_stream(&branch, StreamRead { to: Some(0), ..StreamRead::all() }).await;
    let before = before.expect("a stream can be read");
    assert_eq!((before.diverged_at, before.events.len()), (Some(3), 0));
    // A divergence is remembered even where only a key is stored.
    let other = StreamKey { edition: "other".into(), ..key(1) };
    it.store(Append { diverged_at: Some(2), ..with_key(append(&other, 2, 0), "k") }).await;
    let slice = it.storage.read_stream(&other, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(2), 2));
    it.store(append(&other, 2, 1)).await;
    // A stream of an edition that inherits nothing.
    let fresh = StreamKey { edition: "what-if".into(), ..key(2) };
    it.store(Append { diverged_at: Some(0), ..append(&fresh, 0, 1) }).await;
    let slice = it.storage.read_stream(&fresh, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(0), 1));
}

/// Row B3.
pub async fn b3_editions_do_not_show_on_main(it: &Subject) {
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store(Append { diverged_at: Some(0), ..append(&branch, 0, 2) }).await;
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    it.store(append(&key(1), 0, 1)).await;
    assert_eq!(it.next_sequence(&branch).await, 2);
    assert_eq!(it.payloads(&key(1), StreamRead::all()).await.len(), 1);
}

/// Row B7: the first append of an edition's stream decides where it diverges. One that was decided on another past is
/// too late, even if it expects the right sequence.
pub async fn b7_another_divergence_is_a_conflict(it: &Subject) {
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store(Append { diverged_at: Some(2), ..append(&branch, 2, 1) }).await;
    conflict_at(&it.put(Write::append(Append { diverged_at: Some(3), ..append(&branch, 3, 1) })).await, 3);
    it.store(Append { diverged_at: Some(2), ..append(&branch, 3, 1) }).await;
}

/// Row U1.
pub async fn u1_types_and_versions_are_kept(it: &Subject) {
    let types = [("a.Event", 1), ("a.Event", 2), ("b.Event", 1), ("a.Event", 1), ("a.Event", 7)];
    for (n, (name, version)) in (0u32..).zip(types) {
        let mut append = append(&key(1), n, 1);
        append.events[0].type_name = name.into();
        append.events[0].schema_version = version;
        it.store(append).await;
    }
    let slice = it.storage.read_stream(&key(1), StreamRead::all()).await.expect("a stream can be read");
    let read: Vec<_> = slice.events.iter().map(|it| (it.type_name.as_str(), it.schema_version)).collect();
    assert_eq!(read, types);
}

fn letter(n: u128, domain: &str, component: &str, correlation_id: &str) -> DeadLetter {
    let cover = proto::Cover {
        domain: domain.to_owned(),
        correlation_id: correlation_id.to_owned(),
        ..proto::Cover::default()
    };
    DeadLetter {
        id: Uuid::from_u128(n),
        letter: proto::AngzarrDeadLetter {
            cover: Some(cover),
            rejection_reason: format!("reason {n}"),
            source_component: component.to_owned(),
            ..proto::AngzarrDeadLetter::default()
        },
        attempts: 3,
        occurred_at: 1_000 - n as i64, // the last one is the oldest
        resolution: None,
    }
}

/// Row D1.
pub async fn d1_a_dead_letter_is_stored_with_its_write(it: &Subject) {
    let letter = letter(1, "account", "saga", "w");
    let mut write = extras(|extras| {
        extras.dead_letters.push(letter.clone());
        extras.checkpoints.push(("saga".into(), 5));
    });
    write.append = Some(append(&key(1), 0, 1));
    it.put(write).await.expect("stored");
    assert_eq!(it.storage.dead_letter(letter.id).await.expect("a letter"), Some(letter.clone()));
    // The same failure again adds no second letter and changes nothing of the first.
    let again = DeadLetter { attempts: 9, ..letter.clone() };
    it.put(extras(|it| it.dead_letters.push(again))).await.expect("stored");
    let all = it.storage.dead_letters(&DeadLetterFilter::default()).await.expect("letters");
    assert_eq!(all, [letter]);
}

/// Row D2.
pub async fn d2_dead_letters_are_listed_filtered_and_resolved(it: &Subject) {
    let letters = [
        letter(1, "account", "saga", "w"),
        letter(2, "order", "saga", "w"),
        letter(3, "account", "projector", ""),
    ];
    for letter in &letters {
        it.put(extras(|it| it.dead_letters.push(letter.clone()))).await.expect("stored");
    }
    let ids = |filter: DeadLetterFilter| async move {
        let found = it.storage.dead_letters(&filter).await.expect("letters");
        found.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>()
    };
    let all = DeadLetterFilter::default;
    let text = |it: &str| Some(it.to_owned());
    assert_eq!(ids(all()).await, [3, 2, 1], "oldest first");
    assert_eq!(ids(DeadLetterFilter { domain: text("account"), ..all() }).await, [3, 1]);
    assert_eq!(ids(DeadLetterFilter { component: text("saga"), ..all() }).await, [2, 1]);
    assert_eq!(ids(DeadLetterFilter { correlation_id: text("w"), ..all() }).await, [2, 1]);
    assert_eq!(ids(DeadLetterFilter { domain: text("order"), component: text("projector"), ..all() }).await, [0u128; 0]);
    assert_eq!(ids(DeadLetterFilter { limit: Some(2), ..all() }).await, [3, 2]);

    let discarded = Resolution::Discarded { at: 77, reason: "a test".to_owned() };
    assert!(it.storage.resolve_dead_letter(letters[1].id, discarded.clone()).await.expect("resolved"));
    assert!(!it.storage.resolve_dead_letter(letters[1].id, Resolution::Retried { at: 78 }).await.expect("resolved"));
    assert!(!it.storage.resolve_dead_letter(Uuid::from_u128(9), Resolution::Retried { at: 78 }).await.expect("none"));
    assert!(it.storage.resolve_dead_letter(letters[0].id, Resolution::Retried { at: 79 }).await.expect("resolved"));
    assert_eq!(ids(all()).await, [3]);
    assert_eq!(ids(DeadLetterFilter { include_resolved: true, ..all() }).await, [3, 2, 1]);
    let kept = it.storage.dead_letter(letters[1].id).await.expect("a letter");
    assert_eq!(kept, Some(DeadLetter { resolution: Some(discarded), ..letters[1].clone() }), "the reason is kept");
    let kept = it.storage.dead_letter(letters[0].id).await.expect("a letter").and_then(|it| it.resolution);
    assert_eq!(kept, Some(Resolution::Retried { at: 79 }));
    // It failed before and was resolved: the same id does not come back by itself.
    it.put(extras(|it| it.dead_letters.push(letters[1].clone()))).await.expect("stored");
    assert_eq!(ids(all()).await, [3]);
}

/// A subscriber that reports late must not be sent back.
pub async fn checkpoints_never_move_back(it: &Subject) {
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), None);
    for (position, wanted) in [(0, 0), (5, 5), (3, 5), (5, 5), (9, 9)] {
        it.put(extras(|it| it.checkpoints.push(("p".into(), position)))).await.expect("stored");
        assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), Some(wanted));
    }
    assert_eq!(it.storage.checkpoint("q").await.expect("a checkpoint"), None);
}

/// Streams with events, page by page.
pub async fn streams_are_listed_in_order(it: &Subject) {
    let order = |n| StreamKey::main("order", Uuid::from_u128(n));
    let branch = StreamKey { edition: "b".into(), ..key(2) };
    for key in [order(2), key(3), key(1), key(2), order(1)] {
        it.store(append(&key, 0, 2)).await;
    }
    it.store(Append { diverged_at: Some(1), ..append(&branch, 1, 1) }).await;
    it.store(with_key(append(&key(9), 0, 0), "k")).await; // no events: not listed
    let list = |domain: Option<&'static str>, after: Option<StreamKey>, limit| async move {
        let streams = it.storage.streams(domain, after.as_ref(), limit).await.expect("streams");
        streams.into_iter().map(|it| it.key).collect::<Vec<_>>()
    };
    let all = [key(1), key(2), key(3), branch.clone(), order(1), order(2)];
    assert_eq!(list(None, None, 100).await, all);
    assert_eq!(list(None, Some(key(2)), 3).await, all[2..5]);
    assert_eq!(list(Some("account"), None, 100).await, all[..4]);
    assert_eq!(list(Some("order"), None, 1).await, all[4..5]);
    assert_eq!(list(Some("order"), Some(order(1)), 100).await, all[5..]);
    assert_eq!(list(Some("order"), Some(key(1)), 100).await, all[4..], "after a key of an earlier domain");
    assert!(list(Some("account"), Some(order(1)), 100).await.is_empty());
    assert!(list(Some("nothing"), None, 100).await.is_empty());
    let infos = it.storage.streams(None, Some(&key(3)), 2).await.expect("streams");
    assert_eq!((infos[0].next_sequence, infos[0].last_created_at), (2, 1_001));
    assert_eq!((infos[1].next_sequence, infos[1].last_created_at), (2, 1_000));
    assert_eq!(it.storage.domains().await.expect("domains"), ["account", "order"]);
}

/// A question about what is not there is no error.
pub async fn an_absent_stream_is_empty(it: &Subject) {
    let slice = it.storage.read_stream(&key(1), from_snapshot(StreamRead::all())).await.expect("a stream can be read");
    assert_eq!(slice, crate::storage::StreamSlice::default());
    assert!(it.log().await.is_empty());
    assert_eq!(it.storage.head(), 0);
    assert!(it.snapshot_sequences(&key(1)).await.is_empty());
    assert!(it.storage.domains().await.expect("domains").is_empty());
    assert_eq!(it.storage.dead_letter(Uuid::nil()).await.expect("a letter"), None);
    assert!(!it.storage.describe().is_empty());
}

/// Row R1 in small: whoever stops waiting leaves a write behind that is stored as a whole or not at all.
pub async fn a_cancelled_commit_is_whole_or_absent(it: &Subject) {
    let mut expected = 0;
    for n in 0..50u32 {
        let mut write = extras(|extras| extras.appends = vec![append(&key(2), expected, 1)]);
        write.append = Some(append(&key(1), expected, 1));
        let commit = it.storage.commit(vec![write]);
        if n % 3 == 0 {
            drop(commit); // never polled
        } else {
            // Polled once or not much longer.
            let _ = tokio::time::timeout(std::time::Duration::from_micros(u64::from(n) * 10), commit).await;
        }
        // What comes after it is in order, whatever became of it.
        it.put(Write::default()).await.expect("an empty write is stored");
        let (one, two) = (it.next_sequence(&key(1)).await, it.next_sequence(&key(2)).await);
        assert_eq!(one, two, "both appends of a write or none");
        assert!(one == expected || one == expected + 1);
        expected = one;
    }
    assert_eq!(it.log().await.len() as u32, expected * 2);
}

/// A thousand writes in one batch, one in ten of them a conflict, and payloads up to the limit of the contract.
pub async fn big_batches_and_big_payloads(it: &Subject) {
    let batch = (0..1_000u32).map(|n| Write::append(append(&key(u128::from(n % 300)), if n % 10 == 9 { 77 } else { 0 }, 1)));
    let outcomes = it.batch(batch.collect()).await;
    let stored = outcomes.iter().filter(|it| it.is_ok()).count();
    assert_eq!(it.log().await.len(), stored);
    assert_eq!(stored, 270, "the first of each stream, but for those that expect nonsense");
    let mut last = 0;
    for outcome in &outcomes {
        match outcome {
            Ok(written) => {
                assert_eq!(written.last_position, last + 1, "positions in the order of the batch");
                last = written.last_position;
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let mut large = append(&key(5_000), 0, 2);
    large.events[0].payload = Bytes::from(vec![7; 4 << 20]);
    it.store(large.clone()).await;
    let slice = it.storage.read_stream(&key(5_000), StreamRead::all()).await.expect("a stream can be read");
    assert_eq!(slice.events[0].payload, large.events[0].payload);
    it.store(append(&key(6_000), 0, 5_000)).await;
    assert_eq!(it.sequences(&key(6_000), StreamRead::all()).await, (0..5_000).collect::<Vec<_>>());
}
