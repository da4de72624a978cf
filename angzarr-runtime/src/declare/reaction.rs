//! What `#[saga]`, `#[projector]` and `#[upcaster]` become.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use super::{AnyFact, Domain, EventContext, Fact, Location, Message, MessageType, ReactionError, nanos_of};
use crate::stream::{Name, Nanos};

/// A command for the aggregate `T`, as sagas and process managers return it. Made by [`Domain::command`].
#[must_use = "a command does nothing until a saga or process manager returns it"]
pub struct Command<T> {
    command: AnyCommand,
    target: PhantomData<fn() -> T>,
}

impl<T> Command<T> {
    pub(crate) fn new<C: Message>(domain: &'static str, root: Uuid, command: &C) -> Self {
        let command = AnyCommand {
            domain: Name::from_static(domain),
            root,
            type_name: Name::from(C::full_name()),
            payload: Bytes::from(command.encode_to_vec()),
            at: None,
        };
        Self { command, target: PhantomData }
    }

    /// The time that the command's events are stored with, instead of now; never earlier than the event before them in
    /// their stream (row C2). For imports of history.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.command.at = Some(nanos_of(time));
        self
    }

    /// The same command without the type of its target, to return commands for several targets together.
    pub fn into_any(self) -> AnyCommand {
        self.command
    }
}

impl<T> std::fmt::Debug for Command<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl<T> From<Command<T>> for AnyCommand {
    fn from(command: Command<T>) -> Self {
        command.command
    }
}

/// A command whose target is known by name only.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyCommand {
    pub(crate) domain: Name,
    pub(crate) root: Uuid,
    pub(crate) type_name: Name,
    pub(crate) payload: Bytes,
    pub(crate) at: Option<Nanos>,
}

impl AnyCommand {
    /// The target's domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }
    /// The target's root.
    pub fn root(&self) -> Uuid {
        self.root
    }
    /// Full protobuf name of the command.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
    /// The encoded command.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// What a saga or process manager sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Emission {
    /// A command.
    Command(AnyCommand),
    /// A fact (row G6).
    Fact(AnyFact),
}

impl Emission {
    /// The target's domain.
    pub fn domain(&self) -> &str {
        match self {
            Self::Command(command) => command.domain(),
            Self::Fact(fact) => fact.domain(),
        }
    }
}

/// Takes what a saga returns, in order.
#[derive(Debug, Default)]
pub struct Emissions(pub(crate) Vec<Emission>);

/// Whom a command goes to, as far as a return type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The aggregate of this domain: a [`Command`].
    Domain(&'static str),
    /// The aggregate of this domain: a [`Fact`].
    Fact(&'static str),
    /// Whichever the handler says when it runs: an [`AnyCommand`].
    Any,
}

/// What a saga handler may return: a [`Command`], several in a `Vec`, an `Option`, a tuple or an array, [`AnyCommand`]s
/// where the targets differ, nothing, or a `Result` of any of these with a [`ReactionError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a saga can return",
    label = "not commands",
    note = "return `Command<Target>`, `Option<Command<Target>>`, `Vec<Command<Target>>`, a tuple of these, `Vec<AnyCommand>` for several targets, or a `Result` of one of them with `ReactionError`"
)]
pub trait SagaOutput {
    /// Whom it may send to, as far as the type tells.
    #[doc(hidden)]
    fn targets(into: &mut Vec<Target>);
    /// Hands the commands over.
    ///
    /// # Errors
    /// The handler's error.
    #[doc(hidden)]
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError>;
}

impl<T: Domain> SagaOutput for Command<T> {
    fn targets(into: &mut Vec<Target>) {
        into.push(Target::Domain(T::DOMAIN));
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        emissions.0.push(Emission::Command(self.command));
        Ok(())
    }
}

impl SagaOutput for AnyCommand {
    fn targets(into: &mut Vec<Target>) {
        into.push(Target::Any);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        emissions.0.push(Emission::Command(self));
        Ok(())
    }
}

impl<T: Domain> SagaOutput for Fact<T> {
    fn targets(into: &mut Vec<Target>) {
        into.push(Target::Fact(T::DOMAIN));
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        emissions.0.push(Emission::Fact(self.into()));
        Ok(())
    }
}

impl SagaOutput for AnyFact {
    fn targets(into: &mut Vec<Target>) {
        into.push(Target::Any);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        emissions.0.push(Emission::Fact(self));
        Ok(())
    }
}

