//! A projector that catches up: `catchup EVENTS DIRECTORY`. A program of its own, since a projector that is linked runs.

// A program: nothing here is for others.
#![allow(missing_docs, unreachable_pub)]

use std::path::Path;
use std::time::Instant;

use angzarr_runtime::OpenStorage;
use angzarr_runtime::prelude::*;
use angzarr_runtime::rusqlite::params;
use angzarr_runtime::storage::{Append, NewEvent, Write};
use angzarr_runtime::stream::{Headers, StreamKey};
use prost::Message as _;

#[path = "../domain.rs"]
#[allow(dead_code)]
mod domain;
use domain::{Deposited, account};

#[projector(name = "balances", domains = ["account"])]
struct Balances {
    model: SqliteReadModel,
}

#[projector]
impl Balances {
    #[handler]
    async fn deposited(&self, event: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
        let tx = ctx.transaction(&self.model).await?;
        tx.prepare_cached(
            "INSERT INTO balance (account, amount) VALUES (?1, ?2)
             ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount",
        )?
        .execute(params![ctx.root().into_bytes(), event.amount])?;
        Ok(())
    }
}

const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS balance (account BLOB PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> angzarr_runtime::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let events: usize = arguments.next().and_then(|it| it.parse().ok()).expect("EVENTS DIRECTORY");
    let directory = arguments.next().expect("EVENTS DIRECTORY");
    let directory = Path::new(&directory);
    let storage = || Sqlite::open(directory.join("ours.db"));
    let opened = (Box::new(storage()) as Box<dyn OpenStorage>).open().await?;
    for sequence in 0..(events / 1_000) as u32 {
        let write = |n: usize| {
            let payload = Deposited { amount: 1, balance: u64::from(sequence) }.encode_to_vec().into();
            Write::append(Append {
                key: StreamKey::main("account", account(n)),
                expected: sequence,
                events: [NewEvent { type_name: "bench.Deposited".into(), schema_version: 1, payload, isolated: false }]
                    .into_iter()
                    .collect(),
                created_at: i64::from(sequence),
                headers: Headers::default(),
                dedup: None,
                diverged_at: None,
            })
        };
        for outcome in opened.commit((0..1_000).map(write).collect()).await {
            outcome.expect("stored");
        }
    }
    opened.close().await?;
    drop(opened);
    let model = SqliteReadModel::open(directory.join("ours-model.db"), SCHEMA).expect("the read model");
    let start = Instant::now();
    let runtime = Runtime::builder().storage(storage()).with(Balances { model: model.clone() }).build().await?;
    runtime.settled().await;
    let elapsed = start.elapsed();
    let sum: i64 = model
        .query(|connection| connection.query_row("SELECT sum(amount) FROM balance", [], |row| row.get(0)))
        .await
        .expect("the sum");
    assert_eq!(sum, events as i64);
    eprintln!("{} 0 0 0", events as f64 / elapsed.as_secs_f64());
    runtime.shutdown().await
}
