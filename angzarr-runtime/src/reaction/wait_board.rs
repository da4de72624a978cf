//! What SIMPLE and CASCADE commands wait for: these very events, in each component concerned (row S9).
//!
//! In: an expectation, noted before the events are stored, so that no component can be too fast. Out: who has the events,
//! their projections, and who had not finished when the deadline passed. Never: a conclusion about events of this command
//! from positions of others'.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::cascade::REACTION_FAILED;
use super::{Cascade, CascadeFailure, CascadeLink, ComponentKind};
use crate::command::{Core, Projection, Submission, SyncMode};
use crate::error::Code;
use crate::storage::Dedup;
use crate::stream::{StoredEvent, StreamKey, WaitMark};

/// A component that had not handled an event when the answer had to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The component.
    pub component: String,
    /// What it is.
    pub kind: ComponentKind,
    /// The stream of the event.
    pub stream: StreamKey,
    /// The event.
    pub sequence: u32,
    /// Why, where it is known: it failed and is parked in the dead letters, or the runtime was stopped.
    pub reason: Option<String>,
}

/// How a wait ended.
#[derive(Debug, Default)]
pub(crate) struct WaitResult {
    pub(crate) projections: Vec<Projection>,
    /// Which component has handled which event.
    pub(crate) done: Vec<(&'static str, u32)>,
    /// Which one has passed it, as its position says: handled, or in the dead letters.
    pub(crate) passed: Vec<Passed>,
    pub(crate) missing: Vec<Missing>,
}

/// That the position of a component says that it has been at an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) component: &'static str,
    pub(crate) sequence: u32,
    pub(crate) position: u64,
}

impl WaitResult {
    /// Takes in what another wait came to; of a cascade's later events only what is missing is answered.
    pub(super) fn take_in(&mut self, other: Self, whole: bool) {
        if whole {
            self.projections.extend(other.projections);
            self.done.extend(other.done);
            self.passed.extend(other.passed);
        }
        // What was waited for twice is missing once.
        for missing in other.missing {
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        }
    }
}

/// A noted expectation; it ends with this. In a box, because most commands carry none.
pub(crate) struct Waiting(Box<Noted>);

impl Waiting {
    /// Whose events it waits for.
    pub(super) fn stream(&self) -> &StreamKey {
        &self.0.key
    }
}

struct Noted {
    board: Arc<Board>,
    id: u64,
    key: StreamKey,
    done: oneshot::Receiver<()>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.board.take(&self.key, self.id);
    }
}

struct Expectation {
    id: u64,
    /// By what other processes know whom to tell.
    wait: Option<Uuid>,
    /// The cascade that its events belong to.
    link: Option<CascadeLink>,
    open: Vec<Open>,
    result: WaitResult,
    done: Option<oneshot::Sender<()>>,
}

/// How a component is done with an event.
enum Settled {
    Handled(Option<prost_types::Any>),
    /// Its position is behind it: handled, or in the dead letters.
    Passed,
    Missed(String),
}

/// A component that still has to handle an event.
struct Open {
    component: &'static str,
    kind: ComponentKind,
    partition: u32,
    sequence: u32,
    /// Where the event is, if it was stored before, or other processes are at work too.
    position: Option<u64>,
}

impl Open {
    /// Whether its component has passed the event.
    fn is_passed(&self, positions: &HashMap<Share, u64>) -> bool {
        self.position.is_some_and(|at| positions.get(&(self.component, self.partition)) >= Some(&at))
    }
}

impl Expectation {
    /// Moves what is done out of `open`; who waits is told when nothing is left.
    fn settle(&mut self, key: &StreamKey, is_done: impl Fn(&Open) -> bool, outcome: &Settled) {
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            if !is_done(open) {
                index += 1;
                continue;
            }
            let Open { component, kind, sequence, position, .. } = self.open.swap_remove(index);
            match outcome {
                Settled::Passed => {
                    let position = position.unwrap_or_default();
                    self.result.passed.push(Passed { component, sequence, position });
                }
                Settled::Handled(projection) => {
                    self.result.done.push((component, sequence));
                    self.result.projections.extend(projection.clone().map(|projection| Projection {
                        projector: component.to_owned(),
                        sequence,
                        projection,
                    }));
                }
                Settled::Missed(reason) => self.result.missing.push(Missing {
                    component: component.to_owned(),
                    kind,
                    stream: key.clone(),
                    sequence,
                    reason: Some(reason.clone()),
                }),
            }
        }
        if self.open.is_empty()
            && let Some(done) = self.done.take()
        {
            // If the waiter goes in this very moment, nobody wants to know.
            let _gone = done.send(());
        }
    }
}

