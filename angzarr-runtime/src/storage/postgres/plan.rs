//! What becomes of a batch, decided before anything is sent.
//!
//! In: writes, and what is known of their streams, keys and intents. Out: an outcome for each write, and the rows that are to
//! be stored. Never: a question to the server; what has to be known and is not is asked for by whoever calls.
//!
//! Without [`Facts`] it is assumed that dedup keys are new and that intents to be settled are still there, as is nearly
//! always so: `commit_batch` finds out otherwise, and then all of it is decided again with the facts.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use uuid::Uuid;

use super::super::encoding::{encode_divergences, encode_ext, encode_retention, signed};
use super::super::write::{StreamHead, check_shape};
use super::super::{Append, Dedup, Extras, IntentId, Settle, SnapshotWrite, StreamMerge, Write, WriteError, Written};
use crate::stream::{Name, Nanos, StreamKey};

pub(super) type Outcome = Result<Written, WriteError>;
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

/// The end of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) head: StreamHead,
}

/// Numbers of types by name and version.
#[derive(Debug, Default)]
pub(super) struct Types(Map<Name, Vec<(u32, i32)>>);

impl Types {
    pub(super) fn get(&self, name: &Name, version: u32) -> Option<i32> {
        self.0.get(name)?.iter().find(|(known, _)| *known == version).map(|(_, id)| *id)
    }

    pub(super) fn insert(&mut self, name: Name, version: u32, id: i32) {
        self.0.entry(name).or_default().push((version, id));
    }
}

/// What was read while nobody else could write.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) dedup: Map<(i64, Bytes), Written>,
    pub(super) due: Map<IntentId, Nanos>,
}

/// It cannot be decided without facts.
#[derive(Debug)]
pub(super) struct NeedsFacts;

/// The rows of a batch, column by column, as the server's functions take them.
#[derive(Default)]
pub(super) struct Rows<'w> {
    pub(super) events: Events<'w>,
    pub(super) streams: Streams<'w>,
    pub(super) diverged: (Vec<i64>, Vec<i64>),
    pub(super) dedup: DedupRows<'w>,
    pub(super) snapshots: Snapshots<'w>,
    pub(super) checkpoints: Map<&'w str, u64>,
    pub(super) settled: (Vec<Uuid>, Vec<Nanos>),
    pub(super) removed: Vec<Uuid>,
    /// Those that were put and gone again before the end are `None`.
    pub(super) intents: Vec<Option<&'w super::super::Intent>>,
}

#[derive(Default)]
pub(super) struct Events<'w> {
    pub(super) stream: Vec<i64>,
    pub(super) sequence: Vec<i64>,
    pub(super) created_at: Vec<i64>,
    pub(super) type_id: Vec<i32>,
    pub(super) isolated: Sparse<bool>,
    pub(super) workflow: Sparse<&'w str>,
    pub(super) ext: Sparse<Vec<u8>>,
    pub(super) divergences: Sparse<Vec<u8>>,
    /// With the mark of a wait, where there is one.
    pub(super) trace: Sparse<Vec<u8>>,
    pub(super) payload: Vec<&'w [u8]>,
}

/// A column that is empty most of the time. Then no array is sent: the server fills up what is missing with NULL.
pub(super) struct Sparse<T> {
    values: Vec<Option<T>>,
    /// Rows without a value, as long as there is none with one.
    empty: usize,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { values: Vec::new(), empty: 0 }
    }
}

impl<T> Sparse<T> {
    fn push(&mut self, value: Option<T>) {
        if value.is_none() && self.values.is_empty() {
            self.empty += 1;
            return;
        }
        // Whatever came before the first one, has a place of its own from now on.
        let empty = std::mem::take(&mut self.empty);
        self.values.extend((0..empty).map(|_| None));
        self.values.push(value);
    }

    /// All of it, if there is anything in it.
    pub(super) fn column(&self) -> Option<&[Option<T>]> {
        (!self.values.is_empty()).then_some(&self.values[..])
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.values.first()?.as_ref()
    }
}

#[derive(Default)]
pub(super) struct Streams<'w> {
    pub(super) id: Vec<i64>,
    pub(super) domain: Vec<&'w str>,
    pub(super) edition: Vec<&'w str>,
    pub(super) root: Vec<Uuid>,
    pub(super) diverged_at: Vec<Option<i64>>,
}

