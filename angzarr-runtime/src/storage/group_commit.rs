//! Group commit: writes that wait together are committed together, each answered by itself.
//!
//! In: writes, from any task. Out: one outcome for each. Never: two commits of one store at the same time, or a write
//! that is lost because its caller went away.
//!
//! There is no thread and no task that waits for writes. The first caller that finds no commit under way begins one: a
//! store that commits where its caller runs is done with it then, and a command alone costs no hop more than the store
//! needs. Whatever is not done at once goes on in a task, never in the caller's future: a future that its owner keeps
//! without polling it must not hold up the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::batch::{Callers, Joining};
use super::{OpenBatch, Storage, StorageError, StorageErrorKind, Write, WriteError, Written};
use crate::dead_letter::DeadLetterId;
use crate::telemetry;

/// Writes in one batch. Beyond that a larger transaction gains nothing and makes the last caller wait.
const BATCH_WRITES: usize = 1_024;
/// Units (see [`units`]) in one batch: 8 MiB.
const BATCH_UNITS: usize = 8 * 1_024;
/// Units that may wait before callers have to wait for room: 64 MiB.
const ROOM: u32 = 64 * 1_024;
/// How long callers that come alone may follow each other before others get their turn: at first, and at most, after
/// nobody came again and again.
const ALONE: Duration = Duration::from_micros(100);
const LONG_ALONE: Duration = Duration::from_millis(10);
/// How long a write that nobody waits for may wait for company.
const PATIENCE: Duration = Duration::from_millis(5);

type Outcome = Result<Written, WriteError>;

/// Gives writes to a store, in groups.
#[derive(Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    storage: Arc<dyn Storage>,
    lobby: Arc<Lobby>,
    start: Instant,
    /// When others get their turn next, in microseconds since the start, and how long it was until then.
    give_way_at: AtomicU64,
    alone_for: AtomicU64,
    /// Who wants to know of dead letters.
    letters: OnceLock<mpsc::UnboundedSender<DeadLetterId>>,
    /// Where this was made, and what is left over is finished: a caller's own runtime may end before others have their
    /// answers.
    home: Option<Home>,
}

/// The runtime that this was made in, for as long as it lives.
struct Home {
    runtime: Handle,
    ended: Arc<AtomicBool>,
    watch: AbortHandle,
}

impl Home {
    fn new(runtime: Handle) -> Self {
        /// Dropped with the runtime that it waits in.
        struct Waits(Arc<AtomicBool>);
        impl Drop for Waits {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let ended = Arc::new(AtomicBool::new(false));
        let waits = Waits(ended.clone());
        let watch = runtime.spawn(async move {
            let _waits = waits;
            std::future::pending::<()>().await;
        });
        Self { runtime, ended, watch: watch.abort_handle() }
    }

    fn runtime(&self) -> Option<&Handle> {
        (!self.ended.load(Ordering::Acquire)).then_some(&self.runtime)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Where writes wait. A batch at the store knows this and not the store: a store's own thread must not become the last
/// one that holds it.
struct Lobby {
    queue: Mutex<Queue>,
    room: Semaphore,
    failed: AtomicU64,
    /// Callers in the last batch, and those who waited meanwhile: about so many are there for the next one.
    expected: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Somebody drives: takes batches until nothing waits.
    driven: bool,
    /// How many of them a caller waits for.
    hurried: usize,
    /// A task will come and look after the others.
    watched: bool,
    /// It came: they have waited long enough.
    overdue: bool,
}

struct Waiting {
    write: Write,
    units: u32,
    answer: Answer,
}

impl Waiting {
    fn is_hurried(&self) -> bool {
        matches!(self.answer, Answer::Caller(_))
    }
}

struct Tells<'a> {
    to: &'a mpsc::UnboundedSender<DeadLetterId>,
    letters: Vec<DeadLetterId>,
}

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        for letter in self.letters.drain(..) {
            // Nobody listens any more at the end; whoever starts next looks into the store.
            let _ = self.to.send(letter);
        }
    }
}

enum Answer {
    Caller(oneshot::Sender<Outcome>),
    /// Nobody waits; a failure is traced with these facts.
    Facts(String),
}

impl Writer {
    /// Made within the runtime that lives as long as the store.
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let lobby = Lobby {
            queue: Mutex::default(),
            room: Semaphore::new(ROOM as usize),
            failed: AtomicU64::new(0),
            expected: AtomicUsize::new(0),
        };
        let shared = Shared {
            storage,
            lobby: Arc::new(lobby),
            start: Instant::now(),
            give_way_at: AtomicU64::new(0),
            alone_for: AtomicU64::new(0),
            letters: OnceLock::new(),
            home: Handle::try_current().ok().map(Home::new),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The ids of dead letters that may have been stored from now on: each is told after its write was tried, or given up
    /// by its caller. For one who asks, once.
    pub(crate) fn letters(&self) -> mpsc::UnboundedReceiver<DeadLetterId> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // Whoever asks second hears nothing.
        let _ = self.shared.letters.set(sender);
        receiver
    }

