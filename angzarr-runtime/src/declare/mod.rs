//! Declare: the traits and descriptors that the attributes target.
//!
//! In: what a user annotated, by way of generated code. Out: typed traits for the compiler, plain static descriptors for
//! the registry. Never: logic of the runtime; generated code only points here.

mod aggregate;
mod compensation;
mod context;
mod fact;
mod message;
mod probe;
mod process_manager;
mod reaction;
mod rejection;
mod shim;

use std::fmt;

pub use aggregate::*;
pub use compensation::*;
pub use context::{Clock, CommandContext, EventContext, IdSource, RandomIds, SystemClock};
pub(crate) use context::{nanos_of, time_of};
pub use fact::*;
pub use message::{AnyMessage, Message, MessageType, NameCell};
pub use probe::*;
pub use process_manager::*;
pub use reaction::*;
pub use rejection::{ProjectionError, ReactionError, Rejection};
pub use shim::*;

/// A place in the user's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as the compiler was given it.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// The crate.
    pub package: &'static str,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Everything that `inventory` collects, one wrapper for each kind, so that a descriptor can be a `static` of its own.
macro_rules! collected {
    ($($(#[$doc:meta])* $wrapper:ident($descriptor:ty);)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $wrapper(pub &'static $descriptor);
        inventory::collect!($wrapper);
    )+};
}

collected! {
    /// A registered aggregate.
    RegisteredAggregate(AggregateDescriptor);
    /// A registered remote aggregate.
    RegisteredRemoteAggregate(RemoteAggregateDescriptor);
    /// A registered command handler.
    RegisteredCommandHandler(CommandHandlerDescriptor);
    /// A registered `#[apply]`.
    RegisteredApply(ApplyDescriptor);
    /// A registered saga.
    RegisteredSaga(SagaDescriptor);
    /// A registered handler of a saga.
    RegisteredSagaHandler(SagaHandlerDescriptor);
    /// A registered `#[rejected]` of an aggregate.
    RegisteredRejected(RejectedDescriptor);
    /// A registered `#[compensate]`.
    RegisteredCompensate(CompensateDescriptor);
    /// A registered `#[fact]`.
    RegisteredFact(FactDescriptor);
    /// A registered process manager.
    RegisteredProcessManager(ProcessManagerDescriptor);
    /// A registered handler of a process manager.
    RegisteredProcessHandler(ProcessHandlerDescriptor);
    /// A registered `#[timeout]`.
    RegisteredTimeout(TimeoutDescriptor);
    /// A registered `#[rejected]` of a process manager.
    RegisteredProcessRejected(ProcessRejectedDescriptor);
    /// A registered projector.
    RegisteredProjector(ProjectorDescriptor);
    /// A registered handler of a projector.
    RegisteredProjectorHandler(ProjectorHandlerDescriptor);
    /// A registered upcaster.
    RegisteredUpcaster(UpcasterDescriptor);
    /// Registered protobuf descriptors.
    RegisteredProtoDescriptors(ProtoDescriptors);
}
