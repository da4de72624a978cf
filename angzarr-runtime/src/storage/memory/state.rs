//! What the store holds, under one lock.
//!
//! In: one write or question at a time. Out: all of a write or nothing (promise 1). Never: locks, threads, futures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use foldhash::fast::RandomState;
use uuid::Uuid;

use super::super::write::{StreamHead, check_shape};
use super::super::{
    Answer, Append, Dedup, Extras, Settle, SnapshotWrite, StreamFilter, StreamInfo, StreamRead, StreamSlice, Write,
    WriteError, Written,
};
use super::intents::Intents;
use super::log::{Entry, Log};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{Headers, LogEvent, Name, Nanos, Retention, StoredEvent, StoredSnapshot, StreamKey};

type Map<K, V> = HashMap<K, V, RandomState>;

#[derive(Debug, Default)]
pub(super) struct State {
    /// The stream of each root that was seen first; the others follow in [`Stream::same_root`]. Mostly there are none,
    /// so a lookup hashes 16 bytes and no names.
    pub(super) roots: Map<u128, u32>,
    pub(super) streams: Vec<Stream>,
    pub(super) log: Log,
    pub(super) dedup: Map<(u32, Bytes), Written>,
    pub(super) correlations: Map<String, Vec<u64>>,
    /// Events with the mark of a wait.
    pub(super) waits: Map<Uuid, Vec<u64>>,
    /// With their numbers, in the order in which they were told.
    pub(super) answers: BTreeMap<(Uuid, Bytes), (u64, Answer)>,
    pub(super) answers_told: u64,
    checkpoints: Map<Name, u64>,
    pub(super) intents: Intents,
    pub(super) letters: Vec<DeadLetter>,
    letter_numbers: Map<DeadLetterId, usize>,
    /// How often something was discarded.
    pub(super) discards: u64,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    /// The next stream of this root, in another domain or edition.
    pub(super) same_root: Option<u32>,
    /// Where each event is in the log; the first one has the sequence `first`.
    pub(super) positions: Vec<u64>,
    pub(super) first: u32,
    /// It was discarded. The same key may have begun anew, under another number.
    pub(super) removed: bool,
    diverged_at: Option<u32>,
    /// In order of their sequence.
    snapshots: Vec<StoredSnapshot>,
}

