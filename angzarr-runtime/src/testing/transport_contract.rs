//! The contract suite of [`Transport`]: what every transport that carries events has to pass, ours and yours.
//!
//! In: a [`Subject`], which opens the transport as several processes would, and can cut the line to its broker. Out: a panic
//! that names the promise that is broken. Never: anything that only one transport can do.
//!
//! ```
//! use std::sync::Arc;
//! use angzarr_runtime::testing::transport_contract::Subject;
//! use angzarr_runtime::transport::{Local, Transport};
//!
//! angzarr_runtime::transport_contract!(local, async {
//!     let local: Arc<dyn Transport> = Arc::new(Local::carrying_events());
//!     Subject::new(move || local.clone())
//! });
//! # fn main() {}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::dead_letter::DeadLetter;
use crate::storage::BoxFuture;
use crate::stream::{Headers, LogEvent, Name, StoredEvent, StreamKey};
use crate::transport::{Consumer, Publication, Transport, TransportError, TransportErrorKind};

mod failures;
mod messages;

pub use failures::*;
pub use messages::*;

/// What has not happened by then does not happen any more.
const SOON: Duration = Duration::from_secs(30);

/// A transport under test.
pub struct Subject {
    open: Box<dyn Fn() -> Arc<dyn Transport> + Send + Sync>,
    line: Option<Line>,
    keeps: bool,
    letters: Option<Box<ReadLetters>>,
    remove: Option<Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>>,
}

type ReadLetters = dyn Fn(&str) -> BoxFuture<'static, Vec<proto::AngzarrDeadLetter>> + Send + Sync;

/// The line to a broker, as a test can break it.
pub struct Line {
    /// The transport at the other end of it.
    pub transport: Arc<dyn Transport>,
    /// Cuts the connections that there are; new ones come through.
    pub cut: Box<dyn Fn() + Send + Sync>,
    /// Cuts the connections that there are, and refuses new ones while it is `true`.
    pub down: Box<dyn Fn(bool) + Send + Sync>,
    /// Holds back whatever is on its way, in both directions, while it is `true`.
    pub hold: Box<dyn Fn(bool) + Send + Sync>,
}

impl Subject {
    /// A transport that each call of `open` opens as one more process has it. Where there is nothing between processes, it
    /// gives the same one every time.
    pub fn new(open: impl Fn() -> Arc<dyn Transport> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), line: None, keeps: false, letters: None, remove: None }
    }

    /// It keeps messages for consumers that it knows by name, until they are acknowledged. What is not acknowledged comes
    /// again within seconds.
    #[must_use]
    pub fn keeps_messages(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// There is a line that can be cut.
    #[must_use]
    pub fn over(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }

    /// Tells the dead letters that lie on the topic of a domain.
    #[must_use]
    pub fn reads_letters(
        mut self,
        read: impl Fn(&str) -> BoxFuture<'static, Vec<proto::AngzarrDeadLetter>> + Send + Sync + 'static,
    ) -> Self {
        self.letters = Some(Box::new(read));
        self
    }

    /// What is done at the end, whether the check passes or not.
    #[must_use]
    pub fn removed_by(mut self, remove: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) -> Self {
        self.remove = Some(Box::new(remove));
        self
    }

    fn process(&self) -> Arc<dyn Transport> {
        (self.open)()
    }
}

/// Makes a module of tests out of a future that gives a [`Subject`] nobody else uses.
#[macro_export]
macro_rules! transport_contract {
    ($name:ident, $open:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::transport_contract!(@checks $open;
                p1_an_announcement_is_heard
                p1_other_processes_hear_it
                p2_an_announcement_waits_for_nobody
                p3_what_is_published_comes_to_every_name
                p3_an_empty_batch_is_confirmed
                p3_large_payloads_come_whole
                p3_a_failure_says_what_is_confirmed
                p3_p4_cuts_lose_nothing_and_keep_streams_in_order
                p3_p4_a_publish_that_is_given_up_may_be_repeated
                p4_streams_keep_their_order
                p5_consumers_of_one_name_miss_nothing_together
                p5_any_name_is_taken_or_refused
                p6_what_is_not_acknowledged_comes_again
                p6_what_is_published_meanwhile_waits_for_its_consumer
                p6_a_double_is_the_same_message
                a_consumer_that_is_cut_off_is_told
                a_wait_that_is_given_up_takes_nothing
                r3_the_newest_is_known_or_not_told
                d3_dead_letters_lie_on_the_topic_of_their_domain
            );
        }
    };
    (@checks $open:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::testing::storage_contract::block_on(async {
                    let subject: $crate::testing::transport_contract::Subject = $open.await;
                    $crate::testing::transport_contract::run(subject, |subject| {
                        ::std::boxed::Box::pin($crate::testing::transport_contract::$check(subject))
                    }).await;
                });
            }
        )*
    };
}

