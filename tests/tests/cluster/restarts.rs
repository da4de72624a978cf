//! The server is restarted under load, in every way in which a server ends, and two runtimes go on by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use angzarr_runtime::PostgresReadModel;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{IntentFilter, Postgres, StreamRead};
use angzarr_runtime::stream::StreamKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cluster::{Cluster, End};
use crate::domain::*;
use crate::line::Line;

const SCHEMA: &str = "jobs";
/// What the server knows the store's sessions by.
const PROGRAM: &str = "jobs";
/// Workers beside those of the saga: the streams that writers of their own append to.
const OWN_WORKERS: u128 = 1_000;
/// A server that answers before a commit is on disk, if nobody insists: the store does. And one that takes its time for it, so
/// that it is in the middle of one when something happens.
const SLOW: [&str; 4] = ["synchronous_commit=off", "wal_writer_delay=10s", "commit_delay=30000", "commit_siblings=0"];
/// Longer than a write waits for a server that is out of reach, and longer than leases hold.
const LONG: Duration = Duration::from_secs(18);
/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
const LEASES: Duration = Duration::from_secs(2);

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One of two programs on one schema, with a read model that both bring up to date.
async fn join(address: &str) -> (Runtime, PostgresReadModel) {
    let url = format!("postgres://postgres@{address}/postgres");
    let model = PostgresReadModel::connect(&url, format!("{SCHEMA}_board"), BOARD).await.expect("a read model");
    let builder = Runtime::builder()
        .storage(Postgres::connect(format!("{url}?application_name={PROGRAM}")).schema(SCHEMA))
        .with(Board { model: model.clone() })
        .lease_time(LEASES);
    (builder.build().await.expect("the runtime starts"), model)
}

/// What callers have been told.
#[derive(Default)]
struct Told {
    refused: AtomicU32,
    unknown: AtomicU32,
    repeated: AtomicU32,
}

