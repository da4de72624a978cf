//! Between rows and the types of the runtime.
//!
//! In: values from the server. Out: values that are checked, or an error that says which one is wrong. Never: a panic,
//! whatever a row holds.

use bytes::Bytes;
use prost::Message;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::encoding::{self, WrongHeader};
use super::super::{Intent, StorageError, Written};
use super::error::corrupt;
use crate::dead_letter::{DeadLetter, Resolution};
use crate::stream::{Headers, Name, Retention, StreamKey};

fn wrong(row: &Row, column: usize) -> StorageError {
    let name = row.columns().get(column).map_or("?", |it| it.name());
    corrupt(format!(
        "the column `{name}` holds a value that no program of ours writes; somebody has changed it by hand"
    ))
}

pub(super) fn value<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, StorageError> {
    row.try_get(column).map_err(|_| wrong(row, column))
}

pub(super) fn small(row: &Row, column: usize) -> Result<u32, StorageError> {
    u32::try_from(value::<i64>(row, column)?).map_err(|_| wrong(row, column))
}

pub(super) fn optional_small(row: &Row, column: usize) -> Result<Option<u32>, StorageError> {
    let integer: Option<i64> = value(row, column)?;
    integer.map(|it| u32::try_from(it).map_err(|_| wrong(row, column))).transpose()
}

pub(super) fn large(row: &Row, column: usize) -> Result<u64, StorageError> {
    u64::try_from(value::<i64>(row, column)?).map_err(|_| wrong(row, column))
}

pub(super) fn bytes(row: &Row, column: usize) -> Result<Bytes, StorageError> {
    value(row, column).map(Bytes::copy_from_slice)
}

/// The headers of the row before: events of one append follow each other and share theirs.
#[derive(Default)]
pub(super) struct LastHeaders(encoding::LastHeaders);

impl LastHeaders {
    /// Headers from the columns `column` (correlation id), `column + 1` (extension), `column + 2` (divergences) and
    /// `column + 3` (trace).
    pub(super) fn read(&mut self, row: &Row, column: usize) -> Result<Headers, StorageError> {
        let correlation_id: Option<&str> = value(row, column)?;
        let ext: Option<&[u8]> = value(row, column + 1)?;
        let divergences: Option<&[u8]> = value(row, column + 2)?;
        let trace: Option<&[u8]> = value(row, column + 3)?;
        let [ext, divergences, trace] = [ext, divergences, trace].map(Option::unwrap_or_default);
        let headers = self.0.read(correlation_id.unwrap_or(""), ext, divergences, trace);
        headers.map_err(|it| match it {
            WrongHeader::Ext => wrong(row, column + 1),
            WrongHeader::Divergences => wrong(row, column + 2),
            WrongHeader::Trace => wrong(row, column + 3),
        })
    }
}

/// A key from three columns: domain, edition, root.
pub(super) fn stream_key(row: &Row, column: usize) -> Result<StreamKey, StorageError> {
    Ok(StreamKey {
        domain: Name::new(value(row, column)?),
        edition: match value(row, column + 1)? {
            "" => Name::default(),
            edition => Name::new(edition),
        },
        root: value::<Uuid>(row, column + 2)?,
    })
}

/// Like [`stream_key`]; rows that follow each other are often of one stream, or at least of one domain.
pub(super) fn next_stream_key(row: &Row, column: usize, last: Option<&StreamKey>) -> Result<StreamKey, StorageError> {
    let Some(last) = last else { return stream_key(row, column) };
    let (domain, edition): (&str, &str) = (value(row, column)?, value(row, column + 1)?);
    let same = |last: &Name, text: &str| if last == text { last.clone() } else { Name::new(text) };
    Ok(StreamKey {
        domain: same(&last.domain, domain),
        edition: same(&last.edition, edition),
        root: value::<Uuid>(row, column + 2)?,
    })
}

/// What a key stored, from three columns: `first_sequence, count, last_position`.
pub(super) fn written(row: &Row, column: usize) -> Result<Written, StorageError> {
    Ok(Written {
        first_sequence: small(row, column)?,
        count: small(row, column + 1)?,
        last_position: large(row, column + 2)?,
    })
}

pub(super) fn retention(row: &Row, column: usize) -> Result<Retention, StorageError> {
    encoding::retention(value::<i16>(row, column)?.into()).ok_or_else(|| wrong(row, column))
}

/// The columns that [`intent`] reads.
pub(super) const INTENT: &str = "id, kind, domain, edition, root, due, attempts, work";

pub(super) fn intent(row: &Row) -> Result<Intent, StorageError> {
    Ok(Intent {
        id: value(row, 0)?,
        kind: encoding::kind(value::<i16>(row, 1)?.into()).ok_or_else(|| wrong(row, 1))?,
        stream: stream_key(row, 2)?,
        due: value(row, 5)?,
        attempts: small(row, 6)?,
        work: bytes(row, 7)?,
    })
}

/// The columns that [`dead_letter`] reads.
pub(super) const DEAD_LETTER: &str = "id, occurred_at, attempts, letter, resolution, resolved_at, reason";

pub(super) fn dead_letter(row: &Row) -> Result<DeadLetter, StorageError> {
    let resolution = match value::<Option<i16>>(row, 4)? {
        None => None,
        Some(1) => Some(Resolution::Retried { at: value(row, 5)? }),
        Some(2) => Some(Resolution::Discarded { at: value(row, 5)?, reason: value(row, 6)? }),
        Some(_) => return Err(wrong(row, 4)),
    };
    Ok(DeadLetter {
        id: value(row, 0)?,
        letter: Message::decode(value::<&[u8]>(row, 3)?).map_err(|_| wrong(row, 3))?,
        attempts: small(row, 2)?,
        occurred_at: value(row, 1)?,
        resolution,
    })
}
