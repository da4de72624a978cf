//! Subscriptions: each component follows the log from its checkpoint, woken by the transport.
//!
//! In: positions. Out: batches for one component, and a checkpoint that never runs ahead of what was handled. Never: an
//! event out of its stream's order, or skipped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::command::Core;
use crate::declare::EventContext;
use crate::error::Result;
use crate::storage::{BoxFuture, Extras, Write};
use crate::stream::{Edition, LogEvent, Name, StoredEvent, StreamKey};

/// Kinds of components that follow events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A saga.
    Saga,
    /// A projector.
    Projector,
}

impl ComponentKind {
    /// The name that dead letters use (row D5).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Projector => "projector",
        }
    }
}

/// Where a subscription stands (row J5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStatus {
    /// The component.
    pub name: String,
    /// What it is.
    pub kind: ComponentKind,
    /// Everything up to this position is handled.
    pub position: u64,
    /// The newest position of the store.
    pub head: u64,
    /// `head - position`.
    pub lag: u64,
    /// Events that it has handled since the start of the process.
    pub handled: u64,
    /// Streams that are parked in the dead letters after a failure.
    pub parked_streams: usize,
    /// What holds it back, while something does.
    pub stalled: Option<String>,
}

/// What a component does with events.
pub(crate) trait Runner: Send + Sync {
    /// Where to begin; events up to this position are handled.
    fn start<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<u64>>;
    /// Handles a batch, in order within each stream. An error leaves the batch unhandled: it comes again.
    fn handle<'a>(&'a self, core: &'a Core, batch: Vec<LogEvent>, upto: u64) -> BoxFuture<'a, Result<(), String>>;
    /// Streams that are parked.
    fn parked(&self) -> usize;
    /// Whether the event is for this component.
    fn wants(&self, event: &LogEvent) -> bool;
    /// Whether [`handle`](Self::handle) stores the checkpoint by itself.
    fn keeps_checkpoint(&self) -> bool;
}

impl<R: Runner> Runner for Arc<R> {
    fn start<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<u64>> {
        R::start(self, core)
    }
    fn handle<'a>(&'a self, core: &'a Core, batch: Vec<LogEvent>, upto: u64) -> BoxFuture<'a, Result<(), String>> {
        R::handle(self, core, batch, upto)
    }
    fn parked(&self) -> usize {
        R::parked(self)
    }
    fn wants(&self, event: &LogEvent) -> bool {
        R::wants(self, event)
    }
    fn keeps_checkpoint(&self) -> bool {
        R::keeps_checkpoint(self)
    }
}

/// One component on its way along the log.
pub(crate) struct Subscription {
    name: &'static str,
    kind: ComponentKind,
    pub(crate) runner: Box<dyn Runner>,
    position: watch::Sender<u64>,
    handled: AtomicU64,
    stalled: Mutex<Option<String>>,
}

/// Events are read in portions of this many.
const BATCH: usize = 1_024;
/// A checkpoint that only skips foreign events is stored this often at most.
const IDLE_CHECKPOINT: u64 = 8_192;

impl Subscription {
    pub(crate) fn new(name: &'static str, kind: ComponentKind, runner: Box<dyn Runner>) -> Self {
        Self {
            name,
            kind,
            runner,
            position: watch::Sender::new(0),
            handled: AtomicU64::new(0),
            stalled: Mutex::new(None),
        }
    }

    pub(crate) fn status(&self, core: &Core) -> SubscriptionStatus {
        let (position, head) = (*self.position.borrow(), core.storage.head());
        SubscriptionStatus {
            name: self.name.to_owned(),
            kind: self.kind,
            position,
            head: head.max(position),
            lag: head.saturating_sub(position),
            handled: self.handled.load(Ordering::Relaxed),
            parked_streams: self.runner.parked(),
            stalled: self.stalled.lock().clone(),
        }
    }

