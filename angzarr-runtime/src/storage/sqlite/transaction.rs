//! One batch, one transaction.
//!
//! In: writes, in order. Out: one outcome for each, after the commit. Never: a failure of one write that takes its
//! neighbours along, or a memory of what was not committed.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use rusqlite::Connection;

use super::super::write::{StreamHead, check_shape};
use super::super::{Append, Extras, Settle, StorageError, Write, WriteError, Written};
use super::codec;
use super::error::{concerns_all, is_busy, not_committed, while_doing};
use super::statements::{EventRow, Statements};
use crate::dead_letter::{DeadLetterId, Resolution};
use crate::stream::{Name, StreamKey};

/// Streams whose end is remembered, so that most writes need no read.
const STREAMS: usize = 65_536;
/// Work (see [`Writer::worked`]) between two looks at the length of the log.
const LOOK_AFTER: u32 = 512;

pub(super) type Outcome = Result<Written, WriteError>;

/// The connection that writes, with what it knows.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    memory: Memory,
    /// About how many pages went into the log since its length was last looked at.
    work: u32,
}

/// What the file says, so that it need not be asked.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) streams: quick_cache::unsync::Cache<StreamKey, Known>,
    types: HashMap<Name, Vec<(u32, i64)>, RandomState>,
    /// Position of the last event that is committed, and of the last one of the transaction.
    committed: u64,
    pub(super) position: u64,
    /// The highest number that a stream was given.
    pub(super) stream: i64,
    /// Rows that were removed, since anybody looked.
    pub(super) removed: u32,
    /// Changes when somebody else has written to the file; `None` if what is known has to be read again in any case.
    data_version: Option<i64>,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) head: StreamHead,
}

/// A transaction failed.
enum Failure {
    /// Any other write would have failed as well.
    All(rusqlite::Error),
    /// It was one write's own fault.
    One(rusqlite::Error),
    /// The commit failed.
    Commit(rusqlite::Error),
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::All(error) | Failure::One(error) => while_doing("not stored")(error),
            Failure::Commit(error) => not_committed("not stored")(error),
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        StorageError::from(failure).into()
    }
}

impl Writer {
    pub(super) fn new(connection: Connection, last_position: u64) -> Result<Self, StorageError> {
        connection.set_prepared_statement_cache_capacity(64);
        let mut memory = Memory {
            streams: quick_cache::unsync::Cache::new(STREAMS),
            types: HashMap::default(),
            committed: last_position,
            position: last_position,
            stream: 0,
            removed: 0,
            data_version: None,
        };
        memory.load_types(&Statements::new(&connection)).map_err(while_doing("cannot read the types"))?;
        Ok(Self { connection, memory, work: 0 })
    }

    /// Position of the last event that is stored.
    pub(super) fn head(&self) -> u64 {
        self.memory.committed
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Commits everything that comes, and waits for another program that holds the file. An error is that of every write.
    pub(super) fn commit(
        &mut self,
        mut next: impl FnMut() -> Option<Vec<Write>>,
    ) -> Result<Vec<Outcome>, StorageError> {
        let mut writes = Vec::new();
        let result = self.try_commit(|transaction, outcomes| {
            while let Some(more) = next() {
                let known = writes.len();
                writes.extend(more);
                transaction.write_all(&writes[known..], outcomes)?;
            }
            Ok(())
        });
        let error = match result {
            Ok(outcomes) => return Ok(outcomes),
            Err(Failure::One(error)) if writes.len() > 1 => error,
            Err(failure) => return Err(failure.into()),
        };
        // One of them cannot be stored. Each gets a transaction of its own, so that the others can.
        tracing::warn!(%error, writes = writes.len(), "a write failed inside a batch; trying one by one");
        Ok(writes.iter().map(|write| self.commit_one(write).unwrap_or_else(|failure| Err(failure.into()))).collect())
    }

    /// Commits one write if no other program holds the file: `None` means that nothing has happened.
    pub(super) fn commit_unless_busy(&mut self, write: &Write, patience: Duration) -> Option<Outcome> {
        self.connection.busy_timeout(Duration::ZERO).ok()?;
        let result = self.commit_one(write);
        let restored = self.connection.busy_timeout(patience);
        match result {
            Ok(outcome) => Some(outcome),
            Err(Failure::All(error)) if is_busy(&error) && restored.is_ok() => None,
            Err(failure) => Some(Err(failure.into())),
        }
    }

    fn commit_one(&mut self, write: &Write) -> Result<Outcome, Failure> {
        let write = std::slice::from_ref(write);
        let mut outcomes = self.try_commit(|transaction, outcomes| transaction.write_all(write, outcomes))?;
        Ok(outcomes.pop().unwrap_or_else(|| Ok(Written::default())))
    }

    /// One transaction. After a failure nothing of it is stored, and nothing of it is remembered.
    fn try_commit(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>, &mut Vec<Outcome>) -> Result<(), Failure>,
    ) -> Result<Vec<Outcome>, Failure> {
        let before = self.memory.committed;
        let mut outcomes = Vec::new();
        let mut transaction = Transaction { statements: Statements::new(&self.connection), memory: &mut self.memory };
        let result = transaction
            .begin()
            .and_then(|()| work(&mut transaction, &mut outcomes))
            .and_then(|()| transaction.commit());
        drop(transaction);
        match result {
            Ok(()) => self.memory.committed = self.memory.position,
            Err(_) => self.undo(),
        }
        let events = u32::try_from(self.memory.committed.saturating_sub(before)).unwrap_or(u32::MAX);
        let removed = std::mem::take(&mut self.memory.removed);
        self.work = self.work.saturating_add(events).saturating_add(removed).saturating_add(3);
        result.map(|()| outcomes)
    }

