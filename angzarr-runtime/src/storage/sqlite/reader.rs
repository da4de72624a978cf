//! Questions, each answered from one view of the file.
//!
//! In: questions, on threads that may wait for the disk. Out: what was committed when the question began. Never: a write,
//! or waiting for one.

mod lists;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::{Dedup, StorageError, StreamRead, StreamSlice, Written};
use super::codec::{self, LastHeaders, bytes, integer, large, optional_small, signed, small, stream_key, text};
use super::error::{corrupt, unavailable, while_doing};
use super::statements::{FIND_DEDUP, FIND_STREAM, LAST_POSITION};
use crate::stream::{LogEvent, Name, StoredEvent, StoredSnapshot, StreamKey};

/// Questions that may run at the same time.
pub(super) const READERS: usize = 8;
/// Events that are read where the caller runs.
const SHORT: u32 = 64;
/// A question that took longer was too long for a caller's thread.
const QUICK: Duration = Duration::from_millis(1);
/// Questions that go to a thread after that, before a caller tries again.
const CAUTION: u32 = 32;
/// Streams whose keys are remembered, so that the log need not be joined with them.
const KEYS: usize = 32_768;
/// What an event is read from.
const EVENT: &str = "position, sequence, created_at, type, isolated, correlation_id, ext, divergences, trace, payload";

/// Names of types by id; small, and never changed, only added to.
type Types = Vec<Option<(Name, u32)>>;

/// The connections for questions, and what they share.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    cache_bytes: u64,
    idle: Mutex<Option<Vec<Connection>>>,
    turns: Arc<Semaphore>,
    /// Questions that still go to a thread because the disk was slow.
    caution: AtomicU32,
    shared: Shared,
}

