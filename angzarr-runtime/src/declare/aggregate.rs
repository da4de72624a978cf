//! What `#[aggregate]`, `#[handler]` and `#[apply]` on an aggregate become.

use std::any::{Any, TypeId};

use angzarr_proto as proto;
use bytes::Bytes;
use uuid::Uuid;

use super::{Aftermath, Command, CommandContext, Fact, Location, Message, MessageType, Rejection};
use crate::stream::Name;

/// Something that commands can be sent to: an aggregate of this program or, declared `remote`, of another.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "no domain",
    note = "annotate it with `#[aggregate(domain = \"…\")]`; an aggregate that lives in another process is declared with `#[aggregate(domain = \"…\", remote, handles(…))] pub struct …;`"
)]
pub trait Domain: Sized + 'static {
    /// Name of the domain: 1–64 of `a-z 0-9 _ -`, starting with a letter.
    const DOMAIN: &'static str;

    /// A command for `root` of this domain, checked at compile time: the target must handle it.
    fn command<C: Message>(root: Uuid, command: C) -> Command<Self>
    where
        Self: Accepts<C>,
    {
        Command::new(Self::DOMAIN, root, &command)
    }

    /// A fact for `root` of this domain, for sagas and process managers to return (row G6). The target needs a `#[fact]` or an
    /// `#[apply]` for it.
    fn fact<E: Message>(root: Uuid, fact: E) -> Fact<Self> {
        Fact::new(Self::DOMAIN, root, &fact)
    }
}

/// `Self` handles the command `C`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle the command `{C}`",
    label = "no `#[handler]` for this command",
    note = "add `#[handler] fn …(&self, cmd: {C}) -> Result<…, Rejection>` to an `#[aggregate] impl {Self}` block, or send it to the aggregate that has one"
)]
pub trait Accepts<C>: Domain {}

/// An aggregate: its state, folded from its events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate of this program",
    label = "no `#[aggregate(domain = \"…\")]` on this type",
    note = "annotate the state with `#[aggregate(domain = \"…\")]`; it needs `Default`, which is the state before the first event",
    note = "one that is declared `remote` lives in another process: sagas send to it with `{Self}::command(…)`; its state is there, not here"
)]
pub trait Aggregate: Domain + InitialState + Send + Sync {
    /// What was declared.
    #[doc(hidden)]
    fn descriptor() -> &'static AggregateDescriptor;
}

/// What connects an aggregate's `#[rejected]`, `#[compensate]` and `#[fact]` methods with its declaration.
pub fn aggregate_component<A: Aggregate>() -> TypeId {
    TypeId::of::<A>()
}

/// A state that says what it is before the first event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it is before the first event",
    label = "no `Default`",
    note = "a stream without events has a state too: add `#[derive(Default)]` (`#[derive(prost::Message)]` brings it along), or write `impl Default for {Self}`"
)]
pub trait InitialState: Sized {
    /// The state before the first event.
    fn initial() -> Self;
}
#[diagnostic::do_not_recommend]
impl<S: Default> InitialState for S {
    fn initial() -> Self {
        S::default()
    }
}

/// The handler of the command `C`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle the command `{C}`",
    label = "no `#[handler]` for this command",
    note = "add `#[handler] fn …(&self, cmd: {C}) -> Result<…, Rejection>` to an `#[aggregate] impl {Self}` block"
)]
pub trait Handles<C>: Aggregate + Accepts<C> {
    /// What was declared.
    #[doc(hidden)]
    fn handler() -> &'static CommandHandlerDescriptor;

    /// Decides. Pure: it sees the state and the command, and answers with events or a rejection.
    ///
    /// # Errors
    /// The handler's rejection.
    #[doc(hidden)]
    fn decide(&self, command: C, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection>;
}

/// A command of the aggregate `A`, for signatures that name the aggregate first: `send::<Account>(id, …)`.
#[diagnostic::on_unimplemented(
    message = "`{A}` does not handle the command `{Self}`",
    label = "no `#[handler]` for this command",
    note = "add `#[handler] fn …(&self, cmd: {Self}) -> Result<…, Rejection>` to an `#[aggregate] impl {A}` block"
)]
pub trait CommandOf<A: Aggregate>: Message {
    /// What was declared.
    #[doc(hidden)]
    fn handler() -> &'static CommandHandlerDescriptor;
    /// Lets the aggregate decide.
    ///
    /// # Errors
    /// The handler's rejection.
    #[doc(hidden)]
    fn decide(self, state: &A, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection>;
}

impl<A: Handles<C>, C: Message> CommandOf<A> for C {
    fn handler() -> &'static CommandHandlerDescriptor {
        <A as Handles<C>>::handler()
    }
    fn decide(self, state: &A, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        state.decide(self, context, events)
    }
}

