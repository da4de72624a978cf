//! Cascades: a command that answers when everything that follows from it has happened (rows S4, S8, E).
//!
//! In: the events of a CASCADE command, and of every command that its reactions send. Out: an answer when all components
//! concerned have handled them, or as the error mode says. Never: a second way for events; a cascade waits for the same
//! subscriptions that would have handled them later (row S7).

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::process_manager::process_key;
use super::told::hop;
use super::wait_board::Passed;
use super::{ComponentKind, Missing, WaitResult, Waiting};
use crate::command::{CascadeErrorMode, Core, Outcome, Provenance, Receipt};
use crate::dead_letter::{Resolution, letter_id};
use crate::error::{Code, Error, Result, Subject};
use crate::storage::IntentFilter;
use crate::stream::{Edition, Headers, LogEvent, StoredEvent, StreamKey, WaitMark};

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
/// The code of a reaction whose own handler failed.
pub(super) const REACTION_FAILED: &str = "REACTION_FAILED";

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
    /// By what other processes know it, where there are any.
    mark: Option<WaitMark>,
    /// Another process waits for it: nothing of it is kept here, it is told there.
    is_elsewhere: bool,
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
    /// What other processes have told, by its key.
    heard: HashSet<Bytes>,
    /// Positions of events that somebody waits for already.
    noted: HashSet<u64>,
}

impl Cascade {
    pub(super) fn new(mode: CascadeErrorMode, mark: Option<WaitMark>) -> Arc<Self> {
        Arc::new(Self { mode, mark, is_elsewhere: false, state: Mutex::default(), news: Notify::new() })
    }

    /// One that another process waits for.
    pub(super) fn elsewhere(mode: CascadeErrorMode, mark: WaitMark) -> Arc<Self> {
        Arc::new(Self { mode, mark: Some(mark), is_elsewhere: true, state: Mutex::default(), news: Notify::new() })
    }

    /// What its first command's events carry.
    pub(crate) fn mark(&self) -> Option<WaitMark> {
        self.mark
    }

    /// Whether an answer of another process is news.
    pub(super) fn hears(&self, key: &Bytes) -> bool {
        self.state.lock().heard.insert(key.clone())
    }

    /// The answer waits for these as well, and knows these events.
    pub(super) fn adopt(&self, waiting: Waiting, events: &[StoredEvent]) {
        let mut state = self.state.lock();
        state.waiting.push(waiting);
        if self.mark.is_some() {
            state.noted.extend(events.iter().map(|event| event.position));
        }
        drop(state);
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
    /// The reactions that this process knows of.
    last: Option<Arc<Hop>>,
    depth: u32,
}

struct Hop {
    text: String,
    before: Option<Arc<Hop>>,
}

impl CascadeLink {
    /// The command that begins a cascade.
    pub(crate) fn begin(cascade: Arc<Cascade>) -> Self {
        Self::at(cascade, 0)
    }

    /// Somewhere in it, so many reactions behind its beginning.
    pub(super) fn at(cascade: Arc<Cascade>, depth: u32) -> Self {
        Self { cascade, last: None, depth }
    }

    /// Whether this process waits for it.
    pub(crate) fn is_here(&self) -> bool {
        !self.cascade.is_elsewhere
    }

    /// What the events carry that are stored here; `None` where no other process may wait for them.
    pub(super) fn mark(&self) -> Option<WaitMark> {
        self.cascade.mark.map(|mark| mark.at_depth(self.depth))
    }

    /// One reaction further.
    pub(super) fn next(&self, component: &str, source: &StreamKey, sequence: u32) -> Self {
        let hop = Hop { text: hop(component, source, sequence), before: self.last.clone() };
        Self { cascade: self.cascade.clone(), last: Some(Arc::new(hop)), depth: self.depth.saturating_add(1) }
    }

    /// Reactions between the first command and here.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// The way from the first command to here, as far as this process knows it (row S8).
    pub(super) fn chain(&self) -> Vec<String> {
        let mut hops = Vec::new();
        let mut next = self.last.as_ref();
        while let Some(hop) = next {
            hops.push(hop.text.clone());
            next = hop.before.as_ref();
        }
        hops.reverse();
        hops
    }
}

impl Core {
    /// What reactions in other processes have caused is found by the mark that its events carry, and waited for as well; where the
    /// command's own events do not carry the mark of this cascade, because an earlier one has stored them, by the correlation id
    /// of the workflow too. Whether there was anything new (row R5).
    async fn others_went_on(&self, outcome: &Outcome, cascade: &Arc<Cascade>, known: &mut Known) -> Result<bool> {
        let Some(first) = outcome.events.first().filter(|_| self.ownership.is_shared()) else { return Ok(false) };
        self.hear().await;
        let own = cascade.mark().map(|mark| mark.wait());
        let marked = first.headers.wait().map(WaitMark::wait);
        let mut found = Vec::new();
        for wait in own.into_iter().chain(marked.filter(|marked| own != Some(*marked))) {
            found.extend(self.storage.read_wait(wait).await?);
        }
        let correlation_id = first.headers.correlation_id();
        if marked != own && !correlation_id.is_empty() {
            found.extend(self.storage.read_correlation(correlation_id).await?);
        }
        let link = CascadeLink::begin(cascade.clone());
        let mut news = false;
        for LogEvent { stream, event } in found {
            let is_known = cascade.state.lock().noted.contains(&event.position);
            if event.position < first.position || event.isolated || !known.events.insert(event.position) || is_known {
                continue;
            }
            news = true;
            if let Some(waiting) = self.waits.expect_caused(self, &stream, &event, &link) {
                cascade.adopt(waiting, &[]);
            }
            known.note(self, &stream, &event);
        }
        if news {
            // What was told before it was noted here.
            self.hear().await;
        }
        Ok(news)
    }

