//! What generated functions have in common: decoding what they are given, finding the instance that they are called on.

use std::any::Any;

use super::{Message, ReactionError, Rejection, SnapshotCodec, SnapshotPolicy};

/// The event of a reaction. A payload that is no `E` will never be one: the failure is permanent.
///
/// # Errors
/// The payload is no `E`.
pub fn decode_event<E: Message>(payload: &[u8]) -> Result<E, ReactionError> {
    E::decode(payload)
        .map_err(|error| ReactionError::permanent(format_args!("the payload is not a `{}`: {error}", E::full_name())))
}

/// The old shape that an upcaster takes.
///
/// # Errors
/// The payload is no `E`.
pub fn decode_old<E: Message>(payload: &[u8]) -> Result<E, prost::DecodeError> {
    E::decode(payload)
}

/// The component that a handler is called on.
pub fn instance_of<T: 'static>(instance: &dyn Any) -> &T {
    match instance.downcast_ref() {
        Some(instance) => instance,
        None => unreachable!("the registry pairs components and handlers by type"),
    }
}

/// What a command handler may fail with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a rejection",
    label = "not a rejection",
    note = "the caller of a command gets a stable code and a reason: return `Rejection`, or say how it becomes one with `impl From<{Self}> for Rejection {{ … }}`"
)]
pub trait IntoRejection {
    /// The rejection.
    fn into_rejection(self) -> Rejection;
}
#[diagnostic::do_not_recommend]
impl<E: Into<Rejection>> IntoRejection for E {
    fn into_rejection(self) -> Rejection {
        self.into()
    }
}

/// What a handler of events may fail with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a `ReactionError`",
    label = "not an error",
    note = "return `ReactionError` (`ProjectionError` is the same), an error that implements `std::error::Error`, or say how it becomes one with `impl From<{Self}> for ReactionError {{ … }}`"
)]
pub trait IntoReactionError {
    /// The error.
    fn into_reaction_error(self) -> ReactionError;
}
#[diagnostic::do_not_recommend]
impl<E: Into<ReactionError>> IntoReactionError for E {
    fn into_reaction_error(self) -> ReactionError {
        self.into()
    }
}

impl SnapshotPolicy {
    /// Events between two snapshots where nothing was said (row N1).
    pub const DEFAULT_EVERY: u32 = 16;

    /// The policy where nothing was said: snapshots if the state is a protobuf message, none otherwise.
    pub const fn default_for(codec: Option<SnapshotCodec>) -> Option<Self> {
        match codec {
            Some(codec) => Some(Self { every: Self::DEFAULT_EVERY, codec }),
            None => None,
        }
    }
}
