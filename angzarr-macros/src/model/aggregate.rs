//! `#[aggregate]`.

use syn::{LitStr, Type};

use super::{About, Call, DomainRef, Fallible, SelfType, Shape, Spanned};

/// The declaration: `#[aggregate(domain = "…", …)]`.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) about: About,
    pub(crate) state: SelfType,
    pub(crate) domain: Option<LitStr>,
    pub(crate) place: Place,
}

/// Where an aggregate lives.
#[derive(Debug)]
pub(crate) enum Place {
    /// In this program.
    Here { snapshot: Snapshot, state_version: u32 },
    /// In another process: what it takes.
    Remote { handles: Vec<Type> },
}

/// `snapshot(…)`.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// Nothing was said: as often as the runtime thinks right, if the state is a protobuf message.
    Default,
    Off,
    Every {
        events: Option<u32>,
        codec: Codec,
    },
}

/// `codec = …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Prost,
    Serde,
}

/// An `#[aggregate] impl` block.
#[derive(Debug)]
pub(crate) struct AggregateBlock {
    pub(crate) state: SelfType,
    /// Where the type carries no attribute of its own: the declaration.
    pub(crate) declaration: Option<Aggregate>,
    pub(crate) handlers: Vec<CommandHandler>,
    pub(crate) applies: Vec<Apply>,
    pub(crate) rejections: Vec<RejectedHandler>,
    pub(crate) compensations: Vec<CompensateHandler>,
    pub(crate) facts: Vec<FactHandler>,
}

/// A `#[handler]` of an aggregate.
#[derive(Debug)]
pub(crate) struct CommandHandler {
    pub(crate) about: About,
    pub(crate) merge: Option<Spanned<&'static str>>,
    pub(crate) call: Call,
    /// `None` after a mistake.
    pub(crate) returns: Option<Fallible>,
}

/// An `#[apply]`.
#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) about: About,
    pub(crate) call: Call,
}

/// A `#[rejected]` of an aggregate.
#[derive(Debug)]
pub(crate) struct RejectedHandler {
    pub(crate) about: About,
    /// The one target that it is for.
    pub(crate) target: Option<DomainRef>,
    pub(crate) call: Call,
    pub(crate) returns: Option<Fallible>,
}

/// A `#[compensate]`.
#[derive(Debug)]
pub(crate) struct CompensateHandler {
    pub(crate) about: About,
    pub(crate) call: Call,
    pub(crate) returns: Option<Fallible>,
}

/// A `#[fact]`.
#[derive(Debug)]
pub(crate) struct FactHandler {
    pub(crate) about: About,
    pub(crate) call: Call,
    pub(crate) returns: Option<Shape>,
}
