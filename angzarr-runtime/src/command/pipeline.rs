//! The stages between load and answer, for typed and dynamic commands alike.
//!
//! In: a [`Submission`] that was parsed, validated and routed. Out: what was stored. Never: two outcomes for one command,
//! or an answer before the store has it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::decide::{Events, Unstored, Why};
use super::{Because, Doubts, EditionGate, StateCache, SyncMode};
use crate::dead_letter;
use crate::declare::{
    Aftermath, Clock, CommandContext, CommandHandlerDescriptor, EventSink, IdSource, Location, MergeStrategy,
    ReactionError, Rejection,
};
use crate::error::{About, Error, Result, SequenceMismatch, Subject};
use crate::reaction::{CascadeLink, Escalate, IntentDesk, Outbox, Ownership, WaitBoard, Waiting};
use crate::registry::{Aggregate, Registry};
use crate::remote::Question;
use crate::storage::{Dedup, Extras, Storage, Write, WriteError, Writer, Written};
use crate::stream::{AsOf, Edition, Headers, Limits, Nanos, StoredEvent, StreamKey};
use crate::telemetry;
use crate::transport::Transport;
use backon::BackoffBuilder;
use smallvec::SmallVec;

/// Everything that the way of a command needs; one for each runtime.
pub(crate) struct Core {
    pub(crate) registry: Registry,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) writer: Writer,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) cache: StateCache,
    pub(crate) editions: EditionGate,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) limits: Limits,
    pub(crate) waits: WaitBoard,
    /// What other processes are to be told of what they wait for.
    pub(crate) outbox: Outbox,
    /// What this process works on, where others share the store (row R5).
    pub(crate) ownership: Ownership,
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
    /// What is being carried out, and what is to be.
    pub(crate) intents: IntentDesk,
    /// Hops of a cascade before it is stopped (row S8).
    pub(crate) cascade_depth: u32,
    /// Who is called where a compensation gives up (row K4).
    pub(crate) escalate: Option<Arc<Escalate>>,
    /// Which events may have been handled before, by an earlier process or in a branch.
    pub(crate) doubts: Doubts,
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
    /// What is stored in the same step, beside events and dedup key.
    pub(crate) along: Option<&'a dyn Along>,
    /// The cascade that it belongs to (row S4).
    pub(crate) link: Option<&'a CascadeLink>,
    /// It is for a process that goes on: one that is complete ignores it (row P7).
    pub(crate) for_open_process: bool,
    /// The event that it is for, where that may be discarded meanwhile (row B5).
    pub(crate) because: Option<Because<'a>>,
    /// What is told of it is told in here.
    pub(crate) span: tracing::Span,
}

impl Submission<'_> {
    /// What an error of this submission is about. Of several commands only the error itself knows which one it was.
    pub(crate) fn about(&self) -> About {
        let mut about = About::of(&self.key);
        if let [page] = self.pages {
            about.command_type = page.full_name();
        }
        about
    }

    /// Whether no page can be refused for the sequence that it expects.
    fn expects(&self, next_sequence: u32) -> bool {
        let mut pages = self.pages.iter();
        let agrees = |page: &Page<'_>, with: Option<u32>| {
            page.expected.is_none() || page.expected == with || page.strategy() == MergeStrategy::AggregateHandles
        };
        // How many events the first page gives is not known yet.
        pages.next().is_none_or(|first| agrees(first, Some(next_sequence))) && pages.all(|page| agrees(page, None))
    }
}

/// What a state is to decide on: a command that was decoded, with or without its type; a fact, a rejection, a compensation;
/// an event or a timeout of a process manager.
pub(crate) trait Decoded: Send + Sync {
    /// Runs its handler on a state.
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal>;

    /// The command as the wire has it, made when a dead letter needs it.
    fn encoded(&self) -> prost_types::Any;

    /// What has to be asked in another process before it can decide.
    fn question(&self) -> Option<&Question> {
        None
    }
}

