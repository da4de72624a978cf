//! What a process manager wants to be done, as it waits in the store (rows P1, P5).
//!
//! In: what a method has decided besides events. Out: intents, in the same write as those events. Never: something sent; that
//! comes after the write.

use angzarr_proto as proto;
use parking_lot::Mutex;
use prost::Message as _;

use super::emission::command_of;
use super::intents::{Claim, intent_id};
use super::notification::NotificationWork;
use crate::command::{Along, Core, Decided, Provenance, ReactionCommand, Refusal};
use crate::declare::{Aftermath, Emission, ReactionError, TimeoutAt, TimeoutChange};
use crate::error::{Error, Result as RuntimeResult, nearest};
use crate::registry::ProcessManager;
use crate::storage::{Extras, Intent, IntentFilter, IntentKind, Settle};
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey, WaitMark};

/// The parts of a split event have their emissions this far apart.
pub(super) const PART: u32 = 1 << 16;

/// When a timeout is due that a branch has taken back: never.
const TAKEN_BACK: i64 = i64::MAX;

/// What is to be sent, as it waits in the store.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SendWork {
    /// A command with its provenance, or a fact in the form of one.
    #[prost(message, optional, tag = "1")]
    pub(super) book: Option<proto::CommandBook>,
    /// The time that the command's events are stored with.
    #[prost(sint64, optional, tag = "2")]
    pub(super) at: Option<i64>,
    #[prost(string, optional, tag = "3")]
    pub(super) external_id: Option<String>,
    /// The span that it was decided in, and behind it the mark of the wait that it belongs to.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) trace: Vec<u8>,
}

/// A timeout, as it waits in the store. What is scheduled by an event carries that event's correlation id and extension.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TimeoutWork {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) cover: Option<proto::Cover>,
    /// The span that it was scheduled in.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) trace: Vec<u8>,
    /// What a process manager in another process is told then.
    #[prost(message, optional, tag = "4")]
    pub(super) told: Option<proto::Notification>,
}

/// What is stored together with the events of a reaction (row P1).
pub(super) struct Plan<'a> {
    pub(super) process: &'static str,
    /// The event that what is sent is known by, and where its indexes begin; `None` for the reaction's own first event.
    pub(super) source: Option<(&'a StreamKey, u32, u32)>,
    pub(super) settle: Option<Settle>,
    pub(super) planned: Mutex<Vec<(Intent, Claim)>>,
    /// For a rehearsal: what was decided, and when.
    pub(super) decided: Option<Mutex<(Aftermath, i64)>>,
    /// For a caller who has given the trigger: what was sent.
    pub(super) told: Option<&'a Mutex<Told>>,
}

impl Plan<'_> {
    /// For what is neither known by an event nor carries anything out.
    pub(super) fn of(process: &'static str) -> Self {
        Self { process, source: None, settle: None, planned: Mutex::default(), decided: None, told: None }
    }
}

/// What a caller who has given a trigger is told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) events: Vec<StoredEvent>,
    pub(super) intents: Vec<Intent>,
}

impl Along for Plan<'_> {
    fn extras(&self, core: &Core, decided: &Decided<'_>) -> Result<Extras, Refusal> {
        let mut extras = Extras { settles: self.settle.into_iter().collect(), ..Extras::default() };
        let mut planned = self.planned.lock();
        planned.clear();
        let Some(aftermath) = decided.aftermath else { return Ok(extras) };
        if let Some(kept) = &self.decided {
            *kept.lock() = (aftermath.clone(), decided.now);
        }
        core.check_emissions(&aftermath.emissions).map_err(Refusal::Failed)?;
        let limit = core.limits.events_per_command;
        if aftermath.emissions.len() > limit {
            let hint = "commands and facts from one reaction; split the work";
            return Err(Refusal::Error(Error::limit("reaction", aftermath.emissions.len(), limit, hint)));
        }
        let (source, sequence, base) = self.source.unwrap_or((decided.key, decided.first, 0));
        for (emission, index) in aftermath.emissions.iter().zip(base..) {
            let provenance = Provenance {
                source: source.clone(),
                source_seq: sequence,
                component: Name::from_static(self.process),
                command_index: index,
            };
            let intent = send_intent(emission, &provenance, decided);
            planned.push((intent.clone(), core.intents.claim(intent.id)));
            extras.intents.push(intent);
        }
        let process = &core.registry.process_managers[self.process];
        for change in &aftermath.timeouts {
            if process.state.remote.is_none() && !process.timeouts.contains_key(change.name.as_ref()) {
                return Err(Refusal::Failed(unknown_timeout(process, &change.name)));
            }
            let id = timeout_id(decided.key, &change.name);
            // The last word on a name counts.
            extras.intents.retain(|intent| intent.id != id);
            extras.withdraws.retain(|withdrawn| *withdrawn != id);
            match change.to {
                Some(_) if aftermath.complete => {}
                Some(to) => {
                    let told = change.told.as_deref();
                    let size = told.map_or(0, prost::Message::encoded_len);
                    let field = || format!("timeout {}", change.name).into();
                    core.limits.check_payload(field, size).map_err(Refusal::Error)?;
                    extras.intents.push(timeout_intent(id, change, to, decided));
                }
                // It may be one of main that the branch has inherited: a merge takes that back as well (row B6).
                None if !decided.key.is_main() => {
                    extras.intents.push(timeout_intent(id, change, TimeoutAt::At(TAKEN_BACK), decided));
                }
                None => extras.withdraws.push(id),
            }
        }
        if aftermath.complete {
            extras.withdraws.extend(process.timeouts.keys().map(|name| timeout_id(decided.key, name)));
        }
        Ok(extras)
    }
}

