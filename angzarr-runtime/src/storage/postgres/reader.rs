//! Questions.
//!
//! In: questions, from any task. Out: what was committed when the question began. Never: a write, or a lock that a writer waits
//! for. What is long is read in pieces.

mod lists;

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use parking_lot::RwLock;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::encoding::signed;
use super::super::{Dedup, StorageError, StreamRead, StreamSlice, Written};
use super::codec::{self, LastHeaders, bytes, large, next_stream_key, optional_small, small, value, written};
use super::connect::connection;
use super::error::{corrupt, is_lost, told, unknown, while_doing};
use crate::dead_letter::DeadLetterId;
use crate::stream::{LogEvent, Name, Nanos, StoredEvent, StoredSnapshot, StreamKey};

/// Events in one piece. A piece is short enough for any `statement_timeout`.
const PIECE: i64 = 1_000;
/// And how many bytes its payloads have together: from there on the next piece begins.
const PIECE_BYTES: usize = 16 << 20;
/// What an event is read from.
const EVENT: &str = "e.position, e.sequence, e.created_at, e.type, e.isolated, e.correlation_id, e.ext, e.divergences, e.trace, e.payload";

const ASKING: &str = "cannot read";

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// Names of types by id; small, and never changed, only added to.
type Types = Vec<Option<(Name, u32)>>;

/// What questions share.
#[derive(Clone)]
pub(super) struct Readers {
    pool: Pool,
    types: Arc<RwLock<Arc<Types>>>,
}

impl Readers {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, types: Arc::default() }
    }

    pub(super) async fn reader(&self) -> Result<Reader, StorageError> {
        let client = connection(&self.pool).await?;
        let types = self.types.read().clone();
        Ok(Reader { client, types, shared: self.types.clone() })
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }
}

/// A connection for one question.
pub(super) struct Reader {
    pub(super) client: Object,
    types: Arc<Types>,
    shared: Arc<RwLock<Arc<Types>>>,
}

