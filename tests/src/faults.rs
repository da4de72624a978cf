//! A store that fails where a test says so. Everything else it hands on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use angzarr_runtime::storage::{
    Answer, Answers, BoxFuture, Dedup, EditionInfo, Intent, IntentFilter, IntentId, Lease, Leases, Storage,
    StorageError, StorageErrorKind, StorageFuture, StreamFilter, StreamInfo, StreamRead, StreamSlice, Write,
    WriteError, Written,
};
use angzarr_runtime::stream::{LogEvent, StoredSnapshot, StreamKey};
use angzarr_runtime::{Builder, OpenStorage, Uuid};
use tokio::sync::{Semaphore, watch};

use crate::Store;

/// What happens to a write that appends events to a stream that the test watches.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Another writer was faster, as the store tells it (nothing is stored).
    Conflict,
    /// The store says no; nothing is stored.
    Fail(StorageErrorKind),
    /// The store stores, and the answer is lost.
    FailAfter,
    /// The store takes its time.
    Delay(Duration),
    /// The store begins when the test says so: see [`Faults::release`].
    Hold,
    /// The store begins when the test says so, and then says no.
    HoldThenFail,
    /// The store panics before it stores anything.
    Panic,
    /// All is well.
    Pass,
}

#[derive(Default)]
struct Plan {
    domain: String,
    faults: VecDeque<Fault>,
}

/// The test's side of a failing store.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    struck: Arc<AtomicU32>,
    appends: Arc<AtomicU32>,
    log_is_down: Arc<AtomicBool>,
    forget_checkpoints: Arc<AtomicBool>,
    held: Arc<Semaphore>,
    lookups: Arc<AtomicU32>,
    events_read: Arc<AtomicU32>,
    lost: Arc<Mutex<Option<u32>>>,
    lookups_held: watch::Sender<bool>,
    letters: Arc<AtomicU32>,
    resolutions: Arc<AtomicU32>,
    parked: Arc<AtomicU32>,
    looks: Arc<AtomicU32>,
    slow_reads: Arc<AtomicU64>,
    shared: Arc<Sharing>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            plan: Arc::default(),
            struck: Arc::default(),
            appends: Arc::default(),
            log_is_down: Arc::default(),
            forget_checkpoints: Arc::default(),
            held: Arc::new(Semaphore::new(0)),
            lookups: Arc::default(),
            events_read: Arc::default(),
            lost: Arc::default(),
            letters: Arc::default(),
            resolutions: Arc::default(),
            parked: Arc::default(),
            looks: Arc::default(),
            slow_reads: Arc::default(),
            shared: Arc::default(),
            lookups_held: watch::Sender::new(false),
        }
    }
}

/// What becomes of answers for other processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Told,
    /// All of them, also those that are a part of a write.
    Lost,
    /// Those that are told beside a write come twice.
    Doubled,
    /// Those that are told beside a write are on their way for ever.
    Stuck,
}

/// What becomes of a question to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    #[default]
    Answered,
    Refused,
    /// There is never an answer.
    Stuck,
}

#[derive(Default)]
struct Sharing {
    is_on: AtomicBool,
    is_out: AtomicBool,
    fate: Mutex<Fate>,
    answers: Mutex<Asked>,
    waits: Mutex<Asked>,
    told: AtomicU32,
}

/// Counts down to the fault; whether it strikes.
fn strikes(countdown: &AtomicU32) -> bool {
    countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1)
}

