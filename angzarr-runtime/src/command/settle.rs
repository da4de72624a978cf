//! Settle: what follows a commit. The state follows the events, snapshots are taken, subscribers are woken.
//!
//! In: what was stored. Out: the state for the next command, and the answer. Never: a failure of the command; it is stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::MutexGuard;

use super::pipeline::{Core, Events, Outcome, Prepared, StoredEvents, Submission};
use super::state_cache::Slot;
use super::{Loaded, SyncMode};
use crate::dead_letter::{DeadLetter, Resolution, letter_id};
use crate::declare::EventSink;
use crate::error::Result;
use crate::reaction::{Missing, WaitResult, Waiting};
use crate::storage::{Extras, SnapshotWrite, StreamRead, Write, Written};
use crate::stream::{Nanos, Retention, StoredSnapshot, StreamKey};

impl Core {
    /// The events are stored: the state follows, subscribers are woken.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn settle(
        &self,
        submission: &Submission<'_>,
        slot: &Arc<Slot>,
        mut guard: MutexGuard<'_, Option<Loaded>>,
        loaded: Loaded,
        prepared: Prepared,
        events: Events,
        written: Written,
    ) -> Outcome {
        *guard = self.advance(submission, slot, loaded, &events.emitted, &prepared);
        drop(guard);
        self.answer(events.stored, written, prepared.waiting)
    }

    /// The events are stored: the state follows. `None` if it cannot; the next command folds the stream then.
    fn advance(
        &self,
        submission: &Submission<'_>,
        slot: &Arc<Slot>,
        mut loaded: Loaded,
        emitted: &EventSink,
        prepared: &Prepared,
    ) -> Option<Loaded> {
        let (events, decided) = (&emitted.events, &prepared.decided);
        for event in events {
            loaded.folded_bytes += event.payload.len() as u64;
            if decided.applied {
                continue;
            }
            let done = catch_unwind(AssertUnwindSafe(|| (event.apply)(loaded.state.as_mut(), &event.payload)));
            if !matches!(done, Ok(Ok(()))) {
                // Whoever needs the state next meets the error in the fold.
                tracing::error!(stream = %submission.key, event = %event.type_name, "an `#[apply]` failed on a stored event");
                return None;
            }
        }
        if events.is_empty() {
            return loaded.kept_if(true);
        }
        let before = loaded.next_sequence;
        let after = before + u32::try_from(events.len()).unwrap_or(0);
        loaded.next_sequence = after;
        loaded.last_created_at = prepared.now;
        loaded.diverges_at = None;
        let policy = submission.aggregate.descriptor.snapshot;
        let due = policy.is_some_and(|policy| {
            let every = policy.every.max(1);
            decided.milestone || before / every != after / every
        });
        let weigh = after >= loaded.weigh_at;
        if weigh {
            loaded.weigh_at = after.saturating_mul(2).max(16);
        }
        if !due && !weigh {
            return Some(loaded);
        }
        // Without a codec nobody knows how large the state is: at most what was folded into it, and some room.
        let mut state_bytes = loaded.folded_bytes * 2;
        match policy.map(|policy| (policy.codec.encode)(loaded.state.as_ref())) {
            None => {}
            Some(Ok(encoded)) => {
                // Decoded states take about twice the room of encoded ones.
                state_bytes = encoded.len() as u64 * 2;
                if due {
                    let retention = if decided.milestone { Retention::Persist } else { Retention::Default };
                    self.store_snapshot(submission, encoded, after - 1, prepared.now, retention);
                }
            }
            Some(Err(error)) => {
                self.failed_snapshots.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(stream = %submission.key, error, "the state could not be encoded; no snapshot");
            }
        }
        if weigh {
            self.cache.weigh(&submission.key, slot, state_bytes);
        }
        Some(loaded)
    }

    /// Snapshots are not waited for: one that is lost costs a longer replay, nothing else.
    fn store_snapshot(
        &self,
        submission: &Submission<'_>,
        state: Vec<u8>,
        sequence: u32,
        now: Nanos,
        retention: Retention,
    ) {
        let snapshot = StoredSnapshot {
            sequence,
            created_at: now,
            type_name: submission.aggregate.snapshot_type.clone(),
            state_version: submission.aggregate.descriptor.state_version,
            state: state.into(),
            retention,
        };
        let write = SnapshotWrite { key: submission.key.clone(), snapshot };
        let write = Write::extras(Extras { snapshots: vec![write], ..Extras::default() });
        // A store that commits at once needs no queue, and no note of what waits there.
        match self.writer.commit_now(write) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                self.failed_snapshots.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(stream = %submission.key, sequence, %error, "the snapshot was not stored");
            }
            Err(write) => self.writer.submit(write),
        }
    }

    fn answer(&self, mut stored: StoredEvents, written: Written, waiting: Option<Waiting>) -> Outcome {
        let count = stored.len() as u64;
        for (event, back) in stored.iter_mut().zip((0..count).rev()) {
            event.position = written.last_position - back;
        }
        if count > 0 {
            self.transport.announce(written.last_position);
        }
        Outcome { next_sequence: written.first_sequence + written.count, events: stored, duplicate: false, waiting }
    }

    /// What the first time stored (rows C10, G2). Who asks again with SIMPLE waits for the same events.
    pub(super) async fn first_answer(&self, submission: &Submission<'_>, first: Written) -> Result<Outcome> {
        let mut events = StoredEvents::new();
        if first.count > 0 {
            let read = StreamRead {
                from: first.first_sequence,
                to: Some(first.first_sequence + first.count - 1),
                ..Default::default()
            };
            events = self.storage.read_stream(&submission.key, read).await?.events.into();
        }
        let simple = submission.pages.iter().any(|page| page.sync == SyncMode::Simple);
        let waiting = simple.then(|| self.waits.expect_stored(&self.registry, &submission.key, &events)).flatten();
        Ok(Outcome { events, next_sequence: first.first_sequence + first.count, duplicate: true, waiting })
    }

    /// A projector that has passed an event may have put it into the dead letters instead of handling it.
    pub(super) async fn without_parked(&self, key: &StreamKey, waited: WaitResult) -> Result<WaitResult> {
        let WaitResult { projections, done, mut missing } = waited;
        let mut handled = Vec::with_capacity(done.len());
        for (projector, sequence) in done {
            let letter = self.storage.dead_letter(letter_id(projector, key, sequence)).await?;
            match letter {
                None | Some(DeadLetter { resolution: Some(Resolution::Retried { .. }), .. }) => {
                    handled.push((projector, sequence));
                }
                Some(letter) => missing.push(Missing {
                    projector: projector.to_owned(),
                    sequence,
                    reason: Some(format!("in the dead letters: {}", letter.letter.rejection_reason)),
                }),
            }
        }
        Ok(WaitResult { projections, done: handled, missing })
    }
}