#[derive(Default)]
pub(super) struct DedupRows<'w> {
    pub(super) stream: Vec<i64>,
    pub(super) key: Vec<&'w [u8]>,
    pub(super) first_sequence: Vec<i64>,
    pub(super) count: Vec<i64>,
    pub(super) last_position: Vec<i64>,
}

#[derive(Default)]
pub(super) struct Snapshots<'w> {
    pub(super) stream: Vec<i64>,
    pub(super) sequence: Vec<i64>,
    pub(super) type_id: Vec<i32>,
    pub(super) created_at: Vec<i64>,
    pub(super) retention: Vec<i16>,
    pub(super) state: Vec<&'w [u8]>,
}

impl Rows<'_> {
    /// Nothing has to be stored: everything was refused, or empty.
    pub(super) fn is_empty(&self) -> bool {
        self.events.stream.is_empty() && self.is_events_only()
    }

    /// The hot case, with statements of its own.
    pub(super) fn is_events_only(&self) -> bool {
        self.streams.id.is_empty()
            && self.diverged.0.is_empty()
            && self.dedup.stream.is_empty()
            && self.snapshots.stream.is_empty()
            && self.checkpoints.is_empty()
            && self.settled.0.is_empty()
            && self.removed.is_empty()
            && self.intents.is_empty()
    }

    /// Storing it twice comes to the same as storing it once.
    pub(super) fn is_repeatable(&self) -> bool {
        self.events.stream.is_empty()
            && self.dedup.stream.is_empty()
            && self.settled.0.is_empty()
            && self.removed.is_empty()
            && self.intents.is_empty()
    }
}

/// A batch that is being decided.
pub(super) struct Plan<'w, 'k> {
    /// The end of each stream of the batch, as it is after what was decided so far.
    streams: Map<StreamKey, Option<Known>>,
    types: &'k Types,
    facts: Option<&'k Facts>,
    /// Dedup keys that the batch itself adds.
    keys: Map<(i64, &'w [u8]), Written>,
    /// What the batch itself does to intents: the due time, and where in `rows` it is put; `None` where it goes.
    intents: Map<IntentId, Option<(Nanos, usize)>>,
    /// Before the batch.
    pub(super) last_position: u64,
    position: u64,
    stream: i64,
    pub(super) rows: Rows<'w>,
}

impl<'w, 'k> Plan<'w, 'k> {
    /// `streams` has every stream that the batch names, `None` for those that do not exist.
    pub(super) fn new(
        streams: Map<StreamKey, Option<Known>>,
        types: &'k Types,
        facts: Option<&'k Facts>,
        last_position: u64,
        last_stream: i64,
    ) -> Self {
        Self {
            streams,
            types,
            facts,
            keys: Map::default(),
            intents: Map::default(),
            last_position,
            position: last_position,
            stream: last_stream,
            rows: Rows::default(),
        }
    }

