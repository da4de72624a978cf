//! Between rows and the types of the runtime.
//!
//! In: values from disk. Out: values that are checked, or an error that says which one is wrong. Never: a panic, whatever
//! the file holds.

use angzarr_proto as proto;
use bytes::Bytes;
use prost::Message;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::super::{Intent, IntentKind, StorageError};
use super::error::{corrupt, while_doing};
use crate::dead_letter::{DeadLetter, Resolution};
use crate::stream::{Headers, Name, Retention, StreamKey, TraceContext};

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

/// Position as SQLite has it. A store would have to run for thousands of years to get beyond.
pub(super) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The headers of the row before: events of one append follow each other and share theirs.
#[derive(Default)]
pub(super) struct LastHeaders {
    headers: Headers,
    ext: Vec<u8>,
    divergences: Vec<u8>,
}

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
        let trace = match optional_blob(row, column + 3)? {
            [] => None,
            trace => Some(TraceContext::from_bytes(trace).ok_or_else(|| wrong(row, column + 3))?),
        };
        if correlation_id.is_empty() && ext.is_empty() && divergences.is_empty() && trace.is_none() {
            return Ok(Headers::default());
        }
        let same_texts = self.headers.correlation_id() == correlation_id && self.headers.trace() == trace;
        if !same_texts || self.ext != ext || self.divergences != divergences {
            let any = match ext {
                [] => None,
                ext => Some(prost_types::Any::decode(ext).map_err(|_| wrong(row, column + 1))?),
            };
            let edition = proto::Edition::decode(divergences).map_err(|_| wrong(row, column + 2))?;
            let points = edition.divergences.into_iter().map(|it| (Name::from(it.domain), it.sequence)).collect();
            self.headers = Headers::new(correlation_id, any).with_divergences(points).with_trace(trace);
            self.ext = ext.to_vec();
            self.divergences = divergences.to_vec();
        }
        Ok(self.headers.clone())
    }
}

/// An extension as a blob; never empty, because that would read as none.
pub(super) fn encode_ext(headers: &Headers) -> Option<Vec<u8>> {
    headers.ext().map(Message::encode_to_vec).map(|ext| {
        if ext.is_empty() { vec![0x12, 0x00] } else { ext } // an empty `Any`, with its empty `value` spelled out
    })
}

/// Divergence points as a blob: an edition without its name, which the stream has.
pub(super) fn encode_divergences(headers: &Headers) -> Option<Vec<u8>> {
    let points = headers.divergences();
    if points.is_empty() {
        return None;
    }
    let divergence =
        |(domain, sequence): &(Name, u32)| proto::DomainDivergence { domain: domain.to_string(), sequence: *sequence };
    let divergences = points.iter().map(divergence).collect();
    Some(proto::Edition { name: String::new(), divergences }.encode_to_vec())
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

pub(super) fn encode_retention(retention: Retention) -> i64 {
    match retention {
        Retention::Default => 0,
        Retention::Persist => 1,
        Retention::Transient => 2,
    }
}

pub(super) fn retention(row: &Row<'_>, column: usize) -> Result<Retention, StorageError> {
    match integer(row, column)? {
        0 => Ok(Retention::Default),
        1 => Ok(Retention::Persist),
        2 => Ok(Retention::Transient),
        _ => Err(wrong(row, column)),
    }
}

pub(super) fn encode_kind(kind: IntentKind) -> i64 {
    match kind {
        IntentKind::Command => 0,
        IntentKind::Fact => 1,
        IntentKind::Notification => 2,
        IntentKind::Compensation => 3,
        IntentKind::Timeout => 4,
    }
}

fn kind(row: &Row<'_>, column: usize) -> Result<IntentKind, StorageError> {
    match integer(row, column)? {
        0 => Ok(IntentKind::Command),
        1 => Ok(IntentKind::Fact),
        2 => Ok(IntentKind::Notification),
        3 => Ok(IntentKind::Compensation),
        4 => Ok(IntentKind::Timeout),
        _ => Err(wrong(row, column)),
    }
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

/// Columns `resolution, resolved_at, reason`.
pub(super) fn encode_resolution(resolution: Option<&Resolution>) -> (Option<i64>, Option<i64>, Option<&str>) {
    match resolution {
        None => (None, None, None),
        Some(Resolution::Retried { at }) => (Some(1), Some(*at), None),
        Some(Resolution::Discarded { at, reason }) => (Some(2), Some(*at), Some(reason)),
    }
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