/// A command that can be sent to `A`, wherever `A` lives: for signatures that name the aggregate first.
#[diagnostic::on_unimplemented(
    message = "`{A}` does not handle the command `{Self}`",
    label = "no `#[handler]` for this command",
    note = "add `#[handler] fn …(&self, cmd: {Self}) -> Result<…, Rejection>` to an `#[aggregate] impl {A}` block; for an aggregate that is declared `remote`, list the command: `handles({Self})`"
)]
pub trait CommandTo<A: Domain>: Message {}

impl<A: Accepts<C>, C: Message> CommandTo<A> for C {}

/// The `#[apply]` of the event `E`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` returns the event `{E}` but has no `#[apply]` for it",
    label = "no `#[apply]` for this event",
    note = "every event that a handler can return changes the state or is ignored on purpose: add `#[apply] fn …(&mut self, event: {E}) {{ … }}` to an `#[aggregate] impl {Self}` block (of a process manager: `#[process_manager] impl {Self}`)",
    note = "if `{E}` is an enum of several events, add `#[derive(Events)]` to it"
)]
pub trait Applies<E>: InitialState + Send + Sync + 'static {
    /// The event's name.
    #[doc(hidden)]
    fn event_name() -> Name;

    /// Folds one event into the state.
    #[doc(hidden)]
    fn apply(&mut self, event: E);
}

/// What one position of a handler's return type may be: an event with an `#[apply]`, or an enum of them.
#[diagnostic::on_unimplemented(
    message = "`{A}` cannot return `{Self}`",
    label = "not an event that `{A}` applies",
    note = "an event is a protobuf message with a name, and an `impl {A}` block has an `#[apply]` for it",
    note = "an enum of several events has `#[derive(Events)]`, and `{A}` has an `#[apply]` for the event of each variant: one of them is missing"
)]
pub trait EmittedBy<A> {
    /// The event types it can be.
    #[doc(hidden)]
    fn event_types(into: &mut Vec<MessageType>);
    /// Hands the event over.
    #[doc(hidden)]
    fn emit(self, events: &mut EventSink);
}

impl<A: Applies<E>, E: Message> EmittedBy<A> for E {
    fn event_types(into: &mut Vec<MessageType>) {
        into.push(MessageType::of::<E>());
    }
    fn emit(self, events: &mut EventSink) {
        events.push(A::event_name(), &self, apply_encoded::<A, E>);
    }
}

/// Folds an encoded event into a state. One of these exists for every `#[apply]`.
pub type ApplyFn = fn(&mut dyn Any, &[u8]) -> Result<(), prost::DecodeError>;

/// The [`ApplyFn`] of `E` on `A`.
///
/// # Errors
/// The payload is no `E`.
#[doc(hidden)]
pub fn apply_encoded<A: Applies<E>, E: Message>(state: &mut dyn Any, payload: &[u8]) -> Result<(), prost::DecodeError> {
    let event = E::decode(payload)?;
    if let Some(state) = state.downcast_mut::<A>() {
        state.apply(event);
    }
    Ok(())
}

/// Takes what a handler returns, in order.
#[derive(Debug, Default)]
pub struct EventSink {
    /// Most commands give one event: it needs no allocation of its own.
    pub(crate) events: smallvec::SmallVec<[EmittedEvent; 1]>,
    /// What a process manager wants besides.
    pub(crate) aftermath: Option<Box<Aftermath>>,
}

/// An event on its way from a handler to the store.
#[derive(Debug)]
pub(crate) struct EmittedEvent {
    pub(crate) type_name: Name,
    pub(crate) payload: Bytes,
    pub(crate) apply: ApplyFn,
    /// The version that it says to have; 0 for that of the program.
    pub(crate) schema_version: u32,
}

impl EventSink {
    fn push<E: Message>(&mut self, type_name: Name, event: &E, apply: ApplyFn) {
        let payload = Bytes::from(event.encode_to_vec());
        self.events.push(EmittedEvent { type_name, payload, apply, schema_version: 0 });
    }
}