/// Why nothing is stored.
pub(crate) enum Refusal {
    /// The handler said no (row C4).
    Rejected(Rejection),
    /// The handler of a reaction failed (row D4).
    Failed(ReactionError),
    /// Something else.
    Error(Error),
}

/// What goes into the same write as the events that were decided.
pub(crate) trait Along: Send + Sync {
    /// The rest of the write.
    fn extras(&self, core: &Core, decided: &Decided<'_>) -> Result<Extras, Refusal>;
}

/// What was decided, for whoever adds to the write.
pub(crate) struct Decided<'a> {
    pub(crate) key: &'a StreamKey,
    pub(crate) headers: &'a Headers,
    /// Sequence of the first event.
    pub(crate) first: u32,
    pub(crate) now: Nanos,
    pub(crate) aftermath: Option<&'a Aftermath>,
}

/// Whose method decides.
#[derive(Clone, Copy)]
pub(crate) struct Decider {
    pub(crate) method: &'static str,
    pub(crate) location: Location,
    /// The declared merge strategy (row M6).
    pub(crate) merge: Option<MergeStrategy>,
    /// Name of what it decides on.
    pub(crate) full_name: fn() -> String,
}

impl Decider {
    /// A method in another process. What it decides on the message says.
    pub(crate) fn elsewhere(location: Location) -> Self {
        Self { method: "(remote)", location, merge: None, full_name: || "(remote)".to_owned() }
    }
}

impl From<&CommandHandlerDescriptor> for Decider {
    fn from(handler: &CommandHandlerDescriptor) -> Self {
        let CommandHandlerDescriptor { method, location, merge, command, .. } = handler;
        Self { method, location: *location, merge: *merge, full_name: command.full_name }
    }
}

/// One command of a submission.
pub(crate) struct Page<'a> {
    pub(crate) decider: Decider,
    pub(crate) command: &'a dyn Decoded,
    pub(crate) expected: Option<u32>,
    pub(crate) merge: Option<MergeStrategy>,
    pub(crate) sync: SyncMode,
}

impl Page<'_> {
    /// Full name of what is decided on. Of what another process decides only the message itself says it.
    pub(super) fn full_name(&self) -> String {
        match self.command.question() {
            Some(_) => angzarr_proto::type_name_of(&self.command.encoded().type_url).to_owned(),
            None => (self.decider.full_name)(),
        }
    }

    /// The declaration wins over the command (row M6).
    pub(super) fn strategy(&self) -> MergeStrategy {
        self.decider.merge.or(self.merge).unwrap_or_default()
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
    /// It was for something that is over: nothing was stored.
    pub(crate) moot: bool,
    pub(crate) waiting: Option<Waiting>,
}

impl Outcome {
    /// Accepted, and nothing was stored (row C3).
    fn without_events(next_sequence: u32) -> Self {
        Self { events: StoredEvents::new(), next_sequence, duplicate: false, moot: false, waiting: None }
    }

    /// It was for something that is over.
    fn moot(next_sequence: u32) -> Self {
        Self { moot: true, ..Self::without_events(next_sequence) }
    }
}

