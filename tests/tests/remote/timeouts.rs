//! Timeouts and the end of process managers elsewhere: rows P5, P7.

use std::time::Duration;

use angzarr_runtime::Builder;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, CoverExt as _, EventPageExt as _};
use angzarr_runtime::storage::Sqlite;
use tonic::Status;

use crate::domain::*;
use crate::elsewhere::*;
use crate::time::ManualClock;

/// A fact for the process itself: a reminder at some second, or never.
fn remind(what: impl prost::Name, at: Option<i64>) -> proto::EventBook {
    let sent_at = at.map(|second| prost_types::Timestamp { seconds: second, nanos: 0 });
    let payload = Some(prost_types::Any::pack(&what));
    let page = event(&proto::Notification { payload, sent_at, ..Default::default() });
    let cover = proto::Cover { domain: "checkout".into(), ..Default::default() };
    proto::EventBook { cover: Some(cover), ..book(vec![page]) }
}

/// The event that says that a process is over. No message of the contract: it has no content.
fn over() -> proto::EventPage {
    let event =
        prost_types::Any { type_url: "type.googleapis.com/angzarr.ProcessManagerCompleted".into(), value: vec![] };
    proto::EventPage { payload: Some(proto::event_page::Payload::Event(event)), ..Default::default() }
}

/// Up to 999 is taken after so many seconds, unless something else is ordered before; then come some with a meaning of their own.
fn patient() -> Process {
    Component::new(|request: &proto::ProcessManagerHandleRequest| {
        let trigger = request.trigger.as_ref().unwrap();
        let page = &trigger.pages[0];
        let mut answer = proto::ProcessManagerHandleResponse::default();
        if let Ok(told) = page.decode::<proto::Notification>() {
            // What is told is what was asked for.
            let Ok(Placed { quantity }) = told.payload.unwrap().unpack() else {
                return Err(Status::failed_precondition("not a reminder"));
            };
            answer.process_events = Some(book(vec![event(&Counted { quantity })]));
            let shelf = Uuid::from_u128(7);
            answer.commands = vec![command("shelf", shelf, &Take { quantity: 1 })];
            assert_eq!(told.sent_at.unwrap().seconds, 1_000 + i64::from(quantity), "as it was asked for");
            let about = told.cover.unwrap();
            assert_eq!((about.domain.as_str(), trigger.cover.as_ref().unwrap()), ("checkout", &about));
            return Ok(answer);
        }
        let Ok(placed) = page.decode::<Placed>() else { return Ok(answer) };
        match placed.quantity {
            1_000 => answer.facts = vec![remind(Placed::default(), None)],
            1_001 => answer.process_events = Some(book(vec![event(&Counted { quantity: 1_001 }), over()])),
            // What the contract has no place for.
            2_001 => answer.facts = vec![fact("checkout", root_of(trigger), &Counted { quantity: 1 })],
            2_002 => {
                let mut elsewhere = remind(Placed::default(), Some(1_001));
                elsewhere.cover = Some(proto::Cover::of("checkout", Uuid::from_u128(9).into_bytes()));
                answer.facts = vec![elsewhere];
            }
            2_003 => {
                let mut another = remind(Placed::default(), Some(1_001));
                another.cover = Some(proto::Cover::of("shelf", Uuid::from_u128(9).into_bytes()));
                answer.facts = vec![another];
            }
            2_004 => {
                let nameless = event(&proto::Notification::default());
                answer.facts = vec![proto::EventBook { pages: vec![nameless], ..remind(Placed::default(), None) }];
            }
            2_005 => answer.process_events = Some(book(vec![event(&proto::Notification::default())])),
            seconds => answer.facts = vec![remind(placed, Some(1_000 + i64::from(seconds)))],
        }
        Ok(answer)
    })
}

fn builder(there: &Served, clock: &ManualClock) -> Builder {
    Runtime::builder()
        .clock(clock.clone())
        .reaction_attempts(2)
        .reaction_backoff(Duration::from_millis(1), Duration::from_millis(2))
        .remote_process_manager("checkout", ["order"], there.url())
}

async fn place(runtime: &Runtime, quantity: u32, correlation: &str) {
    runtime.send::<Order>(Uuid::new_v4(), Place { quantity }).correlation(correlation).await.unwrap();
    settled(runtime).await;
}

/// What the process of a workflow has counted.
async fn counted(runtime: &Runtime, correlation: &str) -> Vec<u32> {
    let books = runtime.books_by_correlation(correlation).await.unwrap();
    let own = books.into_iter().filter(|book| book.cover.as_ref().unwrap().domain == "checkout");
    own.flat_map(|book| book.pages).filter_map(|it| it.decode::<Counted>().ok()).map(|it| it.quantity).collect()
}

async fn taken(runtime: &Runtime) -> u32 {
    runtime.state::<Shelf>(Uuid::from_u128(7)).await.unwrap().taken
}

async fn waiting(runtime: &Runtime) -> usize {
    runtime.storage().intents(&Default::default()).await.unwrap().len()
}

