//! The statements of the connection that writes.
//!
//! In: a plan, or what has to be known for one. Out: rows, in a transaction of the server. Never: a decision whether
//! something may be stored; that is made in `plan`, and the server checks again whether it still holds.

use bytes::Bytes;
use futures_util::future::try_join3;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::super::encoding::{encode_kind, encode_resolution, signed};
use super::super::write::StreamHead;
use super::super::{Dedup, EditionDiscard, StorageError, Write};
use super::answers::{Columns, TELL};
use super::codec::{large, optional_small, small, value, written};
use super::connect::{Connector, Role};
use super::error::while_doing;
use super::plan::{Facts, Known, Plan, Rows};
use crate::dead_letter::DeadLetter;
use crate::stream::{Name, StreamKey};

/// What `begin_write` does, within the statement: once the lock is held, the version is compared and counted on. A call of that
/// function would cost several times as much as storing an event.
macro_rules! append_events {
    ($events:literal) => {
        concat!(
            "WITH gate AS MATERIALIZED (
                 SELECT CASE WHEN coalesce(pg_sequence_last_value('version'), 0) = $2 THEN nextval('version')
                             ELSE refuse_outdated() END
                 FROM (SELECT pg_advisory_xact_lock(1095649114, $1) OFFSET 0) AS lock
             )
             INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, divergences,
                                 trace, payload) ",
            $events
        )
    };
}
/// A single event, which is what a command alone makes most of the time.
const APPEND_EVENT: &str = append_events!(
    "SELECT $3::bigint + 1, $4::bigint, $5::bigint, $6::bigint, $7::integer, $8::boolean, $9::text, $10::bytea, $11::bytea,
            $12::bytea, $13::bytea
     FROM gate"
);
/// Their positions follow each other.
const APPEND_EVENTS: &str = append_events!(
    "SELECT $3::bigint + e.n, e.stream, e.sequence, e.created_at, e.type, coalesce(e.isolated, false), e.workflow, e.ext, e.points,
            e.trace,
            e.payload
     FROM gate, unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::integer[], $8::boolean[], $9::text[], $10::bytea[],
                       $11::bytea[], $12::bytea[], $13::bytea[]) WITH ORDINALITY
         AS e (stream, sequence, created_at, type, isolated, workflow, ext, points, trace, payload, n)"
);
const BEGIN_WRITE: &str = "SELECT pg_advisory_xact_lock(1095649114, $1)";
const NEWEST: &str = "SELECT newest_version(), newest_position(), newest_stream()";
const FIND_STREAMS: &str =
    "SELECT k.n, s.id, s.diverged_at, (SELECT max(e.sequence) FROM events e WHERE e.stream = s.id)
     FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS k (domain, edition, root, n)
     JOIN streams s ON s.domain = k.domain AND s.edition = k.edition AND s.root = k.root";
const FIND_DEDUP: &str = "SELECT d.first_sequence, d.count, d.last_position, d.stream, d.key
     FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[]) AS k (domain, edition, root, key)
     JOIN streams s ON s.domain = k.domain AND s.edition = k.edition AND s.root = k.root
     JOIN dedup d ON d.stream = s.id AND d.key = k.key";
const FIND_DUE: &str = "SELECT id, due FROM intents WHERE id = ANY ($1)";
const ADD_TYPES: &str = "INSERT INTO types (name, version) SELECT DISTINCT * FROM unnest($1::text[], $2::bigint[])
     ON CONFLICT DO NOTHING";
const FIND_TYPES: &str = "SELECT t.name, t.version, t.id FROM types t
     JOIN unnest($1::text[], $2::bigint[]) AS k (name, version) ON t.name = k.name AND t.version = k.version";
const ADD_LETTER: &str =
    "INSERT INTO dead_letters AS stored (id, occurred_at, domain, component, correlation_id, attempts, letter,
                               resolution, resolved_at, reason, edition, root, sequence)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT (id) DO UPDATE SET occurred_at = excluded.occurred_at, attempts = excluded.attempts,
         letter = excluded.letter, resolution = excluded.resolution, resolved_at = excluded.resolved_at,
         reason = excluded.reason
     WHERE stored.resolution = 1 OR (stored.resolution IS NULL AND excluded.attempts > stored.attempts)";
