//! That somebody waits for what follows from a command, as its events say it.
//!
//! In: who waits, for what, until when. Out: the same, as a store keeps it. Never: a wait; that is what `reaction/` does.

use std::time::{Duration, SystemTime};

use angzarr_proto::CascadeErrorMode;
use uuid::Uuid;

use super::Nanos;

/// Stands on the events of a SIMPLE or CASCADE command, and on those that follow from it, where several processes share a store:
/// whichever of them handles such an event knows whom to tell (rows S3, S4, R5).
///
/// A store keeps it with the event, in the bytes that [`to_bytes`](Self::to_bytes) makes of it, and finds its events by
/// [`wait`](Self::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitMark {
    pub(crate) wait: Uuid,
    /// The process that the command was sent to.
    pub(crate) asker: Uuid,
    /// What becomes of a cascade when a reaction fails; `None` for SIMPLE.
    pub(crate) cascade: Option<CascadeErrorMode>,
    /// Reactions between the command and the event.
    pub(crate) depth: u32,
    /// When nobody waits any more.
    pub(crate) until: Nanos,
}

/// Clocks of several machines differ by less, and a command waits for its turn for less.
pub(crate) const SKEW: Duration = Duration::from_secs(60);
/// How long it matters behind the end of a cascade how that was to end: what succeeds late is undone as well (row E3).
pub(crate) const LATE: Duration = Duration::from_secs(3_600);

impl WaitMark {
    /// How many bytes it has.
    pub const BYTES: usize = 45;

    /// A mark for a new wait.
    pub(crate) fn new(asker: Uuid, cascade: Option<CascadeErrorMode>, time: Duration) -> Self {
        let until = clock().saturating_add(nanos(time));
        Self { wait: Uuid::new_v4(), asker, cascade, depth: 0, until }
    }

    /// What all marks of one wait have in common, and no other.
    pub fn wait(&self) -> Uuid {
        self.wait
    }

    pub(crate) fn at_depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// Whether nobody waits any more, by the clock of this machine and some time more.
    pub(crate) fn is_over(&self) -> bool {
        clock() > self.until.saturating_add(nanos(SKEW))
    }

    /// Whether it does not even matter any more how its cascade was to end.
    pub(crate) fn is_forgotten(&self) -> bool {
        clock() > self.until.saturating_add(nanos(SKEW + LATE))
    }

    /// When something that is told now is not wanted any more, `time` behind the end at the earliest. By any clock: it is later
    /// rather than too early.
    pub(crate) fn until_behind(&self, time: Duration) -> Nanos {
        self.until.max(clock()).saturating_add(nanos(SKEW + SKEW + time))
    }

    /// As a store keeps it; [`wait`](Self::wait) is the first 16 bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(self.wait.as_bytes());
        bytes[16..32].copy_from_slice(self.asker.as_bytes());
        bytes[32] = match self.cascade {
            None => 0,
            Some(CascadeErrorMode::CascadeErrorFailFast) => 1,
            Some(CascadeErrorMode::CascadeErrorContinue) => 2,
            Some(CascadeErrorMode::CascadeErrorCompensate) => 3,
            Some(CascadeErrorMode::CascadeErrorDeadLetter) => 4,
        };
        bytes[33..37].copy_from_slice(&self.depth.to_be_bytes());
        bytes[37..].copy_from_slice(&self.until.to_be_bytes());
        bytes
    }

    /// From what [`to_bytes`](Self::to_bytes) made; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (wait, rest) = bytes.split_first_chunk::<16>()?;
        let (asker, rest) = rest.split_first_chunk::<16>()?;
        let (mode, rest) = rest.split_first()?;
        let (depth, rest) = rest.split_first_chunk::<4>()?;
        let cascade = match mode {
            0 => None,
            1 => Some(CascadeErrorMode::CascadeErrorFailFast),
            2 => Some(CascadeErrorMode::CascadeErrorContinue),
            3 => Some(CascadeErrorMode::CascadeErrorCompensate),
            4 => Some(CascadeErrorMode::CascadeErrorDeadLetter),
            _ => return None,
        };
        Some(Self {
            wait: Uuid::from_bytes(*wait),
            asker: Uuid::from_bytes(*asker),
            cascade,
            depth: u32::from_be_bytes(*depth),
            until: Nanos::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The time of day: a runtime's own clock may be a test's, waits go by the real one.
pub(crate) fn clock() -> Nanos {
    crate::declare::nanos_of(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let modes = [
            None,
            Some(CascadeErrorMode::CascadeErrorFailFast),
            Some(CascadeErrorMode::CascadeErrorContinue),
            Some(CascadeErrorMode::CascadeErrorCompensate),
            Some(CascadeErrorMode::CascadeErrorDeadLetter),
        ];
        for mode in modes {
            let mark = WaitMark::new(Uuid::new_v4(), mode, Duration::from_secs(5)).at_depth(70_000);
            let bytes = mark.to_bytes();
            assert_eq!(WaitMark::from_bytes(&bytes), Some(mark));
            assert_eq!(bytes[..16], *mark.wait().as_bytes());
            for cut in 0..WaitMark::BYTES {
                assert_eq!(WaitMark::from_bytes(&bytes[..cut]), None, "{cut} bytes");
            }
            let mut wrong = bytes;
            wrong[32] = 5;
            assert_eq!(WaitMark::from_bytes(&wrong), None);
            assert_eq!(WaitMark::from_bytes(&[&bytes[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn s9_a_mark_is_over_behind_its_time() {
        let mark = WaitMark::new(Uuid::new_v4(), None, Duration::from_secs(60));
        assert!(!mark.is_over());
        let past = WaitMark { until: clock() - nanos(SKEW) - 1, ..mark };
        assert!(past.is_over());
        assert!(past.until_behind(Duration::ZERO) > clock() + nanos(SKEW));
        assert!(!past.is_forgotten(), "a late reaction has to know its error mode");
        assert!(WaitMark { until: past.until - nanos(LATE), ..past }.is_forgotten());
    }
}
