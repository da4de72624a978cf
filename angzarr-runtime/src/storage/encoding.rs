//! How values stand in the columns of a database, whichever it is.
//!
//! In: values of the runtime, or what a column holds. Out: the other one. Never: a panic over what a column holds, or an
//! encoding that changes: rows of years ago have it.

use angzarr_proto as proto;
use prost::Message;

use super::IntentKind;
use crate::dead_letter::Resolution;
use crate::stream::event::read_origin;
use crate::stream::{Headers, Name, Nanos, Retention};

/// The headers of the row before: events of one append follow each other and share theirs.
#[derive(Default)]
pub(super) struct LastHeaders {
    headers: Headers,
    ext: Vec<u8>,
    divergences: Vec<u8>,
}

/// Which column holds what no program of ours writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WrongHeader {
    Ext,
    Divergences,
    Trace,
}

impl LastHeaders {
    /// Headers from their columns; what is absent is empty. With the trace comes the mark of a wait, if there is one.
    pub(super) fn read(
        &mut self,
        correlation_id: &str,
        ext: &[u8],
        divergences: &[u8],
        trace: &[u8],
    ) -> Result<Headers, WrongHeader> {
        if correlation_id.is_empty() && ext.is_empty() && divergences.is_empty() && trace.is_empty() {
            return Ok(Headers::default());
        }
        let (trace, wait) = read_origin(trace).ok_or(WrongHeader::Trace)?;
        let same_texts = self.headers.correlation_id() == correlation_id
            && self.headers.trace() == trace
            && self.headers.wait() == wait.as_ref();
        if !same_texts || self.ext != ext || self.divergences != divergences {
            let any = match ext {
                [] => None,
                ext => Some(prost_types::Any::decode(ext).map_err(|_| WrongHeader::Ext)?),
            };
            let edition = proto::Edition::decode(divergences).map_err(|_| WrongHeader::Divergences)?;
            let points = edition.divergences.into_iter().map(|it| (Name::from(it.domain), it.sequence)).collect();
            self.headers = Headers::new(correlation_id, any).with_divergences(points).with_trace(trace).with_wait(wait);
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

pub(super) fn encode_retention(retention: Retention) -> i16 {
    match retention {
        Retention::Default => 0,
        Retention::Persist => 1,
        Retention::Transient => 2,
    }
}

pub(super) fn retention(code: i64) -> Option<Retention> {
    match code {
        0 => Some(Retention::Default),
        1 => Some(Retention::Persist),
        2 => Some(Retention::Transient),
        _ => None,
    }
}

pub(super) fn encode_kind(kind: IntentKind) -> i16 {
    match kind {
        IntentKind::Command => 0,
        IntentKind::Fact => 1,
        IntentKind::Notification => 2,
        IntentKind::Compensation => 3,
        IntentKind::Timeout => 4,
    }
}

pub(super) fn kind(code: i64) -> Option<IntentKind> {
    match code {
        0 => Some(IntentKind::Command),
        1 => Some(IntentKind::Fact),
        2 => Some(IntentKind::Notification),
        3 => Some(IntentKind::Compensation),
        4 => Some(IntentKind::Timeout),
        _ => None,
    }
}

/// Columns `resolution, resolved_at, reason`.
pub(super) fn encode_resolution(resolution: Option<&Resolution>) -> (Option<i16>, Option<Nanos>, Option<&str>) {
    match resolution {
        None => (None, None, None),
        Some(Resolution::Retried { at }) => (Some(1), Some(*at), None),
        Some(Resolution::Discarded { at, reason }) => (Some(2), Some(*at), Some(reason)),
    }
}

/// Position as databases have it. A store would have to run for thousands of years to get beyond.
pub(super) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