#[derive(Default)]
pub(crate) struct WaitBoard(Arc<Board>);

/// A share of a component: its name and a partition.
pub(super) type Share = (&'static str, u32);

#[derive(Default)]
struct Board {
    /// Read before the lock is taken: in most systems nobody waits.
    waiting: AtomicUsize,
    next_id: AtomicU64,
    notes: Mutex<Notes>,
    /// Somebody begins to wait.
    news: Notify,
    /// Somebody has ended whom others knew of.
    over: Notify,
}

#[derive(Default)]
struct Notes {
    /// By stream: commands of one stream take turns, so there are few to each.
    expectations: HashMap<StreamKey, Vec<Expectation>>,
    /// Where each component stands, as far as it is known.
    positions: HashMap<Share, u64>,
    /// The cascades that others may tell something of, by wait.
    cascades: HashMap<Uuid, Listeners>,
    /// Waits that others knew of, and that are over.
    ended: Vec<Uuid>,
    /// The cascades of commands that may be repeated, in the order in which they came (row C10).
    commands: HashMap<(StreamKey, Dedup), Vec<Weak<Cascade>>>,
    /// Nobody handles anything any more.
    closed: bool,
}

/// Those who wait here for what others tell to one wait.
#[derive(Default)]
struct Listeners {
    cascades: Vec<Weak<Cascade>>,
    /// The wait began here, and is over: nobody else may need what was told to it but those who listen here.
    is_over: bool,
}

/// Somebody here waits for what others tell. It is over with this.
pub(crate) struct Marked {
    board: Arc<Board>,
    wait: Uuid,
    /// What was told is not needed any more when it is over. That of others who listen is theirs, and a command that may be repeated
    /// may have listeners in other processes: it goes by its age.
    is_own: bool,
    cascade: Option<Weak<Cascade>>,
}

/// A cascade that may be followed. It is over with this.
pub(crate) struct Listed {
    board: Arc<Board>,
    command: (StreamKey, Dedup),
    cascade: Weak<Cascade>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut notes = self.board.notes.lock();
        if let Some(listed) = notes.commands.get_mut(&self.command) {
            listed.retain(|it| !it.ptr_eq(&self.cascade));
            if listed.is_empty() {
                notes.commands.remove(&self.command);
            }
        }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        let mut notes = self.board.notes.lock();
        let Notes { cascades, ended, .. } = &mut *notes;
        let mut is_over = self.is_own;
        if let Some(listeners) = cascades.get_mut(&self.wait) {
            listeners.cascades.retain(|it| self.cascade.as_ref().is_none_or(|own| !own.ptr_eq(it)));
            listeners.is_over |= self.is_own;
            if !listeners.cascades.is_empty() {
                return;
            }
            is_over = listeners.is_over;
            cascades.remove(&self.wait);
        }
        if is_over {
            ended.push(self.wait);
            drop(notes);
            self.board.over.notify_one();
        }
    }
}

impl WaitBoard {
    /// Notes what the SIMPLE and CASCADE pages of a submission wait for; `None` where there is nothing to wait for.
    pub(crate) fn expect(
        &self,
        core: &Core,
        submission: &Submission<'_>,
        events: &[StoredEvent],
        sync: &[SyncMode],
    ) -> Option<Waiting> {
        if !sync.iter().any(|sync| sync.waits()) {
            return None;
        }
        let waited_for = events.iter().zip(sync).filter(|(_, sync)| sync.waits());
        let waited_for = waited_for.map(|(event, sync)| (event, None, *sync == SyncMode::Cascade));
        self.note(core, &submission.key, waited_for, submission.link, None)
    }

