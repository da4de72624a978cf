//! Process managers and compensations in a scenario: the same decision and the same write as in a runtime, and nothing of it
//! sent.
//!
//! In: a trigger of any kind; a rejection or compensation of an aggregate. Out: what was decided. Never: a way of its own; it is
//! the step of the runtime, and its delivery.

use std::ops::Range;

use angzarr_proto as proto;
use parking_lot::Mutex;
use prost::Message as _;

use super::cascade::DoneCommand;
use super::emission::command_of;
use super::notification::{About, Undelivered, notification_id};
use super::plan::Plan;
use super::process_manager::{ProcessWork, Step, TRIGGERED, Trigger, process_key};
use crate::command::{Core, Decider, Provenance, ReactionCommand};
use crate::dead_letter;
use crate::declare::{Aftermath, ReactionError, RejectedCommand, Revocation};
use crate::registry::{ProcessManager, rejected_by};
use crate::storage::{Extras, Intent, IntentKind, StorageError, StreamRead};
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey};

/// What a process is to rehearse.
pub(crate) enum Rehearsal<'a> {
    /// A part of an event, if an upcaster has made several of it.
    Event {
        stream: &'a StreamKey,
        event: &'a StoredEvent,
        part: u32,
    },
    Timeout {
        name: &'a str,
    },
    Rejection {
        rejected: RejectedCommand,
    },
}

/// What it decided: stored, and nothing of it sent.
#[derive(Default)]
pub(crate) struct Rehearsed {
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) aftermath: Aftermath,
    pub(crate) now: i64,
    /// It was over already.
    pub(crate) ignored: bool,
    /// What an aggregate answered instead of events.
    pub(crate) revocation: Option<Revocation>,
    /// Why the command waits in the dead letters now, if it does.
    pub(crate) dead_letter: Option<String>,
}

impl Rehearsed {
    /// What another part of the same event adds.
    pub(crate) fn and(&mut self, other: Self) {
        self.events.extend(other.events);
        self.aftermath.emissions.extend(other.aftermath.emissions);
        self.aftermath.timeouts.extend(other.aftermath.timeouts);
        self.aftermath.complete |= other.aftermath.complete;
    }
}

impl ProcessManager {
    /// One trigger, for tests of a domain: the same decision as in a runtime, and the same write, without what is sent. `None`
    /// where the process manager has no method for it.
    pub(crate) async fn rehearse(
        &self,
        core: &Core,
        correlation_id: &str,
        trigger: Rehearsal<'_>,
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let name = self.descriptor.state.domain;
        let headers = Headers::new(correlation_id, None);
        let key = process_key(name, &Name::default(), correlation_id);
        let source = match &trigger {
            Rehearsal::Event { stream, event, part } => Provenance {
                source: (*stream).clone(),
                source_seq: event.sequence,
                component: Name::from_static(name),
                command_index: *part,
            },
            _ => Provenance {
                source: key.clone(),
                source_seq: 0,
                component: Name::from(core.ids.next_id().to_string()),
                command_index: 0,
            },
        };
        let about;
        let (trigger, method, location, only_open) = match trigger {
            Rehearsal::Event { stream, event, .. } => {
                let handler = self.handlers.get(event.type_name.as_str()).copied()?;
                (Trigger::Event { handler, event, stream }, handler.method, handler.location, true)
            }
            Rehearsal::Timeout { name } => {
                let method = self.timeouts.get(name).copied()?;
                (Trigger::Timeout { method, due: core.now() }, method.method, method.location, true)
            }
            Rehearsal::Rejection { rejected } => {
                let method = rejected_by(&self.rejected, &rejected.type_name, &rejected.domain)?;
                about = About {
                    book: proto::CommandBook::default(),
                    provenance: source.clone(),
                    forwarded: Vec::new(),
                    rejected,
                    edition: Edition::main(),
                    headers: headers.clone(),
                };
                (Trigger::Rejection { method, about: &about }, method.method, method.location, false)
            }
        };
        let work = ProcessWork { core, trigger, key: &key, headers: &headers, name };
        let plan = Plan { decided: Some(Mutex::default()), ..Plan::of(name) };
        let decider = Decider { method, location, merge: None, full_name: || "trigger".to_owned() };
        let dedup = source.dedup_as(TRIGGERED);
        let step =
            Step { key: &key, headers: &headers, decider, work: &work, dedup, plan: &plan, link: None, only_open };
        Some(match self.step(core, step).await {
            Ok(outcome) => {
                let (aftermath, now) = plan.decided.map(Mutex::into_inner).unwrap_or_default();
                let is_own = |event: &StoredEvent| !event.type_name.starts_with("angzarr.");
                let events = outcome.events.into_iter().filter(is_own).collect();
                Ok(Rehearsed { events, aftermath, now, ignored: outcome.moot, ..Rehearsed::default() })
            }
            Err(undelivered) => Err(failed(undelivered)),
        })
    }
}

