//! Settle: what follows a commit. The state goes back into its slot, subscribers are woken.
//!
//! In: what was stored. Out: the state for the next command, and the answer. Never: a failure of the command; it is stored.

use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::Loaded;
use super::decide::{Events, Prepared};
use super::pipeline::{Core, Outcome, StoredEvents, Submission};
use super::state_cache::Slot;
use crate::dead_letter::{DeadLetter, Resolution, letter_id};
use crate::error::Result;
use crate::reaction::{Missing, Passed, WaitResult, Waiting};
use crate::storage::{StreamRead, Written};
use crate::stream::{StoredEvent, StreamKey};
use crate::telemetry;

impl Core {
    /// The events are stored, and applied already: the state may be seen by the next command.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn settle(
        &self,
        submission: &Submission<'_>,
        slot: &Arc<Slot>,
        mut guard: MutexGuard<'_, Option<Loaded>>,
        mut loaded: Loaded,
        prepared: Prepared,
        events: Events,
        written: Written,
    ) -> Outcome {
        self.weigh(submission.aggregate, &submission.key, slot, &mut loaded, prepared.state_bytes);
        *guard = loaded.kept_if(true);
        drop(guard);
        let outcome = self.answer(events.stored, written, prepared.waiting);
        telemetry::stored(&submission.span, &written);
        outcome
    }

    fn answer(&self, mut stored: StoredEvents, written: Written, waiting: Option<Waiting>) -> Outcome {
        let count = stored.len() as u64;
        for (event, back) in stored.iter_mut().zip((0..count).rev()) {
            event.position = written.last_position - back;
        }
        if count > 0 {
            self.transport.announce(written.last_position);
        }
        if self.ownership.is_shared()
            && let Some(waiting) = &waiting
        {
            self.waits.located(waiting, &stored);
        }
        Outcome {
            next_sequence: written.first_sequence + written.count,
            events: stored,
            duplicate: false,
            moot: false,
            waiting,
        }
    }

    /// What the first time stored (rows C10, G2). Who asks again with SIMPLE waits for the same events.
    pub(super) async fn first_answer(&self, submission: &Submission<'_>, first: Written) -> Result<Outcome> {
        let mut events = StoredEvents::new();
        if first.count > 0 {
            let read = StreamRead {
                from: first.first_sequence,
                to: Some(first.first_sequence + first.count - 1),
                ..Default::default()
            };
            events = self.storage.read_stream(&submission.key, read).await?.events.into();
        }
        let waits = submission.pages.iter().any(|page| page.sync.waits());
        let waiting = waits.then(|| self.waits.expect_stored(self, submission, &events)).flatten();
        Ok(Outcome { events, next_sequence: first.first_sequence + first.count, duplicate: true, moot: false, waiting })
    }

    /// A component that has passed an event may have put it into the dead letters instead of handling it.
    pub(crate) async fn without_parked(
        &self,
        key: &StreamKey,
        events: &[StoredEvent],
        mut waited: WaitResult,
    ) -> WaitResult {
        for Passed { component, sequence, position } in std::mem::take(&mut waited.passed) {
            let event = events.iter().find(|event| event.sequence == sequence);
            let position = event.map_or(position, |event| event.position);
            let letter = self.storage.dead_letter(letter_id(component, key, sequence, position)).await;
            let reason = match letter {
                Ok(None | Some(DeadLetter { resolution: Some(Resolution::Retried { .. }), .. })) => {
                    waited.done.push((component, sequence));
                    continue;
                }
                Ok(Some(letter)) => format!("in the dead letters: {}", letter.letter.rejection_reason),
                // The command is stored, whatever is known of what follows.
                Err(error) => {
                    format!("it has passed the event; whether that is in the dead letters is not known: {error}")
                }
            };
            waited.missing.push(Missing {
                component: component.to_owned(),
                kind: self.kind_of(component),
                stream: key.clone(),
                sequence,
                reason: Some(reason),
            });
        }
        waited
    }
}
