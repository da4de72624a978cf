//! Subscriptions: each component follows the log from its checkpoint, woken by the transport.
//!
//! In: positions. Out: batches for one component, and a checkpoint that never runs ahead of what was handled. Never: an
//! event out of its stream's order, or skipped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{ProcessManagerRunner, ProjectorRunner, RebuildProgress, SagaRunner};
use crate::command::{Core, panic_text};
use crate::declare::EventContext;
use crate::error::Result;
use crate::storage::{Extras, Write};
use crate::stream::{Edition, LogEvent, Name, StoredEvent, StreamKey};

/// Kinds of components that follow events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A saga.
    Saga,
    /// A process manager.
    ProcessManager,
    /// A projector.
    Projector,
}

impl ComponentKind {
    /// The name that dead letters use (row D5).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::ProcessManager => "process_manager",
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
    /// Events without a correlation id, which a process manager skips (row P2).
    pub skipped: u64,
    /// Events of processes that were over, which a process manager ignores (row P7).
    pub ignored: u64,
    /// What holds it back, while something does.
    pub stalled: Option<String>,
    /// How far its rebuild is, while one runs (row J3).
    pub rebuild: Option<RebuildProgress>,
}

/// A component that follows the log.
pub(crate) enum Component {
    Saga(SagaRunner),
    ProcessManager(ProcessManagerRunner),
    Projector(ProjectorRunner),
}

impl Component {
    fn name(&self) -> &'static str {
        match self {
            Self::Saga(saga) => saga.name,
            Self::ProcessManager(process) => process.name,
            Self::Projector(projector) => projector.name,
        }
    }

    fn kind(&self) -> ComponentKind {
        match self {
            Self::Saga(_) => ComponentKind::Saga,
            Self::ProcessManager(_) => ComponentKind::ProcessManager,
            Self::Projector(_) => ComponentKind::Projector,
        }
    }

    async fn start(&self, core: &Core) -> Result<u64> {
        match self {
            Self::Saga(saga) => saga.start(core).await,
            Self::ProcessManager(process) => process.start(core).await,
            Self::Projector(projector) => projector.start(core).await,
        }
    }

    async fn handle(&self, core: &Core, batch: Vec<LogEvent>, upto: u64) -> Result<(), String> {
        match self {
            Self::Saga(saga) => saga.handle(core, batch).await,
            Self::ProcessManager(process) => process.handle(core, batch).await,
            Self::Projector(projector) => projector.handle(core, batch, upto).await,
        }
    }

    fn wants(&self, event: &LogEvent) -> bool {
        match self {
            Self::Saga(saga) => saga.wants(event),
            Self::ProcessManager(process) => process.wants(event),
            Self::Projector(projector) => projector.wants(event),
        }
    }

    fn parked_streams(&self) -> usize {
        match self {
            Self::Saga(_) | Self::ProcessManager(_) => 0,
            Self::Projector(projector) => projector.parked_streams(),
        }
    }

    /// Events that it has skipped and ignored.
    fn left_out(&self) -> (u64, u64) {
        match self {
            Self::ProcessManager(process) => {
                (process.skipped.load(Ordering::Relaxed), process.ignored.load(Ordering::Relaxed))
            }
            _ => (0, 0),
        }
    }

    /// Whether [`handle`](Self::handle) stores the checkpoint by itself.
    fn keeps_checkpoint(&self) -> bool {
        matches!(self, Self::Projector(projector) if projector.keeps_checkpoint())
    }
}

/// One component on its way along the log.
pub(crate) struct Subscription {
    component: Component,
    position: watch::Sender<u64>,
    handled: AtomicU64,
    stalled: Mutex<Option<String>>,
}

/// Events are read in portions of this many.
pub(super) const BATCH: usize = 1_024;
/// And of no more than about this many bytes: every component holds a portion at a time.
pub(super) const BATCH_BYTES: usize = 8 << 20;
/// How often a subscriber looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// A checkpoint that only skips foreign events is stored this often at most.
const IDLE_CHECKPOINT: u64 = 8_192;

