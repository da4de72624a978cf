//! Decide: handlers run, their events are applied, and what will be stored is made.
//!
//! In: a submission and the state of its stream. Out: events, ready for the store, and the state with them; or a refusal.
//! Never: a write. Whatever breaks in user code breaks here, before anything is stored (row C5).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use smallvec::SmallVec;

use super::pipeline::{Core, Decided, Page, Refusal, StoredEvents, Submission, panic_text};
use super::{Loaded, SyncMode, payloads};
use crate::declare::{CommandContext, EmittedEvent, EventSink, Location, MergeStrategy, nanos_of};
use crate::error::{About, Error, Subject};
use crate::reaction::Waiting;
use crate::storage::{Append, Extras, NewEvent, Write};
use crate::stream::{Name, Nanos, StoredEvent};
use crate::telemetry;

/// The events of one submission, in place from the handler to the answer: they are large to move.
#[derive(Default)]
pub(super) struct Events {
    /// As the handlers gave them.
    pub(super) emitted: EventSink,
    /// As they are stored and answered.
    pub(super) stored: StoredEvents,
}

/// The framework's note in the stream of a process manager that is over (row P7).
pub(crate) const COMPLETED: &str = "angzarr.ProcessManagerCompleted";

/// An event of the framework's own: it changes no state.
pub(crate) fn note(type_name: &'static str, event: &impl prost::Message) -> EmittedEvent {
    EmittedEvent {
        type_name: Name::from_static(type_name),
        payload: event.encode_to_vec().into(),
        apply: |_, _| Ok(()),
        schema_version: 0,
    }
}

/// What the handlers decided, ready to be stored.
pub(super) struct Prepared {
    /// The sync mode of each event: that of its command (row S6).
    pub(super) sync: SmallVec<[SyncMode; 1]>,
    first: u32,
    now: Nanos,
    diverges_at: Option<u32>,
    /// A handler asked for a snapshot that is kept (row N2).
    milestone: bool,
    /// Bytes of the encoded state, where it was encoded.
    pub(super) state_bytes: Option<usize>,
    pub(super) waiting: Option<Waiting>,
    /// What else goes into the write.
    extras: Option<Box<Extras>>,
}

/// The command stores nothing.
pub(super) struct Unstored {
    pub(super) why: Why,
    /// The next sequence of the stream that was decided on.
    pub(super) next_sequence: u32,
    /// Events were applied to the state, or began to be.
    pub(super) state_moved: bool,
}

/// Why a command stores nothing. All of it depends on the state: another one could have led to another answer.
pub(super) enum Why {
    /// It was accepted and gave no event (row C3).
    NoEvent,
    /// The process is over (row P7).
    Complete,
    Error(Error),
    Mismatch {
        strategy: MergeStrategy,
        expected: u32,
        actual: u32,
        subject: Subject,
    },
}