#[derive(Debug)]
struct Shared {
    types: RwLock<Arc<Types>>,
    keys: quick_cache::sync::Cache<i64, StreamKey>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, cache_bytes: u64) -> Self {
        Self {
            path,
            cache_bytes: cache_bytes / READERS as u64,
            idle: Mutex::new(Some(Vec::new())),
            turns: Arc::new(Semaphore::new(READERS)),
            caution: AtomicU32::new(0),
            shared: Shared { types: RwLock::default(), keys: quick_cache::sync::Cache::new(KEYS) },
        }
    }

    /// Waits until one more question may run: each takes a thread and a connection.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        self.turns.clone().acquire_owned().await.map_err(|_| unavailable("the store is closed"))
    }

    /// Asks on a connection of its own.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&mut Reader<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let idle = match &mut *self.idle.lock() {
            Some(idle) => idle.pop(),
            None => return Err(unavailable("the store is closed")),
        };
        let connection = match idle {
            Some(connection) => connection,
            None => super::open::reader(&self.path, self.cache_bytes)?,
        };
        self.ask_on(connection, question)
    }

    /// Asks where the caller runs, if a connection is at hand and the disk was quick lately: handing a short question to
    /// a thread takes several times as long as answering it. `None` means that it has to go there.
    pub(super) fn ask_here<T>(
        &self,
        question: impl FnOnce(&mut Reader<'_>) -> Result<Option<T>, StorageError>,
    ) -> Option<Result<T, StorageError>> {
        let caution = self.caution.load(Ordering::Relaxed);
        if caution > 0 {
            self.caution.store(caution - 1, Ordering::Relaxed);
            return None;
        }
        let connection = self.idle.lock().as_mut()?.pop()?;
        let start = Instant::now();
        let answer = self.ask_on(connection, question);
        if start.elapsed() > QUICK {
            self.caution.store(CAUTION, Ordering::Relaxed);
        }
        answer.transpose()
    }

    fn ask_on<T>(
        &self,
        connection: Connection,
        question: impl FnOnce(&mut Reader<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let answer = {
            // One view for all statements of a question; it ends when this goes out of scope.
            let view = connection.unchecked_transaction().map_err(while_doing("cannot read"))?;
            let types = self.shared.types.read().clone();
            question(&mut Reader { connection: &view, types, shared: &self.shared })?
        };
        // After an error the connection is not used again: what is wrong may be wrong with it.
        if let Some(idle) = &mut *self.idle.lock() {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Closes the connections that nobody uses, and the others when they have answered.
    pub(super) fn close(&self) {
        *self.idle.lock() = None;
    }
}

/// One question's view.
pub(super) struct Reader<'c> {
    connection: &'c Connection,
    types: Arc<Types>,
    shared: &'c Shared,
}

const ASKING: &str = "cannot read";

impl Reader<'_> {
    /// Id of a stream and where it diverged.
    fn find(&self, key: &StreamKey) -> Result<Option<(i64, Option<u32>)>, StorageError> {
        let key: &[&dyn ToSql] = &[&key.domain.as_str(), &key.edition.as_str(), key.root.as_bytes()];
        self.one(FIND_STREAM, key, |row| Ok((integer(row, 0)?, optional_small(row, 1)?)))
    }

    fn one<T>(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
        read: impl FnOnce(&Row<'_>) -> Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(while_doing(ASKING))?;
        let found = statement.query_row(parameters, |row| Ok(read(row))).optional().map_err(while_doing(ASKING))?;
        found.transpose()
    }

    /// Reads rows until there are no more or `read` answers `false`.
    fn each(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        mut read: impl FnMut(&mut Self, &Row<'_>) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql).map_err(while_doing(ASKING))?;
        let mut rows = statement.query(parameters).map_err(while_doing(ASKING))?;
        while let Some(row) = rows.next().map_err(while_doing(ASKING))? {
            if !read(self, row)? {
                break;
            }
        }
        Ok(())
    }

    /// The name and version behind an id.
    fn type_of(&mut self, id: i64) -> Result<(Name, u32), StorageError> {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        if let Some(Some((name, version))) = self.types.get(index) {
            return Ok((name.clone(), *version));
        }
        let mut types = Types::new();
        self.each("SELECT id, name, version FROM types", &[], |_, row| {
            let index = usize::try_from(integer(row, 0)?).unwrap_or(usize::MAX);
            if index < 1 << 24 {
                types.resize(types.len().max(index + 1), None);
                types[index] = Some((Name::new(text(row, 1)?), small(row, 2)?));
            }
            Ok(true)
        })?;
        self.types = Arc::new(types);
        *self.shared.types.write() = self.types.clone();
        match self.types.get(index) {
            Some(Some((name, version))) => Ok((name.clone(), *version)),
            _ => Err(corrupt(format!("a row refers to type {id}, which does not exist"))),
        }
    }

    fn key_of(&self, id: i64) -> Result<StreamKey, StorageError> {
        if let Some(key) = self.shared.keys.get(&id) {
            return Ok(key);
        }
        let sql = "SELECT domain, edition, root FROM streams WHERE id = ?1";
        let key = self
            .one(sql, &[&id], |row| stream_key(row, 0))?
            .ok_or_else(|| corrupt(format!("an event belongs to stream {id}, which does not exist")))?;
        self.shared.keys.insert(id, key.clone());
        Ok(key)
    }

    fn event(&mut self, row: &Row<'_>, last: &mut LastHeaders) -> Result<StoredEvent, StorageError> {
        let (type_name, schema_version) = self.type_of(integer(row, 3)?)?;
        Ok(StoredEvent {
            position: large(row, 0)?,
            sequence: small(row, 1)?,
            created_at: integer(row, 2)?,
            type_name,
            schema_version,
            payload: bytes(row, 9)?,
            headers: last.read(row, 5)?,
            isolated: integer(row, 4)? != 0,
        })
    }

    pub(super) fn stream(&mut self, key: &StreamKey, read: &StreamRead) -> Result<StreamSlice, StorageError> {
        self.stream_up_to(key, read, u32::MAX).map(Option::unwrap_or_default)
    }

    /// `None` if there is more to read than a caller's thread should read.
    pub(super) fn short_stream(
        &mut self,
        key: &StreamKey,
        read: &StreamRead,
    ) -> Result<Option<StreamSlice>, StorageError> {
        self.stream_up_to(key, read, SHORT)
    }

    fn stream_up_to(
        &mut self,
        key: &StreamKey,
        read: &StreamRead,
        limit: u32,
    ) -> Result<Option<StreamSlice>, StorageError> {
        let Some((id, diverged_at)) = self.find(key)? else {
            return Ok(Some(StreamSlice::default()));
        };
        let sql = "SELECT sequence, created_at FROM events WHERE stream = ?1 ORDER BY sequence DESC LIMIT 1";
        let last = self.one(sql, &[&id], |row| Ok((small(row, 0)?, integer(row, 1)?)))?;
        let mut slice = StreamSlice {
            next_sequence: last.map_or(diverged_at.unwrap_or(0), |(sequence, _)| sequence.saturating_add(1)),
            last_created_at: last.map_or(0, |(_, created_at)| created_at),
            diverged_at,
            ..StreamSlice::default()
        };
        if let Some((type_name, version)) = &read.snapshot {
            (slice.snapshot, slice.foreign_snapshot) = self.newest_snapshot(id, type_name, *version, read)?;
        }
        let Some((newest, _)) = last else { return Ok(Some(slice)) };
        let from = slice.snapshot.as_ref().map_or(read.from, |it| it.sequence.saturating_add(1).max(read.from));
        let to = read.to.unwrap_or(newest).min(newest);
        if from > to {
            return Ok(Some(slice));
        }
        if to - from >= limit {
            return Ok(None);
        }
        if read.until.is_none() {
            slice.events.reserve_exact((to - from) as usize + 1);
        }
        let mut headers = LastHeaders::default();
        let sql = select_events("WHERE stream = ?1 AND sequence BETWEEN ?2 AND ?3 ORDER BY sequence");
        let mut events = std::mem::take(&mut slice.events);
        self.each(&sql, &[&id, &from, &to], |reader, row| {
            let event = reader.event(row, &mut headers)?;
            // Times never go back in a stream, so what follows is too late as well.
            let admitted = read.until.is_none_or(|until| event.created_at <= until);
            if admitted {
                events.push(event);
            }
            Ok(admitted)
        })?;
        slice.events = events;
        Ok(Some(slice))
    }

    /// The newest snapshot that fits, and the sequence of a newer one that is of another type or version.
    fn newest_snapshot(
        &mut self,
        stream: i64,
        type_name: &Name,
        version: u32,
        read: &StreamRead,
    ) -> Result<(Option<StoredSnapshot>, Option<u32>), StorageError> {
        let sql = "SELECT sequence, created_at, type, retention, state FROM snapshots
                   WHERE stream = ?1 AND sequence <= ?2 AND created_at <= ?3 ORDER BY sequence DESC";
        let to = i64::from(read.to.unwrap_or(u32::MAX));
        let until = read.until.unwrap_or(i64::MAX);
        let (mut newest, mut foreign) = (None, None);
        self.each(sql, &[&stream, &to, &until], |reader, row| {
            let sequence = small(row, 0)?;
            if !read.admits(sequence, integer(row, 1)?) {
                return Ok(true);
            }
            let (found, found_version) = reader.type_of(integer(row, 2)?)?;
            if found != *type_name || found_version != version {
                foreign.get_or_insert(sequence);
                return Ok(true);
            }
            newest = Some(reader.snapshot(row)?);
            Ok(false)
        })?;
        Ok((newest, foreign))
    }

    fn snapshot(&mut self, row: &Row<'_>) -> Result<StoredSnapshot, StorageError> {
        let (type_name, state_version) = self.type_of(integer(row, 2)?)?;
        Ok(StoredSnapshot {
            sequence: small(row, 0)?,
            created_at: integer(row, 1)?,
            type_name,
            state_version,
            state: bytes(row, 4)?,
            retention: codec::retention(row, 3)?,
        })
    }

    pub(super) fn snapshots(&mut self, key: &StreamKey) -> Result<Vec<StoredSnapshot>, StorageError> {
        let Some((id, _)) = self.find(key)? else { return Ok(Vec::new()) };
        let sql = "SELECT sequence, created_at, type, retention, state FROM snapshots WHERE stream = ?1 ORDER BY sequence, type";
        let mut snapshots = Vec::new();
        self.each(sql, &[&id], |reader, row| {
            snapshots.push(reader.snapshot(row)?);
            Ok(true)
        })?;
        Ok(snapshots)
    }

    pub(super) fn duplicate(&self, key: &StreamKey, Dedup(dedup): &Dedup) -> Result<Option<Written>, StorageError> {
        let Some((id, _)) = self.find(key)? else { return Ok(None) };
        self.one(FIND_DEDUP, &[&id, &&dedup[..]], written)
    }

    pub(super) fn dedup_keys(&mut self, key: &StreamKey) -> Result<Vec<(Dedup, Written)>, StorageError> {
        let Some((id, _)) = self.find(key)? else { return Ok(Vec::new()) };
        let sql = "SELECT first_sequence, count, last_position, key FROM dedup WHERE stream = ?1 ORDER BY key";
        let mut keys = Vec::new();
        self.each(sql, &[&id], |_, row| {
            keys.push((Dedup(bytes(row, 3)?), written(row)?));
            Ok(true)
        })?;
        Ok(keys)
    }

    /// Events until there are no more or their payloads have `bytes` together.
    fn log_events(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        bytes: usize,
    ) -> Result<Vec<LogEvent>, StorageError> {
        let mut headers = LastHeaders::default();
        let mut events = Vec::new();
        let mut left = bytes;
        self.each(sql, parameters, |reader, row| {
            let stream = reader.key_of(integer(row, 10)?)?;
            let event = reader.event(row, &mut headers)?;
            left = left.saturating_sub(event.payload.len());
            events.push(LogEvent { stream, event });
            Ok(left > 0)
        })?;
        Ok(events)
    }

    pub(super) fn log(&mut self, after: u64, limit: usize, bytes: usize) -> Result<Vec<LogEvent>, StorageError> {
        let limit = signed(limit as u64);
        let sql = select_events("WHERE position > ?1 ORDER BY position LIMIT ?2");
        self.log_events(&sql, &[&signed(after), &limit], bytes)
    }

    pub(super) fn correlation(&mut self, correlation_id: &str) -> Result<Vec<LogEvent>, StorageError> {
        if correlation_id.is_empty() {
            return Ok(Vec::new());
        }
        let sql = select_events("WHERE correlation_id = ?1 ORDER BY position");
        self.log_events(&sql, &[&correlation_id], usize::MAX)
    }

    pub(super) fn head(&mut self) -> Result<u64, StorageError> {
        Ok(self.one(LAST_POSITION, &[], |row| large(row, 0))?.unwrap_or(0))
    }

    pub(super) fn checkpoint(&self, subscriber: &str) -> Result<Option<u64>, StorageError> {
        let sql = "SELECT position FROM checkpoints WHERE subscriber = ?1";
        self.one(sql, &[&subscriber], |row| large(row, 0))
    }
}

/// What a key stored: columns `first_sequence, count, last_position`.
fn written(row: &Row<'_>) -> Result<Written, StorageError> {
    Ok(Written { first_sequence: small(row, 0)?, count: small(row, 1)?, last_position: large(row, 2)? })
}

/// A question for events, with the stream as its tenth column.
fn select_events(condition: &str) -> String {
    format!("SELECT {EVENT}, stream FROM events {condition}")
}
