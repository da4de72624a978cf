//! The table of checkpoints in a SQLite file that is a read model.
//!
//! In: rows. Out: the statements that both ways to SQLite use. Never: a position that moves back.

use uuid::Uuid;

use super::Checkpoint;

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS angzarr_checkpoints (
    name TEXT PRIMARY KEY,
    store BLOB NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID";

/// Whether the table is one of those that named the projector and knew no store.
pub(super) const IS_OLD: &str = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('angzarr_checkpoints'))
    AND NOT EXISTS (SELECT 1 FROM pragma_table_info('angzarr_checkpoints') WHERE name = 'store')";

pub(super) const FIND: &str = "SELECT store, position FROM angzarr_checkpoints WHERE name = ?1";

pub(super) const STORE: &str = "INSERT INTO angzarr_checkpoints (name, store, position) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET store = excluded.store, position = excluded.position
    WHERE excluded.store <> store OR excluded.position > position";

pub(super) fn from_row(store: [u8; 16], position: i64) -> Checkpoint {
    Checkpoint { store: Uuid::from_bytes(store), position: position.cast_unsigned() }
}
