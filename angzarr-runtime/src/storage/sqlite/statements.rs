//! The statements of the thread that writes, prepared once each.
//!
//! In: values. Out: rows in a transaction that somebody else began and ends. Never: a decision whether something may be
//! stored; that is made before.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::super::{Dedup, EditionDiscard, Intent, IntentId, Settle, Written};
use super::codec::{self, signed};
use crate::dead_letter::{DeadLetter, DeadLetterId, Resolution};
use crate::stream::{Retention, StoredSnapshot, StreamKey};

pub(super) const FIND_STREAM: &str =
    "SELECT id, diverged_at FROM streams WHERE domain = ?1 AND edition = ?2 AND root = ?3";
const LAST_SEQUENCE: &str = "SELECT max(sequence) FROM events WHERE stream = ?1";
/// What was discarded may have been the newest: its positions, and the numbers of its streams, are not given again.
pub(super) const LAST_POSITION: &str = "SELECT max(coalesce((SELECT max(position) FROM events), 0),
                coalesce((SELECT number FROM high_water WHERE what = 'position'), 0))";
const LAST_STREAM: &str = "SELECT max(coalesce((SELECT max(id) FROM streams), 0),
                coalesce((SELECT number FROM high_water WHERE what = 'stream'), 0))";
const KEEP_HIGH_WATER: &str = "INSERT INTO high_water (what, number) VALUES ('position', ?1), ('stream', ?2)
     ON CONFLICT DO UPDATE SET number = max(number, excluded.number)";
const ADD_STREAM: &str = "INSERT INTO streams (id, domain, edition, root, diverged_at) VALUES (?1, ?2, ?3, ?4, ?5)";
const DIVERGE: &str = "UPDATE streams SET diverged_at = ?2 WHERE id = ?1";
const ADD_EVENT: &str =
    "INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, payload, divergences,
                         trace)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const EVENT_PLACES: &str = "SELECT position FROM events WHERE stream = ?1";
/// The same event on another stream; it was decided on the main timeline's past, so it hands on no divergences.
const COPY_EVENT: &str =
    "INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, payload, trace)
     SELECT ?2, ?3, sequence, created_at, type, isolated, correlation_id, ext, payload, trace FROM events WHERE position = ?1";
const POSITION_OF: &str = "SELECT position FROM events WHERE stream = ?1 AND sequence = ?2";
const ADD_TYPE: &str = "INSERT INTO types (name, version) VALUES (?1, ?2)";
pub(super) const FIND_DEDUP: &str =
    "SELECT first_sequence, count, last_position FROM dedup WHERE stream = ?1 AND key = ?2";
const ADD_DEDUP: &str =
    "INSERT INTO dedup (stream, key, first_sequence, count, last_position) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT DO NOTHING";
const NEWEST_SNAPSHOT: &str = "SELECT max(sequence) FROM snapshots WHERE stream = ?1";
const ADD_SNAPSHOT: &str =
    "INSERT INTO snapshots (stream, sequence, type, created_at, retention, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT (stream, sequence, type) DO UPDATE SET retention = 1 WHERE excluded.retention = 1";
const DROP_SNAPSHOTS: &str = "DELETE FROM snapshots WHERE stream = ?1 AND sequence < ?2 AND retention <> 1";
const CHECKPOINT: &str = "INSERT INTO checkpoints (subscriber, position) VALUES (?1, ?2)
     ON CONFLICT DO UPDATE SET position = excluded.position WHERE excluded.position > position";
const ADD_LETTER: &str =
    "INSERT INTO dead_letters (id, occurred_at, domain, component, correlation_id, attempts, letter,
                               resolution, resolved_at, reason, edition, root, sequence)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
     ON CONFLICT (id) DO UPDATE SET occurred_at = excluded.occurred_at, attempts = excluded.attempts,
         letter = excluded.letter, resolution = excluded.resolution, resolved_at = excluded.resolved_at,
         reason = excluded.reason
     WHERE resolution = 1 OR (resolution IS NULL AND excluded.attempts > attempts)";
