//! Whole runtimes over real brokers: relay, feeds and dead letters, while lines are cut and consumers die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto;
use angzarr_runtime::storage::BoxFuture;
use angzarr_runtime::stream::LogEvent;
use angzarr_runtime::transport::Transport;
use angzarr_runtime::{Builder, Feed};
use angzarr_tests::account::Account;
use angzarr_tests::line::Line;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::eventually;
use angzarr_tests::{Rig, Store};
use tokio::time::timeout;

use crate::{amqp, nats, servers};

const SOON: Duration = Duration::from_secs(60);

/// A broker, with a line to it and a prefix of the test's own.
pub(crate) trait Broker {
    async fn address() -> String;
    fn over(builder: Builder, address: &str, prefix: &str) -> Builder;
    fn transport(address: &str, prefix: &str) -> Arc<dyn Transport>;
    fn letters<'a>(address: &'a str, prefix: &'a str, domain: &'a str) -> BoxFuture<'a, Vec<proto::AngzarrDeadLetter>>;
    async fn remove(address: &str, prefix: &str, consumers: &[&str]);
}

pub(crate) struct OverNats;
pub(crate) struct OverAmqp;

impl Broker for OverNats {
    async fn address() -> String {
        servers::nats().await
    }
    fn over(builder: Builder, address: &str, prefix: &str) -> Builder {
        builder.transport(nats::over(address, prefix))
    }
    fn transport(address: &str, prefix: &str) -> Arc<dyn Transport> {
        Arc::new(nats::over(address, prefix))
    }
    fn letters<'a>(address: &'a str, prefix: &'a str, domain: &'a str) -> BoxFuture<'a, Vec<proto::AngzarrDeadLetter>> {
        Box::pin(async move { nats::letters(address, &format!("{prefix}.dlq.{domain}")).await })
    }
    async fn remove(address: &str, prefix: &str, _consumers: &[&str]) {
        nats::over(address, prefix).remove().await.unwrap();
    }
}

impl Broker for OverAmqp {
    async fn address() -> String {
        servers::amqp().await
    }
    fn over(builder: Builder, address: &str, prefix: &str) -> Builder {
        builder.transport(amqp::over(address, prefix))
    }
    fn transport(address: &str, prefix: &str) -> Arc<dyn Transport> {
        Arc::new(amqp::over(address, prefix))
    }
    fn letters<'a>(address: &'a str, prefix: &'a str, domain: &'a str) -> BoxFuture<'a, Vec<proto::AngzarrDeadLetter>> {
        Box::pin(async move { amqp::letters(address, prefix, &format!("{prefix}.dlq.{domain}")).await })
    }
    async fn remove(address: &str, prefix: &str, consumers: &[&str]) {
        amqp::over(address, prefix).remove(consumers).await.unwrap();
    }
}

/// The same with classic queues.
pub(crate) struct OverClassicAmqp;

impl Broker for OverClassicAmqp {
    async fn address() -> String {
        servers::amqp().await
    }
    fn over(builder: Builder, address: &str, prefix: &str) -> Builder {
        builder.transport(amqp::over(address, prefix).classic_queues())
    }
    fn transport(address: &str, prefix: &str) -> Arc<dyn Transport> {
        Arc::new(amqp::over(address, prefix).classic_queues())
    }
    fn letters<'a>(address: &'a str, prefix: &'a str, domain: &'a str) -> BoxFuture<'a, Vec<proto::AngzarrDeadLetter>> {
        OverAmqp::letters(address, prefix, domain)
    }
    async fn remove(address: &str, prefix: &str, consumers: &[&str]) {
        amqp::over(address, prefix).classic_queues().remove(consumers).await.unwrap();
    }
}

/// What a feed handed out: each stream without a hole or a double, in order.
#[derive(Default)]
struct Handed(BTreeMap<String, u32>);

impl Handed {
    fn take(&mut self, event: &LogEvent) {
        let next = self.0.entry(event.stream.to_string()).or_default();
        assert_eq!(event.event.sequence, *next, "{} comes out of order, or twice", event.stream);
        *next += 1;
    }

    fn count(&self) -> u32 {
        self.0.values().sum()
    }
}

async fn next(feed: &mut Feed) -> LogEvent {
    timeout(SOON, feed.next()).await.expect("there is more").expect("it can be read")
}

