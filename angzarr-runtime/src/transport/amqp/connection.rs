//! One connection to RabbitMQ, and what is asked of it.
//!
//! In: messages for exchanges. Out: confirmations in an unbroken run, or how far it went. Never: a channel that may have
//! something on its way that nobody waits for any more; it is closed, and the next one begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{AMQPUriTcpExt as _, RustlsConnector, TLSConfig};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{BasicProperties, Channel, Confirmation, ConnectionProperties, ErrorKind, ExchangeKind};
use tokio::sync::Mutex;

use super::{SLOTS, Settings};
use crate::transport::certificates::{self, is_disagreement};
use crate::transport::wire::{self, Outgoing};
use crate::transport::{TransportError, TransportErrorKind};

/// How long a connection may take to begin.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection over which nothing is answered by then is given up.
const ANSWER: Duration = Duration::from_secs(10);
/// The persistent one of the two delivery modes.
const PERSISTENT: u8 = 2;

/// Shared by everybody who publishes, consumes and wakes.
pub(super) struct Connection {
    pub(super) settings: Settings,
    link: Mutex<Option<Arc<lapin::Connection>>>,
    /// The channel of the relay, between two batches.
    publisher: Mutex<Option<Channel>>,
    /// The broker has no quorum queues.
    classic: AtomicBool,
    /// The exchanges are there, as far as is known.
    declared: AtomicBool,
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        let classic = AtomicBool::new(settings.classic);
        Self {
            settings,
            link: Mutex::default(),
            publisher: Mutex::default(),
            classic,
            declared: AtomicBool::new(false),
        }
    }

    pub(super) fn unavailable(&self, message: impl Into<String>) -> TransportError {
        TransportError::new(TransportErrorKind::Unavailable, self.settings.describe(), message)
    }

    fn refused(&self, message: impl Into<String>) -> TransportError {
        TransportError::new(TransportErrorKind::Refused, self.settings.describe(), message)
    }

    pub(super) fn events_exchange(&self) -> String {
        format!("{}.events", self.settings.prefix)
    }

    fn letters_exchange(&self) -> String {
        format!("{}.dlq", self.settings.prefix)
    }

    fn wake_exchange(&self) -> String {
        format!("{}.wake", self.settings.prefix)
    }

    /// A new channel, where every exchange is declared.
    pub(super) async fn channel(&self) -> Result<Channel, TransportError> {
        let connection = {
            let mut link = self.link.lock().await;
            match &*link {
                Some(connection) if connection.status().connected() => connection.clone(),
                _ => {
                    let connection = Arc::new(self.open().await?);
                    *link = Some(connection.clone());
                    connection
                }
            }
        };
        let channel = async {
            if !self.declared.load(Ordering::Acquire) {
                self.declare(&connection).await?;
                self.declared.store(true, Ordering::Release);
            }
            connection.create_channel().await.map_err(|error| self.failed("no channel", &error))
        };
        match tokio::time::timeout(ANSWER, channel).await {
            Ok(channel) => channel,
            Err(_) => Err(self.give_up("no channel").await),
        }
    }

    /// Whoever comes next begins with a new connection.
    async fn give_up(&self, what: &str) -> TransportError {
        *self.link.lock().await = None;
        self.unavailable(format!("{what} within {ANSWER:?}"))
    }

    async fn open(&self) -> Result<lapin::Connection, TransportError> {
        self.try_open().await.map_err(TransportError::of_connection)
    }

    async fn try_open(&self) -> Result<lapin::Connection, TransportError> {
        let settings = &self.settings;
        let uri = settings.uri.clone().map_err(|message| self.refused(message))?;
        let encryption = match uri.scheme {
            AMQPScheme::AMQPS => Some(self.encryption().await?),
            AMQPScheme::AMQP if settings.root_certificates.is_some() || settings.client_certificate.is_some() => {
                return Err(self.refused("certificates are named and nothing is encrypted; write `amqps://`"));
            }
            AMQPScheme::AMQP => None,
        };
        // The client's own way trusts whom the machine trusts, too, and cannot do without that.
        let connect = move |mut uri: AMQPUri, runtime| {
            let encryption = encryption.clone();
            async move {
                uri.scheme = AMQPScheme::AMQP;
                let plain = uri.connect_with_config_async(TLSConfig::default(), &runtime).await?;
                match encryption {
                    Some(encryption) => Ok(plain.into_rustls(&encryption, &uri.authority.host).await?),
                    None => Ok(plain),
                }
            }
        };
        let properties =
            ConnectionProperties::default().with_connection_name(format!("angzarr {}", settings.prefix).into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| self.failed("no runtime", &error))?;
        let connecting = lapin::Connection::connector(uri, runtime, connect, properties);
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.failed("it cannot be reached", &error)),
            Err(_) => Err(self.unavailable(format!("it cannot be reached: no answer within {CONNECT:?}"))),
        }
    }

    /// What connections are encrypted with; read anew for each, because certificates are renewed.
    async fn encryption(&self) -> Result<RustlsConnector, TransportError> {
        let settings = self.settings.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let Settings { root_certificates, client_certificate, .. } = settings;
            certificates::encryption(root_certificates.as_deref(), client_certificate.as_ref())
        });
        match reading.await {
            Ok(Ok(config)) => Ok(config.into()),
            Ok(Err(problem)) => Err(self.refused(problem)),
            Err(error) => Err(self.unavailable(error.to_string())),
        }
    }

    async fn declare(&self, connection: &lapin::Connection) -> Result<(), TransportError> {
        let channel = connection.create_channel().await.map_err(|error| self.failed("no channel", &error))?;
        let exchanges = [
            (self.events_exchange(), ExchangeKind::Topic),
            (self.letters_exchange(), ExchangeKind::Topic),
            (self.wake_exchange(), ExchangeKind::Fanout),
        ];
        for (name, kind) in exchanges {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declared = channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await;
            declared.map_err(|error| self.failed(&format!("the exchange `{name}` cannot be had"), &error))?;
        }
        // So that nothing is lost before an operator binds queues of their own.
        for what in ["dlq", "undelivered"] {
            let queue = format!("{}.{what}", self.settings.prefix);
            self.declare_queue(&channel, &queue, FieldTable::default()).await?;
            self.bind(&channel, &queue, &self.letters_exchange(), &format!("{queue}.#")).await?;
        }
        Ok(())
    }

    /// Declares a durable queue; a quorum queue where the broker has them.
    pub(super) async fn declare_queue(
        &self,
        channel: &Channel,
        name: &str,
        mut arguments: FieldTable,
    ) -> Result<(), TransportError> {
        let classic = self.classic.load(Ordering::Acquire);
        let kind = if classic { "classic" } else { "quorum" };
        arguments.insert("x-queue-type".into(), text(kind));
        let declared = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await;
        let Err(error) = declared else { return Ok(()) };
        let no_quorum = error.to_string().contains("x-queue-type") || is_hard(&error, &AMQPHardError::NOTIMPLEMENTED);
        if !classic && no_quorum {
            self.classic.store(true, Ordering::Release);
            return Err(self.unavailable(format!("no quorum queue: {error}; classic queues are taken from now on")));
        }
        Err(self.failed(
            &format!(
                "the queue `{name}` cannot be had; if it was declared otherwise, remove it or take another prefix"
            ),
            &error,
        ))
    }

    pub(super) async fn bind(
        &self,
        channel: &Channel,
        queue: &str,
        exchange: &str,
        key: &str,
    ) -> Result<(), TransportError> {
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await;
        bound.map_err(|error| self.failed(&format!("the queue `{queue}` cannot be bound to `{exchange}`"), &error))
    }

    /// The queues of a consumer, each with the slots that it takes.
    pub(super) fn queues(&self, consumer: &str) -> Vec<(String, Vec<u16>)> {
        let (count, consumer) = (self.settings.queues, wire::broker_name(consumer));
        let slots = |queue: u16| (0..SLOTS).filter(|slot| slot % count == queue).collect();
        let name = |queue: u16| format!("{}.{consumer}.{queue}of{count}", self.settings.prefix);
        (0..count).map(|queue| (name(queue), slots(queue))).collect()
    }

    /// What the queues of a consumer are declared with.
    pub(super) fn queue_arguments(&self, consumer: &str) -> FieldTable {
        let mut arguments = FieldTable::default();
        let idle = i64::try_from(self.settings.max_idle.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::from(i32::MAX));
        let undelivered = format!("{}.undelivered.{}", self.settings.prefix, wire::broker_name(consumer));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(idle));
        arguments.insert("x-dead-letter-exchange".into(), text(&self.letters_exchange()));
        arguments.insert("x-dead-letter-routing-key".into(), text(&undelivered));
        arguments
    }

    /// Publishes events in order, and waits until all of them are confirmed. Called for one batch at a time.
    pub(super) async fn publish_events(&self, messages: Vec<(String, Outgoing)>) -> Result<(), TransportError> {
        let mut publisher = self.publisher.lock().await;
        // Taken out: if this is given up, or fails, the channel goes, and with it whatever it still had to say.
        let channel = match publisher.take() {
            Some(channel) if channel.status().connected() => channel,
            _ => self.confirming().await?,
        };
        self.publish(&channel, &self.events_exchange(), &messages).await?;
        *publisher = Some(channel);
        Ok(())
    }

    /// The same for dead letters, on a channel of their own: they are few, and wait for nobody.
    pub(super) async fn publish_letters(&self, messages: Vec<(String, Outgoing)>) -> Result<(), TransportError> {
        let channel = self.confirming().await?;
        self.publish(&channel, &self.letters_exchange(), &messages).await
    }

    async fn confirming(&self) -> Result<Channel, TransportError> {
        let channel = self.channel().await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        let Ok(confirms) = tokio::time::timeout(ANSWER, confirms).await else {
            return Err(self.give_up("the broker does not say that it will confirm").await);
        };
        confirms.map_err(|error| self.failed("the broker does not confirm", &error))?;
        Ok(channel)
    }

    async fn publish(
        &self,
        channel: &Channel,
        exchange: &str,
        messages: &[(String, Outgoing)],
    ) -> Result<(), TransportError> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut not_sent = None;
        for (key, message) in messages {
            let options = BasicPublishOptions::default();
            let (exchange, key) = (exchange.into(), key.as_str().into());
            let sent = channel.basic_publish(exchange, key, options, &message.body, properties(message));
            match tokio::time::timeout(ANSWER, sent).await {
                Ok(Ok(answer)) => answers.push(answer),
                Ok(Err(error)) => {
                    not_sent = Some(error);
                    break;
                }
                Err(_) => return Err(self.give_up(&format!("message {} was not sent", message.id)).await),
            }
        }
        for (confirmed, (answer, (_, message))) in answers.into_iter().zip(messages).enumerate() {
            let Ok(answer) = tokio::time::timeout(ANSWER, answer).await else {
                let error = self.give_up(&format!("message {} was not confirmed", message.id)).await;
                return Err(error.confirmed(confirmed));
            };
            let trouble = match answer {
                Ok(Confirmation::Ack(_)) => continue,
                Ok(Confirmation::Nack(_)) => {
                    self.unavailable(format!("the broker could not keep message {}", message.id))
                }
                Ok(Confirmation::NotRequested) => self.unavailable("the broker was not asked to confirm"),
                Err(error) => self.lost(&format!("message {} was not confirmed", message.id), &error),
            };
            return Err(trouble.confirmed(confirmed));
        }
        match not_sent {
            Some(error) => Err(self.lost("not everything was sent", &error)),
            None => Ok(()),
        }
    }

    /// Somebody may have removed an exchange: it is declared again.
    fn lost(&self, what: &str, error: &lapin::Error) -> TransportError {
        if error.is_amqp_error() {
            self.declared.store(false, Ordering::Release);
        }
        self.failed(what, error)
    }

    /// Whether somebody has to mend it.
    pub(super) fn failed(&self, what: &str, error: &lapin::Error) -> TransportError {
        let message = format!("{what}: {error}");
        let refused = match error.kind() {
            ErrorKind::ProtocolError(error) => matches!(
                error.kind(),
                AMQPErrorKind::Soft(
                    AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::CONTENTTOOLARGE
                ) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH)
            ),
            ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => true,
            ErrorKind::IOError(error) => is_disagreement(&**error),
            _ => false,
        };
        if refused { self.refused(message) } else { self.unavailable(message) }
    }

    /// A queue of this process for wake-ups, and the channel to tell others.
    pub(super) async fn wake_ups(&self) -> Result<(Channel, lapin::Consumer), TransportError> {
        let channel = self.channel().await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let queue = channel.queue_declare(ShortString::default(), options, FieldTable::default()).await;
        let queue = queue.map_err(|error| self.failed("no queue for wake-ups", &error))?.name().to_string();
        self.bind(&channel, &queue, &self.wake_exchange(), "").await?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer =
            channel.basic_consume(queue.as_str().into(), ShortString::default(), options, FieldTable::default()).await;
        Ok((channel, consumer.map_err(|error| self.failed("no wake-ups", &error))?))
    }

    /// Tells others; whether that may have gone well.
    pub(super) async fn wake(&self, channel: &Channel, message: &str) -> bool {
        let (exchange, options) = (self.wake_exchange(), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        let told = channel.basic_publish(exchange.as_str().into(), "".into(), options, message.as_bytes(), properties);
        told.await.is_ok()
    }

    pub(super) async fn remove(&self, consumers: &[&str]) -> Result<(), TransportError> {
        let channel = self.channel().await?;
        let of_consumers = consumers.iter().flat_map(|consumer| self.queues(consumer)).map(|(queue, _)| queue);
        let letters = ["dlq", "undelivered"].map(|what| format!("{}.{what}", self.settings.prefix));
        for queue in of_consumers.chain(letters) {
            let removed = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
            removed.map_err(|error| self.failed(&format!("the queue `{queue}` was not removed"), &error))?;
        }
        for exchange in [self.events_exchange(), self.letters_exchange(), self.wake_exchange()] {
            let removed = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await;
            removed.map_err(|error| self.failed(&format!("the exchange `{exchange}` was not removed"), &error))?;
        }
        // What is published next is declared again.
        self.declared.store(false, Ordering::Release);
        *self.publisher.lock().await = None;
        Ok(())
    }
}

fn is_hard(error: &lapin::Error, wanted: &AMQPHardError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Hard(it) if it == wanted))
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn properties(message: &Outgoing) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_message_id(message.id.as_str().into());
    for (name, value) in &message.headers {
        if *name == wire::CONTENT_TYPE {
            properties = properties.with_content_type(value.as_str().into());
        } else {
            headers.insert((*name).into(), text(value));
        }
    }
    properties.with_headers(headers)
}
