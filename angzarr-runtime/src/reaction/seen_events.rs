//! A table of handled events, for projectors whose database does not keep the framework's checkpoint (row J1).
//!
//! In: an event, inside the handler's own transaction. Out: whether it is the first time. Never: a transaction of its own:
//! what is noted must be taken back with the rows.

use uuid::Uuid;

use crate::declare::EventContext;

/// Notes which events a consumer has handled, in a table beside its rows, so that an event that comes again takes no second
/// effect.
///
/// For SQLite over `sqlx` and `rusqlite` there are methods; other databases take [`TABLE`](Self::TABLE),
/// [`NOTE`](Self::NOTE) (in their own syntax of parameters) and [`key`](Self::key).
///
/// ```
/// # use angzarr_runtime::prelude::*;
/// # use angzarr_runtime::reaction::SeenEvents;
/// # use angzarr_runtime::rusqlite::Connection;
/// # use std::sync::{Mutex, PoisonError};
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Deposited { #[prost(int64, tag = "1")] pub amount: i64 }
/// # angzarr_runtime::name_messages!("bank": Deposited);
/// const SEEN: SeenEvents = SeenEvents::of("totals");
///
/// #[projector(name = "totals", domains = ["account"])]
/// pub struct Totals {
///     connection: Mutex<Connection>, // SeenEvents::TABLE was executed on it
/// }
///
/// #[projector]
/// impl Totals {
///     #[handler]
///     fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
///         let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
///         let transaction = connection.transaction()?;
///         if SEEN.first_time(ctx, &transaction)? {
///             transaction.execute("UPDATE total SET amount = amount + ?1", [e.amount])?;
///         }
///         Ok(transaction.commit()?)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenEvents {
    consumer: &'static str,
}

impl SeenEvents {
    /// Makes the table if it is not there. It stands in the database that the rows stand in, and is fresh where they are.
    pub const TABLE: &'static str = "CREATE TABLE IF NOT EXISTS angzarr_seen_events (
    consumer TEXT NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (consumer, event)
)";

    /// Notes an event of a consumer. It is the first time if one row is affected.
    pub const NOTE: &'static str =
        "INSERT INTO angzarr_seen_events (consumer, event) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

    /// The notes of a consumer, such as the projector's name: several may share a table.
    pub const fn of(consumer: &'static str) -> Self {
        Self { consumer }
    }

    /// The consumer.
    pub fn consumer(self) -> &'static str {
        self.consumer
    }

    /// What an event is noted by: its [`event_id`](EventContext::event_id), and for the later parts of an event that an
    /// upcaster has split one of their own.
    pub fn key(self, ctx: &EventContext) -> Uuid {
        match ctx.part {
            0 => ctx.event_id(),
            part => Uuid::new_v5(&ctx.event_id(), &part.to_be_bytes()),
        }
    }

    /// Whether the event is handled for the first time; it is noted then. Inside the transaction that writes the rows.
    ///
    /// # Errors
    /// The database fails, or there is no [`TABLE`](Self::TABLE).
    #[cfg(feature = "sqlite")]
    pub fn first_time(self, ctx: &EventContext, transaction: &rusqlite::Connection) -> Result<bool, rusqlite::Error> {
        let key = self.key(ctx);
        Ok(transaction.prepare_cached(Self::NOTE)?.execute((self.consumer, key.as_bytes()))? == 1)
    }

    /// The same over `sqlx`.
    ///
    /// # Errors
    /// The database fails, or there is no [`TABLE`](Self::TABLE).
    #[cfg(feature = "sqlx-sqlite")]
    pub async fn first_time_sqlx(
        self,
        ctx: &EventContext,
        transaction: &mut sqlx::SqliteConnection,
    ) -> Result<bool, sqlx::Error> {
        let key = self.key(ctx);
        let noted = sqlx::query(Self::NOTE).bind(self.consumer).bind(&key.as_bytes()[..]).execute(transaction).await?;
        Ok(noted.rows_affected() == 1)
    }
}
