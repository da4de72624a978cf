//! The relay: the log is the outbox, and this brings it to the transport (rows R2, R3).
//!
//! In: the log behind a cursor. Out: publications, each stream in order, each event at least once. Never: a cursor ahead of
//! what the transport has confirmed, or an isolated event (row S5).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::letters::Letters;
use super::{Publication, TransportError, TransportErrorKind};
use crate::command::{Core, panic_text};
use crate::error::Result;
use crate::reaction::RELAY;
use crate::storage::{Extras, Write};
use crate::stream::Name;
use crate::telemetry;

/// The subscriber under whose name the cursor is stored. No component has a point in its name.
const SUBSCRIBER: &str = RELAY;
/// Events are published in portions of this many.
const BATCH: usize = 1_024;
/// And of no more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// How often the relay looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// A cursor that only passes isolated events is stored this often at most.
const IDLE_CHECKPOINT: u64 = 8_192;
/// A transport that has not confirmed by then is asked again.
const CONFIRMATION: Duration = Duration::from_secs(30);
/// Pauses between tries.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// Where the relay stands. From [`Runtime::relay`](crate::Runtime::relay).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The transport that it publishes to.
    pub transport: String,
    /// Whether the cursor is stored (row R2), or left to the transport (row R3).
    pub outbox: bool,
    /// Everything up to this position is confirmed by the transport.
    pub position: u64,
    /// The newest position of the store.
    pub head: u64,
    /// `head - position`.
    pub lag: u64,
    /// Publications that were confirmed since the start of the process.
    pub published: u64,
    /// What holds it back, while something does.
    pub stalled: Option<String>,
    /// Dead letters that are stored and not yet on the transport's topics (row D3).
    pub letters: usize,
    /// What holds those back, while something does.
    pub letters_stalled: Option<String>,
}

/// The relay of one runtime.
pub(crate) struct Relay {
    outbox: bool,
    position: AtomicU64,
    published: AtomicU64,
    stalled: Mutex<Option<String>>,
    /// Where the transport keeps the cursor: what it begins with at the latest, until the transport was asked what it has.
    latest_start: Mutex<Option<u64>>,
}

/// Growing, jittered pauses without an end.
pub(super) fn pauses() -> backon::ExponentialBackoff {
    let (min, max) = PAUSES;
    let pauses = backon::ExponentialBuilder::default().with_jitter().with_min_delay(min).with_max_delay(max);
    pauses.without_max_times().build()
}

impl Relay {
    /// The relay behind its cursor; `None` for a transport that only wakes.
    pub(crate) async fn open(core: &Core, outbox: bool) -> Result<Option<Self>> {
        if !core.transport.carries_events() {
            return Ok(None);
        }
        let (position, latest_start) = match outbox {
            true => (core.storage.checkpoint(SUBSCRIBER).await?.unwrap_or(0), None),
            // Before anything of this process can be stored.
            false => (0, Some(core.storage.head())),
        };
        Ok(Some(Self {
            outbox,
            position: AtomicU64::new(position),
            published: AtomicU64::new(0),
            stalled: Mutex::new(None),
            latest_start: Mutex::new(latest_start),
        }))
    }

    fn status(&self, core: &Core, letters: Option<&Letters>) -> RelayStatus {
        let (position, head) = (self.position.load(Ordering::Acquire), core.storage.head());
        RelayStatus {
            transport: core.transport.describe(),
            outbox: self.outbox,
            position,
            head,
            lag: head.saturating_sub(position),
            published: self.published.load(Ordering::Relaxed),
            stalled: self.stalled.lock().clone(),
            letters: letters.map_or(0, |letters| letters.waiting.load(Ordering::Acquire)),
            letters_stalled: letters.and_then(|letters| letters.stalled.lock().clone()),
        }
    }

