//! What processes tell each other through the store about commands that somebody waits for (rows S3, S4, R5).
//!
//! In: what a component did with an event, for whoever waits. Out: the same, until they have read it or time has passed. Never: the
//! truth; that is what is stored of the events themselves, and whoever misses an answer goes by it.

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::StorageFuture;
use crate::stream::Nanos;

/// Tells one process what another one did.
///
/// # The promises
/// 1. What was told, here or in a commit ([`Extras::answers`](super::Extras::answers)), is read by everybody who asks afterwards, in
///    the order in which it was told, call by call and commit by commit.
/// 2. Of several answers with one wait and key the first one counts.
/// 3. An answer is there until its wait is forgotten, or its time is over.
pub trait Answers: Send + Sync {
    /// Tells. It is there when this answers.
    fn tell<'a>(&'a self, answers: &'a [Answer]) -> StorageFuture<'a, ()>;

    /// Everything that was told to these waits.
    fn read<'a>(&'a self, waits: &'a [Uuid]) -> StorageFuture<'a, Vec<Answer>>;

    /// Removes what was told to these waits, and what was for anybody until a time before `now`.
    fn forget<'a>(&'a self, waits: &'a [Uuid], now: Nanos) -> StorageFuture<'a, ()>;

    /// Wakes whoever waits for answers. A wake-up may come late or be left out; who waits looks now and then as well.
    fn news(&self) -> watch::Receiver<()>;
}

/// What one process tells another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To whom.
    pub wait: Uuid,
    /// What it is about: the same key says the same.
    pub key: Bytes,
    /// Nobody wants to know it after this time.
    pub until: Nanos,
    /// The answer, encoded. The store never looks inside.
    pub answer: Bytes,
}
