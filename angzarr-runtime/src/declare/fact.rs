//! Facts: things that happened outside and cannot be rejected (rows F, G6).

use std::any::{Any, TypeId};
use std::marker::PhantomData;

use bytes::Bytes;
use uuid::Uuid;

use super::{CommandContext, EventSink, Location, Message, MessageType};
use crate::stream::Name;

/// A fact for a stream of the aggregate `T`, as sagas and process managers return it. Made by
/// [`Domain::fact`](super::Domain::fact).
#[must_use = "a fact does nothing until a saga or process manager returns it"]
pub struct Fact<T> {
    fact: AnyFact,
    target: PhantomData<fn() -> T>,
}

impl<T> Fact<T> {
    pub(crate) fn new<E: Message>(domain: &'static str, root: Uuid, fact: &E) -> Self {
        let fact = AnyFact {
            domain: Name::from_static(domain),
            root,
            type_name: Name::from(E::full_name()),
            payload: Bytes::from(fact.encode_to_vec()),
            external_id: None,
        };
        Self { fact, target: PhantomData }
    }

    /// The id by which the fact is known outside: a second one with it stores nothing (row F2). Without one, it is known by
    /// the event that it was returned for.
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.fact.external_id = Some(id.into());
        self
    }
}

impl<T> std::fmt::Debug for Fact<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fact.fmt(f)
    }
}

impl<T> From<Fact<T>> for AnyFact {
    fn from(fact: Fact<T>) -> Self {
        fact.fact
    }
}

/// A fact whose target is known by name only.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyFact {
    pub(crate) domain: Name,
    pub(crate) root: Uuid,
    pub(crate) type_name: Name,
    pub(crate) payload: Bytes,
    pub(crate) external_id: Option<String>,
}

impl AnyFact {
    /// The target's domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }
    /// The target's root.
    pub fn root(&self) -> Uuid {
        self.root
    }
    /// Full protobuf name of the fact.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
    /// The encoded fact.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Has a `#[fact]` for `F`: one, in whatever block it stands. The compiler shows a second one.
pub trait TakesFact<F> {}

/// The declaration of a `#[fact]`.
#[derive(Debug)]
pub struct FactDescriptor {
    /// The aggregate's state.
    pub aggregate: fn() -> TypeId,
    /// Name of the method.
    pub method: &'static str,
    /// The fact.
    pub fact: MessageType,
    /// The events that it can return.
    pub emits: fn(&mut Vec<MessageType>),
    /// Runs it.
    pub run: FactFn,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it stands.
    pub location: Location,
}

/// Runs a `#[fact]` method on a state and an encoded fact.
pub type FactFn = fn(&dyn Any, &[u8], &CommandContext<'_>, &mut EventSink) -> Result<(), prost::DecodeError>;
