//! The inbox: what a consumer makes of messages that may be lost, doubled, late or in any order (row R7).
//!
//! In: publications as they come, and the store. Out: each wanted event behind the start once, in the order of its stream.
//! Never: an event before an older one of its stream, or a message that waits in memory for another one; what is missing is
//! read from the store.
//!
//! Two facts carry all of it. Of each stream the events that were handed out are an unbroken run from the start. And of
//! the whole log, everything up to the `cursor` was handed out, beside what is noted in `ahead`. So a position tells what is a
//! double; a sequence tells where a hole is; and a position that stays behind tells that a message was lost.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Publication;
use crate::storage::{Storage, StorageError, StreamRead};
use crate::stream::{LogEvent, Name, StoredEvent, StreamKey};

/// The log is read in portions of this many events.
const PORTION: usize = 1_024;
/// And of no more than about this many bytes.
const PORTION_BYTES: usize = 8 << 20;
/// The largest hole that is filled by reading its stream; behind a larger one the log is read.
const HOLE: u32 = 256;
/// Positions that are noted ahead of the cursor. With more of them the log is read.
const AHEAD: usize = 4_096;
/// How long the messages of other streams that are missing may take before the log is read.
const LATE: Duration = Duration::from_millis(100);
/// How often the store is asked whether there is more than the messages said.
const LOOK: Duration = Duration::from_secs(1);

/// Which events a consumer wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// None: of every domain.
    pub(super) domains: Option<HashSet<Name>>,
    pub(super) every_edition: bool,
}

impl Wanted {
    fn includes(&self, event: &LogEvent) -> bool {
        let LogEvent { stream, event } = event;
        !event.isolated
            && (self.every_edition || stream.is_main())
            && self.domains.as_ref().is_none_or(|domains| domains.contains(stream.domain.as_str()))
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It can be handed out.
    InOrder,
    /// So can it and these events before it, which were missing.
    HoleFilled(usize),
    /// It was seen before.
    Double,
    /// The consumer does not want it.
    Unwanted,
    /// It is of another store.
    Foreign,
    /// The log has to be read up to it: too much is missing, or the store does not have it, not yet or no longer.
    ByLog,
}

/// The order of what one consumer sees.
pub(super) struct Inbox {
    wanted: Wanted,
    /// Everything up to here is dealt with.
    cursor: u64,
    /// And so are these, each with the position that it follows: between the two there is nothing.
    ahead: BTreeMap<u64, u64>,
    /// The next sequence of streams of the main timeline, for those that were seen lately. A stream that is not there is looked up.
    next: quick_cache::unsync::Cache<StreamKey, u32>,
    /// What can be handed out, in order of position.
    ready: VecDeque<LogEvent>,
    /// The log has to be read up to here.
    read_to: u64,
    /// Since when the cursor stands still.
    since: Instant,
}

impl Inbox {
    /// Behind a position, remembering the next sequence of about so many streams.
    pub(super) fn new(wanted: Wanted, position: u64, streams: usize) -> Self {
        Self {
            wanted,
            cursor: position,
            ahead: BTreeMap::new(),
            next: quick_cache::unsync::Cache::new(streams),
            ready: VecDeque::new(),
            read_to: 0,
            since: Instant::now(),
        }
    }

    /// The next event to hand out.
    pub(super) fn front(&self) -> Option<&LogEvent> {
        self.ready.front()
    }

    pub(super) fn pop(&mut self) -> Option<LogEvent> {
        self.ready.pop_front()
    }

    /// Everything wanted up to here is handed out.
    pub(super) fn position(&self) -> u64 {
        match self.ready.front() {
            Some(event) => self.cursor.min(event.event.position - 1),
            None => self.cursor,
        }
    }

    /// Whether the log has to be read.
    pub(super) fn is_behind(&self) -> bool {
        self.read_to > self.cursor
    }

    /// When the store should be asked whether something was lost.
    pub(super) fn look_at(&self) -> Instant {
        self.since + if self.ahead.is_empty() { LOOK } else { LATE }
    }

    /// Compares with the newest position of the store.
    pub(super) fn look(&mut self, head: u64) {
        self.since = Instant::now();
        self.read_to = self.read_to.max(head);
    }

