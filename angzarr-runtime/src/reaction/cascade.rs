//! Cascades: a command that answers when everything that follows from it has happened (rows S4, S8, E).
//!
//! In: the events of a CASCADE command, and of every command that its reactions send. Out: an answer when all components
//! concerned have handled them, or as the error mode says. Never: a second way for events; a cascade waits for the same
//! subscriptions that would have handled them later (row S7).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{ComponentKind, WaitResult, Waiting};
use crate::command::{CascadeErrorMode, Core, Outcome, Provenance, Receipt};
use crate::error::{Code, Error, Result, Subject};
use crate::stream::{Edition, Headers, LogEvent, StoredEvent, StreamKey};

/// A reaction of a CASCADE that failed: its handler, or a command that it sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CascadeFailure {
    /// The component.
    pub component: String,
    /// What it is.
    pub kind: ComponentKind,
    /// The stream of the event that it reacted to.
    pub source: StreamKey,
    /// The event's sequence.
    pub sequence: u32,
    /// Which of the commands and facts that it sent; `None` where the handler itself failed.
    pub command_index: Option<u32>,
    /// Why it failed.
    pub message: String,
    /// The stable code of the failure: `REJECTED`, `CASCADE_TOO_DEEP`, …
    pub code: &'static str,
    /// The status that a failing request has.
    pub status: Code,
}

impl fmt::Display for CascadeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, kind, source, sequence, message, .. } = self;
        write!(f, "{} `{component}` at {source} #{sequence}: {message}", kind.as_str().replace('_', " "))
    }
}

/// A CASCADE whose request failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct CascadeFailed {
    /// The stream of the command.
    pub stream: StreamKey,
    /// The command's own events. They are stored.
    pub events: Vec<StoredEvent>,
    /// What failed, in the order in which it did; at least one.
    pub failures: Vec<CascadeFailure>,
    /// Commands of reactions whose compensation was recorded (row E3).
    pub compensated: usize,
    pub(crate) subject: Subject,
}

impl fmt::Display for CascadeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cascade of {} failed: ", self.stream)?;
        for (index, failure) in self.failures.iter().enumerate() {
            write!(f, "{}{failure}", if index > 0 { "; " } else { "" })?;
        }
        write!(f, "; the command's own {} events stay", self.events.len())?;
        if self.compensated > 0 { write!(f, ", {} commands are compensated", self.compensated) } else { Ok(()) }
    }
}

impl CascadeFailed {
    pub(crate) fn code(&self) -> &'static str {
        match self.failures.first() {
            Some(failure) if failure.code == TOO_DEEP => TOO_DEEP,
            _ => "CASCADE_FAILED",
        }
    }

    pub(crate) fn status(&self) -> Code {
        self.failures.first().map_or(Code::Internal, |failure| failure.status)
    }

    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let Some(failure) = self.failures.first() else { return Vec::new() };
        vec![
            ("component", failure.component.clone()),
            ("component_type", failure.kind.as_str().to_owned()),
            ("failure", failure.code.to_owned()),
            ("failures", self.failures.len().to_string()),
            ("compensated", self.compensated.to_string()),
        ]
    }
}

/// The code of a cascade that was stopped (row S8).
pub(super) const TOO_DEEP: &str = "CASCADE_TOO_DEEP";

/// A command of a reaction that had succeeded.
pub(crate) struct DoneCommand {
    pub(crate) provenance: Provenance,
    pub(crate) target: StreamKey,
    pub(crate) edition: Edition,
    pub(crate) headers: Headers,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// What one CASCADE command has set in motion.
pub(crate) struct Cascade {
    pub(crate) mode: CascadeErrorMode,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// Whom the answer still waits for.
    waiting: Vec<Waiting>,
    failures: Vec<CascadeFailure>,
    /// A compensation asked for the error to go to the caller, whatever the mode (row K4).
    aborted: bool,
    done: Vec<DoneCommand>,
    /// The cascade has ended and is undone: what succeeds from now on is undone as well.
    undoing: bool,
}

impl Cascade {
    pub(crate) fn new(mode: CascadeErrorMode) -> Arc<Self> {
        Arc::new(Self { mode, state: Mutex::default(), news: Notify::new() })
    }

    /// The answer waits for these as well.
    pub(super) fn adopt(&self, waiting: Waiting) {
        self.state.lock().waiting.push(waiting);
        self.news.notify_one();
    }

    pub(super) fn fail(&self, failure: CascadeFailure) {
        let mut state = self.state.lock();
        // A batch that comes again tells the same again.
        if !state.failures.contains(&failure) {
            state.failures.push(failure);
        }
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn abort(&self, failure: CascadeFailure) {
        self.state.lock().aborted = true;
        self.fail(failure);
    }

    /// Remembers what may have to be undone. Gives it back where the cascade is being undone already.
    pub(super) fn succeeded(&self, done: DoneCommand) -> Option<DoneCommand> {
        let mut state = self.state.lock();
        if state.done.iter().any(|it| it.provenance == done.provenance) {
            return None;
        }
        if state.undoing {
            return Some(done);
        }
        state.done.push(done);
        None
    }

    fn must_end(&self) -> bool {
        let state = self.state.lock();
        state.aborted || (self.mode == CascadeErrorMode::FailFast && !state.failures.is_empty())
    }

    /// Ends once the request has to fail at once.
    async fn ended_early(&self) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.must_end() {
                return;
            }
            news.await;
        }
    }
}