/// Writers that do not wait, a relay and a feed over what breaks, a second feed that is killed and goes on from its place,
/// and a plain consumer of another program, which gets to the broker by an address of its own.
pub(crate) async fn loses_nothing<B: Broker>(
    ours: &str,
    theirs: &str,
    pace: Duration,
    breaking: impl Future<Output = ()>,
) {
    const WRITERS: u32 = 6;
    const EACH: u32 = 100;
    let (prefix, store) = (servers::prefix(), Store::memory());
    let builder = store.describe(B::over(Rig::new().builder(), ours, &prefix));
    let runtime = builder.build().await.unwrap();
    let other_program = B::transport(theirs, &prefix);
    let mut plain = other_program.consume("plain").await.unwrap();

    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let id = Uuid::new_v4();
                for _ in 0..EACH {
                    runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
                    tokio::time::sleep(pace).await;
                }
            })
        })
        .collect();
    let reading = async {
        let (mut feed, mut handed) = (runtime.feed("steady").after(0).await.unwrap(), Handed::default());
        while handed.count() < WRITERS * EACH {
            handed.take(&next(&mut feed).await);
        }
        assert_eq!(feed.position(), u64::from(WRITERS * EACH));
        handed
    };
    let killed = async {
        // Its owner stores the place now and then, and what was done since then is done again.
        let (mut place, mut stored, mut handed) = (0, Handed::default(), Handed::default());
        while handed.count() < WRITERS * EACH {
            let mut feed = runtime.feed("killed").after(place).await.unwrap();
            handed = Handed(stored.0.clone());
            // Of what was handed out ahead of the place some comes again: it is dropped by its sequence.
            for n in 0..90 {
                if handed.count() == WRITERS * EACH {
                    break;
                }
                let event = next(&mut feed).await;
                let known = handed.0.get(&event.stream.to_string()).copied().unwrap_or(0);
                if event.event.sequence >= known {
                    handed.take(&event);
                }
                if n == 60 {
                    (place, stored) = (feed.position(), Handed(handed.0.clone()));
                }
            }
            drop(feed);
        }
        handed
    };
    let plain = async {
        // Doubles may come; what is first of each comes in order, and nothing is missing. Where its own line breaks, what was on
        // the way to it comes again behind newer ones, and only the latter holds.
        let in_order = ours != theirs;
        let mut seen: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        while seen.values().map(BTreeSet::len).sum::<usize>() < (WRITERS * EACH) as usize {
            let message = timeout(SOON, plain.next()).await;
            let message = message.unwrap_or_else(|_| panic!("nothing comes after {seen:?}: {:?}", runtime.relay()));
            let delivery = match message {
                Ok(delivery) => delivery,
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if let Ok(again) = other_program.consume("plain").await {
                        plain = again;
                    }
                    continue;
                }
            };
            let (key, sequence) = (delivery.publication.partition_key(), delivery.publication.event.event.sequence);
            let of_stream = seen.entry(key.clone()).or_default();
            let next = of_stream.len() as u32;
            assert!(sequence <= next || !in_order, "{key} #{sequence} comes before #{next}");
            of_stream.insert(sequence);
            // If that is lost, the message comes again.
            let _ = plain.acknowledge(delivery.tag).await;
        }
        seen
    };
    let (steady, killed, plain) = tokio::select! {
        all = async { tokio::join!(reading, killed, plain) } => all,
        () = breaking => unreachable!("it breaks for ever"),
    };
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = vec![EACH; WRITERS as usize];
    assert_eq!(steady.0.values().copied().collect::<Vec<_>>(), expected);
    assert_eq!(killed.0, steady.0);
    let whole = |(stream, count): (&String, &u32)| (stream.clone(), (0..*count).collect());
    assert_eq!(plain, steady.0.iter().map(whole).collect::<BTreeMap<String, BTreeSet<u32>>>());
    eventually("everything is confirmed", async || runtime.relay().unwrap().lag == 0).await;
    runtime.shutdown().await.unwrap();
    drop(other_program);
    B::remove(theirs, &prefix, &["steady", "killed", "plain"]).await;
}

