//! Events that a saga or process manager cannot handle (rows D4, S8).
//!
//! In: an event and why it was not handled. Out: a letter, and word to whoever waits for the component. Never: a lost event.

use super::cascade::TOO_DEEP;
use super::{CascadeFailure, CascadeLink, ComponentKind};
use crate::command::{Because, Core};
use crate::dead_letter::{self, EventFailure};
use crate::error::Code;
use crate::stream::{LogEvent, StreamKey};
use crate::telemetry::{self, AtEvent};

impl Core {
    /// The event waits in the dead letters, and those who wait for the component are told.
    pub(super) async fn dead_letter_event(
        &self,
        component: &'static str,
        kind: ComponentKind,
        item: &LogEvent,
        failure: &EventFailure,
    ) -> Result<(), String> {
        // Of a branch that is gone nothing is left to be done.
        let pass = self.pass_for(Some(&Because::of(item))).await.map_err(|error| error.to_string())?;
        let Some(_pass) = pass else { return Ok(()) };
        let letter = dead_letter::failed_event(self, component, kind, item, failure);
        let answers = self.missed(component, &item.stream, &item.event, &failure.reason);
        // One that an operator has discarded is no news.
        if dead_letter::store_and_tell(self, letter, answers).await.map_err(|error| error.to_string())? {
            let at = AtEvent { component, kind, stream: &item.stream, event: &item.event };
            telemetry::event_dead_lettered(at, &failure.reason);
        }
        self.handled(component, kind, &item.stream, &item.event, Err(failure.reason.clone()));
        Ok(())
    }

    /// Whether a cascade has come too far to go on (row S8).
    pub(super) async fn too_deep(
        &self,
        link: &CascadeLink,
        component: &'static str,
        kind: ComponentKind,
        stream: &StreamKey,
        sequence: u32,
    ) -> Option<CascadeFailure> {
        if link.depth() <= self.cascade_depth {
            return None;
        }
        let mut chain = link.chain();
        if chain.len() < link.depth() as usize {
            // Reactions in other processes are a part of it.
            chain = self.chain_to(component, stream, sequence, link.depth()).await;
        }
        Some(CascadeFailure {
            component: component.to_owned(),
            kind,
            source: stream.clone(),
            sequence,
            command_index: None,
            message: format!("the cascade was stopped after {} reactions: {}", self.cascade_depth, chain.join(" → ")),
            code: TOO_DEEP,
            status: Code::ResourceExhausted,
        })
    }

    /// The reaction does not run. Its event waits in the dead letters, so that nothing goes round and round.
    pub(super) async fn stop_cascade(
        &self,
        component: &'static str,
        kind: ComponentKind,
        item: &LogEvent,
        failure: CascadeFailure,
        link: &CascadeLink,
    ) -> Result<(), String> {
        let event = EventFailure { reason: failure.message.clone(), tries: 0, transient: false };
        let pass = self.pass_for(Some(&Because::of(item))).await.map_err(|error| error.to_string())?;
        let Some(_pass) = pass else { return Ok(()) };
        let letter = dead_letter::failed_event(self, component, kind, item, &event);
        let answers = link.failed(&failure).into_iter().collect();
        dead_letter::store_and_tell(self, letter, answers).await.map_err(|error| error.to_string())?;
        link.fail(self, &failure);
        self.handled(component, kind, &item.stream, &item.event, Ok(None));
        Ok(())
    }
}
