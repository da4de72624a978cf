//! Before a decision: what is decided in another process is asked for there, so that deciding itself waits for nothing.
//!
//! In: a submission and the history of its stream. Out: answers, kept where the decision finds them. Never: a question where the
//! decision would not come to it, be it for a sequence that does not agree or a page before it that was refused.

use std::any::Any;
use std::sync::atomic::Ordering;

use angzarr_proto as proto;

use super::Loaded;
use super::pipeline::{Core, Page, Submission};
use crate::declare::{MergeStrategy, nanos_of};
use crate::error::Result;
use crate::stream::{AsOf, Edition, Headers, Nanos, Retention, StoredSnapshot, StreamKey};

/// What whoever is asked may know.
#[cfg_attr(not(feature = "remote"), allow(dead_code))]
pub(crate) struct Situation<'a> {
    pub(crate) key: &'a StreamKey,
    pub(crate) edition: &'a Edition,
    pub(crate) headers: &'a Headers,
    pub(crate) state: &'a (dyn Any + Send + Sync),
    /// Events that the pages before this one have given.
    pub(crate) earlier: &'a [proto::EventPage],
    pub(crate) next_sequence: u32,
    pub(crate) now: Nanos,
}

/// The events that were given; `None` for a refusal.
pub(crate) type Ahead = Option<Vec<proto::EventPage>>;

impl Core {
    /// Asks for every page; where a component cannot read its own snapshot, again on the whole history (row N4).
    pub(super) async fn ask_on(&self, submission: &Submission<'_>, loaded: &mut Loaded, as_of: AsOf) -> Result<()> {
        self.ask_ahead(submission, loaded).await;
        let refuses = |page: &Page<'_>| page.command.question().is_some_and(|question| question.refuses_snapshot());
        if submission.pages.iter().any(refuses) {
            let Submission { aggregate, key, edition, .. } = submission;
            tracing::warn!(stream = %key, "snapshot ignored: its component cannot read it");
            *loaded = self.load_from(aggregate, key, edition, as_of, None).await?;
            if let Some(remote) = &aggregate.remote {
                remote.try_again(key);
            }
            self.condense(submission, loaded).await;
            self.ask_ahead(submission, loaded).await;
        }
        Ok(())
    }

    /// Has a component in another process make a snapshot, if one is due (row N1). It holds what is stored, and not what this command
    /// will add: only stored events are known in the form of today. It goes into the write of the command.
    pub(super) async fn condense(&self, submission: &Submission<'_>, loaded: &mut Loaded) {
        let aggregate = submission.aggregate;
        let (Some(remote), Some(policy)) = (&aggregate.remote, &aggregate.descriptor.snapshot) else { return };
        // A branch that has nothing of its own yet has nothing to make a snapshot of.
        let Some(sequence) = loaded.next_sequence.checked_sub(1).filter(|_| loaded.diverges_at.is_none()) else {
            return;
        };
        let snapshot = StoredSnapshot {
            sequence,
            created_at: loaded.last_created_at,
            type_name: aggregate.snapshot_type.clone(),
            state_version: aggregate.descriptor.state_version,
            state: Default::default(),
            retention: Retention::Default,
        };
        let (every, trace) = (policy.every.max(1), submission.headers.trace());
        let condensed = Box::pin(remote.condense(&submission.key, &mut loaded.state, snapshot, every, trace));
        if let Err(reason) = condensed.await {
            self.failed_snapshots.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(stream = %submission.key, error = reason, "the component made no snapshot");
        }
    }

    /// Asks for every page in order, each on the history that the pages before it leave (row C8).
    pub(super) async fn ask_ahead(&self, submission: &Submission<'_>, loaded: &Loaded) {
        if submission.aggregate.remote.is_some() && !(loaded.complete && submission.for_open_process) {
            // Boxed: a call is a large future, and every command would carry the room for one.
            Box::pin(self.ask_each(submission, loaded)).await;
        }
    }

    async fn ask_each(&self, submission: &Submission<'_>, loaded: &Loaded) {
        let now = submission.at.unwrap_or_else(|| nanos_of(self.clock.now())).max(loaded.last_created_at);
        let mut earlier = Vec::new();
        for page in submission.pages {
            let count = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
            let next_sequence = loaded.next_sequence.saturating_add(count);
            if page.expected.is_some_and(|expected| expected != next_sequence)
                && page.strategy() != MergeStrategy::AggregateHandles
            {
                return;
            }
            let Some(question) = page.command.question() else { continue };
            let situation = Situation {
                key: &submission.key,
                edition: submission.edition,
                headers: &submission.headers,
                state: loaded.state.as_ref(),
                earlier: &earlier,
                next_sequence,
                now,
            };
            let Some(given) = question.ask(situation).await else { return };
            if question.ends_process() {
                match self.scheduled(&submission.key).await {
                    Ok(timeouts) => question.take_back(timeouts),
                    Err(error) => return question.fail(error),
                }
            }
            earlier.extend(given);
        }
    }
}