    /// What is known when it is stored.
    pub(super) fn into_known(self) -> (Map<StreamKey, Option<Known>>, u64, i64) {
        (self.streams, self.position, self.stream)
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Gives out positions for events that are not in the rows.
    pub(super) fn take_positions(&mut self, count: u64) {
        self.position += count;
    }

    /// The numbers that were given out before something is discarded.
    pub(super) fn newest(&self) -> (u64, i64) {
        (self.position, self.stream)
    }

    pub(super) fn decide(&mut self, write: &'w Write) -> Result<Outcome, NeedsFacts> {
        let Some(extras) = write.extras.as_deref() else {
            let Some(append) = &write.append else { return Ok(Ok(Written::default())) };
            return Ok(match self.check(append)? {
                Ok(()) => Ok(self.store(append)),
                Err(error) => Err(error),
            });
        };
        if let Err(error) = check_shape(write.append.as_ref(), extras) {
            return Ok(Err(error));
        }
        // Everything is checked before anything is stored.
        let Extras { appends, snapshots, checkpoints, intents, settles, withdraws, merges, .. } = extras;
        if let Err(error) = self.check_settles(settles, write.append.iter().chain(appends))? {
            return Ok(Err(error));
        }
        for append in write.append.iter().chain(appends) {
            if let Err(error) = self.check(append)? {
                return Ok(Err(error));
            }
        }
        for merge in merges {
            if let Err(error) = self.check_merge(merge)? {
                return Ok(Err(error));
            }
        }
        let written = write.append.as_ref().map(|append| self.store(append)).unwrap_or_default();
        for append in appends {
            self.store(append);
        }
        for SnapshotWrite { key, snapshot } in snapshots {
            let stream = self.stream_or_new(key, None);
            let rows = &mut self.rows.snapshots;
            rows.stream.push(stream.id);
            rows.sequence.push(snapshot.sequence.into());
            rows.type_id.push(self.types.get(&snapshot.type_name, snapshot.state_version).unwrap_or_default());
            rows.created_at.push(snapshot.created_at);
            rows.retention.push(encode_retention(snapshot.retention));
            rows.state.push(&snapshot.state);
        }
        for (subscriber, position) in checkpoints {
            let stored = self.rows.checkpoints.entry(subscriber.as_str()).or_default();
            *stored = (*position).max(*stored);
        }
        for settle in settles {
            self.settle(settle);
        }
        for id in withdraws {
            self.remove_intent(*id);
        }
        for intent in intents {
            self.remove_intent(intent.id);
            self.intents.insert(intent.id, Some((intent.due, self.rows.intents.len())));
            self.rows.intents.push(Some(intent));
        }
        Ok(Ok(written))
    }

    pub(super) fn known(&self, key: &StreamKey) -> Option<Known> {
        self.streams.get(key).copied().flatten()
    }

    fn stream_or_new(&mut self, key: &'w StreamKey, diverged_at: Option<u32>) -> Known {
        match self.known(key) {
            Some(known) => known,
            None => self.new_stream(key, &key.edition, diverged_at),
        }
    }

    /// The main stream that a branch is merged into.
    pub(super) fn merge_target(&mut self, branch: &'w StreamKey) -> Known {
        match self.known(&branch.on_main()) {
            Some(known) => known,
            None => self.new_stream(branch, "", None),
        }
    }

    /// The stream of a key's domain and root on a timeline that does not have it.
    fn new_stream(&mut self, key: &'w StreamKey, edition: &'w str, diverged_at: Option<u32>) -> Known {
        self.stream += 1;
        let rows = &mut self.rows.streams;
        rows.id.push(self.stream);
        rows.domain.push(&key.domain);
        rows.edition.push(edition);
        rows.root.push(key.root);
        rows.diverged_at.push(diverged_at.map(i64::from));
        let head = StreamHead { next_sequence: diverged_at.unwrap_or(0), has_events: false, diverged_at };
        let known = Known { id: self.stream, head };
        let key = if edition.is_empty() { key.on_main() } else { key.clone() };
        self.streams.insert(key, Some(known));
        known
    }

    /// Main went on because of a merge.
    pub(super) fn moved(&mut self, key: &StreamKey, known: Known) {
        self.streams.insert(key.clone(), Some(known));
    }

    /// Whether what is to be carried out is still there. Where the whole write was stored before, that is the answer.
    fn check_settles(
        &self,
        settles: &[Settle],
        appends: impl Iterator<Item = &'w Append>,
    ) -> Result<Result<(), WriteError>, NeedsFacts> {
        let is_open = |settle: &&Settle| match (self.intents.get(&settle.id), self.facts) {
            (Some(planned), _) => planned.is_some_and(|(due, _)| due == settle.due),
            (None, Some(facts)) => facts.due.get(&settle.id) == Some(&settle.due),
            (None, None) => true,
        };
        let Some(gone) = settles.iter().find(|settle| !is_open(settle)) else { return Ok(Ok(())) };
        for append in appends {
            if let Some(first) = self.duplicate(append)? {
                return Ok(Err(WriteError::Duplicate(first)));
            }
        }
        Ok(Err(WriteError::Settled { intent: gone.id }))
    }

    /// Whether an append may be stored. A known dedup key comes before a conflict: the first answer is the answer.
    fn check(&self, append: &'w Append) -> Result<Result<(), WriteError>, NeedsFacts> {
        let fits = append.check(self.known(&append.key).map(|it| it.head));
        match self.duplicate(append) {
            Ok(Some(first)) => Ok(Err(WriteError::Duplicate(first))),
            Ok(None) => Ok(fits),
            // Assumed to be new.
            Err(NeedsFacts) if fits.is_ok() => Ok(Ok(())),
            Err(NeedsFacts) => Err(NeedsFacts),
        }
    }

    fn duplicate(&self, append: &'w Append) -> Result<Option<Written>, NeedsFacts> {
        let (Some(Dedup(key)), Some(stream)) = (&append.dedup, self.known(&append.key)) else { return Ok(None) };
        if let Some(first) = self.keys.get(&(stream.id, &key[..])) {
            return Ok(Some(*first));
        }
        match self.facts {
            Some(facts) => Ok(facts.dedup.get(&(stream.id, key.clone())).copied()),
            None => Err(NeedsFacts),
        }
    }

    /// Whether a branch may be merged: neither it nor its main stream has moved.
    fn check_merge(&self, merge: &StreamMerge) -> Result<Result<(), WriteError>, NeedsFacts> {
        let facts = self.facts.ok_or(NeedsFacts)?;
        let main = self.known(&merge.branch.on_main());
        let branch = self.known(&merge.branch);
        if let Err(error) = merge.check(main.map(|it| it.head), branch.map(|it| it.head)) {
            return Ok(Err(error));
        }
        let unknown = |branch: &Known| {
            !merge.dedup.iter().all(|(Dedup(key), _)| facts.dedup.contains_key(&(branch.id, key.clone())))
        };
        Ok(match branch.filter(unknown) {
            Some(branch) => Err(merge.moved(Some(branch.head))),
            None => Ok(()),
        })
    }

    /// Stores an append that was checked.
    fn store(&mut self, append: &'w Append) -> Written {
        let count = append.events.len() as u32;
        let mut written = Written { first_sequence: append.expected, count, last_position: 0 };
        if append.events.is_empty() && append.dedup.is_none() {
            return written;
        }
        if count > 0 {
            written.last_position = self.position + u64::from(count);
        }
        // Only an event makes a branch leave (row B1).
        let diverged_at = append.diverged_at.filter(|_| count > 0);
        let mut stream = self.stream_or_new(&append.key, diverged_at);
        if let Some(Dedup(key)) = &append.dedup {
            self.keys.insert((stream.id, key), written);
            let rows = &mut self.rows.dedup;
            rows.stream.push(stream.id);
            rows.key.push(key);
            rows.first_sequence.push(written.first_sequence.into());
            rows.count.push(written.count.into());
            rows.last_position.push(signed(written.last_position));
        }
        if count == 0 {
            return written;
        }
        if let Some(at) = diverged_at
            && stream.head.diverged_at.is_none()
        {
            self.rows.diverged.0.push(stream.id);
            self.rows.diverged.1.push(at.into());
            stream.head.diverged_at = Some(at);
        }
        let ext = encode_ext(&append.headers);
        let divergences = encode_divergences(&append.headers);
        let origin = Some(append.headers.origin()).filter(|it| !it.is_empty());
        let workflow = Some(append.headers.correlation_id()).filter(|it| !it.is_empty());
        let rows = &mut self.rows.events;
        for (sequence, event) in (append.expected..).zip(&append.events) {
            rows.stream.push(stream.id);
            rows.sequence.push(sequence.into());
            rows.created_at.push(append.created_at);
            rows.type_id.push(self.types.get(&event.type_name, event.schema_version).unwrap_or_default());
            rows.isolated.push(event.isolated.then_some(true));
            rows.workflow.push(workflow);
            rows.ext.push(ext.clone());
            rows.divergences.push(divergences.clone());
            rows.trace.push(origin.clone());
            rows.payload.push(&event.payload);
        }
        self.position = written.last_position;
        stream.head.next_sequence = append.expected + count;
        stream.head.has_events = true;
        if let Some(known) = self.streams.get_mut(&append.key) {
            *known = Some(stream);
        }
        written
    }

    /// An intent that was checked goes.
    fn settle(&mut self, settle: &Settle) {
        if self.intents.contains_key(&settle.id) {
            self.remove_intent(settle.id);
        } else {
            self.rows.settled.0.push(settle.id);
            self.rows.settled.1.push(settle.due);
            self.intents.insert(settle.id, None);
        }
    }

    fn remove_intent(&mut self, id: IntentId) {
        match self.intents.insert(id, None) {
            // It is removed already, and put again or not.
            Some(Some((_, place))) => self.rows.intents[place] = None,
            Some(None) => {}
            None => self.rows.removed.push(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sparse;

    #[test]
    fn a_column_is_sent_from_its_first_value_on_and_each_value_keeps_its_row() {
        let mut column = Sparse::default();
        column.push(None);
        column.push(None);
        assert_eq!(column.column(), None, "nothing is sent");
        column.push(Some(7));
        column.push(None);
        assert_eq!(column.column(), Some(&[None, None, Some(7), None][..]));
        assert_eq!(column.first(), None);
    }
}
