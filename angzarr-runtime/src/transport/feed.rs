//! A feed: events for code of your own, whatever the transport does.
//!
//! In: a name, which events, where to begin. Out: events in the form of today (row U1), each stream in order, each once.
//! Never: the user's place; whoever wants to go on after a restart keeps [`Feed::position`] with what was done.

use std::collections::VecDeque;
use std::future::{IntoFuture, pending};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::inbox::{Inbox, Wanted};
use super::relay::pauses;
use super::{Consumer, Delivery, TransportError, TransportErrorKind};
use crate::command::Core;
use crate::error::{Error, Result};
use crate::storage::BoxFuture;
use crate::stream::{LogEvent, Name};
use crate::telemetry;

/// Streams whose next sequence is remembered if nothing is said.
const STREAMS: usize = 16_384;
/// A transport that has not answered by then is out of reach.
const ANSWER: Duration = Duration::from_secs(5);

/// Describes a feed. From [`Runtime::feed`](crate::Runtime::feed); await it.
#[must_use = "a feed begins when it is awaited"]
pub struct OpenFeed {
    core: Arc<Core>,
    stop: watch::Receiver<bool>,
    name: String,
    domains: Option<Vec<String>>,
    every_edition: bool,
    after: Option<u64>,
    streams: usize,
}

impl OpenFeed {
    pub(crate) fn new(core: Arc<Core>, stop: watch::Receiver<bool>, name: &str) -> Self {
        Self { core, stop, name: name.to_owned(), domains: None, every_edition: false, after: None, streams: STREAMS }
    }

    /// Events of these domains only; of all if nothing is said.
    pub fn domains<D: Into<String>>(mut self, domains: impl IntoIterator<Item = D>) -> Self {
        self.domains.get_or_insert_default().extend(domains.into_iter().map(Into::into));
        self
    }

    /// Events of every edition; of the main timeline only if nothing is said.
    pub fn every_edition(mut self) -> Self {
        self.every_edition = true;
        self
    }

    /// Begins behind this position of the log, as [`Feed::position`] told it; 0 for everything that was ever stored. If
    /// nothing is said, it begins with what is stored from now on.
    pub fn after(mut self, position: u64) -> Self {
        self.after = Some(position);
        self
    }

    /// About how many streams are remembered; 16,384 if nothing is said. One that is not may cost a read when its messages
    /// come out of order.
    pub fn remember_streams(mut self, streams: usize) -> Self {
        self.streams = streams;
        self
    }

    async fn open(self) -> Result<Feed> {
        let Self { core, stop, name, domains, every_edition, after, streams } = self;
        if name.is_empty() {
            return Err(Error::invalid_argument("feed", "a feed needs a name, by which the transport knows it"));
        }
        core.limits.check_id("feed", &name)?;
        for domain in domains.iter().flatten() {
            if !core.registry.stream_domains().any(|known| known == domain) {
                return Err(core.unknown_stream_domain(domain));
            }
        }
        let head = core.storage.head();
        let position = after.unwrap_or(head);
        if position > head {
            let message = format!(
                "the store ends at position {head}: {position} is of another store, or of one that has lost events since; \
                 begin behind 0, on a clean slate"
            );
            return Err(Error::invalid_argument("feed.after", message));
        }
        let domains = domains.map(|domains| domains.iter().map(|domain| Name::new(domain)).collect());
        let mut inbox = Inbox::new(Wanted { domains, every_edition }, position, streams);
        inbox.look(head);
        let link = if core.transport.carries_events() { connecting(&core, &name) } else { Link::Wakes };
        let woken = core.transport.listen();
        let mut reader = Reader {
            name: name.clone(),
            core: core.clone(),
            stop,
            woken,
            inbox,
            unreadable: false,
            link,
            pauses: pauses(),
            delivered: None,
            trouble: None,
        };
        // So that what comes from now on comes by messages.
        if let Link::Connecting(connecting) = &mut reader.link {
            let connected = connecting.await;
            reader.connected(connected);
        }
        let (position, trouble) = (reader.inbox.position(), reader.trouble.clone());
        Ok(Feed { name, core, parts: VecDeque::new(), work: Work::Rests(Box::new(reader)), position, trouble })
    }
}