/// The same events on another stream, in order of their positions; they were decided on the main timeline's past, so they
/// hand on no divergences; and nobody waits for them, so they hand on no mark behind the trace.
const MERGE_EVENTS: &str =
    "INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, trace, payload)
     SELECT $1 + row_number() OVER (ORDER BY e.position), m.main, e.sequence, e.created_at, e.type, e.isolated,
            e.correlation_id, e.ext, nullif(substr(e.trace, 1, 25), decode(repeat('00', 25), 'hex')), e.payload
     FROM unnest($2::bigint[], $3::bigint[]) AS m (branch, main) JOIN events e ON e.stream = m.branch";
/// One that main knows already stays what it is.
const MERGE_DEDUP: &str = "INSERT INTO dedup (stream, key, first_sequence, count, last_position)
     SELECT k.main, k.on_main, d.first_sequence, d.count,
            coalesce((SELECT e.position FROM events e
                      WHERE e.stream = k.main AND d.count > 0 AND e.sequence = d.first_sequence + d.count - 1), 0)
     FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[]) WITH ORDINALITY AS k (branch, key, main, on_main, n)
     JOIN dedup d ON d.stream = k.branch AND d.key = k.key ORDER BY k.n
     ON CONFLICT DO NOTHING";
const KEEP_HIGH_WATER: &str = "INSERT INTO high_water AS kept (what, number) VALUES ('position', $1), ('stream', $2)
     ON CONFLICT (what) DO UPDATE SET number = greatest(kept.number, excluded.number)";
/// What a discard removes from the tables that know a stream by its number; the streams themselves last.
const DISCARD: [&str; 5] = [
    "DELETE FROM events WHERE stream IN
         (SELECT id FROM streams WHERE edition = $1 AND edition <> '' AND ($2::text IS NULL OR domain = $2))",
    "DELETE FROM snapshots WHERE stream IN
         (SELECT id FROM streams WHERE edition = $1 AND edition <> '' AND ($2::text IS NULL OR domain = $2))",
    "DELETE FROM dedup WHERE stream IN
         (SELECT id FROM streams WHERE edition = $1 AND edition <> '' AND ($2::text IS NULL OR domain = $2))",
    "DELETE FROM intents WHERE edition = $1 AND edition <> '' AND ($2::text IS NULL OR domain = $2)",
    "DELETE FROM streams WHERE edition = $1 AND edition <> '' AND ($2::text IS NULL OR domain = $2)",
];
const DISCARD_LETTERS: &str = "UPDATE dead_letters SET resolution = 2, resolved_at = $3, reason = $4
     WHERE resolution IS NULL AND sequence IS NOT NULL AND edition = $1 AND ($2::text IS NULL OR domain = $2)";
const FORGET_DEDUP: &str = "DELETE FROM dedup d USING streams s
     WHERE d.stream = s.id AND s.domain = $1 AND s.edition = $2 AND s.root = $3 AND d.key = $4";
/// Whoever decided on the old version is refused from now on, also if its statement is still on the way.
const FENCE: &str = "SELECT nextval('version')";
const EVENT_AT: &str = "SELECT e.sequence, e.created_at, s.domain, s.edition, s.root, e.payload
     FROM events e JOIN streams s ON s.id = e.stream WHERE e.position = $1";

/// What the store holds at the moment of a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) version: i64,
    pub(super) position: u64,
    pub(super) stream: i64,
}

/// The connection that writes, with its prepared statements.
pub(super) struct Session {
    client: Client,
    /// The process of the server behind it.
    pub(super) pid: i32,
    lock_key: i32,
    append_event: Statement,
    append_events: Statement,
    commit_batch: Statement,
    begin_write: Statement,
    newest: Statement,
    find_streams: Statement,
    find_dedup: Statement,
    find_due: Statement,
}

impl Session {
    pub(super) async fn open(connector: &Connector, lock_key: i32) -> Result<Self, StorageError> {
        let client = connector.connect(Role::Writes).await?;
        Self::prepare(client, lock_key).await.map_err(while_doing("cannot prepare to write"))
    }