/// Counts a command, or what an operator does with a letter, for as long as it runs, so that a shutdown can wait for it.
pub(crate) struct InFlight<'a>(&'a Core);

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
        let began = telemetry::begins();
        let outcome = self.execute_to_its_end(submission).await;
        telemetry::ended(began, submission, &outcome);
        outcome
    }

    async fn execute_to_its_end(&self, submission: &Submission<'_>) -> Result<Outcome> {
        let _in_flight = self.begin()?;
        let mut backoff = None;
        for attempt in 1..=self.attempts {
            match self.attempt(submission).await? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Raced => {
                    telemetry::raced(&submission.key);
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
        Err(Error::Contention {
            stream: Box::new(submission.key.clone()),
            attempts: self.attempts,
            subject: Subject::default(),
        })
    }

    /// Counts a command, unless no more may begin.
    pub(crate) fn begin(&self) -> Result<InFlight<'_>> {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let in_flight = InFlight(self);
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        Ok(in_flight)
    }

    async fn attempt(&self, submission: &Submission<'_>) -> Result<Attempt> {
        let key = &submission.key;
        // A state of a branch that is discarded meanwhile must not decide on the one that begins anew (row B5).
        let _pass = self.editions.pass(&key.edition).await;
        if let Some(because) = &submission.because
            && !self.is_still_there(because).await?
        {
            return Ok(Attempt::Done(Outcome::moot(0)));
        }
        let slot = self.cache.slot(key);
        let mut guard = slot.state.lock().await;
        // Under the slot's lock: of two equal commands at once, the second one finds the first one done (row C10).
        if let Some(first) = self.find_first(submission).await? {
            drop(guard);
            return Ok(Attempt::Done(self.first_answer(submission, first).await?));
        }
        // Taken out of the slot: whatever ends this attempt early, a refusal, a panic, a caller that goes away, a touched
        // state never gets back in.
        // Another process may have discarded a branch, and begun it anew up to the same sequence.
        let is_ours = key.is_main() || !self.ownership.is_shared();
        let at_hand =
            guard.take().filter(|_| is_ours && (key.is_main() || submission.edition.divergence(&key.domain).is_none()));
        let from_cache = at_hand.is_some();
        let mut loaded = match at_hand {
            Some(loaded) => {
                telemetry::at_hand(key, loaded.next_sequence);
                loaded
            }
            // An explicit divergence is checked against what is stored (row B7).
            None => {
                let mut loaded = self.load(submission.aggregate, key, submission.edition, AsOf::Head).await?;
                self.weigh(submission.aggregate, key, &slot, &mut loaded, None);
                loaded
            }
        };
        if submission.aggregate.remote.is_some() {
            // Boxed: most commands are decided here, and should not carry the room for calls.
            Box::pin(async {
                self.condense(submission, &mut loaded).await;
                self.ask_on(submission, &mut loaded, AsOf::Head).await
            })
            .await?;
        }
        let mut events = Events::default();
        let mut prepared = match self.prepare(submission, &mut loaded, &mut events) {
            Ok(prepared) => prepared,
            Err(unstored) => {
                let Unstored { why, next_sequence, state_moved } = *unstored;
                if from_cache && self.has_moved(key, next_sequence).await? {
                    return Ok(Attempt::Raced);
                }
                self.keep_snapshot(submission, &loaded).await;
                *guard = loaded.kept_if(!state_moved);
                drop(guard);
                return self.answer_unstored(submission, why, next_sequence).await;
            }
        };
        prepared.waiting = self.waits.expect(self, submission, &events.stored, &prepared.sync);
        let write = self.write(submission, &loaded, &mut prepared, &events.stored);
        match self.writer.commit(write).await {
            Ok(written) => Ok(Attempt::Done(self.settle(submission, &slot, guard, loaded, prepared, events, written))),
            Err(error) => {
                // After an unclear failure the events may be there or not: the next command reads what is true.
                drop(guard);
                match error {
                    WriteError::Conflict { .. } => Ok(Attempt::Raced),
                    WriteError::Duplicate(first) => Ok(Attempt::Done(self.first_answer(submission, first).await?)),
                    WriteError::Storage(error) => Err(error.into()),
                    // Somebody else has carried it out, or taken it back.
                    WriteError::Settled { .. } => Ok(Attempt::Done(Outcome::moot(0))),
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
        Ok(self.head(key).await? != next_sequence)
    }

    /// The same without waiting, where nothing has to be waited for: the state is at hand, nobody works on the stream, and
    /// the store commits at once. `None` where that is not so; nothing has happened then.
    pub(crate) fn execute_now(&self, submission: &Submission<'_>) -> Option<Result<Outcome>> {
        let began = telemetry::begins();
        let outcome = self.execute_at_once(submission)?;
        telemetry::ended(began, submission, &outcome);
        Some(outcome)
    }

    fn execute_at_once(&self, submission: &Submission<'_>) -> Option<Result<Outcome>> {
        let waits = submission.pages.iter().any(|page| page.sync.waits());
        if waits
            || submission.aggregate.remote.is_some()
            || submission.dedup.is_some()
            || !submission.key.is_main()
            || !self.storage.commits_now()
        {
            return None;
        }
        let slot = self.cache.slot(&submission.key);
        let mut guard = slot.state.try_lock().ok()?;
        // The answer to one that expects another sequence needs what is stored.
        guard.as_ref().filter(|loaded| submission.expects(loaded.next_sequence))?;
        let _in_flight = match self.begin() {
            Ok(in_flight) => in_flight,
            Err(error) => return Some(Err(error)),
        };
        let mut loaded = guard.take()?;
        telemetry::at_hand(&submission.key, loaded.next_sequence);
        let mut events = Events::default();
        let mut prepared = match self.prepare(submission, &mut loaded, &mut events) {
            Ok(prepared) => prepared,
            Err(unstored) => {
                let Unstored { why, next_sequence, state_moved } = *unstored;
                if self.storage.next_sequence_now(&submission.key) != Some(next_sequence) {
                    telemetry::raced(&submission.key);
                    return None;
                }
                *guard = loaded.kept_if(!state_moved);
                return match why {
                    Why::NoEvent => Some(Ok(Outcome::without_events(next_sequence))),
                    Why::Complete => Some(Ok(Outcome::moot(next_sequence))),
                    Why::Error(error) => Some(Err(error)),
                    Why::Mismatch { .. } => None,
                };
            }
        };
        prepared.waiting = self.waits.expect(self, submission, &events.stored, &prepared.sync);
        let write = self.write(submission, &loaded, &mut prepared, &events.stored);
        match self.writer.commit_now(write) {
            Ok(Ok(written)) => Some(Ok(self.settle(submission, &slot, guard, loaded, prepared, events, written))),
            Ok(Err(WriteError::Storage(error))) => Some(Err(error.into())),
            // Lost against another writer: the other way retries with fresh state (row C6).
            _ => {
                telemetry::raced(&submission.key);
                None
            }
        }
    }

    /// What the first run of this submission stored, if it is a repeat.
    async fn find_first(&self, submission: &Submission<'_>) -> Result<Option<Written>> {
        match &submission.dedup {
            Some(dedup) => Ok(self.storage.find_duplicate(&submission.key, dedup).await?),
            None => Ok(None),
        }
    }

    /// The command stores nothing: what the caller gets, and what is kept of it.
    async fn answer_unstored(&self, submission: &Submission<'_>, why: Why, next_sequence: u32) -> Result<Attempt> {
        // Another process, or a caller that went away, may have run the same command meanwhile: then its answer is ours
        // too, whatever its events made of ours.
        if let Some(first) = self.find_first(submission).await? {
            return Ok(Attempt::Done(self.first_answer(submission, first).await?));
        }
        let (strategy, expected, actual, subject) = match why {
            Why::NoEvent => return Ok(Attempt::Done(Outcome::without_events(next_sequence))),
            Why::Complete => return Ok(Attempt::Done(Outcome::moot(next_sequence))),
            Why::Error(error) => return Err(error),
            Why::Mismatch { strategy, expected, actual, subject } => (strategy, expected, actual, subject),
        };
        let book = self.event_book(submission.aggregate, &submission.key, submission.edition).await?;
        if book.next_sequence != next_sequence {
            // Somebody wrote since; the book tells of another stream than the one that was decided on.
            return Ok(Attempt::Raced);
        }
        let mismatch =
            Box::new(SequenceMismatch { stream: submission.key.clone(), strategy, expected, actual, book, subject });
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

/// Growing, jittered pauses between tries against other writers.
pub(crate) fn retry_delays(attempts: u32) -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(100))
        .with_max_times(attempts as usize)
        .build()
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