    /// Tells of the letters of a write when it is dropped.
    fn tell_of_letters(&self, write: &Write) -> Option<Tells<'_>> {
        let letters = &write.extras.as_ref()?.dead_letters;
        let to = self.shared.letters.get()?;
        (!letters.is_empty()).then(|| Tells { to, letters: letters.iter().map(|letter| letter.id).collect() })
    }

    /// Commits at once where the store can, otherwise gives the write back.
    #[allow(clippy::result_large_err)]
    pub(crate) fn commit_now(&self, write: Write) -> Result<Outcome, Write> {
        let _tells = self.tell_of_letters(&write);
        let letters = telemetry::letters_in(&write);
        let outcome = self.shared.storage.commit_now(write)?;
        telemetry::letters_stored(letters, &outcome);
        Ok(outcome)
    }

    /// Commits together with whatever else waits. Once this was polled for the first time and had room, the write will
    /// be tried, whether the caller still waits or not.
    pub(crate) async fn commit(&self, write: Write) -> Outcome {
        let _tells = self.tell_of_letters(&write);
        let letters = telemetry::letters_in(&write);
        let outcome = self.commit_to_its_end(write).await;
        telemetry::letters_stored(letters, &outcome);
        outcome
    }

    async fn commit_to_its_end(&self, write: Write) -> Outcome {
        let write = match self.shared.storage.commit_now(write) {
            Ok(outcome) => return outcome,
            Err(write) => write,
        };
        let units = units(&write);
        match self.shared.lobby.room.acquire_many(units).await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(gone().into()),
        }
        let (sender, receiver) = oneshot::channel();
        if self.shared.lobby.enqueue(Waiting { write, units, answer: Answer::Caller(sender) }) {
            self.shared.begin_driving().await;
        }
        receiver.await.unwrap_or_else(|_| Err(gone().into()))
    }

    /// Stores without waiting: for what is only there to save work later, such as checkpoints. It goes
    /// along with the next commit, or by itself soon after. Failures are traced and counted.
    pub(crate) fn submit(&self, write: Write) {
        let facts = facts(&write);
        let write = match self.shared.storage.commit_now(write) {
            Ok(outcome) => return self.shared.lobby.note(&facts, outcome),
            Err(write) => write,
        };
        let units = units(&write);
        match self.shared.lobby.room.try_acquire_many(units) {
            Ok(permit) => permit.forget(),
            Err(_) => {
                let message = "the queue is full; the store does not keep up";
                let error = StorageError::new(StorageErrorKind::Unavailable, "storage", message);
                return self.shared.lobby.note(&facts, Err(error.into()));
            }
        }
        self.shared.enqueue_unhurried(Waiting { write, units, answer: Answer::Facts(facts) });
    }

    /// Returns when everything that was submitted before has been tried.
    pub(crate) async fn drain(&self) {
        // The queue is served in order: what comes after everything else is answered after everything else.
        let _ = self.commit(Write::default()).await;
    }

    /// Writes that wait for the store.
    #[cfg(feature = "metrics")]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lobby.queue.lock().waiting.len()
    }

    /// Number of submitted writes that failed.
    pub(crate) fn failed_submissions(&self) -> u64 {
        self.shared.lobby.failed.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Drives for as long as nothing has to be waited for; the rest goes on in a task.
    async fn begin_driving(self: &Arc<Self>) {
        let mut drive = Box::pin(drive(Turn::new(self.clone())));
        if std::future::poll_fn(|cx| Poll::Ready(drive.as_mut().poll(cx))).await.is_ready() {
            return;
        }
        match self.runtime() {
            Some(runtime) => drop(runtime.spawn(drive)),
            // Nobody else could go on with it.
            None => drive.await,
        }
    }

    fn enqueue_unhurried(self: &Arc<Self>, waiting: Waiting) {
        let mut queue = self.lobby.queue.lock();
        queue.waiting.push_back(waiting);
        if queue.watched {
            return;
        }
        // Without a runtime it waits for the next commit.
        if let Some(runtime) = self.runtime() {
            queue.watched = true;
            drop(queue);
            let watch = Watch(self.clone());
            runtime.spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                let shared = watch.0.clone();
                drop(watch);
                let drives = {
                    let mut queue = shared.lobby.queue.lock();
                    queue.overdue = !queue.waiting.is_empty();
                    queue.overdue && !std::mem::replace(&mut queue.driven, true)
                };
                if drives {
                    drive(Turn::new(shared)).await;
                }
            });
        }
    }

    fn runtime(&self) -> Option<Handle> {
        self.home.as_ref().and_then(Home::runtime).cloned().or_else(|| Handle::try_current().ok())
    }
}