#[tokio::test]
async fn p5_a_timeout_outlives_a_restart_and_an_outage_and_fires_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = || Sqlite::open(directory.path().join("events.db"));
    let (process, clock, address) = (patient(), ManualClock::at(1_000), nowhere().await);
    {
        let there = process_on(address, &process).await;
        let runtime = builder(&there, &clock).storage(store()).build().await.unwrap();
        place(&runtime, 900, "w-1").await;
        clock.set(1_899);
        settled(&runtime).await;
        runtime.shutdown().await.unwrap();
    }
    assert_eq!(process.asked().len(), 1, "not before its time");
    // It becomes due while the component is away.
    clock.set(1_901);
    let away = Runtime::builder().clock(clock.clone()).storage(store());
    let runtime = away.remote_process_manager("checkout", ["order"], url(address)).build().await.unwrap();
    runtime.send::<Order>(Uuid::new_v4(), Place { quantity: 5 }).correlation("w-2").await.unwrap();
    assert!(stalled(&runtime, "checkout").await.contains("out of reach"));
    let there = process_on(address, &process).await;
    eventually("it has fired", async || counted(&runtime, "w-1").await == [900]).await;
    settled(&runtime).await;
    assert_eq!(taken(&runtime).await, 2, "w-2 was due at once");
    runtime.shutdown().await.unwrap();
    let runtime = builder(&there, &clock).storage(store()).build().await.unwrap();
    clock.set(9_000);
    settled(&runtime).await;
    assert_eq!((counted(&runtime, "w-1").await, waiting(&runtime).await), (vec![900], 0));
    assert_eq!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap(), []);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn p5_a_timeout_is_moved_and_taken_back() {
    let (process, clock) = (patient(), ManualClock::at(1_000));
    let there = process_on(anywhere(), &process).await;
    let runtime = builder(&there, &clock).storage(Memory::new()).build().await.unwrap();
    for (quantity, correlation) in [(100, "moved"), (200, "moved"), (100, "taken back"), (1_000, "taken back")] {
        place(&runtime, quantity, correlation).await;
    }
    assert_eq!(waiting(&runtime).await, 1);
    clock.set(1_101);
    settled(&runtime).await;
    assert_eq!(counted(&runtime, "moved").await, [0; 0]);
    clock.set(1_201);
    eventually("it has fired", async || counted(&runtime, "moved").await == [200]).await;
    settled(&runtime).await;
    assert_eq!((counted(&runtime, "taken back").await, taken(&runtime).await), (vec![], 1));
    runtime.shutdown().await.unwrap();
}

/// Rows P5, R5: two processes share a store; each timeout is told to the component once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_r5_of_several_processes_one_tells_it() {
    let (process, clock, store) = (patient(), ManualClock::at(1_000), Memory::new().for_many_runtimes());
    let there = process_on(anywhere(), &process).await;
    let join = async || {
        let builder = builder(&there, &clock).storage(store.clone()).lease_time(Duration::from_secs(1));
        builder.build().await.unwrap()
    };
    let (one, other) = (join().await, join().await);
    for n in 0..20 {
        let by = if n % 2 == 0 { &one } else { &other };
        let place = by.send::<Order>(Uuid::new_v4(), Place { quantity: 100 + n });
        place.correlation(format!("w-{n}")).await.unwrap();
    }
    eventually("all are scheduled", async || waiting(&one).await == 20).await;
    clock.set(1_200);
    eventually("all have fired", async || taken(&other).await == 20).await;
    settled(&one).await;
    settled(&other).await;
    let told = |asked: &proto::ProcessManagerHandleRequest| {
        asked.trigger.as_ref().unwrap().pages[0].type_name() == Some("angzarr.Notification")
    };
    assert_eq!(process.asked().iter().filter(|asked| told(asked)).count(), 20);
    assert_eq!(taken(&one).await, 20);
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test]
async fn p7_a_process_that_is_over_is_woken_no_more() {
    let (process, clock) = (patient(), ManualClock::at(1_000));
    let there = process_on(anywhere(), &process).await;
    let runtime = builder(&there, &clock).storage(Memory::new()).build().await.unwrap();
    place(&runtime, 100, "w-1").await;
    place(&runtime, 1_001, "w-1").await;
    assert_eq!(waiting(&runtime).await, 0, "what was scheduled goes with it");
    let asked = process.asked().len();
    place(&runtime, 7, "w-1").await;
    clock.set(2_000);
    settled(&runtime).await;
    assert_eq!((process.asked().len(), counted(&runtime, "w-1").await), (asked, vec![1_001]));
    let status = runtime.subscriptions().into_iter().find(|it| it.name == "checkout").unwrap();
    assert_eq!(status.ignored, 1);
    runtime.shutdown().await.unwrap();
}

/// What the contract has no place for is told, and not left out.
#[tokio::test]
async fn what_cannot_be_scheduled_is_told() {
    let (process, clock) = (patient(), ManualClock::at(1_000));
    let there = process_on(anywhere(), &process).await;
    let runtime = builder(&there, &clock).storage(Memory::new()).build().await.unwrap();
    for (quantity, told) in [
        (2_001, "its own events go into `process_events`"),
        (2_002, "it schedules its own timeouts only"),
        (2_003, "a process manager schedules a timeout by one for itself"),
        (2_004, "a timeout without a payload"),
        (2_005, "the event `angzarr.Notification`, which is the framework's own"),
    ] {
        place(&runtime, quantity, &quantity.to_string()).await;
        let mut letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        letters.retain(|letter| letter.resolution.is_none());
        let [letter] = letters.try_into().unwrap();
        assert!(letter.letter.rejection_reason.contains(told), "{:?}", letter.letter.rejection_reason);
        runtime.dead_letters().discard(letter.id, "told").await.unwrap();
    }
    assert_eq!(waiting(&runtime).await, 0);
    runtime.shutdown().await.unwrap();
}