/// The line of the runtime is cut again and again, and once in a while it is down.
async fn cuts_and_kills<B: Broker>() {
    let address = B::address().await;
    let (line, cuts) = (Line::to(&address).await, AtomicU32::new(0));
    let breaking = async {
        for pause in [60, 150, 20, 250, 400, 90].into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            line.cut();
            cuts.fetch_add(1, Ordering::SeqCst);
            if pause == 400 {
                line.down(true);
                tokio::time::sleep(Duration::from_millis(300)).await;
                line.down(false);
            }
        }
    };
    loses_nothing::<B>(&line.address(), &address, Duration::from_millis(12), breaking).await;
    assert!(cuts.load(Ordering::SeqCst) >= 5, "it was hard enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_nats_cuts_and_kills_lose_nothing_and_double_nothing() {
    cuts_and_kills::<OverNats>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_amqp_cuts_and_kills_lose_nothing_and_double_nothing() {
    cuts_and_kills::<OverAmqp>().await;
}

fn money(trouble: &str) -> SendMoney {
    let to = Uuid::new_v4().as_bytes().to_vec();
    SendMoney { to, amount: 5, copies: 1, trouble: trouble.into(), thank: Vec::new() }
}

/// A rejected command and a parked event, stored while the broker is out of reach; the process ends before they are
/// published, and the next one publishes them.
async fn letters<B: Broker>() {
    let (address, prefix) = (B::address().await, servers::prefix());
    let (line, store, rig) = (Line::to(&address).await, Store::memory(), Rig::new());
    line.down(true);
    let start = async || store.describe(B::over(rig.builder(), &line.address(), &prefix)).build().await.unwrap();
    let runtime = start().await;
    let parked = Uuid::new_v4();
    rig.balances.trouble(parked, 0, Trouble::Permanent);
    runtime.send::<Account>(parked, Deposit { amount: 3 }).correlation("wf-1").await.unwrap();
    runtime.send::<Account>(Uuid::new_v4(), money("refused")).correlation("wf-2").await.unwrap();
    runtime.settled().await;
    eventually("the status says why", async || runtime.relay().unwrap().letters_stalled.is_some()).await;
    runtime.shutdown().await.unwrap();
    line.down(false);
    let runtime = start().await;
    eventually("both are published", async || {
        let status = runtime.relay().unwrap();
        status.letters == 0 && status.lag == 0 && status.letters_stalled.is_none()
    })
    .await;
    let reached = async |domain: &str| {
        let mut letters = Vec::new();
        for _ in 0..100 {
            letters = B::letters(&address, &prefix, domain).await;
            if !letters.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(letters.len(), 1, "`{domain}`");
        letters.remove(0)
    };
    let event = reached("account").await;
    assert_eq!((event.source_component.as_str(), event.rejection_reason.as_str()), ("balances", "trouble for good"));
    assert_eq!(event.cover.unwrap().correlation_id, "wf-1");
    let command = reached("ledger").await;
    assert!(matches!(command.payload, Some(proto::angzarr_dead_letter::Payload::RejectedCommand(_))));
    assert_eq!(command.cover.unwrap().correlation_id, "wf-2");
    runtime.shutdown().await.unwrap();
    B::remove(&address, &prefix, &[]).await;
}

#[tokio::test]
async fn d3_nats_has_every_dead_letter_even_after_a_crash() {
    letters::<OverNats>().await;
}

#[tokio::test]
async fn d3_amqp_has_every_dead_letter_even_after_a_crash() {
    letters::<OverAmqp>().await;
}

/// The broker is the cursor: what a process stored and did not bring over, the next one brings.
#[tokio::test]
async fn r3_nats_is_its_own_outbox() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (line, store, id) = (Line::to(&address).await, Store::memory(), Uuid::new_v4());
    let start = async || {
        let builder = Rig::new().builder().transport(nats::over(&line.address(), &prefix));
        let builder = builder.outbox(false).drain_limit(Duration::from_millis(200));
        store.describe(builder).build().await.unwrap()
    };
    let deposits = async |runtime: &Runtime, count: usize| {
        for _ in 0..count {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
    };
    let runtime = start().await;
    deposits(&runtime, 4).await;
    eventually("it is published", async || runtime.relay().unwrap().lag == 0).await;
    line.down(true);
    deposits(&runtime, 3).await;
    runtime.shutdown().await.unwrap();
    line.down(false);
    let runtime = start().await;
    deposits(&runtime, 1).await;
    eventually("everything is published", async || runtime.relay().unwrap().lag == 0).await;
    assert_eq!(runtime.relay().unwrap().published, 4, "in this life");
    runtime.shutdown().await.unwrap();
    let held = nats::held(&address, &prefix).await;
    let sequences: Vec<u32> =
        held.iter().map(|(_, _, book)| proto::EventPageExt::sequence(&book.pages[0]).unwrap()).collect();
    assert_eq!(sequences, (0..8).collect::<Vec<_>>());
    let storage = store.open().await;
    assert_eq!(storage.checkpoint("angzarr.relay").await.unwrap(), None, "nothing is written for it");
    nats::over(&address, &prefix).remove().await.unwrap();
}

#[tokio::test]
async fn r2_both_are_transports_by_url() {
    let (nats, amqp, prefix) = (servers::nats().await, servers::amqp().await, servers::prefix());
    let urls = [
        format!("nats://{nats}?prefix={prefix}"),
        format!("amqp://{}@{amqp}?prefix={prefix}&max_idle_secs=20", servers::amqp_user()),
    ];
    for url in urls {
        let builder = Rig::new().builder().storage(Memory::new()).transport_url(&url);
        let runtime = builder.build().await.unwrap();
        runtime.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap();
        eventually("it is published", async || runtime.relay().unwrap().published == 1).await;
        assert!(!runtime.relay().unwrap().transport.contains("guest"), "no password in what is shown");
        runtime.shutdown().await.unwrap();
    }
    OverNats::remove(&nats, &prefix, &[]).await;
    OverAmqp::remove(&amqp, &prefix, &[]).await;
}
