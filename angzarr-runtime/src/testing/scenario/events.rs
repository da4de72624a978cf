//! The events that a scenario is given, or expects.

use std::fmt;

use bytes::Bytes;

use crate::declare::{Applies, Message};
use crate::stream::Name;

/// Events of the aggregate `A`: `()`, one event, tuples of up to twelve, a `Vec`, an array or an `Option`, in any mixture.
/// `Shape` is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not events of `{A}`",
    label = "not events that `{A}` applies",
    note = "write `()`, one event, a tuple or a `Vec` of events; each needs an `#[apply]` in an `#[aggregate] impl {A}` block, and `Debug` and `PartialEq`"
)]
pub trait EventsOf<A, Shape> {
    /// Hands the events over, in order.
    #[doc(hidden)]
    fn list(self, into: &mut Vec<KnownEvent>);
}

/// An event whose type is known to the scenario.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct KnownEvent {
    pub(super) type_name: Name,
    pub(super) payload: Bytes,
    pub(super) kind: KnownType,
}

/// What a scenario can do with the encoded events of one type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownType {
    /// Whether two of them are equal.
    pub(super) equal: fn(&[u8], &[u8]) -> bool,
    /// Shows one.
    pub(super) debug: fn(&[u8]) -> Option<String>,
}

impl KnownType {
    pub(super) fn of<M: Message + PartialEq + fmt::Debug>() -> Self {
        Self {
            equal: |left, right| match (M::decode(left), M::decode(right)) {
                (Ok(left), Ok(right)) => left == right,
                _ => left == right,
            },
            debug: |payload| M::decode(payload).ok().map(|message| format!("{message:?}")),
        }
    }
}

impl KnownEvent {
    pub(super) fn of<M: Message + PartialEq + fmt::Debug>(message: &M) -> Self {
        Self {
            type_name: Name::from(M::full_name()),
            payload: Bytes::from(message.encode_to_vec()),
            kind: KnownType::of::<M>(),
        }
    }
}

/// Shapes, so that the compiler can tell the implementations apart.
#[doc(hidden)]
mod shape {
    /// No event.
    #[derive(Debug)]
    pub enum Nothing {}
    /// One event.
    #[derive(Debug)]
    pub enum One {}
    /// Several of one shape.
    #[derive(Debug)]
    pub struct Many<Shape>(Shape);
}
use shape::{Many, Nothing, One};

impl<A> EventsOf<A, Nothing> for () {
    fn list(self, _into: &mut Vec<KnownEvent>) {}
}

impl<A: Applies<E>, E: Message + PartialEq + fmt::Debug> EventsOf<A, One> for E {
    fn list(self, into: &mut Vec<KnownEvent>) {
        into.push(KnownEvent::of(&self));
    }
}

impl<A, Shape, E: EventsOf<A, Shape>> EventsOf<A, Many<Shape>> for Vec<E> {
    fn list(self, into: &mut Vec<KnownEvent>) {
        self.into_iter().for_each(|event| event.list(into));
    }
}

impl<A, Shape, E: EventsOf<A, Shape>> EventsOf<A, Many<Shape>> for Option<E> {
    fn list(self, into: &mut Vec<KnownEvent>) {
        self.into_iter().for_each(|event| event.list(into));
    }
}

impl<A, Shape, E: EventsOf<A, Shape>, const N: usize> EventsOf<A, Many<Shape>> for [E; N] {
    fn list(self, into: &mut Vec<KnownEvent>) {
        self.into_iter().for_each(|event| event.list(into));
    }
}

macro_rules! events_of_tuples {
    ($(($($event:ident $shape:ident),+))+) => {$(
        impl<A, $($shape,)+ $($event: EventsOf<A, $shape>,)+> EventsOf<A, ($($shape,)+)> for ($($event,)+) {
            #[allow(non_snake_case)]
            fn list(self, into: &mut Vec<KnownEvent>) {
                let ($($event,)+) = self;
                $($event.list(into);)+
            }
        }
    )+};
}
events_of_tuples!(
    (E1 S1)
    (E1 S1, E2 S2)
    (E1 S1, E2 S2, E3 S3)
    (E1 S1, E2 S2, E3 S3, E4 S4)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7, E8 S8)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7, E8 S8, E9 S9)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7, E8 S8, E9 S9, E10 S10)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7, E8 S8, E9 S9, E10 S10, E11 S11)
    (E1 S1, E2 S2, E3 S3, E4 S4, E5 S5, E6 S6, E7 S7, E8 S8, E9 S9, E10 S10, E11 S11, E12 S12)
);
