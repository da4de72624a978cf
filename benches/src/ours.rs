//! Angzarr on the work.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandBookExt as _, CoverExt as _};
use angzarr_runtime::{Builder, Result};

use crate::domain::{Account, Deposit, DepositMany, Plain, account};
use crate::load::{ACCOUNTS, AsyncOperation, Measured, histogram, run};

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Store {
    Memory,
    Durable,
    Relaxed,
}

impl Store {
    pub fn describe(self, builder: Builder, directory: &Path) -> Builder {
        let file = directory.join("ours.db");
        match self {
            Self::Memory => builder.storage(Memory::new()),
            Self::Durable => builder.storage(Sqlite::open(file)),
            Self::Relaxed => builder.storage(Sqlite::open(file).relaxed()),
        }
    }
}

struct Typed {
    runtime: Runtime,
    ids: Arc<[Uuid]>,
}

impl AsyncOperation for Typed {
    async fn call(&self, n: usize) {
        self.runtime.send::<Account>(self.ids[n], Deposit { amount: 7 }).await.expect("accepted");
    }
}

/// The request is cloned for each call: the entry takes it by value.
struct Dynamic {
    runtime: Runtime,
    requests: Vec<proto::CommandRequest>,
}

impl AsyncOperation for Dynamic {
    async fn call(&self, n: usize) {
        self.runtime.handle_command(self.requests[n].clone()).await.expect("accepted");
    }
}

/// Commands per second.
pub async fn commands(store: Store, dynamic: bool, tasks: usize, seconds: f64, directory: &Path) -> Result<Measured> {
    let runtime = store.describe(Runtime::builder(), directory).build().await?;
    let accounts = ACCOUNTS.max(tasks);
    let ids: Arc<[Uuid]> = (0..accounts).map(account).collect();
    // As everybody does: one event for each account, in a commit of its own.
    for id in ids.iter() {
        runtime.send::<Account>(*id, Deposit { amount: 7 }).await?;
    }
    let sample = if store == Store::Memory { 16 } else { 1 };
    let measured = if dynamic {
        let request = |id: &Uuid| proto::CommandRequest {
            command: Some(proto::CommandBook::single(
                proto::Cover::of("account", id.into_bytes()),
                &Deposit { amount: 7 },
            )),
            ..Default::default()
        };
        let requests = ids.iter().map(request).collect();
        run(tasks, seconds, sample, Dynamic { runtime: runtime.clone(), requests }).await
    } else {
        run(tasks, seconds, sample, Typed { runtime: runtime.clone(), ids }).await
    };
    runtime.shutdown().await?;
    Ok(measured)
}

/// Events per second of reading a state without snapshots.
pub async fn fold(events: usize, seconds: f64, directory: &Path) -> Result<Measured> {
    let runtime = Store::Relaxed.describe(Runtime::builder(), directory).build().await?;
    let id = Uuid::from_u128(1);
    for _ in 0..events / 1_000 {
        runtime.send::<Plain>(id, DepositMany { count: 1_000 }).await?;
    }
    let mut latencies = histogram();
    let (mut count, start, end) = (0, Instant::now(), Duration::from_secs_f64(seconds));
    while start.elapsed() < end {
        let begin = Instant::now();
        let state = runtime.state::<Plain>(id).await?;
        assert_eq!(state.balance, events as i64);
        count += u64::from(state.next_sequence());
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    let measured = Measured::new(count, start.elapsed(), &latencies);
    runtime.shutdown().await?;
    Ok(measured)
}

/// What a command costs on a long stream and on a short one.
pub struct LongStream {
    /// Nanoseconds, medians: (short, long).
    pub warm: (u64, u64),
    pub cold: (u64, u64),
}

/// Commands on a stream of `events` events and on one of ten, alternately; warm, and as the first one after a restart.
pub async fn long_stream(events: usize, directory: &Path) -> Result<LongStream> {
    let builder = || Store::Relaxed.describe(Runtime::builder(), directory);
    let runtime = builder().build().await?;
    let (long, short) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for _ in 0..events / 1_000 {
        runtime.send::<Account>(long, DepositMany { count: 1_000 }).await?;
    }
    runtime.send::<Account>(short, DepositMany { count: 10 }).await?;
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        times.0.push(once(&runtime, short).await?);
        times.1.push(once(&runtime, long).await?);
    }
    let warm = (median(times.0), median(times.1));
    runtime.shutdown().await?;
    let mut times = (Vec::new(), Vec::new());
    for n in 0..40 {
        // A fresh short stream each time, with exactly ten events.
        let fresh = Uuid::from_u128(1_000 + n);
        let runtime = builder().build().await?;
        runtime.send::<Account>(fresh, DepositMany { count: 10 }).await?;
        runtime.shutdown().await?;
        let runtime = builder().build().await?;
        // What the first command after a start pays, whatever its stream (connections, statements), is not measured.
        once(&runtime, Uuid::from_u128(9)).await?;
        if n % 2 == 0 {
            times.0.push(once(&runtime, fresh).await?);
            times.1.push(once(&runtime, long).await?);
        } else {
            times.1.push(once(&runtime, long).await?);
            times.0.push(once(&runtime, fresh).await?);
        }
        runtime.shutdown().await?;
    }
    Ok(LongStream { warm, cold: (median(times.0), median(times.1)) })
}

async fn once(runtime: &Runtime, id: Uuid) -> Result<u64> {
    let begin = Instant::now();
    runtime.send::<Account>(id, Deposit { amount: 1 }).await?;
    Ok(begin.elapsed().as_nanos() as u64)
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}
