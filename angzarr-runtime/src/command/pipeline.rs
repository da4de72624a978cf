//! The stages between load and answer, for typed and dynamic commands alike.
//!
//! In: a [`Submission`] that was parsed, validated and routed. Out: what was stored. Never: two outcomes for one command,
//! or an answer before the store has it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use backon::BackoffBuilder;
use smallvec::SmallVec;
use tokio::sync::MutexGuard;

use super::{Loaded, StateCache, SyncMode, payloads};
use crate::dead_letter;
use crate::declare::{
    Clock, CommandContext, CommandHandlerDescriptor, DecideError, EventSink, IdSource, MergeStrategy, nanos_of,
};
use crate::error::{Error, Result, SequenceMismatch};
use crate::reaction::{WaitBoard, Waiting};
use crate::registry::{Aggregate, Registry};
use crate::storage::{Append, Dedup, Extras, NewEvent, Storage, StreamRead, Write, WriteError, Writer, Written};
use crate::stream::{AsOf, Edition, Headers, Limits, Nanos, StoredEvent, StreamKey};
use crate::transport::Transport;

/// Everything that the way of a command needs; one for each runtime.
pub(crate) struct Core {
    pub(crate) registry: Registry,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) writer: Writer,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) cache: StateCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) limits: Limits,
    pub(crate) waits: WaitBoard,
    pub(crate) sync_deadline: Duration,
    /// Tries of one command against other writers (row C6).
    pub(crate) attempts: u32,
    /// Tries of one event in a saga or projector (rows G3, J2).
    pub(crate) reaction_attempts: u32,
    /// The shortest and the longest pause between them.
    pub(crate) reaction_backoff: (Duration, Duration),
    pub(crate) in_flight: AtomicUsize,
    pub(crate) closing: AtomicBool,
    pub(crate) idle: tokio::sync::Notify,
    pub(crate) failed_snapshots: AtomicU64,
}

/// A command, or a book of them, on its way through the pipeline.
pub(crate) struct Submission<'a> {
    pub(crate) aggregate: &'a Aggregate,
    pub(crate) key: StreamKey,
    pub(crate) edition: &'a Edition,
    pub(crate) headers: Headers,
    pub(crate) pages: &'a [Page<'a>],
    pub(crate) dedup: Option<Dedup>,
    pub(crate) at: Option<Nanos>,
}

/// Runs the handler of one command on a state.
pub(crate) type Decide<'a> =
    &'a (dyn Fn(&dyn Any, &CommandContext<'_>, &mut EventSink) -> Result<(), DecideError> + Send + Sync);

/// One command of a submission.
pub(crate) struct Page<'a> {
    pub(crate) handler: &'static CommandHandlerDescriptor,
    pub(crate) decide: Decide<'a>,
    /// The command as the wire has it, made when a dead letter needs it.
    pub(crate) encoded: &'a (dyn Fn() -> prost_types::Any + Send + Sync),
    pub(crate) expected: Option<u32>,
    pub(crate) merge: Option<MergeStrategy>,
    pub(crate) sync: SyncMode,
}

impl Page<'_> {
    /// The declaration wins over the command (row M6).
    fn strategy(&self) -> MergeStrategy {
        self.handler.merge.or(self.merge).unwrap_or_default()
    }
}

/// The events of one submission: mostly one.
pub(crate) type StoredEvents = SmallVec<[StoredEvent; 1]>;

/// What a submission did.
pub(crate) struct Outcome {
    pub(crate) events: StoredEvents,
    pub(crate) next_sequence: u32,
    /// It had been done before; these are the events of the first time (rows C10, G2).
    pub(crate) duplicate: bool,
    pub(crate) waiting: Option<Waiting>,
}

/// Counts a command for as long as it runs, so that a shutdown can wait for it.
struct InFlight<'a>(&'a Core);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.closing.load(Ordering::Acquire) {
            self.0.idle.notify_waiters();
        }
    }
}

/// What one try came to.
enum Attempt {
    Done(Outcome),
    /// Somebody else wrote first: again, with fresh state.
    Raced,
}

