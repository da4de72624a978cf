//! RabbitMQ (AMQP 0-9-1): events for consumers anywhere, kept in queues until they are acknowledged.
//!
//! In: publications, dead letters, positions. Out: messages in the form of [`wire`]; wake-ups. Never: a message that is only
//! in a connection's buffer and counts as published; a stream whose messages go to two consumers of one name at a time.
//!
//! With the prefix `angzarr` (that is what it is if nothing is said):
//!
//! | exchange | kind | routing key | what |
//! |---|---|---|---|
//! | `angzarr.events` | topic | `{domain}.{slot}` | an event; the slot is its stream's partition of 16 |
//! | `angzarr.dlq` | topic | `angzarr.dlq.{domain}` | a dead letter (row D3), also in the queue `angzarr.dlq` |
//! | `angzarr.dlq` | topic | `angzarr.undelivered.{consumer}` | what a consumer refused, also in the queue `angzarr.undelivered` |
//! | `angzarr.wake` | fanout | | something was stored |
//!
//! A consumer has a few durable queues, `angzarr.{consumer}.{n}of{count}`, each for some of the slots, and each with a single
//! active consumer: of several processes one gets what is in a queue, and if it dies the next one.

mod connection;
mod consumer;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::uri::AMQPUri;
use tokio::sync::watch;

use self::connection::Connection;
use self::consumer::AmqpConsumer;
use super::certificates::CertificateOptions;
use super::wake::{COALESCE, Wake};
use super::{Consumer, Publication, Transport, TransportError, wire};
use crate::dead_letter::DeadLetter;
use crate::storage::BoxFuture;

/// Slots that streams are spread over: what the routing key of an event ends with.
const SLOTS: u16 = 16;

/// Carries events, dead letters and wake-ups over RabbitMQ.
///
/// Nothing is connected before it is used; a broker that is out of reach is tried again, and the relay's status says so
/// meanwhile. Exchanges and queues are declared where they are used.
///
/// A broker's queues know nothing of what went before them: keep the [outbox](crate::Builder::outbox), because this
/// transport cannot tell what it has ([`newest`](Transport::newest)).
///
/// ```no_run
/// # use angzarr_runtime::prelude::*;
/// # use angzarr_runtime::transport::Amqp;
/// # async fn start() -> angzarr_runtime::Result<()> {
/// let runtime = Runtime::builder()
///     .storage(Memory::new())
///     .transport(Amqp::connect("amqp://guest:guest@127.0.0.1:5672").prefix("shop"))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct Amqp {
    settings: Settings,
    wake: Arc<Wake>,
    connection: OnceLock<Arc<Connection>>,
}

/// What an [`Amqp`] was told.
#[derive(Clone)]
struct Settings {
    uri: Result<AMQPUri, String>,
    prefix: String,
    queues: u16,
    max_idle: Duration,
    classic: bool,
    root_certificates: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    fn describe(&self) -> String {
        let server = match &self.uri {
            // Without the user.
            Ok(uri) => format!("{}:{}", uri.authority.host, uri.authority.port),
            Err(_) => "nowhere".to_owned(),
        };
        format!("amqp {server}, prefix {}", self.prefix)
    }
}

impl Amqp {
    /// A transport over the broker of a URL: `amqp://user:password@127.0.0.1:5672/vhost`, encrypted with `amqps://`.
    pub fn connect(url: &str) -> Self {
        let uri = url.parse().map_err(|error| format!("the URL of the broker makes no sense: {error}"));
        let settings = Settings {
            uri: uri.map(|mut uri: AMQPUri| {
                // A line that is dead is noticed soon, unless the URL says otherwise.
                uri.query.heartbeat.get_or_insert(10);
                uri.query.connection_timeout.get_or_insert(4_000);
                uri
            }),
            prefix: "angzarr".to_owned(),
            queues: 4,
            max_idle: Duration::from_secs(7 * 24 * 60 * 60),
            classic: false,
            root_certificates: None,
            client_certificate: None,
        };
        Self { settings, wake: Arc::new(Wake::new()), connection: OnceLock::new() }
    }

    /// The same from a URL with options: `amqp://127.0.0.1:5672?prefix=shop&queues=8`. Options of ours are `prefix`, `queues`,
    /// `max_idle_secs`, `classic` (without a value), and files: `root_certificates`, `client_certificate` with `client_key`:
    /// `amqps://broker.example?root_certificates=/etc/our-own-ca.pem`. Others, such as `heartbeat`, are the client's.
    ///
    /// # Errors
    /// The text says what is wrong with the URL.
    pub fn by_url(url: &str) -> Result<Self, String> {
        let (server, options) = url.split_once('?').unwrap_or((url, ""));
        let is_ours = |key: &str| {
            matches!(key, "prefix" | "queues" | "max_idle_secs" | "classic") || CertificateOptions::is_one(key)
        };
        let (ours, theirs): (Vec<_>, Vec<_>) = super::url_options(options).partition(|(key, _)| is_ours(key));
        let theirs: Vec<String> = theirs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut amqp = Self::connect(&[server, &theirs.join("&")].join(if theirs.is_empty() { "" } else { "?" }));
        if let Err(error) = &amqp.settings.uri {
            return Err(error.clone());
        }
        let mut certificates = CertificateOptions::default();
        for (key, value) in ours {
            let value = super::url_decoded(&value)?;
            let number = || value.parse::<u32>().map_err(|_| format!("`{key}={value}` is no number"));
            amqp = match key.as_str() {
                "prefix" => amqp.prefix(&value),
                "queues" => amqp.queues(u16::try_from(number()?).unwrap_or(SLOTS)),
                "max_idle_secs" => amqp.max_idle(Duration::from_secs(number()?.into())),
                name if CertificateOptions::is_one(name) => {
                    certificates.take(name, &value)?;
                    amqp
                }
                _ => amqp.classic_queues(),
            };
        }
        amqp.settings.root_certificates = certificates.root_certificates.take();
        amqp.settings.client_certificate = certificates.client()?;
        match &amqp.settings.uri {
            Ok(_) => Ok(amqp),
            Err(error) => Err(error.clone()),
        }
    }