impl Reader {
    async fn rows(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, StorageError> {
        let statement = self.client.prepare_cached(sql).await.map_err(while_doing(ASKING))?;
        self.client.query(&statement, parameters).await.map_err(while_doing(ASKING))
    }

    async fn one<T>(
        &self,
        sql: &str,
        parameters: &Parameters<'_>,
        read: impl FnOnce(&Row) -> Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let statement = self.client.prepare_cached(sql).await.map_err(while_doing(ASKING))?;
        let row = self.client.query_opt(&statement, parameters).await.map_err(while_doing(ASKING))?;
        row.as_ref().map(read).transpose()
    }

    pub(super) async fn list<T>(
        &self,
        sql: &str,
        parameters: &Parameters<'_>,
        read: impl Fn(&Row) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        self.rows(sql, parameters).await?.iter().map(read).collect()
    }

    /// The name and version behind an id.
    fn type_of(&self, id: i32) -> Result<(Name, u32), StorageError> {
        match usize::try_from(id).ok().and_then(|id| self.types.get(id)) {
            Some(Some((name, version))) => Ok((name.clone(), *version)),
            _ => Err(corrupt(format!("a row refers to type {id}, which does not exist"))),
        }
    }

    /// Sees to it that the types in a column are known. They are stored before anything that refers to them.
    async fn learn_types(&mut self, rows: &[Row], column: usize) -> Result<(), StorageError> {
        let is_known = |types: &Types, row: &Row| {
            let id = row.try_get::<_, i32>(column).ok().and_then(|id| usize::try_from(id).ok());
            id.is_none_or(|id| types.get(id).is_some_and(Option::is_some))
        };
        if rows.iter().all(|row| is_known(&self.types, row)) {
            return Ok(());
        }
        let mut types = Types::new();
        for row in &self.rows("SELECT id, name, version FROM types", &[]).await? {
            let index = usize::try_from(value::<i32>(row, 0)?).unwrap_or(usize::MAX);
            if index < 1 << 24 {
                types.resize(types.len().max(index + 1), None);
                types[index] = Some((Name::new(value(row, 1)?), small(row, 2)?));
            }
        }
        self.types = Arc::new(types);
        *self.shared.write() = self.types.clone();
        Ok(())
    }

    fn event(&self, row: &Row, last: &mut LastHeaders) -> Result<StoredEvent, StorageError> {
        let (type_name, schema_version) = self.type_of(value(row, 3)?)?;
        Ok(StoredEvent {
            position: large(row, 0)?,
            sequence: small(row, 1)?,
            created_at: value(row, 2)?,
            type_name,
            schema_version,
            payload: bytes(row, 9)?,
            headers: last.read(row, 5)?,
            isolated: value(row, 4)?,
        })
    }

    pub(super) async fn stream(&mut self, key: &StreamKey, read: &StreamRead) -> Result<StreamSlice, StorageError> {
        // What is on the main timeline stays: pieces that are read one after the other fit together. An edition may be
        // discarded in between.
        if key.is_main() {
            return self.stream_as_it_is(key, read).await;
        }
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.client.batch_execute(BEGIN).await.map_err(while_doing(ASKING))?;
        let slice = self.stream_as_it_is(key, read).await;
        self.client.batch_execute("COMMIT").await.map_err(while_doing(ASKING))?;
        slice
    }

    async fn stream_as_it_is(&mut self, key: &StreamKey, read: &StreamRead) -> Result<StreamSlice, StorageError> {
        let Some((mut id, mut slice)) = self.end_of(key).await? else { return Ok(StreamSlice::default()) };
        if let Some((type_name, version)) = &read.snapshot {
            (slice.snapshot, slice.foreign_snapshot) = self.newest_snapshot(id, type_name, *version, read).await?;
            let newest = slice.snapshot.as_ref().map(|it| it.sequence).max(slice.foreign_snapshot);
            if newest.is_some_and(|newest| newest >= slice.next_sequence) {
                // It may be of an event that came after the end was looked up.
                let Some((id_now, slice_now)) = self.end_of(key).await? else { return Ok(StreamSlice::default()) };
                id = id_now;
                let (snapshot, foreign_snapshot) = (slice.snapshot.take(), slice.foreign_snapshot);
                slice = StreamSlice { snapshot, foreign_snapshot, ..slice_now };
            }
        }
        let Some(newest) = slice.next_sequence.checked_sub(1) else { return Ok(slice) };
        let from = slice.snapshot.as_ref().map_or(read.from, |it| it.sequence.saturating_add(1).max(read.from));
        let to = read.to.unwrap_or(newest).min(newest);
        if from > to {
            return Ok(slice);
        }
        if read.until.is_none() {
            slice.events.reserve_exact((to - from) as usize + 1);
        }
        let sql = within_bytes("e.stream = $1 AND e.sequence BETWEEN $2 AND $3", "e.sequence", "");
        let mut headers = LastHeaders::default();
        let mut next = i64::from(from);
        while next <= i64::from(to) {
            let rows = self.rows(&sql, &[&id, &next, &i64::from(to), &PIECE, &(PIECE_BYTES as i64)]).await?;
            self.learn_types(&rows, 3).await?;
            let Some(last) = rows.last() else { break };
            next = value::<i64>(last, 1)? + 1;
            for row in &rows {
                let event = self.event(row, &mut headers)?;
                // Times never go back in a stream, so what follows is too late as well.
                if read.until.is_some_and(|until| event.created_at > until) {
                    return Ok(slice);
                }
                slice.events.push(event);
            }
        }
        Ok(slice)
    }

    /// The number of a stream and where it ends, without what is in it.
    async fn end_of(&self, key: &StreamKey) -> Result<Option<(i64, StreamSlice)>, StorageError> {
        let sql = "SELECT s.id, s.diverged_at, e.sequence, e.created_at FROM streams s
                   LEFT JOIN LATERAL (SELECT sequence, created_at FROM events
                                      WHERE stream = s.id ORDER BY sequence DESC LIMIT 1) e ON TRUE
                   WHERE s.domain = $1 AND s.edition = $2 AND s.root = $3";
        self.one(sql, &[&key.domain.as_str(), &key.edition.as_str(), &key.root], |row| {
            let (diverged_at, last) = (optional_small(row, 1)?, optional_small(row, 2)?);
            let slice = StreamSlice {
                next_sequence: last.map_or(diverged_at.unwrap_or(0), |sequence| sequence.saturating_add(1)),
                last_created_at: value::<Option<i64>>(row, 3)?.unwrap_or(0),
                diverged_at,
                ..StreamSlice::default()
            };
            Ok((value(row, 0)?, slice))
        })
        .await
    }

    /// The newest snapshot that fits, and the sequence of a newer one that is of another type or version.
    async fn newest_snapshot(
        &mut self,
        stream: i64,
        type_name: &Name,
        version: u32,
        read: &StreamRead,
    ) -> Result<(Option<StoredSnapshot>, Option<u32>), StorageError> {
        let sql = "SELECT sequence, created_at, type, retention, state FROM snapshots
                   WHERE stream = $1 AND sequence <= $2 AND created_at <= $3 ORDER BY sequence DESC";
        let to = i64::from(read.to.unwrap_or(u32::MAX));
        let until = read.until.unwrap_or(i64::MAX);
        let rows = self.rows(sql, &[&stream, &to, &until]).await?;
        self.learn_types(&rows, 2).await?;
        let mut foreign = None;
        for row in &rows {
            let sequence = small(row, 0)?;
            if !read.admits(sequence, value(row, 1)?) {
                continue;
            }
            let (found, found_version) = self.type_of(value(row, 2)?)?;
            if found == *type_name && found_version == version {
                return Ok((Some(self.snapshot(row)?), foreign));
            }
            foreign.get_or_insert(sequence);
        }
        Ok((None, foreign))
    }

    fn snapshot(&self, row: &Row) -> Result<StoredSnapshot, StorageError> {
        let (type_name, state_version) = self.type_of(value(row, 2)?)?;
        Ok(StoredSnapshot {
            sequence: small(row, 0)?,
            created_at: value(row, 1)?,
            type_name,
            state_version,
            state: bytes(row, 4)?,
            retention: codec::retention(row, 3)?,
        })
    }

    pub(super) async fn snapshots(&mut self, key: &StreamKey) -> Result<Vec<StoredSnapshot>, StorageError> {
        let sql = "SELECT n.sequence, n.created_at, n.type, n.retention, n.state
                   FROM streams s JOIN snapshots n ON n.stream = s.id
                   WHERE s.domain = $1 AND s.edition = $2 AND s.root = $3 ORDER BY n.sequence, n.type";
        let rows = self.rows(sql, &[&key.domain.as_str(), &key.edition.as_str(), &key.root]).await?;
        self.learn_types(&rows, 2).await?;
        rows.iter().map(|row| self.snapshot(row)).collect()
    }

    pub(super) async fn duplicate(
        &self,
        key: &StreamKey,
        Dedup(dedup): &Dedup,
    ) -> Result<Option<Written>, StorageError> {
        let sql = "SELECT d.first_sequence, d.count, d.last_position FROM streams s JOIN dedup d ON d.stream = s.id
                   WHERE s.domain = $1 AND s.edition = $2 AND s.root = $3 AND d.key = $4";
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&key.domain.as_str(), &key.edition.as_str(), &key.root, &&dedup[..]];
        self.one(sql, &parameters, |row| written(row, 0)).await
    }

