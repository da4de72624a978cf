//! Everything that a domain and its `main` need: `use angzarr_runtime::prelude::*;`.

pub use std::time::Duration;

pub use prost;

#[cfg(feature = "postgres")]
pub use crate::Postgres;
pub use crate::declare::{
    Accepts as _, Aggregate as _, AnyCommand, AnyFact, Clock, Command, CommandContext, Domain, EventContext, Fact,
    MergeStrategy, ProjectionError, Reaction, ReactionError, Rejected, Rejection, Revocation,
};
pub use crate::{
    CascadeErrorMode, Compensate, Edition, Error, Events, Local, Memory, Receipt, Runtime, SyncMode, Uuid, Versioned,
    aggregate, apply, compensate, ensure, fact, handler, process_manager, projector, rejected, root, saga, timeout,
    upcaster,
};
#[cfg(feature = "sqlite")]
pub use crate::{Sqlite, SqliteReadModel};