/// Runs a handler on a state and a command without their types.
pub type DecideFn = fn(&dyn Any, &dyn Any, &CommandContext<'_>, &mut EventSink) -> Result<(), Rejection>;

/// The [`DecideFn`] of `C` on `A`.
///
/// # Errors
/// The handler rejects.
#[doc(hidden)]
pub fn decide_erased<A: Handles<C>, C: Message>(
    state: &dyn Any,
    command: &dyn Any,
    context: &CommandContext<'_>,
    events: &mut EventSink,
) -> Result<(), Rejection> {
    match (state.downcast_ref::<A>(), command.downcast_ref::<C>()) {
        (Some(state), Some(command)) => state.decide(command.clone(), context, events),
        _ => unreachable!("the registry pairs handlers, commands and states by type"),
    }
}

/// A state without its type.
pub type State = Box<dyn Any + Send + Sync>;

/// The declaration of an aggregate.
#[derive(Debug)]
pub struct AggregateDescriptor {
    /// Its domain.
    pub domain: &'static str,
    /// Rust name of the state.
    pub name: &'static str,
    /// Rust type of the state.
    pub state: fn() -> TypeId,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
    /// Snapshots: how often, how encoded; `None` for never.
    pub snapshot: Option<SnapshotPolicy>,
    /// Version of the state's shape (row N4).
    pub state_version: u32,
    /// Full protobuf name of the state, where it has one.
    pub state_message: Option<fn() -> String>,
    /// The state before the first event.
    pub new_state: fn() -> State,
    /// Copies a state, where the state can be cloned.
    pub clone_state: Option<fn(&dyn Any) -> State>,
    /// Shows a state, where the state has `Debug`.
    pub debug_state: Option<fn(&dyn Any) -> String>,
}

/// The [`AggregateDescriptor::new_state`] of `A`.
#[doc(hidden)]
pub fn new_state<A: Aggregate>() -> State {
    Box::new(A::initial())
}

/// When and how the state of an aggregate is stored.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// Every so many events; 16 where nothing was said (row N1).
    pub every: u32,
    /// How.
    pub codec: SnapshotCodec,
}

/// Encodes and decodes a state.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotCodec {
    /// `prost` or `serde`; another codec is another kind of state (row N4).
    pub name: &'static str,
    /// Encodes.
    pub encode: fn(&dyn Any) -> Result<Vec<u8>, String>,
    /// Decodes.
    pub decode: fn(&[u8]) -> Result<State, String>,
}

/// The declaration of a command handler.
#[derive(Debug)]
pub struct CommandHandlerDescriptor {
    /// The aggregate.
    pub aggregate: fn() -> &'static AggregateDescriptor,
    /// Name of the method.
    pub method: &'static str,
    /// The command.
    pub command: MessageType,
    /// The declared merge strategy (row M6).
    pub merge: Option<MergeStrategy>,
    /// The events that it can return.
    pub emits: fn(&mut Vec<MessageType>),
    /// Runs it.
    pub decide: DecideFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// The declaration of an `#[apply]`.
#[derive(Debug)]
pub struct ApplyDescriptor {
    /// The aggregate.
    pub aggregate: fn() -> &'static AggregateDescriptor,
    /// Name of the method.
    pub method: &'static str,
    /// The event.
    pub event: MessageType,
    /// Runs it.
    pub apply: ApplyFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// The declaration of an aggregate that lives in another process.
#[derive(Debug)]
pub struct RemoteAggregateDescriptor {
    /// Its domain.
    pub domain: &'static str,
    /// Rust name of the type that stands for it.
    pub name: &'static str,
    /// The commands that it takes.
    pub commands: &'static [MessageType],
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// What happens when a command expects another sequence than the stream has (rows M).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MergeStrategy {
    /// The caller gets the fresh state and may resend (row M1).
    #[default]
    Commutative,
    /// Refused (row M2).
    Strict,
    /// The handler decides on the current state (row M3).
    AggregateHandles,
    /// Goes to the dead letters for a person to look at (row M4).
    Manual,
}

impl From<proto::MergeStrategy> for MergeStrategy {
    fn from(strategy: proto::MergeStrategy) -> Self {
        match strategy {
            proto::MergeStrategy::MergeCommutative => Self::Commutative,
            proto::MergeStrategy::MergeStrict => Self::Strict,
            proto::MergeStrategy::MergeAggregateHandles => Self::AggregateHandles,
            proto::MergeStrategy::MergeManual => Self::Manual,
        }
    }
}

impl From<MergeStrategy> for proto::MergeStrategy {
    fn from(strategy: MergeStrategy) -> Self {
        match strategy {
            MergeStrategy::Commutative => Self::MergeCommutative,
            MergeStrategy::Strict => Self::MergeStrict,
            MergeStrategy::AggregateHandles => Self::MergeAggregateHandles,
            MergeStrategy::Manual => Self::MergeManual,
        }
    }
}

impl MergeStrategy {
    /// The name that an attribute uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commutative => "Commutative",
            Self::Strict => "Strict",
            Self::AggregateHandles => "AggregateHandles",
            Self::Manual => "Manual",
        }
    }
}