impl Core {
    /// The rejection of a command that `source` is answerable for, from its notification on (rows K1, K2, K3). The command was
    /// sent for the last event of the source; `index` tells one from the others.
    pub(crate) async fn rehearse_rejection(
        &self,
        source: &StreamKey,
        correlation_id: &str,
        rejected: &RejectedCommand,
        index: u32,
    ) -> Result<Rehearsed, ReactionError> {
        let (edition, headers) = (Edition::main(), Headers::new(correlation_id, None));
        let provenance = Provenance {
            source: source.clone(),
            source_seq: self.next_sequence(source).await?.saturating_sub(1),
            component: rejected.component.clone(),
            command_index: index,
        };
        let (domain, type_name) = (rejected.domain.as_str(), rejected.type_name.as_str());
        let command = command_of(domain, rejected.root, type_name, rejected.payload.clone(), None);
        let reaction = ReactionCommand {
            command: &command,
            provenance: &provenance,
            edition: &edition,
            headers,
            along: None,
            link: None,
            because: None,
        };
        let notification = proto::RejectionNotification {
            rejected_command: Some(reaction.book()),
            rejection_reason: rejected.reason.clone(),
        };
        let intent = Intent {
            id: notification_id(&provenance),
            kind: IntentKind::Notification,
            stream: source.clone(),
            due: self.now(),
            attempts: 0,
            work: notification.encode_to_vec().into(),
        };
        self.rehearse_delivery(intent, dead_letter::command_letter_id(&provenance)).await
    }

    /// A cascade takes back the command that these events of `target` came from (row E3).
    pub(crate) async fn rehearse_compensation(
        &self,
        target: &StreamKey,
        correlation_id: &str,
        events: Range<u32>,
        index: u32,
    ) -> Result<Rehearsed, ReactionError> {
        let intent = self.compensation(&DoneCommand {
            provenance: Provenance {
                source: target.clone(),
                source_seq: 0,
                component: Name::from_static("scenario"),
                command_index: index,
            },
            target: target.clone(),
            edition: Edition::main(),
            headers: Headers::new(correlation_id, None),
            first: events.start,
            count: events.end.saturating_sub(events.start),
        });
        let letter = intent.id;
        self.rehearse_delivery(intent, letter).await
    }

    /// What was recorded is delivered once, as by whoever carries out intents.
    async fn rehearse_delivery(
        &self,
        intent: Intent,
        letter: dead_letter::DeadLetterId,
    ) -> Result<Rehearsed, ReactionError> {
        let before = self.next_sequence(&intent.stream).await?;
        let recorded = Extras { intents: vec![intent.clone()], ..Extras::default() };
        self.write_extras(recorded).await.map_err(ReactionError::transient)?;
        let delivery = match intent.kind {
            IntentKind::Compensation => self.undo(&intent).await,
            _ => self.notify(&intent, None).await,
        };
        let revocation = delivery.map_err(failed)?;
        let since = StreamRead { from: before, ..StreamRead::all() };
        let mut events = self.storage.read_stream(&intent.stream, since).await.map_err(unreadable)?.events;
        events.retain(|event| !event.type_name.starts_with("angzarr."));
        let letter = self.storage.dead_letter(letter).await.map_err(unreadable)?;
        // Nobody has sent what a scenario is given; in a program it goes on to whoever did.
        let is_forwarded = revocation.as_ref().is_some_and(|it| it.forward);
        let letter = letter.filter(|_| !is_forwarded);
        let dead_letter = letter.map(|it| it.letter.rejection_reason);
        Ok(Rehearsed { events, now: self.now(), revocation, dead_letter, ..Rehearsed::default() })
    }

    async fn next_sequence(&self, key: &StreamKey) -> Result<u32, ReactionError> {
        let head = StreamRead { from: u32::MAX, ..StreamRead::all() };
        Ok(self.storage.read_stream(key, head).await.map_err(unreadable)?.next_sequence)
    }
}

fn unreadable(error: StorageError) -> ReactionError {
    ReactionError::transient(error.to_string())
}

fn failed(undelivered: Undelivered) -> ReactionError {
    match undelivered {
        Undelivered::Held(reason) | Undelivered::Failed { reason, permanent: false } => {
            ReactionError::transient(reason)
        }
        Undelivered::Failed { reason, permanent: true } => ReactionError::permanent(reason),
    }
}