impl Faults {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whoever reads the log or a stream waits for so long.
    pub fn slow_reads(&self, pause: Duration) {
        self.slow_reads.store(pause.as_micros().try_into().unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    async fn read_slowly(&self) {
        match self.slow_reads.load(Ordering::SeqCst) {
            0 => {}
            pause => tokio::time::sleep(Duration::from_micros(pause)).await,
        }
    }

    /// Lets one held append go on.
    pub fn release(&self) {
        self.held.add_permits(1);
    }

    async fn wait_for_release(&self) {
        if let Ok(permit) = self.held.acquire().await {
            permit.forget();
        }
    }

    /// Whether look-ups of duplicates, which are asked and answered, wait with their answers.
    pub fn hold_lookups(&self, hold: bool) {
        self.lookups_held.send_replace(hold);
    }

    /// Streams are read without the event of this sequence.
    pub fn lose(&self, sequence: Option<u32>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = sequence;
    }

    /// How many events were read from streams, in all.
    pub fn events_read(&self) -> u32 {
        self.events_read.load(Ordering::SeqCst)
    }

    /// How many look-ups of duplicates the store has answered, held ones included.
    pub fn lookups(&self) -> u32 {
        self.lookups.load(Ordering::SeqCst)
    }

    /// The next appends to streams of `domain` meet these faults, in order.
    pub fn next(&self, domain: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        domain.clone_into(&mut plan.domain);
        plan.faults.extend(faults);
    }

    pub fn clear(&self) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).faults.clear();
    }

    /// How many faults struck.
    pub fn struck(&self) -> u32 {
        self.struck.load(Ordering::SeqCst)
    }

    /// How many appends reached the store, in all.
    pub fn appends(&self) -> u32 {
        self.appends.load(Ordering::SeqCst)
    }

    /// Whether subscribers can read the log.
    pub fn log_is_down(&self, down: bool) {
        self.log_is_down.store(down, Ordering::SeqCst);
    }

    /// Whether checkpoints are lost on their way to the store: after a restart every event is delivered again.
    pub fn forget_checkpoints(&self, forget: bool) {
        self.forget_checkpoints.store(forget, Ordering::SeqCst);
    }

    /// How often anybody looked whether there is something new.
    pub fn looks(&self) -> u32 {
        self.looks.load(Ordering::SeqCst)
    }

    /// The `n`th dead letter from now on cannot be stored.
    pub fn fail_letter(&self, n: u32) {
        self.letters.store(n, Ordering::SeqCst);
    }

    /// The `n`th resolution of a letter from now on cannot be stored.
    pub fn fail_resolution(&self, n: u32) {
        self.resolutions.store(n, Ordering::SeqCst);
    }

    /// The `n`th question for the oldest letter of a stream from now on gets no answer.
    pub fn fail_oldest_parked(&self, n: u32) {
        self.parked.store(n, Ordering::SeqCst);
    }

    /// The runtime on this store is one of several, if the store behind it can be shared; say so before it is built.
    pub fn shares(self) -> Self {
        self.shared.is_on.store(true, Ordering::SeqCst);
        self
    }

    /// Whether the process takes no part in the work, and nobody else knows that it lives: it sends commands, and waits.
    pub fn keep_out(&self, out: bool) {
        self.shared.is_out.store(out, Ordering::SeqCst);
    }

    /// What becomes of answers for other processes.
    pub fn answers(&self, fate: Fate) {
        *self.shared.fate.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }

    /// How many answers were to be told beside a commit.
    pub fn told(&self) -> u32 {
        self.shared.told.load(Ordering::SeqCst)
    }

    /// What becomes of the question what others have told.
    pub fn asked_for_answers(&self, asked: Asked) {
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    /// The same for the events of a wait.
    pub fn asked_for_waits(&self, asked: Asked) {
        *self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    fn fate(&self) -> Fate {
        *self.shared.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, write: &Write) -> Option<Fault> {
        let append = write.append.as_ref()?;
        self.appends.fetch_add(1, Ordering::SeqCst);
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if append.key.domain.as_str() != plan.domain {
            return None;
        }
        let fault = plan.faults.pop_front()?;
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// The builder with the store behind these faults.
    pub fn describe(&self, store: &Store, builder: Builder) -> Builder {
        builder.storage(FaultyStore { inner: store.to_open(), faults: self.clone() })
    }
}

/// Opens a store behind faults.
struct FaultyStore {
    inner: Box<dyn OpenStorage>,
    faults: Faults,
}

impl OpenStorage for FaultyStore {
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move {
            let inner = self.inner.open().await?;
            let opened: Arc<dyn Storage> = Arc::new(Faulty { inner, faults: self.faults });
            Ok(opened)
        })
    }
    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }
}

struct Faulty {
    inner: Arc<dyn Storage>,
    faults: Faults,
}

impl Faulty {
    fn is_shared(&self) -> bool {
        self.faults.shared.is_on.load(Ordering::SeqCst) && self.inner.leases().is_some()
    }
}