impl<O: SagaOutput> SagaOutput for Option<O> {
    fn targets(into: &mut Vec<Target>) {
        O::targets(into);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        self.map_or(Ok(()), |output| output.collect(emissions))
    }
}

impl<O: SagaOutput> SagaOutput for Vec<O> {
    fn targets(into: &mut Vec<Target>) {
        O::targets(into);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        self.into_iter().try_for_each(|output| output.collect(emissions))
    }
}

impl<O: SagaOutput, const N: usize> SagaOutput for [O; N] {
    fn targets(into: &mut Vec<Target>) {
        O::targets(into);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        self.into_iter().try_for_each(|output| output.collect(emissions))
    }
}

impl<O: SagaOutput, E: Into<ReactionError>> SagaOutput for Result<O, E> {
    fn targets(into: &mut Vec<Target>) {
        O::targets(into);
    }
    fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
        self.map_err(Into::into)?.collect(emissions)
    }
}

macro_rules! saga_output_for_tuples {
    ($(($($part:ident)*))+) => {$(
        impl<$($part: SagaOutput),*> SagaOutput for ($($part,)*) {
            #[allow(unused_variables)]
            fn targets(into: &mut Vec<Target>) {
                $($part::targets(into);)*
            }
            #[allow(non_snake_case, unused_variables)]
            fn collect(self, emissions: &mut Emissions) -> Result<(), ReactionError> {
                let ($($part,)*) = self;
                $($part.collect(emissions)?;)*
                Ok(())
            }
        }
    )+};
}
saga_output_for_tuples!(() (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H));

/// A saga: what `#[saga(…)]` stands on. Its blocks add handlers to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a saga",
    label = "no `#[saga(name = \"…\", from = …)]` on this type",
    note = "a `#[saga] impl` block only adds handlers; which saga they belong to is said on the struct: put `#[saga(name = \"…\", from = …)]` on `{Self}`"
)]
pub trait DeclaredSaga: 'static {}

/// A projector: what `#[projector(…)]` stands on. Its blocks add handlers to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projector",
    label = "no `#[projector(name = \"…\", domains = […])]` on this type",
    note = "a `#[projector] impl` block only adds handlers; which projector they belong to is said on the struct: put `#[projector(name = \"…\", domains = […])]` on `{Self}`"
)]
pub trait DeclaredProjector: 'static {}

/// What connects a saga's handlers with its declaration.
pub fn saga_component<S: DeclaredSaga>() -> TypeId {
    TypeId::of::<S>()
}

/// What connects a projector's handlers with its declaration.
pub fn projector_component<P: DeclaredProjector>() -> TypeId {
    TypeId::of::<P>()
}

/// An instance of a component, without its type.
pub type Instance = Arc<dyn Any + Send + Sync>;

