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
//! - What you write: the attributes [`aggregate`], [`handler`], [`apply`], [`upcaster`], [`saga`], [`projector`], and what
//!   their functions may take: [`CommandContext`], [`EventContext`].
//! - What you call: [`Runtime`], from [`Runtime::builder`].
//! - What you may replace: [`storage::Storage`], [`transport::Transport`], [`Clock`], [`IdSource`], [`ReadModel`].
//! - Limits, errors: [`Limits`], [`Error`].

// What the attributes generate names the runtime from outside, in our own tests too.
#[cfg(test)]
extern crate self as angzarr_runtime;

pub mod command;
pub mod dead_letter;
#[doc(hidden)]
pub mod declare;
mod error;
pub mod reaction;
pub mod registry;
mod runtime;
pub mod storage;
pub mod stream;
pub mod telemetry;
pub mod testing;
pub mod transport;

pub use angzarr_macros::{
    Events, aggregate, apply, compensate, fact, handler, process_manager, projector, rejected, saga, timeout, upcaster,
};
pub use angzarr_proto as proto;
pub use angzarr_proto::Compensate;
pub use {inventory, prost, prost_types, smallvec, uuid};

pub use command::{Preview, PreviewCommand, Projection, Receipt, SendCommand, StateQuery, SyncMode};
pub use declare::{
    Accepts, Aggregate, AnyCommand, AnyFact, Clock, Command, CommandContext, CommandOf, Domain, Emission, EventContext,
    Fact, IdSource, MergeStrategy, Message, ProjectionError, RandomIds, Reaction, ReactionError, Rejected, Rejection,
    Revocation, SystemClock,
};
pub use error::{Code, Error, ForeignReadModel, Result, SequenceMismatch, Subject};
pub use reaction::{Checkpoint, ReadModel, SubscriptionStatus};
#[cfg(feature = "cli")]
pub mod cli;
pub mod docs;

#[cfg(feature = "sqlite")]
pub use reaction::{SqliteReadModel, SqliteTransaction};
pub use runtime::{Builder, EditionHandle, OpenStorage, Runtime, Statistics};
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use storage::Memory;
#[cfg(feature = "sqlite")]
pub use storage::{Durability, Sqlite};
pub use stream::{AsOf, Edition, Limits, Retention, Versioned, root};
pub use transport::Local;
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
