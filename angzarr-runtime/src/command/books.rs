//! Event books: what is stored, as the wire has it (rows M1, T1, I4, B1, B2).
//!
//! In: a stream and a point in its time, or a workflow. Out: books, with the events as they are stored, or as they are today if that
//! is asked for (row U1). Never: a snapshot that the caller could not read.

use std::collections::HashMap;

use angzarr_proto as proto;
use prost::Message as _;
use proto::TimestampExt as _;

use super::answer::{cover_of, event_page};
use super::fold::Past;
use super::pipeline::Core;
use crate::error::Result;
use crate::registry;
use crate::stream::{AsOf, Edition, LogEvent, StoredEvent, StreamKey};

/// In which form events are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are stored, with their schema version.
    #[default]
    Stored,
    /// As the program knows them today (row U1).
    #[cfg_attr(not(feature = "server"), allow(dead_code))]
    Today,
}

impl Core {
    /// The book of a stream at a point: the newest snapshot, the events behind it, the next sequence (row M1).
    pub(crate) async fn book_as_of(
        &self,
        aggregate: &registry::Aggregate,
        key: &StreamKey,
        edition: &Edition,
        as_of: AsOf,
        form: Form,
    ) -> Result<proto::EventBook> {
        // A snapshot that the caller could not unpack is none: all events go out instead.
        let policy = aggregate
            .descriptor
            .snapshot
            .as_ref()
            .filter(|_| aggregate.snapshot_url.is_some() || aggregate.remote.is_some());
        let Past { snapshot, parts, next_sequence, .. } = self.past(aggregate, key, edition, as_of, policy).await?;
        let mut pages = Vec::with_capacity(parts.iter().map(|(_, events)| events.len()).sum());
        for (stream, event) in parts.into_iter().flat_map(|(stream, events)| with_stream(stream, events)) {
            pages.extend(self.pages_of(&stream, event, form).await?);
        }
        let snapshot = snapshot.map(|(_, snapshot)| proto::Snapshot {
            sequence: snapshot.sequence,
            state: Some(match &aggregate.snapshot_url {
                Some(url) => prost_types::Any { type_url: url.clone(), value: snapshot.state.to_vec() },
                // One of another process lies there as the `Any` that it came in; it could be decoded, or it would not be here.
                None => prost_types::Any::decode(snapshot.state.as_ref()).unwrap_or_default(),
            }),
            retention: snapshot.retention as i32,
            created_at: Some(prost_types::Timestamp::from_unix_nanos(snapshot.created_at)),
        });
        Ok(proto::EventBook { cover: Some(cover_of(key, "", None)), snapshot, pages, next_sequence })
    }

    /// The same at the head, as it is stored.
    pub(crate) async fn event_book(
        &self,
        aggregate: &registry::Aggregate,
        key: &StreamKey,
        edition: &Edition,
    ) -> Result<proto::EventBook> {
        self.book_as_of(aggregate, key, edition, AsOf::Head, Form::Stored).await
    }

    /// A stored event as pages: one; none or several where upcasters have dropped or split it (row U4).
    pub(crate) async fn pages_of(
        &self,
        key: &StreamKey,
        event: StoredEvent,
        form: Form,
    ) -> Result<Vec<proto::EventPage>> {
        match form {
            Form::Stored => Ok(vec![event_page(&event)]),
            Form::Today => Ok(self.today(key, event).await?.into_iter().map(|event| event_page(&event)).collect()),
        }
    }

    /// Every book of a workflow, across domains (row I4).
    pub(crate) async fn books_of_correlation(&self, correlation_id: &str, form: Form) -> Result<Vec<proto::EventBook>> {
        self.limits.check_id("correlation_id", correlation_id)?;
        let mut books: Vec<proto::EventBook> = Vec::new();
        let mut places: HashMap<StreamKey, usize> = HashMap::new();
        for LogEvent { stream, event } in self.storage.read_correlation(correlation_id).await? {
            let ext = event.headers.ext().cloned();
            let pages = self.pages_of(&stream, event, form).await?;
            if let Some(place) = places.get(&stream) {
                books[*place].pages.extend(pages);
                continue;
            }
            books.push(proto::EventBook {
                cover: Some(cover_of(&stream, correlation_id, ext.as_ref())),
                snapshot: None,
                pages,
                // Other events may follow in the stream that belong to other workflows.
                next_sequence: self.head(&stream).await?,
            });
            places.insert(stream, books.len() - 1);
        }
        Ok(books)
    }
}

pub(super) fn with_stream(
    stream: StreamKey,
    events: Vec<StoredEvent>,
) -> impl Iterator<Item = (StreamKey, StoredEvent)> {
    events.into_iter().map(move |event| (stream.clone(), event))
}