    /// Takes a message. Call it when nothing is ready.
    ///
    /// # Errors
    /// The store failed where something was missing. Nothing has changed: the message can be taken again.
    pub(super) async fn take(
        &mut self,
        storage: &dyn Storage,
        publication: &Publication,
    ) -> Result<Taken, StorageError> {
        let Publication { store, follows, event } = publication;
        let LogEvent { stream, event: stored } = event;
        let (position, sequence) = (stored.position, stored.sequence);
        if *store != storage.id() {
            return Ok(Taken::Foreign);
        }
        if self.seen(position) {
            return Ok(Taken::Double);
        }
        if !self.wanted.includes(event) {
            self.done(position, *follows);
            return Ok(Taken::Unwanted);
        }
        let next = self.next.get(stream).copied();
        // Everything before it was dealt with, or at least everything of its stream. An edition may have been discarded
        // since, and have begun anew: what is of one is asked for.
        if stream.is_main() && (*follows <= self.cursor || sequence == 0 || next == Some(sequence)) {
            self.hand_out(event.clone(), *follows);
            return Ok(Taken::InOrder);
        }
        let earliest = sequence.saturating_sub(HOLE);
        let from = next.map_or(earliest, |next| next.clamp(earliest, sequence));
        let read = StreamRead { from, to: Some(sequence), ..StreamRead::all() };
        let events = storage.read_stream(stream, read).await?.events;
        let stored = events.last().is_some_and(|last| last.sequence == sequence && last.position == position);
        // Isolated events are never published: that one was not seen says nothing of those behind it.
        let is_missing = |event: &StoredEvent| !event.isolated && !self.seen(event.position);
        let first_missing = events.iter().position(is_missing).unwrap_or(0);
        let goes_on = events.iter().take(first_missing).any(|event| !event.isolated);
        // Or before what was read there is more that is missing.
        let begins_here = from == 0 || next == Some(from) || events.first().is_some_and(|first| first.sequence > from);
        if !stored || !(goes_on || begins_here) {
            self.read_to = self.read_to.max(position);
            return Ok(Taken::ByLog);
        }
        let missing = events.len() - first_missing - 1;
        for before in events.into_iter().skip(first_missing).take(missing) {
            let follows = before.position - 1;
            self.hand_out(LogEvent { stream: stream.clone(), event: before }, follows);
        }
        self.hand_out(event.clone(), *follows);
        Ok(if missing == 0 { Taken::InOrder } else { Taken::HoleFilled(missing) })
    }

    /// Reads a portion of the log behind the cursor; answers how many events it brought. Call it when nothing is ready.
    ///
    /// # Errors
    /// The store failed. Nothing has changed.
    pub(super) async fn read_log(&mut self, storage: &dyn Storage) -> Result<usize, StorageError> {
        let head = storage.head();
        let portion = storage.read_log(self.cursor, PORTION, PORTION_BYTES).await?;
        let last = portion.last().map(|event| event.event.position);
        for event in portion {
            if self.wanted.includes(&event) && !self.ahead.contains_key(&event.event.position) {
                self.remember(&event);
                self.ready.push_back(event);
            }
        }
        // Where nothing is left up to the head, it was discarded: nothing comes there any more.
        self.cursor = last.unwrap_or(head).max(self.cursor);
        self.since = Instant::now();
        self.ahead = self.ahead.split_off(&self.cursor);
        self.ahead.remove(&self.cursor);
        self.advance();
        if last.is_none() {
            // Nobody waits for what the store does not have.
            self.read_to = self.cursor;
        }
        Ok(self.ready.len())
    }

    fn seen(&self, position: u64) -> bool {
        position <= self.cursor || self.ahead.contains_key(&position)
    }

    fn hand_out(&mut self, event: LogEvent, follows: u64) {
        self.remember(&event);
        self.done(event.event.position, follows);
        if !event.event.isolated {
            self.ready.push_back(event);
        }
    }

    fn remember(&mut self, event: &LogEvent) {
        if event.stream.is_main() {
            self.next.insert(event.stream.clone(), event.event.sequence.saturating_add(1));
        }
    }

    fn done(&mut self, position: u64, follows: u64) {
        if self.seen(position) {
            return;
        }
        if self.ahead.is_empty() {
            self.since = Instant::now();
        }
        self.ahead.insert(position, follows.min(position - 1));
        self.advance();
        if self.ahead.len() > AHEAD {
            self.read_to = self.read_to.max(position);
        }
    }

    /// Moves the cursor over everything that is dealt with without a gap.
    fn advance(&mut self) {
        while let Some(first) = self.ahead.first_entry()
            && *first.get() <= self.cursor
        {
            self.cursor = *first.key();
            first.remove();
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
