//! The way of an event: log → subscription → saga, process manager or projector → commands, rows of a read model.
//!
//! In: committed events, in order of position. Out: commands that run once each, read models with their checkpoint. Never:
//! a second path: what SIMPLE waits for is the same subscription that would have handled the event later (row S7).
//!
//! # Idempotent consumers
//! The framework delivers every event of a projector's domains, in the order of its stream, **at least once**: whoever dies
//! between the effect and the checkpoint sees the event again (row J1). What it guarantees beyond that depends on where the
//! effect goes:
//!
//! | the handler writes | an event takes effect | what it has to do |
//! |---|---|---|
//! | to its [`ReadModel`], through [`EventContext::transaction`](crate::EventContext::transaction) | once: rows and checkpoint are one transaction | nothing |
//! | to another database that has transactions | once, if it asks | [`SeenEvents`] in the transaction of the rows |
//! | anywhere else | at least once | an effect that may be repeated, or the receiver's own dedup by [`EventContext::event_id`](crate::EventContext::event_id) |
//!
//! Outside of a read model not every effect may be repeated:
//!
//! | effect | repeated | the short way to make it right |
//! |---|---|---|
//! | `INSERT` | fails, or doubles the row | a key made of the event, and `ON CONFLICT DO NOTHING` |
//! | `UPDATE … SET x = x + 1` | counts twice | [`SeenEvents`] |
//! | `UPDATE … SET x = v` | harmless: the same events end in the same value | nothing |
//! | `DELETE` | harmless | nothing |
//! | a mail, a call of another system | goes out twice | `event_id` as its idempotency key; and `#[handler(live_only)]`, so that no rebuild repeats it |
//!
//! # Rebuilds
//! [`Runtime::rebuild`](crate::Runtime::rebuild) makes the state of a projector anew from the log, beside live traffic (row J3).
//! Handlers that are `live_only` are left out (row J6).

mod call;
mod cascade;
#[cfg(any(feature = "sqlite", feature = "sqlx-sqlite"))]
mod checkpoints;
#[cfg(feature = "server")]
mod compensation;
mod emission;
mod failed_event;
#[cfg(feature = "server")]
mod given;
mod given_up;
mod intents;
mod lanes;
mod merged;
mod notification;
mod ownership;
mod parking;
mod plan;
#[cfg(any(feature = "postgres", feature = "sqlx-postgres"))]
mod postgres_checkpoints;
#[cfg(feature = "postgres")]
mod postgres_read_model;
mod process_manager;
mod projector;
mod read_model;
mod rebuild;
mod rehearsal;
mod revocation;
mod saga;
mod seen_events;
#[cfg(feature = "sqlite")]
mod sqlite_copy;
#[cfg(feature = "sqlite")]
mod sqlite_read_model;
#[cfg(feature = "sqlx-postgres")]
mod sqlx_postgres_read_model;
#[cfg(feature = "sqlx-sqlite")]
mod sqlx_read_model;
mod subscription;
mod told;
mod wait_board;

pub use cascade::{CascadeFailed, CascadeFailure};
pub use notification::{Escalate, Escalation};
#[cfg(feature = "postgres")]
pub use postgres_read_model::{PostgresReadModel, PostgresTransaction};
pub use read_model::{Checkpoint, ErasedReadModel, OpenTransaction, ReadModel, erase_read_model};
pub use rebuild::RebuildProgress;
pub use seen_events::SeenEvents;
#[cfg(feature = "sqlite")]
pub use sqlite_read_model::{SqliteReadModel, SqliteTransaction};
pub use subscription::{ComponentKind, SubscriptionStatus};
pub use wait_board::Missing;

pub(crate) use call::{project, react, react_here};
pub(crate) use cascade::{Cascade, CascadeLink};
#[cfg(feature = "server")]
pub(crate) use given::Given;
pub(crate) use intents::IntentDesk;
pub(crate) use merged::{letter_on_main, on_main};
pub(crate) use ownership::{Ownership, PARTITIONS, RELAY};
pub(crate) use plan::is_taken_back;
pub(crate) use process_manager::ProcessManagerRunner;
pub(crate) use projector::ProjectorRunner;
pub(crate) use rebuild::Order;
pub(crate) use rehearsal::{Rehearsal, Rehearsed};
pub(crate) use saga::SagaRunner;
pub(crate) use subscription::{Component, Subscription, Subscriptions};
pub(crate) use told::Outbox;
pub(crate) use wait_board::{Passed, WaitBoard, WaitResult, Waiting};