impl Why {
    fn about(self, facts: impl FnOnce() -> About) -> Self {
        match self {
            Self::NoEvent => Self::NoEvent,
            Self::Complete => Self::Complete,
            Self::Error(error) => Self::Error(error.about(facts)),
            Self::Mismatch { strategy, expected, actual, mut subject } => {
                subject.complete(facts());
                Self::Mismatch { strategy, expected, actual, subject }
            }
        }
    }
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Core {
    /// Runs the handlers, applies their events and makes what will be stored. The state then is that of the stream after
    /// the append; it goes nowhere if the append fails.
    pub(super) fn prepare(
        &self,
        submission: &Submission<'_>,
        loaded: &mut Loaded,
        events: &mut Events,
    ) -> Result<Prepared, Box<Unstored>> {
        let now = submission.at.unwrap_or_else(|| nanos_of(self.clock.now())).max(loaded.last_created_at);
        if loaded.complete && submission.for_open_process {
            let unstored = Unstored { why: Why::Complete, next_sequence: loaded.next_sequence, state_moved: false };
            return Err(Box::new(unstored));
        }
        let milestone = Cell::new(false);
        let mut sync = SmallVec::new();
        for page in submission.pages {
            self.decide(submission, page, loaded, now, &milestone, &mut events.emitted)?;
            sync.resize(events.emitted.events.len(), page.sync);
        }
        telemetry::decided(events.emitted.events.len());
        let first = loaded.next_sequence;
        let stored =
            events.emitted.events.iter().zip(first..).zip(&sync).map(|((event, sequence), sync)| StoredEvent {
                position: 0,
                sequence,
                created_at: now,
                type_name: event.type_name.clone(),
                schema_version: match event.schema_version {
                    0 => self.registry.upcasters.current_version(&event.type_name),
                    said => said,
                },
                payload: payloads::shared(&event.payload),
                headers: submission.headers.clone(),
                isolated: *sync == SyncMode::Isolated,
            });
        events.stored.extend(stored);
        let diverges_at = loaded.diverges_at;
        let mut extras = None;
        if let Some(along) = submission.along {
            let aftermath = events.emitted.aftermath.as_deref();
            let decided = Decided { key: &submission.key, headers: &submission.headers, first, now, aftermath };
            match along.extras(self, &decided) {
                Ok(more) => extras = Some(Box::new(more)),
                Err(refusal) => {
                    let why = self.why(submission, &submission.pages[0], refusal);
                    return Err(Box::new(Unstored { why, next_sequence: first, state_moved: true }));
                }
            }
        }
        if events.stored.is_empty() && submission.dedup.is_none() {
            // Neither events nor a key to remember.
            return Err(Box::new(Unstored { why: Why::NoEvent, next_sequence: first, state_moved: false }));
        }
        if let Some(last) = events.stored.last() {
            loaded.next_sequence = last.sequence + 1;
            loaded.last_created_at = now;
            loaded.diverges_at = None;
        }
        Ok(Prepared {
            sync,
            first,
            now,
            diverges_at,
            milestone: milestone.get(),
            state_bytes: None,
            waiting: None,
            extras,
        })
    }

    /// The one atomic step that stores what was prepared: events, dedup key, and a snapshot if one is due.
    pub(super) fn write(
        &self,
        submission: &Submission<'_>,
        loaded: &Loaded,
        prepared: &mut Prepared,
        stored: &[StoredEvent],
    ) -> Write {
        let mut events = SmallVec::new();
        events.extend(stored.iter().map(|event| NewEvent {
            type_name: event.type_name.clone(),
            schema_version: event.schema_version,
            payload: event.payload.clone(),
            isolated: event.isolated,
        }));
        let append = Append {
            key: submission.key.clone(),
            expected: prepared.first,
            events,
            created_at: prepared.now,
            headers: submission.headers.clone(),
            dedup: submission.dedup.clone(),
            diverged_at: prepared.diverges_at,
        };
        let snapshot = self.due_snapshot(submission, loaded, prepared.first, prepared.milestone);
        let mut extras = prepared.extras.take();
        if let Some(snapshot) = snapshot {
            prepared.state_bytes = Some(snapshot.snapshot.state.len());
            extras.get_or_insert_default().snapshots.push(snapshot);
        }
        Write { append: Some(append), extras }
    }

    /// Runs the handler of one command on the state that the commands before it left (row C8).
    fn decide(
        &self,
        submission: &Submission<'_>,
        page: &Page<'_>,
        loaded: &mut Loaded,
        now: Nanos,
        milestone: &Cell<bool>,
        events: &mut EventSink,
    ) -> Result<(), Box<Unstored>> {
        let before = events.events.len();
        let stream_next = loaded.next_sequence;
        let fail = |why: Why, state_moved| {
            let why = why.about(|| About::command(page.full_name()));
            Err(Box::new(Unstored { why, next_sequence: stream_next, state_moved }))
        };
        let next_sequence = stream_next.saturating_add(u32::try_from(before).unwrap_or(u32::MAX));
        if let Some(expected) = page.expected
            && expected != next_sequence
            && page.strategy() != MergeStrategy::AggregateHandles
        {
            let (strategy, subject) = (page.strategy(), Subject::default());
            let mismatch = Why::Mismatch { strategy, expected, actual: next_sequence, subject };
            return fail(mismatch, before > 0);
        }
        let context = CommandContext {
            key: &submission.key,
            headers: &submission.headers,
            expected: page.expected,
            next_sequence,
            now,
            ids: self.ids.as_ref(),
            milestone,
        };
        match catch_unwind(AssertUnwindSafe(|| page.command.decide(loaded.state.as_ref(), &context, events))) {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return fail(self.why(submission, page, refusal), before > 0),
            Err(panic) => {
                let error = self.panicked(submission, page.decider.method, page.decider.location, panic.as_ref());
                return fail(error.into(), before > 0);
            }
        }
        if events.aftermath.as_ref().is_some_and(|aftermath| aftermath.complete) && !loaded.complete {
            events.events.push(note(COMPLETED, &()));
            loaded.complete = true;
        }
        let new = &events.events[before..];
        if let Err(error) = self.check_size(stream_next, before, new) {
            // The end of a process may be noted on the state already (row P7): nothing of it is kept.
            return fail(error.into(), true);
        }
        for event in new {
            loaded.folded_bytes += event.payload.len() as u64;
            let applied = catch_unwind(AssertUnwindSafe(|| (event.apply)(loaded.state.as_mut(), &event.payload)));
            if !matches!(applied, Ok(Ok(()))) {
                return fail(self.not_applied(submission, page, event, applied).into(), true);
            }
        }
        Ok(())
    }

    fn why(&self, submission: &Submission<'_>, page: &Page<'_>, refusal: Refusal) -> Why {
        Why::Error(match refusal {
            Refusal::Rejected(rejection) => Error::Rejected(rejection),
            Refusal::Error(error) => error,
            Refusal::Failed(error) => Error::Reaction {
                handler: format!("{}::{}", submission.aggregate.descriptor.name, page.decider.method),
                permanent: error.is_permanent(),
                message: error.message().to_owned(),
                subject: Subject::default(),
            },
        })
    }

    /// The limits on what one command may give (section L).
    fn check_size(&self, stream_next: u32, before: usize, new: &[EmittedEvent]) -> Result<(), Error> {
        if new.len() > self.limits.events_per_command {
            let hint = "events from one command; split the command";
            return Err(Error::limit("events", new.len(), self.limits.events_per_command, hint));
        }
        if let Some(event) = new.iter().find(|it| it.payload.len() > self.limits.payload_bytes) {
            let hint = "bytes; store large content elsewhere and refer to it";
            let field = format!("event {}", event.type_name);
            return Err(Error::limit(field, event.payload.len(), self.limits.payload_bytes, hint));
        }
        let fits = u32::try_from(before + new.len()).ok().and_then(|count| stream_next.checked_add(count));
        if fits.is_none() {
            let limit = u32::MAX as usize;
            return Err(Error::limit("stream", limit, limit, "events in one stream; start a new root"));
        }
        Ok(())
    }

    /// The reference connects the answer with the log; the panic's text is for the log.
    fn panicked(
        &self,
        submission: &Submission<'_>,
        method: &str,
        location: Location,
        panic: &(dyn Any + Send),
    ) -> Error {
        let reference = self.ids.next_id();
        let handler = format!("{}::{method}", submission.aggregate.descriptor.name);
        let text = panic_text(panic);
        telemetry::panicked(submission, reference, &handler, location, text);
        Error::HandlerPanicked { handler, reference, subject: Subject::default() }
    }

    /// An event that its own aggregate cannot take must not be stored: no replay could take it either.
    fn not_applied(
        &self,
        submission: &Submission<'_>,
        page: &Page<'_>,
        event: &EmittedEvent,
        applied: std::thread::Result<Result<(), prost::DecodeError>>,
    ) -> Error {
        let apply = submission.aggregate.appliers.get(&event.type_name);
        match applied {
            Err(panic) => {
                let (method, location) =
                    apply.map_or((page.decider.method, page.decider.location), |it| (it.method, it.location));
                self.panicked(submission, method, location, panic.as_ref())
            }
            Ok(outcome) => Error::UnreadableReturn {
                handler: format!("{}::{}", submission.aggregate.descriptor.name, page.decider.method),
                type_name: event.type_name.to_string(),
                message: outcome.err().map_or_else(String::new, |error| error.to_string()),
                subject: Subject::default(),
            },
        }
    }
}