    pub(super) async fn dedup_keys(&self, key: &StreamKey) -> Result<Vec<(Dedup, Written)>, StorageError> {
        let sql =
            "SELECT d.first_sequence, d.count, d.last_position, d.key FROM streams s JOIN dedup d ON d.stream = s.id
                   WHERE s.domain = $1 AND s.edition = $2 AND s.root = $3 ORDER BY d.key";
        let parameters: [&(dyn ToSql + Sync); 3] = [&key.domain.as_str(), &key.edition.as_str(), &key.root];
        self.list(sql, &parameters, |row| Ok((Dedup(bytes(row, 3)?), written(row, 0)?))).await
    }

    /// Reads events piece by piece until there are no more, or enough.
    async fn log_events(
        &mut self,
        condition: &str,
        parameter: Option<&(dyn ToSql + Sync)>,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<LogEvent>, StorageError> {
        let from = format!("e.position > $1{condition}");
        let sql = within_bytes(&from, "e.position", ", s.domain, s.edition, s.root");
        let (mut headers, mut events) = (LastHeaders::default(), Vec::<LogEvent>::new());
        let (mut after, mut left) = (signed(after), bytes);
        while events.len() < limit {
            let piece = PIECE.min(signed((limit - events.len()) as u64));
            let piece_bytes = signed(left.clamp(1, PIECE_BYTES) as u64);
            let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&after, &piece, &piece_bytes];
            parameters.extend(parameter);
            let rows = self.rows(&sql, &parameters).await?;
            self.learn_types(&rows, 3).await?;
            let Some(last) = rows.last() else { break };
            let next_after: i64 = value(last, 0)?;
            for row in &rows {
                let stream = next_stream_key(row, 10, events.last().map(|it| &it.stream))?;
                let event = self.event(row, &mut headers)?;
                left = left.saturating_sub(event.payload.len());
                events.push(LogEvent { stream, event });
                if left == 0 {
                    return Ok(events);
                }
            }
            after = next_after;
        }
        Ok(events)
    }

