//! States, books and live events over the wire: rows T, N, U, P1, I4, B.

use std::time::Duration;

use angzarr_runtime::client::Subscription;
use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Client, ClientError};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::notes::Diary;
use angzarr_tests::person::Person;
use angzarr_tests::store::{plant, stored};

use crate::client_of;
use crate::domain::{Checkout, Order, Place};
use crate::served::{Served, events, sequences};

/// Rows T1, T2: the state then and now is that of the runtime, snapshots or not.
#[tokio::test]
async fn t1_t2_a_state_is_that_of_the_runtime() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let new = client.state::<Account>(root).await.unwrap();
    assert!(new.is_new() && new.last_event_at().is_none());
    let mut times = Vec::new();
    for amount in 1..=40 {
        let answer = client.send::<Account>(root, Deposit { amount }).await.unwrap();
        times.push(answer.created_at().unwrap());
    }
    let book = client_book(&served, root).await;
    assert!(book.snapshot.is_some(), "the server has a snapshot to begin with");
    assert_eq!(client.state::<Account>(root).await.unwrap(), served.runtime.state::<Account>(root).await.unwrap());
    for sequence in [0, 1, 15, 16, 31, 32, 39, 99] {
        let there = client.state::<Account>(root).as_of_sequence(sequence).await.unwrap();
        assert_eq!(there, served.runtime.state::<Account>(root).as_of_sequence(sequence).await.unwrap(), "{sequence}");
        assert_eq!(there.next_sequence(), sequence.min(39) + 1);
    }
    for time in [times[0] - Duration::from_nanos(1), times[0], times[20], times[39]] {
        let there = client.state::<Account>(root).as_of_time(time).await.unwrap();
        assert_eq!(there, served.runtime.state::<Account>(root).as_of_time(time).await.unwrap());
    }
    served.end().await;
}

async fn client_book(served: &Served, root: Uuid) -> angzarr_runtime::proto::EventBook {
    use angzarr_runtime::proto::{self, CoverExt as _};
    let query = proto::Query { cover: Some(proto::Cover::of("account", root.into_bytes())), selection: None };
    served.queries().await.get_event_book(query).await.unwrap().into_inner()
}

/// A state that is no protobuf message has snapshots that nobody else can read: every event comes.
#[tokio::test]
async fn n4_a_state_without_a_readable_snapshot() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for n in 0..20 {
        client.send::<Diary>(root, Write { text: n.to_string() }).await.unwrap();
    }
    let there = client.state::<Diary>(root).await.unwrap();
    assert_eq!(*there, *served.runtime.state::<Diary>(root).await.unwrap());
    assert_eq!(there.next_sequence(), 20);
    served.end().await;
}

/// What does not fit into one answer comes in pieces.
#[tokio::test]
async fn a_large_stream_comes_in_pieces() {
    let served = Served::with(|server| server.max_answer_bytes(100_000)).await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for _ in 0..12 {
        client.send::<Account>(root, NoteOfSize { bytes: 20_000 }).await.unwrap();
    }
    client.send::<Account>(root, Deposit { amount: 7 }).await.unwrap();
    let there = client.state::<Account>(root).await.unwrap();
    assert_eq!((there.balance, there.next_sequence()), (7, 13));
    assert_eq!(client.state::<Account>(root).as_of_sequence(11).await.unwrap().balance, 0);
    served.end().await;

    // More than this side takes at once.
    let served = Served::with(|server| server.max_answer_bytes(16 << 20)).await;
    let url = format!("http://{}", served.address);
    let client = Client::builder(url).max_message_bytes(2 << 20).connect().await.unwrap();
    for _ in 0..4 {
        client.send::<Account>(root, NoteOfSize { bytes: 900_000 }).await.unwrap();
    }
    assert_eq!(client.state::<Account>(root).await.unwrap().next_sequence(), 4);
    served.end().await;
}

/// Row U1: old events are folded as this program knows them.
#[tokio::test]
async fn u1_old_events_are_upcast_here() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let old = vec![
        stored(&PersonNamedV1 { name: "Ada Lovelace".into() }, 1),
        stored(&AddressChanged { address: "1 Main St, London".into() }, 1),
    ];
    plant(served.runtime.storage(), &StreamKey::main("person", root), old, 1_000).await;
    let person = client.state::<Person>(root).await.unwrap();
    assert_eq!((&*person.first, &*person.last, &*person.initials, &*person.city), ("Ada", "Lovelace", "AL", "London"));
    assert_eq!(person.next_sequence(), 2, "a split event keeps its one sequence");
    // A newer one than this program knows: nothing is guessed (row U5).
    let newer = vec![stored(&PersonNamed::default(), 9)];
    plant(served.runtime.storage(), &StreamKey::main("person", root), newer, 1_000).await;
    let refused = client.state::<Person>(root).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Here(error) if error.code() == "SCHEMA_TOO_NEW"), "{refused:?}");
    assert!(refused.facts().contains(&("domain", "person".to_owned())));
    served.end().await;
}