impl Core {
    /// The names of the timeouts that wait for a process. What it has declared nobody knows of one in another process.
    pub(crate) async fn scheduled(&self, process: &StreamKey) -> RuntimeResult<Vec<String>> {
        let filter = IntentFilter {
            stream: Some(process.clone()),
            kind: Some(IntentKind::Timeout),
            limit: Some(usize::MAX),
            due_until: None,
        };
        let waiting = self.storage.intents(&filter).await?;
        Ok(waiting.iter().filter_map(|it| TimeoutWork::decode(it.work.clone()).ok()).map(|work| work.name).collect())
    }
}

pub(super) fn unknown_timeout(process: &ProcessManager, name: &str) -> ReactionError {
    let near = nearest(name, process.timeouts.keys().copied());
    let hint = near.first().map_or_else(
        || format!("add `#[timeout(\"{name}\")] fn …(&self) -> Reaction`"),
        |near| format!("did you mean `{near}`?"),
    );
    let manager = process.descriptor.state.name;
    ReactionError::permanent(format_args!("`{manager}` has no `#[timeout(\"{name}\")]` method; {hint}"))
}

pub(super) fn send_intent(emission: &Emission, provenance: &Provenance, decided: &Decided<'_>) -> Intent {
    let edition = Edition::of(&decided.key.edition, decided.headers.divergences());
    let (command, external_id, kind) = match emission {
        Emission::Command(command) => (command.clone(), None, IntentKind::Command),
        Emission::Fact(fact) => {
            let carried = command_of(fact.domain(), fact.root, &fact.type_name, fact.payload.clone(), None);
            (carried, fact.external_id.clone(), IntentKind::Fact)
        }
    };
    let reaction = ReactionCommand {
        command: &command,
        provenance,
        edition: &edition,
        headers: decided.headers.clone(),
        along: None,
        link: None,
        because: None,
    };
    let trace = decided.headers.origin();
    let work = SendWork { book: Some(reaction.book()), at: command.at, external_id, trace };
    Intent {
        id: intent_id(&[b"send", &provenance.dedup().0]),
        kind,
        stream: decided.key.clone(),
        due: decided.now,
        attempts: 0,
        work: work.encode_to_vec().into(),
    }
}

fn trace_of(decided: &Decided<'_>) -> Vec<u8> {
    decided.headers.trace().map_or_else(Vec::new, |trace| trace.to_bytes().to_vec())
}

/// Whether this says of a timeout that it was taken back.
pub(crate) fn is_taken_back(intent: &Intent) -> bool {
    intent.kind == IntentKind::Timeout && intent.due == TAKEN_BACK
}

pub(super) fn timeout_id(process: &StreamKey, name: &str) -> uuid::Uuid {
    intent_id(&[b"timeout", process.to_string().as_bytes(), name.as_bytes()])
}

/// The id of a timeout that waits elsewhere; `None` where it cannot be read.
pub(super) fn timeout_of(process: &StreamKey, work: &[u8]) -> Option<uuid::Uuid> {
    Some(timeout_id(process, &TimeoutWork::decode(work).ok()?.name))
}

