//! What processes tell each other of what follows from a command that somebody waits for (rows S3, S4, E, R5).
//!
//! In: what a component did with a marked event. Out: an answer to the process that waits, through the store, and there the same as
//! if the component had run in it. Never: a cost where nobody waits in another process; or a truth of its own: whoever misses an
//! answer goes by positions and letters.
//!
//! What went well is told behind the commit of what the component did, and before its checkpoint: whoever sees that a position is
//! passed finds the answer there. A failure is told *in* the commit that records it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use angzarr_proto as proto;
use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message as _;
use proto::CoverExt as _;
use tokio::sync::Notify;
use uuid::Uuid;

use super::cascade::{DoneCommand, End, REACTION_FAILED, TOO_DEEP};
use super::wait_board::{Listed, Marked, Passed};
use super::{Cascade, CascadeFailure, CascadeLink, ComponentKind, Missing, WaitResult};
use crate::command::{CascadeErrorMode, Core, Projection, Provenance};
use crate::error::{Code, Result};
use crate::storage::{Answer, Dedup, StorageError};
use crate::stream::wait_mark::{LATE, clock};
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey, WaitMark};
use crate::telemetry;

/// What waits to be told.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Answers that are not told yet, those included that are on their way.
    untold: AtomicUsize,
    queue: Mutex<Vec<Answer>>,
    /// Whoever tells has it: who comes next finds everything told.
    telling: tokio::sync::Mutex<()>,
    news: Notify,
}

/// A cascade that this process waits for. For others it is over with this.
pub(crate) struct BegunCascade {
    pub(crate) cascade: Arc<Cascade>,
    /// An earlier one of the same command, which has not ended.
    pub(super) earlier: Option<Arc<Cascade>>,
    _ends: Option<Marked>,
    _listed: Option<Listed>,
}

impl Drop for BegunCascade {
    fn drop(&mut self) {
        self.cascade.close(&End::Early);
    }
}

const HANDLED: i32 = 0;
const MISSED: i32 = 1;
const FAILED: i32 = 2;
const ABORTED: i32 = 3;

/// An answer, as it stands in the store.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(string, tag = "1")]
    component: String,
    #[prost(message, optional, tag = "2")]
    cover: Option<proto::Cover>,
    #[prost(uint32, tag = "3")]
    sequence: u32,
    #[prost(int32, tag = "4")]
    what: i32,
    #[prost(message, optional, tag = "5")]
    projection: Option<prost_types::Any>,
    #[prost(string, tag = "6")]
    message: String,
    #[prost(uint32, optional, tag = "7")]
    command_index: Option<u32>,
    #[prost(string, tag = "8")]
    code: String,
    #[prost(int32, tag = "9")]
    status: i32,
}

impl Told {
    fn of(component: &str, stream: &StreamKey, sequence: u32, what: i32) -> Self {
        let cover = Some(crate::command::cover_on(stream, &Edition::of(&stream.edition, &[]), &Headers::default()));
        Self { component: component.to_owned(), cover, sequence, what, ..Self::default() }
    }

    fn failure(failure: &CascadeFailure, what: i32) -> Self {
        let CascadeFailure { component, source, sequence, command_index, message, code, status, .. } = failure;
        Self {
            message: message.clone(),
            command_index: *command_index,
            code: (*code).to_owned(),
            status: STATUSES.iter().position(|it| it == status).map_or(0, |place| place as i32),
            ..Self::of(component, source, *sequence, what)
        }
    }

    fn stream(&self) -> Option<StreamKey> {
        let cover = self.cover.as_ref()?;
        let edition = Edition::named(cover.edition_name().unwrap_or_default()).name().clone();
        Some(StreamKey { domain: Name::new(&cover.domain), edition, root: Uuid::from_bytes(cover.root_bytes()?) })
    }

    /// To the process that waits for `stream`.
    fn to(&self, mark: &WaitMark, stream: &StreamKey) -> Answer {
        let kind = match self.what {
            HANDLED | MISSED => HOW,
            FAILED => b'f',
            _ => b'a',
        };
        let key = key(kind, &self.component, stream, self.sequence, self.command_index);
        let until = mark.until_behind(Duration::ZERO);
        Answer { wait: mark.wait(), key, until, answer: self.encode_to_vec().into() }
    }
}

/// The question how a component has handled an event, or that it has not.
const HOW: u8 = b'h';