/// Rows P1, I4: a process, and every book of its workflow.
#[tokio::test]
async fn p1_i4_a_process_and_its_workflow() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let order = Uuid::new_v4();
    let place = Place { price: 5, ..Default::default() };
    client.send::<Order>(order, place).correlation("w-1").sync(SyncMode::Cascade).await.unwrap();
    let process = client.process::<Checkout>("w-1").await.unwrap();
    assert_eq!(process.story, ["started 5", "paid 5"]);
    let books = client.books_by_correlation("w-1").await.unwrap();
    assert_eq!(books, served.runtime.books_by_correlation("w-1").await.unwrap());
    let mut domains: Vec<_> = books.iter().map(|it| it.cover.as_ref().unwrap().domain.as_str()).collect();
    domains.sort_unstable();
    assert_eq!(domains, ["checkout", "order", "payment"]);
    assert_eq!(client.books_by_correlation("nobody").await.unwrap(), []);
    assert_eq!(client.books_by_correlation("").await.unwrap_err().code(), "INVALID_ARGUMENT");
    served.end().await;
}

/// A book that came in pieces is one again.
#[tokio::test]
async fn i4_large_books_are_whole() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for _ in 0..4 {
        client.send::<Account>(root, NoteOfSize { bytes: 700_000 }).correlation("w-2").await.unwrap();
    }
    client.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).correlation("w-2").await.unwrap();
    let books = client.books_by_correlation("w-2").await.unwrap();
    assert_eq!(books.iter().map(|it| it.pages.len()).collect::<Vec<_>>(), [4, 1]);
    assert_eq!(books, served.runtime.books_by_correlation("w-2").await.unwrap());
    served.end().await;
}

/// So many sequences.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    while found.len() < count {
        let book = tokio::time::timeout(Duration::from_secs(20), subscription.book()).await.expect("an event comes");
        found.extend(sequences(&book.unwrap().expect("it goes on")));
    }
    found
}

async fn deposit(client: &Client, root: Uuid, correlation: &str) {
    client.send::<Account>(root, Deposit { amount: 1 }).correlation(correlation).await.unwrap();
}

/// Row I4: a workflow from its beginning, and then live; its end is typed.
#[tokio::test]
async fn i4_a_subscription_tells_a_workflow_and_how_it_ends() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    deposit(&client, root, "w-1").await;
    deposit(&client, root, "other").await;
    let mut workflow = client.subscribe("w-1").await.unwrap();
    assert_eq!(workflow.position(), Some(2));
    let mut all = client.subscribe_all(Some(0)).await.unwrap();
    let mut live = client.subscribe_all(None).await.unwrap();
    deposit(&client, root, "other").await;
    deposit(&client, root, "w-1").await;
    assert_eq!(take(&mut workflow, 2).await, [0, 3]);
    assert_eq!(take(&mut all, 4).await, [0, 1, 2, 3]);
    assert_eq!(take(&mut live, 2).await, [2, 3]);
    assert_eq!(client.subscribe("").await.unwrap_err().code(), "INVALID_ARGUMENT");
    let ahead = client.subscribe_all(Some(99)).await.unwrap_err();
    assert!(
        matches!(ahead.error(), Some(Error::InvalidArgument { field, .. }) if field == "angzarr-after"),
        "{ahead:?}"
    );
    served.stop();
    let ended = workflow.book().await.unwrap_err();
    assert_eq!((ended.code(), ended.is_retryable()), ("SHUTTING_DOWN", true));
    served.ended().await;
}

/// Deposits of a book, to make sure that what is subscribed to can be decoded.
#[tokio::test]
async fn a_subscription_brings_whole_events() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    deposit(&client, Uuid::new_v4(), "w-1").await;
    let book = client.subscribe("w-1").await.unwrap().book().await.unwrap().unwrap();
    assert_eq!(events::<Deposited>(&book)[0].amount, 1);
    served.end().await;
}
