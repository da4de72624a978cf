//! What `#[process_manager]`, its `#[handler]`, `#[timeout]` and `#[rejected]` methods become.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::{
    Aggregate, AggregateDescriptor, AnyCommand, AnyFact, Emission, EmittedBy, EventContext, EventSink, Location,
    MessageType, ReactionError, RejectedCommand, nanos_of,
};
use crate::stream::Nanos;

/// A process manager: its state, folded from its own events. Its blocks add handlers to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process manager",
    label = "no `#[process_manager(domain = \"…\", from = […])]` on this type",
    note = "a `#[process_manager] impl` block only adds methods; what it listens to is said on the struct: put `#[process_manager(domain = \"…\", from = […])]` on `{Self}`"
)]
pub trait DeclaredProcessManager: Aggregate {}

/// Has a `#[handler]` for the event `E`: one, in whatever block it stands. The compiler shows a second one.
pub trait ReactsTo<E> {}

/// What connects a process manager's methods with its declaration.
pub fn process_manager_component<P: DeclaredProcessManager>() -> TypeId {
    TypeId::of::<P>()
}

/// What a process manager does about an event, a timeout or a rejection: events of its own, and what is to be sent. All of
/// it is stored in one step before anything is sent (row P1).
///
/// In the signature of a method of a `#[process_manager] impl` block, `Reaction` alone means `Reaction<Self>`; a function of
/// yours elsewhere that makes part of one names the process manager: `-> Reaction<Checkout>`.
///
/// ```
/// use std::time::Duration;
/// use angzarr_runtime::prelude::*;
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct TakePayment { #[prost(int64, tag = "1")] pub amount: i64 }
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Started {}
/// # angzarr_runtime::name_messages!("shop": TakePayment, Started);
/// # #[aggregate(domain = "payment", remote, handles(TakePayment))] pub struct Payment;
/// # #[process_manager(domain = "checkout", from = [Payment])]
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Checkout {}
/// # #[process_manager] impl Checkout { #[apply] fn started(&mut self, _: Started) {} }
/// fn begin(order: Uuid, total: i64) -> Reaction<Checkout> {
///     Reaction::new()
///         .event(Started {})
///         .command(Payment::command(order, TakePayment { amount: total }))
///         .timeout("payment", Duration::from_secs(900))
/// }
/// # fn main() { let _ = begin(Uuid::nil(), 1); }
/// ```
#[must_use = "a reaction does nothing until the method returns it"]
pub struct Reaction<P> {
    sink: EventSink,
    process: PhantomData<fn() -> P>,
}

impl<P> Default for Reaction<P> {
    fn default() -> Self {
        Self { sink: EventSink::default(), process: PhantomData }
    }
}

impl<P> std::fmt::Debug for Reaction<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sink.fmt(f)
    }
}

impl<P> Reaction<P> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn rest(&mut self) -> &mut Aftermath {
        self.sink.aftermath.get_or_insert_default()
    }

    /// An event for the process manager's own stream. It needs an `#[apply]`.
    pub fn event<E: EmittedBy<P>>(mut self, event: E) -> Self {
        event.emit(&mut self.sink);
        self
    }

    /// Several of them.
    pub fn events<E: EmittedBy<P>>(self, events: impl IntoIterator<Item = E>) -> Self {
        events.into_iter().fold(self, Self::event)
    }

    /// A command: `Payment::command(root, TakePayment { … })`. It runs once, whatever is delivered twice (row G2); if it is
    /// rejected, the `#[rejected]` method for it runs (row P6).
    pub fn command(mut self, command: impl Into<AnyCommand>) -> Self {
        self.rest().emissions.push(Emission::Command(command.into()));
        self
    }

    /// Several of them.
    pub fn commands<C: Into<AnyCommand>>(self, commands: impl IntoIterator<Item = C>) -> Self {
        commands.into_iter().fold(self, Self::command)
    }

    /// A fact for another stream (row G6): `Order::fact(root, ParcelDelivered { … })`.
    pub fn fact(mut self, fact: impl Into<AnyFact>) -> Self {
        self.rest().emissions.push(Emission::Fact(fact.into()));
        self
    }

    /// Schedules the `#[timeout("name")]` method, so long after now by the runtime's clock (row P5). A timeout of that name
    /// that is scheduled already moves to the new time.
    pub fn timeout(mut self, name: impl Into<Cow<'static, str>>, after: Duration) -> Self {
        self.rest().timeouts.push(TimeoutChange::new(name, Some(TimeoutAt::After(after))));
        self
    }

    /// The same for a point in time. One that has passed is due at once.
    pub fn timeout_at(mut self, name: impl Into<Cow<'static, str>>, at: SystemTime) -> Self {
        self.rest().timeouts.push(TimeoutChange::new(name, Some(TimeoutAt::At(nanos_of(at)))));
        self
    }

    /// Takes a timeout back; one that is not scheduled needs nothing.
    pub fn cancel_timeout(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.rest().timeouts.push(TimeoutChange::new(name, None));
        self
    }

    /// The process is over: timeouts are taken back, later triggers of its correlation id are ignored and counted (row P7).
    /// Commands that it has sent may still be rejected; their `#[rejected]` methods run.
    pub fn complete(mut self) -> Self {
        self.rest().complete = true;
        self
    }
}