    /// The same for events that an earlier run of the command stored (row C10).
    ///
    /// Here a component's own position counts: what is noted is one event's own position, and whoever is at or behind it
    /// has been at this very event.
    pub(crate) fn expect_stored(
        &self,
        core: &Core,
        submission: &Submission<'_>,
        events: &[StoredEvent],
    ) -> Option<Waiting> {
        let everybody = submission.pages.iter().any(|page| page.sync == SyncMode::Cascade);
        let waited_for = events.iter().filter(|event| !event.isolated);
        let waited_for = waited_for.map(|event| (event, Some(event.position), everybody));
        self.note(core, &submission.key, waited_for, submission.link, None)
    }

    /// The same for an event that a reaction in another process has caused.
    pub(super) fn expect_caused(
        &self,
        core: &Core,
        key: &StreamKey,
        event: &StoredEvent,
        link: &CascadeLink,
    ) -> Option<Waiting> {
        self.note(core, key, std::iter::once((event, Some(event.position), true)), Some(link), None)
    }

    /// The same for stored events that a caller gives, in one projector.
    #[cfg(feature = "server")]
    pub(crate) fn expect_given(
        &self,
        core: &Core,
        key: &StreamKey,
        events: &[StoredEvent],
        projector: &str,
    ) -> Option<Waiting> {
        let waited_for = events.iter().map(|event| (event, Some(event.position), false));
        self.note(core, key, waited_for, None, Some(projector))
    }

    /// Each event comes with its position, if it is stored, and with whether sagas and process managers count.
    fn note<'e>(
        &self,
        Core { registry, ownership, .. }: &Core,
        key: &StreamKey,
        events: impl Iterator<Item = (&'e StoredEvent, Option<u64>, bool)>,
        link: Option<&CascadeLink>,
        only: Option<&str>,
    ) -> Option<Waiting> {
        let domain = key.domain.as_str();
        let (mut open, mut wait) = (Vec::new(), None);
        for (event, position, everybody) in events {
            wait = wait.or_else(|| event.headers.wait().map(WaitMark::wait));
            let name = event.type_name.as_str();
            let mut concerns = |component, kind| {
                let partition = match kind {
                    ComponentKind::Saga => ownership.partition_of(key),
                    ComponentKind::ProcessManager => ownership.partition_of_process(key, &event.headers),
                    ComponentKind::Projector => 0,
                };
                open.push(Open { component, kind, partition, sequence: event.sequence, position });
            };
            for projector in registry.projectors.values() {
                let descriptor = projector.descriptor;
                let sees = only.is_none_or(|only| only == descriptor.name)
                    && descriptor.domains.contains(&domain)
                    && (key.is_main() || descriptor.all_editions);
                if sees && projector.handles(name) {
                    concerns(descriptor.name, ComponentKind::Projector);
                }
            }
            if !everybody {
                continue;
            }
            for saga in registry.sagas.values() {
                if saga.descriptor.domain == domain && saga.handles(name) {
                    concerns(saga.descriptor.name, ComponentKind::Saga);
                }
            }
            for process in registry.process_managers.values() {
                if process.descriptor.sources.contains(&domain) && process.handles(name) {
                    concerns(process.descriptor.state.domain, ComponentKind::ProcessManager);
                }
            }
        }
        if open.is_empty() {
            return None;
        }
        let (sender, done) = oneshot::channel();
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (link, result) = (link.cloned(), WaitResult::default());
        let mut expectation = Expectation { id, wait, link, open, result, done: Some(sender) };
        let mut notes = self.0.notes.lock();
        let positions = &notes.positions;
        // Under the lock under which positions are told, so that none is missed.
        expectation.settle(key, |open| open.is_passed(positions), &Settled::Passed);
        if notes.closed {
            expectation.settle(key, |_| true, &stopped());
        }
        notes.expectations.entry(key.clone()).or_default().push(expectation);
        self.0.waiting.fetch_add(1, Ordering::Release);
        drop(notes);
        self.0.news.notify_one();
        Some(Waiting(Box::new(Noted { board: self.0.clone(), id, key: key.clone(), done })))
    }