    /// Of what was passed, as positions say, what others have told, and what waits in the dead letters: a failure of the cascade.
    async fn settle_passed(&self, outcome: &Outcome, cascade: &Cascade, stream: &StreamKey, result: &mut WaitResult) {
        if result.passed.is_empty() || cascade.mark().is_none() || outcome.duplicate {
            return;
        }
        self.hear_of_passed(&outcome.events, stream, result, Some(cascade)).await;
        // Nobody has told it: whoever ran it may have died on the way.
        for passed in std::mem::take(&mut result.passed) {
            let Passed { component, sequence, position } = passed;
            match self.storage.dead_letter(letter_id(component, stream, sequence, position)).await {
                Ok(Some(letter)) if !matches!(letter.resolution, Some(Resolution::Retried { .. })) => {
                    cascade.fail(CascadeFailure {
                        component: component.to_owned(),
                        kind: self.kind_of(component),
                        source: stream.clone(),
                        sequence,
                        command_index: None,
                        message: letter.letter.rejection_reason,
                        code: REACTION_FAILED,
                        status: Code::Internal,
                    });
                }
                _ => result.passed.push(passed),
            }
        }
    }

    /// What reactions of a cascade have decided to send and not sent yet: whoever was about to has died, and somebody else will.
    async fn left_to_send(&self, cascade: &Cascade, known: &Known) -> Result<Vec<Missing>> {
        let Some(mark) = cascade.mark() else { return Ok(Vec::new()) };
        let of_streams = known.streams.iter().map(|stream| async {
            let filter = IntentFilter { stream: Some(stream.clone()), ..IntentFilter::default() };
            self.storage.intents(&filter).await
        });
        let mut left = Vec::new();
        for intents in futures_util::future::try_join_all(of_streams).await? {
            for intent in intents {
                // One that failed is tried again later, and not waited for: as within one process.
                if intent.attempts > 0 {
                    continue;
                }
                let Some((found, provenance)) = super::plan::mark_of(&intent) else { continue };
                if found.wait() == mark.wait() {
                    left.push(Missing {
                        component: provenance.component.to_string(),
                        kind: self.kind_of(&provenance.component),
                        stream: provenance.source,
                        sequence: provenance.source_seq,
                        reason: Some("not everything was sent when the deadline passed; it will be".to_owned()),
                    });
                }
            }
        }
        Ok(left)
    }

    /// What has to be undone: what this process knows of, and what the store does (row E3).
    async fn to_undo(&self, cascade: &Cascade, done: Vec<DoneCommand>, is_open: bool) -> Result<Vec<DoneCommand>> {
        let Some(mark) = cascade.mark() else { return Ok(done) };
        if is_open {
            // First of all: what succeeds behind the look into the store is undone by whoever runs it.
            self.say_undoing(&mark).await?;
        }
        let mut all = self.succeeded_in(&mark).await?;
        for done in done {
            if !all.iter().any(|it| it.provenance == done.provenance) {
                all.push(done);
            }
        }
        Ok(all)
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
        let mut known = Known::default();
        for event in &outcome.events {
            known.note(self, key, event);
            known.events.insert(event.position);
        }
        let mut is_first = true;
        let ended_early = loop {
            let Some(waiting) = next.take().or_else(|| cascade.state.lock().waiting.pop()) else {
                if self.others_went_on(&outcome, cascade, &mut known).await? {
                    continue;
                }
                let left = self.left_to_send(cascade, &known).await?;
                if !left.is_empty() && tokio::time::Instant::now() < deadline {
                    tokio::select! {
                        biased;
                        () = cascade.ended_early() => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => continue,
                    }
                }
                waited.missing.extend(left);
                break cascade.must_end();
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let stream = waiting.stream().clone();
            tokio::select! {
                biased;
                () = cascade.ended_early() => break true,
                mut result = self.waits.wait(waiting, left) => {
                    self.settle_passed(&outcome, cascade, &stream, &mut result).await;
                    waited.take_in(result, is_first);
                }
            }
            is_first = false;
        };
        crate::telemetry::waited(&waited);
        waited = self.without_parked(key, &outcome.events, waited).await;
        let (failures, aborted, undoing, mut done) = {
            let mut state = cascade.state.lock();
            state.undoing = cascade.mode == CascadeErrorMode::Compensate && !state.failures.is_empty();
            let done = if state.undoing { std::mem::take(&mut state.done) } else { Vec::new() };
            (state.failures.clone(), state.aborted, state.undoing, done)
        };
        if undoing {
            done = self.to_undo(cascade, done, ended_early || !waited.missing.is_empty()).await?;
        }
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

/// How often somebody looks whether everything was sent.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What whoever waits for a cascade has found out.
#[derive(Default)]
struct Known {
    /// The events of it, by position.
    events: HashSet<u64>,
    /// The streams on which its reactions may have decided to send something.
    streams: BTreeSet<StreamKey>,
}

impl Known {
    fn note(&mut self, core: &Core, stream: &StreamKey, event: &StoredEvent) {
        if !core.ownership.is_shared() {
            return;
        }
        self.streams.insert(stream.clone());
        let correlation_id = event.headers.correlation_id();
        if !correlation_id.is_empty() {
            let processes = core.registry.process_managers.values();
            let own = processes.map(|it| process_key(it.descriptor.state.domain, &stream.edition, correlation_id));
            self.streams.extend(own);
        }
    }
}