fn failure(kind: StorageErrorKind) -> WriteError {
    StorageError::new(kind, "faulty", "failed on purpose").into()
}

fn failed<'a, T: Send + 'a>() -> StorageFuture<'a, T> {
    Box::pin(async { Err(StorageError::new(StorageErrorKind::Unavailable, "faulty", "failed on purpose")) })
}

impl Asked {
    async fn then<T: Send>(self, answer: StorageFuture<'_, T>) -> Result<T, StorageError> {
        match self {
            Self::Answered => answer.await,
            Self::Refused => failed().await,
            Self::Stuck => std::future::pending().await,
        }
    }
}

impl Leases for Faulty {
    fn hold<'a>(&'a self, holder: Uuid, names: &'a [String], time: Duration) -> StorageFuture<'a, Vec<bool>> {
        if self.faults.shared.is_out.load(Ordering::SeqCst) {
            let said = names.iter().map(|name| name.starts_with("angzarr.process/")).collect();
            return Box::pin(async { Ok(said) });
        }
        match self.inner.leases() {
            Some(leases) => leases.hold(holder, names, time),
            None => failed(),
        }
    }
    fn release<'a>(&'a self, holder: Uuid, names: &'a [String]) -> StorageFuture<'a, ()> {
        self.inner.leases().map_or_else(failed, |leases| leases.release(holder, names))
    }
    fn list(&self) -> StorageFuture<'_, Vec<Lease>> {
        self.inner.leases().map_or_else(failed, Leases::list)
    }
}

impl Answers for Faulty {
    fn tell<'a>(&'a self, told: &'a [Answer]) -> StorageFuture<'a, ()> {
        let Some(answers) = self.inner.answers() else { return failed() };
        Box::pin(async move {
            self.faults.shared.told.fetch_add(told.len() as u32, Ordering::SeqCst);
            match self.faults.fate() {
                Fate::Told => answers.tell(told).await,
                Fate::Lost => Ok(()),
                Fate::Doubled => {
                    answers.tell(told).await?;
                    answers.tell(told).await
                }
                Fate::Stuck => std::future::pending().await,
            }
        })
    }
    fn read<'a>(&'a self, waits: &'a [Uuid]) -> StorageFuture<'a, Vec<Answer>> {
        let Some(answers) = self.inner.answers() else { return failed() };
        let asked = *self.faults.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(async move {
            let mut read = asked.then(answers.read(waits)).await?;
            if self.faults.fate() == Fate::Doubled {
                read.extend(read.clone());
            }
            Ok(read)
        })
    }
    fn forget<'a>(&'a self, waits: &'a [Uuid], now: i64) -> StorageFuture<'a, ()> {
        self.inner.answers().map_or_else(failed, |answers| answers.forget(waits, now))
    }
    fn news(&self) -> watch::Receiver<()> {
        self.inner.answers().map_or_else(|| watch::channel(()).1, Answers::news)
    }
}

impl Storage for Faulty {
    fn leases(&self) -> Option<&dyn Leases> {
        self.is_shared().then_some(self)
    }