impl Core {
    /// Runs a submission to its end: retried inside against other writers (rows C6, C9), never twice.
    pub(crate) async fn execute(&self, submission: &Submission<'_>) -> Result<Outcome> {
        let _in_flight = self.begin()?;
        let mut backoff = None;
        for attempt in 1..=self.attempts {
            match self.attempt(submission).await? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Raced => {
                    tracing::debug!(stream = %submission.key, attempt, "raced by another writer");
                    let delays = backoff.get_or_insert_with(|| retry_delays(self.attempts));
                    // The first retry follows at once: mostly it is our own cache that was stale.
                    if attempt > 1
                        && let Some(delay) = delays.next()
                    {
                        tokio::time::sleep(delay).await;
                    }
                }
            }
        }
        Err(Error::Contention { stream: submission.key.clone(), attempts: self.attempts })
    }

    /// Counts a command, unless no more may begin.
    fn begin(&self) -> Result<InFlight<'_>> {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let in_flight = InFlight(self);
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        Ok(in_flight)
    }

    async fn attempt(&self, submission: &Submission<'_>) -> Result<Attempt> {
        let key = &submission.key;
        let slot = self.cache.slot(key);
        let mut guard = slot.state.lock().await;
        // Under the slot's lock: of two equal commands at once, the second one finds the first one done (row C10).
        if let Some(first) = self.find_first(submission).await? {
            drop(guard);
            return Ok(Attempt::Done(self.first_answer(submission, first).await?));
        }
        // Taken out of the slot: whatever ends this attempt early, a refusal, a panic, a caller that goes away, a touched
        // state never gets back in.
        let at_hand = guard.take().filter(|_| key.is_main() || submission.edition.divergence(&key.domain).is_none());
        let from_cache = at_hand.is_some();
        let mut loaded = match at_hand {
            Some(loaded) => loaded,
            // An explicit divergence is checked against what is stored (row B7).
            None => self.load(submission.aggregate, key, submission.edition, AsOf::Head).await?,
        };
        let mut events = Events::default();
        let mut prepared = match self.prepare(submission, &mut loaded, &mut events) {
            Ok(prepared) => prepared,
            Err(failure) => {
                let Failure { error, state_moved } = *failure;
                if from_cache && error.depends_on_state() && self.has_moved(key, loaded.next_sequence).await? {
                    return Ok(Attempt::Raced);
                }
                *guard = loaded.kept_if(!state_moved);
                return self.refuse(submission, guard, error).await;
            }
        };
        if events.is_nothing(submission) {
            if from_cache && self.has_moved(key, loaded.next_sequence).await? {
                return Ok(Attempt::Raced);
            }
            *guard = loaded.kept_if(true);
            return Ok(Attempt::Done(prepared.nothing()));
        }
        prepared.waiting = self.waits.expect(&self.registry, submission, &events.stored, &prepared.decided.sync);
        let write = prepared.write(submission, &events.stored);
        let committed = match self.writer.commit_now(write) {
            Ok(committed) => committed,
            Err(write) => self.writer.commit(write).await,
        };
        match committed {
            Ok(written) => Ok(Attempt::Done(self.settle(submission, &slot, guard, loaded, prepared, events, written))),
            Err(error) => {
                if let Some(waiting) = prepared.waiting {
                    self.waits.withdraw(waiting);
                }
                // After an unclear failure the events may be there or not: the next command reads what is true.
                drop(guard);
                match error {
                    WriteError::Conflict { .. } => Ok(Attempt::Raced),
                    WriteError::Duplicate(first) => Ok(Attempt::Done(self.first_answer(submission, first).await?)),
                    WriteError::Storage(error) => Err(error.into()),
                }
            }
        }
    }

    /// Whether somebody else wrote to a stream since its state was cached. What a handler accepts is checked by the append;
    /// what it refuses, or answers with nothing, has to be asked for: a stale state may not be the reason.
    async fn has_moved(&self, key: &StreamKey, next_sequence: u32) -> Result<bool> {
        if let Some(now) = self.storage.next_sequence_now(key) {
            return Ok(now != next_sequence);
        }
        let head = StreamRead { from: u32::MAX, ..StreamRead::all() };
        Ok(self.storage.read_stream(key, head).await?.next_sequence != next_sequence)
    }

    /// The same without waiting, where nothing has to be waited for: the state is at hand, nobody works on the stream, and
    /// the store commits at once. `None` where that is not so; nothing has happened then.
    pub(crate) fn execute_now(&self, submission: &Submission<'_>) -> Option<Result<Outcome>> {
        if submission.dedup.is_some() || !submission.key.is_main() || !self.storage.commits_now() {
            return None;
        }
        let slot = self.cache.slot(&submission.key);
        let mut guard = slot.state.try_lock().ok()?;
        guard.as_ref()?;
        let _in_flight = match self.begin() {
            Ok(in_flight) => in_flight,
            Err(error) => return Some(Err(error)),
        };
        let mut loaded = guard.take()?;
        let mut events = Events::default();
        let mut prepared = match self.prepare(submission, &mut loaded, &mut events) {
            Ok(prepared) => prepared,
            Err(failure) => {
                let Failure { error, state_moved } = *failure;
                if error.depends_on_state()
                    && self.storage.next_sequence_now(&submission.key) != Some(loaded.next_sequence)
                {
                    return None;
                }
                *guard = loaded.kept_if(!state_moved);
                return match error {
                    Refusal::Error(error) => Some(Err(error)),
                    // No handler ran; the answer needs what is stored.
                    Refusal::Mismatch { .. } => None,
                };
            }
        };
        if events.is_nothing(submission) {
            if self.storage.next_sequence_now(&submission.key) != Some(loaded.next_sequence) {
                return None;
            }
            *guard = Some(loaded);
            return Some(Ok(prepared.nothing()));
        }
        prepared.waiting = self.waits.expect(&self.registry, submission, &events.stored, &prepared.decided.sync);
        match self.writer.commit_now(prepared.write(submission, &events.stored)) {
            Ok(Ok(written)) => Some(Ok(self.settle(submission, &slot, guard, loaded, prepared, events, written))),
            failed => {
                if let Some(waiting) = prepared.waiting {
                    self.waits.withdraw(waiting);
                }
                match failed {
                    Ok(Err(WriteError::Storage(error))) => Some(Err(error.into())),
                    // Lost against another writer: the other way retries with fresh state (row C6).
                    _ => None,
                }
            }
        }
    }

    /// Runs the handlers and makes what will be stored.
    fn prepare(
        &self,
        submission: &Submission<'_>,
        loaded: &mut Loaded,
        events: &mut Events,
    ) -> Result<Prepared, Box<Failure>> {
        let now = submission.at.unwrap_or_else(|| nanos_of(self.clock.now())).max(loaded.last_created_at);
        let decided = self.decide(submission, loaded, now, &mut events.emitted)?;
        let first = loaded.next_sequence;
        let stored =
            events.emitted.events.iter().zip(first..).zip(&decided.sync).map(|((event, sequence), sync)| StoredEvent {
                position: 0,
                sequence,
                created_at: now,
                type_name: event.type_name.clone(),
                schema_version: self.registry.upcasters.current_version(&event.type_name),
                payload: payloads::shared(&event.payload),
                headers: submission.headers.clone(),
                isolated: *sync == SyncMode::Isolated,
            });
        events.stored.extend(stored);
        Ok(Prepared { decided, first, now, diverges_at: loaded.diverges_at, waiting: None })
    }

    /// What the first run of this submission stored, if it is a repeat.
    async fn find_first(&self, submission: &Submission<'_>) -> Result<Option<Written>> {
        match &submission.dedup {
            Some(dedup) => Ok(self.storage.find_duplicate(&submission.key, dedup).await?),
            None => Ok(None),
        }
    }

    /// Runs the handlers of all pages, in order, against the evolving state (row C8).
    fn decide(
        &self,
        submission: &Submission<'_>,
        loaded: &mut Loaded,
        now: Nanos,
        events: &mut EventSink,
    ) -> Result<Decided, Box<Failure>> {
        let evolving = submission.pages.len() > 1;
        let milestone = Cell::new(false);
        let mut applied = 0;
        let mut sync: SmallVec<[SyncMode; 1]> = SmallVec::new();
        for page in submission.pages {
            let next_sequence =
                loaded.next_sequence.saturating_add(u32::try_from(events.events.len()).unwrap_or(u32::MAX));
            let fail = |error| Box::new(Failure { error, state_moved: applied > 0 });
            if let Some(expected) = page.expected
                && expected != next_sequence
                && page.strategy() != MergeStrategy::AggregateHandles
            {
                return Err(fail(Refusal::Mismatch { strategy: page.strategy(), expected, actual: next_sequence }));
            }
            let context = CommandContext {
                key: &submission.key,
                headers: &submission.headers,
                expected: page.expected,
                next_sequence,
                now,
                ids: self.ids.as_ref(),
                milestone: &milestone,
            };
            let before = events.events.len();
            match catch_unwind(AssertUnwindSafe(|| (page.decide)(loaded.state.as_ref(), &context, events))) {
                Ok(Ok(())) => {}
                Ok(Err(DecideError::Rejected(rejection))) => {
                    return Err(fail(Refusal::Error(Error::Rejected(rejection))));
                }
                Ok(Err(DecideError::Undecodable(error))) => {
                    return Err(fail(Refusal::Error(Error::invalid_argument("command", error.to_string()))));
                }
                Err(panic) => return Err(fail(Refusal::Error(self.panicked(submission, page, panic.as_ref())))),
            }
            let count = events.events.len() - before;
            if count > self.limits.events_per_command {
                return Err(fail(Refusal::Error(Error::limit(
                    "events",
                    count,
                    self.limits.events_per_command,
                    "events from one command; split the command",
                ))));
            }
            if let Some(event) = events.events[before..].iter().find(|it| it.payload.len() > self.limits.payload_bytes)
            {
                let size = event.payload.len();
                return Err(fail(Refusal::Error(Error::limit(
                    format!("event {}", event.type_name),
                    size,
                    self.limits.payload_bytes,
                    "bytes; store large content elsewhere and refer to it",
                ))));
            }
            sync.resize(events.events.len(), page.sync);
            if evolving {
                for event in &events.events[before..] {
                    applied += 1;
                    let ok = catch_unwind(AssertUnwindSafe(|| (event.apply)(loaded.state.as_mut(), &event.payload)));
                    if !matches!(ok, Ok(Ok(()))) {
                        let message = format!("its `#[apply]` on `{}` failed", submission.aggregate.descriptor.name);
                        return Err(Box::new(Failure {
                            error: Refusal::Error(Error::UnreadableEvent {
                                stream: submission.key.clone(),
                                sequence: next_sequence,
                                type_name: event.type_name.to_string(),
                                message,
                            }),
                            state_moved: true,
                        }));
                    }
                }
            }
        }
        let fits = u32::try_from(events.events.len()).ok().and_then(|n| loaded.next_sequence.checked_add(n));
        if fits.is_none() {
            let error =
                Error::limit("stream", u32::MAX as usize, u32::MAX as usize, "events in one stream; start a new root");
            return Err(Box::new(Failure { error: Refusal::Error(error), state_moved: applied > 0 }));
        }
        Ok(Decided { applied: evolving, milestone: milestone.get(), sync })
    }

    fn panicked(&self, submission: &Submission<'_>, page: &Page<'_>, panic: &(dyn Any + Send)) -> Error {
        let reference = self.ids.next_id();
        let handler = format!("{}::{}", submission.aggregate.descriptor.name, page.handler.method);
        let text = panic_text(panic);
        tracing::error!(%reference, handler, stream = %submission.key, location = %page.handler.location, panic = text, "a command handler panicked");
        Error::HandlerPanicked { handler, reference }
    }

    /// The command was not accepted: what the caller gets, and what is kept of it.
    async fn refuse(
        &self,
        submission: &Submission<'_>,
        mut guard: MutexGuard<'_, Option<Loaded>>,
        refusal: Refusal,
    ) -> Result<Attempt> {
        let (strategy, expected, actual) = match refusal {
            Refusal::Error(error) => {
                // Another process may have run the same command meanwhile: then its answer is ours too.
                if let Some(first) = self.find_first(submission).await? {
                    *guard = None;
                    drop(guard);
                    return Ok(Attempt::Done(self.first_answer(submission, first).await?));
                }
                tracing::debug!(stream = %submission.key, code = error.code(), %error, "command refused");
                return Err(error);
            }
            Refusal::Mismatch { strategy, expected, actual } => (strategy, expected, actual),
        };
        // The cached state may be stale where several processes write: the answer is made from what is stored.
        *guard = None;
        drop(guard);
        let book = self.event_book(submission.aggregate, &submission.key, submission.edition).await?;
        if submission.pages.len() == 1 && book.next_sequence == expected {
            return Ok(Attempt::Raced);
        }
        let actual = if submission.pages.len() == 1 { book.next_sequence } else { actual };
        let mismatch = Box::new(SequenceMismatch { stream: submission.key.clone(), strategy, expected, actual, book });
        if strategy != MergeStrategy::Manual {
            return Err(Error::SequenceMismatch(mismatch));
        }
        let letter = dead_letter::sequence_mismatch(self, submission, &mismatch);
        let id = letter.id;
        let write = Write::extras(Extras { dead_letters: vec![letter], ..Extras::default() });
        match self.writer.commit(write).await {
            Ok(_) => Err(Error::DeadLettered { mismatch, letter: id }),
            Err(WriteError::Storage(error)) => Err(error.into()),
            Err(_) => Ok(Attempt::Raced),
        }
    }
}

