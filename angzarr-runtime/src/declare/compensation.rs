//! What `#[rejected]` and `#[compensate]` on an aggregate become, and what their methods take and answer (rows K).

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::Deref;

use angzarr_proto as proto;
use bytes::Bytes;
use uuid::Uuid;

use super::{CommandContext, EventSink, Location, Message, MessageType, Rejection};
use crate::stream::Name;

/// A command of a saga or process manager that its target has rejected, as a `#[rejected]` method takes it. Derefs to the
/// command.
#[derive(Clone, Debug)]
pub struct Rejected<C> {
    command: C,
    about: RejectedCommand,
}

impl<C> Rejected<C> {
    /// The command.
    pub fn command(&self) -> &C {
        &self.command
    }
    /// The command itself.
    pub fn into_command(self) -> C {
        self.command
    }
    /// Code and reason of the rejection: `out_of_stock: 3 are left`.
    pub fn reason(&self) -> &str {
        &self.about.reason
    }
    /// The rejection's code: what stands before the first colon of the reason.
    pub fn code(&self) -> &str {
        self.about.reason.split(':').next().unwrap_or_default().trim()
    }
    /// Domain of the target.
    pub fn domain(&self) -> &str {
        &self.about.domain
    }
    /// Root of the target.
    pub fn root(&self) -> Uuid {
        self.about.root
    }
    /// Sequence of the event in the source's stream that the command was sent for.
    pub fn source_sequence(&self) -> u32 {
        self.about.source_seq
    }
    /// Name of the saga or process manager that sent it.
    pub fn component(&self) -> &str {
        &self.about.component
    }
}

impl<C> Deref for Rejected<C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.command
    }
}

/// The same without the type of the command.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedCommand {
    pub(crate) domain: Name,
    pub(crate) root: Uuid,
    pub(crate) type_name: Name,
    pub(crate) payload: Bytes,
    pub(crate) reason: String,
    pub(crate) component: Name,
    pub(crate) source_seq: u32,
}

/// What a `#[rejected]` method takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a `#[rejected]` method takes",
    label = "not a rejected command",
    note = "a rejected command comes with the reason of its rejection: if `{Self}` is the command, write `r: Rejected<{Self}>`"
)]
pub trait RejectedParameter: Sized {
    /// The command.
    type Command: Message;
    /// Decodes it.
    ///
    /// # Errors
    /// The payload is no such command.
    #[doc(hidden)]
    fn decode(rejected: &RejectedCommand) -> Result<Self, prost::DecodeError>;
}

impl<C: Message> RejectedParameter for Rejected<C> {
    type Command = C;
    fn decode(rejected: &RejectedCommand) -> Result<Self, prost::DecodeError> {
        Ok(Self { command: C::decode(rejected.payload.clone())?, about: rejected.clone() })
    }
}

/// What a `#[compensate]` method takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a `#[compensate]` method takes",
    label = "not the request to undo",
    note = "the request says which events of the aggregate are to be undone, and why: `#[compensate] fn …(&self, c: Compensate) -> …`, with `angzarr_runtime::Compensate`"
)]
pub trait CompensateParameter {
    /// The request.
    #[doc(hidden)]
    fn take(compensate: &proto::Compensate) -> Self;
}

impl CompensateParameter for proto::Compensate {
    fn take(compensate: &proto::Compensate) -> Self {
        compensate.clone()
    }
}

/// What a `#[rejected]` or `#[compensate]` method answers where it has no events: what is to be done instead (row K4). The
/// flags add up; one without any says that nothing more is needed.
///
/// ```
/// use angzarr_runtime::Revocation;
/// let give_up = Revocation::new("the carrier has it already").dead_letter().escalate();
/// assert_eq!(give_up.reason(), "the carrier has it already");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revocation {
    pub(crate) response: proto::RevocationResponse,
    pub(crate) forward: bool,
}

impl Revocation {
    /// Nothing more is to be done, for this reason. Add what is.
    pub fn new(reason: impl Into<String>) -> Self {
        let response = proto::RevocationResponse { reason: reason.into(), ..Default::default() };
        Self { response, forward: false }
    }

    /// Records a `SagaCompensationFailed` event in the source's stream.
    #[must_use]
    pub fn system_event(mut self) -> Self {
        self.response.emit_system_revocation = true;
        self
    }

