//! Angzarr: declarative CQRS and event sourcing.
//!
//! Annotate domain structs and plain functions; the runtime rebuilds state, routes commands, keeps writers apart, retries,
//! takes snapshots and delivers events. Everything that is wired wrongly does not compile, or stops
//! [`Builder::build`] with every mistake at once.
//!
//! ```standalone_crate
//! use angzarr_runtime::prelude::*;
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! pub struct Deposit { #[prost(int64, tag = "1")] pub amount: i64 }
//! #[derive(Clone, PartialEq, prost::Message)]
//! pub struct Deposited { #[prost(int64, tag = "1")] pub amount: i64 }
//! angzarr_runtime::name_messages!("bank": Deposit, Deposited); // or generate messages from a `.proto` file
//!
//! /// The state: folded from events.
//! #[aggregate(domain = "account")]
//! #[derive(Clone, PartialEq, prost::Message)]
//! pub struct Account { #[prost(int64, tag = "1")] pub balance: i64 }
//!
//! #[aggregate]
//! impl Account {
//!     #[handler]
//!     fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
//!         ensure!(cmd.amount > 0, "not_positive");
//!         Ok(Deposited { amount: cmd.amount })
//!     }
//!     #[apply]
//!     fn deposited(&mut self, event: Deposited) { self.balance += event.amount; }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> angzarr_runtime::Result<()> {
//! let runtime = Runtime::builder().storage(Memory::new()).build().await?;
//! let ada = root("account", "Ada");
//! runtime.send::<Account>(ada, Deposit { amount: 5 }).await?;
//! assert_eq!(runtime.state::<Account>(ada).await?.balance, 5);
//! let refused = runtime.send::<Account>(ada, Deposit { amount: 0 }).await.unwrap_err();
//! assert_eq!(refused.rejection().unwrap().code(), "not_positive");
//! runtime.shutdown().await
//! # }
//! ```
//!
//! # Where to go
//! - What you write: the attributes [`aggregate`], [`handler`], [`apply`], [`fact`], [`rejected`], [`compensate`],
//!   [`upcaster`], [`saga`], [`process_manager`], [`timeout`], [`projector`], and what their functions may take:
//!   [`CommandContext`], [`EventContext`].
//! - What you call: [`Runtime`], from [`Runtime::builder`]; with the feature `client`, `Client::connect` for one that is served elsewhere; [`Feed`] for events in code of your own.
//! - What you may replace: [`storage::Storage`], [`transport::Transport`], [`Clock`], [`IdSource`], [`ReadModel`].
//! - Limits, errors: [`Limits`], [`Error`].
//! - Brokers: `transport::Nats` with the cargo feature `nats`, `transport::Amqp` with the cargo feature `amqp`.

// What the attributes generate names the runtime from outside, in our own tests too.
#[cfg(test)]
extern crate self as angzarr_runtime;

#[cfg(feature = "client")]
pub mod client;
pub mod command;
pub mod dead_letter;
#[doc(hidden)]
pub mod declare;
mod error;
pub mod reaction;
pub mod registry;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(not(feature = "remote"))]
#[path = "remote/absent.rs"]
mod remote;
mod runtime;
#[cfg(feature = "server")]
pub mod server;
pub mod storage;
pub mod stream;
pub mod telemetry;
pub mod testing;
pub mod transport;
#[cfg(any(feature = "postgres", feature = "amqp"))]
mod trust;

pub use angzarr_macros::{Events, aggregate, apply, handler, projector, saga, upcaster};