    /// Follows the log. After the stop signal it publishes what is stored and ends.
    async fn follow(&self, core: &Core, mut stop: watch::Receiver<bool>) {
        let mut woken = core.transport.listen();
        let mut stored = self.position.load(Ordering::Acquire);
        telemetry::relay_started(self.outbox, stored);
        let mut tries = pauses();
        let mut has = true;
        loop {
            // Of several processes one publishes (row R5), and begins where the last one was.
            let had = std::mem::replace(&mut has, core.ownership.has(RELAY));
            if !has {
                if had {
                    self.store_cursor(core, &mut stored, self.position.load(Ordering::Acquire));
                }
                core.ownership.left(RELAY);
                *self.stalled.lock() = None;
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => continue,
                    _ = stop.changed() => return,
                }
            }
            if !had && let Err(error) = self.go_on_for_another(core, &mut stored).await {
                has = false;
                *self.stalled.lock() = Some(error.to_string());
                continue;
            }
            let before = self.position.load(Ordering::Acquire);
            let step = AssertUnwindSafe(self.step(core)).catch_unwind().await;
            let step = step.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(panic.as_ref()))));
            let position = self.position.load(Ordering::Acquire);
            if position > before {
                tries = pauses();
            }
            match step {
                Ok(Step::Published) => {
                    *self.stalled.lock() = None;
                    self.store_cursor(core, &mut stored, position);
                }
                Ok(Step::Passed) => {
                    if position - stored.min(position) >= IDLE_CHECKPOINT {
                        self.store_cursor(core, &mut stored, position);
                    }
                }
                Ok(Step::AtHead) => {
                    *self.stalled.lock() = None;
                    if *stop.borrow() {
                        break;
                    }
                    let nap = async {
                        if let Ok(Err(_)) = tokio::time::timeout(LOOK, woken.changed()).await {
                            tokio::time::sleep(LOOK).await;
                        }
                    };
                    tokio::select! {
                        () = nap => {}
                        _ = stop.changed() => {}
                    }
                }
                Err(reason) => {
                    // A part of the batch may be confirmed all the same.
                    if position > before {
                        self.store_cursor(core, &mut stored, position);
                    }
                    let pause = tries.next().unwrap_or(PAUSES.1);
                    telemetry::relay_held_back(position, &reason, pause);
                    *self.stalled.lock() = Some(reason);
                    let stopping = *stop.borrow();
                    if stopping && self.outbox {
                        // It goes on behind its cursor after the next start; nothing is gained by waiting.
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed(), if !stopping => {}
                    }
                }
            }
        }
        let position = self.position.load(Ordering::Acquire);
        self.store_cursor(core, &mut stored, position);
        telemetry::relay_stopped(position);
    }

    /// Takes over from another process.
    async fn go_on_for_another(&self, core: &Core, stored: &mut u64) -> Result<()> {
        if self.outbox {
            *stored = core.storage.checkpoint(SUBSCRIBER).await?.unwrap_or(0);
            self.position.store(*stored, Ordering::Release);
        } else {
            // The transport is asked what it has; nothing that was stored until now may be left out.
            *self.latest_start.lock() = Some(core.storage.head());
        }
        Ok(())
    }

    /// Publishes one portion.
    async fn step(&self, core: &Core) -> Result<Step, String> {
        let latest_start = *self.latest_start.lock();
        if let Some(latest) = latest_start {
            let newest = in_time(core.transport.newest(core.storage.id()), core).await.map_err(told)?;
            // Behind it is what the last process stored and did not bring over. A transport that knows more than the store
            // has outlived events of it.
            self.position.store(newest.map_or(latest, |newest| newest.min(latest)), Ordering::Release);
            *self.latest_start.lock() = None;
        }
        let position = self.position.load(Ordering::Acquire);
        let head = core.storage.head();
        if head <= position {
            return Ok(Step::AtHead);
        }
        let portion = core.storage.read_log(position, BATCH, BATCH_BYTES).await.map_err(|error| error.to_string())?;
        let Some(last) = portion.last().map(|event| event.event.position) else {
            // It was discarded: nothing comes there any more.
            self.position.store(head, Ordering::Release);
            return Ok(Step::Passed);
        };
        let (store, mut follows) = (core.storage.id(), position);
        let batch: Vec<Publication> = portion
            .into_iter()
            .filter(|event| !event.event.isolated)
            .map(|event| {
                let follows = std::mem::replace(&mut follows, event.event.position);
                Publication { store, follows, event }
            })
            .collect();
        if batch.is_empty() {
            self.position.store(last, Ordering::Release);
            return Ok(Step::Passed);
        }
        match in_time(core.transport.publish(&batch), core).await {
            Ok(()) => {
                self.confirmed(batch.len(), last);
                Ok(Step::Published)
            }
            Err(error) => {
                let confirmed = &batch[..error.confirmed.min(batch.len())];
                if let Some(last) = confirmed.last() {
                    self.confirmed(confirmed.len(), last.event.event.position);
                }
                Err(told(error))
            }
        }
    }

    fn confirmed(&self, events: usize, position: u64) {
        self.position.store(position, Ordering::Release);
        self.published.fetch_add(events as u64, Ordering::Relaxed);
        telemetry::published(events, position);
    }

    /// Not waited for: a cursor that is lost makes events come again, and that is allowed.
    fn store_cursor(&self, core: &Core, stored: &mut u64, position: u64) {
        if self.outbox && position > *stored {
            let checkpoints = vec![(Name::from_static(SUBSCRIBER), position)];
            core.writer.submit(Write::extras(Extras { checkpoints, ..Extras::default() }));
            *stored = position;
        }
    }
}

/// What one step did.
enum Step {
    Published,
    /// There was nothing in the portion that is published.
    Passed,
    AtHead,
}

pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, TransportError>>,
    core: &Core,
) -> Result<T, TransportError> {
    tokio::time::timeout(CONFIRMATION, answer).await.unwrap_or_else(|_| {
        let message = format!("nothing was confirmed within {CONFIRMATION:?}");
        Err(TransportError::new(TransportErrorKind::Unavailable, core.transport.describe(), message))
    })
}

/// The code is for programs, the hint for those who have to do something.
pub(super) fn told(error: TransportError) -> String {
    let hint = if error.is_retryable() { "" } else { "; trying again will not help before somebody mends it" };
    format!("{}: {error}{hint}", error.code())
}

/// The tasks of the relay and of dead letters, and the end of every feed.
pub(crate) struct Publishing {
    relay: Option<Arc<Relay>>,
    letters: Option<Arc<Letters>>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Publishing {
    pub(crate) fn start(core: &Arc<Core>, relay: Option<Relay>) -> Self {
        let (relay, stop) = (relay.map(Arc::new), watch::Sender::new(false));
        let mut tasks = Vec::new();
        if let Some(relay) = relay.clone() {
            let (core, stop) = (core.clone(), stop.subscribe());
            tasks.push(tokio::spawn(async move { relay.follow(&core, stop).await }));
        }
        let letters = core.transport.carries_letters().then(Arc::<Letters>::default);
        if let Some(letters) = letters.clone() {
            let (core, stop, stored) = (core.clone(), stop.subscribe(), core.writer.letters());
            tasks.push(tokio::spawn(async move { letters.follow(&core, stored, stop).await }));
        }
        Self { relay, letters, tasks: Mutex::new(tasks), stop }
    }

    pub(crate) fn status(&self, core: &Core) -> Option<RelayStatus> {
        Some(self.relay.as_ref()?.status(core, self.letters.as_deref()))
    }

    /// Tells when it is over.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Lets the relay publish what is stored (row R6).
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.send_replace(true);
        let end = Instant::now() + limit;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(end, task).await.is_err() {
                tracing::warn!(
                    "the relay did not finish in time; what is not confirmed is published after the next start"
                );
                abort.abort();
            }
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // Without an order to end there is no limit either: what is not confirmed comes after the next start.
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::storage::{Append, BoxFuture, NewEvent};
    use crate::stream::{Headers, StreamKey};
    use crate::transport::{Local, Transport};
    use crate::{Memory, Runtime};

    /// Never answers the first time, and panics the second time.
    #[derive(Default)]
    struct Broken {
        wakes: Local,
        tries: Arc<AtomicUsize>,
    }

    impl Transport for Broken {
        fn describe(&self) -> String {
            "broken".to_owned()
        }
        fn announce(&self, position: u64) {
            self.wakes.announce(position);
        }
        fn listen(&self) -> watch::Receiver<u64> {
            self.wakes.listen()
        }
        fn carries_events(&self) -> bool {
            true
        }
        fn publish<'a>(&'a self, _batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
            Box::pin(async {
                match self.tries.fetch_add(1, Ordering::SeqCst) {
                    0 => std::future::pending().await,
                    1 => panic!("on purpose"),
                    _ => Ok(()),
                }
            })
        }
    }

    async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..20_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {what}");
    }

    /// Time is the test's: nobody waits for half a minute.
    #[tokio::test(start_paused = true)]
    async fn r2_a_transport_that_hangs_or_panics_is_tried_again() {
        let broken = Broken::default();
        let tries = broken.tries.clone();
        let builder = Runtime::builder().transport(broken);
        let core = Arc::new(builder.core(builder.check_without_instances().unwrap(), Arc::new(Memory::new())));
        let publishing = Publishing::start(&core, Relay::open(&core, true).await.unwrap());
        let status = || publishing.status(&core).unwrap();
        let stalled = |by: &str| status().stalled.is_some_and(|reason| reason.contains(by));
        let event =
            NewEvent { type_name: "test.It".into(), schema_version: 1, payload: Vec::new().into(), isolated: false };
        let append = Append {
            key: StreamKey::main("test", uuid::Uuid::nil()),
            expected: 0,
            events: [event].into_iter().collect(),
            created_at: 1,
            headers: Headers::default(),
            dedup: None,
            diverged_at: None,
        };
        core.storage.commit(vec![Write::append(append)]).await.remove(0).unwrap();
        let hangs = "TRANSPORT_UNAVAILABLE: broken: nothing was confirmed within 30s";
        eventually("it is given up", || stalled(hangs)).await;
        assert_eq!(status().position, 0);
        eventually("it panics", || stalled("panicked: on purpose")).await;
        eventually("it is published", || status().lag == 0).await;
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        publishing.stop(Duration::from_secs(1)).await;
    }
}