    pub(super) async fn log(&mut self, after: u64, limit: usize, bytes: usize) -> Result<Vec<LogEvent>, StorageError> {
        self.log_events("", None, after, limit, bytes).await
    }

    pub(super) async fn correlation(&mut self, correlation_id: &str) -> Result<Vec<LogEvent>, StorageError> {
        if correlation_id.is_empty() {
            return Ok(Vec::new());
        }
        self.log_events(" AND e.correlation_id = $4", Some(&correlation_id), 0, usize::MAX, usize::MAX).await
    }

    pub(super) async fn wait(&mut self, wait: Uuid, after: u64) -> Result<Vec<LogEvent>, StorageError> {
        let condition = " AND octet_length(e.trace) > 25 AND substr(e.trace, 26, 16) = $4";
        self.log_events(condition, Some(&&wait.as_bytes()[..]), after, usize::MAX, usize::MAX).await
    }

    pub(super) async fn checkpoint(&self, subscriber: &str) -> Result<Option<u64>, StorageError> {
        let sql = "SELECT position FROM checkpoints WHERE subscriber = $1";
        self.one(sql, &[&subscriber], |row| large(row, 0)).await
    }

    /// Resolves an open letter: a single statement, which nothing else depends on. `false` if there is none.
    pub(super) async fn resolve(
        &self,
        id: DeadLetterId,
        resolution: Option<i16>,
        at: Option<Nanos>,
        reason: Option<&str>,
    ) -> Result<bool, StorageError> {
        let sql = "UPDATE dead_letters SET resolution = $2, resolved_at = $3, reason = $4 WHERE id = $1 AND resolution IS NULL";
        let doing = || while_doing("the dead letter was not resolved");
        let statement = self.client.prepare_cached(sql).await.map_err(doing())?;
        let resolved = self.client.execute(&statement, &[&id, &resolution, &at, &reason]).await;
        resolved.map(|count| count == 1).map_err(|error| match is_lost(&error) {
            true => {
                unknown(format!("the connection was lost while a dead letter was being resolved: {}", told(&error)))
            }
            false => doing()(error),
        })
    }
}

/// A question for the first events that fulfil a condition, until their payloads have a number of bytes: at least one, and
/// never more than would fill the memory on the way here. How long a payload is, PostgreSQL knows without reading it.
fn within_bytes(condition: &str, order: &str, more: &str) -> String {
    // Those of one stream have two more parameters before the limits than those of the log.
    let (limit, bytes) = if more.is_empty() { ("$4", "$5") } else { ("$2", "$3") };
    let join = if more.is_empty() { "" } else { "JOIN streams s ON s.id = e.stream" };
    let before = format!("sum(octet_length(e.payload)) OVER (ORDER BY {order}) - octet_length(e.payload)");
    format!(
        "SELECT {EVENT}{more} FROM (
             SELECT e.*, {before} AS before FROM events e WHERE {condition} ORDER BY {order} LIMIT {limit}
         ) e {join} WHERE e.before < {bytes} ORDER BY {order}"
    )
}