impl Lobby {
    /// Whether the caller has to drive.
    fn enqueue(&self, waiting: Waiting) -> bool {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(waiting);
        queue.hurried += 1;
        !std::mem::replace(&mut queue.driven, true)
    }

    fn note(&self, facts: &str, outcome: Outcome) {
        if let Err(error) = outcome {
            self.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "not stored: {facts}; the work that it would have saved is done again later");
        }
    }

    fn answer(&self, answer: Answer, outcome: Outcome) {
        match answer {
            // A caller that went away does not mind.
            Answer::Caller(sender) => drop(sender.send(outcome)),
            Answer::Facts(facts) => self.note(&facts, outcome),
        }
    }

    /// How many callers wait.
    fn waiting(&self) -> usize {
        self.queue.lock().hurried
    }
}

/// However the watching task ends, a later submission gets a new one.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lobby.queue.lock().watched = false;
    }
}

/// The right to drive. If it is dropped in the middle, because the runtime ends or the store panics, whoever waits
/// gets an error instead of waiting for ever.
struct Turn {
    shared: Arc<Shared>,
    ended: bool,
}

impl Turn {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, ended: false }
    }

    /// The next batch; without one, the turn is over. Writes that nobody waits for are left for the next commit, unless
    /// they are overdue.
    fn take(&mut self, expected: usize) -> Option<(Vec<Write>, Batch)> {
        let mut queue = self.shared.lobby.queue.lock();
        if queue.waiting.is_empty() || (queue.hurried == 0 && !queue.overdue) {
            queue.driven = false;
            self.ended = true;
            return None;
        }
        let mut batch = Batch { lobby: self.shared.lobby.clone(), expected, joined: Mutex::default() };
        let writes = batch.joined.get_mut().take_from(&mut queue);
        Some((writes, batch))
    }
}

/// A batch at the store. It gives its room back however it ends.
struct Batch {
    lobby: Arc<Lobby>,
    /// Callers that are likely to come.
    expected: usize,
    joined: Mutex<Joined>,
}

/// Who is in a batch.
#[derive(Default)]
struct Joined {
    answers: Vec<Answer>,
    units: usize,
    /// How many of them a caller waits for.
    hurried: usize,
}

impl Joined {
    /// As many as fit, in order.
    fn take_from(&mut self, queue: &mut Queue) -> Vec<Write> {
        let mut writes = Vec::new();
        while let Some(waiting) = queue.waiting.front() {
            let (count, units) = (self.answers.len(), self.units + waiting.units as usize);
            if count == BATCH_WRITES || (count > 0 && units > BATCH_UNITS) {
                break;
            }
            let Some(waiting) = queue.waiting.pop_front() else { break };
            let hurried = usize::from(waiting.is_hurried());
            queue.hurried -= hurried;
            self.hurried += hurried;
            self.units = units;
            self.answers.push(waiting.answer);
            writes.push(waiting.write);
        }
        queue.overdue &= !queue.waiting.is_empty();
        writes
    }
}

impl Callers for Batch {
    /// Whoever has come meanwhile.
    fn join(&self) -> Joining {
        let mut joined = self.joined.lock();
        let mut queue = self.lobby.queue.lock();
        let writes = joined.take_from(&mut queue);
        match (writes.is_empty(), queue.waiting.is_empty()) {
            (false, _) => Joining::Came(writes),
            (true, true) if joined.hurried < self.expected => {
                Joining::Expected { joined: joined.hurried, expected: self.expected }
            }
            _ => Joining::Nobody,
        }
    }