fn key(kind: u8, component: &str, stream: &StreamKey, sequence: u32, command_index: Option<u32>) -> Bytes {
    let mut key = BytesMut::with_capacity(96);
    key.put_u8(kind);
    for text in [component, &stream.domain, &stream.edition] {
        key.put_slice(text.as_bytes());
        key.put_u8(0);
    }
    key.put_slice(stream.root.as_bytes());
    key.put_u32(sequence);
    if let Some(index) = command_index {
        key.put_u32(index);
    }
    key.freeze()
}

/// Where a status stands says what it is.
const STATUSES: [Code; 13] = [
    Code::Internal,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::Unimplemented,
    Code::Unavailable,
    Code::Unknown,
    Code::DataLoss,
    Code::Unauthenticated,
    Code::PermissionDenied,
];

/// The codes that a failure of a reaction has; one that a newer program knows is told as the last one.
const CODES: [&str; 22] = [
    "REJECTED",
    "SEQUENCE_MISMATCH",
    "DEAD_LETTERED",
    "UNKNOWN_DOMAIN",
    "UNKNOWN_COMMAND",
    "UNKNOWN_FACT",
    "UNKNOWN_EDITION",
    "INVALID_ARGUMENT",
    "LIMIT_EXCEEDED",
    "HANDLER_PANICKED",
    "UNREADABLE_RETURN",
    "CONTENTION",
    "SCHEMA_TOO_NEW",
    "UNREADABLE_EVENT",
    "OUTCOME_UNKNOWN",
    "STORAGE",
    "COMPONENT_OUT_OF_REACH",
    "COMPONENT",
    "NOT_OFFERED",
    "ABORTED",
    TOO_DEEP,
    REACTION_FAILED,
];

fn code_of(code: &str) -> &'static str {
    CODES.into_iter().find(|it| *it == code).unwrap_or(REACTION_FAILED)
}

/// Where it stands that a cascade was undone before everybody had come to its end.
fn undoing(wait: Uuid) -> Uuid {
    Uuid::new_v5(&wait, b"undoing")
}

impl WaitMark {
    fn mode(&self) -> Option<CascadeErrorMode> {
        self.cascade.map(CascadeErrorMode::from_proto)
    }
}

