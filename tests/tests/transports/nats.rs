//! NATS with JetStream.

use std::sync::Arc;
use std::time::Duration;

use angzarr_runtime::Uuid;
use angzarr_runtime::proto::{self, EventPageExt as _};
use angzarr_runtime::stream::{Headers, LogEvent, StoredEvent, StreamKey};
use angzarr_runtime::testing::transport_contract::{self, Subject};
use angzarr_runtime::transport::{Nats, Publication, Transport};
use angzarr_tests::line::Line;
use async_nats::jetstream::consumer::pull::Config;
use futures_util::StreamExt as _;
use prost::Message as _;

use crate::servers;

pub(crate) fn over(address: &str, prefix: &str) -> Nats {
    Nats::connect(&format!("nats://{address}")).prefix(prefix).redeliver_after(Duration::from_secs(1))
}

/// What any client reads from the topic of a domain.
pub(crate) async fn letters(address: &str, subject: &str) -> Vec<proto::AngzarrDeadLetter> {
    let client = async_nats::connect(address).await.expect("it connects");
    let context = async_nats::jetstream::new(client);
    let stream = context.stream_by_subject(subject).await.expect("a stream has the subject");
    let stream = context.get_stream(stream).await.expect("the stream");
    let config = Config { filter_subject: subject.to_owned(), ..Config::default() };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let messages = consumer.fetch().max_messages(1_000).messages().await.expect("messages");
    let decode = async |message: Result<async_nats::jetstream::Message, _>| {
        let message: async_nats::jetstream::Message = message.expect("a message");
        proto::AngzarrDeadLetter::decode(message.payload.clone()).expect("a dead letter")
    };
    messages.then(decode).collect().await
}

async fn subject() -> Subject {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let line = Arc::new(Line::to(&address).await);
    let transport: Arc<dyn Transport> = Arc::new(over(&line.address(), &prefix));
    let (cut, down) = (line.clone(), line.clone());
    let line = transport_contract::Line {
        transport,
        cut: Box::new(move || cut.cut()),
        down: Box::new(move |is| down.down(is)),
        hold: Box::new(move |is| line.hold(is)),
    };
    let (opened, read, removed) =
        ((address.clone(), prefix.clone()), (address.clone(), prefix.clone()), (address, prefix));
    Subject::new(move || Arc::new(over(&opened.0, &opened.1)))
        .keeps_messages()
        .over(line)
        .reads_letters(move |domain| {
            let (address, subject) = (read.0.clone(), format!("{}.dlq.{domain}", read.1));
            Box::pin(async move { letters(&address, &subject).await })
        })
        .removed_by(move || {
            Box::pin(async move { over(&removed.0, &removed.1).remove().await.expect("it is removed") })
        })
}

angzarr_runtime::transport_contract!(contract, subject());

pub(crate) fn log(store: Uuid, positions: std::ops::RangeInclusive<u64>) -> Vec<Publication> {
    let publication = |position: u64| {
        let event = StoredEvent {
            position,
            sequence: position as u32 - 1,
            created_at: 1_000,
            type_name: "bank.Deposited".into(),
            schema_version: 1,
            payload: vec![8, 5].into(),
            headers: Headers::default(),
            isolated: false,
        };
        let stream = StreamKey::main("account", Uuid::from_u128(3));
        Publication { store, follows: position - 1, event: LogEvent { stream, event } }
    };
    positions.map(publication).collect()
}

/// The events that JetStream holds, as any client reads them.
pub(crate) async fn held(address: &str, prefix: &str) -> Vec<(String, async_nats::HeaderMap, proto::EventBook)> {
    let context = async_nats::jetstream::new(async_nats::connect(address).await.expect("it connects"));
    let stream = context.get_stream(format!("{prefix}-events")).await.expect("the stream");
    let state = &stream.cached_info().state;
    let mut held = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("a message");
        let book = proto::EventBook::decode(message.payload.clone()).expect("a book");
        held.push((message.subject.to_string(), message.headers.clone(), book));
    }
    held
}

#[tokio::test]
async fn r2_the_broker_drops_doubles_by_their_id() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (one, other) = (over(&address, &prefix), over(&address, &prefix));
    let batch = log(Uuid::new_v4(), 1..=5);
    one.publish(&batch[..3]).await.unwrap();
    // After a crash, by whoever took over.
    other.publish(&batch).await.unwrap();
    other.publish(&batch).await.unwrap();
    let held = held(&address, &prefix).await;
    let positions: Vec<&str> =
        held.iter().map(|(_, headers, _)| headers.get("Angzarr-Position").unwrap().as_str()).collect();
    assert_eq!(positions, ["1", "2", "3", "4", "5"]);
    one.remove().await.unwrap();
}