    /// Waits until everything noted has happened, or the deadline has passed.
    pub(crate) async fn wait(&self, Waiting(mut waiting): Waiting, deadline: Duration) -> WaitResult {
        let in_time = tokio::time::timeout(deadline, &mut waiting.done).await.is_ok();
        let Some(expectation) = self.0.take(&waiting.key, waiting.id) else { return WaitResult::default() };
        let mut result = expectation.result;
        let open: Vec<Missing> = expectation
            .open
            .into_iter()
            .map(|open| Missing {
                component: open.component.to_owned(),
                kind: open.kind,
                stream: waiting.key.clone(),
                sequence: open.sequence,
                reason: None,
            })
            .collect();
        if !in_time {
            tracing::warn!(stream = %waiting.key, ?open, "components were not done when the deadline passed");
        }
        result.missing.extend(open);
        result.projections.sort_by(|a, b| (a.sequence, &a.projector).cmp(&(b.sequence, &b.projector)));
        result
    }

    /// Where in their cascades those are who wait for a component that is about to handle an event.
    pub(super) fn links_of(&self, component: &str, key: &StreamKey, sequence: u32) -> Vec<CascadeLink> {
        if self.0.waiting.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let notes = self.0.notes.lock();
        let is_it = |open: &Open| open.component == component && open.sequence == sequence;
        let of_stream = notes.expectations.get(key).into_iter().flatten();
        of_stream.filter_map(|it| it.link.clone().filter(|_| it.open.iter().any(is_it))).collect()
    }

    /// A component has handled an event and committed what it made of it, or gave up on it. Whether somebody waited for that.
    pub(crate) fn handled(
        &self,
        component: &str,
        key: &StreamKey,
        sequence: u32,
        outcome: Result<Option<prost_types::Any>, String>,
    ) -> bool {
        if self.0.waiting.load(Ordering::Acquire) == 0 {
            return false;
        }
        let settled = match outcome {
            Ok(projection) => Settled::Handled(projection),
            Err(reason) => Settled::Missed(reason),
        };
        let (mut failed, mut waited) = (Vec::new(), false);
        let mut notes = self.0.notes.lock();
        for expectation in notes.expectations.get_mut(key).into_iter().flatten() {
            let is_it = |open: &Open| open.component == component && open.sequence == sequence;
            let Some(kind) = expectation.open.iter().find(|open| is_it(open)).map(|open| open.kind) else { continue };
            waited = true;
            if let (Settled::Missed(reason), Some(link)) = (&settled, &expectation.link) {
                let failure = CascadeFailure {
                    component: component.to_owned(),
                    kind,
                    source: key.clone(),
                    sequence,
                    command_index: None,
                    message: reason.clone(),
                    code: REACTION_FAILED,
                    status: Code::Internal,
                };
                failed.push((link.cascade.clone(), failure));
                // A failure of the cascade, told as such: nobody waits for it any more.
                expectation.settle(key, is_it, &Settled::Handled(None));
            } else {
                expectation.settle(key, is_it, &settled);
            }
        }
        drop(notes);
        for (cascade, failure) in failed {
            cascade.fail(failure);
        }
        waited
    }

    /// A component has handled everything of a partition up to a position. Whether somebody waited for that.
    pub(crate) fn reached(&self, component: &'static str, partition: u32, position: u64) -> bool {
        let mut notes = self.0.notes.lock();
        notes.positions.insert((component, partition), position);
        if self.0.waiting.load(Ordering::Acquire) == 0 {
            return false;
        }
        let Notes { expectations, positions, .. } = &mut *notes;
        let mut news = false;
        for (key, of_stream) in expectations {
            for expectation in of_stream {
                let before = expectation.open.len();
                let is_it = |open: &Open| (open.component, open.partition) == (component, partition);
                expectation.settle(key, |open| is_it(open) && open.is_passed(positions), &Settled::Passed);
                news |= expectation.open.len() < before;
            }
        }
        news
    }

    /// The events that are waited for are stored. Where other processes are at work too, it is by their positions that one knows
    /// of them: what is compared is an event's own position with the checkpoint of its own share (row S9).
    pub(crate) fn located(&self, Waiting(waiting): &Waiting, events: &[StoredEvent]) {
        let mut notes = self.0.notes.lock();
        let Notes { expectations, positions, .. } = &mut *notes;
        let of_stream = expectations.get_mut(&waiting.key).into_iter().flatten();
        for expectation in of_stream.filter(|it| it.id == waiting.id) {
            for open in &mut expectation.open {
                let event = events.iter().find(|event| event.sequence == open.sequence);
                open.position = event.map(|event| event.position).or(open.position);
            }
            expectation.settle(&waiting.key, |open| open.is_passed(positions), &Settled::Passed);
        }
    }