impl Told {
    /// Sends a command until it is answered, always with the same external id.
    async fn until_acknowledged<S>(&self, mut send: impl FnMut() -> S) -> Receipt
    where
        S: IntoFuture<Output = Result<Receipt, Error>>,
    {
        loop {
            let error = match send().into_future().await {
                Ok(receipt) => {
                    self.repeated.fetch_add(u32::from(receipt.already_processed()), Ordering::Relaxed);
                    return receipt;
                }
                Err(error) => error,
            };
            match error.code() {
                "OUTCOME_UNKNOWN" => self.unknown.fetch_add(1, Ordering::Relaxed),
                _ if error.is_retryable() => self.refused.fetch_add(1, Ordering::Relaxed),
                _ => panic!("a server that comes back is no reason for this: {error}"),
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Starts jobs, and appends to a stream of its own, until it is told to stop. Answers the jobs, and where its stream ends.
fn writer(runtime: Runtime, number: u128, told: Arc<Told>, stop: Arc<AtomicBool>) -> JoinHandle<(Vec<Uuid>, u32)> {
    tokio::spawn(async move {
        let (mut jobs, mut next) = (Vec::new(), 0);
        let own = Uuid::from_u128(OWN_WORKERS + number);
        while !stop.load(Ordering::Relaxed) {
            let job = Uuid::new_v4();
            let start = Start { number: u64::from(next) };
            let send = || {
                let send = runtime.send::<Job>(job, start.clone()).external_id(job.to_string());
                send.correlation(job.to_string())
            };
            let started = told.until_acknowledged(send).await;
            assert_eq!(started.events().iter().map(|it| it.sequence).collect::<Vec<_>>(), [0], "{job}");
            jobs.push(job);
            let id = format!("{number}/{next}");
            let worked = told.until_acknowledged(|| runtime.send::<Worker>(own, Work {}).external_id(&id)).await;
            let sequences: Vec<u32> = worked.events().iter().map(|it| it.sequence).collect();
            assert_eq!(sequences, [next], "what was acknowledged before is there, once");
            next += 1;
        }
        (jobs, next)
    })
}

/// Hands out every event of the log, through all that happens, up to the position that it is told in the end.
fn reader(runtime: Runtime, mut last: watch::Receiver<u64>) -> JoinHandle<BTreeMap<StreamKey, u32>> {
    tokio::spawn(async move {
        let mut handed: BTreeMap<StreamKey, u32> = BTreeMap::new();
        let mut feed = runtime.feed("audit").after(0).await.expect("a feed");
        while feed.position() < *last.borrow() {
            let next = tokio::select! {
                next = feed.next() => next,
                changed = last.changed() => { changed.expect("it is told"); continue }
            };
            match next {
                Ok(event) => {
                    let next = handed.entry(event.stream.clone()).or_default();
                    assert_eq!(event.event.sequence, *next, "{} comes out of order, or twice", event.stream);
                    *next += 1;
                }
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        handed
    })
}

/// (own shares of each of two runtimes, all shares), by component.
fn shares(runtimes: [&Runtime; 2]) -> Vec<(String, u32, u32, u32)> {
    let [one, other] = runtimes.map(Runtime::subscriptions);
    one.into_iter().zip(other).map(|(a, b)| (a.name, a.own_shares, b.own_shares, a.shares)).collect()
}

/// Rows R1, R4, R5, C10: the server ends in order, without order, and by kill -9, under load; once for longer than anybody waits
/// for it. Nothing that was acknowledged is lost, nothing is doubled, every reaction runs once, and nobody has to be restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_r4_r5_c10_a_server_that_is_restarted_again_and_again_loses_and_doubles_nothing() {
    let mut cluster = Cluster::start(&SLOW);
    let (one, model) = join(&cluster.address()).await;
    let (other, _) = join(&cluster.address()).await;
    let (told, stop) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let runtime = if number % 2 == 0 { &one } else { &other };
            writer(runtime.clone(), number, told.clone(), stop.clone())
        })
        .collect();
    let last = watch::Sender::new(u64::MAX);
    let readers = [reader(one.clone(), last.subscribe()), reader(other.clone(), last.subscribe())];

    let pauses = [0, 700, 50, 300, 0].map(Duration::from_millis);
    let pauses = pauses.into_iter().chain([LONG, Duration::ZERO]);
    let ends = [End::Fast, End::Immediate, End::Kill].into_iter().cycle();
    let mut restarts = 0;
    for (how, pause) in ends.zip(pauses) {
        let head = one.storage().head();
        eventually("writers get on", async || one.storage().head() > head + 100).await;
        cluster = restart(cluster, how, pause).await;
        restarts += 1;
    }
    let head = one.storage().head();
    eventually("writers get on", async || one.storage().head() > head + 100).await;
    stop.store(true, Ordering::Relaxed);
    let (mut jobs, mut own) = (Vec::new(), BTreeMap::new());
    for (number, writer) in (0..).zip(writers) {
        let (of_writer, next) = writer.await.expect("a writer ends well");
        jobs.extend(of_writer);
        own.insert(Uuid::from_u128(OWN_WORKERS + number), next);
    }
    let Told { refused, unknown, repeated } = &*told;
    println!(
        "{} restarts, {} jobs, {} events; callers were told {refused:?} times that the server is away and {unknown:?} times \
         that the outcome is unknown; {repeated:?} commands were stored already when they came again",
        restarts,
        jobs.len(),
        one.storage().head()
    );

    for runtime in [&one, &other] {
        eventually("both come to rest", async || {
            runtime.settled().await;
            runtime.storage().intents(&IntentFilter::default()).await.is_ok_and(|it| it.is_empty())
        })
        .await;
    }
    eventually("each share has one owner", async || shares([&one, &other]).iter().all(|it| it.1 + it.2 == it.3)).await;
    let divided = shares([&one, &other]);
    assert!(divided.iter().any(|it| it.1 > 0) && divided.iter().any(|it| it.2 > 0), "both work: {divided:?}");
    for status in [one.subscriptions(), other.subscriptions()].concat() {
        assert_eq!(status.stalled, None, "{status:?}");
    }
    everything_is_there_once(&one, &model, &jobs, &own).await;
    let mut log = BTreeMap::new();
    for item in one.storage().read_log(0, usize::MAX, usize::MAX).await.expect("the log") {
        *log.entry(item.stream).or_insert(0) += 1;
    }
    last.send_replace(one.storage().head());
    for reader in readers {
        let handed = timeout(PATIENCE, reader).await.expect("it comes to the end").expect("a reader ends well");
        assert!(handed == log, "each event was handed out once");
    }
    they_wake_each_other(&cluster, &one, &other).await;
    for runtime in [one, other] {
        runtime.shutdown().await.expect("it ends in order");
    }
}

async fn restart(mut cluster: Cluster, how: End, pause: Duration) -> Cluster {
    let restarting = tokio::task::spawn_blocking(move || {
        cluster.end(how);
        std::thread::sleep(pause);
        cluster.again();
        cluster
    });
    restarting.await.expect("it is there again")
}

/// Row C10: the answer of the server is lost after it has stored, and the server is away for longer than anybody waits for
/// it. The caller hears that the outcome is unknown, and by the external id what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_a_command_whose_outcome_is_unknown_is_known_when_it_comes_again() {
    let cluster = Cluster::start(&SLOW);
    let line = Line::to(&cluster.address()).await;
    let (runtime, _) = join(&line.address()).await;
    let worker = Uuid::from_u128(OWN_WORKERS);
    let (error, _restarted) = loop {
        runtime.settled().await;
        let next = runtime.state::<Worker>(worker).await.expect("a state").next_sequence();
        let sending = runtime.send::<Worker>(worker, Work {}).external_id(format!("work {next}")).into_future();
        let sending = tokio::spawn(sending);
        at_a_commit(&cluster).await;
        line.down(true);
        // Whatever is being stored at the other end is stored now.
        tokio::time::sleep(Duration::from_millis(500)).await;
        if sending.is_finished() {
            // It was too quick.
            sending.await.expect("no panic").expect("accepted");
            line.down(false);
            continue;
        }
        let restarted = restart(cluster, End::Immediate, LONG).await;
        break (sending.await.expect("no panic").expect_err("nobody could know"), restarted);
    };
    assert_eq!((error.code(), error.is_retryable()), ("OUTCOME_UNKNOWN", false), "{error}");
    line.down(false);
    let next = runtime.state::<Worker>(worker).await.expect("a state").next_sequence();
    let told = Told::default();
    let id = format!("work {}", next - 1);
    let again = told.until_acknowledged(|| runtime.send::<Worker>(worker, Work {}).external_id(&id)).await;
    assert!(again.already_processed(), "it was stored");
    assert_eq!(again.events()[0].sequence, next - 1);
    assert_eq!(runtime.state::<Worker>(worker).await.expect("a state").worked, u64::from(next));
    runtime.shutdown().await.expect("it ends in order");
}

/// Row J1: a read model that has shown something shows it after a crash, whatever the server does where nobody insists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j1_a_read_model_insists_on_the_disk_unless_its_url_says_otherwise() {
    let cluster = Cluster::start(&["synchronous_commit=off"]);
    for (options, expected) in [("", "on"), ("?options=-c%20synchronous_commit%3Doff", "off")] {
        let url = format!("{}{options}", cluster.url());
        let model = PostgresReadModel::connect(url, "board", BOARD).await.expect("a read model");
        let client = model.client().await.expect("a connection");
        let row = client.query_one("SHOW synchronous_commit", &[]).await.expect("an answer");
        assert_eq!(row.get::<_, String>(0), expected);
    }
}

/// Waits until the store is in the middle of storing something.
async fn at_a_commit(cluster: &Cluster) {
    const STORES: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'
        AND query ~ '^(COMMIT|WITH gate|SELECT commit_batch)'";
    let (client, connection) =
        tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let statement = client.prepare(STORES).await.expect("prepared");
    let stores = async || {
        let row = client.query_one(&statement, &[&PROGRAM]).await.expect("an answer");
        row.get::<_, i64>(0) > 0
    };
    let found = async { while !stores().await {} };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("something is stored now and then");
}

async fn everything_is_there_once(
    runtime: &Runtime,
    model: &PostgresReadModel,
    jobs: &[Uuid],
    own: &BTreeMap<Uuid, u32>,
) {
    for &job in jobs {
        let state = runtime.state::<Job>(job).await.expect("a state");
        assert_eq!((state.next_sequence(), state.finished, state.rang), (3, 1, 1), "job {job}: {state:?}");
        let watch = runtime.process::<Watch>(&job.to_string()).await.expect("a state");
        assert_eq!((watch.next_sequence(), watch.seen, watch.reminded), (3, 1, 1), "watch of {job}: {watch:?}");
    }
    let log = runtime.storage().read_log(0, usize::MAX, usize::MAX).await.expect("the log");
    let mut streams: BTreeMap<(String, Uuid), i64> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for item in &log {
        let count = streams.entry((item.stream.domain.to_string(), item.stream.root)).or_default();
        assert_eq!(i64::from(item.event.sequence), *count, "{} has a hole or a double", item.stream);
        *count += 1;
        if item.event.type_name.as_str() == "fleet.Started" {
            started.insert(item.stream.root);
        }
    }
    assert_eq!(started, jobs.iter().copied().collect(), "nothing was started that nobody was told of in the end");
    for (worker, &next) in own {
        let key = StreamKey::main("worker", *worker);
        let slice = runtime.storage().read_stream(&key, StreamRead::all()).await.expect("the stream");
        assert_eq!(slice.next_sequence, next, "{key} has what was acknowledged and nothing else");
    }
    let mut worked = 0;
    for worker in 0..WORKERS {
        worked += runtime.state::<Worker>(Uuid::from_u128(worker)).await.expect("a state").worked;
    }
    assert_eq!(worked, jobs.len() as u64, "the saga has run once for each");
    let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.expect("the letters");
    assert!(letters.is_empty(), "a server that comes back is no reason to give up: {letters:?}");
    let client = model.client().await.expect("a connection");
    let disorder = client.query("SELECT domain, root, sequence, after FROM disorder", &[]).await.expect("rows");
    assert!(disorder.is_empty(), "the projector has seen {disorder:?}");
    let rows = client.query("SELECT domain, root, events FROM streams", &[]).await.expect("rows");
    let rows: BTreeMap<(String, Uuid), i64> = rows.iter().map(|it| ((it.get(0), it.get(1)), it.get(2))).collect();
    assert!(rows == streams, "the read model is not the fold of the log");
}

/// By LISTEN and NOTIFY, not only by looking once a second. A session of the test's own on the same channel hears what a
/// runtime tells, and tells what nobody could find by looking. That is a lie: nothing can be asked of this store afterwards.
async fn they_wake_each_other(cluster: &Cluster, one: &Runtime, other: &Runtime) {
    let (client, mut connection) =
        tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls).await.expect("a connection");
    let (heard, mut notes) = tokio::sync::mpsc::unbounded_channel();
    let driver = tokio::spawn(async move {
        let next = std::future::poll_fn(move |cx| {
            loop {
                match std::task::ready!(connection.poll_message(cx)) {
                    Some(Ok(tokio_postgres::AsyncMessage::Notification(note))) => drop(heard.send(note)),
                    Some(Ok(_)) => {}
                    _ => return std::task::Poll::Ready(()),
                }
            }
        });
        next.await;
    });
    let oid: u32 =
        client.query_one("SELECT to_regnamespace($1)::oid", &[&SCHEMA]).await.expect("the schema is there").get(0);
    let channel = format!("angzarr_{oid}");
    client.batch_execute(&format!("LISTEN {channel}")).await.expect("it listens");
    for runtime in [one, other] {
        let sent = runtime.send::<Worker>(Uuid::from_u128(OWN_WORKERS), Work {}).await.expect("accepted");
        let position = sent.events()[0].position;
        let told = async { while notes.recv().await.expect("notes").payload().parse() != Ok(position) {} };
        timeout(PATIENCE, told).await.expect("it tells what it has stored");
    }
    // Nobody who looks would find that: it is not there yet.
    eventually("both have come to the end", async || one.storage().head() == other.storage().head()).await;
    let next = one.storage().head() + 1;
    client.execute("SELECT pg_notify($1, $2)", &[&channel, &next.to_string()]).await.expect("told");
    for runtime in [one, other] {
        eventually("it is woken", async || runtime.storage().head() >= next).await;
    }
    driver.abort();
}