/// What follows a decision besides its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aftermath {
    /// In the order in which they were given.
    pub(crate) emissions: Vec<Emission>,
    /// In order; the last word on a name counts.
    pub(crate) timeouts: Vec<TimeoutChange>,
    pub(crate) complete: bool,
}

/// A timeout that is scheduled, moved or taken back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeoutChange {
    pub(crate) name: Cow<'static, str>,
    /// `None` takes it back.
    pub(crate) to: Option<TimeoutAt>,
    /// What a process manager in another process wants to be told then.
    pub(crate) told: Option<Box<angzarr_proto::Notification>>,
}

impl TimeoutChange {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, to: Option<TimeoutAt>) -> Self {
        Self { name: name.into(), to, told: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimeoutAt {
    After(Duration),
    At(Nanos),
}

/// What a method of a process manager may return: a [`Reaction`], an `Option` of one, nothing, or a `Result` of these with a
/// [`ReactionError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a method of the process manager `{P}` can return",
    label = "not a reaction",
    note = "return `Reaction`, `Option<Reaction>`, or `Result<Reaction, ReactionError>`; own events, commands and timeouts are said in it: `Reaction::new().event(…).command(…).timeout(\"…\", …)`"
)]
pub trait ProcessOutput<P> {
    /// Hands everything over.
    ///
    /// # Errors
    /// The method's error.
    #[doc(hidden)]
    fn hand_over(self, sink: &mut EventSink) -> Result<(), ReactionError>;
}

impl<P> ProcessOutput<P> for Reaction<P> {
    fn hand_over(self, sink: &mut EventSink) -> Result<(), ReactionError> {
        sink.events.extend(self.sink.events);
        if let Some(rest) = self.sink.aftermath {
            let into = sink.aftermath.get_or_insert_default();
            into.emissions.extend(rest.emissions);
            into.timeouts.extend(rest.timeouts);
            into.complete |= rest.complete;
        }
        Ok(())
    }
}

impl<P> ProcessOutput<P> for () {
    fn hand_over(self, _: &mut EventSink) -> Result<(), ReactionError> {
        Ok(())
    }
}

impl<P, O: ProcessOutput<P>> ProcessOutput<P> for Option<O> {
    fn hand_over(self, sink: &mut EventSink) -> Result<(), ReactionError> {
        self.map_or(Ok(()), |output| output.hand_over(sink))
    }
}

impl<P, O: ProcessOutput<P>, E: Into<ReactionError>> ProcessOutput<P> for Result<O, E> {
    fn hand_over(self, sink: &mut EventSink) -> Result<(), ReactionError> {
        self.map_err(Into::into)?.hand_over(sink)
    }
}

/// The declaration of a process manager.
#[derive(Debug)]
pub struct ProcessManagerDescriptor {
    /// Its state: domain, snapshots, doc and place are those of the process manager.
    pub state: &'static AggregateDescriptor,
    /// The domains that it listens to.
    pub sources: &'static [&'static str],
    /// The domains that it says it sends to, beside those that it listens to; for the documentation.
    pub targets: &'static [&'static str],
}

/// The declaration of a process manager's `#[handler]`.
#[derive(Debug)]
pub struct ProcessHandlerDescriptor {
    /// The process manager.
    pub component: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The event.
    pub event: MessageType,
    /// Runs it.
    pub react: ProcessReactFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a handler on a state and an encoded event.
pub type ProcessReactFn = fn(&dyn Any, &[u8], &EventContext, &mut EventSink) -> Result<(), ReactionError>;

/// The declaration of a process manager's `#[timeout("…")]`.
#[derive(Debug)]
pub struct TimeoutDescriptor {
    /// The process manager.
    pub component: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// Name of the timeout.
    pub name: &'static str,
    /// Runs it.
    pub run: TimeoutFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs the method of a timeout on a state.
pub type TimeoutFn = fn(&dyn Any, &EventContext, &mut EventSink) -> Result<(), ReactionError>;

/// The declaration of a process manager's `#[rejected]`.
#[derive(Debug)]
pub struct ProcessRejectedDescriptor {
    /// The process manager.
    pub component: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The command that was rejected.
    pub command: MessageType,
    /// The one target domain that it is for, if it says so.
    pub target: Option<&'static str>,
    /// Runs it.
    pub run: ProcessRejectedFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a `#[rejected]` method on a state.
pub type ProcessRejectedFn = fn(&dyn Any, &RejectedCommand, &EventContext, &mut EventSink) -> Result<(), ReactionError>;
