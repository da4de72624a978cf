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
    Append, Dedup, EditionDiscard, EditionInfo, Extras, Intent, IntentFilter, IntentId, IntentKind, NewEvent, Settle,
    SnapshotWrite, Storage, StorageErrorKind, StreamFilter, StreamMerge, StreamRead, StreamSlice, Write, WriteError,
    Written,
};
use crate::stream::{Headers, LogEvent, Name, Nanos, Retention, StoredEvent, StoredSnapshot, StreamKey, TraceContext};

mod answers;
mod appends;
mod branches;
mod intents;
mod keeping;
mod leases;
mod reading;

pub use answers::*;
pub use appends::*;
pub use branches::*;
pub use intents::*;
pub use keeping::*;
pub use leases::*;
pub use reading::*;

/// A store under test, with what has to live as long as it: a directory, a container.
pub struct Subject {
    storage: Arc<dyn Storage>,
    /// Writes take this way, not the store's own.
    #[cfg(test)]
    writer: Option<crate::storage::Writer>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// A store, and what is dropped after it.
    pub fn new(storage: Arc<dyn Storage>, kept: impl Any + Send + Sync) -> Self {
        Self {
            storage,
            #[cfg(test)]
            writer: None,
            _kept: Box::new(kept),
        }
    }

    /// With the queue in front of it that a runtime has. Not for checks that block the thread.
    #[cfg(test)]
    pub(crate) fn grouped(mut self) -> Self {
        self.writer = Some(crate::storage::Writer::new(self.storage.clone()));
        self
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
                p1_an_intent_is_stored_with_its_write
                p5_intents_come_in_order_of_their_due_time
                p5_an_intent_that_is_put_again_is_replaced
                p5_an_intent_is_settled_once
                p5_an_intent_that_is_taken_back_is_gone
                p5_of_racing_settlers_one_wins
                c2_events_are_read_back_as_they_were_written
                c9_racing_writers_leave_no_gap
                c10_dedup_key_once_per_stream
                c10_a_known_key_comes_before_a_conflict
                c10_a_known_key_comes_before_a_settled_intent
                f2_a_key_without_events_is_remembered
                g2_a_key_is_known_to_its_own_stream_only
                r4_positions_never_appear_late
                r4_the_log_is_in_order_and_in_pieces
                r4_the_log_is_read_within_a_number_of_bytes
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
                b4_divergences_come_back_with_the_headers
                b5_a_discard_removes_an_edition_everywhere
                b5_a_discard_of_one_domain_leaves_the_others
                b5_main_is_never_discarded
                b5_the_head_never_goes_back
                b5_a_reader_skips_what_is_gone
                b5_a_discarded_stream_begins_anew_elsewhere
                b5_writers_and_readers_meet_a_discard
                b5_letters_of_a_discarded_edition_are_resolved
                b6_a_merge_appends_the_branch_to_main
                b6_merged_streams_keep_the_order_of_their_events
                b6_a_merge_conflict_of_one_stream_merges_none
                b6_a_merge_that_cannot_be_is_refused
                b6_a_merge_carries_dedup_keys
                b7_another_divergence_is_a_conflict
                b_editions_and_their_streams_are_listed
                u1_types_and_versions_are_kept
                d1_a_dead_letter_is_stored_with_its_write
                d2_dead_letters_are_listed_filtered_and_resolved
                d1_d2_a_letter_of_work_that_failed_again
                j2_parked_events_are_found_by_component_and_stream
                a_store_keeps_its_id
                checkpoints_never_move_back
                streams_are_listed_in_order
                an_absent_stream_is_empty
                a_cancelled_commit_is_whole_or_absent
                big_batches_and_big_payloads
            );

            #[test]
            fn two_stores_have_two_ids() {
                $crate::testing::storage_contract::block_on(async {
                    let one = $crate::testing::storage_contract::Subject::from($open.await);
                    let other = $crate::testing::storage_contract::Subject::from($open.await);
                    $crate::testing::storage_contract::two_stores_have_two_ids(&one, &other);
                });
            }
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

/// The same for what a store has that several processes share: leases and answers.
///
/// ```
/// use angzarr_runtime::storage::Memory;
///
/// angzarr_runtime::lease_contract!(leases, async { Memory::new().for_many_runtimes() });
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! lease_contract {
    ($name:ident, $open:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::storage_contract!(@checks $open;
                r5_a_lease_has_one_holder
                r5_a_lease_that_is_renewed_is_kept
                r5_a_lease_runs_out
                r5_a_lease_is_given_back
                r5_of_racing_holders_one_wins
                s3_r5_what_was_told_is_read_until_it_is_forgotten
                s3_r5_the_first_answer_counts
                s3_r5_answers_go_by_their_age
                s4_r5_a_write_tells_or_it_is_not_stored
                s4_r5_events_of_a_wait_are_found
                b6_r5_nobody_waits_for_merged_events
                s3_r5_who_waits_is_woken
            );
        }
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
    NewEvent {
        type_name: "bank.Deposited".into(),
        schema_version: 1,
        payload: Bytes::copy_from_slice(text.as_bytes()),
        isolated: false,
    }
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
        #[cfg(test)]
        if let Some(writer) = &self.writer {
            return futures_util::future::join_all(batch.into_iter().map(|write| writer.commit(write))).await;
        }
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
        self.storage.read_log(0, usize::MAX, usize::MAX).await.expect("the log can be read")
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

fn from_snapshot(read: StreamRead) -> StreamRead {
    StreamRead { snapshot: Some(("bank.Account".into(), 1)), ..read }
}

/// An open letter; the higher its number, the older it is.
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
        occurred_at: 1_000 - n as i64,
        resolution: None,
    }
}
