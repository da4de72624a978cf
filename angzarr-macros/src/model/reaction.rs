//! `#[saga]`, `#[projector]`, `#[upcaster]`, `#[derive(Events)]`.

use proc_macro2::Ident;
use syn::{Attribute, LitStr, Member, Type};

use super::{About, Call, Commands, Fallible, SelfType, Shape, Spanned};

/// The declaration of a saga.
#[derive(Debug)]
pub(crate) struct Saga {
    pub(crate) about: About,
    pub(crate) name: Option<LitStr>,
    /// The aggregate that it listens to.
    pub(crate) from: Option<Type>,
    pub(crate) body: SagaBody,
}

/// What carries the attribute.
#[derive(Debug)]
pub(crate) enum SagaBody {
    /// The one handler; `None` if its signature is beyond repair.
    Function(Option<SagaHandler>),
    Struct {
        is_unit: bool,
    },
}

/// A handler of a saga.
#[derive(Debug)]
pub(crate) struct SagaHandler {
    pub(crate) about: About,
    pub(crate) call: Call,
    pub(crate) returns: Option<Commands>,
}

/// A `#[saga] impl` block.
#[derive(Debug)]
pub(crate) struct SagaBlock {
    pub(crate) component: SelfType,
    pub(crate) handlers: Vec<SagaHandler>,
}

/// The declaration of a projector.
#[derive(Debug)]
pub(crate) struct Projector {
    pub(crate) about: About,
    pub(crate) name: Option<LitStr>,
    pub(crate) domains: Vec<DomainRef>,
    pub(crate) all_editions: bool,
    pub(crate) read_model: ReadModel,
    pub(crate) fields: Vec<ProjectorField>,
    pub(crate) is_unit: bool,
}

/// A domain, by its name or by its aggregate.
#[derive(Debug)]
pub(crate) enum DomainRef {
    Name(LitStr),
    Aggregate(Type),
}

/// `read_model = …`.
#[derive(Debug)]
pub(crate) enum ReadModel {
    /// The one field that is one.
    Found,
    Field(Ident),
    Off,
}

/// A field that may be the read model.
#[derive(Debug)]
pub(crate) struct ProjectorField {
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) member: Member,
    pub(crate) ty: Type,
}

/// A `#[projector] impl` block.
#[derive(Debug)]
pub(crate) struct ProjectorBlock {
    pub(crate) component: SelfType,
    pub(crate) handlers: Vec<ProjectorHandler>,
}

/// A handler of a projector.
#[derive(Debug)]
pub(crate) struct ProjectorHandler {
    pub(crate) about: About,
    /// Not called during a rebuild.
    pub(crate) live_only: bool,
    pub(crate) call: Call,
    pub(crate) returns: Option<Fallible>,
}

/// An upcaster.
#[derive(Debug)]
pub(crate) struct Upcaster {
    pub(crate) about: About,
    pub(crate) from: Option<Spanned<u32>>,
    pub(crate) event: Option<LitStr>,
    pub(crate) call: Option<Call>,
    pub(crate) returns: Option<Shape>,
}

/// An enum of events.
#[derive(Debug)]
pub(crate) struct EventsEnum {
    pub(crate) ident: Ident,
    pub(crate) variants: Vec<EventsVariant>,
    /// A mistake was reported: there are variants that are not in the list.
    pub(crate) broken: bool,
}

/// A variant: one message.
#[derive(Debug)]
pub(crate) struct EventsVariant {
    pub(crate) ident: Ident,
    pub(crate) field: Member,
    pub(crate) event: Type,
    /// Whether the message stands in a `Box`.
    pub(crate) boxed: bool,
}
