//! Over rusqlite, one prepared insert.

use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message as _;
use rusqlite::{Connection, params};

use super::Shape;
use crate::domain::{Deposited, account};
use crate::load::{ACCOUNTS, Measured, histogram};

fn table(shape: Shape) -> &'static str {
    match shape {
            Shape::Facts => {
            "CREATE TABLE event (
                    position INTEGER PRIMARY KEY, domain TEXT NOT NULL, edition TEXT NOT NULL, root BLOB NOT NULL,
                    sequence INTEGER NOT NULL, created_at INTEGER NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL,
                    correlation_id TEXT, payload BLOB NOT NULL
                 );
                 CREATE UNIQUE INDEX event_of_stream ON event (domain, edition, root, sequence)"
            }
            Shape::Lean => {
                "CREATE TABLE event (
                    position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, sequence INTEGER NOT NULL,
                    created_at INTEGER NOT NULL, type INTEGER NOT NULL, payload BLOB NOT NULL
                 );
                 CREATE UNIQUE INDEX event_of_stream ON event (stream, sequence)"
            }
        }
}

/// Stream, sequence, time, payload.
fn insert(shape: Shape) -> &'static str {
    match shape {
        Shape::Facts => {
            "INSERT INTO event (domain, edition, root, sequence, created_at, type, version, payload)
                 VALUES ('account', '', ?1, ?2, ?3, 'bench.Deposited', 1, ?4)"
        }
        Shape::Lean => "INSERT INTO event (stream, sequence, created_at, type, payload) VALUES (?1, ?2, ?3, 1, ?4)",
    }
}

fn open(directory: &Path, durable: bool, shape: Shape) -> rusqlite::Result<Connection> {
    let connection = Connection::open(directory.join("limit.db"))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", if durable { "full" } else { "normal" })?;
    connection.execute_batch(table(shape))?;
    Ok(connection)
}

/// One transaction for each batch of `batch` events of distinct streams, one prepared statement.
pub fn commands(
    directory: &Path,
    durable: bool,
    batch: usize,
    seconds: f64,
    shape: Shape,
) -> rusqlite::Result<Measured> {
    let connection = open(directory, durable, shape)?;
    let ids: Vec<[u8; 16]> = (0..ACCOUNTS).map(|n| account(n).into_bytes()).collect();
    let mut next = vec![0i64; ACCOUNTS];
    let mut latencies = histogram();
    let (mut count, mut stream) = (0u64, 0);
    let mut commit = |batch: usize| -> rusqlite::Result<()> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = connection.prepare_cached(insert(shape))?;
        for _ in 0..batch {
            let payload = Deposited { amount: 7, balance: (next[stream] * 7).cast_unsigned() }.encode_to_vec();
            match shape {
                Shape::Facts => insert.execute(params![ids[stream], next[stream], count as i64, payload])?,
                Shape::Lean => insert.execute(params![stream as i64, next[stream], count as i64, payload])?,
            };
            next[stream] += 1;
            count += 1;
            stream = (stream + 1) % ACCOUNTS;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    };
    // As everybody does: one event for each account, in a commit of its own.
    for _ in 0..ACCOUNTS {
        commit(1)?;
    }
    let mut timed = 0u64;
    let (start, end) = (Instant::now(), Duration::from_secs_f64(seconds));
    while start.elapsed() < end {
        let begin = Instant::now();
        commit(batch)?;
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
        timed += batch as u64;
    }
    Ok(Measured::new(timed, start.elapsed(), &latencies))
}

/// Reads, decodes and sums one stream, again and again: events per second.
pub fn fold(directory: &Path, events: usize, seconds: f64) -> rusqlite::Result<Measured> {
    let mut connection = open(directory, false, Shape::Lean)?;
    let transaction = connection.transaction()?;
    for n in 0..events {
        let payload = Deposited { amount: 1, balance: n as u64 + 1 }.encode_to_vec();
        transaction.prepare_cached(insert(Shape::Lean))?.execute(params![1, n as i64, n as i64, payload])?;
    }
    transaction.commit()?;
    let mut latencies = histogram();
    let (mut count, start, end) = (0u64, Instant::now(), Duration::from_secs_f64(seconds));
    while start.elapsed() < end {
        let begin = Instant::now();
        let mut select = connection.prepare_cached(
            "SELECT sequence, created_at, type, payload FROM event WHERE stream = 1 ORDER BY sequence",
        )?;
        let mut rows = select.query([])?;
        let mut balance = 0;
        while let Some(row) = rows.next()? {
            let payload = row.get_ref(3)?.as_blob()?;
            balance += Deposited::decode(payload).map_or(0, |event| event.amount);
            count += 1;
        }
        assert_eq!(balance, events as i64);
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(Measured::new(count, start.elapsed(), &latencies))
}

/// Reads events by position and adds them up in another file, a thousand in one transaction: events per second.
pub fn catch_up(directory: &Path, events: usize) -> rusqlite::Result<Measured> {
    let mut log = open(directory, false, Shape::Lean)?;
    let transaction = log.transaction()?;
    for n in 0..events {
        let payload = Deposited { amount: 1, balance: n as u64 + 1 }.encode_to_vec();
        let (stream, sequence) = ((n % ACCOUNTS) as i64, (n / ACCOUNTS) as i64);
        transaction.prepare_cached(insert(Shape::Lean))?.execute(params![stream, sequence, n as i64, payload])?;
    }
    transaction.commit()?;
    let mut model = Connection::open(directory.join("model.db"))?;
    model.pragma_update(None, "journal_mode", "wal")?;
    model.pragma_update(None, "synchronous", "normal")?;
    model.execute_batch("CREATE TABLE balance (account INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")?;
    let mut latencies = histogram();
    let (mut position, mut count, start) = (0i64, 0u64, Instant::now());
    loop {
        let begin = Instant::now();
        let mut select = log.prepare_cached(
            "SELECT position, stream, payload FROM event WHERE position > ?1 ORDER BY position LIMIT 1024",
        )?;
        let mut rows = select.query([position])?;
        let transaction = model.transaction()?;
        let mut batch = 0;
        {
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO balance (account, amount) VALUES (?1, ?2)
                 ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount",
            )?;
            while let Some(row) = rows.next()? {
                position = row.get(0)?;
                let event = Deposited::decode(row.get_ref(2)?.as_blob()?).unwrap_or_default();
                upsert.execute(params![row.get::<_, i64>(1)?, event.amount])?;
                batch += 1;
            }
        }
        transaction.commit()?;
        if batch == 0 {
            break;
        }
        count += batch;
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(Measured::new(count, start.elapsed(), &latencies))
}