impl Subscription {
    pub(crate) fn new(component: Component) -> Self {
        Self { component, position: watch::Sender::new(0), handled: AtomicU64::new(0), stalled: Mutex::new(None) }
    }

    pub(crate) fn status(&self, core: &Core) -> SubscriptionStatus {
        let (position, head) = (*self.position.borrow(), core.storage.head());
        let (skipped, ignored) = self.component.left_out();
        SubscriptionStatus {
            name: self.component.name().to_owned(),
            kind: self.component.kind(),
            position,
            head,
            lag: head.saturating_sub(position),
            handled: self.handled.load(Ordering::Relaxed),
            parked_streams: self.component.parked_streams(),
            skipped,
            ignored,
            // Where nobody can write, neither its checkpoint nor what it sends can be stored.
            stalled: self.stalled.lock().clone().or_else(|| core.storage.held_up()),
            rebuild: match &self.component {
                Component::Projector(projector) => projector.rebuild.lock().clone(),
                _ => None,
            },
        }
    }

    /// Everything up to here is handled.
    pub(crate) fn position(&self) -> u64 {
        *self.position.borrow()
    }

    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    /// Follows the log until the stop signal.
    pub(crate) async fn follow(&self, core: &Core, start: u64, mut stop: watch::Receiver<bool>) {
        let mut woken = core.transport.listen();
        let mut position = start;
        let mut stored = start;
        let name = self.component.name();
        self.position.send_replace(position);
        core.waits.reached(name, position);
        tracing::debug!(component = name, kind = self.component.kind().as_str(), position, "subscription started");
        let mut pause = Duration::from_millis(50);
        while !*stop.borrow() {
            // Code of the user runs in there, outside of its handlers too: a read model's commit.
            let step = AssertUnwindSafe(self.step(core, position, &mut stored)).catch_unwind().await;
            match step.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(panic.as_ref())))) {
                Ok(Some(reached)) => {
                    position = reached;
                    pause = Duration::from_millis(50);
                    self.position.send_replace(position);
                    core.waits.reached(name, position);
                    *self.stalled.lock() = None;
                }
                Ok(None) => {
                    let nap = async {
                        // The wake-up may be lost (row R7): look by ourselves now and then.
                        if let Ok(Err(_)) = tokio::time::timeout(LOOK, woken.changed()).await {
                            // A transport that has gone wakes nobody any more.
                            tokio::time::sleep(LOOK).await;
                        }
                    };
                    tokio::select! {
                        () = nap => {}
                        _ = stop.changed() => break,
                    }
                }
                Err(reason) => {
                    if core.closing.load(Ordering::Acquire) {
                        // What runs is refused new commands, as it should be: the batch comes again after the start.
                        tracing::debug!(
                            component = name,
                            position,
                            reason,
                            "subscription held back while shutting down"
                        );
                    } else {
                        tracing::error!(
                            component = name,
                            position,
                            reason,
                            "subscription held back; it will try again"
                        );
                        *self.stalled.lock() = Some(reason);
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed() => break,
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
        if stored < position && !self.component.keeps_checkpoint() {
            self.store_checkpoint(core, position);
        }
        tracing::debug!(component = name, position, "subscription stopped");
    }

    /// Reads and handles one portion; `None` at the head.
    async fn step(&self, core: &Core, position: u64, stored: &mut u64) -> Result<Option<u64>, String> {
        let head = core.storage.head();
        if head <= position {
            return Ok(None);
        }
        let portion = core.storage.read_log(position, BATCH, BATCH_BYTES).await.map_err(|error| error.to_string())?;
        // Nothing up to the head: all of it was discarded (row B5).
        let last = portion.last().map_or(head, |event| event.event.position);
        let batch: Vec<LogEvent> =
            portion.into_iter().filter(|event| !event.event.isolated && self.component.wants(event)).collect();
        let count = batch.len() as u64;
        if count > 0 || last - *stored >= IDLE_CHECKPOINT {
            self.component.handle(core, batch, last).await?;
            self.handled.fetch_add(count, Ordering::Relaxed);
            if !self.component.keeps_checkpoint() {
                self.store_checkpoint(core, last);
            }
            *stored = last;
        }
        Ok(Some(last))
    }

    /// Not waited for: a checkpoint that is lost makes events come again, and that is allowed.
    fn store_checkpoint(&self, core: &Core, position: u64) {
        let checkpoints = vec![(Name::from_static(self.component.name()), position)];
        core.writer.submit(Write::extras(Extras { checkpoints, ..Extras::default() }));
    }
}

/// Every subscription of a runtime.
pub(crate) struct Subscriptions {
    pub(crate) all: Vec<Arc<Subscription>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Subscriptions {
    /// Starts every component behind its checkpoint.
    pub(crate) async fn start(core: &Arc<Core>, all: Vec<Arc<Subscription>>) -> Result<Self> {
        // None of them runs before all of them can.
        let mut starts = Vec::with_capacity(all.len());
        for subscription in &all {
            let start = subscription.component.start(core).await?;
            subscription.position.send_replace(start);
            starts.push(start);
        }
        let stop = watch::Sender::new(false);
        let tasks = all.iter().zip(starts).map(|(subscription, start)| {
            let (subscription, core, stop) = (subscription.clone(), core.clone(), stop.subscribe());
            tokio::spawn(async move { subscription.follow(&core, start, stop).await })
        });
        let mut tasks: Vec<_> = tasks.collect();
        let (of_core, stopped) = (core.clone(), stop.subscribe());
        tasks.push(tokio::spawn(async move { of_core.carry_out_intents(stopped).await }));
        let tasks = Mutex::new(tasks);
        Ok(Self { all, stop, tasks })
    }

    /// The component of that name.
    pub(crate) fn component(&self, name: &str) -> Option<&Component> {
        self.all.iter().map(|subscription| &subscription.component).find(|component| component.name() == name)
    }

    /// Waits until every component has handled everything that is stored, what it caused included; not beyond the stop.
    pub(crate) async fn settled(&self, core: &Core) {
        let mut stop = self.stop.subscribe();
        loop {
            let head = core.storage.head();
            for subscription in &self.all {
                let mut position = subscription.position.subscribe();
                // Both senders live as long as this.
                tokio::select! {
                    _ = position.wait_for(|position| *position >= head) => {}
                    _ = stop.wait_for(|stopped| *stopped) => return,
                }
            }
            if !core.intents_settled().await {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                    _ = stop.wait_for(|stopped| *stopped) => return,
                }
                continue;
            }
            if core.storage.head() == head {
                return;
            }
        }
    }

    /// Lets every component finish its batch and stops it (row R6).
    pub(crate) async fn stop(&self, limit: Duration) {
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

impl Core {
    /// Growing, jittered pauses between the tries of an event (rows G3, J2).
    pub(super) fn reaction_delays(&self) -> backon::ExponentialBackoff {
        let (min, max) = self.reaction_backoff;
        backon::ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(min)
            .with_max_delay(max)
            .with_max_times(self.reaction_attempts as usize)
            .build()
    }
}

/// What a handler may know about a stored event.
pub(super) fn context_of(core: &Core, stream: &StreamKey, event: &StoredEvent) -> EventContext {
    EventContext {
        stream: stream.clone(),
        edition: Edition::of(&stream.edition, event.headers.divergences()),
        sequence: event.sequence,
        part: 0,
        position: event.position,
        created_at: event.created_at,
        type_name: event.type_name.clone(),
        headers: event.headers.clone(),
        replay: false,
        clock: core.clock.clone(),
        transaction: None,
    }
}
