//! Cascades: a command that answers when everything that follows from it has happened (rows S4, S8, E).
//!
//! In: the events of a CASCADE command, and of every command that its reactions send. Out: an answer when all components
//! concerned have handled them, or as the error mode says. Never: a second way for events; a cascade waits for the same
//! subscriptions that would have handled them later (row S7).

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::told::hop;
use super::{ComponentKind, Missing, Waiting};
use crate::command::{CascadeErrorMode, Core, Provenance};
use crate::error::{Code, Subject};
use crate::stream::{Edition, Headers, StoredEvent, StreamKey, WaitMark};

mod end;

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

impl CascadeFailure {
    /// Whether this is the same failure, by whatever way it came here.
    fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.sequence, it.command_index, it.code);
        key(self) == key(other) && self.component == other.component && self.source == other.source
    }
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
    /// Why not everything that is to be undone could be recorded: the store was out of reach. What had succeeded stays as it is then,
    /// until somebody undoes it by hand.
    pub not_undone: Option<String>,
    pub(crate) subject: Subject,
}

impl fmt::Display for CascadeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cascade of {} failed: ", self.stream)?;
        for (index, failure) in self.failures.iter().enumerate() {
            write!(f, "{}{failure}", if index > 0 { "; " } else { "" })?;
        }
        write!(f, "; the command's own {} events stay", self.events.len())?;
        if self.compensated > 0 {
            write!(f, ", {} commands are compensated", self.compensated)?;
        }
        match &self.not_undone {
            Some(reason) => write!(f, "; what else has succeeded has to be undone by hand: {reason}"),
            None => Ok(()),
        }
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
        let mut facts = vec![
            ("component", failure.component.clone()),
            ("component_type", failure.kind.as_str().to_owned()),
            ("failure", failure.code.to_owned()),
            ("failures", self.failures.len().to_string()),
            ("compensated", self.compensated.to_string()),
        ];
        facts.extend(self.not_undone.iter().map(|reason| ("not_undone", reason.clone())));
        facts
    }
}

/// The code of a cascade that was stopped (row S8).
pub(super) const TOO_DEEP: &str = "CASCADE_TOO_DEEP";
/// The code of a reaction whose own handler failed.
pub(super) const REACTION_FAILED: &str = "REACTION_FAILED";

/// A command of a reaction that had succeeded.
#[derive(Clone)]
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
    /// How it has ended; nothing before.
    over: watch::Sender<Option<End>>,
}

/// How somebody who waited for a cascade has ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With everything that follows, but for this.
    Waited(Vec<Missing>),
    /// Before: it failed, or its caller is gone.
    Early,
}

