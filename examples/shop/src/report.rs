//! The report: every order, how it stands, and what was paid for it.
//!
//! In: events of orders and payments. Out: an SQLite file with one row an order. Never: a sum that a repeat could count twice.

use std::path::Path;

use angzarr_runtime::prelude::*;
use angzarr_runtime::rusqlite::{self, OptionalExtension as _};

use crate::pb::*;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT '',
    total INTEGER NOT NULL DEFAULT 0,
    paid INTEGER NOT NULL DEFAULT 0,
    missing INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
";

/// Shows every order.
#[projector(name = "report", domains = ["order", "payment"])]
pub struct Report {
    model: SqliteReadModel,
}

/// One order of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// Its root.
    pub order: String,
    /// Who wants it.
    pub customer: String,
    /// `placed`, `confirmed`, `delivered` or `cancelled`.
    pub status: String,
    /// What it costs, in cents.
    pub total: i64,
    /// What is paid and was not given back.
    pub paid: i64,
    /// Articles that are not there.
    pub missing: u32,
}

impl Report {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        Ok(Self { model: SqliteReadModel::open(path, SCHEMA)? })
    }

    /// Rows that live as long as the value.
    ///
    /// # Errors
    /// The schema is wrong.
    pub fn in_memory() -> Result<Self, rusqlite::Error> {
        Ok(Self { model: SqliteReadModel::in_memory(SCHEMA)? })
    }

    /// The same rows, for questions.
    pub fn model(&self) -> &SqliteReadModel {
        &self.model
    }

    async fn set(
        &self,
        ctx: &EventContext,
        sql: &str,
        value: impl rusqlite::ToSql + Send,
    ) -> Result<Option<OrderReport>, ProjectionError> {
        let order = ctx.root().to_string();
        let tx = ctx.transaction(&self.model).await?;
        tx.prepare_cached("INSERT INTO orders (id) VALUES (?1) ON CONFLICT (id) DO NOTHING")?.execute([&order])?;
        tx.prepare_cached(sql)?.execute((&order, value))?;
        let mut row = tx.prepare_cached("SELECT customer, status, total, paid FROM orders WHERE id = ?1")?;
        let shown = row.query_row([&order], |row| {
            let (customer, status) = (row.get(0)?, row.get(1)?);
            Ok(OrderReport { order: order.clone(), customer, status, total: row.get(2)?, paid: row.get(3)? })
        });
        Ok(shown.optional()?)
    }
}

const STATUS: &str = "UPDATE orders SET status = ?2 WHERE id = ?1";

#[projector]
impl Report {
    /// A new line.
    #[handler]
    async fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, "UPDATE orders SET customer = ?2 WHERE id = ?1", e.customer).await?;
        self.set(ctx, "UPDATE orders SET total = ?2 WHERE id = ?1", e.total).await?;
        self.set(ctx, STATUS, "placed").await
    }

    /// It is paid.
    #[handler]
    async fn confirmed(&self, _: OrderConfirmed, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, STATUS, "confirmed").await
    }

    /// An article is missing.
    #[handler]
    async fn backordered(
        &self,
        _: OrderBackordered,
        ctx: &EventContext,
    ) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, "UPDATE orders SET missing = missing + ?2 WHERE id = ?1", 1).await
    }

    /// It is off.
    #[handler]
    async fn cancelled(&self, _: OrderCancelled, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, STATUS, "cancelled").await
    }

    /// It is there.
    #[handler]
    async fn delivered(&self, _: OrderDelivered, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, STATUS, "delivered").await
    }

    /// Money is there.
    #[handler]
    async fn taken(&self, e: PaymentTaken, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, "UPDATE orders SET paid = ?2 WHERE id = ?1", e.amount).await
    }

    /// Money went back. A transfer that nobody waited for was never counted.
    #[handler]
    async fn refunded(&self, e: PaymentRefunded, ctx: &EventContext) -> Result<Option<OrderReport>, ProjectionError> {
        self.set(ctx, "UPDATE orders SET paid = 0 WHERE id = ?1 AND paid = ?2", e.amount).await
    }
}

impl ReportLine {
    /// Every order, by customer.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all(model: &rusqlite::Connection) -> Result<Vec<Self>, rusqlite::Error> {
        let mut statement = model.prepare(
            "SELECT id, customer, status, total, paid, missing FROM orders WHERE status <> '' ORDER BY customer, id",
        )?;
        let lines = statement.query_map([], |row| {
            Ok(Self {
                order: row.get(0)?,
                customer: row.get(1)?,
                status: row.get(2)?,
                total: row.get(3)?,
                paid: row.get(4)?,
                missing: row.get(5)?,
            })
        })?;
        lines.collect()
    }
}
