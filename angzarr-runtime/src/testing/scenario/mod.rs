//! Scenarios: given what happened, when a command or an event comes, then this follows.
//!
//! In: events, then a command, fact, rejection or compensation for an aggregate, an event for a saga or projector, any trigger
//! for a process. Out: nothing, or a panic at the line of the assertion that shows the whole story and the difference. Never: a
//! shortcut; the command takes the way of every command, on a store in memory, with the upcasters and limits of the program;
//! the event comes to its handlers through the upcasters, with the sequence that it has in its stream.

mod aggregate;
mod answer;
mod compensation;
mod events;
mod process;
mod projector;
mod report;
mod saga;
mod told;

use std::marker::PhantomData;

pub use aggregate::{Given, When};
pub use answer::Answered;
pub use compensation::SentTo;
pub use events::EventsOf;
pub use projector::{Projected, Projecting, ProjectorScenario};
pub use report::Holds;
pub use saga::{Reacted, SagaScenario};

use crate::declare::Aggregate;
use crate::declare::Instance;
use crate::registry::Registry;
use crate::stream::Limits;

/// Where every scenario begins: of an aggregate or a process manager with [`given`](Scenario::given) (the events of its own
/// stream), of a saga with its
/// [name](Scenario::saga) or its [instance](Scenario::saga_with), of a projector with its [instance](Scenario::projector).
///
/// A fact comes with `when_fact`. What was sent for an aggregate's event, or by a process, is rejected with `when_rejected`; what a
/// cascade takes back comes with `when_compensate`. The answer may be events (`then`), a revocation (`then_revoked`), or none:
/// then the command is a dead letter (`then_dead_letter`).
///
/// An event that an older program stored is given with `given_stored`, or comes with `when_stored`: through the upcasters, as
/// in the runtime. A handler that panics has failed, with an error that says so. Handlers run once; there are no retries.
///
/// Time stands at 2000-01-01T00:00:00Z until the scenario says otherwise, and new ids come in order (see
/// [`SequentialIds`](super::SequentialIds)), so that the same scenario always gives the same result.
///
/// ```standalone_crate
/// use angzarr_runtime::prelude::*;
/// use angzarr_runtime::testing::Scenario;
///
/// # macro_rules! messages { ($($name:ident)+) => { $(
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct $name { #[prost(string, tag = "1")] pub sku: String }
/// # )+ angzarr_runtime::name_messages!("shop": $($name),+); } }
/// # messages! { PlaceOrder OrderPlaced ReserveStock StockReserved Line }
/// # #[aggregate(domain = "order")]
/// # #[derive(Clone, PartialEq, prost::Message)]
/// # pub struct Order {}
/// # #[aggregate]
/// # impl Order {
/// #     #[handler]
/// #     fn place(&self, cmd: PlaceOrder) -> Result<OrderPlaced, Rejection> { Ok(OrderPlaced { sku: cmd.sku }) }
/// #     #[apply]
/// #     fn placed(&mut self, _: OrderPlaced) {}
/// # }
/// # #[aggregate(domain = "inventory")]
/// # #[derive(Clone, PartialEq, prost::Message)]
/// # pub struct Inventory {}
/// # #[aggregate]
/// # impl Inventory {
/// #     #[handler]
/// #     fn reserve(&self, cmd: ReserveStock) -> Result<StockReserved, Rejection> { Ok(StockReserved { sku: cmd.sku }) }
/// #     #[apply]
/// #     fn reserved(&mut self, _: StockReserved) {}
/// # }
/// #[saga(name = "reserve-stock", from = Order)]
/// fn reserve_stock(e: OrderPlaced) -> Command<Inventory> {
///     Inventory::command(root("sku", &e.sku), ReserveStock { sku: e.sku })
/// }
///
/// #[projector(name = "orders", domains = ["order"])]
/// pub struct Orders { prefix: &'static str }
///
/// #[projector]
/// impl Orders {
///     #[handler]
///     async fn placed(&self, e: OrderPlaced) -> Result<Line, ProjectionError> {
///         Ok(Line { sku: format!("{} {}", self.prefix, e.sku) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let order = root("order", "1");
/// let placed = OrderPlaced { sku: "book".into() };
/// Scenario::saga("reserve-stock")
///     .when_event::<Order>(order, placed.clone())
///     .then_commands(Inventory::command(root("sku", "book"), ReserveStock { sku: "book".into() }));
/// Scenario::projector(Orders { prefix: "one" })
///     .when_event::<Order>(order, placed)
///     .await
///     .then_projection(Line { sku: "one book".into() });
/// # }
/// ```
#[derive(Debug)]
pub struct Scenario<A> {
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Scenario<A> {
    /// The events that happened to the aggregate before: `()`, one event, a tuple, or a `Vec` of them.
    #[must_use = "a scenario asserts nothing before `then…`"]
    #[track_caller]
    pub fn given<Shape>(events: impl EventsOf<A, Shape>) -> Given<A> {
        Given::new().and_given(events)
    }

    /// An event that an older program stored: its name and version then, and its encoded payload. It comes to the
    /// aggregate through the upcasters.
    #[must_use = "a scenario asserts nothing before `then…`"]
    #[track_caller]
    pub fn given_stored(type_name: &str, version: u32, payload: impl AsRef<[u8]>) -> Given<A> {
        Given::new().and_given_stored(type_name, version, payload)
    }
}

impl Scenario<()> {
    /// A saga of this program, by its name. A saga that holds something comes as an instance, with
    /// [`saga_with`](Self::saga_with).
    #[track_caller]
    pub fn saga(name: &str) -> SagaScenario {
        SagaScenario::by_name(name)
    }

    /// A saga that holds something.
    #[track_caller]
    pub fn saga_with<S: Send + Sync + 'static>(instance: S) -> SagaScenario {
        SagaScenario::by_instance(instance)
    }

    /// A projector: the instance that the builder would get by `.with(…)`.
    #[track_caller]
    pub fn projector<P: Send + Sync + 'static>(instance: P) -> ProjectorScenario {
        ProjectorScenario::new(instance)
    }
}

/// What the program declares. Mistakes in its wiring are told by `wiring_test!`, not by every scenario again.
fn registry() -> Registry {
    Registry::collect_all(&Limits::default(), |_, _| {}).0
}

/// The instance of a component that needs none to be given.
fn made(make: Option<fn() -> Instance>, what: &str, name: &str, rust_name: &str) -> Instance {
    match make {
        Some(make) => make(),
        None => panic!("the {what} `{name}` holds something: write `Scenario::{what}_with({rust_name} {{ … }})`"),
    }
}

#[cfg(test)]
mod tests;