impl Stream {
    pub(super) fn new(key: StreamKey, same_root: Option<u32>) -> Self {
        Self {
            key,
            same_root,
            positions: Vec::new(),
            first: 0,
            removed: false,
            diverged_at: None,
            snapshots: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> StreamHead {
        StreamHead {
            next_sequence: self.next_sequence(),
            has_events: !self.positions.is_empty(),
            diverged_at: self.diverged_at,
        }
    }

    fn next_sequence(&self) -> u32 {
        // Every append checks that this fits.
        self.first + self.positions.len() as u32
    }
}

impl State {
    /// The position of the last event.
    pub(super) fn head(&self) -> u64 {
        self.log.head()
    }

    pub(super) fn commit(&mut self, write: Write) -> Result<Written, WriteError> {
        let Some(extras) = write.extras else {
            return match write.append {
                Some(append) => {
                    let number = self.check(&append)?;
                    Ok(self.apply(number, append))
                }
                None => Ok(Written::default()),
            };
        };
        // Everything is checked before anything is changed.
        check_shape(write.append.as_ref(), &extras)?;
        let Extras {
            appends,
            snapshots,
            checkpoints,
            dead_letters,
            intents,
            settles,
            withdraws,
            merges,
            discards,
            answers,
            forgets,
        } = *extras;
        self.check_settles(&settles, write.append.iter().chain(&appends))?;
        for append in write.append.iter().chain(&appends) {
            self.check(append)?;
        }
        for merge in &merges {
            self.check_merge(merge)?;
        }
        let mut written = Written::default();
        if let Some(append) = write.append {
            let number = self.find(&append.key);
            written = self.apply(number, append);
        }
        for append in appends {
            let number = self.find(&append.key);
            self.apply(number, append);
        }
        if !merges.is_empty() {
            self.merge(merges);
        }
        for snapshot in snapshots {
            self.add_snapshot(snapshot);
        }
        for (subscriber, position) in checkpoints {
            let stored = self.checkpoints.entry(subscriber).or_default();
            *stored = position.max(*stored);
        }
        for letter in dead_letters {
            match self.letter_numbers.get(&letter.id).and_then(|number| self.letters.get_mut(*number)) {
                Some(stored) if letter.replaces(stored) => *stored = letter,
                Some(_) => {}
                None => {
                    self.letter_numbers.insert(letter.id, self.letters.len());
                    self.letters.push(letter);
                }
            }
        }
        for id in withdraws.into_iter().chain(settles.iter().map(|it| it.id)) {
            self.intents.remove(id);
        }
        for intent in intents {
            self.intents.put(intent);
        }
        self.tell(answers);
        for discard in &discards {
            self.discard(discard);
        }
        for (key, Dedup(dedup)) in forgets {
            if let Some(number) = self.find(&key) {
                self.dedup.remove(&(number, dedup));
            }
        }
        Ok(written)
    }

    /// Whether what is to be carried out is still there. Where the whole write was stored before, that is the answer.
    fn check_settles<'a>(
        &self,
        settles: &[Settle],
        mut appends: impl Iterator<Item = &'a Append>,
    ) -> Result<(), WriteError> {
        let Some(gone) = settles.iter().find(|it| !self.intents.is_open(it)) else { return Ok(()) };
        let first = appends.find_map(|it| self.find_duplicate(&it.key, it.dedup.as_ref()?));
        Err(first.map_or(WriteError::Settled { intent: gone.id }, WriteError::Duplicate))
    }

    /// Whether the append can be stored, and the number of its stream, if it exists.
    fn check(&self, append: &Append) -> Result<Option<u32>, WriteError> {
        let number = self.find(&append.key);
        if let (Some(number), Some(Dedup(key))) = (number, &append.dedup)
            && let Some(first) = self.dedup.get(&(number, key.clone()))
        {
            return Err(WriteError::Duplicate(*first));
        }
        append.check(number.and_then(|number| self.streams.get(number as usize)).map(Stream::head))?;
        Ok(number)
    }

    /// Stores an append that was checked.
    fn apply(&mut self, number: Option<u32>, append: Append) -> Written {
        let Append { key, expected, events, created_at, headers, dedup, diverged_at } = append;
        if events.is_empty() && dedup.is_none() {
            return Written { first_sequence: expected, ..Written::default() };
        }
        let number = number.unwrap_or_else(|| self.number(key));
        let stream = &mut self.streams[number as usize];
        // Only an event makes a branch leave (row B1).
        if stream.positions.is_empty() && !events.is_empty() {
            stream.diverged_at = stream.diverged_at.or(diverged_at);
            stream.first = expected;
        }
        let before = self.log.head();
        let count = events.len() as u32;
        for (sequence, event) in (expected..).zip(events) {
            let position = self.log.push(Entry {
                stream: number,
                sequence,
                schema_version: event.schema_version,
                isolated: event.isolated,
                created_at,
                type_name: event.type_name,
                payload: event.payload,
                headers: headers.clone(),
            });
            stream.positions.push(position);
        }
        self.note_workflow(&headers, before + 1..=self.log.head());
        let last_position = if count == 0 { 0 } else { self.log.head() };
        let written = Written { first_sequence: expected, count, last_position };
        if let Some(Dedup(key)) = dedup {
            self.dedup.insert((number, key), written);
        }
        written
    }

    pub(super) fn note_workflow(&mut self, headers: &Headers, positions: RangeInclusive<u64>) {
        if let Some(mark) = headers.wait() {
            self.waits.entry(mark.wait()).or_default().extend(positions.clone());
        }
        let correlation_id = headers.correlation_id();
        if correlation_id.is_empty() {
            return;
        }
        match self.correlations.get_mut(correlation_id) {
            Some(known) => known.extend(positions),
            None => drop(self.correlations.insert(correlation_id.to_owned(), positions.collect())),
        }
    }

    /// The number of a stream, if it exists.
    fn find(&self, key: &StreamKey) -> Option<u32> {
        let mut next = self.roots.get(&key.root.as_u128()).copied();
        while let Some(number) = next {
            let stream = self.streams.get(number as usize)?;
            if same(&stream.key.domain, &key.domain) && same(&stream.key.edition, &key.edition) {
                return Some(number);
            }
            next = stream.same_root;
        }
        None
    }

    /// The next sequence of a stream; 0 for one that does not exist.
    pub(super) fn next_sequence(&self, key: &StreamKey) -> u32 {
        self.stream(key).map_or(0, |(_, stream)| stream.next_sequence())
    }

    /// The number of a stream; it gets one now if it has none.
    pub(super) fn number(&mut self, key: StreamKey) -> u32 {
        if let Some(number) = self.find(&key) {
            return number;
        }
        let number = self.streams.len() as u32;
        let same_root = self.roots.insert(key.root.as_u128(), number);
        self.streams.push(Stream::new(key, same_root));
        number
    }

    /// Rows N1 to N3, N5, N6.
    fn add_snapshot(&mut self, SnapshotWrite { key, snapshot }: SnapshotWrite) {
        let number = self.number(key);
        let stored = &mut self.streams[number as usize].snapshots;
        let keep = snapshot.retention == Retention::Persist;
        if !keep && stored.last().is_some_and(|newest| newest.sequence > snapshot.sequence) {
            return; // late: the newer one has made it superfluous
        }
        let same = |it: &&mut StoredSnapshot| {
            it.sequence == snapshot.sequence
                && it.type_name == snapshot.type_name
                && it.state_version == snapshot.state_version
        };
        if let Some(same) = stored.iter_mut().find(same) {
            if keep {
                same.retention = Retention::Persist;
            }
            return;
        }
        stored.retain(|it| it.sequence >= snapshot.sequence || it.retention == Retention::Persist);
        let place = stored.partition_point(|it| it.sequence <= snapshot.sequence);
        stored.insert(place, snapshot);
    }

    pub(super) fn stream(&self, key: &StreamKey) -> Option<(u32, &Stream)> {
        let number = self.find(key)?;
        Some((number, self.streams.get(number as usize)?))
    }

    /// Everything of a slice but its events, and which events those are: number of the stream and places in it.
    pub(super) fn locate(&self, key: &StreamKey, read: &StreamRead) -> Option<(StreamSlice, u32, Range<usize>)> {
        let (number, stream) = self.stream(key)?;
        let mut foreign_snapshot = None;
        let snapshot = read.snapshot.as_ref().and_then(|(type_name, version)| {
            let mut admitted = stream.snapshots.iter().rev().filter(|it| read.admits(it.sequence, it.created_at));
            admitted.find(|it| {
                let fits = it.type_name == *type_name && it.state_version == *version;
                if !fits {
                    foreign_snapshot.get_or_insert(it.sequence);
                }
                fits
            })
        });
        let from = snapshot.map_or(read.from, |it| it.sequence.saturating_add(1)).max(read.from);
        let place = |sequence: u32| (sequence.saturating_sub(stream.first) as usize).min(stream.positions.len());
        let end = read
            .to
            .map_or(stream.positions.len(), |to| if to < stream.first { 0 } else { place(to).saturating_add(1) });
        let end = end.min(stream.positions.len());
        let last = stream.positions.last().and_then(|position| self.log.get(*position));
        let slice = StreamSlice {
            snapshot: snapshot.cloned(),
            foreign_snapshot,
            events: Vec::new(),
            next_sequence: stream.next_sequence(),
            last_created_at: last.map_or(0, |entry| entry.created_at),
            diverged_at: stream.diverged_at,
        };
        Some((slice, number, place(from).min(end)..end))
    }

    /// Copies events of a stream; `false` if one of them was later than `until`.
    pub(super) fn copy(
        &self,
        stream: u32,
        places: Range<usize>,
        until: Option<Nanos>,
        into: &mut Vec<StoredEvent>,
    ) -> bool {
        let Some(positions) = self.streams.get(stream as usize).and_then(|it| it.positions.get(places)) else {
            return false;
        };
        for &position in positions {
            match self.log.get(position) {
                Some(entry) if until.is_none_or(|until| entry.created_at <= until) => into.push(entry.event(position)),
                _ => return false,
            }
        }
        true
    }

    pub(super) fn find_duplicate(&self, key: &StreamKey, Dedup(dedup): &Dedup) -> Option<Written> {
        let number = self.find(key)?;
        self.dedup.get(&(number, dedup.clone())).copied()
    }

    fn log_event(&self, position: u64) -> Option<LogEvent> {
        let entry = self.log.get(position)?;
        let stream = self.streams.get(entry.stream as usize)?.key.clone();
        Some(LogEvent { stream, event: entry.event(position) })
    }

    /// Copies the events of the next `positions` places, until `bytes` of payloads are reached. Answers the last place that
    /// it looked at and what is left of the bytes; `None` behind the end of the log.
    pub(super) fn read_log(
        &self,
        after: u64,
        positions: usize,
        bytes: usize,
        into: &mut Vec<LogEvent>,
    ) -> Option<(u64, usize)> {
        let last = self.head().min(after.saturating_add(positions as u64));
        if last <= after {
            return None;
        }
        let mut left = bytes;
        for position in after + 1..=last {
            let Some(item) = self.log_event(position) else { continue };
            left = left.saturating_sub(item.event.payload.len());
            into.push(item);
            if left == 0 {
                return Some((position, 0));
            }
        }
        Some((last, left))
    }

    pub(super) fn read_correlation(&self, correlation_id: &str) -> Vec<LogEvent> {
        let positions = self.correlations.get(correlation_id).map_or(&[][..], Vec::as_slice);
        positions.iter().filter_map(|position| self.log_event(*position)).collect()
    }

    pub(super) fn read_wait(&self, wait: Uuid, after: u64) -> Vec<LogEvent> {
        let positions = self.waits.get(&wait).map_or(&[][..], Vec::as_slice);
        positions[positions.partition_point(|position| *position <= after)..]
            .iter()
            .filter_map(|position| self.log_event(*position))
            .collect()
    }

    pub(super) fn streams(&self, filter: &StreamFilter, after: Option<&StreamKey>, limit: usize) -> Vec<StreamInfo> {
        let mut matching: Vec<&Stream> = self
            .streams
            .iter()
            .filter(|it| !it.positions.is_empty() || (filter.without_events && !it.removed))
            .filter(|it| filter.domain.as_deref().is_none_or(|domain| it.key.domain == *domain))
            .filter(|it| filter.edition.as_deref().is_none_or(|edition| it.key.edition == *edition))
            .filter(|it| after.is_none_or(|after| it.key > *after))
            .collect();
        if limit < matching.len() {
            matching.select_nth_unstable_by(limit, |a, b| a.key.cmp(&b.key));
            matching.truncate(limit);
        }
        matching.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let info = |it: &Stream| StreamInfo {
            key: it.key.clone(),
            next_sequence: it.next_sequence(),
            last_created_at: it.positions.last().and_then(|at| self.log.get(*at)).map_or(0, |entry| entry.created_at),
            diverged_at: it.diverged_at,
        };
        matching.into_iter().map(info).collect()
    }

    pub(super) fn domains(&self) -> Vec<String> {
        let domains: BTreeSet<&str> =
            self.streams.iter().filter(|it| !it.removed).map(|it| it.key.domain.as_str()).collect();
        domains.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn snapshots(&self, key: &StreamKey) -> Vec<StoredSnapshot> {
        self.stream(key).map(|(_, stream)| stream.snapshots.clone()).unwrap_or_default()
    }

    pub(super) fn checkpoint(&self, subscriber: &str) -> Option<u64> {
        self.checkpoints.get(subscriber).copied()
    }

    pub(super) fn dead_letters(&self, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
        let wanted = |it: &&DeadLetter| {
            (filter.include_resolved || it.resolution.is_none())
                && filter.domain.as_deref().is_none_or(|domain| it.domain() == domain)
                && filter.component.as_deref().is_none_or(|component| it.letter.source_component == component)
                && filter.correlation_id.as_deref().is_none_or(|id| correlation_id(it) == id)
        };
        let mut letters: Vec<&DeadLetter> = self.letters.iter().filter(wanted).collect();
        letters.sort_by_key(|it| it.occurred_at);
        letters.into_iter().take(filter.limit.unwrap_or(1_000)).cloned().collect()
    }

    pub(super) fn dead_letter(&self, id: DeadLetterId) -> Option<DeadLetter> {
        self.letter_numbers.get(&id).and_then(|number| self.letters.get(*number)).cloned()
    }

    /// The open letters of a component that hold events, with the place of the first one.
    fn parked<'a>(&'a self, component: &'a str) -> impl Iterator<Item = (StreamKey, u32, &'a DeadLetter)> {
        let of_component = move |it: &&DeadLetter| it.resolution.is_none() && it.letter.source_component == component;
        self.letters.iter().filter(of_component).filter_map(|it| {
            let (stream, sequence) = it.event_place()?;
            Some((stream, sequence, it))
        })
    }

    pub(super) fn parked_streams(&self, component: &str) -> Vec<StreamKey> {
        let streams: BTreeSet<StreamKey> = self.parked(component).map(|(stream, ..)| stream).collect();
        streams.into_iter().collect()
    }

    pub(super) fn oldest_parked(&self, component: &str, stream: &StreamKey) -> Option<DeadLetter> {
        let of_stream = self.parked(component).filter(|(parked, ..)| parked == stream);
        of_stream.min_by_key(|(_, sequence, _)| *sequence).map(|(_, _, letter)| letter.clone())
    }

    pub(super) fn resolve(&mut self, id: DeadLetterId, resolution: Resolution) -> bool {
        let letter = self.letter_numbers.get(&id).and_then(|number| self.letters.get_mut(*number));
        match letter {
            Some(letter) if letter.resolution.is_none() => {
                letter.resolution = Some(resolution);
                true
            }
            _ => false,
        }
    }
}

/// Most names are the same literal of the program.
fn same(one: &Name, other: &Name) -> bool {
    std::ptr::eq(one.as_str(), other.as_str()) || one == other
}

fn correlation_id(letter: &DeadLetter) -> &str {
    letter.letter.cover.as_ref().map_or("", |cover| cover.correlation_id.as_str())
}
