//! One connection to NATS, and what is asked of it.
//!
//! In: messages for subjects. Out: confirmations in an unbroken run, or how far it went. Never: a wait for a connection
//! that was lost; whoever asks hears at once that the broker is out of reach, and asks again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Info, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use tokio::sync::{OnceCell, watch};
use uuid::Uuid;

use super::Settings;
use crate::transport::certificates::{choose_provider, is_disagreement};
use crate::transport::wire::{self, Outgoing};
use crate::transport::{TransportError, TransportErrorKind};

/// What has not answered by then is out of reach.
const ANSWER: Duration = Duration::from_secs(10);
/// The same for the beginning of a connection.
const CONNECT: Duration = Duration::from_secs(4);
/// How long the broker remembers the ids of messages, to drop doubles.
const DUPLICATES: Duration = Duration::from_secs(120);

/// Shared by everybody who publishes, consumes and wakes.
pub(super) struct Connection {
    pub(super) settings: Settings,
    link: OnceCell<Link>,
    /// The streams are there, as far as is known.
    ready: AtomicBool,
    /// How often the connection was lost.
    cuts: watch::Sender<u64>,
}

struct Link {
    client: Client,
    context: jetstream::Context,
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, link: OnceCell::new(), ready: AtomicBool::new(false), cuts: watch::Sender::new(0) }
    }

    pub(super) fn error(&self, kind: TransportErrorKind, message: impl Into<String>) -> TransportError {
        TransportError::new(kind, self.settings.describe(), message)
    }

    pub(super) fn unavailable(&self, message: impl Into<String>) -> TransportError {
        self.error(TransportErrorKind::Unavailable, message)
    }

    pub(super) fn refused(&self, message: impl Into<String>) -> TransportError {
        self.error(TransportErrorKind::Refused, message)
    }

    /// Changes when the connection is lost.
    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    pub(super) fn events_stream(&self) -> String {
        format!("{}-events", self.settings.prefix.replace('.', "="))
    }

    fn letters_stream(&self) -> String {
        format!("{}-dlq", self.settings.prefix.replace('.', "="))
    }

    pub(super) fn events_subject(&self) -> String {
        format!("{}.events.>", self.settings.prefix)
    }

    pub(super) fn wake_subject(&self) -> String {
        format!("{}.wake", self.settings.prefix)
    }

    /// The client, connected.
    async fn link(&self) -> Result<&Link, TransportError> {
        let link = self.link.get_or_try_init(|| self.open()).await?;
        if link.client.connection_state() != State::Connected {
            return Err(self.unavailable("the connection is lost; it is being restored"));
        }
        Ok(link)
    }

    async fn open(&self) -> Result<Link, TransportError> {
        self.try_open().await.map_err(TransportError::of_connection)
    }

    async fn try_open(&self) -> Result<Link, TransportError> {
        choose_provider();
        let settings = &self.settings;
        let servers = settings.servers.clone().map_err(|message| self.refused(message))?;
        let cuts = self.cuts.clone();
        let mut options = ConnectOptions::new()
            .name(format!("angzarr {}", settings.prefix))
            .connection_timeout(CONNECT)
            .ping_interval(Duration::from_secs(10))
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    cuts.send_modify(|cuts| *cuts += 1);
                }
                std::future::ready(())
            });
        if let [server] = servers.as_slice()
            && let (Some(token), None) = (server.username(), server.password())
        {
            options = options.token(token.to_owned());
        }
        if let Some(file) = &settings.credentials {
            options = options.credentials_file(file).await.map_err(|error| {
                self.refused(format!("the credentials in {} cannot be read: {error}", file.display()))
            })?;
        }
        // Whoever is in the middle could say that there is no encryption here; and servers that are heard of later come without
        // a scheme.
        let names_certificates = settings.root_certificates.is_some() || settings.client_certificate.is_some();
        if names_certificates || servers.iter().any(|server| server.tls_required()) {
            options = options.require_tls(true);
        }
        if let Some(file) = &settings.root_certificates {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = &settings.client_certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let client = options.connect(servers).await.map_err(|error| {
            use async_nats::ConnectErrorKind as Kind;
            match error.kind() {
                Kind::Authentication | Kind::AuthorizationViolation | Kind::Tls | Kind::ServerParse => {
                    self.refused(format!("{error}; look at the URL and the certificates"))
                }
                _ if is_disagreement(&error) => self.refused(format!("{error}; look at the URL and the certificates")),
                _ => self.unavailable(format!("{error}; is the server running there?")),
            }
        })?;
        let context = jetstream::context::ContextBuilder::new().timeout(ANSWER).build(client.clone());
        Ok(Link { client, context })
    }

    /// The same, with the streams that are published to.
    async fn streams(&self) -> Result<&Link, TransportError> {
        let link = self.link().await?;
        if self.ready.load(Ordering::Acquire) {
            return Ok(link);
        }
        let Settings { prefix, replicas, max_age, max_bytes, .. } = &self.settings;
        let config = |name: String, subject: String, max_age: Duration, max_bytes: i64| Config {
            name,
            subjects: vec![subject],
            num_replicas: *replicas,
            max_age,
            max_bytes,
            duplicate_window: if max_age.is_zero() { DUPLICATES } else { max_age.min(DUPLICATES) },
            ..Config::default()
        };
        let events = config(self.events_stream(), self.events_subject(), *max_age, *max_bytes);
        let letters = config(self.letters_stream(), format!("{prefix}.dlq.>"), Duration::ZERO, -1);
        for config in [events, letters] {
            let name = config.name.clone();
            link.context.get_or_create_stream(config).await.map_err(|error| {
                let message = format!("the stream `{name}` cannot be had: {error}");
                match error.kind() {
                    CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response => self.unavailable(message),
                    CreateStreamErrorKind::JetStreamUnavailable => {
                        self.unavailable(format!("{message}; is JetStream enabled (`nats-server -js`)?"))
                    }
                    CreateStreamErrorKind::JetStream(error) => self.said_no(&error, message),
                    _ => self.refused(message),
                }
            })?;
        }
        self.ready.store(true, Ordering::Release);
        Ok(link)
    }

    /// What the server says about itself passes, what it says about the request stays.
    fn said_no(&self, error: &jetstream::Error, message: String) -> TransportError {
        match error.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                self.refused(format!("{message}; start the server with JetStream (`nats-server -js`)"))
            }
            _ if error.code() >= 500 => self.unavailable(message),
            _ => self.refused(message),
        }
    }

    /// The stream of events.
    pub(super) async fn events(&self) -> Result<Stream<Info>, TransportError> {
        let link = self.streams().await?;
        let stream = link.context.get_stream(self.events_stream()).await;
        stream.map_err(|error| {
            self.ready.store(false, Ordering::Release);
            let message = format!("the stream of events does not answer: {error}");
            match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.code() < 500 && error.code() != 404 => {
                    self.refused(message)
                }
                _ => self.unavailable(message),
            }
        })
    }

    /// Publishes messages, and waits until all of them are confirmed. With `in_order` none is taken before the one in
    /// front of it, whatever becomes of the connection in between.
    pub(super) async fn publish(
        &self,
        messages: Vec<(String, Outgoing)>,
        in_order: bool,
    ) -> Result<(), TransportError> {
        let confirmed = AtomicUsize::new(0);
        let mut cut = self.cuts();
        let all = async {
            let link = self.streams().await?;
            loop {
                let from = confirmed.load(Ordering::Relaxed);
                if from == messages.len() {
                    return Ok(());
                }
                self.publish_run(link, &messages[from..], in_order, &confirmed).await?;
            }
        };
        let outcome = tokio::select! {
            outcome = all => outcome,
            _ = cut.changed() => Err(self.unavailable("the connection was lost before everything was confirmed")),
        };
        outcome.map_err(|error| error.confirmed(confirmed.load(Ordering::Relaxed)))
    }

    /// Sends everything, then awaits the confirmations. Ends early and well where a message was not taken because the one
    /// in front of it is not the broker's last one: somebody else publishes into the same stream, and the rest goes again.
    async fn publish_run(
        &self,
        link: &Link,
        messages: &[(String, Outgoing)],
        in_order: bool,
        confirmed: &AtomicUsize,
    ) -> Result<(), TransportError> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut not_sent = None;
        let mut before: Option<&str> = None;
        for (subject, message) in messages {
            let mut it = PublishMessage::build().payload(message.body.clone()).message_id(&message.id);
            for (name, value) in &message.headers {
                it = it.header(*name, value.as_str());
            }
            if let (Some(before), true) = (before, in_order) {
                it = it.expected_last_message_id(before);
            }
            before = Some(&message.id);
            match link.context.send_publish(subject.clone(), it).await {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    not_sent = Some(error);
                    break;
                }
            }
        }
        for (answer, (_, message)) in answers.into_iter().zip(messages) {
            match answer.await {
                Ok(_) => confirmed.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.kind() == PublishErrorKind::WrongLastMessageId => return Ok(()),
                Err(error) => return Err(self.not_taken(&error, &message.id)),
            };
        }
        match (not_sent, messages.get(confirmed.load(Ordering::Relaxed))) {
            (Some(error), next) => Err(self.not_taken(&error, next.map_or("?", |(_, message)| &message.id))),
            (None, _) => Ok(()),
        }
    }

    fn not_taken(&self, error: &PublishError, id: &str) -> TransportError {
        use std::error::Error as _;
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.refused(format!(
                "message {id} is too large: {error}; raise `max_payload` of the server, or lower what `Limits` allow"
            )),
            PublishErrorKind::StreamNotFound => {
                // Somebody has removed it: it is made anew.
                self.ready.store(false, Ordering::Release);
                self.unavailable("the stream is not there, or JetStream is not up yet")
            }
            PublishErrorKind::Other => {
                let said = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
                let message = format!("message {id} was not taken: {error}");
                match said {
                    Some(said) => self.said_no(said, message),
                    None => self.unavailable(message),
                }
            }
            _ => self.unavailable(format!("message {id} was not confirmed: {error}")),
        }
    }

    /// The position of the newest event that the stream holds (row R3).
    pub(super) async fn newest(&self, store: Uuid) -> Result<Option<u64>, TransportError> {
        let stream = self.events().await?;
        let state = &stream.cached_info().state;
        if state.last_sequence == 0 {
            return Ok(Some(0));
        }
        if state.messages == 0 {
            // It was emptied, or everything was too old.
            return Ok(None);
        }
        let last = match stream.get_raw_message(state.last_sequence).await {
            Ok(last) => last,
            Err(error) => {
                return match error.kind() {
                    RawMessageErrorKind::NoMessageFound => Ok(None),
                    _ => Err(self.unavailable(format!("the newest message cannot be read: {error}"))),
                };
            }
        };
        let header = |name: &str| last.headers.get(name).map(async_nats::HeaderValue::as_str);
        let publication = wire::incoming(header, &last.payload).map_err(|error| {
            self.refused(format!("the newest message of `{}` is none of ours: {error}", self.events_stream()))
        })?;
        if publication.store != store {
            return Err(self.refused(format!(
                "the newest message of `{}` is of another store: give each store a prefix of its own, or keep the outbox",
                self.events_stream()
            )));
        }
        Ok(Some(publication.event.event.position))
    }

    /// A subscription to the wake-ups of every process.
    pub(super) async fn wake_ups(&self) -> Result<(Client, Subscriber), TransportError> {
        let link = self.link().await?;
        let subscriber = link.client.subscribe(self.wake_subject()).await;
        let subscriber = subscriber.map_err(|error| self.unavailable(error.to_string()))?;
        Ok((link.client.clone(), subscriber))
    }

    pub(super) async fn remove(&self) -> Result<(), TransportError> {
        let link = self.link().await?;
        self.ready.store(false, Ordering::Release);
        for name in [self.events_stream(), self.letters_stream()] {
            if let Err(error) = link.context.delete_stream(&name).await {
                let gone = matches!(error.kind(), jetstream::context::DeleteStreamErrorKind::JetStream(ref it)
                    if it.error_code() == ErrorCode::STREAM_NOT_FOUND);
                if !gone {
                    return Err(self.unavailable(format!("the stream `{name}` was not removed: {error}")));
                }
            }
        }
        Ok(())
    }
}
