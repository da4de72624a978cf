//! The read model: what each flight was known to be, and when.
//!
//! In: events of flights. Out: an SQLite file with one row a flight and one row a change. Never: a sum that a repeat could
//! count twice; every figure is counted from the rows when it is asked for.

mod questions;

pub use questions::{BoardLine, CarrierDay, Departures, Figures, Hour, later_flights, tails};

use std::path::Path;

use angzarr_runtime::prelude::*;
use angzarr_runtime::rusqlite;

use crate::domain::Phase;
use crate::pb::{Arrived, Cancelled, Departed, Diverted, Scheduled};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS flight (
    id BLOB PRIMARY KEY,
    carrier TEXT NOT NULL,
    number INTEGER NOT NULL,
    tail TEXT NOT NULL,
    origin TEXT NOT NULL,
    destination TEXT NOT NULL,
    departs_at INTEGER NOT NULL,
    day INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    departure_delay INTEGER,
    arrival_delay INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS flight_by_origin ON flight (origin, departs_at);
CREATE INDEX IF NOT EXISTS flight_by_day ON flight (day);
CREATE TABLE IF NOT EXISTS change (
    flight BLOB NOT NULL,
    phase INTEGER NOT NULL,
    known_at INTEGER NOT NULL,
    delay INTEGER,
    PRIMARY KEY (flight, phase)
) WITHOUT ROWID;
";

/// Boards of the airports and delays of the carriers.
#[projector(name = "boards", domains = ["flight"])]
pub struct Boards {
    model: SqliteReadModel,
}

impl Boards {
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

    async fn change(&self, ctx: &EventContext, phase: Phase, delay: Option<i32>) -> Result<(), ProjectionError> {
        let tx = ctx.transaction(&self.model).await?;
        let id = ctx.root();
        let known_at = ctx.created_at().duration_since(std::time::UNIX_EPOCH)?.as_secs().cast_signed();
        tx.prepare_cached(
            "INSERT INTO change (flight, phase, known_at, delay) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (flight, phase) DO UPDATE SET known_at = excluded.known_at, delay = excluded.delay",
        )?
        .execute((id.as_bytes(), phase as i32, known_at, delay))?;
        let set = match phase {
            Phase::Airborne => "UPDATE flight SET phase = ?2, departure_delay = ?3 WHERE id = ?1",
            _ => "UPDATE flight SET phase = ?2, arrival_delay = ?3 WHERE id = ?1",
        };
        if phase != Phase::Scheduled {
            tx.prepare_cached(set)?.execute((id.as_bytes(), phase as i32, delay))?;
        }
        Ok(())
    }
}

#[projector]
impl Boards {
    /// A line on the board.
    #[handler]
    async fn scheduled(&self, e: Scheduled, ctx: &EventContext) -> Result<(), ProjectionError> {
        {
            let tx = ctx.transaction(&self.model).await?;
            tx.prepare_cached(
                "INSERT INTO flight (id, carrier, number, tail, origin, destination, departs_at, day, phase)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
            )?
            .execute((
                ctx.root().as_bytes(),
                e.carrier,
                e.number,
                e.tail,
                e.origin,
                e.destination,
                e.departs_at,
                e.day,
                Phase::Scheduled as i32,
            ))?;
        }
        self.change(ctx, Phase::Scheduled, None).await
    }

    /// It has left.
    #[handler]
    async fn departed(&self, e: Departed, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.change(ctx, Phase::Airborne, Some(e.delay)).await
    }

    /// It is there.
    #[handler]
    async fn arrived(&self, e: Arrived, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.change(ctx, Phase::Arrived, Some(e.delay)).await
    }

    /// It will not go.
    #[handler]
    async fn cancelled(&self, _: Cancelled, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.change(ctx, Phase::Cancelled, None).await
    }

    /// It went elsewhere.
    #[handler]
    async fn diverted(&self, _: Diverted, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.change(ctx, Phase::Diverted, None).await
    }
}