#[derive(Default)]
struct State {
    /// It has ended: nobody waits for anything more.
    closed: bool,
    /// Those that follow it, because their command is the same (row C10).
    followers: Vec<Weak<Cascade>>,
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
        Self::of(mode, mark, false)
    }

    fn of(mode: CascadeErrorMode, mark: Option<WaitMark>, is_elsewhere: bool) -> Arc<Self> {
        let (state, news, over) = (Mutex::default(), Notify::new(), watch::Sender::new(None));
        Arc::new(Self { mode, mark, is_elsewhere, state, news, over })
    }

    /// One that another process waits for.
    pub(super) fn elsewhere(mode: CascadeErrorMode, mark: WaitMark) -> Arc<Self> {
        Self::of(mode, Some(mark), true)
    }

    /// What its first command's events carry.
    pub(crate) fn mark(&self) -> Option<WaitMark> {
        self.mark
    }

    /// Whether a mark is of this one, and not of one that it has joined.
    pub(super) fn is_marked(&self, mark: &WaitMark) -> bool {
        self.mark.is_some_and(|own| own.wait() == mark.wait())
    }

    /// Whether an answer of another process is news.
    pub(super) fn hears(&self, key: &Bytes) -> bool {
        self.state.lock().heard.insert(key.clone())
    }

    /// The answer waits for these as well, and knows these events.
    fn adopt(&self, waiting: Waiting, events: &[StoredEvent]) {
        let mut state = self.state.lock();
        if state.closed {
            // Not under the lock: what was noted is taken back.
            drop(state);
            drop(waiting);
            return;
        }
        state.waiting.push(waiting);
        if self.mark.is_some() {
            state.noted.extend(events.iter().map(|event| event.position));
        }
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn fail(&self, failure: CascadeFailure) {
        let mut state = self.state.lock();
        // A batch that comes again tells the same again, and so does whoever has it from another process.
        if !state.failures.iter().any(|known| known.is_same(&failure)) {
            state.failures.push(failure.clone());
        }
        let followers = state.followers.clone();
        drop(state);
        self.news.notify_one();
        followers.iter().filter_map(Weak::upgrade).for_each(|it| it.fail(failure.clone()));
    }

    pub(super) fn abort(&self, failure: CascadeFailure) {
        let mut state = self.state.lock();
        state.aborted = true;
        let followers = state.followers.clone();
        drop(state);
        self.fail(failure.clone());
        followers.iter().filter_map(Weak::upgrade).for_each(|it| it.abort(failure.clone()));
    }

    /// Learns from now on what an earlier one of the same command learns, and what that knows already.
    fn follow(self: &Arc<Self>, earlier: &Self) {
        let mut state = earlier.state.lock();
        state.followers.push(Arc::downgrade(self));
        let (failures, aborted, done) = (state.failures.clone(), state.aborted, state.done.clone());
        drop(state);
        failures.into_iter().for_each(|failure| self.fail(failure));
        let mut state = self.state.lock();
        state.aborted |= aborted;
        state.done.extend(done);
    }

    /// It has ended. Whoever follows it knows by this what it has not waited for.
    pub(super) fn close(&self, end: &End) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // What was noted for it holds it, and it holds what was noted.
        drop(waiting);
        self.over.send_if_modified(|over| {
            let is_first = over.is_none();
            over.get_or_insert_with(|| end.clone());
            is_first
        });
    }

    /// Resolves when it has ended.
    async fn ended(&self) -> End {
        let mut over = self.over.subscribe();
        // The sender lives as long as this.
        over.wait_for(Option::is_some).await.ok().and_then(|over| over.clone()).unwrap_or(End::Early)
    }

    /// Remembers what may have to be undone. Gives it back where the cascade is being undone already.
    pub(super) fn succeeded(&self, done: DoneCommand) -> Option<DoneCommand> {
        let mut state = self.state.lock();
        let followers = state.followers.clone();
        let mut late = None;
        if !state.done.iter().any(|it| it.provenance == done.provenance) {
            match state.undoing {
                true => late = Some(done.clone()),
                false => state.done.push(done.clone()),
            }
        }
        drop(state);
        for follower in followers.iter().filter_map(Weak::upgrade) {
            late = follower.succeeded(done.clone()).or(late);
        }
        late
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

/// One reaction.
struct Hop {
    component: String,
    source: StreamKey,
    sequence: u32,
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

    /// Whoever has come late to a cascade may not know how far it has come.
    pub(super) fn no_nearer_than(self, depth: u32) -> Self {
        Self { depth: self.depth.max(depth), ..self }
    }

    /// Whether this process waits for it.
    pub(crate) fn is_here(&self) -> bool {
        !self.cascade.is_elsewhere
    }

    /// What the events carry that are stored here; `None` where no other process may wait for them.
    pub(super) fn mark(&self) -> Option<WaitMark> {
        self.cascade.mark.map(|mark| mark.at_depth(self.depth))
    }

    /// Whether another process undoes what has succeeded (row E3).
    pub(super) fn is_undone_elsewhere(&self) -> bool {
        self.cascade.is_elsewhere && self.cascade.mode == CascadeErrorMode::Compensate
    }

    /// Whether it is written down for other processes that it is undone.
    pub(super) fn may_be_undone(&self) -> bool {
        self.cascade.mark.is_some() && self.cascade.mode == CascadeErrorMode::Compensate
    }

    /// The cascades of this process that what happens here belongs to: those as well that have joined because their command was sent
    /// again (row C10), which may be at any time.
    fn here(&self, core: &Core) -> Vec<Arc<Cascade>> {
        let mut here: Vec<_> = std::iter::once(self.cascade.clone()).filter(|it| !it.is_elsewhere).collect();
        let marked = self.cascade.mark.map_or_else(Vec::new, |mark| core.waits.cascades(mark.wait()));
        let of_event = self.last.iter().flat_map(|hop| core.waits.links_of(&hop.component, &hop.source, hop.sequence));
        for cascade in marked.into_iter().chain(of_event.map(|link| link.cascade)) {
            if !here.iter().any(|it| Arc::ptr_eq(it, &cascade)) {
                here.push(cascade);
            }
        }
        here
    }

    /// Everybody here who waits learns of a failure.
    pub(super) fn fail(&self, core: &Core, failure: &CascadeFailure) {
        self.here(core).iter().for_each(|cascade| cascade.fail(failure.clone()));
    }

    /// The same for an abort (row K4).
    pub(super) fn abort(&self, core: &Core, failure: &CascadeFailure) {
        self.here(core).iter().for_each(|cascade| cascade.abort(failure.clone()));
    }

    /// The answer waits for what a reaction has stored as well.
    pub(super) fn adopt(&self, core: &Core, stream: &StreamKey, waiting: Option<Waiting>, events: &[StoredEvent]) {
        if let Some(waiting) = waiting {
            self.cascade.adopt(waiting, events);
        }
        for cascade in self.here(core).into_iter().filter(|it| !Arc::ptr_eq(it, &self.cascade)) {
            let link = Self::at(cascade.clone(), self.depth);
            for event in events {
                if let Some(waiting) = core.waits.expect_caused(core, stream, event, &link) {
                    cascade.adopt(waiting, std::slice::from_ref(event));
                }
            }
        }
    }

    /// Remembers what may have to be undone. Gives it back where one of the cascades is being undone already.
    pub(super) fn succeeded(&self, core: &Core, done: &DoneCommand) -> Option<DoneCommand> {
        let mut late = None;
        for cascade in self.here(core) {
            late = cascade.succeeded(done.clone()).or(late);
        }
        late
    }

    /// One reaction further.
    pub(super) fn next(&self, component: &str, source: &StreamKey, sequence: u32) -> Self {
        let (component, source) = (component.to_owned(), source.clone());
        let hop = Hop { component, source, sequence, before: self.last.clone() };
        Self { last: Some(Arc::new(hop)), depth: self.depth.saturating_add(1), ..self.clone() }
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
            hops.push(self::hop(&hop.component, &hop.source, hop.sequence));
            next = hop.before.as_ref();
        }
        hops.reverse();
        hops
    }
}
