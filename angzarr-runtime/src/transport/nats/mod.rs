//! NATS with JetStream: events for consumers anywhere, kept by the broker until they are acknowledged.
//!
//! In: publications, dead letters, positions. Out: messages in the form of [`wire`], in two JetStream streams; wake-ups as
//! plain messages. Never: a message of a stream that overtakes another one, not even when the connection is lost between
//! the two; and no second copy of a message that the broker has taken within its duplicate window.
//!
//! With the prefix `angzarr` (that is what it is if nothing is said):
//!
//! | subject | JetStream stream | what |
//! |---|---|---|
//! | `angzarr.events.{domain}.{partition}` | `angzarr-events` | an event |
//! | `angzarr.dlq.{domain}` | `angzarr-dlq` | a dead letter (row D3) |
//! | `angzarr.wake` | none | something was stored |

mod connection;
mod consumer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ServerAddr;
use tokio::sync::watch;
use uuid::Uuid;

use self::connection::Connection;
use self::consumer::NatsConsumer;
use super::certificates::CertificateOptions;
use super::wake::{COALESCE, Wake};
use super::{Consumer, Publication, Transport, TransportError, wire};
use crate::dead_letter::DeadLetter;
use crate::storage::BoxFuture;

/// Carries events, dead letters and wake-ups over NATS with JetStream.
///
/// Nothing is connected before it is used; a broker that is out of reach is tried again, and the relay's status says so
/// meanwhile. Streams are created where they are missing, and left as they are where they exist: what an operator has set
/// stays.
///
/// ```no_run
/// # use angzarr_runtime::prelude::*;
/// # use angzarr_runtime::transport::Nats;
/// # async fn start() -> angzarr_runtime::Result<()> {
/// let runtime = Runtime::builder()
///     .storage(Memory::new())
///     .transport(Nats::connect("nats://127.0.0.1:4222").prefix("shop"))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// Give each store a prefix of its own: with several in one, [`newest`](Transport::newest) cannot tell whose event is the
/// newest, and feeds drop what is not theirs. An event must fit into one message: where
/// [`Limits::payload_bytes`](crate::Limits) allows more than the server's `max_payload`, raise that.
pub struct Nats {
    settings: Settings,
    wake: Arc<Wake>,
    connection: std::sync::OnceLock<Arc<Connection>>,
}

/// What a [`Nats`] was told.
#[derive(Clone)]
struct Settings {
    servers: Result<Vec<ServerAddr>, String>,
    prefix: String,
    replicas: usize,
    max_age: Duration,
    max_bytes: i64,
    partitions: u16,
    ack_wait: Duration,
    credentials: Option<PathBuf>,
    root_certificates: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    fn describe(&self) -> String {
        let servers = match &self.servers {
            // Without what a URL says about users.
            Ok(servers) => {
                servers.iter().map(|it| format!("{}:{}", it.host(), it.port())).collect::<Vec<_>>().join(",")
            }
            Err(_) => "nowhere".to_owned(),
        };
        format!("nats {servers}, prefix {}", self.prefix)
    }
}

impl Nats {
    /// A transport over the servers of a URL: `nats://127.0.0.1:4222`, with a user (`nats://user:password@host`) or a token
    /// (`nats://token@host`), encrypted (`tls://host`), several servers of one cluster separated by commas.
    pub fn connect(url: &str) -> Self {
        let servers = url.split(',').map(|url| {
            let server: Result<ServerAddr, _> = url.trim().parse();
            server.map_err(|error| format!("the URL of a server makes no sense: {error}"))
        });
        let settings = Settings {
            servers: servers.collect(),
            prefix: "angzarr".to_owned(),
            replicas: 1,
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            max_bytes: -1,
            partitions: 16,
            ack_wait: Duration::from_secs(30),
            credentials: None,
            root_certificates: None,
            client_certificate: None,
        };
        Self { settings, wake: Arc::new(Wake::new()), connection: std::sync::OnceLock::new() }
    }

    /// The same from a URL with options: `nats://127.0.0.1:4222?prefix=shop&replicas=3`. Options are `prefix`, `replicas`,
    /// `partitions`, `max_age_secs`, `max_bytes`, and files: `credentials`, `root_certificates`, `client_certificate` with
    /// `client_key`: `tls://broker.example?root_certificates=/etc/our-own-ca.pem`.
    ///
    /// # Errors
    /// The text says what is wrong with the URL.
    pub fn by_url(url: &str) -> Result<Self, String> {
        let (servers, options) = url.split_once('?').unwrap_or((url, ""));
        let mut nats = Self::connect(servers);
        if let Err(error) = &nats.settings.servers {
            return Err(error.clone());
        }
        let mut certificates = CertificateOptions::default();
        for (key, value) in super::url_options(options) {
            let value = super::url_decoded(&value)?;
            let number = || value.parse::<u32>().map_err(|_| format!("`{key}={value}` is no number"));
            nats = match key.as_str() {
                "prefix" => nats.prefix(&value),
                "replicas" => nats.replicas(number()? as usize),
                "partitions" => nats.partitions(u16::try_from(number()?).unwrap_or(u16::MAX)),
                "max_age_secs" => nats.max_age(Duration::from_secs(number()?.into())),
                "max_bytes" => nats.max_bytes(value.parse().map_err(|_| format!("`{key}={value}` is no number"))?),
                "credentials" => nats.credentials_file(value),
                name if CertificateOptions::is_one(name) => {
                    certificates.take(name, &value)?;
                    nats
                }
                _ => {
                    return Err(format!(
                        "`{key}` is no option of `nats:`; there are prefix, replicas, partitions, max_age_secs, \
                         max_bytes, credentials, root_certificates, client_certificate and client_key"
                    ));
                }
            };
        }
        nats.settings.root_certificates = certificates.root_certificates.take();
        nats.settings.client_certificate = certificates.client()?;
        match &nats.settings.servers {
            Ok(_) => Ok(nats),
            Err(error) => Err(error.clone()),
        }
    }

