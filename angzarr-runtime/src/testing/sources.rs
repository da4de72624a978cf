//! Time and ids that a test decides on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::declare::{Clock, IdSource, nanos_of, time_of};

/// A clock that stands still until it is told to move. Clones show the same time, so that a test can keep one and give
/// the other to the runtime. It begins at 2000-01-01T00:00:00Z.
///
/// ```
/// use std::time::Duration;
/// use angzarr_runtime::{Clock, Runtime, testing::ManualClock};
///
/// let clock = ManualClock::new();
/// let builder = Runtime::builder().clock(clock.clone());
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), before + Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    nanos: Arc<AtomicI64>,
}

/// 2000-01-01T00:00:00Z.
const BEGIN: i64 = 946_684_800_000_000_000;

impl ManualClock {
    /// A clock at 2000-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self { nanos: Arc::new(AtomicI64::new(BEGIN)) }
    }

    /// A clock at `time`.
    pub fn at(time: SystemTime) -> Self {
        Self { nanos: Arc::new(AtomicI64::new(nanos_of(time))) }
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, time: SystemTime) {
        self.nanos.store(nanos_of(time), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        // The closure always gives a value.
        let _ = self.nanos.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(by)));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        time_of(self.nanos.load(Ordering::SeqCst))
    }
}

/// Ids in order: `…-000000000001`, `…-000000000002`, and so on. Clones count together.
///
/// ```
/// use angzarr_runtime::{IdSource, testing::SequentialIds};
/// let ids = SequentialIds::new();
/// assert_eq!(ids.next_id().to_string(), "00000000-0000-0000-0000-000000000001");
/// assert_eq!(ids.next_id(), SequentialIds::nth(2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SequentialIds {
    given: Arc<AtomicU64>,
}

impl SequentialIds {
    /// Starts with the first id.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id that comes as number `n`, counted from 1.
    pub fn nth(n: u64) -> Uuid {
        Uuid::from_u128(u128::from(n))
    }
}

impl IdSource for SequentialIds {
    fn next_id(&self) -> Uuid {
        Self::nth(self.given.fetch_add(1, Ordering::SeqCst) + 1)
    }
}
