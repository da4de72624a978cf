//! How a user's function is called and what it gives back.

use proc_macro2::Span;
use syn::Type;

/// The part of a signature that matters for a call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The message that it takes.
    pub(crate) message: Type,
    /// Whether it takes the message by reference.
    pub(crate) by_reference: bool,
    /// The type of its context parameter, if it has one.
    pub(crate) context: Option<Type>,
    /// Whether the result must be awaited.
    pub(crate) is_async: bool,
    /// A mistake was reported: the call must not be generated, everything around it still should.
    pub(crate) broken: bool,
}

/// A value that holds messages, taken apart by its syntax: trait coherence does not let one impl cover messages and
/// containers of messages at once.
#[derive(Debug)]
pub(crate) enum Shape {
    /// `(A, B)`, `()`.
    Tuple(Vec<Shape>),
    /// `Option<A>`: none or one.
    Option(Box<Shape>),
    /// `Vec<A>`, `[A; N]`.
    Many(Box<Shape>),
    /// `Box<A>`.
    Boxed(Box<Shape>),
    /// A message, or an enum of messages.
    Leaf(Type),
}

impl Shape {
    /// The messages in it, in order.
    pub(crate) fn leaves(&self) -> Vec<&Type> {
        match self {
            Self::Tuple(parts) => parts.iter().flat_map(Self::leaves).collect(),
            Self::Option(inner) | Self::Many(inner) | Self::Boxed(inner) => inner.leaves(),
            Self::Leaf(ty) => vec![ty],
        }
    }
}

/// What a fallible handler returns.
#[derive(Debug)]
pub(crate) struct Fallible {
    pub(crate) success: Shape,
    /// Where the error type stands; the whole return type if it is an alias that hides it.
    pub(crate) error: Span,
}

/// What a saga's handler returns.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) commands: Shape,
    /// Whether it stands in a `Result`, and where its error type stands.
    pub(crate) error: Option<Span>,
}