    /// What all subjects and streams begin with; `angzarr` if nothing is said. Letters, digits, `-`, `_` and dots.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        if !wire::valid_prefix(prefix) {
            let message = format!("`{}` is no prefix: write letters, digits, - and _", prefix.escape_debug());
            self.settings.servers = Err(message);
        }
        prefix.clone_into(&mut self.settings.prefix);
        self
    }

    /// Servers of a cluster that keep each message; 1 if nothing is said. For streams that do not exist yet.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas.clamp(1, 5);
        self
    }

    /// How long events are kept for consumers that are away, and consumers for which nobody asks; 7 days if nothing is
    /// said. The store keeps them anyway, and feeds read there. For streams that do not exist yet.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.settings.max_age = max_age;
        self
    }

    /// How many bytes of events are kept at most; the oldest go first. No limit if nothing is said. For streams that do
    /// not exist yet.
    #[must_use]
    pub fn max_bytes(mut self, bytes: i64) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// Over how many subjects the streams of a domain are spread; 16 if nothing is said. Consumers that are not ours may
    /// share the work by them. The number must be the same in all processes.
    #[must_use]
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.settings.partitions = partitions.max(1);
        self
    }

    /// When a message that was delivered and not acknowledged comes again; 30 s if nothing is said. For consumers that do
    /// not exist yet.
    #[must_use]
    pub fn redeliver_after(mut self, pause: Duration) -> Self {
        self.settings.ack_wait = pause;
        self
    }

    /// A `.creds` file with the user's token and key.
    #[must_use]
    pub fn credentials_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.credentials = Some(file.into());
        self
    }

    /// A PEM file with the certificates of those who may sign the server's, and nobody else; what the system trusts if nothing
    /// is said. The server's certificate must be made out to the host of the URL.
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

    /// Removes the JetStream streams of this prefix, with all messages and consumers: for tests, and to leave a broker.
    ///
    /// # Errors
    /// The broker is out of reach, or does not allow it.
    pub async fn remove(&self) -> Result<(), TransportError> {
        self.connection().remove().await
    }

    /// Made where it is needed, so that builder methods may still change what it is made from.
    fn connection(&self) -> &Arc<Connection> {
        self.connection.get_or_init(|| Arc::new(Connection::new(self.settings.clone())))
    }

    fn start_waking(&self) {
        self.wake.start(|| keep_waking(self.connection().clone(), self.wake.clone()));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.wake.stop();
    }
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("settings", &self.settings.describe()).finish_non_exhaustive()
    }
}

impl Transport for Nats {
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
            let Settings { prefix, partitions, .. } = &self.settings;
            let messages = batch.iter().map(|publication| {
                let partition = wire::partition(&publication.partition_key(), *partitions);
                let message = wire::outgoing(publication);
                (format!("{prefix}.events.{}.{partition}", message.domain), message)
            });
            self.connection().publish(messages.collect(), true).await
        })
    }

    fn newest(&self, store: Uuid) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(self.connection().newest(store))
    }

    fn consume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            super::check_consumer_name(self, name)?;
            let consumer: Box<dyn Consumer> = Box::new(NatsConsumer::open(self.connection().clone(), name).await?);
            Ok(consumer)
        })
    }

    fn carries_letters(&self) -> bool {
        true
    }

    fn publish_letters<'a>(
        &'a self,
        store: Uuid,
        letters: &'a [DeadLetter],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let messages = wire::letters_to_topics(&self.settings.prefix, store, letters);
            self.connection().publish(messages, false).await
        })
    }
}

/// Tells others what is announced here, and hears what they announce, until it is aborted.
async fn keep_waking(connection: Arc<Connection>, wake: Arc<Wake>) {
    use futures_util::StreamExt as _;
    let mut pauses = super::relay::pauses();
    loop {
        if let Ok((client, mut messages)) = connection.wake_ups().await {
            pauses = super::relay::pauses();
            let mut cut = connection.cuts();
            let mut announced = wake.announced();
            announced.mark_changed();
            // Whatever was told while nobody heard it.
            wake.heard(0);
            loop {
                tokio::select! {
                    message = messages.next() => match message {
                        Some(message) => wake.take(&message.payload),
                        None => break,
                    },
                    changed = announced.changed() => {
                        let position = *announced.borrow_and_update();
                        let message = wake.message(position);
                        if changed.is_err() || client.publish(connection.wake_subject(), message.into()).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(COALESCE).await;
                    }
                    _ = cut.changed() => break,
                }
            }
        }
        tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(1))).await;
    }
}