    /// Follows the log until the stop signal.
    pub(crate) async fn follow(&self, core: &Core, start: u64, mut stop: watch::Receiver<bool>) {
        let mut woken = core.transport.listen();
        let mut position = start;
        let mut stored = start;
        self.position.send_replace(position);
        tracing::debug!(component = self.name, kind = self.kind.as_str(), position, "subscription started");
        let mut pause = Duration::from_millis(50);
        while !*stop.borrow() {
            match self.step(core, position, &mut stored).await {
                Ok(Some(reached)) => {
                    position = reached;
                    pause = Duration::from_millis(50);
                    self.position.send_replace(position);
                    *self.stalled.lock() = None;
                }
                Ok(None) => {
                    let nap = async {
                        // The wake-up may be lost (row R7): look by ourselves now and then.
                        let _ = tokio::time::timeout(Duration::from_secs(1), woken.changed()).await;
                    };
                    tokio::select! {
                        () = nap => {}
                        _ = stop.changed() => break,
                    }
                }
                Err(reason) => {
                    tracing::error!(
                        component = self.name,
                        position,
                        reason,
                        "subscription held back; it will try again"
                    );
                    *self.stalled.lock() = Some(reason);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed() => break,
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
        if stored < position && !self.runner.keeps_checkpoint() {
            self.store_checkpoint(core, position);
        }
        tracing::debug!(component = self.name, position, "subscription stopped");
    }

    /// Reads and handles one portion; `None` at the head.
    async fn step(&self, core: &Core, position: u64, stored: &mut u64) -> Result<Option<u64>, String> {
        if core.storage.head() <= position {
            return Ok(None);
        }
        let portion = core.storage.read_log(position, BATCH).await.map_err(|error| error.to_string())?;
        let Some(last) = portion.last().map(|event| event.event.position) else { return Ok(None) };
        let batch: Vec<LogEvent> =
            portion.into_iter().filter(|event| !event.event.isolated && self.runner.wants(event)).collect();
        let count = batch.len() as u64;
        let idle = self.runner.keeps_checkpoint() && last - *stored >= IDLE_CHECKPOINT;
        if count > 0 || idle {
            self.runner.handle(core, batch, last).await?;
            self.handled.fetch_add(count, Ordering::Relaxed);
        }
        if self.runner.keeps_checkpoint() {
            if count > 0 || idle {
                *stored = last;
            }
            return Ok(Some(last));
        }
        if count > 0 || last - *stored >= IDLE_CHECKPOINT {
            self.store_checkpoint(core, last);
            *stored = last;
        }
        Ok(Some(last))
    }

    /// Not waited for: a checkpoint that is lost makes events come again, and that is allowed.
    fn store_checkpoint(&self, core: &Core, position: u64) {
        let checkpoints = vec![(Name::from_static(self.name), position)];
        core.writer.submit(Write::extras(Extras { checkpoints, ..Extras::default() }));
    }
}

/// Every subscription of a runtime.
pub(crate) struct Subscriptions {
    pub(crate) all: Vec<Arc<Subscription>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    stopped: AtomicBool,
}

impl Subscriptions {
    /// Starts every component behind its checkpoint.
    pub(crate) async fn start(core: &Arc<Core>, all: Vec<Arc<Subscription>>) -> Result<Self> {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        for subscription in &all {
            let start = subscription.runner.start(core).await?;
            let (subscription, core, stop) = (subscription.clone(), core.clone(), stop.subscribe());
            tasks.push(tokio::spawn(async move { subscription.follow(&core, start, stop).await }));
        }
        Ok(Self { all, stop, tasks: Mutex::new(tasks), stopped: AtomicBool::new(false) })
    }

    /// Waits until every component has handled everything that is stored, what it caused included.
    pub(crate) async fn settled(&self, core: &Core) {
        loop {
            let head = core.storage.head();
            for subscription in &self.all {
                let mut position = subscription.position.subscribe();
                // The sender lives as long as the subscription.
                let _ = position.wait_for(|position| *position >= head).await;
            }
            if core.storage.head() == head || self.all.is_empty() {
                return;
            }
        }
    }

    /// Lets every component finish its batch and stops it (row R6).
    pub(crate) async fn stop(&self, limit: Duration) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let deadline = tokio::time::Instant::now() + limit;
        for task in tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                tracing::warn!("a component did not finish in time; its events will come again");
                abort.abort();
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What a handler may know about a stored event.
pub(crate) fn context_of(core: &Core, stream: &StreamKey, event: &StoredEvent) -> EventContext {
    EventContext {
        stream: stream.clone(),
        edition: Edition::named(stream.edition.as_str()),
        sequence: event.sequence,
        position: event.position,
        created_at: event.created_at,
        type_name: event.type_name.clone(),
        headers: event.headers.clone(),
        replay: false,
        clock: core.clock.clone(),
        transaction: None,
    }
}