/// What programs in other languages rely on.
#[tokio::test]
async fn messages_are_what_the_documentation_says() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (nats, store) = (over(&address, &prefix), Uuid::from_u128(1));
    nats.publish(&log(store, 3..=3)).await.unwrap();
    let held = held(&address, &prefix).await;
    let (subject, headers, book) = &held[0];
    // FNV-1a of `account/00000000-0000-0000-0000-000000000003`, modulo 16.
    assert_eq!(*subject, format!("{prefix}.events.account.12"));
    let mut told: Vec<(String, &str)> =
        headers.iter().map(|(name, values)| (name.to_string(), values[0].as_str())).collect();
    told.sort();
    let expected = [
        ("Angzarr-Follows", "2"),
        ("Angzarr-Position", "3"),
        ("Angzarr-Store", "00000000-0000-0000-0000-000000000001"),
        ("Angzarr-Type", "bank.Deposited"),
        ("Content-Type", "application/protobuf; type=angzarr.EventBook"),
        ("Nats-Msg-Id", "00000000-0000-0000-0000-000000000001/3"),
    ];
    assert_eq!(told.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(), expected);
    let cover = book.cover.as_ref().unwrap();
    assert_eq!((cover.domain.as_str(), cover.root.as_ref().unwrap().value.last()), ("account", Some(&3)));
    assert_eq!(book.pages[0].event().unwrap().type_url, "type.googleapis.com/bank.Deposited");
    assert_eq!(book.pages[0].sequence(), Some(2));
    nats.remove().await.unwrap();
}

#[tokio::test]
async fn r3_the_newest_event_is_told_and_that_of_another_store_is_not_taken_for_it() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (nats, store) = (over(&address, &prefix), Uuid::new_v4());
    assert_eq!(nats.newest(store).await.unwrap(), Some(0), "nothing was ever published");
    nats.publish(&log(store, 1..=9)).await.unwrap();
    assert_eq!(nats.newest(store).await.unwrap(), Some(9));
    let error = nats.newest(Uuid::new_v4()).await.unwrap_err();
    assert_eq!(error.code(), "TRANSPORT_REFUSED");
    assert!(error.to_string().contains("give each store a prefix of its own"), "{error}");
    nats.remove().await.unwrap();
}

/// Two stores that share a prefix are in each other's way, and nothing is lost or out of order all the same.
#[tokio::test]
async fn r2_two_stores_in_one_prefix_lose_nothing() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (one, other) = (over(&address, &prefix), over(&address, &prefix));
    let logs = [log(Uuid::new_v4(), 1..=200), log(Uuid::new_v4(), 1..=200)];
    let publish = async |nats: &Nats, log: &[Publication]| {
        for batch in log.chunks(20) {
            nats.publish(batch).await.unwrap();
        }
    };
    tokio::join!(publish(&one, &logs[0]), publish(&other, &logs[1]));
    let held = held(&address, &prefix).await;
    for log in &logs {
        let store = log[0].store.to_string();
        let of = held.iter().filter(|(_, headers, _)| headers.get("Angzarr-Store").unwrap().as_str() == store);
        let positions: Vec<u64> =
            of.map(|(_, headers, _)| headers.get("Angzarr-Position").unwrap().as_str().parse().unwrap()).collect();
        assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    }
    one.remove().await.unwrap();
}

#[tokio::test]
async fn r7_a_stream_that_somebody_removed_is_made_anew() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let (nats, somebody) = (over(&address, &prefix), over(&address, &prefix));
    let batch = log(Uuid::new_v4(), 1..=4);
    nats.publish(&batch[..2]).await.unwrap();
    let mut consumer = nats.consume("it").await.unwrap();
    somebody.remove().await.unwrap();
    let error = nats.publish(&batch[2..]).await.unwrap_err();
    assert!(error.is_retryable() && error.confirmed == 0, "{error}");
    assert!(consumer.next().await.unwrap_err().is_retryable());
    nats.publish(&batch[2..]).await.unwrap();
    assert_eq!(held(&address, &prefix).await.len(), 2);
    nats.remove().await.unwrap();
}

/// Of a client that does not know the form; the consumer is not stuck with it.
#[tokio::test]
async fn r7_a_message_that_makes_no_sense_is_passed_over() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let nats = over(&address, &prefix);
    let mut consumer = nats.consume("it").await.unwrap();
    let client = async_nats::connect(&address).await.unwrap();
    let context = async_nats::jetstream::new(client);
    context.publish(format!("{prefix}.events.account.0"), "nonsense".into()).await.unwrap().await.unwrap();
    let batch = log(Uuid::new_v4(), 1..=2);
    nats.publish(&batch).await.unwrap();
    for publication in &batch {
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.publication, *publication);
        consumer.acknowledge(delivery.tag).await.unwrap();
    }
    nats.remove().await.unwrap();
}

/// Larger than the server takes: it says so, and what came before it is confirmed.
#[tokio::test]
async fn r2_a_message_that_is_too_large_is_refused() {
    let (address, prefix) = (servers::nats().await, servers::prefix());
    let nats = over(&address, &prefix);
    let mut batch = log(Uuid::new_v4(), 1..=5);
    batch[3].event.event.payload = vec![0; 9 << 20].into();
    let error = nats.publish(&batch).await.unwrap_err();
    assert_eq!((error.code(), error.confirmed), ("TRANSPORT_REFUSED", 3));
    assert!(error.to_string().contains("raise `max_payload`"), "{error}");
    nats.publish(&batch[..3]).await.unwrap();
    nats.remove().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_out_of_reach_and_a_url_that_makes_no_sense_is_refused() {
    let nobody = Nats::connect("nats://127.0.0.1:1");
    assert!(nobody.publish(&[]).await.unwrap_err().is_retryable());
    assert!(nobody.consume("it").await.err().unwrap().is_retryable());
    let nonsense = Nats::connect("gopher://127.0.0.1");
    assert_eq!(nonsense.publish(&[]).await.unwrap_err().code(), "TRANSPORT_REFUSED");
}
