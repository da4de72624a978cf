//! Subscriptions: each component follows the log from its checkpoint, woken by the transport.
//!
//! In: positions. Out: batches for one component, and a checkpoint that never runs ahead of what was handled. Never: an
//! event out of its stream's order, or skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::ownership::{INTENTS, RELAY};
use super::{ProcessManagerRunner, ProjectorRunner, RebuildProgress, SagaRunner};
use crate::command::{Core, panic_text};
use crate::declare::EventContext;
use crate::error::Result;
use crate::storage::{Answers, Extras, Write};
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
    /// How many of its [`shares`](Self::shares) this process works on: all of them, where it has the store to itself. Position
    /// and lag are those of this process's part (row R5).
    pub own_shares: u32,
    /// Into how many shares its work is divided over the processes.
    pub shares: u32,
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

    /// Where a share of it begins; events up to there are handled.
    async fn start(&self, core: &Core, share: &str) -> Result<u64> {
        match self {
            Self::Saga(_) | Self::ProcessManager(_) => Ok(core.storage.checkpoint(share).await?.unwrap_or(0)),
            Self::Projector(projector) => projector.start(core).await,
        }
    }

    /// The shares of its work, by partition. A saga's and a process manager's are divided over the processes; a projector is one
    /// whole: what it makes of the events of several streams may depend on each other.
    fn shares(&self, core: &Core) -> Vec<Name> {
        match self {
            Self::Saga(_) | Self::ProcessManager(_) => {
                let partitions = 0..core.ownership.partitions();
                partitions.map(|partition| core.ownership.share_of(self.name(), partition)).collect()
            }
            Self::Projector(_) => vec![Name::from_static(self.name())],
        }
    }

    /// Whether each process runs it for itself: its read model is this process's own.
    fn is_everywhere(&self) -> bool {
        matches!(self, Self::Projector(projector) if projector.is_local())
    }

    /// The partition that an event is of.
    fn partition_of(&self, core: &Core, event: &LogEvent) -> u32 {
        match self {
            Self::Saga(_) => core.ownership.partition_of(&event.stream),
            Self::ProcessManager(_) => core.ownership.partition_of_process(&event.stream, &event.event.headers),
            Self::Projector(_) => 0,
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
    /// By partition: the name of the share, which is that of its checkpoint too.
    shares: Vec<Name>,
    /// The lowest position of the shares of this process; [`NOWHERE`] where it has none.
    position: watch::Sender<u64>,
    /// The partitions that this process works on.
    own: Mutex<BTreeSet<u32>>,
    handled: AtomicU64,
    stalled: Mutex<Option<String>>,
}

/// The position of a component that others work on.
const NOWHERE: u64 = u64::MAX;
/// Events are read in portions of this many.
pub(super) const BATCH: usize = 1_024;
/// And of no more than about this many bytes: every component holds a portion at a time.
pub(super) const BATCH_BYTES: usize = 8 << 20;
/// How often a subscriber looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// A checkpoint that only skips foreign events is stored this often at most.
const IDLE_CHECKPOINT: u64 = 8_192;

/// How far a share is.
struct Progress {
    position: u64,
    stored: u64,
}

/// The shares that this process works on, by partition.
type Own = BTreeMap<u32, Progress>;

/// Where the slowest one is.
fn slowest(own: &Own) -> u64 {
    own.values().map(|share| share.position).min().unwrap_or(NOWHERE)
}

impl Subscription {
    pub(crate) fn new(core: &Core, component: Component) -> Self {
        let shares = component.shares(core);
        Self {
            component,
            shares,
            position: watch::Sender::new(NOWHERE),
            own: Mutex::default(),
            handled: AtomicU64::new(0),
            stalled: Mutex::new(None),
        }
    }

    pub(crate) fn status(&self, core: &Core) -> SubscriptionStatus {
        let head = core.storage.head();
        let position = (*self.position.borrow()).min(head);
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
            own_shares: u32::try_from(self.own.lock().len()).unwrap_or(u32::MAX),
            shares: u32::try_from(self.shares.len()).unwrap_or(u32::MAX),
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

    /// Whether this process may work on a share.
    fn has(&self, core: &Core, share: &str) -> bool {
        self.component.is_everywhere() || core.ownership.has(share)
    }

    /// Follows the log until the stop signal.
    pub(crate) async fn follow(&self, core: &Core, mut stop: watch::Receiver<bool>) {
        let mut woken = core.transport.listen();
        let mut changed = core.ownership.changes();
        let mut own = Own::new();
        let (name, kind) = (self.component.name(), self.component.kind().as_str());
        tracing::debug!(component = name, kind, "subscription started");
        let mut pause = Duration::from_millis(50);
        while !*stop.borrow() {
            changed.borrow_and_update();
            // Code of the user runs in there, outside of its handlers too: a read model's commit.
            let step = async {
                self.take_shares(core, &mut own).await?;
                self.step(core, &mut own).await
            };
            let step = AssertUnwindSafe(step).catch_unwind().await;
            match step.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(panic.as_ref())))) {
                Ok(true) => {
                    pause = Duration::from_millis(50);
                    self.tell(core, &own);
                    *self.stalled.lock() = None;
                }
                Ok(false) => {
                    // Also where others work on it by now.
                    pause = Duration::from_millis(50);
                    *self.stalled.lock() = None;
                    if core.ownership.is_shared() {
                        // Others wait for this process by its checkpoints.
                        self.store_checkpoints(core, &mut own);
                    }
                    let nap = async {
                        // The wake-up may be lost (row R7): look by ourselves now and then.
                        if let Ok(Err(_)) = tokio::time::timeout(LOOK, woken.changed()).await {
                            // A transport that has gone wakes nobody any more.
                            tokio::time::sleep(LOOK).await;
                        }
                    };
                    tokio::select! {
                        () = nap => {}
                        _ = changed.changed() => {}
                        _ = stop.changed() => break,
                    }
                }
                Err(reason) => {
                    let position = slowest(&own);
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
        self.store_checkpoints(core, &mut own);
        tracing::debug!(component = name, position = slowest(&own), "subscription stopped");
    }

    /// Begins with what was taken, and stops with what is to be given back (row R5).
    async fn take_shares(&self, core: &Core, own: &mut Own) -> Result<(), String> {
        let mut changed = false;
        for (partition, share) in (0..).zip(&self.shares) {
            let has = self.has(core, share);
            if has && !own.contains_key(&partition) {
                let start = self.component.start(core, share).await.map_err(|error| error.to_string())?;
                own.insert(partition, Progress { position: start, stored: start });
                changed = true;
            } else if !has {
                // Whoever takes it over begins behind what is stored.
                if let Some(Progress { position, stored }) = own.remove(&partition) {
                    changed = true;
                    if position > stored && !self.component.keeps_checkpoint() {
                        let checkpoints = vec![(share.clone(), position)];
                        let write = Write::extras(Extras { checkpoints, ..Extras::default() });
                        core.writer.commit(write).await.map_err(|error| error.to_string())?;
                    }
                }
                core.ownership.left(share);
            }
        }
        if changed {
            self.tell(core, own);
        }
        Ok(())
    }

    /// Tells those who wait where it is.
    fn tell(&self, core: &Core, own: &Own) {
        *self.own.lock() = own.keys().copied().collect();
        for (partition, Progress { position, .. }) in own {
            core.waits.reached(self.component.name(), *partition, *position);
        }
        self.position.send_replace(slowest(own));
    }

    /// Reads and handles one portion; `false` at the head.
    async fn step(&self, core: &Core, own: &mut Own) -> Result<bool, String> {
        let (head, position) = (core.storage.head(), slowest(own));
        if head <= position {
            return Ok(false);
        }
        let portion = core.storage.read_log(position, BATCH, BATCH_BYTES).await.map_err(|error| error.to_string())?;
        // Nothing up to the head: all of it was discarded (row B5).
        let last = portion.last().map_or(head, |event| event.event.position);
        let is_ours = |event: &LogEvent| {
            let share = own.get(&self.component.partition_of(core, event));
            share.is_some_and(|share| event.event.position > share.position)
        };
        let wanted = |event: &LogEvent| !event.event.isolated && self.component.wants(event) && is_ours(event);
        let batch: Vec<LogEvent> = portion.into_iter().filter(wanted).collect();
        let count = batch.len() as u64;
        let stored = own.values().map(|share| share.stored).min().unwrap_or(last);
        let store = count > 0 || last.saturating_sub(stored) >= IDLE_CHECKPOINT;
        if store {
            let somebody_waits = batch.iter().any(|item| item.event.headers.wait().is_some());
            self.component.handle(core, batch, last).await?;
            if somebody_waits {
                // Before the checkpoint: whoever sees that it is passed finds what was told.
                core.tell_others().await;
            }
            self.handled.fetch_add(count, Ordering::Relaxed);
        }
        for share in own.values_mut() {
            share.position = share.position.max(last);
        }
        if store {
            self.store_checkpoints(core, own);
        }
        Ok(true)
    }

    /// Not waited for: a checkpoint that is lost makes events come again, and that is allowed.
    fn store_checkpoints(&self, core: &Core, own: &mut Own) {
        // One in a read model is told to other processes all the same: they wait for it (row S9).
        let is_told = core.ownership.is_shared() && !self.component.is_everywhere();
        let is_kept = self.component.keeps_checkpoint();
        let mut checkpoints = Vec::new();
        for (partition, share) in own {
            if share.position > share.stored {
                share.stored = share.position;
                if !is_kept || is_told {
                    checkpoints.extend(self.shares.get(*partition as usize).map(|name| (name.clone(), share.position)));
                }
            }
        }
        if !checkpoints.is_empty() {
            core.writer.submit(Write::extras(Extras { checkpoints, ..Extras::default() }));
        }
    }
}

/// Every subscription of a runtime.
pub(crate) struct Subscriptions {
    pub(crate) all: Vec<Arc<Subscription>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// Shares are kept until everybody has stopped.
    stop_keeping: watch::Sender<bool>,
    keeper: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Subscriptions {
    /// Starts every component behind its checkpoint.
    pub(crate) async fn start(core: &Arc<Core>, all: Vec<Arc<Subscription>>) -> Result<Self> {
        // None of them runs before all of them can.
        for subscription in &all {
            let mut lowest = NOWHERE;
            for share in &subscription.shares {
                lowest = lowest.min(subscription.component.start(core, share).await?);
            }
            if !core.ownership.is_shared() {
                subscription.position.send_replace(lowest);
            }
        }
        let divided = all.iter().filter(|it| !it.component.is_everywhere()).flat_map(|it| it.shares.iter().cloned());
        let of_runtime = [RELAY, INTENTS].map(Name::from_static);
        core.ownership.divide(divided.chain(of_runtime).collect());
        core.take_first_shares().await?;
        let (stop, stop_keeping) = (watch::Sender::new(false), watch::Sender::new(false));
        let tasks = all.iter().map(|subscription| {
            let (subscription, core, stop) = (subscription.clone(), core.clone(), stop.subscribe());
            tokio::spawn(async move { subscription.follow(&core, stop).await })
        });
        let mut tasks: Vec<_> = tasks.collect();
        let (of_core, stopped) = (core.clone(), stop.subscribe());
        tasks.push(tokio::spawn(async move { of_core.carry_out_intents(stopped).await }));
        let mut keeper = None;
        if core.ownership.is_shared() {
            let (of_core, stopped) = (core.clone(), stop_keeping.subscribe());
            keeper = Some(tokio::spawn(async move { of_core.keep_shares(stopped).await }));
            let (of_core, of_all, stopped) = (core.clone(), all.clone(), stop.subscribe());
            tasks.push(tokio::spawn(async move { watch_others(&of_core, &of_all, stopped).await }));
            let (of_core, stopped) = (core.clone(), stop.subscribe());
            tasks.push(tokio::spawn(async move { tell_others(&of_core, stopped).await }));
            let (of_core, stopped) = (core.clone(), stop.subscribe());
            tasks.push(tokio::spawn(async move { forget_ended(&of_core, stopped).await }));
        }
        let (tasks, keeper) = (Mutex::new(tasks), Mutex::new(keeper));
        Ok(Self { all, stop, tasks, stop_keeping, keeper })
    }

    /// The component of that name.
    pub(crate) fn component(&self, name: &str) -> Option<&Component> {
        self.all.iter().map(|subscription| &subscription.component).find(|component| component.name() == name)
    }

    /// Waits until every component has handled everything that is stored, what it caused included; not beyond the stop.
    pub(crate) async fn settled(&self, core: &Core) {
        let mut stop = self.stop.subscribe();
        'again: loop {
            let head = core.storage.head();
            for subscription in &self.all {
                let mut position = subscription.position.subscribe();
                // Both senders live as long as this.
                tokio::select! {
                    _ = position.wait_for(|position| *position >= head) => {}
                    _ = stop.wait_for(|stopped| *stopped) => return,
                }
                if !subscription.others_have_reached(core, head).await {
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(20)) => {}
                        _ = stop.wait_for(|stopped| *stopped) => return,
                    }
                    continue 'again;
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

    /// Gives this process's part to the others, once nobody works on it any more and everything is stored (row R5).
    pub(crate) async fn give_back(&self, core: &Core) {
        self.stop_keeping.send_replace(true);
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            let _ended = keeper.await;
        }
        core.give_back_shares().await;
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.stop_keeping.send_replace(true);
    }
}

impl Subscription {
    /// Whether those who work on the other shares have handled everything up to a position, as far as they have told.
    async fn others_have_reached(&self, core: &Core, position: u64) -> bool {
        if !core.ownership.is_shared() {
            return true;
        }
        for (partition, share) in (0..).zip(&self.shares) {
            let has = self.has(core, share);
            // What was taken and not begun, or is to be given back and not ended, is nobody's for the moment.
            if has != self.own.lock().contains(&partition) {
                return false;
            }
            if has {
                continue;
            }
            match core.storage.checkpoint(share).await {
                Ok(reached) if reached.unwrap_or(0) >= position => {}
                _ => return false,
            }
        }
        true
    }
}

/// Tells those who wait for components that other processes run (rows S3, S9): what these have told; and that an event which has
/// a position below the checkpoint of its own share was handled, or waits in the dead letters.
async fn watch_others(core: &Core, all: &[Arc<Subscription>], mut stop: watch::Receiver<bool>) {
    let mut answers = core.storage.answers().map(Answers::news);
    let mut pause = SHORTEST_LOOK;
    loop {
        tokio::select! {
            () = core.waits.somebody_waits() => {}
            _ = stop.wait_for(|stopped| *stopped) => break,
        }
        let open = core.waits.open();
        let mut positions = Vec::new();
        for subscription in all.iter().filter(|it| !it.component.is_everywhere()) {
            let name = subscription.component.name();
            for (partition, share) in (0..).zip(&subscription.shares) {
                if !open.contains(&(name, partition)) || subscription.has(core, share) {
                    continue;
                }
                // What cannot be read now is read again.
                if let Ok(Some(reached)) = core.storage.checkpoint(share).await {
                    positions.push((name, partition, reached));
                }
            }
        }
        // Positions are read first and told last: of what they pass, everything that was told is told before.
        let mut news = core.hear().await;
        for (name, partition, reached) in positions {
            news |= core.waits.reached(name, partition, reached);
        }
        pause = if news { SHORTEST_LOOK } else { (pause * 2).min(LONGEST_LOOK) };
        let told = async {
            match &mut answers {
                Some(answers) => answers.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            true = told => {}
        }
    }
}

/// Tells other processes what they wait for, as soon as there is something, until the stop signal.
async fn tell_others(core: &Core, mut stop: watch::Receiver<bool>) {
    let mut tidy = tokio::time::interval(TIDY);
    tidy.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.something_to_tell() => core.tell_others().await,
            _ = tidy.tick() => {
                // Of several one is enough.
                if core.ownership.has(INTENTS) {
                    core.forget_told(true).await;
                }
            }
            () = async { drop(stop.wait_for(|stopped| *stopped).await) } => return,
        }
    }
}

/// Removes what was told to waits that are over, until the stop signal; those that end about the same time together.
async fn forget_ended(core: &Core, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = core.waits.somebody_has_ended() => {}
            () = async { drop(stop.wait_for(|stopped| *stopped).await) } => break,
        }
        tokio::time::sleep(TOGETHER).await;
        core.forget_told(false).await;
    }
    core.forget_told(false).await;
}

/// Waits that end within this time are forgotten together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often answers are removed that nobody came for.
const TIDY: Duration = Duration::from_secs(10);

/// How often others' checkpoints are read while somebody waits for them.
const SHORTEST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(40);

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