    async fn prepare(client: Client, lock_key: i32) -> Result<Self, Error> {
        let parameters: Vec<String> = (1..=44).map(|n| format!("${n}")).collect();
        let commit_batch = format!("SELECT commit_batch({})", parameters.join(", "));
        // One after the other on the wire, without waiting in between.
        let (
            (append_event, append_events, commit_batch),
            (newest, find_streams, find_dedup),
            (begin_write, find_due, pid),
        ) = try_join3(
            try_join3(client.prepare(APPEND_EVENT), client.prepare(APPEND_EVENTS), client.prepare(&commit_batch)),
            try_join3(client.prepare(NEWEST), client.prepare(FIND_STREAMS), client.prepare(FIND_DEDUP)),
            try_join3(
                client.prepare(BEGIN_WRITE),
                client.prepare(FIND_DUE),
                client.query_one("SELECT pg_backend_pid()", &[]),
            ),
        )
        .await?;
        let pid = pid.try_get(0)?;
        Ok(Self {
            client,
            pid,
            lock_key,
            append_event,
            append_events,
            commit_batch,
            begin_write,
            newest,
            find_streams,
            find_dedup,
            find_due,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Stores the rows of a plan, if `known` is still the newest version. Answers the version after it. Outside of a
    /// transaction it is one by itself.
    pub(super) async fn store(&self, plan: &Plan<'_, '_>, known: i64) -> Result<i64, Error> {
        let (rows, events) = (&plan.rows, &plan.rows.events);
        let last_position = signed(plan.last_position);
        let count = events.stream.len();
        if rows.is_events_only() && count == 1 {
            let event: [&(dyn ToSql + Sync); 13] = [
                &self.lock_key,
                &known,
                &last_position,
                &events.stream[0],
                &events.sequence[0],
                &events.created_at[0],
                &events.type_id[0],
                &events.isolated.first().is_some(),
                &events.workflow.first(),
                &events.ext.first(),
                &events.divergences.first(),
                &events.trace.first(),
                &events.payload[0],
            ];
            self.client.execute(&self.append_event, &event).await?;
            return Ok(known + 1);
        }
        let events: [&(dyn ToSql + Sync); 13] = [
            &self.lock_key,
            &known,
            &last_position,
            &events.stream,
            &events.sequence,
            &events.created_at,
            &events.type_id,
            &events.isolated.column(),
            &events.workflow.column(),
            &events.ext.column(),
            &events.divergences.column(),
            &events.trace.column(),
            &events.payload,
        ];
        if rows.is_events_only() {
            self.client.execute(&self.append_events, &events).await?;
            // Nobody else counts while the lock is held.
            return Ok(known + 1);
        }
        self.store_all(&events, rows).await
    }

    async fn store_all(&self, events: &[&(dyn ToSql + Sync)], rows: &Rows<'_>) -> Result<i64, Error> {
        let (subscribers, positions): (Vec<&str>, Vec<i64>) =
            rows.checkpoints.iter().map(|(subscriber, position)| (*subscriber, signed(*position))).unzip();
        let intents = || rows.intents.iter().flatten();
        let ids: Vec<Uuid> = intents().map(|it| it.id).collect();
        let kinds: Vec<i16> = intents().map(|it| encode_kind(it.kind)).collect();
        let domains: Vec<&str> = intents().map(|it| it.stream.domain.as_str()).collect();
        let editions: Vec<&str> = intents().map(|it| it.stream.edition.as_str()).collect();
        let roots: Vec<Uuid> = intents().map(|it| it.stream.root).collect();
        let dues: Vec<i64> = intents().map(|it| it.due).collect();
        let attempts: Vec<i64> = intents().map(|it| it.attempts.into()).collect();
        let works: Vec<&[u8]> = intents().map(|it| &it.work[..]).collect();
        let rest: [&(dyn ToSql + Sync); 31] = [
            &rows.streams.id,
            &rows.streams.domain,
            &rows.streams.edition,
            &rows.streams.root,
            &rows.streams.diverged_at,
            &rows.diverged.0,
            &rows.diverged.1,
            &rows.dedup.stream,
            &rows.dedup.key,
            &rows.dedup.first_sequence,
            &rows.dedup.count,
            &rows.dedup.last_position,
            &rows.snapshots.stream,
            &rows.snapshots.sequence,
            &rows.snapshots.type_id,
            &rows.snapshots.created_at,
            &rows.snapshots.retention,
            &rows.snapshots.state,
            &subscribers,
            &positions,
            &rows.settled.0,
            &rows.settled.1,
            &rows.removed,
            &ids,
            &kinds,
            &domains,
            &editions,
            &roots,
            &dues,
            &attempts,
            &works,
        ];
        let parameters: Vec<&(dyn ToSql + Sync)> = events.iter().chain(&rest).copied().collect();
        self.client.query_one(&self.commit_batch, &parameters).await?.try_get(0)
    }

    /// Begins a transaction that keeps everybody else from writing, and says where the store stands.
    pub(super) async fn lock(&self) -> Result<Newest, Error> {
        let (_, _, newest) = try_join3(
            self.client.batch_execute("BEGIN"),
            self.client.execute(&self.begin_write, &[&self.lock_key]),
            self.client.query_one(&self.newest, &[]),
        )
        .await?;
        let position: i64 = newest.try_get(1)?;
        Ok(Newest { version: newest.try_get(0)?, position: position.max(0) as u64, stream: newest.try_get(2)? })
    }

    pub(super) async fn end(&self, how: End) -> Result<(), Error> {
        self.client
            .batch_execute(match how {
                End::Commit => "COMMIT",
                End::Rollback => "ROLLBACK",
            })
            .await
    }

    /// The ends of streams; those that do not exist are left out.
    pub(super) async fn find_streams(&self, keys: &[StreamKey]) -> Result<Vec<(usize, Known)>, StorageError> {
        let (domains, editions, roots) = columns(keys.iter());
        let rows = self.client.query(&self.find_streams, &[&domains, &editions, &roots]).await;
        let rows = rows.map_err(while_doing("cannot look up streams"))?;
        let known = |row: &tokio_postgres::Row| {
            let number: i64 = value(row, 0)?;
            let diverged_at = optional_small(row, 2)?;
            let last = optional_small(row, 3)?;
            let next_sequence = last.map_or(diverged_at.unwrap_or(0), |last| last.saturating_add(1));
            let head = StreamHead { next_sequence, has_events: last.is_some(), diverged_at };
            Ok((usize::try_from(number - 1).unwrap_or(usize::MAX), Known { id: value(row, 1)?, head }))
        };
        rows.iter().map(known).collect()
    }

    /// The dedup keys and intents that writes name.
    pub(super) async fn find_facts(&self, writes: &[Write]) -> Result<Facts, StorageError> {
        let (mut keys, mut dedups, mut intents) = (Vec::new(), Vec::<&[u8]>::new(), Vec::<Uuid>::new());
        for write in writes {
            let extras = write.extras.as_deref();
            for append in write.append.iter().chain(extras.into_iter().flat_map(|it| &it.appends)) {
                if let Some(Dedup(key)) = &append.dedup {
                    keys.push(&append.key);
                    dedups.push(key);
                }
            }
            let Some(extras) = extras else { continue };
            for merge in &extras.merges {
                for (Dedup(key), _) in &merge.dedup {
                    keys.push(&merge.branch);
                    dedups.push(key);
                }
            }
            intents.extend(extras.settles.iter().map(|it| it.id));
        }
        let mut facts = Facts::default();
        if !dedups.is_empty() {
            let (domains, editions, roots) = columns(keys.into_iter());
            let rows = self.client.query(&self.find_dedup, &[&domains, &editions, &roots, &dedups]).await;
            for row in &rows.map_err(while_doing("cannot look up dedup keys"))? {
                let key: &[u8] = value(row, 4)?;
                facts.dedup.insert((value(row, 3)?, Bytes::copy_from_slice(key)), written(row, 0)?);
            }
        }
        if !intents.is_empty() {
            let rows = self.client.query(&self.find_due, &[&intents]).await;
            for row in &rows.map_err(while_doing("cannot look up intents"))? {
                facts.due.insert(value(row, 0)?, value(row, 1)?);
            }
        }
        Ok(facts)
    }

    /// The numbers of types; those that are new get one, for good, whatever becomes of the write that named them.
    pub(super) async fn add_types(&self, types: &[(&Name, u32)]) -> Result<Vec<(Name, u32, i32)>, StorageError> {
        let names: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
        let versions: Vec<i64> = types.iter().map(|(_, version)| i64::from(*version)).collect();
        let doing = || while_doing("cannot look up the types of events");
        self.client.execute(ADD_TYPES, &[&names, &versions]).await.map_err(doing())?;
        let rows = self.client.query(FIND_TYPES, &[&names, &versions]).await.map_err(doing())?;
        rows.iter().map(|row| Ok((Name::new(value(row, 0)?), small(row, 1)?, value(row, 2)?))).collect()
    }

    pub(super) async fn add_letter(&self, letter: &DeadLetter) -> Result<(), Error> {
        let cover = letter.letter.cover.as_ref();
        let (resolution, resolved_at, reason) = encode_resolution(letter.resolution.as_ref());
        let place = letter.event_place();
        let stream = place.as_ref().map(|(stream, _)| stream);
        self.client
            .execute(
                ADD_LETTER,
                &[
                    &letter.id,
                    &letter.occurred_at,
                    &letter.domain(),
                    &letter.letter.source_component,
                    &cover.map_or("", |cover| cover.correlation_id.as_str()),
                    &i64::from(letter.attempts),
                    &prost::Message::encode_to_vec(&letter.letter),
                    &resolution,
                    &resolved_at,
                    &reason,
                    &stream.map(|stream| stream.edition.as_str()),
                    &stream.map(|stream| stream.root),
                    &place.as_ref().map(|(_, sequence)| i64::from(*sequence)),
                ],
            )
            .await
            .map(drop)
    }

    /// Tells those who wait in other processes.
    pub(super) async fn tell(&self, answers: &Columns<'_>) -> Result<(), Error> {
        self.client.execute(TELL, &answers.parameters()).await.map(drop)
    }

    /// Appends the events of branches to their main streams, behind `last_position`. Answers how many they were.
    pub(super) async fn merge_events(&self, last_position: u64, branches: &[i64], mains: &[i64]) -> Result<u64, Error> {
        self.client.execute(MERGE_EVENTS, &[&signed(last_position), &branches, &mains]).await
    }

    pub(super) async fn merge_dedup(&self, keys: &MergedKeys<'_>) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 4] = [&keys.branch, &keys.key, &keys.main, &keys.on_main];
        self.client.execute(MERGE_DEDUP, &parameters).await.map(drop)
    }

    /// Removes all that belongs to an edition, and remembers for good what was given so far.
    pub(super) async fn discard(&self, discard: &EditionDiscard, newest: (u64, i64)) -> Result<(), Error> {
        self.client.execute(KEEP_HIGH_WATER, &[&signed(newest.0), &newest.1]).await?;
        let (edition, domain) = (discard.edition.as_str(), discard.domain.as_deref());
        for sql in DISCARD {
            self.client.execute(sql, &[&edition, &domain]).await?;
        }
        self.client.execute(DISCARD_LETTERS, &[&edition, &domain, &discard.at, &discard.reason()]).await.map(drop)
    }

    pub(super) async fn forget(&self, key: &StreamKey, Dedup(dedup): &Dedup) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&key.domain.as_str(), &key.edition.as_str(), &key.root, &&dedup[..]];
        self.client.execute(FORGET_DEDUP, &parameters).await.map(drop)
    }

    /// The next version, without a change.
    pub(super) async fn next_version(&self) -> Result<i64, Error> {
        self.client.query_one(FENCE, &[]).await?.try_get(0)
    }

    /// The first event of a batch whose fate is not known, if it is there. Nobody writes meanwhile, and a statement that is
    /// still on its way will be refused.
    pub(super) async fn fence(&self, position: u64) -> Result<Option<EventAt>, StorageError> {
        let doing = || while_doing("cannot find out what became of a batch");
        self.lock().await.map_err(doing())?;
        self.next_version().await.map_err(doing())?;
        let row = self.client.query_opt(EVENT_AT, &[&signed(position)]).await.map_err(doing())?;
        self.end(End::Commit).await.map_err(doing())?;
        let event = |row: &tokio_postgres::Row| {
            Ok(EventAt {
                sequence: large(row, 0)?,
                created_at: value(row, 1)?,
                stream: super::codec::stream_key(row, 2)?,
                payload: super::codec::bytes(row, 5)?,
            })
        };
        row.as_ref().map(event).transpose()
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Commit,
    Rollback,
}

/// An event, as far as it tells whether it is the one that was to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventAt {
    pub(super) sequence: u64,
    pub(super) created_at: i64,
    pub(super) stream: StreamKey,
    pub(super) payload: Bytes,
}

/// Dedup keys of branches, and what they are on main.
#[derive(Default)]
pub(super) struct MergedKeys<'w> {
    pub(super) branch: Vec<i64>,
    pub(super) key: Vec<&'w [u8]>,
    pub(super) main: Vec<i64>,
    pub(super) on_main: Vec<&'w [u8]>,
}

fn columns<'a>(keys: impl Iterator<Item = &'a StreamKey>) -> (Vec<&'a str>, Vec<&'a str>, Vec<Uuid>) {
    let (mut domains, mut editions, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        domains.push(key.domain.as_str());
        editions.push(key.edition.as_str());
        roots.push(key.root);
    }
    (domains, editions, roots)
}