pub(super) fn timeout_intent(id: uuid::Uuid, change: &TimeoutChange, to: TimeoutAt, decided: &Decided<'_>) -> Intent {
    let due = match to {
        TimeoutAt::At(at) => at,
        TimeoutAt::After(after) => decided.now.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
    };
    let edition = Edition::of(&decided.key.edition, decided.headers.divergences());
    let cover = crate::command::cover_on(decided.key, &edition, decided.headers);
    let told = change.told.as_deref().cloned();
    let work = TimeoutWork { name: change.name.to_string(), cover: Some(cover), trace: trace_of(decided), told };
    Intent {
        id,
        kind: IntentKind::Timeout,
        stream: decided.key.clone(),
        due,
        attempts: 0,
        work: work.encode_to_vec().into(),
    }
}

/// The wait that something belongs to which is to be sent or told, and what it is known by.
pub(super) fn mark_of(intent: &Intent) -> Option<(WaitMark, Provenance)> {
    use proto::PageHeaderExt as _;
    let (book, mark) = match intent.kind {
        IntentKind::Command | IntentKind::Fact => {
            let SendWork { book, trace, .. } = SendWork::decode(intent.work.clone()).ok()?;
            (book?, Headers::default().with_origin(&trace)?.wait().copied()?)
        }
        IntentKind::Notification => NotificationWork::decode(intent.work.clone()).ok()?.marked()?,
        IntentKind::Compensation | IntentKind::Timeout => return None,
    };
    Some((mark, Provenance::from_proto(book.pages.first()?.header.as_ref()?.provenance()?)?))
}

/// What a process in a branch has decided to send, for its merged events on main (row B6).
pub(super) fn send_on_main(intent: &Intent, edition: &str) -> Option<Intent> {
    let mut work = SendWork::decode(intent.work.clone()).ok()?;
    let provenance = super::merged::book_on_main(work.book.as_mut()?, edition)?;
    work.trace = Headers::default().with_origin(&work.trace)?.with_wait(None).origin();
    let id = intent_id(&[b"send", &provenance.dedup().0]);
    Some(Intent { id, stream: intent.stream.on_main(), work: work.encode_to_vec().into(), ..intent.clone() })
}

/// The same for a timeout.
pub(super) fn timeout_on_main(intent: &Intent) -> Option<Intent> {
    let stream = intent.stream.on_main();
    let work = timeout_work_on_main(&intent.work)?;
    let id = timeout_of(&stream, &work)?;
    Some(Intent { id, stream, work: work.into(), ..intent.clone() })
}

pub(super) fn timeout_work_on_main(work: &[u8]) -> Option<Vec<u8>> {
    let mut work = TimeoutWork::decode(work).ok()?;
    work.cover.as_mut()?.edition = None;
    Some(work.encode_to_vec())
}

/// What a process sends, as the wire has it.
#[cfg(feature = "server")]
pub(super) enum Sent {
    Command(proto::CommandBook),
    Fact(proto::EventBook),
}

/// `None` for a timeout.
#[cfg(feature = "server")]
pub(super) fn sent(intent: &Intent) -> Option<Sent> {
    use proto::{CommandBookExt as _, PageHeaderExt as _};
    if !matches!(intent.kind, IntentKind::Command | IntentKind::Fact) {
        return None;
    }
    let work = SendWork::decode(intent.work.clone()).ok()?;
    let book = work.book?;
    if intent.kind == IntentKind::Command {
        return Some(Sent::Command(book));
    }
    let event = book.first_command().cloned()?;
    let external_id = match work.external_id {
        Some(id) => id,
        None => {
            let header = book.pages.first()?.header.as_ref()?;
            Provenance::from_proto(header.provenance()?)?.external_id()
        }
    };
    Some(Sent::Fact(fact_book(book.cover?, event, external_id)))
}

/// A fact on its way to its target.
#[cfg(feature = "server")]
pub(super) fn fact_book(cover: proto::Cover, event: prost_types::Any, external_id: String) -> proto::EventBook {
    use proto::PageHeaderExt as _;
    let page = proto::EventPage {
        header: Some(proto::PageHeader::external(external_id, "")),
        payload: Some(proto::event_page::Payload::Event(event)),
        ..Default::default()
    };
    proto::EventBook { cover: Some(cover), pages: vec![page], ..Default::default() }
}
