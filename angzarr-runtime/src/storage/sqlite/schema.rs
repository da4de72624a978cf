//! The schema and its history.
//!
//! In: a database of any earlier version. Out: one of this version. Never: a step back, or a change of a step that was
//! released; what is new gets a step of its own.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use super::super::StorageError;
use super::codec;
use super::error::{corrupt, incompatible, while_doing};

/// `PRAGMA application_id`: "ANGZ".
pub(super) const APPLICATION_ID: i32 = 0x414E_475A;

/// What leads from one version to the next, as a whole or not at all.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) sql: &'static str,
    /// After it.
    pub(super) then: Option<Then>,
}

/// What SQL cannot say.
type Then = fn(&Connection) -> Result<(), StorageError>;

/// Each step leads from the version that is its index to the next one.
pub(super) const STEPS: &[Step] = &[
    Step { sql: include_str!("schema_1.sql"), then: None },
    Step { sql: include_str!("schema_2.sql"), then: Some(place_letters) },
    Step { sql: include_str!("schema_3.sql"), then: None },
    Step { sql: include_str!("schema_4.sql"), then: None },
];

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

/// Runs those of `steps` that are missing, each in a transaction of its own.
///
/// # Errors
/// A step fails: then the file is what it was before this step.
pub(super) fn migrate(
    connection: &mut Connection,
    name: &str,
    content: Content,
    steps: &[Step],
) -> Result<(), StorageError> {
    let from = match content {
        Content::Empty => 0,
        Content::Version(version) => version.max(0),
    };
    for (version, step) in (1..).zip(steps).skip(from as usize) {
        let doing = || while_doing(format!("cannot bring {name} to schema version {version}"));
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing())?;
        transaction.execute_batch(step.sql).map_err(doing())?;
        if let Some(then) = step.then {
            then(&transaction).map_err(|error| {
                let message = format!("cannot bring {name} to schema version {version}: {}", error.message);
                StorageError { message, ..error }
            })?;
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", version))
            .and_then(|()| transaction.commit())
            .map_err(doing())?;
        tracing::info!(database = name, version, "schema brought up to date");
    }
    Ok(())
}

/// Version 1 had the place of a letter's event only in the letter. Resolved letters too: their work may fail again.
fn place_letters(connection: &Connection) -> Result<(), StorageError> {
    let doing = || while_doing("cannot find the places of the dead letters");
    let next =
        format!("SELECT {}, number FROM dead_letters WHERE number > ?1 ORDER BY number LIMIT 1", codec::DEAD_LETTER);
    let mut next = connection.prepare(&next).map_err(doing())?;
    let mut place = connection
        .prepare("UPDATE dead_letters SET edition = ?2, root = ?3, sequence = ?4 WHERE number = ?1")
        .map_err(doing())?;
    let mut last = i64::MIN;
    // One at a time: each may be large.
    while let Some((number, letter)) =
        next.query_row([last], |row| Ok((row.get::<_, i64>(7)?, codec::dead_letter(row)))).optional().map_err(doing())?
    {
        // Without its place, later events of its stream would pass it.
        let letter = letter.map_err(|error| {
            let message = format!("dead letter number {number} cannot be read: {}", error.message);
            StorageError { message, ..error }
        })?;
        if let Some((stream, sequence)) = letter.event_place() {
            let values = params![number, stream.edition.as_str(), stream.root.as_bytes(), sequence];
            place.execute(values).map_err(doing())?;
        }
        last = number;
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