    /// Which shares somebody waits for.
    pub(super) fn open(&self) -> HashSet<Share> {
        let notes = self.0.notes.lock();
        let open = notes.expectations.values().flatten().flat_map(|expectation| &expectation.open);
        open.map(|open| (open.component, open.partition)).collect()
    }

    /// A wait begins that other processes know of.
    pub(crate) fn marked(&self, mark: &WaitMark) -> Marked {
        Marked { board: self.0.clone(), wait: mark.wait(), is_own: true, cascade: None }
    }

    /// The same for a cascade: what others tell of it goes to it.
    pub(super) fn begins(&self, cascade: &Arc<Cascade>, may_be_repeated: bool) -> Option<Marked> {
        Some(self.listens(cascade, cascade.mark()?.wait(), !may_be_repeated))
    }

    /// What others tell to an earlier wait goes to a cascade as well: its command was sent before (row C10).
    pub(super) fn joins(&self, cascade: &Arc<Cascade>, wait: Uuid) -> Marked {
        self.listens(cascade, wait, false)
    }

    fn listens(&self, cascade: &Arc<Cascade>, wait: Uuid, is_own: bool) -> Marked {
        let cascade = Arc::downgrade(cascade);
        self.0.notes.lock().cascades.entry(wait).or_default().cascades.push(cascade.clone());
        Marked { board: self.0.clone(), wait, is_own, cascade: Some(cascade) }
    }

    /// The cascades that wait here for what is told to a wait; the one that began with it comes first.
    pub(super) fn cascades(&self, wait: Uuid) -> Vec<Arc<Cascade>> {
        let notes = self.0.notes.lock();
        let listeners = notes.cascades.get(&wait).map_or(&[][..], |it| &it.cascades);
        listeners.iter().filter_map(Weak::upgrade).collect()
    }

    /// The waits that others may tell something to.
    pub(super) fn waits(&self) -> Vec<Uuid> {
        let notes = self.0.notes.lock();
        let of_open = notes.expectations.values().flatten().filter_map(|expectation| expectation.wait);
        let waits: HashSet<Uuid> = of_open.chain(notes.cascades.keys().copied()).collect();
        waits.into_iter().collect()
    }

    /// Waits that are over, and of which others may still have told something.
    pub(super) fn take_ended(&self) -> Vec<Uuid> {
        let mut notes = self.0.notes.lock();
        let Notes { cascades, ended, .. } = &mut *notes;
        let mut taken = std::mem::take(ended);
        taken.retain(|wait| match cascades.get_mut(wait) {
            // Somebody has joined meanwhile: it ends with them.
            Some(listeners) => {
                listeners.is_over = true;
                false
            }
            None => true,
        });
        taken
    }

    /// A cascade begins, or is repeated: whoever comes later with the same command follows it. Answers the one to follow.
    pub(super) fn lists(&self, command: (StreamKey, Dedup), cascade: &Arc<Cascade>) -> (Listed, Option<Arc<Cascade>>) {
        let mut notes = self.0.notes.lock();
        let listed = notes.commands.entry(command.clone()).or_default();
        let earlier = listed.iter().find_map(Weak::upgrade);
        let cascade = Arc::downgrade(cascade);
        listed.push(cascade.clone());
        (Listed { board: self.0.clone(), command, cascade }, earlier)
    }

    /// Resolves when a wait is over that others knew of.
    pub(super) async fn somebody_has_ended(&self) {
        while self.0.notes.lock().ended.is_empty() {
            self.0.over.notified().await;
        }
    }

    /// Resolves when somebody waits.
    pub(super) async fn somebody_waits(&self) {
        while self.0.waiting.load(Ordering::Acquire) == 0 {
            self.0.news.notified().await;
        }
    }

