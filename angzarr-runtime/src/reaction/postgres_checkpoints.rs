//! The table of checkpoints in a PostgreSQL schema that is a read model.
//!
//! In: rows. Out: the statements that both ways to PostgreSQL use. Never: a position that moves back.

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS angzarr_checkpoints (
    name text COLLATE \"C\" PRIMARY KEY,
    store uuid NOT NULL,
    position bigint NOT NULL
)";

/// The store comes as text: not every way knows the type.
pub(super) const FIND: &str = "SELECT store::text, position FROM angzarr_checkpoints WHERE name = $1";

/// Whoever else is about to commit a checkpoint of that name waits until this transaction has ended, also before there is one.
pub(super) const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.' || $1::text, 1095649115))";

/// And it goes as text.
pub(super) const STORE: &str =
    "INSERT INTO angzarr_checkpoints AS stored (name, store, position) VALUES ($1, $2::text::uuid, $3)
     ON CONFLICT (name) DO UPDATE SET store = excluded.store, position = excluded.position
     WHERE excluded.store <> stored.store OR excluded.position > stored.position";
