//! Angzarr on the work.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_runtime::proto::{self, CommandBookExt as _, CoverExt as _};
use angzarr_runtime::{Builder, Client, Result as Answered};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use crate::Result;
use crate::domain::{Account, Deposit, DepositMany, Plain, account};
use crate::load::{ACCOUNTS, AsyncOperation, Measured, histogram, run};
use crate::place::{Place, Schema};

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Store {
    Memory,
    Durable,
    Relaxed,
    Postgres,
}

impl Store {
    fn at(self, place: &Place) -> Builder {
        match place {
            Place::Directory(directory) => self.within(directory.path()),
            Place::Schema(schema) => postgres(schema),
        }
    }

    /// Of those that need no server.
    fn within(self, directory: &Path) -> Builder {
        let file = directory.join("ours.db");
        match self {
            Self::Durable => Runtime::builder().storage(Sqlite::open(file)),
            Self::Relaxed => Runtime::builder().storage(Sqlite::open(file).relaxed()),
            Self::Memory | Self::Postgres => Runtime::builder().storage(Memory::new()),
        }
    }
}

fn postgres(schema: &Schema) -> Builder {
    Runtime::builder().storage(Postgres::connect(schema.base()).schema(schema.name()))
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

fn request(id: &Uuid) -> proto::CommandRequest {
    let cover = proto::Cover::of("account", id.into_bytes());
    proto::CommandRequest {
        command: Some(proto::CommandBook::single(cover, &Deposit { amount: 7 })),
        ..Default::default()
    }
}

/// Commands per second.
pub async fn commands(store: Store, dynamic: bool, tasks: usize, seconds: f64, place: &Place) -> Result<Measured> {
    let runtime = store.at(place).build().await?;
    let ids = accounts(&runtime, tasks).await?;
    let sample = if store == Store::Memory { 16 } else { 1 };
    let measured = if dynamic {
        let requests = ids.iter().map(request).collect();
        run(tasks, seconds, sample, Dynamic { runtime: runtime.clone(), requests }).await
    } else {
        run(tasks, seconds, sample, Typed { runtime: runtime.clone(), ids }).await
    };
    runtime.shutdown().await?;
    Ok(measured)
}

/// As everybody does: one event for each account, in a commit of its own.
async fn accounts(runtime: &Runtime, tasks: usize) -> Answered<Arc<[Uuid]>> {
    let ids: Arc<[Uuid]> = (0..ACCOUNTS.max(tasks)).map(account).collect();
    for id in ids.iter() {
        runtime.send::<Account>(*id, Deposit { amount: 7 }).await?;
    }
    Ok(ids)
}

/// Who calls over gRPC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Caller {
    /// Stock stubs.
    Stub,
    /// Our typed client.
    Client,
}

struct OverStub {
    stub: CommandHandlerCoordinatorServiceClient<Channel>,
    requests: Vec<proto::CommandRequest>,
}

impl AsyncOperation for OverStub {
    async fn call(&self, n: usize) {
        self.stub.clone().handle_command(self.requests[n].clone()).await.expect("accepted");
    }
}

struct OverClient {
    client: Client,
    ids: Arc<[Uuid]>,
}

impl AsyncOperation for OverClient {
    async fn call(&self, n: usize) {
        self.client.send::<Account>(self.ids[n], Deposit { amount: 7 }).await.expect("accepted");
    }
}

/// Calls per second to whoever serves there; all tasks share one connection.
pub async fn call(caller: Caller, address: SocketAddr, tasks: usize, seconds: f64) -> Result<Measured> {
    let ids: Arc<[Uuid]> = (0..ACCOUNTS.max(tasks)).map(account).collect();
    let url = format!("http://{address}");
    Ok(match caller {
        Caller::Stub => {
            let channel = Endpoint::from_shared(url)?.tcp_nodelay(true).connect().await?;
            let stub = CommandHandlerCoordinatorServiceClient::new(channel);
            run(tasks, seconds, 1, OverStub { stub, requests: ids.iter().map(request).collect() }).await
        }
        Caller::Client => run(tasks, seconds, 1, OverClient { client: Client::connect(url).await?, ids }).await,
    })
}

/// Commands per second through our server, whose events go to memory.
pub async fn served(caller: Caller, tasks: usize, seconds: f64, place: &Place) -> Result<Measured> {
    let runtime = Store::Memory.at(place).build().await?;
    accounts(&runtime, tasks).await?;
    let bound = runtime.serve(SocketAddr::from(([127, 0, 0, 1], 0))).bind().await?;
    let address = bound.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(bound.run_until(async move {
        let _stopped = stopped.await;
    }));
    let measured = call(caller, address, tasks, seconds).await?;
    drop(stop);
    running.await??;
    runtime.shutdown().await?;
    Ok(measured)
}

/// Events per second of reading a state without snapshots.
pub async fn fold(events: usize, seconds: f64, directory: &Path) -> Result<Measured> {
    let runtime = Store::Relaxed.within(directory).build().await?;
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
    let builder = || Store::Relaxed.within(directory);
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

async fn once(runtime: &Runtime, id: Uuid) -> Answered<u64> {
    let begin = Instant::now();
    runtime.send::<Account>(id, Deposit { amount: 1 }).await?;
    Ok(begin.elapsed().as_nanos() as u64)
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}
