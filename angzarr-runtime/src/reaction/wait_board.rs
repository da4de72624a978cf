//! What SIMPLE commands wait for: these very events, in each projector concerned (row S9).
//!
//! In: an expectation, noted before the events are stored, so that no projector can be too fast. Out: projections, and who
//! had not finished when the deadline passed. Never: a conclusion from positions; other writers' positions prove nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::command::{Projection, Submission, SyncMode};
use crate::registry::Registry;
use crate::stream::{StoredEvent, StreamKey};

/// A component that had not handled an event when the answer had to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The projector.
    pub projector: String,
    /// The event.
    pub sequence: u32,
    /// Why, where it is known: it failed and is parked in the dead letters.
    pub reason: Option<String>,
}

/// How a wait ended.
#[derive(Debug, Default)]
pub(crate) struct WaitResult {
    pub(crate) projections: Vec<Projection>,
    pub(crate) missing: Vec<Missing>,
}

/// A noted expectation.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: u64,
    key: StreamKey,
    done: oneshot::Receiver<()>,
}

struct Expectation {
    id: u64,
    /// Which projector still has to handle which event.
    open: Vec<(&'static str, u32)>,
    result: WaitResult,
    done: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
pub(crate) struct WaitBoard {
    /// Read before the lock is taken: in most systems nobody waits.
    waiting: AtomicUsize,
    next_id: AtomicU64,
    /// By stream: commands of one stream take turns, so there are few to each.
    expectations: Mutex<HashMap<StreamKey, Vec<Expectation>>>,
}

impl WaitBoard {
    /// Notes what the SIMPLE pages of a submission wait for; `None` where there is nothing to wait for.
    pub(crate) fn expect(
        &self,
        registry: &Registry,
        submission: &Submission<'_>,
        events: &[StoredEvent],
        sync: &[SyncMode],
    ) -> Option<Waiting> {
        if !sync.contains(&SyncMode::Simple) {
            return None;
        }
        let mut open = Vec::new();
        for projector in registry.projectors.values() {
            let concerned = projector.descriptor.domains.contains(&submission.key.domain.as_str())
                && (submission.key.is_main() || projector.descriptor.all_editions);
            for (event, sync) in events.iter().zip(sync) {
                if concerned && *sync == SyncMode::Simple && projector.handlers.contains_key(event.type_name.as_str()) {
                    open.push((projector.descriptor.name, event.sequence));
                }
            }
        }
        if open.is_empty() {
            return None;
        }
        let (sender, done) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let expectation = Expectation { id, open, result: WaitResult::default(), done: Some(sender) };
        let key = submission.key.clone();
        let mut expectations = self.expectations.lock();
        let of_stream = expectations.entry(key.clone()).or_default();
        self.forget_abandoned(of_stream);
        of_stream.push(expectation);
        self.waiting.fetch_add(1, Ordering::Release);
        drop(expectations);
        Some(Waiting { id, key, done })
    }

    /// The events were not stored after all.
    pub(crate) fn withdraw(&self, waiting: Waiting) {
        self.take(&waiting.key, waiting.id);
    }

    fn take(&self, key: &StreamKey, id: u64) -> Option<Expectation> {
        let mut expectations = self.expectations.lock();
        let of_stream = expectations.get_mut(key)?;
        let index = of_stream.iter().position(|expectation| expectation.id == id)?;
        let taken = of_stream.swap_remove(index);
        if of_stream.is_empty() {
            expectations.remove(key);
        }
        self.waiting.fetch_sub(1, Ordering::Release);
        Some(taken)
    }

    /// A caller that was cancelled before it could wait leaves its note behind.
    fn forget_abandoned(&self, of_stream: &mut Vec<Expectation>) {
        let before = of_stream.len();
        of_stream.retain(|expectation| expectation.done.as_ref().is_none_or(|done| !done.is_closed()));
        self.waiting.fetch_sub(before - of_stream.len(), Ordering::Release);
    }

    /// Waits until everything noted has happened, or the deadline has passed.
    pub(crate) async fn wait(&self, waiting: Waiting, deadline: Duration) -> WaitResult {
        /// Takes the note away also when the caller stops waiting.
        struct Note<'a>(&'a WaitBoard, StreamKey, u64);
        impl Drop for Note<'_> {
            fn drop(&mut self) {
                self.0.take(&self.1, self.2);
            }
        }
        let note = Note(self, waiting.key, waiting.id);
        let in_time = tokio::time::timeout(deadline, waiting.done).await.is_ok();
        let Some(expectation) = self.take(&note.1, note.2) else { return WaitResult::default() };
        let mut result = expectation.result;
        if !in_time {
            tracing::warn!(stream = %note.1, open = ?expectation.open, "projectors were not done when the deadline passed");
        }
        result.missing.extend(expectation.open.into_iter().map(|(projector, sequence)| Missing {
            projector: projector.to_owned(),
            sequence,
            reason: None,
        }));
        result.projections.sort_by(|a, b| (a.sequence, &a.projector).cmp(&(b.sequence, &b.projector)));
        result
    }

    /// A projector has handled an event and committed it, or gave up on it.
    pub(crate) fn handled(
        &self,
        projector: &'static str,
        key: &StreamKey,
        sequence: u32,
        outcome: Result<Option<prost_types::Any>, String>,
    ) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut expectations = self.expectations.lock();
        let Some(of_stream) = expectations.get_mut(key) else { return };
        self.forget_abandoned(of_stream);
        for expectation in of_stream.iter_mut() {
            let Some(index) = expectation.open.iter().position(|open| *open == (projector, sequence)) else { continue };
            expectation.open.swap_remove(index);
            match &outcome {
                Ok(Some(projection)) => expectation.result.projections.push(Projection {
                    projector: projector.to_owned(),
                    sequence,
                    projection: projection.clone(),
                }),
                Ok(None) => {}
                Err(reason) => expectation.result.missing.push(Missing {
                    projector: projector.to_owned(),
                    sequence,
                    reason: Some(reason.clone()),
                }),
            }
            if expectation.open.is_empty()
                && let Some(done) = expectation.done.take()
            {
                // If the waiter goes in this very moment, nobody wants to know.
                let _gone = done.send(());
            }
        }
        if of_stream.is_empty() {
            expectations.remove(key);
        }
    }
}
