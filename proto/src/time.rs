//! Points in time as one number.

use prost_types::Timestamp;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What can be done with a [`Timestamp`]: nanoseconds since the epoch reach from the year 1677 to 2262.
pub trait TimestampExt: Sized {
    /// The point that many nanoseconds after the epoch, or before it.
    ///
    /// ```
    /// use angzarr_proto::{TimestampExt, prost_types::Timestamp};
    ///
    /// assert_eq!(Timestamp::from_unix_nanos(1_500_000_000), Timestamp { seconds: 1, nanos: 500_000_000 });
    /// assert_eq!(Timestamp::from_unix_nanos(-1), Timestamp { seconds: -1, nanos: 999_999_999 });
    /// ```
    fn from_unix_nanos(nanos: i64) -> Self;

    /// Nanoseconds since the epoch; none if that is too far away.
    ///
    /// ```
    /// use angzarr_proto::{TimestampExt, prost_types::Timestamp};
    ///
    /// assert_eq!(Timestamp { seconds: 1, nanos: 5 }.to_unix_nanos(), Some(1_000_000_005));
    /// assert_eq!(Timestamp { seconds: i64::MAX, nanos: 0 }.to_unix_nanos(), None);
    /// ```
    fn to_unix_nanos(&self) -> Option<i64>;

    /// Nanoseconds since the epoch; the nearest one if that is too far away.
    ///
    /// ```
    /// use angzarr_proto::{TimestampExt, prost_types::Timestamp};
    ///
    /// assert_eq!(Timestamp { seconds: i64::MIN, nanos: 0 }.to_unix_nanos_saturating(), i64::MIN);
    /// ```
    fn to_unix_nanos_saturating(&self) -> i64;
}

impl TimestampExt for Timestamp {
    fn from_unix_nanos(nanos: i64) -> Self {
        Self {
            seconds: nanos.div_euclid(NANOS_PER_SECOND),
            // Always below a thousand million, which fits.
            nanos: nanos.rem_euclid(NANOS_PER_SECOND) as i32,
        }
    }

    fn to_unix_nanos(&self) -> Option<i64> {
        exact(self).try_into().ok()
    }

    fn to_unix_nanos_saturating(&self) -> i64 {
        exact(self).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// The wire allows any pair of numbers; this holds every one of them, whether normalised or not.
fn exact(timestamp: &Timestamp) -> i128 {
    i128::from(timestamp.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(timestamp.nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends() {
        for nanos in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(Timestamp::from_unix_nanos(nanos).to_unix_nanos(), Some(nanos));
        }
        let mut beyond = Timestamp::from_unix_nanos(i64::MAX);
        beyond.nanos += 1;
        assert_eq!(beyond.to_unix_nanos(), None);
        assert_eq!(beyond.to_unix_nanos_saturating(), i64::MAX);
    }

    #[test]
    fn what_is_not_normalised_counts_all_the_same() {
        let timestamp = Timestamp { seconds: 2, nanos: -1 };
        assert_eq!(timestamp.to_unix_nanos(), Some(1_999_999_999));
    }

    proptest! {
        #[test]
        fn round_trip(nanos: i64) {
            let timestamp = Timestamp::from_unix_nanos(nanos);
            prop_assert!((0..1_000_000_000).contains(&timestamp.nanos));
            prop_assert_eq!(timestamp.to_unix_nanos(), Some(nanos));
            prop_assert_eq!(timestamp.to_unix_nanos_saturating(), nanos);
        }

        #[test]
        fn never_panics(seconds: i64, nanos: i32) {
            let timestamp = Timestamp { seconds, nanos };
            let saturated = timestamp.to_unix_nanos_saturating();
            if let Some(exact) = timestamp.to_unix_nanos() {
                prop_assert_eq!(exact, saturated);
            } else {
                prop_assert!(saturated == i64::MIN || saturated == i64::MAX);
            }
        }
    }
}
