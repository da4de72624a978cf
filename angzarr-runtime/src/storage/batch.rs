//! A batch that is still open: who comes while it is worked on may join it.
//!
//! In: the writes that were there when it began. Out: those, and the ones that joined, in order; then an outcome for each.
//! Never: a write that is handed out twice, or more of them than a batch may hold.
//!
//! While a store works on the first writes, the callers of the next ones are being run: what they write joins the same
//! transaction, instead of the store waiting for them first, or they for its commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{StorageError, Write, WriteError, Written};

/// How long a store that is done with everything else waits for somebody who is expected.
const PATIENCE: Duration = Duration::from_micros(50);
/// So many writes cost a store elsewhere about as much as the way there and back.
const WORTH_THE_WAY: usize = 64;
/// How often others get their turn while nobody comes, where waiting is giving way.
const TURNS: usize = 3;

/// Whether somebody else joins.
pub(super) enum Joining {
    /// These did.
    Came(Vec<Write>),
    /// Nobody did yet. So many are in it, and so many are expected.
    Expected { joined: usize, expected: usize },
    /// Nobody will.
    Nobody,
}

/// What is behind a batch: those who wait for it.
pub(super) trait Callers: Send + Sync {
    fn join(&self) -> Joining;
    fn answer(&self, outcomes: Result<Vec<Result<Written, WriteError>>, StorageError>);
}

/// Writes to be committed together, and those that may still join them. If it is dropped without an
/// [`answer`](Self::answer), everybody in it is told that nobody knows whether their write is stored.
pub struct OpenBatch {
    first: Vec<Write>,
    callers: Arc<dyn Callers>,
}

impl OpenBatch {
    pub(super) fn new(first: Vec<Write>, callers: Arc<dyn Callers>) -> Self {
        Self { first, callers }
    }

    /// The next writes for the transaction: first those that it began with, then those that joined. `None` closes it.
    /// Waits some microseconds for callers who are expected, so call it on a thread that may wait.
    pub fn next_writes(&mut self) -> Option<Vec<Write>> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        let mut since = None;
        loop {
            match self.callers.join() {
                Joining::Came(writes) => return Some(writes),
                Joining::Nobody => return None,
                Joining::Expected { .. } if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE => return None,
                // Those who are expected may need this very processor.
                Joining::Expected { .. } => std::thread::yield_now(),
            }
        }
    }

    /// All of it, for a store that works elsewhere while callers are run here: half of those who are expected are enough for it, if
    /// they are worth the way. The others come with the next one, which is filled meanwhile. Waits some microseconds like
    /// [`next_writes`](Self::next_writes).
    pub fn close_at_half(&mut self) -> Vec<Write> {
        let mut writes = std::mem::take(&mut self.first);
        let mut since = None;
        loop {
            match self.callers.join() {
                Joining::Came(more) => writes.extend(more),
                Joining::Nobody => return writes,
                Joining::Expected { joined, expected }
                    if joined >= WORTH_THE_WAY.max(expected / 2)
                        || since.get_or_insert_with(Instant::now).elapsed() > PATIENCE =>
                {
                    return writes;
                }
                Joining::Expected { .. } => std::thread::yield_now(),
            }
        }
    }

    /// All of it, for a store that takes it as a whole: waits for those who are expected, but never longer than it takes
    /// the runtime to let everybody run once.
    pub async fn close(&mut self) -> Vec<Write> {
        let mut writes = std::mem::take(&mut self.first);
        let mut idle = 0;
        while idle < TURNS {
            match self.callers.join() {
                Joining::Came(more) => {
                    writes.extend(more);
                    idle = 0;
                }
                Joining::Nobody => break,
                Joining::Expected { .. } => {
                    idle += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        writes
    }

    /// Answers everybody in it, in the order in which their writes came out of it: after the commit, from any thread.
    ///
    /// # Errors
    /// As an argument: what happened to every one of them.
    pub fn answer(self, outcomes: Result<Vec<Result<Written, WriteError>>, StorageError>) {
        self.callers.answer(outcomes);
    }
}

impl std::fmt::Debug for OpenBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBatch").field("first", &self.first.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Half of the callers are there; the others come if they are still asked for.
    struct Halves(Mutex<Vec<Joining>>);

    impl Callers for Halves {
        fn join(&self) -> Joining {
            self.0.lock().pop().unwrap_or(Joining::Nobody)
        }

        fn answer(&self, _: Result<Vec<Result<Written, WriteError>>, StorageError>) {}
    }

    /// How many a store elsewhere begins with.
    fn begins_with(expected: usize) -> usize {
        let writes = |count| (0..count).map(|_| Write::default()).collect::<Vec<_>>();
        let half = Joining::Expected { joined: expected / 2, expected };
        let callers = Halves(Mutex::new(vec![Joining::Came(writes(expected / 2)), half]));
        OpenBatch::new(writes(expected / 2), Arc::new(callers)).close_at_half().len()
    }

    #[test]
    fn a_store_elsewhere_begins_with_half_of_many_and_with_all_of_few() {
        assert_eq!(begins_with(1_024), 512);
        assert_eq!(begins_with(2 * WORTH_THE_WAY), WORTH_THE_WAY);
        assert_eq!(begins_with(WORTH_THE_WAY), WORTH_THE_WAY);
        assert_eq!(begins_with(2), 2);
    }
}
