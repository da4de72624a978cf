//! What generated functions have in common: decoding what they are given, finding the instance that they are called on.

use std::any::Any;

use super::{CommandContext, EventContext, Message, ReactionError, Rejection, SnapshotCodec, SnapshotPolicy};

/// The event of a reaction. A payload that is no `E` will never be one: the failure is permanent.
///
/// # Errors
/// The payload is no `E`.
pub fn decode_event<E: Message>(payload: &[u8]) -> Result<E, ReactionError> {
    E::decode(payload)
        .map_err(|error| ReactionError::permanent(format_args!("the payload is not a `{}`: {error}", E::full_name())))
}

/// The old shape that an upcaster takes, the fact of a `#[fact]`.
///
/// # Errors
/// The payload is no `E`.
pub fn decode_message<E: Message>(payload: &[u8]) -> Result<E, prost::DecodeError> {
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
    note = "the caller of a command gets a stable code and a reason: return `Rejection`, and turn the error into one where it happens: `.map_err(|error| Rejection::new(\"a_code\", error.to_string()))?`",
    note = "if `{Self}` is a type of your own, `impl From<{Self}> for Rejection {{ … }}` lets `?` do it"
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
    note = "return `ReactionError` (`ProjectionError` is the same) or an error that implements `std::error::Error`; anything else becomes one where it happens: `.map_err(ReactionError::transient)?`, or `ReactionError::permanent` if no retry can help",
    note = "if `{Self}` is a type of your own, `impl From<{Self}> for ReactionError {{ … }}` lets `?` do it"
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

/// What a handler may take besides its message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what this handler can take besides its message",
    label = "not the context",
    note = "the second parameter is the context, by reference: `ctx: &CommandContext` in a handler of commands, `ctx: &EventContext` in a handler of events; whatever else a handler needs is in the message, the state or the component's own fields"
)]
pub trait TakesContext<C> {
    /// The context.
    fn take(context: C) -> Self;
}
impl<'c, 'h> TakesContext<&'c CommandContext<'h>> for &'c CommandContext<'h> {
    fn take(context: &'c CommandContext<'h>) -> Self {
        context
    }
}
impl<'c> TakesContext<&'c EventContext> for &'c EventContext {
    fn take(context: &'c EventContext) -> Self {
        context
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