/// Where in a cascade something happens.
#[derive(Clone)]
pub(crate) struct CascadeLink {
    pub(crate) cascade: Arc<Cascade>,
    last: Option<Arc<Hop>>,
}

struct Hop {
    text: String,
    before: Option<Arc<Hop>>,
    depth: u32,
}

impl CascadeLink {
    /// The command that begins a cascade.
    pub(crate) fn begin(cascade: Arc<Cascade>) -> Self {
        Self { cascade, last: None }
    }

    /// One reaction further.
    pub(super) fn next(&self, component: &str, source: &StreamKey, sequence: u32) -> Self {
        let hop = Hop {
            text: format!("{component} at {source} #{sequence}"),
            before: self.last.clone(),
            depth: self.depth() + 1,
        };
        Self { cascade: self.cascade.clone(), last: Some(Arc::new(hop)) }
    }

    /// Reactions between the first command and here.
    pub(super) fn depth(&self) -> u32 {
        self.last.as_ref().map_or(0, |hop| hop.depth)
    }

    /// The way from the first command to here (row S8).
    pub(super) fn chain(&self) -> String {
        let mut hops = Vec::new();
        let mut next = self.last.as_ref();
        while let Some(hop) = next {
            hops.push(hop.text.as_str());
            next = hop.before.as_ref();
        }
        hops.reverse();
        hops.join(" → ")
    }
}

impl Core {
    /// What reactions in other processes have caused is found by the correlation id of the workflow, and waited for as well.
    /// Whether there was anything new. Without a correlation id such events are not waited for (row R5).
    async fn others_went_on(&self, outcome: &Outcome, cascade: &Arc<Cascade>, seen: &mut HashSet<u64>) -> Result<bool> {
        let Some(first) = outcome.events.first().filter(|_| self.ownership.is_shared()) else { return Ok(false) };
        let correlation_id = first.headers.correlation_id();
        if correlation_id.is_empty() {
            return Ok(false);
        }
        let link = CascadeLink::begin(cascade.clone());
        let mut news = false;
        for LogEvent { stream, event } in self.storage.read_correlation(correlation_id).await? {
            if event.position < first.position || event.isolated || !seen.insert(event.position) {
                continue;
            }
            news = true;
            if let Some(waiting) = self.waits.expect_caused(self, &stream, &event, &link) {
                cascade.adopt(waiting);
            }
        }
        Ok(news)
    }

    /// Waits for the end of a cascade and makes the answer (rows E).
    pub(crate) async fn end_cascade(
        &self,
        key: &StreamKey,
        mut outcome: Outcome,
        cascade: &Arc<Cascade>,
    ) -> Result<Receipt> {
        let deadline = tokio::time::Instant::now() + self.sync_deadline;
        let mut waited = WaitResult::default();
        let mut next = outcome.waiting.take();
        let mut is_first = true;
        let mut seen = HashSet::new();
        loop {
            let Some(waiting) = next.take().or_else(|| cascade.state.lock().waiting.pop()) else {
                if self.others_went_on(&outcome, cascade, &mut seen).await? {
                    continue;
                }
                break;
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            tokio::select! {
                biased;
                () = cascade.ended_early() => break,
                result = self.waits.wait(waiting, left) => waited.take_in(result, is_first),
            }
            is_first = false;
        }
        crate::telemetry::waited(&waited);
        waited = self.without_parked(key, &outcome.events, waited).await;
        let (failures, aborted, done) = {
            let mut state = cascade.state.lock();
            state.undoing = cascade.mode == CascadeErrorMode::Compensate && !state.failures.is_empty();
            let done = if state.undoing { std::mem::take(&mut state.done) } else { Vec::new() };
            (state.failures.clone(), state.aborted, done)
        };
        // Whose handler failed is told as a failure, not as done.
        waited.done.retain(|(component, sequence)| {
            let mut failures = failures.iter().filter(|failure| failure.command_index.is_none());
            !failures.any(|failure| {
                failure.component == *component && failure.source == *key && failure.sequence == *sequence
            })
        });
        let fails = match cascade.mode {
            CascadeErrorMode::FailFast | CascadeErrorMode::Compensate => !failures.is_empty(),
            CascadeErrorMode::Continue | CascadeErrorMode::DeadLetter => aborted,
        };
        if !fails {
            let listed = if cascade.mode == CascadeErrorMode::Continue { failures } else { Vec::new() };
            return Ok(Receipt::new(key.clone(), outcome, waited).with_failures(listed));
        }
        let compensated = self.compensate(done).await?;
        Err(Error::Cascade(Box::new(CascadeFailed {
            stream: key.clone(),
            events: outcome.events.into_vec(),
            failures,
            compensated,
            subject: Subject::default(),
        })))
    }
}
