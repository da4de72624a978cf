//! RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use angzarr_runtime::Uuid;
use angzarr_runtime::proto::{self, EventPageExt as _};
use angzarr_runtime::testing::transport_contract::{self, Subject};
use angzarr_runtime::transport::{Amqp, Transport};
use angzarr_tests::line::Line;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use prost::Message as _;

use crate::nats::log;
use crate::servers;

/// Queues that a test leaves behind go by themselves, soon after it.
pub(crate) fn over(address: &str, prefix: &str) -> Amqp {
    let amqp = Amqp::connect(&format!("amqp://{}@{address}", servers::amqp_user()));
    amqp.prefix(prefix).queues(2).max_idle(Duration::from_secs(20))
}

/// Any client.
async fn channel(address: &str) -> Channel {
    let url = format!("amqp://{}@{address}", servers::amqp_user());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("it connects");
    // The connection lives as long as its channel.
    connection.create_channel().await.expect("a channel")
}

/// What lies in a queue of dead letters, by the topic; it stays there.
pub(crate) async fn letters(address: &str, prefix: &str, topic: &str) -> Vec<proto::AngzarrDeadLetter> {
    let channel = channel(address).await;
    let queue = format!("{prefix}.dlq");
    let mut letters = Vec::new();
    while let Some(message) = channel.basic_get(queue.as_str().into(), Default::default()).await.expect("the queue") {
        if message.delivery.routing_key.to_string() == topic {
            letters.push(proto::AngzarrDeadLetter::decode(message.delivery.data.as_slice()).expect("a dead letter"));
        }
    }
    channel.close(200, "done".into()).await.expect("what was not acknowledged goes back");
    letters
}

async fn subject() -> Subject {
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let line = Arc::new(Line::to(&address).await);
    let transport: Arc<dyn Transport> = Arc::new(over(&line.address(), &prefix));
    let (cut, down) = (line.clone(), line.clone());
    let line = transport_contract::Line {
        transport,
        cut: Box::new(move || cut.cut()),
        down: Box::new(move |is| down.down(is)),
        hold: Box::new(move |is| line.hold(is)),
    };
    let at = (address, prefix);
    let (opened, read, removed) = (at.clone(), at.clone(), at);
    Subject::new(move || Arc::new(over(&opened.0, &opened.1)))
        .keeps_messages()
        .over(line)
        .reads_letters(move |domain| {
            let ((address, prefix), topic) = (read.clone(), format!("{}.dlq.{domain}", read.1));
            Box::pin(async move { letters(&address, &prefix, &topic).await })
        })
        .removed_by(move || {
            Box::pin(async move { over(&removed.0, &removed.1).remove(&[]).await.expect("it is removed") })
        })
}

angzarr_runtime::transport_contract!(contract, subject());

/// What programs in other languages rely on.
#[tokio::test]
async fn messages_are_what_the_documentation_says() {
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let (amqp, channel, store) = (over(&address, &prefix), channel(&address).await, Uuid::from_u128(1));
    amqp.publish(&[]).await.unwrap();
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let queue = channel.queue_declare(ShortString::default(), options, FieldTable::default()).await.unwrap();
    let (name, exchange) = (queue.name().clone(), format!("{prefix}.events"));
    let options = QueueBindOptions::default();
    channel
        .queue_bind(name.clone(), exchange.as_str().into(), "account.*".into(), options, FieldTable::default())
        .await
        .unwrap();
    amqp.publish(&log(store, 3..=3)).await.unwrap();
    let message = channel.basic_get(name, Default::default()).await.unwrap().unwrap().delivery;
    // FNV-1a of `account/00000000-0000-0000-0000-000000000003`, modulo 16.
    assert_eq!(message.routing_key.to_string(), "account.12");
    let properties = &message.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().to_string(), "00000000-0000-0000-0000-000000000001/3");
    assert_eq!(properties.content_type().as_ref().unwrap().to_string(), "application/protobuf; type=angzarr.EventBook");
    assert_eq!(properties.delivery_mode(), &Some(2), "kept over a restart of the broker");
    let headers = properties.headers().as_ref().unwrap().inner();
    let told = headers.iter().map(|(name, value)| match value {
        AMQPValue::LongString(value) => (name.to_string(), value.to_string()),
        other => panic!("{other:?}"),
    });
    let expected = [
        ("Angzarr-Follows", "2"),
        ("Angzarr-Position", "3"),
        ("Angzarr-Store", "00000000-0000-0000-0000-000000000001"),
        ("Angzarr-Type", "bank.Deposited"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let book = proto::EventBook::decode(message.data.as_slice()).unwrap();
    assert_eq!(book.cover.as_ref().unwrap().domain, "account");
    assert_eq!(book.pages[0].event().unwrap().type_url, "type.googleapis.com/bank.Deposited");
    amqp.remove(&[]).await.unwrap();
}

/// Of a client that does not know the form; the consumer is not stuck with it, and it is not lost.
#[tokio::test]
async fn r7_a_message_that_makes_no_sense_goes_to_the_undelivered() {
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let (amqp, channel) = (over(&address, &prefix), channel(&address).await);
    let mut consumer = amqp.consume("it").await.unwrap();
    let (exchange, options) = (format!("{prefix}.events"), BasicPublishOptions::default());
    let nonsense = channel.basic_publish(
        exchange.as_str().into(),
        "account.12".into(),
        options,
        b"nonsense",
        BasicProperties::default(),
    );
    nonsense.await.unwrap();
    let batch = log(Uuid::new_v4(), 1..=2);
    amqp.publish(&batch).await.unwrap();
    for publication in &batch {
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.publication, *publication);
        consumer.acknowledge(delivery.tag).await.unwrap();
    }
    let queue = format!("{prefix}.undelivered");
    let options = BasicConsumeOptions::default();
    let mut undelivered =
        channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
    let message = futures_util::StreamExt::next(&mut undelivered).await.unwrap().unwrap();
    assert_eq!(
        (message.data.as_slice(), message.routing_key.to_string()),
        (b"nonsense".as_slice(), format!("{queue}.it"))
    );
    message.ack(BasicAckOptions::default()).await.unwrap();
    drop(consumer);
    amqp.remove(&["it"]).await.unwrap();
}