    fn answer(&self, outcomes: Result<Vec<Outcome>, StorageError>) {
        let answers = {
            let mut joined = self.joined.lock();
            // Those who were in it, and those who have come since, are about as many as there will be next time.
            let expected = joined.hurried + self.lobby.waiting();
            self.lobby.expected.store(expected.min(BATCH_WRITES), Ordering::Relaxed);
            std::mem::take(&mut joined.answers)
        };
        telemetry::batch_committed(answers.len());
        let (outcomes, otherwise) = match outcomes {
            Ok(outcomes) => (outcomes, silent()),
            Err(error) => (Vec::new(), error),
        };
        let mut outcomes = outcomes.into_iter();
        for answer in answers {
            self.lobby.answer(answer, outcomes.next().unwrap_or_else(|| Err(otherwise.clone().into())));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let joined = self.joined.get_mut();
        self.lobby.room.add_permits(joined.units);
        // Otherwise nobody is left here.
        for answer in joined.answers.drain(..) {
            self.lobby.answer(answer, Err(gone().into()));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let lobby = &self.shared.lobby;
        let rest = {
            let mut queue = lobby.queue.lock();
            queue.driven = false;
            queue.hurried = 0;
            std::mem::take(&mut queue.waiting)
        };
        lobby.room.add_permits(rest.iter().map(|it| it.units as usize).sum());
        for waiting in rest {
            lobby.answer(waiting.answer, Err(not_begun().into()));
        }
    }
}

async fn drive(mut turn: Turn) {
    loop {
        let shared = turn.shared.clone();
        let expected = shared.lobby.expected.load(Ordering::Relaxed);
        if expected <= 1 {
            give_way(&shared).await;
        }
        let Some((writes, batch)) = turn.take(expected) else { return };
        if expected <= 1 {
            batch.answer(Ok(shared.storage.commit(writes).await));
        } else {
            // Callers that were just answered mostly come back with their next command. Committing the first of them
            // alone would make all others wait for a whole commit.
            shared.storage.commit_open(OpenBatch::new(writes, Arc::new(batch))).await;
        }
    }
}

/// A store may commit where its caller runs. Now and then the others there get their turn first: for their own sake, and
/// because they may turn out to have something to commit as well. The longer nobody came, the seldomer.
async fn give_way(shared: &Shared) {
    let before = shared.lobby.waiting();
    let now = u64::try_from(shared.start.elapsed().as_micros()).unwrap_or(u64::MAX);
    if before == 0 || now < shared.give_way_at.load(Ordering::Relaxed) {
        return;
    }
    // The first pause may only be the way into a task of our own, which then comes before the others.
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
    let (shortest, longest) = (ALONE.as_micros() as u64, LONG_ALONE.as_micros() as u64);
    let alone_for = match shared.lobby.waiting() > before {
        true => shortest,
        false => (shared.alone_for.load(Ordering::Relaxed) * 2).clamp(shortest, longest),
    };
    shared.alone_for.store(alone_for, Ordering::Relaxed);
    shared.give_way_at.store(now.saturating_add(alone_for), Ordering::Relaxed);
}

/// What a write takes of the room: one for itself and one for each KiB.
fn units(write: &Write) -> u32 {
    u32::try_from(write.bytes() / 1_024 + 1).unwrap_or(u32::MAX).min(ROOM)
}

/// What a write that nobody waits for is about, for the trace of its failure.
fn facts(write: &Write) -> String {
    use std::fmt::Write as _;
    let mut facts = String::new();
    if let Some(append) = &write.append {
        let _ = write!(facts, "{} events of {}, ", append.events.len(), append.key);
    }
    if let Some(extras) = &write.extras {
        for it in &extras.snapshots {
            let _ = write!(facts, "snapshot of {} at {}, ", it.key, it.snapshot.sequence);
        }
        for (subscriber, position) in &extras.checkpoints {
            let _ = write!(facts, "checkpoint {subscriber} = {position}, ");
        }
        for append in &extras.appends {
            let _ = write!(facts, "{} events of {}, ", append.events.len(), append.key);
        }
        for letter in &extras.dead_letters {
            let _ = write!(facts, "dead letter {}, ", letter.id);
        }
        for intent in &extras.intents {
            let _ = write!(facts, "{} {} of {}, ", intent.kind, intent.id, intent.stream);
        }
        for id in extras.settles.iter().map(|it| &it.id).chain(&extras.withdraws) {
            let _ = write!(facts, "end of intent {id}, ");
        }
        for merge in &extras.merges {
            let _ = write!(facts, "merge of {}, ", merge.branch);
        }
        for discard in &extras.discards {
            let _ = write!(facts, "discard of {}, ", discard.edition);
        }
    }
    facts.truncate(facts.trim_end_matches(", ").len());
    facts
}

fn not_begun() -> StorageError {
    let message = "the async runtime ended before the write came to its turn; nothing was written";
    StorageError::new(StorageErrorKind::Unavailable, "storage", message)
}

fn gone() -> StorageError {
    let message =
        "the async runtime ended before the write was answered; whether it is stored shows when the stream is read";
    StorageError::new(StorageErrorKind::Unknown, "storage", message)
}

fn silent() -> StorageError {
    let message = "the store answered fewer writes than it was given; this is a bug of the store";
    StorageError::new(StorageErrorKind::Failed, "storage", message)
}

#[cfg(test)]
#[path = "group_commit_tests.rs"]
mod tests;
