//! What something would do that a caller sends, without doing it (row T3).
//!
//! In: a submission, and a state of its stream. Out: the events that it would have stored. Never: a write, a dead letter, or
//! anything published; the state is thrown away.

use angzarr_proto as proto;

use super::decide::Why;
use super::pipeline::{Core, Outcome, StoredEvents, Submission};
use super::{Alone, Loaded, Receipt, SyncMode};
use crate::declare::MergeStrategy;
use crate::error::{Error, Result, SequenceMismatch};
use crate::reaction::WaitResult;
use crate::stream::AsOf;

impl Core {
    /// What a `CommandRequest` would store on the state as of a point. Before the head, sequences that it expects are not
    /// asked for: they speak of the head.
    pub(crate) async fn speculate(&self, request: &proto::CommandRequest, as_of: AsOf) -> Result<Receipt> {
        self.with_parsed(request, as_of == AsOf::Head, async |submission| {
            let outcome = self.would_do(submission, as_of).await.map_err(|error| error.about(|| submission.about()))?;
            Ok(Receipt::new(submission.key.clone(), outcome, WaitResult::default()))
        })
        .await
    }

    async fn would_do(&self, submission: &Submission<'_>, as_of: AsOf) -> Result<Outcome> {
        // What was done before is not done again, it is answered (row C10).
        if let (AsOf::Head, Some(dedup)) = (as_of, &submission.dedup)
            && let Some(first) = self.storage.find_duplicate(&submission.key, dedup).await?
        {
            return self.first_answer(submission, first).await;
        }
        let Submission { aggregate, key, edition, .. } = submission;
        let mut loaded = self.load(aggregate, key, edition, as_of).await?;
        self.ask_on(submission, &mut loaded, as_of).await?;
        match self.would_store(submission, &mut loaded) {
            Ok(events) => Ok(Outcome {
                events,
                next_sequence: loaded.next_sequence,
                duplicate: false,
                moot: false,
                waiting: None,
            }),
            Err(Why::Error(error)) => Err(error),
            Err(Why::Mismatch { strategy, expected, actual, subject }) => {
                let book = self.event_book(aggregate, key, edition).await?;
                let stream = key.clone();
                // Where the command would have become a dead letter, it becomes none: nothing is stored.
                Err(Error::SequenceMismatch(Box::new(SequenceMismatch {
                    stream,
                    strategy: if strategy == MergeStrategy::Manual { MergeStrategy::Strict } else { strategy },
                    expected,
                    actual,
                    book,
                    subject,
                })))
            }
            Err(Why::NoEvent | Why::Complete) => unreachable!("these are no events"),
        }
    }

    /// The same for one thing that a state decides on, and a state that is given.
    pub(crate) async fn would_decide(&self, alone: Alone<'_>, loaded: &mut Loaded) -> Result<StoredEvents> {
        let pages = [alone.page(SyncMode::Async)];
        let submission = alone.submission(&pages, tracing::Span::none());
        self.ask_ahead(&submission, loaded).await;
        match self.would_store(&submission, loaded) {
            Ok(events) => Ok(events),
            Err(Why::Error(error)) => Err(error.about(|| submission.about())),
            Err(Why::Mismatch { .. } | Why::NoEvent | Why::Complete) => unreachable!("nothing was expected"),
        }
    }
}