    fn answers(&self) -> Option<&dyn Answers> {
        self.is_shared().then_some(self)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.inner.changes().filter(|_| self.is_shared())
    }

    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }

    fn id(&self) -> Uuid {
        self.inner.id()
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            // One by one: a fault strikes one write and spares its neighbours (promise 3).
            for mut write in batch {
                if self.faults.forget_checkpoints.load(Ordering::SeqCst)
                    && let Some(extras) = &mut write.extras
                {
                    extras.checkpoints.clear();
                }
                if self.faults.fate() == Fate::Lost
                    && let Some(extras) = &mut write.extras
                {
                    extras.answers.clear();
                }
                let letters = write.extras.as_ref().is_some_and(|extras| !extras.dead_letters.is_empty());
                if letters && strikes(&self.faults.letters) {
                    outcomes.push(Err(failure(StorageErrorKind::Unavailable)));
                    continue;
                }
                let conflict = write.append.as_ref().map(|append| WriteError::Conflict {
                    key: append.key.clone(),
                    expected: append.expected,
                    actual: append.expected + 1,
                });
                match (self.faults.take(&write), conflict) {
                    (Some(Fault::Conflict), Some(conflict)) => outcomes.push(Err(conflict)),
                    (Some(Fault::Fail(kind)), _) => outcomes.push(Err(failure(kind))),
                    (Some(Fault::Hold), _) => {
                        self.faults.wait_for_release().await;
                        outcomes.append(&mut self.inner.commit(vec![write]).await);
                    }
                    (Some(Fault::HoldThenFail), _) => {
                        self.faults.wait_for_release().await;
                        outcomes.push(Err(failure(StorageErrorKind::Unavailable)));
                    }
                    (Some(Fault::Panic), _) => panic!("the store panics on purpose"),
                    (Some(Fault::FailAfter), _) => {
                        let _stored = self.inner.commit(vec![write]).await;
                        outcomes.push(Err(failure(StorageErrorKind::Unavailable)));
                    }
                    (Some(Fault::Delay(pause)), _) => {
                        tokio::time::sleep(pause).await;
                        outcomes.append(&mut self.inner.commit(vec![write]).await);
                    }
                    _ => outcomes.append(&mut self.inner.commit(vec![write]).await),
                }
            }
            outcomes
        })
    }

    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice> {
        Box::pin(async move {
            self.faults.read_slowly().await;
            let mut slice = self.inner.read_stream(key, read).await?;
            if let Some(lost) = *self.faults.lost.lock().unwrap_or_else(PoisonError::into_inner) {
                slice.events.retain(|event| event.sequence != lost);
            }
            self.faults.events_read.fetch_add(slice.events.len() as u32, Ordering::SeqCst);
            Ok(slice)
        })
    }
    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>> {
        Box::pin(async move {
            let answer = self.inner.find_duplicate(key, dedup).await;
            self.faults.lookups.fetch_add(1, Ordering::SeqCst);
            let mut gate = self.faults.lookups_held.subscribe();
            let _open = gate.wait_for(|held| !held).await;
            answer
        })
    }
    fn read_log(&self, after: u64, limit: usize, bytes: usize) -> StorageFuture<'_, Vec<LogEvent>> {
        if self.faults.log_is_down.load(Ordering::SeqCst) {
            let error = StorageError::new(StorageErrorKind::Unavailable, "faulty", "the log is down on purpose");
            return Box::pin(async move { Err(error) });
        }
        Box::pin(async move {
            self.faults.read_slowly().await;
            self.inner.read_log(after, limit, bytes).await
        })
    }
    fn head(&self) -> u64 {
        self.faults.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.head()
    }
    fn read_wait(&self, wait: Uuid, after: u64) -> StorageFuture<'_, Vec<LogEvent>> {
        let asked = *self.faults.shared.waits.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(asked.then(self.inner.read_wait(wait, after)))
    }
    fn read_correlation<'a>(&'a self, correlation_id: &'a str) -> StorageFuture<'a, Vec<LogEvent>> {
        self.inner.read_correlation(correlation_id)
    }
    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>> {
        self.inner.streams(filter, after, limit)
    }
    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>> {
        self.inner.editions()
    }
    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>> {
        self.inner.dedup_keys(key)
    }
    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>> {
        self.inner.intents(filter)
    }
    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>> {
        self.inner.intent(id)
    }
    fn domains(&self) -> StorageFuture<'_, Vec<String>> {
        self.inner.domains()
    }
    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>> {
        self.inner.snapshots(key)
    }
    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>> {
        self.inner.checkpoint(subscriber)
    }
    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>> {
        self.inner.dead_letters(filter)
    }
    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>> {
        self.inner.dead_letter(id)
    }
    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>> {
        self.inner.parked_streams(component)
    }
    fn oldest_parked<'a>(&'a self, component: &'a str, stream: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>> {
        if strikes(&self.faults.parked) {
            return failed();
        }
        self.inner.oldest_parked(component, stream)
    }
    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool> {
        if strikes(&self.faults.resolutions) {
            return failed();
        }
        self.inner.resolve_dead_letter(id, resolution)
    }
    fn close(&self) -> StorageFuture<'_, ()> {
        self.inner.close()
    }
}