const RESOLVE: &str = "UPDATE dead_letters SET resolution = ?2, resolved_at = ?3, reason = ?4
     WHERE id = ?1 AND resolution IS NULL";
const DUE: &str = "SELECT due FROM intents WHERE id = ?1";
const PUT_INTENT: &str = "INSERT OR REPLACE INTO intents (id, kind, domain, edition, root, due, attempts, work)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const REMOVE_INTENT: &str = "DELETE FROM intents WHERE id = ?1";
const FORGET_DEDUP: &str = "DELETE FROM dedup WHERE stream = ?1 AND key = ?2";
/// What a discard removes from the tables that know a stream by its number; the streams themselves last.
const DISCARD: [&str; 5] = [
    "DELETE FROM events WHERE stream IN
         (SELECT id FROM streams WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2))",
    "DELETE FROM snapshots WHERE stream IN
         (SELECT id FROM streams WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2))",
    "DELETE FROM dedup WHERE stream IN
         (SELECT id FROM streams WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2))",
    "DELETE FROM intents WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2)",
    "DELETE FROM streams WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2)",
];
const DISCARD_LETTERS: &str = "UPDATE dead_letters SET resolution = 2, resolved_at = ?3, reason = ?4
     WHERE resolution IS NULL AND sequence IS NOT NULL AND edition = ?1 AND (?2 IS NULL OR domain = ?2)";

/// Statements stay prepared in the connection's cache; the hot one is held here for as long as a transaction runs.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    add_event: Option<CachedStatement<'c>>,
}

