//! A consumer of RabbitMQ, by its name.
//!
//! In: what comes through its queues. Out: publications, each until it is acknowledged. Never: a message that makes no
//! sense; it is told of, and goes to the queue of what could not be delivered.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, Channel};

use super::connection::Connection;
use crate::storage::BoxFuture;
use crate::telemetry;
use crate::transport::{Consumer, Delivery, TransportError, wire};

/// Messages that are brought ahead of those who take them, from each queue.
const AHEAD: u16 = 64;

pub(super) struct AmqpConsumer {
    connection: Arc<Connection>,
    channel: Channel,
    /// `None` where a queue brings nothing any more.
    messages: SelectAll<BoxStream<'static, Option<lapin::Result<Message>>>>,
    /// Delivered and not acknowledged.
    open: HashMap<u64, Acker>,
}

impl AmqpConsumer {
    pub(super) async fn open(connection: Arc<Connection>, name: &str) -> Result<Self, TransportError> {
        let channel = connection.channel().await?;
        let qos = channel.basic_qos(AHEAD, BasicQosOptions::default()).await;
        qos.map_err(|error| connection.failed("no limit for what is brought ahead", &error))?;
        let queues = connection.queues(name);
        for (queue, slots) in &queues {
            connection.declare_queue(&channel, queue, connection.queue_arguments(name)).await?;
            for slot in slots {
                connection.bind(&channel, queue, &connection.events_exchange(), &format!("*.{slot}")).await?;
            }
        }
        // Every queue collects before the first one delivers: nothing that is published from now on is missed.
        let mut messages = SelectAll::new();
        for (queue, _) in &queues {
            let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
            let consumer = channel.basic_consume(queue.as_str().into(), tag, options, FieldTable::default()).await;
            let consumer =
                consumer.map_err(|error| connection.failed(&format!("`{queue}` delivers nothing"), &error))?;
            let ended = stream::once(std::future::ready(None));
            messages.push(consumer.map(Some).chain(ended).boxed());
        }
        Ok(Self { connection, channel, messages, open: HashMap::new() })
    }

    async fn take(&mut self) -> Result<Delivery, TransportError> {
        loop {
            let message = match self.messages.next().await.flatten() {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.connection.unavailable(format!("the delivery was cut: {error}"))),
                None => return Err(self.connection.unavailable("the delivery has ended")),
            };
            let header = |name: &str| {
                let value = message.properties.headers().as_ref()?.inner().get(name)?;
                match value {
                    AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
                    _ => None,
                }
            };
            match wire::incoming(header, &message.data) {
                Ok(publication) => {
                    let tag = message.delivery_tag;
                    self.open.insert(tag, message.acker);
                    return Ok(Delivery { publication, tag });
                }
                Err(reason) => {
                    let key = message.routing_key.to_string();
                    telemetry::unreadable_message(&self.connection.settings.prefix, &key, &reason);
                    // If that is lost, it comes again and is refused again.
                    let _ = message.acker.reject(BasicRejectOptions { requeue: false }).await;
                }
            }
        }
    }
}

impl Consumer for AmqpConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(self.take())
    }

    fn acknowledge(&mut self, tag: u64) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            // Acknowledged before: nothing is left to say.
            let Some(acker) = self.open.remove(&tag) else { return Ok(()) };
            if !self.channel.status().connected() {
                return Err(self.connection.unavailable("the connection was lost"));
            }
            let acknowledged = acker.ack(BasicAckOptions::default()).await;
            acknowledged.map(drop).map_err(|error| self.connection.failed("not acknowledged", &error))
        })
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        // What is not acknowledged goes back into its queue now, and not when the connection ends. The consumers are kept
        // until then: if they were cancelled first, the next one would get newer messages before those that go back.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (channel, messages) = (self.channel.clone(), std::mem::take(&mut self.messages));
            runtime.spawn(async move {
                drop(channel.close(200, "done".into()).await);
                drop(messages);
            });
        }
    }
}
