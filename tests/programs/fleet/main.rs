//! One of several processes on one database, until somebody kills it. `tests/fleet.rs` does.
//!
//! `fleet-child URL SCHEMA TRANSPORT work` starts jobs and prints `! job` for each that is acknowledged, and `? job` for each
//! whose view came with the answer.
//! `fleet-child URL SCHEMA TRANSPORT look` waits until everything has come to rest, reads the jobs that must be there from its
//! input, prints what is wrong with them, a line each, and in the end `= jobs events`.
//! `fleet-child URL SCHEMA TRANSPORT drop` removes everything.

#![allow(missing_docs)]

mod domain;

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{IntentFilter, Postgres};
use angzarr_runtime::transport::Nats;
use angzarr_runtime::{PostgresReadModel, Receipt};

use domain::*;

type Problems = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Problems {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, schema, transport, what] = arguments.as_slice() else {
        return Err("fleet-child URL SCHEMA TRANSPORT work|look|drop".into());
    };
    let levels = tracing_subscriber::EnvFilter::new("warn");
    tracing_subscriber::fmt().with_env_filter(levels).with_writer(std::io::stderr).with_ansi(false).init();
    let model = PostgresReadModel::connect(url, format!("{schema}_board"), BOARD).await?;
    if what == "drop" {
        if transport.starts_with("nats:") {
            Nats::connect(transport).remove().await?;
        }
        let client = model.client().await?;
        client
            .batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; DROP SCHEMA {schema}_board CASCADE"))
            .await?;
        return Ok(());
    }
    let runtime = Runtime::builder()
        .storage(Postgres::connect(url).schema(schema))
        .transport_url(transport)
        .with(Board { model: model.clone() })
        .lease_time(Duration::from_secs(2))
        .build()
        .await?;
    match what.as_str() {
        "work" => work(&runtime).await,
        _ => look(runtime, &model).await,
    }
}

/// Starts jobs for ever, some at a time.
async fn work(runtime: &Runtime) -> Problems {
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let job = Uuid::new_v4();
                    let mut start = runtime.send::<Job>(job, Start { number }).correlation(job.to_string());
                    let waits = number % 8 == 7;
                    if waits {
                        start = start.sync(SyncMode::Simple);
                    }
                    match start.await {
                        Ok(started) => {
                            say(&format!("! {job}"));
                            if waits {
                                viewed(&started, number);
                            }
                        }
                        // Others hold the store, or this process is about to be killed.
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Whoever runs the projector, its view comes with the answer; not if that process has died meanwhile, and then the answer says what
/// it knows.
fn viewed(receipt: &Receipt, number: u64) {
    let views: Vec<Started> = receipt.projections_of("board").collect();
    match (views.as_slice(), receipt.done(), receipt.missing()) {
        ([view], ["board"], []) if view.number == number => say(&format!("? {}", receipt.stream().root)),
        ([], ["board"], []) => {}
        ([], [], [missing]) if missing.component == "board" => {}
        other => panic!("{other:?} for {number}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listened has gone: so has the reason to go on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn look(runtime: Runtime, model: &PostgresReadModel) -> Problems {
    // Timers are due at the latest after their time; then everything has to come to rest.
    tokio::time::sleep(Duration::from_secs(1)).await;
    runtime.settled().await;
    while !runtime.storage().intents(&IntentFilter::default()).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    runtime.settled().await;
    // One of the processes publishes, and whoever takes over goes on where it was.
    while runtime.relay().is_some_and(|relay| relay.lag > 0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut jobs = Vec::new();
    for line in std::io::stdin().lock().lines() {
        jobs.push(line?.parse::<Uuid>()?);
    }
    for job in &jobs {
        let state = runtime.state::<Job>(*job).await?;
        if (state.next_sequence(), state.finished, state.rang) != (3, 1, 1) {
            say(&format!("job {job}: {state:?}"));
        }
        let watch = runtime.process::<Watch>(&job.to_string()).await?;
        if (watch.next_sequence(), watch.seen, watch.reminded) != (3, 1, 1) {
            say(&format!("watch of {job}: {watch:?}"));
        }
    }
    // The log against the read model: every event counted once, in its order.
    let mut log: BTreeMap<(String, Uuid), i64> = BTreeMap::new();
    let (mut position, mut events, mut started) = (0, 0u64, 0u64);
    loop {
        let portion = runtime.storage().read_log(position, 4_096, usize::MAX).await?;
        let Some(last) = portion.last() else { break };
        position = last.event.position;
        for item in &portion {
            events += 1;
            started += u64::from(item.event.type_name.as_str() == "fleet.Started");
            let count = log.entry((item.stream.domain.to_string(), item.stream.root)).or_default();
            if i64::from(item.event.sequence) != *count {
                say(&format!("{} has {} after {count} events", item.stream, item.event.sequence));
            }
            *count += 1;
        }
    }
    let client = model.client().await?;
    for row in client.query("SELECT domain, root, sequence, after FROM disorder", &[]).await? {
        let (domain, root): (String, Uuid) = (row.get(0), row.get(1));
        say(&format!("{domain}/{root}: {} came after {}", row.get::<_, i64>(2), row.get::<_, i64>(3)));
    }
    for row in client.query("SELECT domain, root, events FROM streams", &[]).await? {
        let (key, counted): ((String, Uuid), i64) = ((row.get(0), row.get(1)), row.get(2));
        if log.remove(&key) != Some(counted) {
            say(&format!("{key:?}: the read model counts {counted}"));
        }
    }
    for (key, count) in log {
        say(&format!("{key:?}: {count} events are not in the read model"));
    }
    let mut worked = 0;
    for worker in 0..WORKERS {
        worked += runtime.state::<Worker>(Uuid::from_u128(worker)).await?.worked;
    }
    if worked != started {
        say(&format!("{started} jobs were started, and worked on {worked} times"));
    }
    for letter in runtime.dead_letters().list(&DeadLetterFilter::default()).await? {
        say(&format!("a dead letter: {letter:?}"));
    }
    say(&format!("= {} {events}", jobs.len()));
    runtime.shutdown().await?;
    Ok(())
}