/// A process manager: it brings the events of several aggregates together, remembers where the process stands, sends
/// commands, and waits (rows P).
///
/// On the struct that is its state, folded from its own events by `#[apply]` methods as an aggregate's is; and, without
/// arguments, on `impl` blocks with its [`handler`]s, [`timeout`]s and [`rejected`]s, which return a [`Reaction`]. It has one
/// instance for each correlation id. What a method reacts with is stored in one step, before anything is sent.
///
/// - `domain = "checkout"`: the name that its events are stored under. Required.
/// - `from = [Order, Payment]`: what it listens to: aggregates, remote ones, other process managers. Required.
/// - `to = [Shipping]`: whom it sends to besides; for the generated documentation.
/// - `snapshot(…)`, `state_version = 2`: as for [`aggregate`].
///
/// ```
/// use std::time::Duration;
/// use angzarr_runtime::prelude::*;
/// # macro_rules! messages { ($($name:ident { $($field:ident)? }),+) => { $(
/// #     #[derive(Clone, PartialEq, prost::Message)] pub struct $name { $(#[prost(int64, tag = "1")] pub $field: i64)? }
/// # )+ angzarr_runtime::name_messages!("shop": $($name),+); } }
/// # messages!(OrderPlaced { total }, PaymentTaken {}, TakePayment { amount }, CheckoutStarted { total }, Paid {}, Failed {});
/// # #[aggregate(domain = "order", remote, handles(TakePayment))] pub struct Order;
/// # #[aggregate(domain = "payment", remote, handles(TakePayment))] pub struct Payment;
///
/// #[process_manager(domain = "checkout", from = [Order, Payment])]
/// #[derive(Clone, PartialEq, prost::Message)]
/// pub struct Checkout { #[prost(int64, tag = "1")] pub total: i64 }
///
/// #[process_manager]
/// impl Checkout {
///     #[handler]
///     fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Reaction {
///         Reaction::new()
///             .event(CheckoutStarted { total: e.total })
///             .command(Payment::command(ctx.root(), TakePayment { amount: e.total }))
///             .timeout("payment", Duration::from_secs(900))
///     }
///     #[handler]
///     fn paid(&self, _: PaymentTaken) -> Reaction {
///         Reaction::new().event(Paid {}).cancel_timeout("payment").complete()
///     }
///     #[timeout("payment")]
///     fn late(&self) -> Reaction { Reaction::new().event(Failed {}).complete() }
///     #[rejected]
///     fn refused(&self, _: Rejected<TakePayment>) -> Reaction { Reaction::new().event(Failed {}).complete() }
///
///     #[apply] fn started(&mut self, e: CheckoutStarted) { self.total = e.total; }
///     #[apply] fn is_paid(&mut self, _: Paid) {}
///     #[apply] fn failed(&mut self, _: Failed) {}
/// }
/// # fn main() { assert_eq!(Checkout::DOMAIN, "checkout"); }
/// ```
pub use angzarr_macros::process_manager;

/// A method that answers the rejection of a command, of a saga or of a process manager (rows K, P6).
///
/// In an `#[aggregate] impl` block: a saga has reacted to an event of this aggregate, and the target of its command has
/// rejected it. The method answers with events of this aggregate, or with a [`Revocation`], which says what else is to be done.
/// In a `#[process_manager] impl` block: the target of one of its own commands has rejected it. The method returns a
/// [`Reaction`].
///
/// The parameter is [`Rejected<Command>`](Rejected). A method is for that command of any target; for one target only with
/// `#[rejected(from = Inventory)]`, its aggregate, or `#[rejected(domain = "inventory")]`, its name.
///
/// ```
/// use angzarr_runtime::prelude::*;
/// # macro_rules! messages { ($($name:ident),+) => { $(
/// #     #[derive(Clone, PartialEq, prost::Message)] pub struct $name { #[prost(int64, tag = "1")] pub quantity: i64 }
/// # )+ angzarr_runtime::name_messages!("shop": $($name),+); } }
/// # messages!(ReserveStock, OrderBackordered);
/// # #[aggregate(domain = "order")] #[derive(Clone, PartialEq, prost::Message)] pub struct Order {}
/// #[aggregate]
/// impl Order {
///     #[rejected]
///     fn out_of_stock(&self, r: Rejected<ReserveStock>) -> Result<OrderBackordered, Revocation> {
///         if r.code() != "out_of_stock" {
///             return Err(Revocation::new(r.reason()).dead_letter());
///         }
///         Ok(OrderBackordered { quantity: r.quantity })
///     }
/// #   #[apply] fn backordered(&mut self, _: OrderBackordered) {}
/// }
/// # fn main() {}
/// ```
pub use angzarr_macros::rejected;

