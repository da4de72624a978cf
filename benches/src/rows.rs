//! The rows of commands per second: the work, whom it is compared with, and what it must reach.

use crate::Result;
use crate::children::Children;
use crate::limits::{self, Shape};
use crate::load::Measured;
use crate::ours::{self, Caller, Store};
use crate::place::Place;
use crate::table::Target;

/// What a row is compared with that does without a framework.
#[derive(Clone, Copy)]
enum Limit {
    None,
    HashMap,
    /// rusqlite, with so many events in one transaction: in either shape.
    Rows(usize),
    /// tokio-postgres, with so many events in one statement: in either shape.
    Unnest(usize),
    /// tokio-postgres, one connection for each task and one event in each transaction: in either shape.
    Connections,
    /// tonic with a hash map behind the same service.
    Tonic,
}

/// How commands get there.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Typed,
    Dynamic,
    Grpc(Caller),
}

/// A row of commands per second.
pub struct Row {
    pub name: &'static str,
    pub store: Store,
    way: Way,
    tasks: usize,
    limit: Limit,
    /// (cqrs-es, evento)
    peers: (bool, bool),
    pub targets: &'static [Target],
}

/// Whoever takes part in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arm {
    Limit,
    Lean,
    Cqrs,
    Evento,
    Ours,
}

impl Arm {
    pub const ALL: [Self; 5] = [Self::Limit, Self::Lean, Self::Cqrs, Self::Evento, Self::Ours];
}

impl Row {
    const fn new(name: &'static str, store: Store, tasks: usize, limit: Limit) -> Self {
        Self { name, store, way: Way::Typed, tasks, limit, peers: (false, false), targets: &[] }
    }

    const fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    const fn beside(self, cqrs: bool, evento: bool) -> Self {
        Self { peers: (cqrs, evento), ..self }
    }

    const fn reaching(self, targets: &'static [Target]) -> Self {
        Self { targets, ..self }
    }

    pub fn is_grpc(&self) -> bool {
        matches!(self.way, Way::Grpc(_))
    }

    pub fn takes(&self, arm: Arm) -> bool {
        match arm {
            Arm::Limit => !matches!(self.limit, Limit::None),
            Arm::Lean => matches!(self.limit, Limit::Rows(_) | Limit::Unnest(_) | Limit::Connections),
            Arm::Cqrs => self.peers.0,
            Arm::Evento => self.peers.1,
            Arm::Ours => true,
        }
    }

    /// What an arm does in so many seconds; nothing where it cannot be built.
    pub async fn run(&self, arm: Arm, children: &Children, seconds: f64, place: &Place) -> Result<Option<Measured>> {
        let shape = if arm == Arm::Lean { Shape::Lean } else { Shape::Facts };
        match arm {
            Arm::Limit | Arm::Lean => self.limit(shape, seconds, place).await,
            Arm::Cqrs => children.peer("cqrs-es", self.store.name(), self.tasks, seconds, place),
            Arm::Evento => children.peer("evento", self.store.name(), self.tasks, seconds, place),
            Arm::Ours => match self.way {
                Way::Grpc(caller) => ours::served(caller, self.tasks, seconds, place).await.map(Some),
                way => ours::commands(self.store, way == Way::Dynamic, self.tasks, seconds, place).await.map(Some),
            },
        }
    }

    async fn limit(&self, shape: Shape, seconds: f64, place: &Place) -> Result<Option<Measured>> {
        let durable = self.store == Store::Durable;
        Ok(Some(match (self.limit, place) {
            (Limit::HashMap, _) => limits::memory::commands(seconds),
            (Limit::Rows(batch), Place::Directory(directory)) => {
                limits::sqlite::commands(directory.path(), durable, batch, seconds, shape)?
            }
            (Limit::Unnest(batch), Place::Schema(schema)) => {
                limits::postgres::commands(schema, batch, seconds, shape).await?
            }
            (Limit::Connections, Place::Schema(schema)) => {
                limits::postgres::connections(schema, self.tasks, seconds, shape).await?
            }
            (Limit::Tonic, _) => {
                let Way::Grpc(caller) = self.way else { return Ok(None) };
                limits::grpc::commands(caller, self.tasks, seconds).await?
            }
            _ => return Ok(None),
        }))
    }
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Durable => "durable",
            Self::Relaxed => "relaxed",
            Self::Postgres => "postgres",
        }
    }
}

pub const ROWS: &[Row] = &[
    Row::new("memory, 1 task, typed", Store::Memory, 1, Limit::HashMap)
        .beside(true, false)
        .reaching(&[Target::Rate(1.5e6)]),
    Row::new("memory, 1 task, dynamic", Store::Memory, 1, Limit::HashMap)
        .by(Way::Dynamic)
        .beside(true, false)
        .reaching(&[Target::Rate(0.7e6)]),
    Row::new("memory, 64 tasks", Store::Memory, 64, Limit::None).beside(true, false).reaching(&[Target::Rate(2e6)]),
    Row::new("SQLite durable, 1 task", Store::Durable, 1, Limit::Rows(1))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.85)]),
    Row::new("SQLite durable, 64 tasks", Store::Durable, 64, Limit::Rows(64))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.7), Target::OfPeer(15.0)]),
    Row::new("SQLite durable, 1,024 tasks", Store::Durable, 1_024, Limit::Rows(1_000))
        .reaching(&[Target::OfLimit(0.7)]),
    Row::new("SQLite relaxed, 1 task", Store::Relaxed, 1, Limit::Rows(1))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.7)]),
    Row::new("SQLite relaxed, 64 tasks", Store::Relaxed, 64, Limit::Rows(64))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.7)]),
    Row::new("PostgreSQL, 1 task", Store::Postgres, 1, Limit::Unnest(1))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.85)]),
    Row::new("PostgreSQL, 64 tasks", Store::Postgres, 64, Limit::Unnest(64))
        .beside(true, true)
        .reaching(&[Target::OfLimit(0.7), Target::OfPeer(10.0)]),
    Row::new("PostgreSQL, 64 tasks (limit: 64 connections)", Store::Postgres, 64, Limit::Connections),
    Row::new("PostgreSQL, 1,024 tasks", Store::Postgres, 1_024, Limit::Unnest(1_000)).reaching(&[Target::OfLimit(0.7)]),
    Row::new("gRPC, memory, stock stub, 1 task", Store::Memory, 1, Limit::Tonic).by(Way::Grpc(Caller::Stub)),
    Row::new("gRPC, memory, stock stub, 64 tasks", Store::Memory, 64, Limit::Tonic).by(Way::Grpc(Caller::Stub)),
    Row::new("gRPC, memory, typed client, 1 task", Store::Memory, 1, Limit::Tonic).by(Way::Grpc(Caller::Client)),
    Row::new("gRPC, memory, typed client, 64 tasks", Store::Memory, 64, Limit::Tonic).by(Way::Grpc(Caller::Client)),
];