    /// Streams of an edition are gone: nobody waits for their events in vain (row B5).
    pub(crate) fn discarded(&self, is_gone: impl Fn(&StreamKey) -> bool) {
        let mut notes = self.0.notes.lock();
        let gone = Settled::Missed("its edition was discarded".to_owned());
        for (key, of_stream) in notes.expectations.iter_mut().filter(|(key, _)| is_gone(key)) {
            of_stream.iter_mut().for_each(|expectation| expectation.settle(key, |_| true, &gone));
        }
    }

    /// The components have stopped: nobody waits in vain (row R6).
    pub(crate) fn close(&self) {
        let mut notes = self.0.notes.lock();
        notes.closed = true;
        for (key, of_stream) in &mut notes.expectations {
            of_stream.iter_mut().for_each(|expectation| expectation.settle(key, |_| true, &stopped()));
        }
    }
}

fn stopped() -> Settled {
    Settled::Missed("the runtime was stopped; the event is handled after the next start".to_owned())
}

impl Board {
    fn take(&self, key: &StreamKey, id: u64) -> Option<Expectation> {
        let mut notes = self.notes.lock();
        let of_stream = notes.expectations.get_mut(key)?;
        let index = of_stream.iter().position(|expectation| expectation.id == id)?;
        let taken = of_stream.swap_remove(index);
        if of_stream.is_empty() {
            notes.expectations.remove(key);
        }
        self.waiting.fetch_sub(1, Ordering::Release);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::registry::Registry;
    use crate::stream::Headers;

    fn an_event(type_name: &str) -> StoredEvent {
        StoredEvent {
            position: 0,
            sequence: 0,
            created_at: 0,
            type_name: type_name.into(),
            schema_version: 1,
            payload: bytes::Bytes::new(),
            headers: Headers::default(),
            isolated: false,
        }
    }

    /// A core, and an event on a stream that one of its projectors has a handler for.
    fn what_a_projector_handles() -> (Core, StreamKey, StoredEvent) {
        let builder = crate::Runtime::builder();
        let (registry, _) = Registry::collect_all(&crate::Limits::default(), |_, _| {});
        let core = builder.core(registry, Arc::new(crate::Memory::new()));
        let projector = core.registry.projectors.values().next().expect("a projector in this program");
        let key = StreamKey::main(projector.descriptor.domains[0], Uuid::nil());
        let event = an_event(projector.handlers.keys().next().expect("a handler"));
        (core, key, event)
    }

    /// A cascade that ends holds nothing that it has noted, nor takes anything more.
    #[test]
    fn s9_a_cascade_that_has_ended_leaves_nothing_behind() {
        let (core, key, event) = what_a_projector_handles();
        let board = &core.waits;
        let command = (key.clone(), Dedup(bytes::Bytes::from_static(b"once")));
        let begun = core.begin_cascade(crate::CascadeErrorMode::FailFast, Some(command.clone()));
        let link = CascadeLink::begin(begun.cascade.clone());
        let note = || board.note(&core, &key, [(&event, None, false)].into_iter(), Some(&link), None);
        link.adopt(&core, &key, note(), &[]);
        assert_eq!(board.0.waiting.load(Ordering::Acquire), 1);
        let again = core.begin_cascade(crate::CascadeErrorMode::FailFast, Some(command));
        assert!(again.earlier.as_ref().is_some_and(|it| Arc::ptr_eq(it, &begun.cascade)));
        drop((begun, again));
        assert_eq!(board.0.waiting.load(Ordering::Acquire), 0);
        link.adopt(&core, &key, note(), &[]);
        let notes = board.0.notes.lock();
        assert!(notes.expectations.is_empty() && notes.commands.is_empty() && notes.cascades.is_empty());
    }

    /// Row S9: a caller that goes away at any moment leaves nothing behind, also before it waits.
    #[test]
    fn s9_a_note_ends_with_whoever_wrote_it() {
        let (core, key, event) = what_a_projector_handles();
        let board = &core.waits;
        let waiting =
            board.note(&core, &key, [(&event, None, false)].into_iter(), None, None).expect("something to wait for");
        assert_eq!(board.0.waiting.load(Ordering::Acquire), 1);
        assert_eq!(board.0.notes.lock().expectations.len(), 1);
        drop(waiting);
        assert_eq!(board.0.waiting.load(Ordering::Acquire), 0);
        assert!(board.0.notes.lock().expectations.is_empty());
    }
}
