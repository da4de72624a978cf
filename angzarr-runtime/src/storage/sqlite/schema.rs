//! The schema and its history.
//!
//! In: a database of any earlier version. Out: one of this version. Never: a step back, or a change of a step that was
//! released; what is new gets a step of its own.

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::super::StorageError;
use super::error::{corrupt, incompatible, while_doing};

/// `PRAGMA application_id`: "ANGZ".
pub(super) const APPLICATION_ID: i32 = 0x414E_475A;

/// Each step leads from the version that is its index to the next one.
const STEPS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version that this program reads and writes.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    /// Ours, of this version.
    Version(i32),
}

/// Looks at a file without changing it.
///
/// # Errors
/// Files of other programs and of newer versions of this one are refused.
pub(super) fn inspect(connection: &Connection, name: &str) -> Result<Content, StorageError> {
    let ask = |pragma: &str| -> Result<i32, StorageError> {
        connection.query_row(pragma, [], |row| row.get(0)).map_err(while_doing(format_args!("cannot read {name}")))
    };
    let application = ask("PRAGMA application_id")?;
    let version = ask("PRAGMA user_version")?;
    let tables = ask("SELECT count(*) FROM sqlite_master")?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Content::Empty);
    }
    if application != APPLICATION_ID {
        return Err(incompatible(format!(
            "{name} is a SQLite database of another program ({tables} tables and indexes, application id {application:#x}); \
             nothing was changed. Choose another file"
        )));
    }
    if version > VERSION {
        return Err(incompatible(format!(
            "{name} has schema version {version}, this program knows versions up to {VERSION}; nothing was changed. Run the \
             newer program, or restore a backup from before it was run"
        )));
    }
    Ok(Content::Version(version))
}

/// Runs the steps that are missing, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, name: &str, content: Content) -> Result<(), StorageError> {
    let from = match content {
        Content::Empty => 0,
        Content::Version(version) => version.max(0),
    };
    for (version, step) in (1..).zip(STEPS).skip(from as usize) {
        let doing = || format!("cannot bring {name} to schema version {version}");
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(while_doing(doing()))?;
        transaction
            .execute_batch(step)
            .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION_ID))
            .and_then(|()| transaction.pragma_update(None, "user_version", version))
            .and_then(|()| transaction.commit())
            .map_err(while_doing(doing()))?;
        tracing::info!(database = name, version, "schema brought up to date");
    }
    Ok(())
}

/// Who the store is, in a database of this version.
pub(super) fn store_id(connection: &Connection, name: &str) -> Result<Uuid, StorageError> {
    let id: Vec<u8> = connection
        .query_row("SELECT value FROM about WHERE fact = 'id'", [], |row| row.get(0))
        .map_err(while_doing(format_args!("cannot read the id of {name}")))?;
    Uuid::from_slice(&id).map_err(|_| corrupt(format!("{name} has an id of {} bytes instead of 16", id.len())))
}
