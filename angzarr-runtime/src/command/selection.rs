//! Which part of what is stored a caller asks for (rows T1, I4, B1).
//!
//! In: a `Query`, as any client sends it. Out: the stream that it is for, and what to read of it. Never: a guess; what makes no
//! sense is told.

use angzarr_proto as proto;
use proto::{CoverExt as _, TimestampExt as _};

use super::books::with_stream;
use super::pipeline::Core;
use super::request::edition_of;
use crate::error::{Error, Result};
use crate::registry::Aggregate;
use crate::storage::StreamRead;
use crate::stream::{AsOf, Edition, LogEvent, Nanos, StreamKey};

/// Which part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    Whole,
    Range {
        from: u32,
        to: Option<u32>,
    },
    /// In order, each once.
    Sequences(Vec<u32>),
    AsOf(AsOf),
}

impl Selection {
    /// What a query selects.
    pub(crate) fn of(query: &proto::Query) -> Result<Self> {
        use proto::query::Selection as Selected;
        Ok(match &query.selection {
            None => Self::Whole,
            Some(Selected::Range(range)) => match range.upper {
                Some(upper) if upper < range.lower => {
                    let message = format!("it begins at {} and ends at {upper}, before that", range.lower);
                    return Err(Error::invalid_argument("range", message));
                }
                to => Self::Range { from: range.lower, to },
            },
            Some(Selected::Sequences(set)) => {
                let mut sequences = set.values.clone();
                sequences.sort_unstable();
                sequences.dedup();
                Self::Sequences(sequences)
            }
            Some(Selected::Temporal(temporal)) => Self::AsOf(as_of(temporal)?),
        })
    }

    /// The parts to read, in order: first and last sequence, and the newest time.
    pub(crate) fn parts(&self) -> Vec<(u32, Option<u32>, Option<Nanos>)> {
        match self {
            Self::Whole | Self::AsOf(AsOf::Head) => vec![(0, None, None)],
            Self::Range { from, to } => vec![(*from, *to, None)],
            Self::AsOf(AsOf::Sequence(to)) => vec![(0, Some(*to), None)],
            Self::AsOf(AsOf::Time(until)) => vec![(0, None, Some(*until))],
            Self::Sequences(sequences) => {
                let mut parts: Vec<(u32, Option<u32>, Option<Nanos>)> = Vec::new();
                for &sequence in sequences {
                    match parts.last_mut() {
                        Some((_, to, _)) if to.and_then(|to| to.checked_add(1)) == Some(sequence) => {
                            *to = Some(sequence);
                        }
                        _ => parts.push((sequence, Some(sequence), None)),
                    }
                }
                parts
            }
        }
    }
}

/// The point in time that a query speaks of. One that says nothing means the head.
pub(crate) fn as_of(temporal: &proto::TemporalQuery) -> Result<AsOf> {
    use proto::temporal_query::PointInTime;
    Ok(match &temporal.point_in_time {
        None => AsOf::Head,
        Some(PointInTime::AsOfSequence(sequence)) => AsOf::Sequence(*sequence),
        Some(PointInTime::AsOfTime(time)) => AsOf::Time(time.to_unix_nanos().ok_or_else(|| {
            Error::invalid_argument("temporal.as_of_time", "no time between the years 1677 and 2262")
        })?),
    })
}

impl Core {
    /// The stream that a question is for: of an aggregate or of a process manager.
    pub(crate) fn route_question(&self, cover: &proto::Cover) -> Result<(&Aggregate, StreamKey, Edition)> {
        let owner = self.owner_of(&cover.domain)?;
        let (root, edition) = (self.root_of(cover)?, edition_of(cover));
        let key = self.key(owner, &edition, root)?;
        Ok((owner, key, edition))
    }

    /// What the streams of a domain fold into.
    pub(crate) fn owner_of(&self, domain: &str) -> Result<&Aggregate> {
        self.limits.check_domain(domain)?;
        self.registry.state_of(domain).ok_or_else(|| self.unknown_domain(domain))
    }

    /// Events of a stream, those that it has inherited included, with where they are stored; and the next sequence of the
    /// whole stream.
    pub(crate) async fn events_of(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        read: StreamRead,
    ) -> Result<(Vec<LogEvent>, u32)> {
        let past = self.part(aggregate, key, edition, read, None).await?;
        let events = past.parts.into_iter().flat_map(|(stream, events)| with_stream(stream, events));
        Ok((events.map(|(stream, event)| LogEvent { stream, event }).collect(), past.next_sequence))
    }
}

/// Whether a book is of the timeline that a cover names; one that names none means every timeline.
pub(crate) fn is_on_timeline(book: &proto::EventBook, cover: &proto::Cover) -> bool {
    let Some(edition) = &cover.edition else { return true };
    let wanted = Edition::named(&edition.name);
    let found = book.cover.as_ref().and_then(|it| it.edition_name()).unwrap_or_default();
    *wanted.name() == *found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(values: &[u32]) -> Selection {
        let set = proto::SequenceSet { values: values.to_vec() };
        let query = proto::Query { cover: None, selection: Some(proto::query::Selection::Sequences(set)) };
        Selection::of(&query).expect("a selection")
    }

    #[test]
    fn a_set_of_sequences_is_read_in_few_parts() {
        assert_eq!(selected(&[]).parts(), []);
        assert_eq!(
            selected(&[7, 3, 4, 7, 5, u32::MAX]).parts(),
            [(3, Some(5), None), (7, Some(7), None), (u32::MAX, Some(u32::MAX), None)]
        );
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_none() {
        let range = proto::SequenceRange { lower: 5, upper: Some(4) };
        let query = proto::Query { cover: None, selection: Some(proto::query::Selection::Range(range)) };
        assert_eq!(Selection::of(&query).unwrap_err().code(), "INVALID_ARGUMENT");
    }

    #[test]
    fn a_point_in_time_that_says_nothing_is_the_head() {
        assert_eq!(as_of(&proto::TemporalQuery::default()).ok(), Some(AsOf::Head));
        let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        let far = proto::temporal_query::PointInTime::AsOfTime(far);
        let refused = as_of(&proto::TemporalQuery { point_in_time: Some(far) }).unwrap_err();
        assert_eq!(refused.code(), "INVALID_ARGUMENT");
    }
}