    /// Puts the rejected command into the dead letters.
    #[must_use]
    pub fn dead_letter(mut self) -> Self {
        self.response.send_to_dead_letter_queue = true;
        self
    }

    /// Calls the escalation hook: `Builder::on_escalation`.
    #[must_use]
    pub fn escalate(mut self) -> Self {
        self.response.escalate = true;
        self
    }

    /// Under CASCADE the error goes to the caller.
    #[must_use]
    pub fn abort(mut self) -> Self {
        self.response.abort = true;
        self
    }

    /// Hands the notification on, to whoever sent the command that the source's event came from: for an aggregate in the
    /// middle of a chain that cannot decide. Where nobody did, the rejected command goes to the dead letters.
    pub fn forward() -> Self {
        Self { response: proto::RevocationResponse::default(), forward: true }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.response.reason
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.response.emit_system_revocation, "system event"),
            (self.response.send_to_dead_letter_queue, "dead letter"),
            (self.response.escalate, "escalate"),
            (self.response.abort, "abort"),
            (self.forward, "forward"),
        ];
        let said: Vec<&str> = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
        write!(f, "{}", self.response.reason)?;
        if said.is_empty() { Ok(()) } else { write!(f, " ({})", said.join(", ")) }
    }
}

/// `ensure!` and `?` in a compensation: what cannot be undone waits in the dead letters for somebody to look at it.
impl From<Rejection> for Revocation {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.to_string()).dead_letter()
    }
}

/// What a `#[rejected]` or `#[compensate]` method may fail with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a revocation",
    label = "not a revocation",
    note = "who cannot undo says what is to be done instead: return `Revocation`, for example `Err(Revocation::new(\"why\").dead_letter())`",
    note = "if `{Self}` is a type of your own, `impl From<{Self}> for Revocation {{ … }}` lets `?` do it"
)]
pub trait IntoRevocation {
    /// The revocation.
    fn into_revocation(self) -> Revocation;
}
#[diagnostic::do_not_recommend]
impl<E: Into<Revocation>> IntoRevocation for E {
    fn into_revocation(self) -> Revocation {
        self.into()
    }
}

/// Has a `#[compensate]`: one, in whatever block it stands. The compiler shows a second one.
pub trait Compensates {}

/// What a `#[rejected]` method of an aggregate takes, decoded.
///
/// # Errors
/// The payload is no such command: it waits in the dead letters.
pub fn decoded_rejected<R>(
    decoded: Result<R, prost::DecodeError>,
    rejected: &RejectedCommand,
) -> Result<R, Revocation> {
    decoded.map_err(|error| {
        Revocation::new(format!("the rejected `{}` cannot be decoded: {error}", rejected.type_name)).dead_letter()
    })
}

/// The same for a process manager.
///
/// # Errors
/// The payload is no such command.
pub fn decoded_rejected_of_process<R>(
    decoded: Result<R, prost::DecodeError>,
    rejected: &RejectedCommand,
) -> Result<R, super::ReactionError> {
    decoded.map_err(|error| {
        super::ReactionError::permanent(format_args!(
            "the rejected `{}` cannot be decoded: {error}",
            rejected.type_name
        ))
    })
}

/// The declaration of an aggregate's `#[rejected]`.
#[derive(Debug)]
pub struct RejectedDescriptor {
    /// The aggregate's state.
    pub aggregate: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The command that was rejected.
    pub command: MessageType,
    /// The one target domain that it is for, if it says so.
    pub target: Option<&'static str>,
    /// The events that it can return.
    pub emits: fn(&mut Vec<MessageType>),
    /// Runs it.
    pub run: RejectedFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a `#[rejected]` method on a state.
pub type RejectedFn = fn(&dyn Any, &RejectedCommand, &CommandContext<'_>, &mut EventSink) -> Result<(), Revocation>;

/// The declaration of an aggregate's `#[compensate]`.
#[derive(Debug)]
pub struct CompensateDescriptor {
    /// The aggregate's state.
    pub aggregate: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The events that it can return.
    pub emits: fn(&mut Vec<MessageType>),
    /// Runs it.
    pub run: CompensateFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a `#[compensate]` method on a state.
pub type CompensateFn = fn(&dyn Any, &proto::Compensate, &CommandContext<'_>, &mut EventSink) -> Result<(), Revocation>;