/// The declaration of a saga.
#[derive(Debug)]
pub struct SagaDescriptor {
    /// Its name, unique in the program.
    pub name: &'static str,
    /// Rust name of the function or struct.
    pub rust_name: &'static str,
    /// What connects the declaration with its handlers.
    pub component: fn() -> TypeId,
    /// The one domain that it listens to.
    pub domain: &'static str,
    /// Makes the instance where the type says all; `None` where `.with(…)` must give it.
    pub instance: Option<fn() -> Instance>,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// The declaration of a saga's handler.
#[derive(Debug)]
pub struct SagaHandlerDescriptor {
    /// The saga.
    pub component: fn() -> TypeId,
    /// Name of the function.
    pub method: &'static str,
    /// The event.
    pub event: MessageType,
    /// Whom it sends commands to, as far as its return type tells.
    pub targets: fn(&mut Vec<Target>),
    /// Runs it.
    pub react: ReactFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a saga handler on an instance and an encoded event.
pub type ReactFn = fn(&dyn Any, &[u8], &EventContext, &mut Emissions) -> Result<(), ReactionError>;

/// The declaration of a projector.
#[derive(Debug)]
pub struct ProjectorDescriptor {
    /// Its name, unique in the program.
    pub name: &'static str,
    /// Rust name of the struct.
    pub rust_name: &'static str,
    /// What connects the declaration with its handlers.
    pub component: fn() -> TypeId,
    /// The domains that it listens to.
    pub domains: &'static [&'static str],
    /// Whether it sees events of every edition (row J4).
    pub all_editions: bool,
    /// Makes the instance where the type says all; `None` where `.with(…)` must give it.
    pub instance: Option<fn() -> Instance>,
    /// Finds the read model in the instance, if it holds one that keeps the checkpoint (row J1).
    pub read_model: fn(&dyn Any) -> Option<Arc<dyn crate::reaction::ErasedReadModel>>,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// The declaration of a projector's handler.
#[derive(Debug)]
pub struct ProjectorHandlerDescriptor {
    /// The projector.
    pub component: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The event.
    pub event: MessageType,
    /// Whether it is left out during a rebuild (row J6).
    pub live_only: bool,
    /// Runs it.
    pub project: ProjectFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a projector handler on an instance and an encoded event.
pub type ProjectFn = for<'a> fn(&'a (dyn Any + Send + Sync), &'a [u8], &'a EventContext) -> ProjectFuture<'a>;

/// What a projector handler will have said: the projection, if there is one.
pub type ProjectFuture<'a> = crate::storage::BoxFuture<'a, Result<Option<prost_types::Any>, ReactionError>>;

/// What a projector handler may return inside its `Result`: nothing, a message (the projection that a SIMPLE command's
/// answer carries), or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a projector can return",
    label = "not a projection",
    note = "return `Result<(), ProjectionError>`, or `Result<View, ProjectionError>` where `View` is a protobuf message that the answer of a SIMPLE command carries"
)]
pub trait ProjectorOutput {
    /// The projection.
    #[doc(hidden)]
    fn into_projection(self) -> Option<prost_types::Any>;
}

impl<M: Message> ProjectorOutput for M {
    fn into_projection(self) -> Option<prost_types::Any> {
        // `()` is protobuf's Empty to prost: a handler that returns it has no projection.
        if TypeId::of::<M>() == TypeId::of::<()>() {
            return None;
        }
        Some(prost_types::Any {
            type_url: format!("type.googleapis.com/{}", M::full_name()),
            value: self.encode_to_vec(),
        })
    }
}

/// The declaration of an upcaster: one step from one version of an event to the next.
#[derive(Debug)]
pub struct UpcasterDescriptor {
    /// Name of the function.
    pub function: &'static str,
    /// The version that it takes, from 1.
    pub from: u32,
    /// The name that the event is stored under, where it is not the name of the shape that the chain ends in.
    pub event: Option<&'static str>,
    /// The old shape.
    pub input: MessageType,
    /// The shapes that it may return.
    pub outputs: fn(&mut Vec<MessageType>),
    /// Runs it: the new shapes, encoded, in order; none if the event is dropped.
    pub upcast: UpcastFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs an upcaster on an encoded event.
pub type UpcastFn = fn(&[u8], &mut UpcastSink) -> Result<(), prost::DecodeError>;

/// Takes what an upcaster returns, in order.
#[derive(Debug, Default)]
pub struct UpcastSink {
    pub(crate) events: Vec<(TypeId, Bytes)>,
}

/// What one position of an upcaster's return type may be: a message, or an enum of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what an upcaster can return",
    label = "not a protobuf message with a name",
    note = "return the new shape of the event: a struct with `#[derive(Clone, PartialEq, prost::Message)]` and a protobuf name (from a `.proto` file, or by `angzarr_runtime::name_messages!(\"my.package\": {Self});`), `Option`, `Vec` or a tuple of such, or an enum with `#[derive(angzarr_runtime::Events)]`"
)]
pub trait UpcastOutput {
    /// The message types it can be.
    #[doc(hidden)]
    fn shapes(into: &mut Vec<MessageType>);
    /// Hands the event over.
    #[doc(hidden)]
    fn upcast_into(self, sink: &mut UpcastSink);
}

#[diagnostic::do_not_recommend]
impl<M: Message> UpcastOutput for M {
    fn shapes(into: &mut Vec<MessageType>) {
        into.push(MessageType::of::<M>());
    }
    fn upcast_into(self, sink: &mut UpcastSink) {
        sink.events.push((TypeId::of::<M>(), Bytes::from(self.encode_to_vec())));
    }
}

/// Descriptors of the protobuf files that a crate was compiled from; the docs read fields and comments from them.
#[derive(Debug)]
pub struct ProtoDescriptors {
    /// An encoded `FileDescriptorSet`.
    pub file_descriptor_set: &'static [u8],
}
