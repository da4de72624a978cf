//! Over tokio-postgres, one prepared insert, acknowledged after its commit is on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_runtime::Uuid;
use prost::Message as _;
use tokio_postgres::{Client, NoTls, Statement};

use super::Shape;
use crate::Result;
use crate::domain::{Deposited, account};
use crate::load::{ACCOUNTS, AsyncOperation, Measured, histogram, run};
use crate::place::Schema;

/// The same columns and the same index as for SQLite.
fn table(shape: Shape) -> &'static str {
    match shape {
        Shape::Facts => {
            "CREATE TABLE event (
                position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, domain text NOT NULL, edition text NOT NULL,
                root uuid NOT NULL, sequence bigint NOT NULL, created_at bigint NOT NULL, type text NOT NULL,
                version integer NOT NULL, correlation_id text, payload bytea NOT NULL
             );
             CREATE UNIQUE INDEX event_of_stream ON event (domain, edition, root, sequence)"
        }
        Shape::Lean => {
            "CREATE TABLE event (
                position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream bigint NOT NULL, sequence bigint NOT NULL,
                created_at bigint NOT NULL, type integer NOT NULL, payload bytea NOT NULL
             );
             CREATE UNIQUE INDEX event_of_stream ON event (stream, sequence)"
        }
    }
}

/// Stream, sequence, time, payload of one event.
fn insert(shape: Shape) -> &'static str {
    match shape {
        Shape::Facts => {
            "INSERT INTO event (domain, edition, root, sequence, created_at, type, version, payload)
             VALUES ('account', '', $1, $2, $3, 'bench.Deposited', 1, $4)"
        }
        Shape::Lean => "INSERT INTO event (stream, sequence, created_at, type, payload) VALUES ($1, $2, $3, 1, $4)",
    }
}

/// The same of many.
fn insert_many(shape: Shape) -> &'static str {
    match shape {
        Shape::Facts => {
            "INSERT INTO event (domain, edition, root, sequence, created_at, type, version, payload)
             SELECT 'account', '', root, sequence, created_at, 'bench.Deposited', 1, payload
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[]) AS it (root, sequence, created_at, payload)"
        }
        Shape::Lean => {
            "INSERT INTO event (stream, sequence, created_at, type, payload)
             SELECT stream, sequence, created_at, 1, payload
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS it (stream, sequence, created_at, payload)"
        }
    }
}

async fn connect(schema: &Schema) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&schema.url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn payload(sequence: i64) -> Vec<u8> {
    Deposited { amount: 7, balance: (sequence * 7).cast_unsigned() }.encode_to_vec()
}

/// One row in a transaction of its own.
struct One {
    client: Client,
    insert: Statement,
    shape: Shape,
}

impl One {
    async fn new(schema: &Schema, shape: Shape) -> Result<Self> {
        let client = connect(schema).await?;
        let insert = client.prepare(insert(shape)).await?;
        Ok(Self { client, insert, shape })
    }

    async fn store(&self, stream: usize, sequence: i64) -> Result<(), tokio_postgres::Error> {
        let payload = payload(sequence);
        match self.shape {
            Shape::Facts => {
                self.client.execute(&self.insert, &[&account(stream), &sequence, &sequence, &payload]).await
            }
            Shape::Lean => self.client.execute(&self.insert, &[&(stream as i64), &sequence, &sequence, &payload]).await,
        }
        .map(drop)
    }
}

/// One statement for each batch of `batch` events of distinct streams, one connection.
pub async fn commands(schema: &Schema, batch: usize, seconds: f64, shape: Shape) -> Result<Measured> {
    connect(schema).await?.batch_execute(table(shape)).await?;
    let one = One::new(schema, shape).await?;
    // As everybody does: one event for each account, in a commit of its own.
    for stream in 0..ACCOUNTS {
        one.store(stream, 0).await?;
    }
    let many = one.client.prepare(insert_many(shape)).await?;
    let mut next = vec![1i64; ACCOUNTS];
    let mut latencies = histogram();
    let (mut count, mut stream) = (0u64, 0);
    let (start, end) = (Instant::now(), Duration::from_secs_f64(seconds));
    while start.elapsed() < end {
        let begin = Instant::now();
        if batch == 1 {
            one.store(stream, next[stream]).await?;
            next[stream] += 1;
            stream = (stream + 1) % ACCOUNTS;
        } else {
            let (mut streams, mut sequences, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..batch {
                streams.push(stream);
                sequences.push(next[stream]);
                payloads.push(payload(next[stream]));
                next[stream] += 1;
                stream = (stream + 1) % ACCOUNTS;
            }
            match shape {
                Shape::Facts => {
                    let roots: Vec<Uuid> = streams.into_iter().map(account).collect();
                    one.client.execute(&many, &[&roots, &sequences, &sequences, &payloads]).await?;
                }
                Shape::Lean => {
                    let streams: Vec<i64> = streams.into_iter().map(|it| it as i64).collect();
                    one.client.execute(&many, &[&streams, &sequences, &sequences, &payloads]).await?;
                }
            }
        }
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
        count += batch as u64;
    }
    Ok(Measured::new(count, start.elapsed(), &latencies))
}

/// Each task has a connection, and each event a transaction.
struct Connections {
    each: Vec<One>,
    next: Arc<[std::sync::atomic::AtomicI64]>,
}

impl AsyncOperation for Connections {
    async fn call(&self, account: usize) {
        let sequence = self.next[account].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.each[account % self.each.len()].store(account, sequence).await.expect("stored");
    }
}

/// As many connections as tasks, each of which stores one event after the other.
pub async fn connections(schema: &Schema, tasks: usize, seconds: f64, shape: Shape) -> Result<Measured> {
    let mut each = Vec::new();
    connect(schema).await?.batch_execute(table(shape)).await?;
    for _ in 0..tasks {
        each.push(One::new(schema, shape).await?);
    }
    for stream in 0..ACCOUNTS {
        each[0].store(stream, 0).await?;
    }
    let next = (0..ACCOUNTS).map(|_| 1.into()).collect();
    // Accounts go round in steps of `tasks`, so that an account always belongs to the same task.
    Ok(run(tasks, seconds, 1, Connections { each, next }).await)
}
