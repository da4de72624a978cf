//! Answers in memory (rows S3, S4, R5).
//!
//! In: what a component did, and who waits for it. Out: the same. Never: two answers to one question.

use tokio::sync::watch;
use uuid::Uuid;

use super::super::{Answer, Answers, StorageFuture};
use super::state::State;
use super::{Memory, ready};
use crate::stream::Nanos;

impl State {
    /// The first one counts.
    pub(super) fn tell(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            self.answers_told += 1;
            self.answers.entry((answer.wait, answer.key.clone())).or_insert((self.answers_told, answer));
        }
    }
}

impl Answers for Memory {
    fn tell<'a>(&'a self, answers: &'a [Answer]) -> StorageFuture<'a, ()> {
        self.shared.state.lock().tell(answers.to_vec());
        self.shared.told.send_replace(());
        ready(())
    }

    fn read<'a>(&'a self, waits: &'a [Uuid]) -> StorageFuture<'a, Vec<Answer>> {
        let state = self.shared.state.lock();
        let mut told: Vec<_> = state.answers.values().filter(|(_, it)| waits.contains(&it.wait)).collect();
        told.sort_unstable_by_key(|(number, _)| *number);
        ready(told.into_iter().map(|(_, answer)| answer.clone()).collect())
    }

    fn forget<'a>(&'a self, waits: &'a [Uuid], now: Nanos) -> StorageFuture<'a, ()> {
        self.shared.state.lock().answers.retain(|_, (_, it)| !waits.contains(&it.wait) && it.until >= now);
        ready(())
    }

    fn news(&self) -> watch::Receiver<()> {
        self.shared.told.subscribe()
    }
}
