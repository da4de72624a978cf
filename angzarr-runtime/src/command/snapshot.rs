//! Snapshots: a state becomes bytes and comes back (rows N).
//!
//! In: a state, or what is stored of one. Out: bytes, or a state. Never: a failure of the command that the snapshot is taken
//! for; a codec that breaks costs a longer replay, nothing else (row N4).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Loaded;
use super::pipeline::{Core, Submission, panic_text};
use super::state_cache::Slot;
use crate::declare::{SnapshotCodec, State};
use crate::registry::Aggregate;
use crate::storage::{Extras, SnapshotWrite, Write};
use crate::stream::{Retention, StoredSnapshot, StreamKey};

/// Encodes a state; a panic of the codec is an error like any other.
pub(crate) fn encode(codec: &SnapshotCodec, state: &dyn Any) -> Result<Vec<u8>, String> {
    protected(|| (codec.encode)(state))
}

/// The same the other way.
pub(crate) fn decode(codec: &SnapshotCodec, bytes: &[u8]) -> Result<State, String> {
    protected(|| (codec.decode)(bytes))
}

fn protected<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))))
}

impl Core {
    /// The snapshot that goes with an append, if one is due: every so many events, and where a handler marked a milestone
    /// (rows N1, N2). The state is that after the append; `before` is where the stream was.
    pub(super) fn due_snapshot(
        &self,
        submission: &Submission<'_>,
        loaded: &Loaded,
        before: u32,
        milestone: bool,
    ) -> Option<SnapshotWrite> {
        if let Some(remote) = &submission.aggregate.remote {
            let snapshot = remote.fresh_snapshot(loaded.state.as_ref())?;
            return Some(SnapshotWrite { key: submission.key.clone(), snapshot });
        }
        let policy = submission.aggregate.descriptor.snapshot.as_ref()?;
        let (every, after) = (policy.every.max(1), loaded.next_sequence);
        if after == before || loaded.complete || (!milestone && before / every == after / every) {
            return None;
        }
        let state = match encode(&policy.codec, loaded.state.as_ref()) {
            Ok(state) => state,
            Err(error) => {
                self.failed_snapshots.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(stream = %submission.key, error, "the state could not be encoded; no snapshot");
                return None;
            }
        };
        let snapshot = StoredSnapshot {
            sequence: after - 1,
            created_at: loaded.last_created_at,
            type_name: submission.aggregate.snapshot_type.clone(),
            state_version: submission.aggregate.descriptor.state_version,
            state: state.into(),
            retention: if milestone { Retention::Persist } else { Retention::Default },
        };
        Some(SnapshotWrite { key: submission.key.clone(), snapshot })
    }

    /// A snapshot that a component in another process has made is not lost with a command that stores nothing. On main only: a branch
    /// may have been discarded meanwhile by another process, and begun anew.
    pub(super) async fn keep_snapshot(&self, submission: &Submission<'_>, loaded: &Loaded) {
        let Some(remote) = submission.aggregate.remote.as_ref().filter(|_| submission.key.is_main()) else { return };
        let Some(snapshot) = remote.fresh_snapshot(loaded.state.as_ref()) else { return };
        let snapshots = vec![SnapshotWrite { key: submission.key.clone(), snapshot }];
        if let Err(error) = self.writer.commit(Write::extras(Extras { snapshots, ..Extras::default() })).await {
            self.failed_snapshots.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(stream = %submission.key, %error, "the snapshot could not be stored");
        }
    }

    /// Tells the cache what a state weighs, when about twice as much was folded into it as the last time. `encoded` is the
    /// size of the encoded state, where that is known.
    pub(super) fn weigh(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        slot: &Arc<Slot>,
        loaded: &mut Loaded,
        encoded: Option<usize>,
    ) {
        if loaded.folded_bytes < loaded.weigh_at {
            return;
        }
        loaded.weigh_at = loaded.folded_bytes.saturating_mul(2);
        let encoded = encoded.map(|bytes| bytes as u64).or_else(|| {
            let codec = &aggregate.descriptor.snapshot.as_ref()?.codec;
            encode(codec, loaded.state.as_ref()).ok().map(|state| state.len() as u64)
        });
        // Decoded states take about twice the room of encoded ones. Without a codec nobody knows how large the state is:
        // at most what was folded into it, and some room.
        self.cache.weigh(key, slot, encoded.unwrap_or(loaded.folded_bytes) * 2);
    }
}