/// The method of an `#[aggregate] impl` block that undoes events (rows K): it takes [`Compensate`], which says which events, by
/// their sequences, and why, and answers with the events that undo them, or with a [`Revocation`], which says what else is to be
/// done. One for each aggregate.
///
/// ```
/// use angzarr_runtime::prelude::*;
/// # macro_rules! messages { ($($name:ident),+) => { $(
/// #     #[derive(Clone, PartialEq, prost::Message)] pub struct $name { #[prost(string, tag = "1")] pub reason: String }
/// # )+ angzarr_runtime::name_messages!("shop": $($name),+); } }
/// # messages!(OrderCancelled);
/// # #[aggregate(domain = "order")] #[derive(Clone, PartialEq, prost::Message)] pub struct Order {
/// #     #[prost(bool, tag = "1")] pub shipped: bool }
/// #[aggregate]
/// impl Order {
///     #[compensate]
///     fn undo(&self, c: Compensate) -> Result<OrderCancelled, Revocation> {
///         if self.shipped {
///             return Err(Revocation::new("the carrier has it already").dead_letter().escalate());
///         }
///         Ok(OrderCancelled { reason: c.reason })
///     }
/// #   #[apply] fn cancelled(&mut self, _: OrderCancelled) {}
/// }
/// # fn main() {}
/// ```
pub use angzarr_macros::compensate;

/// A method of an `#[aggregate] impl` block that says which of the aggregate's events a fact means (rows F). A fact has happened
/// outside: it cannot be refused, so the method returns events and no `Result`. One for each fact.
///
/// ```
/// use angzarr_runtime::prelude::*;
/// # macro_rules! messages { ($($name:ident),+) => { $(
/// #     #[derive(Clone, PartialEq, prost::Message)] pub struct $name { #[prost(string, tag = "1")] pub by: String }
/// # )+ angzarr_runtime::name_messages!("shop": $($name),+); } }
/// # messages!(ParcelDelivered, OrderDelivered);
/// # #[aggregate(domain = "order")] #[derive(Clone, PartialEq, prost::Message)] pub struct Order {
/// #     #[prost(bool, tag = "1")] pub delivered: bool }
/// #[aggregate]
/// impl Order {
///     #[fact]
///     fn carrier_says(&self, f: ParcelDelivered) -> Option<OrderDelivered> {
///         (!self.delivered).then(|| OrderDelivered { by: f.by })
///     }
///     #[apply]
///     fn was_delivered(&mut self, _: OrderDelivered) { self.delivered = true; }
/// }
/// # fn main() {}
/// ```
pub use angzarr_macros::fact;