impl IntoFuture for OpenFeed {
    type Output = Result<Feed>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Events as they are stored, for code of your own.
///
/// The transport brings them, if it carries events. What it loses, doubles or brings out of order is put right from the
/// store (row R7): each event comes once, no event of a stream comes before an older one, and none is left out but isolated
/// ones (row S5). Different streams may come in any order. If the transport fails, the feed goes on from the store.
///
/// A feed has no place of its own: it begins where it is told to. To go on after a restart, store
/// [`position`](Self::position) together with what was done; the few events that were handed out ahead of it come again.
///
/// ```standalone_crate
/// # use angzarr_runtime::prelude::*;
/// # #[derive(Clone, PartialEq, prost::Message)]
/// # pub struct Deposit { #[prost(int64, tag = "1")] pub amount: i64 }
/// # #[derive(Clone, PartialEq, prost::Message)]
/// # pub struct Deposited { #[prost(int64, tag = "1")] pub amount: i64 }
/// # angzarr_runtime::name_messages!("feed": Deposit, Deposited);
/// # #[aggregate(domain = "account")]
/// # #[derive(Clone, PartialEq, prost::Message)]
/// # pub struct Account { #[prost(int64, tag = "1")] pub balance: i64 }
/// # #[aggregate]
/// # impl Account {
/// #     #[handler] fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> { Ok(Deposited { amount: cmd.amount }) }
/// #     #[apply] fn deposited(&mut self, event: Deposited) { self.balance += event.amount; }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> angzarr_runtime::Result<()> {
/// # let runtime = Runtime::builder().build().await?;
/// let mut feed = runtime.feed("audit").domains(["account"]).after(0).await?;
/// runtime.send::<Account>(root("account", "Ada"), Deposit { amount: 5 }).await?;
/// let event = feed.next().await?;
/// assert_eq!(event.decode::<Deposited>()?.unwrap().amount, 5);
/// assert_eq!(feed.position(), 1);
/// # runtime.shutdown().await
/// # }
/// ```
pub struct Feed {
    name: String,
    core: Arc<Core>,
    /// What is left of an event that upcasters have split.
    parts: VecDeque<LogEvent>,
    work: Work,
    /// Of the reader, when it rested last.
    position: u64,
    trouble: Option<TransportError>,
}

/// What happens to the reader.
enum Work {
    Rests(Box<Reader>),
    /// Kept, so that it goes on where it was when somebody stops waiting for the next event: whoever is impatient would
    /// otherwise begin the same question to the store again and again.
    Reads(BoxFuture<'static, Step>),
}

/// The reader, and the next event in the form of today: in no, one or several parts.
type Step = (Box<Reader>, Result<Vec<LogEvent>>);

/// Who finds the next event.
struct Reader {
    name: String,
    core: Arc<Core>,
    stop: watch::Receiver<bool>,
    woken: watch::Receiver<u64>,
    inbox: Inbox,
    /// Whether the event that is next cannot be brought to the form of today.
    unreadable: bool,
    link: Link,
    /// Before the next tries to get messages.
    pauses: backon::ExponentialBackoff,
    /// A message on its way into the inbox: where the store fails, it is not lost.
    delivered: Option<Delivery>,
    trouble: Option<TransportError>,
}

/// How messages come.
enum Link {
    /// They do not: the transport only wakes.
    Wakes,
    Up(Box<dyn Consumer>),
    /// Goes on beside what comes from the store.
    Connecting(BoxFuture<'static, Connected>),
    /// Nobody brings any until then; it is tried again.
    Down {
        until: Instant,
    },
}

type Connected = Result<Box<dyn Consumer>, TransportError>;

/// What came first.
enum Came {
    Connected(Connected),
    Message(Result<Delivery, TransportError>),
    WakeUp,
    Time,
}

impl Feed {
    /// The next event; waits for one. A future that is dropped before it is ready has taken nothing, and what it was at goes on
    /// with the next one: however short the patience, the feed gets on.
    ///
    /// # Errors
    /// The runtime shuts down; the store failed, call again; or the event cannot be brought to the form of today (row U5):
    /// then the same answer comes until the program can, or [`skip`](Self::skip) passes the event over.
    pub async fn next(&mut self) -> Result<LogEvent> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(part);
            }
            let reading = match &mut self.work {
                Work::Reads(reading) => reading,
                Work::Rests(_) => {
                    // Nothing comes between the two.
                    let nothing = Work::Reads(Box::pin(pending()));
                    if let Work::Rests(reader) = std::mem::replace(&mut self.work, nothing) {
                        self.work = Work::Reads(Box::pin(reader.step()));
                    }
                    continue;
                }
            };
            let (reader, parts) = reading.await;
            self.position = reader.inbox.position();
            self.trouble.clone_from(&reader.trouble);
            self.work = Work::Rests(reader);
            self.parts.extend(parts?);
        }
    }

    /// Passes over the event at which [`next`](Self::next) has just failed because it cannot be brought to the form of
    /// today, and gives it as it is stored. `None` where `next` has not failed so.
    pub fn skip(&mut self) -> Option<LogEvent> {
        let Work::Rests(reader) = &mut self.work else { return None };
        let skipped = if std::mem::take(&mut reader.unreadable) { reader.inbox.pop() } else { None };
        self.position = reader.inbox.position();
        skipped
    }

    /// Every wanted event up to this position was handed out: a feed that begins [`after`](OpenFeed::after) it misses
    /// nothing.
    pub fn position(&self) -> u64 {
        self.parts.front().map_or(self.position, |part| self.position.min(part.event.position - 1))
    }

    /// The newest position of the store, less what was handed out.
    pub fn lag(&self) -> u64 {
        self.core.storage.head().saturating_sub(self.position())
    }

