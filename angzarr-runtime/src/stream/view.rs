//! Views of the past (rows T).

use super::Nanos;

/// Up to where a stream is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsOf {
    /// As it is now.
    #[default]
    Head,
    /// Exactly the events with sequence ≤ this.
    Sequence(u32),
    /// Exactly the events with `created_at` ≤ this.
    Time(Nanos),
}

/// A state with the version it was read at. Derefs to the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<A> {
    state: A,
    next_sequence: u32,
    created_at: Nanos,
}

impl<A> Versioned<A> {
    pub(crate) fn new(state: A, next_sequence: u32, created_at: Nanos) -> Self {
        Self { state, next_sequence, created_at }
    }

    /// The state itself.
    pub fn into_state(self) -> A {
        self.state
    }

    /// The number of events that the state holds: what a command that was decided on it should expect.
    pub fn next_sequence(&self) -> u32 {
        self.next_sequence
    }

    /// When the last of those events was accepted; `None` for a stream without events.
    pub fn last_event_at(&self) -> Option<std::time::SystemTime> {
        (self.next_sequence > 0).then(|| crate::declare::time_of(self.created_at))
    }

    /// Whether the stream has no events up to this point.
    pub fn is_new(&self) -> bool {
        self.next_sequence == 0
    }
}

impl<A> std::ops::Deref for Versioned<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.state
    }
}
