//! The way of an event: log → subscription → saga or projector → commands, rows of a read model.
//!
//! In: committed events, in order of position. Out: commands that run once each, read models with their checkpoint. Never:
//! a second path: what SIMPLE waits for is the same subscription that would have handled the event later (row S7).

mod call;
#[cfg(any(feature = "sqlite", feature = "sqlx-sqlite"))]
mod checkpoints;
mod parking;
mod projector;
mod read_model;
mod rebuild;
mod saga;
#[cfg(feature = "sqlite")]
mod sqlite_copy;
#[cfg(feature = "sqlite")]
mod sqlite_read_model;
#[cfg(feature = "sqlx-sqlite")]
mod sqlx_read_model;
mod subscription;
mod wait_board;

pub use read_model::{Checkpoint, ErasedReadModel, OpenTransaction, ReadModel, erase_read_model};
pub use rebuild::RebuildProgress;
#[cfg(feature = "sqlite")]
pub use sqlite_read_model::{SqliteReadModel, SqliteTransaction};
pub use subscription::{ComponentKind, SubscriptionStatus};
pub use wait_board::Missing;

pub(crate) use call::{project, react};
pub(crate) use projector::ProjectorRunner;
pub(crate) use rebuild::Order;
pub(crate) use saga::SagaRunner;
pub(crate) use subscription::{Component, Subscription, Subscriptions};
pub(crate) use wait_board::{WaitBoard, WaitResult, Waiting};
