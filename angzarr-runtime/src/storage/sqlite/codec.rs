//! Between rows and the types of the runtime.
//!
//! In: values from disk. Out: values that are checked, or an error that says which one is wrong. Never: a panic, whatever
//! the file holds.

use bytes::Bytes;
use prost::Message;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::super::encoding::{self, WrongHeader};
pub(super) use super::super::encoding::{
    encode_divergences, encode_ext, encode_kind, encode_resolution, encode_retention, signed,
};
use super::super::{Intent, IntentKind, StorageError};
use super::error::{corrupt, while_doing};
use crate::dead_letter::{DeadLetter, Resolution};
use crate::stream::{Headers, Name, Retention, StreamKey};

fn wrong(row: &Row<'_>, column: usize) -> StorageError {
    let name = row.as_ref().column_name(column).unwrap_or("?").to_owned();
    corrupt(format!(
        "the column `{name}` holds a value that no program of ours writes; run `PRAGMA integrity_check` on a copy"
    ))
}

fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>, StorageError> {
    row.get_ref(column).map_err(while_doing("cannot read a row"))
}

pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<i64, StorageError> {
    match value(row, column)? {
        ValueRef::Integer(integer) => Ok(integer),
        _ => Err(wrong(row, column)),
    }
}

pub(super) fn optional_integer(row: &Row<'_>, column: usize) -> Result<Option<i64>, StorageError> {
    match value(row, column)? {
        ValueRef::Integer(integer) => Ok(Some(integer)),
        ValueRef::Null => Ok(None),
        _ => Err(wrong(row, column)),
    }
}

pub(super) fn small(row: &Row<'_>, column: usize) -> Result<u32, StorageError> {
    u32::try_from(integer(row, column)?).map_err(|_| wrong(row, column))
}

pub(super) fn optional_small(row: &Row<'_>, column: usize) -> Result<Option<u32>, StorageError> {
    optional_integer(row, column)?.map(|it| u32::try_from(it).map_err(|_| wrong(row, column))).transpose()
}

pub(super) fn large(row: &Row<'_>, column: usize) -> Result<u64, StorageError> {
    u64::try_from(integer(row, column)?).map_err(|_| wrong(row, column))
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StorageError> {
    match value(row, column)? {
        ValueRef::Text(text) => std::str::from_utf8(text).map_err(|_| wrong(row, column)),
        _ => Err(wrong(row, column)),
    }
}

pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StorageError> {
    match value(row, column)? {
        ValueRef::Blob(blob) => Ok(blob),
        _ => Err(wrong(row, column)),
    }
}

/// Nothing reads as empty.
fn optional_blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StorageError> {
    match value(row, column)? {
        ValueRef::Null => Ok(&[]),
        ValueRef::Blob(blob) => Ok(blob),
        _ => Err(wrong(row, column)),
    }
}

pub(super) fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes, StorageError> {
    blob(row, column).map(Bytes::copy_from_slice)
}

/// The headers of the row before: events of one append follow each other and share theirs.
#[derive(Default)]
pub(super) struct LastHeaders(encoding::LastHeaders);

impl LastHeaders {
    /// Headers from the columns `column` (correlation id), `column + 1` (extension), `column + 2` (divergences) and
    /// `column + 3` (trace).
    pub(super) fn read(&mut self, row: &Row<'_>, column: usize) -> Result<Headers, StorageError> {
        let correlation_id = match value(row, column)? {
            ValueRef::Null => "",
            ValueRef::Text(text) => std::str::from_utf8(text).map_err(|_| wrong(row, column))?,
            _ => return Err(wrong(row, column)),
        };
        let (ext, divergences) = (optional_blob(row, column + 1)?, optional_blob(row, column + 2)?);
        let trace = optional_blob(row, column + 3)?;
        self.0.read(correlation_id, ext, divergences, trace).map_err(|it| match it {
            WrongHeader::Ext => wrong(row, column + 1),
            WrongHeader::Divergences => wrong(row, column + 2),
            WrongHeader::Trace => wrong(row, column + 3),
        })
    }
}

/// A key from three columns: domain, edition, root.
pub(super) fn stream_key(row: &Row<'_>, column: usize) -> Result<StreamKey, StorageError> {
    Ok(StreamKey {
        domain: Name::new(text(row, column)?),
        edition: match text(row, column + 1)? {
            "" => Name::default(),
            edition => Name::new(edition),
        },
        root: Uuid::from_slice(blob(row, column + 2)?).map_err(|_| wrong(row, column + 2))?,
    })
}

pub(super) fn retention(row: &Row<'_>, column: usize) -> Result<Retention, StorageError> {
    encoding::retention(integer(row, column)?).ok_or_else(|| wrong(row, column))
}

fn kind(row: &Row<'_>, column: usize) -> Result<IntentKind, StorageError> {
    encoding::kind(integer(row, column)?).ok_or_else(|| wrong(row, column))
}

/// The columns that [`intent`] reads.
pub(super) const INTENT: &str = "id, kind, domain, edition, root, due, attempts, work";

pub(super) fn intent(row: &Row<'_>) -> Result<Intent, StorageError> {
    Ok(Intent {
        id: Uuid::from_slice(blob(row, 0)?).map_err(|_| wrong(row, 0))?,
        kind: kind(row, 1)?,
        stream: stream_key(row, 2)?,
        due: integer(row, 5)?,
        attempts: small(row, 6)?,
        work: bytes(row, 7)?,
    })
}

/// The columns that [`dead_letter`] reads.
pub(super) const DEAD_LETTER: &str = "id, occurred_at, attempts, letter, resolution, resolved_at, reason";

pub(super) fn dead_letter(row: &Row<'_>) -> Result<DeadLetter, StorageError> {
    let resolution = match optional_integer(row, 4)? {
        None => None,
        Some(1) => Some(Resolution::Retried { at: integer(row, 5)? }),
        Some(2) => Some(Resolution::Discarded { at: integer(row, 5)?, reason: text(row, 6)?.to_owned() }),
        Some(_) => return Err(wrong(row, 4)),
    };
    Ok(DeadLetter {
        id: Uuid::from_slice(blob(row, 0)?).map_err(|_| wrong(row, 0))?,
        letter: Message::decode(blob(row, 3)?).map_err(|_| wrong(row, 3))?,
        attempts: small(row, 2)?,
        occurred_at: integer(row, 1)?,
        resolution,
    })
}
