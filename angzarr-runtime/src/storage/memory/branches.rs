//! What happens to whole branches: merged into the main timeline, discarded, listed.
//!
//! In: merges and discards that were checked. Out: new events on main; holes in the log. Never: a change of an event.

use std::collections::{BTreeMap, HashSet};

use super::super::{Dedup, EditionDiscard, EditionInfo, StreamMerge, WriteError, Written};
use super::log::Entry;
use super::state::{State, Stream};
use crate::dead_letter::Resolution;
use crate::stream::{StreamKey, WaitMark};

impl State {
    /// Whether a branch may be merged: neither it nor its main stream has moved.
    pub(super) fn check_merge(&self, merge: &StreamMerge) -> Result<(), WriteError> {
        let main = self.stream(&merge.branch.on_main()).map(|(_, stream)| stream.head());
        let branch = self.stream(&merge.branch);
        merge.check(main, branch.map(|(_, stream)| stream.head()))?;
        let unknown = |(number, stream): (u32, &Stream)| {
            let known = |(Dedup(key), _): &(Dedup, Dedup)| self.dedup.contains_key(&(number, key.clone()));
            (!merge.dedup.iter().all(known)).then(|| merge.moved(Some(stream.head())))
        };
        branch.and_then(unknown).map_or(Ok(()), Err)
    }

    /// Appends the events of branches that were checked to their main streams, in order of their positions (row B6).
    pub(super) fn merge(&mut self, merges: Vec<StreamMerge>) {
        let mut events: Vec<(u64, u32)> = Vec::new();
        let mut keys = Vec::with_capacity(merges.len());
        for merge in merges {
            let main = self.number(merge.branch.on_main());
            let Some((branch, stream)) = self.stream(&merge.branch) else { continue };
            events.extend(stream.positions.iter().map(|position| (*position, main)));
            keys.push((branch, main, merge.dedup));
        }
        events.sort_unstable();
        for (position, main) in events {
            let Some(entry) = self.log.get(position) else { continue };
            let headers = entry.headers.clone().with_divergences(Vec::new()).with_wait(None);
            let entry = Entry {
                stream: main,
                sequence: entry.sequence,
                schema_version: entry.schema_version,
                isolated: entry.isolated,
                created_at: entry.created_at,
                type_name: entry.type_name.clone(),
                payload: entry.payload.clone(),
                headers: headers.clone(),
            };
            let position = self.log.push(entry);
            self.streams[main as usize].positions.push(position);
            self.note_workflow(&headers, position..=position);
        }
        for (branch, main, dedup) in keys {
            for (Dedup(key), Dedup(on_main)) in dedup {
                let Some(written) = self.dedup.get(&(branch, key)).copied() else { continue };
                let last_position = self.streams[main as usize].position_of_last(&written);
                self.dedup.entry((main, on_main)).or_insert(Written { last_position, ..written });
            }
        }
    }

    /// Removes all that belongs to an edition (row B5).
    pub(super) fn discard(&mut self, discard: &EditionDiscard) {
        let mut numbers = HashSet::new();
        for number in 0..self.streams.len() {
            if self.streams[number].removed || !discard.covers(&self.streams[number].key) {
                continue;
            }
            self.unlink(number as u32);
            numbers.insert(number as u32);
        }
        self.dedup.retain(|(number, _), _| !numbers.contains(number));
        self.intents.remove_of(|stream| discard.covers(stream));
        for letter in self.letters.iter_mut().filter(|it| it.resolution.is_none()) {
            if letter.event_place().is_some_and(|(stream, _)| discard.covers(&stream)) {
                letter.resolution = Some(Resolution::Discarded { at: discard.at, reason: discard.reason() });
            }
        }
        self.discards += 1;
    }

    /// Removes a stream with its events. Its number is not given again: a reader may still hold it.
    fn unlink(&mut self, number: u32) {
        let stream = &mut self.streams[number as usize];
        let (root, next) = (stream.key.root.as_u128(), stream.same_root.take());
        let positions = std::mem::take(&mut stream.positions);
        *stream = Stream::new(stream.key.clone(), None);
        stream.removed = true;
        match self.roots.get(&root).copied() {
            Some(first) if first == number => drop(match next {
                Some(next) => self.roots.insert(root, next),
                None => self.roots.remove(&root),
            }),
            mut before => {
                while let Some(stream) = before.and_then(|before| self.streams.get_mut(before as usize)) {
                    before = stream.same_root;
                    if before == Some(number) {
                        stream.same_root = next;
                        break;
                    }
                }
            }
        }
        let (mut workflows, mut waits) = (HashSet::new(), HashSet::new());
        for position in positions {
            let Some(headers) = self.log.remove(position) else { continue };
            waits.extend(headers.wait().map(WaitMark::wait));
            if !headers.correlation_id().is_empty() {
                workflows.insert(headers.correlation_id().to_owned());
            }
        }
        for wait in waits {
            if let Some(known) = self.waits.get_mut(&wait) {
                known.retain(|position| self.log.get(*position).is_some());
                if known.is_empty() {
                    self.waits.remove(&wait);
                }
            }
        }
        for workflow in workflows {
            if let Some(known) = self.correlations.get_mut(&workflow) {
                known.retain(|position| self.log.get(*position).is_some());
                if known.is_empty() {
                    self.correlations.remove(&workflow);
                }
            }
        }
    }

    pub(super) fn dedup_keys(&self, key: &StreamKey) -> Vec<(Dedup, Written)> {
        let Some((number, _)) = self.stream(key) else { return Vec::new() };
        let of_stream = self.dedup.iter().filter(|((of, _), _)| *of == number);
        let mut keys: Vec<_> = of_stream.map(|((_, key), written)| (Dedup(key.clone()), *written)).collect();
        keys.sort_unstable_by(|(one, _), (other, _)| one.0.cmp(&other.0));
        keys
    }

    pub(super) fn editions(&self) -> Vec<EditionInfo> {
        let mut editions = BTreeMap::new();
        for stream in self.streams.iter().filter(|it| !it.key.is_main() && !it.positions.is_empty()) {
            let none = || EditionInfo { name: stream.key.edition.clone(), streams: 0, events: 0 };
            let edition = editions.entry(stream.key.edition.clone()).or_insert_with(none);
            edition.streams += 1;
            edition.events += stream.positions.len() as u64;
        }
        editions.into_values().collect()
    }

    /// Changes when events were removed: what was read in pieces before has to be read again.
    pub(super) fn discards(&self) -> u64 {
        self.discards
    }
}

impl Stream {
    /// Where the last event is that a key of this stream stored.
    fn position_of_last(&self, written: &Written) -> u64 {
        let last = written.count.checked_sub(1).map(|more| written.first_sequence.saturating_add(more));
        let place = last.and_then(|last| last.checked_sub(self.first));
        place.and_then(|place| self.positions.get(place as usize)).copied().unwrap_or(0)
    }
}
