//! Time and ids that a test decides on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use angzarr_runtime::IdSource;
use angzarr_runtime::prelude::*;

/// A clock that shows what it was told, and moves on by itself by one nanosecond at each look.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn at(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds * 1_000_000_000)))
    }
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds * 1_000_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        time(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// The time of some nanoseconds after 1970, or before.
pub fn time(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// The time of some seconds after 1970.
pub fn at_second(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 1, 2, 3 …
#[derive(Clone, Default)]
pub struct CountedIds(Arc<AtomicU64>);

impl IdSource for CountedIds {
    fn next_id(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst)) + 1)
    }
}