/// What an event's component has to know of the wait that the event belongs to.
impl Core {
    /// Who waits for it in another process; `None` for nobody.
    fn waits_elsewhere<'m>(&self, mark: Option<&'m WaitMark>) -> Option<&'m WaitMark> {
        mark.filter(|mark| self.ownership.is_shared() && !self.ownership.is_me(mark.asker) && !mark.is_over())
    }

    /// A mark for what follows from a command that is waited for, where other processes may run it.
    pub(crate) fn mark_for(&self, mode: Option<CascadeErrorMode>) -> Option<WaitMark> {
        let me = self.ownership.me()?;
        self.storage.answers()?;
        Some(WaitMark::new(me, mode.map(CascadeErrorMode::to_proto), self.sync_deadline))
    }

    /// A cascade that begins here.
    ///
    /// `command` is how it is known if it is repeated.
    pub(crate) fn begin_cascade(&self, mode: CascadeErrorMode, command: Option<(StreamKey, Dedup)>) -> BegunCascade {
        let cascade = Cascade::new(mode, self.mark_for(Some(mode)));
        let ends = self.waits.begins(&cascade, command.is_some());
        let (listed, earlier) = command.map(|command| self.waits.lists(command, &cascade)).unzip();
        BegunCascade { _ends: ends, _listed: listed, earlier: earlier.flatten(), cascade }
    }

    /// The cascade that an event belongs to, for a component that is about to handle it: one reaction further than the event.
    pub(super) fn link_for(&self, component: &str, stream: &StreamKey, event: &StoredEvent) -> Option<CascadeLink> {
        let mark = event.headers.wait();
        // An event whose first wait is over may be waited for again (row C10).
        let waiting = || self.waits.links_of(component, stream, event.sequence).into_iter().next();
        let link = mark.and_then(|mark| self.link_at(mark)).or_else(waiting)?;
        let link = link.no_nearer_than(mark.map_or(0, |mark| mark.depth));
        Some(link.next(component, stream, event.sequence))
    }

    /// Where in its cascade a mark stands; `None` where nobody waits any more.
    pub(super) fn link_at(&self, mark: &WaitMark) -> Option<CascadeLink> {
        let mode = mark.mode()?;
        if let Some(cascade) = self.waits.cascades(mark.wait()).into_iter().find(|it| it.is_marked(mark)) {
            return Some(CascadeLink::at(cascade, mark.depth));
        }
        // Nobody here waits, or any more; somebody else may, and what succeeds late has to be undone as well.
        let goes_on = self.ownership.is_shared() && !mark.is_forgotten();
        goes_on.then(|| CascadeLink::at(Cascade::elsewhere(mode, *mark), mark.depth))
    }

    /// A component has handled an event and committed what it made of it, or gave up on it: those who wait are told.
    pub(crate) fn handled(
        &self,
        component: &'static str,
        kind: ComponentKind,
        stream: &StreamKey,
        event: &StoredEvent,
        outcome: Result<Option<prost_types::Any>, String>,
    ) {
        if let Some(mark) = self.waits_elsewhere(event.headers.wait())
            && self.is_waited_for(mark, component, kind, event)
        {
            let mut told = Told::of(component, stream, event.sequence, HANDLED);
            match &outcome {
                Ok(projection) => told.projection.clone_from(projection),
                Err(reason) => (told.what, told.message) = (MISSED, reason.clone()),
            }
            self.outbox.put(told.to(mark, stream));
        }
        self.waits.handled(component, stream, event.sequence, outcome);
    }

    /// Whether whoever waits for an event waits for this component. A component gets events of its domains that it has no handler
    /// for as well.
    fn is_waited_for(&self, mark: &WaitMark, component: &str, kind: ComponentKind, event: &StoredEvent) -> bool {
        let (registry, name) = (&self.registry, event.type_name.as_str());
        let is_cascade = mark.cascade.is_some();
        match kind {
            ComponentKind::Projector => registry.projectors.get(component).is_some_and(|it| it.handles(name)),
            ComponentKind::Saga => is_cascade && registry.sagas.get(component).is_some_and(|it| it.handles(name)),
            ComponentKind::ProcessManager => {
                is_cascade && registry.process_managers.get(component).is_some_and(|it| it.handles(name))
            }
        }
    }

    /// That a component gave up on an event, for the commit that records it.
    pub(super) fn missed(&self, component: &str, stream: &StreamKey, event: &StoredEvent, reason: &str) -> Vec<Answer> {
        // What a cascade of this process has missed somebody else may wait for as well (row C10).
        let of_cascade = event.headers.wait().filter(|mark| mark.cascade.is_some() && !mark.is_forgotten());
        let Some(mark) = self.waits_elsewhere(event.headers.wait()).or(of_cascade) else { return Vec::new() };
        let told = Told { message: reason.to_owned(), ..Told::of(component, stream, event.sequence, MISSED) };
        vec![told.to(mark, stream)]
    }

    /// Tells everything that is to be told, and returns when it can be read.
    pub(super) async fn tell_others(&self) {
        let outbox = &self.outbox;
        if outbox.untold.load(Ordering::Acquire) == 0 {
            return;
        }
        let _turn = outbox.telling.lock().await;
        let answers = std::mem::take(&mut *outbox.queue.lock());
        if answers.is_empty() {
            return;
        }
        if let Some(store) = self.storage.answers()
            && let Err(error) = store.tell(&answers).await
        {
            // Who waits goes by positions instead.
            telemetry::answers_lost(answers.len(), &error);
        }
        outbox.untold.fetch_sub(answers.len(), Ordering::AcqRel);
    }

    /// Resolves when there is something to tell.
    pub(super) async fn something_to_tell(&self) {
        while self.outbox.untold.load(Ordering::Acquire) == 0 {
            self.outbox.news.notified().await;
        }
    }

    /// Reads what others have told to those who wait here. Whether there was anything.
    pub(super) async fn hear(&self) -> bool {
        self.hear_of(&self.waits.waits()).await.unwrap_or_else(|error| {
            // Read again with the next look.
            telemetry::answers_out_of_reach(&error);
            false
        })
    }

    /// The same of a few waits.
    pub(super) async fn hear_of(&self, waits: &[Uuid]) -> Result<bool, StorageError> {
        let mut news = false;
        for answer in &self.told_to(waits).await? {
            news |= self.hear_one(answer);
        }
        Ok(news)
    }

    async fn told_to(&self, waits: &[Uuid]) -> Result<Vec<Answer>, StorageError> {
        match self.storage.answers() {
            Some(answers) if !waits.is_empty() => answers.read(waits).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The same as if the component had run here. Whether it was news.
    fn hear_one(&self, answer: &Answer) -> bool {
        let Ok(told) = Told::decode(answer.answer.clone()) else { return false };
        let Some(stream) = told.stream() else { return false };
        let cascades = self.waits.cascades(answer.wait);
        let is_news = cascades.iter().filter(|cascade| cascade.hears(&answer.key)).count() > 0;
        let (component, sequence) = (told.component.as_str(), told.sequence);
        let failure = |code, status| CascadeFailure {
            component: component.to_owned(),
            kind: self.kind_of(component),
            source: stream.clone(),
            sequence,
            command_index: told.command_index,
            message: told.message.clone(),
            code,
            status,
        };
        let status = usize::try_from(told.status).ok().and_then(|place| STATUSES.get(place).copied());
        let status = status.unwrap_or(Code::Internal);
        match told.what {
            HANDLED => return self.waits.handled(component, &stream, sequence, Ok(told.projection)) || is_news,
            MISSED => {
                for cascade in &cascades {
                    cascade.fail(failure(REACTION_FAILED, Code::Internal));
                }
                return self.waits.handled(component, &stream, sequence, Err(told.message)) || is_news;
            }
            FAILED => {
                for cascade in &cascades {
                    cascade.fail(failure(code_of(&told.code), status));
                }
                if told.command_index.is_none() && !cascades.is_empty() {
                    self.waits.handled(component, &stream, sequence, Ok(None));
                }
            }
            ABORTED => {
                for cascade in &cascades {
                    cascade.abort(failure(code_of(&told.code), status));
                }
            }
            _ => {}
        }
        is_news
    }

    /// What is only known by a position, as far as somebody has told it meanwhile: the share may have come to this process after
    /// another one had handled the event.
    ///
    /// What a cascade has missed is a failure of it, and told as such.
    pub(crate) async fn hear_of_passed(
        &self,
        events: &[StoredEvent],
        stream: &StreamKey,
        waited: &mut WaitResult,
        cascade: Option<&Cascade>,
    ) -> Result<(), StorageError> {
        let Some(mark) = events.first().and_then(|event| event.headers.wait()) else { return Ok(()) };
        if waited.passed.is_empty() {
            return Ok(());
        }
        let answers = self.told_to(&[mark.wait()]).await?;
        if cascade.is_some() {
            // Its failures, before anything counts as done.
            for answer in &answers {
                self.hear_one(answer);
            }
        }
        for told in answers.iter().filter_map(|answer| Told::decode(answer.answer.clone()).ok()) {
            let is_it = |it: &Passed| {
                it.component == told.component && it.sequence == told.sequence && told.stream().as_ref() == Some(stream)
            };
            let Some(place) = waited.passed.iter().position(is_it) else { continue };
            let Passed { component, sequence, .. } = waited.passed[place];
            match told.what {
                MISSED if cascade.is_some() => waited.done.push((component, sequence)),
                HANDLED => {
                    waited.done.push((component, sequence));
                    let projector = component.to_owned();
                    waited.projections.extend(told.projection.map(|projection| Projection {
                        projector,
                        sequence,
                        projection,
                    }));
                }
                MISSED => waited.missing.push(Missing {
                    component: component.to_owned(),
                    kind: self.kind_of(component),
                    stream: stream.clone(),
                    sequence,
                    reason: Some(told.message),
                }),
                _ => continue,
            }
            waited.passed.swap_remove(place);
        }
        waited.projections.sort_by(|a, b| (a.sequence, &a.projector).cmp(&(b.sequence, &b.projector)));
        Ok(())
    }

    /// Removes what was told to waits that have ended here, and what nobody has come for.
    pub(super) async fn forget_told(&self, also_old: bool) {
        let Some(answers) = self.storage.answers() else { return };
        let ended = self.waits.take_ended();
        if ended.is_empty() && !also_old {
            return;
        }
        if let Err(error) = answers.forget(&ended, clock()).await {
            // They go by their age.
            telemetry::answers_out_of_reach(&error);
        }
    }

    /// Says that a cascade is undone although not everybody has come to its end: what succeeds from now on is undone by whoever
    /// runs it (row E3).
    pub(super) async fn say_undoing(&self, mark: &WaitMark) -> Result<(), StorageError> {
        let Some(answers) = self.storage.answers() else { return Ok(()) };
        // As long as anybody goes by the mark.
        let until = mark.until_behind(LATE);
        let answer = Answer { wait: undoing(mark.wait()), key: Bytes::from_static(b"u"), until, answer: Bytes::new() };
        answers.tell(&[answer]).await
    }

    /// Whether a cascade of another process is undone already.
    pub(super) async fn is_undone(&self, link: &CascadeLink) -> Result<bool, StorageError> {
        let Some(mark) = link.mark().filter(|_| link.is_undone_elsewhere()) else { return Ok(false) };
        Ok(!self.told_to(&[undoing(mark.wait())]).await?.is_empty())
    }

    /// Every command of a reaction that has succeeded in a cascade, in whatever process, in the order of their events: events
    /// say which cascade they are of, and their stream which command they came from (row E3).
    pub(super) async fn succeeded_in(&self, waits: &[Uuid]) -> Result<Vec<DoneCommand>, StorageError> {
        let mut events = Vec::new();
        for wait in waits {
            events.extend(self.storage.read_wait(*wait, 0).await?);
        }
        // The command that began it may have come with a provenance of its own; it stays.
        events.retain(|item| item.event.headers.wait().is_some_and(|mark| mark.depth > 0));
        let mut streams: Vec<&StreamKey> = events.iter().map(|item| &item.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        let mut done = Vec::new();
        for stream in streams {
            let keys = self.storage.dedup_keys(stream).await?;
            for (dedup, written) in keys {
                let Some((b'a', provenance)) = Provenance::of(&dedup) else { continue };
                let is_first = |item: &&crate::stream::LogEvent| {
                    item.stream == *stream && item.event.sequence == written.first_sequence
                };
                let Some(first) = events.iter().find(is_first).filter(|_| written.count > 0) else { continue };
                let headers = first.event.headers.clone().with_wait(None);
                done.push((
                    written.last_position,
                    DoneCommand {
                        provenance,
                        target: stream.clone(),
                        edition: Edition::of(&stream.edition, headers.divergences()),
                        headers,
                        first: written.first_sequence,
                        count: written.count,
                    },
                ));
            }
        }
        done.sort_by_key(|(position, _)| *position);
        Ok(done.into_iter().map(|(_, done)| done).collect())
    }

    /// The way from the command that began a cascade to a reaction, as the store has it (row S8): each event came from a command
    /// that says what it was sent for.
    pub(super) async fn chain_to(&self, component: &str, stream: &StreamKey, sequence: u32, depth: u32) -> Vec<String> {
        let mut hops = vec![hop(component, stream, sequence)];
        let (mut stream, mut sequence) = (stream.clone(), sequence);
        for _ in 1..depth {
            let Ok(keys) = self.storage.dedup_keys(&stream).await else { break };
            let from = keys.iter().find_map(|(dedup, written)| {
                let is_in = sequence >= written.first_sequence && sequence - written.first_sequence < written.count;
                is_in.then(|| Provenance::of(dedup)).flatten()
            });
            let Some((_, from)) = from else { break };
            hops.push(hop(&from.component, &from.source, from.source_seq));
            (stream, sequence) = (from.source, from.source_seq);
        }
        hops.reverse();
        hops
    }
}

/// One reaction, as a chain shows it.
pub(super) fn hop(component: &str, stream: &StreamKey, sequence: u32) -> String {
    format!("{component} at {stream} #{sequence}")
}

impl Outbox {
    fn put(&self, answer: Answer) {
        self.untold.fetch_add(1, Ordering::AcqRel);
        self.queue.lock().push(answer);
        self.news.notify_one();
    }
}

impl CascadeLink {
    /// What those who wait for this cascade in other processes are told of a failure, for the commit that records it: whoever waits in
    /// this one may not be the only one (row C10).
    pub(super) fn failed(&self, failure: &CascadeFailure) -> Option<Answer> {
        self.told(failure, FAILED)
    }

    /// The same for an abort (row K4).
    pub(super) fn aborted(&self, failure: &CascadeFailure) -> Option<Answer> {
        self.told(failure, ABORTED)
    }

    fn told(&self, failure: &CascadeFailure, what: i32) -> Option<Answer> {
        let mark = self.mark()?;
        Some(Told::failure(failure, what).to(&mark, &failure.source))
    }
}