    /// Why the transport brings nothing, while that is so: events come from the store then, and later.
    pub fn trouble(&self) -> Option<&TransportError> {
        self.trouble.as_ref()
    }
}

impl Reader {
    /// One step towards the next event.
    async fn step(mut self: Box<Self>) -> Step {
        let parts = self.try_step().await;
        (self, parts)
    }

    async fn try_step(&mut self) -> Result<Vec<LogEvent>> {
        if let Some(LogEvent { stream, event }) = self.inbox.front() {
            let upcast = self.core.today(stream, event.clone()).await;
            // One that nobody can be asked about now may be asked about again.
            let is_final = |error: &Error| !matches!(error, Error::OutOfReach { .. });
            self.unreadable = upcast.as_ref().is_err_and(is_final);
            let parts = upcast?.into_iter().map(|event| LogEvent { stream: stream.clone(), event }).collect();
            self.inbox.pop();
            return Ok(parts);
        }
        if *self.stop.borrow() {
            return Err(Error::ShuttingDown);
        }
        self.more().await?;
        Ok(Vec::new())
    }

    async fn more(&mut self) -> Result<()> {
        let storage = self.core.storage.as_ref();
        if let Some(delivery) = &self.delivered {
            let taken = self.inbox.take(storage, &delivery.publication).await?;
            telemetry::message_taken(&self.name, &delivery.publication.event, taken);
            let tag = delivery.tag;
            self.delivered = None;
            self.acknowledge(tag).await;
            return Ok(());
        }
        if self.inbox.is_behind() {
            let events = self.inbox.read_log(storage).await?;
            telemetry::feed_read_log(&self.name, events, self.inbox.position());
            return Ok(());
        }
        let now = Instant::now();
        // Asked for even while messages come without a pause.
        if self.inbox.look_at() <= now {
            self.inbox.look(storage.head());
            return Ok(());
        }
        if matches!(&self.link, Link::Down { until } if *until <= now) {
            self.link = connecting(&self.core, &self.name);
            return Ok(());
        }
        match self.wait().await {
            Came::Connected(connected) => self.connected(connected),
            Came::Message(Ok(delivery)) => {
                self.delivered = Some(delivery);
                self.pauses = pauses();
            }
            Came::Message(Err(error)) => self.lost(error),
            Came::WakeUp => self.inbox.look(self.core.storage.head()),
            Came::Time => {}
        }
        Ok(())
    }

    async fn wait(&mut self) -> Came {
        let time = self.inbox.look_at();
        // With messages, wake-ups say nothing that does not come anyway.
        let (wakes, time) = match &self.link {
            Link::Up(_) => (false, time),
            Link::Wakes | Link::Connecting(_) => (true, time),
            Link::Down { until } => (true, time.min(*until)),
        };
        let link = async {
            match &mut self.link {
                Link::Up(consumer) => Came::Message(consumer.next().await),
                Link::Connecting(connecting) => Came::Connected(connecting.await),
                Link::Wakes | Link::Down { .. } => pending().await,
            }
        };
        // A transport that has gone wakes nobody any more: it is time that tells.
        let wakes = wakes && self.woken.has_changed().is_ok();
        tokio::select! {
            biased;
            _ = self.stop.changed() => Came::Time,
            came = link => came,
            _ = self.woken.changed(), if wakes => Came::WakeUp,
            () = sleep_until(time) => Came::Time,
        }
    }

    fn connected(&mut self, connected: Connected) {
        match connected {
            Ok(consumer) => {
                self.link = Link::Up(consumer);
                self.trouble = None;
                // What came before cannot come by a message.
                self.inbox.look(self.core.storage.head());
            }
            Err(error) => self.lost(error),
        }
    }

    /// What is taken need not come again: after a restart the feed begins where its owner says, and reads from the store.
    async fn acknowledge(&mut self, tag: u64) {
        let Link::Up(consumer) = &mut self.link else { return };
        let answer = timeout(ANSWER, consumer.acknowledge(tag)).await;
        if let Err(error) = answer.unwrap_or_else(|_| Err(out_of_reach(self.core.transport.describe()))) {
            self.lost(error);
        }
    }

    /// Events come from the store until the next try.
    fn lost(&mut self, error: TransportError) {
        if !self.core.closing.load(Ordering::Acquire) {
            telemetry::feed_without_messages(&self.name, &error);
        }
        self.trouble = Some(error);
        self.link = Link::Down { until: Instant::now() + self.pauses.next().unwrap_or(ANSWER) };
    }
}

fn connecting(core: &Core, name: &str) -> Link {
    let (transport, name) = (core.transport.clone(), name.to_owned());
    Link::Connecting(Box::pin(async move {
        let connected = timeout(ANSWER, transport.consume(&name)).await;
        connected.unwrap_or_else(|_| Err(out_of_reach(transport.describe())))
    }))
}

fn out_of_reach(transport: String) -> TransportError {
    TransportError::new(TransportErrorKind::Unavailable, transport, format!("no answer within {ANSWER:?}"))
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("name", &self.name).field("position", &self.position()).finish_non_exhaustive()
    }
}