    fn undo(&mut self) {
        let statements = Statements::new(&self.connection);
        self.memory.position = self.memory.committed;
        self.memory.data_version = None;
        self.memory.streams.clear();
        if let Err(error) = statements.rollback().and_then(|()| self.memory.load_types(&statements)) {
            // The next transaction will fail as well, and say so to its callers.
            tracing::error!(%error, "a transaction could not be rolled back");
            self.memory.types.clear();
        }
    }

    pub(super) fn resolve(&mut self, id: DeadLetterId, resolution: &Resolution) -> Result<bool, StorageError> {
        // A single statement is a transaction by itself.
        let resolved = Statements::new(&self.connection).resolve(id, resolution);
        resolved.map_err(not_committed("the dead letter was not resolved"))
    }

    /// Pages in the log that are not in the database yet, if it is time to look.
    pub(super) fn look_at_log(&mut self) -> Option<u32> {
        if self.work < LOOK_AFTER {
            return None;
        }
        self.work = 0;
        let look = || self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], log_pages);
        look().ok()
    }
}

/// From the answer of `PRAGMA wal_checkpoint`: pages in the log that are not in the database.
pub(super) fn log_pages(row: &rusqlite::Row<'_>) -> rusqlite::Result<u32> {
    let (all, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
    Ok(u32::try_from(all - moved).unwrap_or(0))
}

impl Memory {
    fn load_types(&mut self, statements: &Statements<'_>) -> rusqlite::Result<()> {
        self.types.clear();
        for (id, name, version) in statements.types()? {
            self.types.entry(Name::from(name)).or_default().push((version, id));
        }
        Ok(())
    }
}

pub(super) struct Transaction<'w> {
    pub(super) statements: Statements<'w>,
    pub(super) memory: &'w mut Memory,
}