/// One stream is in one queue, and a queue has one consumer at a time: the second one waits for its turn.
#[tokio::test]
async fn r5_of_two_consumers_of_one_name_one_has_a_stream_until_it_dies() {
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let (one, other) = (over(&address, &prefix), over(&address, &prefix));
    let (mut first, mut second) = (one.consume("same").await.unwrap(), other.consume("same").await.unwrap());
    let batch = log(Uuid::new_v4(), 1..=100);
    one.publish(&batch).await.unwrap();
    for publication in &batch[..40] {
        let delivery = tokio::select! {
            delivery = first.next() => delivery.unwrap(),
            _ = second.next() => panic!("two consumers have one stream at a time"),
        };
        assert_eq!(delivery.publication, *publication);
        first.acknowledge(delivery.tag).await.unwrap();
    }
    drop(first);
    // What it has acknowledged last may come again; nothing new comes before an older one.
    let mut next = 41;
    while next <= 100 {
        let delivery = second.next().await.unwrap();
        let position = delivery.publication.event.event.position;
        assert!(position <= next, "{position} comes before {next}");
        next = next.max(position + 1);
        second.acknowledge(delivery.tag).await.unwrap();
    }
    drop(second);
    one.remove(&["same"]).await.unwrap();
}

#[tokio::test]
async fn r7_exchanges_that_somebody_removed_are_declared_again() {
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let (amqp, somebody) = (over(&address, &prefix), over(&address, &prefix));
    let batch = log(Uuid::new_v4(), 1..=4);
    amqp.publish(&batch[..2]).await.unwrap();
    somebody.remove(&[]).await.unwrap();
    let error = amqp.publish(&batch[2..]).await.unwrap_err();
    assert!(error.is_retryable() && error.confirmed == 0, "{error}");
    let mut consumer = amqp.consume("it").await.unwrap();
    amqp.publish(&batch[2..]).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().publication, batch[2]);
    drop(consumer);
    amqp.remove(&["it"]).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_out_of_reach_and_what_makes_no_sense_is_refused() {
    let nobody = Amqp::connect("amqp://127.0.0.1:1");
    assert!(nobody.publish(&[]).await.unwrap_err().is_retryable());
    assert!(nobody.consume("it").await.err().unwrap().is_retryable());
    assert_eq!(Amqp::connect("http//").publish(&[]).await.unwrap_err().code(), "TRANSPORT_REFUSED");
    let (address, prefix) = (servers::amqp().await, servers::prefix());
    let stranger = Amqp::connect(&format!("amqp://nobody:nothing@{address}")).prefix(&prefix);
    assert_eq!(stranger.publish(&[]).await.unwrap_err().code(), "TRANSPORT_REFUSED");
    // Queues that were declared otherwise.
    let amqp = over(&address, &prefix);
    drop(amqp.consume("it").await.unwrap());
    let otherwise = over(&address, &prefix).max_idle(Duration::from_secs(21));
    let error = otherwise.consume("it").await.err().unwrap();
    assert_eq!(error.code(), "TRANSPORT_REFUSED");
    assert!(error.to_string().contains("declared otherwise"), "{error}");
    amqp.remove(&["it"]).await.unwrap();
}