/// One row of `events`.
pub(super) struct EventRow<'a> {
    pub(super) position: u64,
    pub(super) stream: i64,
    pub(super) sequence: u32,
    pub(super) created_at: i64,
    pub(super) type_id: i64,
    pub(super) isolated: bool,
    pub(super) correlation_id: &'a str,
    pub(super) ext: Option<&'a [u8]>,
    pub(super) payload: &'a [u8],
    pub(super) divergences: Option<&'a [u8]>,
    pub(super) trace: Option<[u8; 25]>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, add_event: None }
    }

    fn get(&self, sql: &'static str) -> Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql)
    }

    pub(super) fn begin(&self) -> Result<()> {
        // Immediate: it is known from the start that it will write.
        self.get("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.get("COMMIT")?.execute([]).map(drop)
    }

    /// Ends a transaction without storing it, if there is one: after some errors SQLite has ended it already.
    pub(super) fn rollback(&self) -> Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    /// Another number after another connection has committed.
    pub(super) fn data_version(&self) -> Result<i64> {
        self.get("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// The highest position that was ever given, 0 without one.
    pub(super) fn last_position(&self) -> Result<u64> {
        let last: i64 = self.get(LAST_POSITION)?.query_row([], |row| row.get(0))?;
        Ok(last.max(0) as u64)
    }

    /// The highest number of a stream that was ever given.
    pub(super) fn last_stream(&self) -> Result<i64> {
        self.get(LAST_STREAM)?.query_row([], |row| row.get(0))
    }

    /// Id of a stream and where it diverged.
    pub(super) fn find_stream(&self, key: &StreamKey) -> Result<Option<(i64, Option<u32>)>> {
        self.get(FIND_STREAM)?
            .query_row(params![key.domain.as_str(), key.edition.as_str(), key.root.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
    }

    pub(super) fn last_sequence(&self, stream: i64) -> Result<Option<u32>> {
        self.get(LAST_SEQUENCE)?.query_row([stream], |row| row.get(0))
    }

    pub(super) fn add_stream(&self, id: i64, key: &StreamKey, diverged_at: Option<u32>) -> Result<()> {
        let values = params![id, key.domain.as_str(), key.edition.as_str(), key.root.as_bytes(), diverged_at];
        self.get(ADD_STREAM)?.execute(values).map(drop)
    }

    pub(super) fn diverge(&self, stream: i64, at: u32) -> Result<()> {
        self.get(DIVERGE)?.execute(params![stream, at]).map(drop)
    }

    /// The hot one: parameters that stay empty stay empty, because nothing binds them on the way.
    pub(super) fn add_event(&mut self, row: &EventRow<'_>) -> Result<()> {
        let statement = match &mut self.add_event {
            Some(statement) => statement,
            none => none.insert(self.connection.prepare_cached(ADD_EVENT)?),
        };
        statement.raw_bind_parameter(1, signed(row.position))?;
        statement.raw_bind_parameter(2, row.stream)?;
        statement.raw_bind_parameter(3, row.sequence)?;
        statement.raw_bind_parameter(4, row.created_at)?;
        statement.raw_bind_parameter(5, row.type_id)?;
        statement.raw_bind_parameter(6, row.isolated)?;
        statement.raw_bind_parameter(7, Some(row.correlation_id).filter(|it| !it.is_empty()))?;
        statement.raw_bind_parameter(8, row.ext)?;
        statement.raw_bind_parameter(9, row.payload)?;
        statement.raw_bind_parameter(10, row.divergences)?;
        statement.raw_bind_parameter(11, row.trace)?;
        statement.raw_execute().map(drop)
    }

    /// The positions of a stream's events.
    pub(super) fn event_places(&self, stream: i64) -> Result<Vec<i64>> {
        self.get(EVENT_PLACES)?.query_map([stream], |row| row.get(0))?.collect()
    }

    /// Appends the event at `from` to another stream.
    pub(super) fn copy_event(&self, from: i64, position: u64, stream: i64) -> Result<()> {
        self.get(COPY_EVENT)?.execute(params![from, signed(position), stream]).map(drop)
    }

    /// The position of an event; 0 where there is none.
    pub(super) fn position_of(&self, stream: i64, sequence: u32) -> Result<u64> {
        let position: Option<i64> =
            self.get(POSITION_OF)?.query_row(params![stream, sequence], |row| row.get(0)).optional()?;
        Ok(position.unwrap_or(0).max(0) as u64)
    }

    pub(super) fn types(&self) -> Result<Vec<(i64, String, u32)>> {
        let mut statement = self.connection.prepare("SELECT id, name, version FROM types")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    pub(super) fn add_type(&self, name: &str, version: u32) -> Result<i64> {
        self.get(ADD_TYPE)?.insert(params![name, version])
    }

    pub(super) fn find_dedup(&self, stream: i64, Dedup(key): &Dedup) -> Result<Option<Written>> {
        self.get(FIND_DEDUP)?
            .query_row(params![stream, &key[..]], |row| {
                let last_position: i64 = row.get(2)?;
                Ok(Written {
                    first_sequence: row.get(0)?,
                    count: row.get(1)?,
                    last_position: last_position.max(0) as u64,
                })
            })
            .optional()
    }

    /// Whether the key is new.
    pub(super) fn add_dedup(&self, stream: i64, Dedup(key): &Dedup, written: &Written) -> Result<bool> {
        let values = params![stream, &key[..], written.first_sequence, written.count, signed(written.last_position)];
        Ok(self.get(ADD_DEDUP)?.execute(values)? == 1)
    }

    /// Stores a snapshot and deletes what it makes superfluous (rows N1 to N3, N5, N6).
    pub(super) fn add_snapshot(&self, stream: i64, type_id: i64, snapshot: &StoredSnapshot) -> Result<()> {
        if snapshot.retention != Retention::Persist {
            let newest: Option<u32> = self.get(NEWEST_SNAPSHOT)?.query_row([stream], |row| row.get(0))?;
            if newest.is_some_and(|newest| newest > snapshot.sequence) {
                return Ok(()); // late: the newer one has made it superfluous
            }
        }
        self.get(ADD_SNAPSHOT)?.execute(params![
            stream,
            snapshot.sequence,
            type_id,
            snapshot.created_at,
            codec::encode_retention(snapshot.retention),
            &snapshot.state[..],
        ])?;
        self.get(DROP_SNAPSHOTS)?.execute(params![stream, snapshot.sequence]).map(drop)
    }

    pub(super) fn checkpoint(&self, subscriber: &str, position: u64) -> Result<()> {
        self.get(CHECKPOINT)?.execute(params![subscriber, signed(position)]).map(drop)
    }

    pub(super) fn add_letter(&self, letter: &DeadLetter) -> Result<()> {
        let cover = letter.letter.cover.as_ref();
        let (resolution, resolved_at, reason) = codec::encode_resolution(letter.resolution.as_ref());
        let place = letter.event_place();
        let stream = place.as_ref().map(|(stream, _)| stream);
        self.get(ADD_LETTER)?
            .execute(params![
                letter.id.as_bytes(),
                letter.occurred_at,
                letter.domain(),
                letter.letter.source_component,
                cover.map_or("", |cover| cover.correlation_id.as_str()),
                letter.attempts,
                prost::Message::encode_to_vec(&letter.letter),
                resolution,
                resolved_at,
                reason,
                stream.map(|stream| stream.edition.as_str()),
                stream.map(|stream| *stream.root.as_bytes()),
                place.as_ref().map(|(_, sequence)| *sequence),
            ])
            .map(drop)
    }

    /// Whether an intent is there, with this due time.
    pub(super) fn is_open(&self, settle: &Settle) -> Result<bool> {
        let due: Option<i64> = self.get(DUE)?.query_row([settle.id.as_bytes()], |row| row.get(0)).optional()?;
        Ok(due == Some(settle.due))
    }

    pub(super) fn put_intent(&self, intent: &Intent) -> Result<()> {
        let values = params![
            intent.id.as_bytes(),
            codec::encode_kind(intent.kind),
            intent.stream.domain.as_str(),
            intent.stream.edition.as_str(),
            intent.stream.root.as_bytes(),
            intent.due,
            intent.attempts,
            &intent.work[..],
        ];
        self.get(PUT_INTENT)?.execute(values).map(drop)
    }

    pub(super) fn remove_intent(&self, id: IntentId) -> Result<()> {
        self.get(REMOVE_INTENT)?.execute([id.as_bytes()]).map(drop)
    }

    pub(super) fn forget_dedup(&self, stream: i64, Dedup(key): &Dedup) -> Result<()> {
        self.get(FORGET_DEDUP)?.execute(params![stream, key.as_ref()]).map(drop)
    }

    /// Remembers for good what was given so far.
    pub(super) fn keep_high_water(&self, position: u64, stream: i64) -> Result<()> {
        self.get(KEEP_HIGH_WATER)?.execute(params![signed(position), stream]).map(drop)
    }

    /// Removes all that belongs to an edition, and answers how many rows that were.
    pub(super) fn discard(&self, discard: &EditionDiscard) -> Result<usize> {
        let (edition, domain) = (discard.edition.as_str(), discard.domain.as_deref());
        let mut rows = 0;
        for sql in DISCARD {
            rows += self.get(sql)?.execute(params![edition, domain])?;
        }
        Ok(rows + self.get(DISCARD_LETTERS)?.execute(params![edition, domain, discard.at, discard.reason()])?)
    }

    /// Whether there was such an open letter.
    pub(super) fn resolve(&self, id: DeadLetterId, resolution: &Resolution) -> Result<bool> {
        let (resolution, at, reason) = codec::encode_resolution(Some(resolution));
        Ok(self.get(RESOLVE)?.execute(params![id.as_bytes(), resolution, at, reason])? == 1)
    }
}
