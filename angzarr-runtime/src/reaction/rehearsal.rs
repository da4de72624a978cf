//! Process managers in a scenario: the same decision and the same write as in a runtime, and nothing of it sent.
//!
//! In: a trigger of any kind. Out: what was decided. Never: a way of its own; it is the step of the runtime.

use angzarr_proto as proto;
use parking_lot::Mutex;

use super::notification::{About, Undelivered};
use super::plan::Plan;
use super::process_manager::{ProcessWork, Step, TRIGGERED, Trigger, process_key};
use crate::command::{Core, Decider, Provenance};
use crate::declare::{Aftermath, ReactionError, RejectedCommand};
use crate::registry::{ProcessManager, rejected_by};
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey};

/// What a process is to rehearse.
pub(crate) enum Rehearsal<'a> {
    Event { stream: &'a StreamKey, event: &'a StoredEvent },
    Timeout { name: &'a str },
    Rejection { rejected: RejectedCommand },
}

/// What it decided: stored, and nothing of it sent.
#[derive(Default)]
pub(crate) struct Rehearsed {
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) aftermath: Aftermath,
    pub(crate) now: i64,
    /// It was over already.
    pub(crate) ignored: bool,
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
            Rehearsal::Event { stream, event } => Provenance {
                source: (*stream).clone(),
                source_seq: event.sequence,
                component: Name::from_static(name),
                command_index: 0,
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
            Rehearsal::Event { stream, event } => {
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
        let plan = Plan {
            process: name,
            source: None,
            settle: None,
            planned: Mutex::default(),
            decided: Some(Mutex::default()),
            told: None,
        };
        let decider = Decider { method, location, merge: None, full_name: || "trigger".to_owned() };
        let dedup = source.dedup_as(TRIGGERED);
        let step =
            Step { key: &key, headers: &headers, decider, work: &work, dedup, plan: &plan, link: None, only_open };
        Some(match self.step(core, step).await {
            Ok(outcome) => {
                let (aftermath, now) = plan.decided.map(Mutex::into_inner).unwrap_or_default();
                let is_own = |event: &StoredEvent| !event.type_name.starts_with("angzarr.");
                let events = outcome.events.into_iter().filter(is_own).collect();
                Ok(Rehearsed { events, aftermath, now, ignored: outcome.moot })
            }
            Err(Undelivered::Held(reason)) => Err(ReactionError::transient(reason)),
            Err(Undelivered::Failed { reason, permanent: true }) => Err(ReactionError::permanent(reason)),
            Err(Undelivered::Failed { reason, permanent: false }) => Err(ReactionError::transient(reason)),
        })
    }
}
