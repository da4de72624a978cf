//! What generated functions have in common: decoding what they are given, finding the instance that they are called on.

use std::any::Any;

use super::{Message, ReactionError, SnapshotCodec, SnapshotPolicy};

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