/// The events of one submission, in place from the handler to the answer: they are large to move.
#[derive(Default)]
pub(super) struct Events {
    /// As the handlers gave them.
    pub(super) emitted: EventSink,
    /// As they are stored and answered.
    pub(super) stored: StoredEvents,
}

impl Events {
    /// Neither events nor a key to remember (row C3).
    fn is_nothing(&self, submission: &Submission<'_>) -> bool {
        self.stored.is_empty() && submission.dedup.is_none()
    }
}

/// What the handlers decided, ready to be stored.
pub(super) struct Prepared {
    pub(super) decided: Decided,
    first: u32,
    pub(super) now: Nanos,
    diverges_at: Option<u32>,
    pub(super) waiting: Option<Waiting>,
}

impl Prepared {
    fn nothing(&self) -> Outcome {
        Outcome { events: StoredEvents::new(), next_sequence: self.first, duplicate: false, waiting: None }
    }

    fn write(&self, submission: &Submission<'_>, stored: &[StoredEvent]) -> Write {
        let mut events = SmallVec::new();
        events.extend(stored.iter().map(|event| NewEvent {
            type_name: event.type_name.clone(),
            schema_version: event.schema_version,
            payload: event.payload.clone(),
            isolated: event.isolated,
        }));
        Write::append(Append {
            key: submission.key.clone(),
            expected: self.first,
            events,
            created_at: self.now,
            headers: submission.headers.clone(),
            dedup: submission.dedup.clone(),
            diverged_at: self.diverges_at,
        })
    }
}

/// What the handlers did besides returning events.
pub(super) struct Decided {
    /// The events are applied to the state already.
    pub(super) applied: bool,
    /// A handler asked for a snapshot that is kept (row N2).
    pub(super) milestone: bool,
    /// The sync mode of each event: that of its command (row S6).
    sync: SmallVec<[SyncMode; 1]>,
}

struct Failure {
    error: Refusal,
    state_moved: bool,
}

enum Refusal {
    Error(Error),
    Mismatch { strategy: MergeStrategy, expected: u32, actual: u32 },
}

/// Growing, jittered pauses between tries against other writers.
pub(crate) fn retry_delays(attempts: u32) -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(100))
        .with_max_times(attempts as usize)
        .build()
}

impl Refusal {
    /// Whether another state could have led to another answer.
    fn depends_on_state(&self) -> bool {
        matches!(self, Self::Error(Error::Rejected(_) | Error::HandlerPanicked { .. }))
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