    /// What the names of all exchanges and queues begin with; `angzarr` if nothing is said. Letters, digits, `-`, `_` and
    /// dots.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        if !wire::valid_prefix(prefix) {
            let message = format!("`{}` is no prefix: write letters, digits, - and _", prefix.escape_debug());
            self.settings.uri = Err(message);
        }
        prefix.clone_into(&mut self.settings.prefix);
        self
    }

    /// How many queues each consumer has, at most 16; 4 if nothing is said. Consumers with another number have queues of
    /// their own: all that share a name should say the same.
    #[must_use]
    pub fn queues(mut self, queues: u16) -> Self {
        self.settings.queues = queues.clamp(1, SLOTS);
        self
    }

    /// After how long the queues of a consumer go for which nobody asks; 7 days if nothing is said. The store keeps the
    /// events, and feeds read there.
    #[must_use]
    pub fn max_idle(mut self, max_idle: Duration) -> Self {
        self.settings.max_idle = max_idle;
        self
    }

    /// Declares classic durable queues instead of quorum queues, which brokers keep on several servers. Where a broker
    /// knows no quorum queues, it happens by itself.
    ///
    /// Say it for a single server of RabbitMQ 3.10 that may be killed. It writes down with a delay of up to three minutes which
    /// quorum queues it has (`names.dets` of Ra 2.2, which is flushed when it has been idle for that long). A queue that was
    /// declared within that time before a kill is started from scratch afterwards, and as a server alone nobody calls an election:
    /// its log says `leader call - leader not known` for ever. What is published to such a queue is not confirmed, so the relay
    /// stands still and says so, until an operator deletes the queue. The store has the events all the same. Queues that are
    /// older come back after a kill, and all of them after an orderly restart.
    #[must_use]
    pub fn classic_queues(mut self) -> Self {
        self.settings.classic = true;
        self
    }

    /// A PEM file with the certificates of those who may sign the broker's, and nobody else; what the system trusts if nothing
    /// is said. The broker's certificate must be made out to the host of the URL.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.root_certificates = Some(file.into());
        self
    }

    /// PEM files with the certificate and the key that this client shows.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.settings.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Removes the exchanges of this prefix, the queues of dead letters, and those of these consumers, with all messages:
    /// for tests, and to leave a broker.
    ///
    /// # Errors
    /// The broker is out of reach, or does not allow it.
    pub async fn remove(&self, consumers: &[&str]) -> Result<(), TransportError> {
        self.connection().remove(consumers).await
    }

    /// Made where it is needed, so that builder methods may still change what it is made from.
    fn connection(&self) -> &Arc<Connection> {
        self.connection.get_or_init(|| Arc::new(Connection::new(self.settings.clone())))
    }

    fn start_waking(&self) {
        self.wake.start(|| keep_waking(self.connection().clone(), self.wake.clone()));
    }
}

impl Drop for Amqp {
    fn drop(&mut self) {
        self.wake.stop();
    }
}

impl std::fmt::Debug for Amqp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Amqp").field("settings", &self.settings.describe()).finish_non_exhaustive()
    }
}

impl Transport for Amqp {
    fn describe(&self) -> String {
        self.settings.describe()
    }

    fn announce(&self, position: u64) {
        self.wake.announce(position);
        self.start_waking();
    }

    fn listen(&self) -> watch::Receiver<u64> {
        self.start_waking();
        self.wake.listen()
    }

    fn carries_events(&self) -> bool {
        true
    }

    fn publish<'a>(&'a self, batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let messages = batch.iter().map(|publication| {
                let slot = wire::partition(&publication.partition_key(), SLOTS);
                let message = wire::outgoing(publication);
                (format!("{}.{slot}", message.domain), message)
            });
            self.connection().publish_events(messages.collect()).await
        })
    }

    fn consume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            super::check_consumer_name(self, name)?;
            let consumer: Box<dyn Consumer> = Box::new(AmqpConsumer::open(self.connection().clone(), name).await?);
            Ok(consumer)
        })
    }

    fn carries_letters(&self) -> bool {
        true
    }

    fn publish_letters<'a>(
        &'a self,
        store: uuid::Uuid,
        letters: &'a [DeadLetter],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let messages = wire::letters_to_topics(&self.settings.prefix, store, letters);
            self.connection().publish_letters(messages).await
        })
    }
}

/// Tells others what is announced here, and hears what they announce, until it is aborted.
async fn keep_waking(connection: Arc<Connection>, wake: Arc<Wake>) {
    use futures_util::StreamExt as _;
    let mut pauses = super::relay::pauses();
    loop {
        if let Ok((channel, mut messages)) = connection.wake_ups().await {
            pauses = super::relay::pauses();
            let mut announced = wake.announced();
            announced.mark_changed();
            // Whatever was told while nobody heard it.
            wake.heard(0);
            loop {
                tokio::select! {
                    message = messages.next() => match message {
                        Some(Ok(message)) => wake.take(&message.data),
                        _ => break,
                    },
                    changed = announced.changed() => {
                        let position = *announced.borrow_and_update();
                        if changed.is_err() || !connection.wake(&channel, &wake.message(position)).await {
                            break;
                        }
                        tokio::time::sleep(COALESCE).await;
                    }
                }
            }
        }
        tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(1))).await;
    }
}