impl Transaction<'_> {
    fn begin(&mut self) -> Result<(), Failure> {
        self.statements.begin().and_then(|()| self.look_for_others()).map_err(Failure::All)
    }

    fn write_all(&mut self, writes: &[Write], outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        for write in writes {
            match self.write(write) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) if concerns_all(&error) => return Err(Failure::All(error)),
                Err(error) => return Err(Failure::One(error)),
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.statements.commit().map_err(Failure::Commit)
    }

    /// The lock keeps other processes of ours away; a shell or a removed lock file do not mind it. What they wrote is read
    /// before anything is decided from memory, so that nothing is doubled and no position is given twice.
    fn look_for_others(&mut self) -> rusqlite::Result<()> {
        let data_version = self.statements.data_version()?;
        match self.memory.data_version {
            Some(known) if known == data_version => return Ok(()),
            Some(_) => tracing::warn!("somebody else has written to the file; what was known of it is read again"),
            None => {}
        }
        self.memory.streams.clear();
        self.memory.load_types(&self.statements)?;
        self.memory.position = self.statements.last_position()?;
        self.memory.stream = self.statements.last_stream()?;
        self.memory.data_version = Some(data_version);
        Ok(())
    }

    /// Inner result: what this write came to. Outer: SQLite failed, the transaction must not be committed.
    fn write(&mut self, write: &Write) -> rusqlite::Result<Outcome> {
        let Some(extras) = write.extras.as_deref() else {
            return match &write.append {
                Some(append) => self.append_alone(append),
                None => Ok(Ok(Written::default())),
            };
        };
        // Everything is checked before anything is stored.
        if let Err(error) = check_shape(write.append.as_ref(), extras) {
            return Ok(Err(error));
        }
        // Whoever has the store to itself tells nobody.
        let Extras {
            answers: _,
            appends,
            snapshots,
            checkpoints,
            dead_letters,
            intents,
            settles,
            withdraws,
            merges,
            discards,
            forgets,
        } = extras;
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
        let mut written = Written::default();
        if let Some(append) = &write.append {
            written = match self.store(append)? {
                Ok(written) => written,
                Err(error) => return Ok(Err(error)),
            };
        }
        for append in appends {
            // Checked above, in this transaction: it cannot fail any more.
            let _ = self.store(append)?;
        }
        if !merges.is_empty() {
            self.merge(merges)?;
        }
        for it in snapshots {
            let stream = self.stream_or_new(&it.key)?;
            let type_id = self.type_id(&it.snapshot.type_name, it.snapshot.state_version)?;
            self.statements.add_snapshot(stream.id, type_id, &it.snapshot)?;
        }
        for (subscriber, position) in checkpoints {
            self.statements.checkpoint(subscriber, *position)?;
        }
        for letter in dead_letters {
            self.statements.add_letter(letter)?;
        }
        for id in withdraws.iter().chain(settles.iter().map(|it| &it.id)) {
            self.statements.remove_intent(*id)?;
        }
        for intent in intents {
            self.statements.put_intent(intent)?;
        }
        for discard in discards {
            self.discard(discard)?;
        }
        for (key, dedup) in forgets {
            if let Some(stream) = self.stream(key)? {
                self.statements.forget_dedup(stream.id, dedup)?;
            }
        }
        Ok(Ok(written))
    }

    /// Whether what is to be carried out is still there. Where the whole write was stored before, that is the answer.
    fn check_settles<'a>(
        &mut self,
        settles: &[Settle],
        appends: impl Iterator<Item = &'a Append>,
    ) -> rusqlite::Result<Result<(), WriteError>> {
        let mut gone = None;
        for settle in settles {
            if !self.statements.is_open(settle)? {
                gone = Some(settle.id);
                break;
            }
        }
        let Some(intent) = gone else { return Ok(Ok(())) };
        for append in appends.filter(|it| it.dedup.is_some()) {
            let known = self.stream(&append.key)?;
            if let Some(first) = self.duplicate(append, known)? {
                return Ok(Err(WriteError::Duplicate(first)));
            }
        }
        Ok(Err(WriteError::Settled { intent }))
    }

    /// An append that nothing else depends on: its dedup key is checked by storing it.
    fn append_alone(&mut self, append: &Append) -> rusqlite::Result<Outcome> {
        let known = self.stream(&append.key)?;
        match append.check(known.map(|it| it.head)) {
            Ok(()) => self.store(append),
            Err(error) => Ok(Err(self.duplicate(append, known)?.map_or(error, WriteError::Duplicate))),
        }
    }

    /// Whether an append may be stored. A known dedup key comes before a conflict: the first answer is the answer.
    fn check(&mut self, append: &Append) -> rusqlite::Result<Result<(), WriteError>> {
        let known = self.stream(&append.key)?;
        Ok(match self.duplicate(append, known)? {
            Some(first) => Err(WriteError::Duplicate(first)),
            None => append.check(known.map(|it| it.head)),
        })
    }

    fn duplicate(&mut self, append: &Append, known: Option<Known>) -> rusqlite::Result<Option<Written>> {
        match (known, &append.dedup) {
            (Some(stream), Some(dedup)) => self.statements.find_dedup(stream.id, dedup),
            _ => Ok(None),
        }
    }

    /// Stores an append that continues its stream. A known dedup key is found before anything else is stored.
    fn store(&mut self, append: &Append) -> rusqlite::Result<Outcome> {
        let count = append.events.len() as u32;
        let mut written = Written { first_sequence: append.expected, count, last_position: 0 };
        if append.events.is_empty() && append.dedup.is_none() {
            return Ok(Ok(written));
        }
        if count > 0 {
            written.last_position = self.memory.position + u64::from(count);
        }
        // Only an event makes a branch leave (row B1).
        let diverged_at = append.diverged_at.filter(|_| count > 0);
        let mut stream = match self.stream(&append.key)? {
            Some(stream) => stream,
            None => self.new_stream(&append.key, diverged_at)?,
        };
        if let Some(dedup) = &append.dedup
            && !self.statements.add_dedup(stream.id, dedup, &written)?
        {
            let first = self.statements.find_dedup(stream.id, dedup)?;
            return Ok(Err(WriteError::Duplicate(first.unwrap_or_default())));
        }
        if let Some(at) = diverged_at
            && stream.head.diverged_at.is_none()
        {
            self.statements.diverge(stream.id, at)?;
            stream.head.diverged_at = Some(at);
        }
        let ext = codec::encode_ext(&append.headers);
        let divergences = codec::encode_divergences(&append.headers);
        let trace = append.headers.trace().map(|trace| trace.to_bytes());
        for (sequence, event) in (append.expected..).zip(&append.events) {
            let type_id = self.type_id(&event.type_name, event.schema_version)?;
            self.memory.position += 1;
            self.statements.add_event(&EventRow {
                position: self.memory.position,
                stream: stream.id,
                sequence,
                created_at: append.created_at,
                type_id,
                isolated: event.isolated,
                correlation_id: append.headers.correlation_id(),
                ext: ext.as_deref(),
                payload: &event.payload,
                divergences: divergences.as_deref(),
                trace,
            })?;
        }
        if count > 0 {
            stream.head.next_sequence = append.expected + count;
            stream.head.has_events = true;
        }
        self.remember(&append.key, stream);
        Ok(Ok(written))
    }

    pub(super) fn stream(&mut self, key: &StreamKey) -> rusqlite::Result<Option<Known>> {
        if let Some(known) = self.memory.streams.get(key) {
            return Ok(Some(*known));
        }
        let Some((id, diverged_at)) = self.statements.find_stream(key)? else { return Ok(None) };
        let last = self.statements.last_sequence(id)?;
        let next_sequence = last.map_or(diverged_at.unwrap_or(0), |last| last.saturating_add(1));
        let known = Known { id, head: StreamHead { next_sequence, has_events: last.is_some(), diverged_at } };
        self.memory.streams.insert(key.clone(), known);
        Ok(Some(known))
    }

    pub(super) fn stream_or_new(&mut self, key: &StreamKey) -> rusqlite::Result<Known> {
        match self.stream(key)? {
            Some(stream) => Ok(stream),
            None => self.new_stream(key, None),
        }
    }

    fn new_stream(&mut self, key: &StreamKey, diverged_at: Option<u32>) -> rusqlite::Result<Known> {
        let id = self.memory.stream + 1;
        self.statements.add_stream(id, key, diverged_at)?;
        self.memory.stream = id;
        let head = StreamHead { next_sequence: diverged_at.unwrap_or(0), has_events: false, diverged_at };
        let known = Known { id, head };
        self.memory.streams.insert(key.clone(), known);
        Ok(known)
    }

    pub(super) fn remember(&mut self, key: &StreamKey, stream: Known) {
        match self.memory.streams.get_mut(key) {
            Some(mut known) => *known = stream,
            None => self.memory.streams.insert(key.clone(), stream),
        }
    }

    fn type_id(&mut self, name: &Name, version: u32) -> rusqlite::Result<i64> {
        if let Some((_, id)) =
            self.memory.types.get(name).and_then(|ids| ids.iter().find(|(known, _)| *known == version))
        {
            return Ok(*id);
        }
        let id = self.statements.add_type(name, version)?;
        self.memory.types.entry(name.clone()).or_default().push((version, id));
        Ok(id)
    }
}
