//! A durable consumer of JetStream, by its name.
//!
//! In: what the broker delivers. Out: publications, each until it is acknowledged. Never: a message that makes no sense;
//! it is told of, and refused for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::pull::{Config, MessagesErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::connection::Connection;
use crate::storage::BoxFuture;
use crate::telemetry;
use crate::transport::{Consumer, Delivery, TransportError, wire};

/// Messages that are fetched ahead of those who take them.
const AHEAD: usize = 128;
/// Messages that may be unacknowledged, of all consumers of one name.
const UNACKNOWLEDGED: i64 = 4_096;
/// The broker says this often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) struct NatsConsumer {
    connection: Arc<Connection>,
    messages: async_nats::jetstream::consumer::pull::Stream,
    cut: watch::Receiver<u64>,
    /// Delivered and not acknowledged, by the sequence in JetStream: a message that comes again takes its own place.
    open: HashMap<u64, Acker>,
}

impl NatsConsumer {
    pub(super) async fn open(connection: Arc<Connection>, name: &str) -> Result<Self, TransportError> {
        let mut cut = connection.cuts();
        let opening = async {
            let stream = connection.events().await?;
            let durable = wire::broker_name(name);
            let settings = &connection.settings;
            let config = Config {
                durable_name: Some(durable.clone()),
                description: Some(name.escape_debug().to_string()),
                deliver_policy: DeliverPolicy::New,
                ack_policy: AckPolicy::Explicit,
                ack_wait: settings.ack_wait,
                max_ack_pending: UNACKNOWLEDGED,
                filter_subject: connection.events_subject(),
                inactive_threshold: settings.max_age,
                ..Config::default()
            };
            let consumer = stream.get_or_create_consumer(&durable, config).await.map_err(|error| {
                let message = format!("the consumer `{durable}` cannot be had: {error}");
                match error.kind() {
                    ConsumerErrorKind::JetStream(error) if error.code() < 500 => connection.refused(message),
                    ConsumerErrorKind::InvalidConsumerType => connection.refused(message),
                    _ => connection.unavailable(message),
                }
            })?;
            let messages = consumer.stream().max_messages_per_batch(AHEAD).heartbeat(HEARTBEAT).messages().await;
            messages.map_err(|error| connection.unavailable(error.to_string()))
        };
        let messages = tokio::select! {
            messages = opening => messages?,
            _ = cut.changed() => return Err(connection.unavailable("the connection was lost")),
        };
        Ok(Self { connection, messages, cut, open: HashMap::new() })
    }

    async fn take(&mut self) -> Result<Delivery, TransportError> {
        loop {
            let message = tokio::select! {
                biased;
                _ = self.cut.changed() => return Err(self.connection.unavailable("the connection was lost")),
                message = self.messages.next() => message,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) if error.kind() == MessagesErrorKind::ConsumerDeleted => {
                    return Err(self.connection.unavailable("the consumer was removed"));
                }
                Some(Err(error)) => return Err(self.connection.unavailable(error.to_string())),
                None => return Err(self.connection.unavailable("the delivery has ended")),
            };
            let Ok(tag) = message.info().map(|info| info.stream_sequence) else { continue };
            let header = |name: &str| {
                message.headers.as_ref().and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str)
            };
            let publication = wire::incoming(header, &message.payload);
            let (message, acker) = message.split();
            match publication {
                Ok(publication) => {
                    self.open.insert(tag, acker);
                    return Ok(Delivery { publication, tag });
                }
                Err(reason) => {
                    telemetry::unreadable_message(&self.connection.settings.prefix, &message.subject, &reason);
                    // If that is lost, it comes again and is refused again.
                    let _ = acker.ack_with(AckKind::Term).await;
                }
            }
        }
    }
}

impl Consumer for NatsConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(self.take())
    }

    fn acknowledge(&mut self, tag: u64) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            // Acknowledged before: nothing is left to say.
            let Some(acker) = self.open.remove(&tag) else { return Ok(()) };
            if self.cut.has_changed().unwrap_or(true) {
                return Err(self.connection.unavailable("the connection was lost"));
            }
            acker.ack().await.map_err(|error| self.connection.unavailable(error.to_string()))
        })
    }
}