/// A method of a `#[process_manager] impl` block that runs when a timeout is due (row P5). It takes no message: what it needs is
/// in the state. The name is the one that a [`Reaction`] schedules it by, with [`Reaction::timeout`]; it is stored, so it
/// outlives the method's: 1–64 of `a-z 0-9 _ -`, starting with a letter.
///
/// ```
/// use angzarr_runtime::prelude::*;
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Failed {}
/// # angzarr_runtime::name_messages!("shop": Failed);
/// # #[aggregate(domain = "order", remote, handles(Failed))] pub struct Order;
/// # #[process_manager(domain = "checkout", from = [Order])]
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Checkout { #[prost(bool, tag = "1")] pub paid: bool }
/// #[process_manager]
/// impl Checkout {
///     #[timeout("payment")]
///     fn late(&self, ctx: &EventContext) -> Option<Reaction> {
///         (!self.paid).then(|| Reaction::new().event(Failed {}).complete())
///     }
/// #   #[apply] fn failed(&mut self, _: Failed) {}
/// }
/// # fn main() {}
/// ```
pub use angzarr_macros::timeout;

pub use angzarr_proto as proto;
pub use angzarr_proto::Compensate;
pub use {inventory, prost, prost_types, smallvec, uuid};

#[cfg(feature = "client")]
pub use client::{Client, ClientError};
pub use command::{
    CascadeErrorMode, InProcess, Preview, PreviewCommand, Projection, Receipt, RecordFact, SendCommand, StateQuery,
    SyncMode,
};
pub use declare::{
    Accepts, Aggregate, AnyCommand, AnyFact, Clock, Command, CommandContext, CommandOf, CommandTo, Domain, Emission,
    EventContext, Fact, IdSource, MergeStrategy, Message, ProjectionError, RandomIds, Reaction, ReactionError,
    Rejected, Rejection, Revocation, SystemClock,
};
pub use error::{Code, Error, ForeignReadModel, RebuildProblem, Result, SequenceMismatch, Subject};
pub use reaction::{
    CascadeFailed, CascadeFailure, Checkpoint, Escalation, ReadModel, RebuildProgress, SubscriptionStatus,
};
#[cfg(feature = "cli")]
pub mod cli;
pub mod docs;

#[cfg(feature = "postgres")]
pub use reaction::{PostgresReadModel, PostgresTransaction};
#[cfg(feature = "sqlite")]
pub use reaction::{SqliteReadModel, SqliteTransaction};
#[cfg(feature = "config")]
pub use runtime::Config;
pub use runtime::{
    Builder, EditionHandle, MergeConflict, Merged, OpenStorage, Origin, Rebuild, Runtime, ServerConfig, Setting,
    Statistics, TelemetryConfig,
};
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use storage::Memory;
#[cfg(feature = "postgres")]
pub use storage::Postgres;
#[cfg(feature = "sqlite")]
pub use storage::{Durability, Sqlite};
pub use stream::{AsOf, Edition, Limits, Retention, Versioned, root};
pub use transport::{Feed, Local, RelayStatus};
pub use uuid::Uuid;

pub mod prelude;

/// What generated code refers to. Not part of the public interface: it may change with every version.
#[doc(hidden)]
pub mod __private {
    pub use crate::declare::*;
    pub use crate::proto::Compensate;
    pub use crate::reaction::{ErasedReadModel, ReadModel};
    pub use crate::stream::Name;
    pub use inventory;
    pub use prost;
    pub use prost_types;
    pub use std::sync::Arc;
}

/// Includes what `angzarr_runtime::proto::build::compile` made from the `.proto` files of a package, and registers the
/// descriptors, so that the generated documentation can show fields and comments.
///
/// ```ignore
/// pub mod pb { angzarr_runtime::include_proto!("bank"); }
/// ```
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(
            env!(
                "OUT_DIR",
                "`include_proto!` includes what a build script made, and this crate has none: add a `build.rs` whose `main` is \
                 `angzarr_proto::build::compile(&[\"proto/….proto\"], &[\"proto\"])`, and under `[build-dependencies]` \
                 `angzarr-proto` with the feature `build`"
            ),
            "/",
            $package,
            ".rs"
        ));
        const _: () = {
            static DESCRIPTORS: $crate::__private::ProtoDescriptors = $crate::__private::ProtoDescriptors {
                file_descriptor_set: include_bytes!(concat!(
                    env!("OUT_DIR", "… and so the descriptors are missing too"),
                    "/descriptors.bin"
                )),
            };
            $crate::__private::inventory::submit! {
                $crate::__private::RegisteredProtoDescriptors(&DESCRIPTORS)
            }
        };
    };
}
