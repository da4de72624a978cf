//! `#[process_manager]`.

use proc_macro2::Span;
use syn::{LitStr, Type};

use super::{About, Aggregate, Apply, Call, DomainRef, SelfType};

/// The declaration of a process manager.
#[derive(Debug)]
pub(crate) struct ProcessManager {
    /// Its state, which is declared as an aggregate's is.
    pub(crate) state: Aggregate,
    /// What it listens to.
    pub(crate) sources: Vec<Type>,
    /// What it says it sends to.
    pub(crate) targets: Vec<Type>,
}

/// A `#[process_manager] impl` block.
#[derive(Debug)]
pub(crate) struct ProcessManagerBlock {
    pub(crate) state: SelfType,
    /// Where the type carries no attribute of its own: the declaration.
    pub(crate) declaration: Option<ProcessManager>,
    pub(crate) handlers: Vec<ProcessHandler>,
    pub(crate) timeouts: Vec<TimeoutHandler>,
    pub(crate) rejections: Vec<ProcessRejected>,
    pub(crate) applies: Vec<Apply>,
}

/// A `#[handler]` of a process manager.
#[derive(Debug)]
pub(crate) struct ProcessHandler {
    pub(crate) about: About,
    pub(crate) call: Call,
    pub(crate) returns: Option<Reacted>,
}

/// A `#[timeout("…")]`.
#[derive(Debug)]
pub(crate) struct TimeoutHandler {
    pub(crate) about: About,
    /// `None` after a mistake.
    pub(crate) name: Option<LitStr>,
    /// The type of its context parameter, if it has one.
    pub(crate) context: Option<Type>,
    /// A mistake was reported: it must not be called.
    pub(crate) broken: bool,
    pub(crate) returns: Option<Reacted>,
}

/// A `#[rejected]` of a process manager.
#[derive(Debug)]
pub(crate) struct ProcessRejected {
    pub(crate) about: About,
    /// The one target that it is for.
    pub(crate) target: Option<DomainRef>,
    pub(crate) call: Call,
    pub(crate) returns: Option<Reacted>,
}

/// What a method of a process manager returns.
#[derive(Debug)]
pub(crate) struct Reacted {
    /// The reaction, with its process manager.
    pub(crate) reaction: Type,
    /// Whether it stands in a `Result`, and where its error type stands.
    pub(crate) error: Option<Span>,
}