/// A check under way.
pub type Check<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs a check, and removes what it made, whatever becomes of it.
pub async fn run(mut subject: Subject, check: impl for<'a> FnOnce(&'a Subject) -> Check<'a>) {
    let outcome = AssertUnwindSafe(check(&subject)).catch_unwind().await;
    if let Some(remove) = subject.remove.take() {
        remove().await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

// ---- what the checks are written with ----

/// The log of a store, from which the relay would publish.
struct Log {
    store: Uuid,
    position: u64,
    next: BTreeMap<StreamKey, u32>,
}

impl Log {
    fn new() -> Self {
        Self { store: Uuid::new_v4(), position: 0, next: BTreeMap::new() }
    }

    fn event(&mut self, stream: &StreamKey, payload: Vec<u8>) -> Publication {
        let next = self.next.entry(stream.clone()).or_default();
        let (sequence, follows) = (*next, self.position);
        *next += 1;
        // Positions have gaps, where events are isolated or were discarded.
        self.position += if sequence % 7 == 3 { 2 } else { 1 };
        let ext = (sequence % 3 == 0).then(|| prost_types::Any { type_url: "x/y.Z".into(), value: vec![1, 2] });
        let correlation = if sequence % 2 == 0 { String::new() } else { format!("wf {sequence} ü") };
        let headers = Headers::new(correlation, ext);
        let headers = match stream.is_main() {
            true => headers,
            false => headers.with_divergences(vec![(Name::new("account"), 2)]),
        };
        let event = StoredEvent {
            position: self.position,
            sequence,
            created_at: 1_700_000_000_123_456_789 + i64::from(sequence),
            type_name: "bank.Deposited".into(),
            schema_version: 1 + sequence % 2,
            payload: payload.into(),
            headers,
            isolated: false,
        };
        Publication { store: self.store, follows, event: LogEvent { stream: stream.clone(), event } }
    }

    /// `count` events, spread over streams.
    fn events(&mut self, count: usize, streams: &[StreamKey]) -> Vec<Publication> {
        (0..count).map(|n| self.event(&streams[n * 7 % streams.len()], format!("event {n}").into_bytes())).collect()
    }
}

fn streams(count: u128) -> Vec<StreamKey> {
    let domain = |n: u128| Name::new(["account", "order", "audit_log"][(n % 3) as usize]);
    let main = (1..=count).map(|n| StreamKey::main(domain(n), Uuid::from_u128(n)));
    let branch = StreamKey { domain: "account".into(), edition: "what-if.2".into(), root: Uuid::from_u128(1) };
    main.chain([branch]).collect()
}

#[track_caller]
fn within<'a, T: 'a>(what: &'a str, future: impl Future<Output = T> + 'a) -> impl Future<Output = T> + 'a {
    let at = std::panic::Location::caller();
    async move {
        match timeout(SOON, future).await {
            Ok(value) => value,
            Err(_) => panic!("never happened: {what} ({at})"),
        }
    }
}

async fn consume(transport: &dyn Transport, name: &str) -> Box<dyn Consumer> {
    match within("a consumer", transport.consume(name)).await {
        Ok(consumer) => consumer,
        Err(error) => panic!("no consumer `{name}`: {error}"),
    }
}

/// Begins to consume, as often as it takes.
async fn consume_again(transport: &dyn Transport, name: &str) -> Box<dyn Consumer> {
    let again = async {
        loop {
            match transport.consume(name).await {
                Ok(consumer) => return consumer,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a consumer after a failure", again).await
}

/// Announces a position until another process hears it; gives that one's ear.
async fn heard_by(one: &dyn Transport, other: &dyn Transport, position: u64) -> watch::Receiver<u64> {
    let mut woken = other.listen();
    let heard = async {
        // Lost for whoever was not listening yet (promise 2).
        one.announce(position);
        while timeout(Duration::from_millis(200), woken.wait_for(|heard| *heard >= position)).await.is_err() {
            one.announce(position);
        }
    };
    within("a wake-up of another process", heard).await;
    woken
}

async fn publish(transport: &dyn Transport, batch: &[Publication]) {
    if let Err(error) = within("the confirmation", transport.publish(batch)).await {
        panic!("not published: {error}");
    }
}

/// Publishes as the relay does: what is not confirmed comes again.
async fn publish_at_last(transport: &dyn Transport, batch: &[Publication]) {
    let mut rest = batch;
    let all = async {
        while let Err(error) = transport.publish(rest).await {
            assert!(error.is_retryable(), "{error}");
            rest = &rest[error.confirmed.min(rest.len())..];
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("everything is confirmed at last", all).await;
}

/// Takes and acknowledges until `count` different messages have come; tells them in the order of their first delivery.
async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Publication> {
    let mut seen = BTreeSet::new();
    let mut taken = Vec::new();
    while taken.len() < count {
        let what = format!("message {} of {count}", taken.len() + 1);
        let delivery = match within(&what, consumer.next()).await {
            Ok(delivery) => delivery,
            Err(error) => panic!("nothing more is delivered: {error}"),
        };
        if let Err(error) = consumer.acknowledge(delivery.tag).await {
            panic!("not acknowledged: {error}");
        }
        if seen.insert(delivery.publication.id()) {
            taken.push(delivery.publication);
        }
    }
    taken
}

fn sorted(mut publications: Vec<Publication>) -> Vec<Publication> {
    publications.sort_by_key(|it| it.event.event.position);
    publications
}

#[track_caller]
fn assert_in_order(taken: &[Publication]) {
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for publication in taken {
        let next = next.entry(publication.partition_key()).or_default();
        assert_eq!(publication.event.event.sequence, *next, "{} comes out of order", publication.partition_key());
        *next += 1;
    }
}

#[track_caller]
fn assert_out_of_reach(error: &TransportError) {
    assert_eq!(error.kind, TransportErrorKind::Unavailable, "{error}");
}
