//! Answers as the wire has them, read back.
//!
//! In: books, projections and failures of a response. Out: what a caller asks of a [`Receipt`](crate::Receipt). Never: something that
//! the wire does not say.

use std::time::SystemTime;

use angzarr_proto as proto;
use proto::{EventPageExt as _, TimestampExt};

use crate::command::Projection;
use crate::declare::{Message, time_of};
use crate::stream::{Headers, Name, StoredEvent, StreamKey};

/// The answer to an accepted command or fact: its events are stored. A [`Receipt`](crate::Receipt) as far as the wire carries it.
#[derive(Clone, Debug)]
pub struct Answer {
    stream: StreamKey,
    events: Vec<StoredEvent>,
    next_sequence: u32,
    already_processed: Option<bool>,
    projections: Vec<Projection>,
    cascade_errors: Vec<proto::CascadeError>,
}

impl Answer {
    pub(super) fn of_command(stream: StreamKey, response: proto::CommandResponse) -> Result<Self, String> {
        let proto::CommandResponse { events, projections, cascade_errors } = response;
        Self::of(stream, events, projections, cascade_errors, None)
    }

    pub(super) fn of_fact(stream: StreamKey, response: proto::FactInjectionResponse) -> Result<Self, String> {
        let proto::FactInjectionResponse { events, already_processed, projections } = response;
        Self::of(stream, events, projections, Vec::new(), Some(already_processed))
    }

    fn of(
        stream: StreamKey,
        book: Option<proto::EventBook>,
        projections: Vec<proto::Projection>,
        cascade_errors: Vec<proto::CascadeError>,
        already_processed: Option<bool>,
    ) -> Result<Self, String> {
        let book = book.ok_or("it has no EventBook")?;
        let next_sequence = book.next_sequence;
        let read = |it: proto::Projection| Projection {
            projector: it.projector,
            sequence: it.sequence,
            projection: it.projection.unwrap_or_default(),
        };
        let projections = projections.into_iter().map(read).collect();
        let events = stored_events(book)?;
        Ok(Self { stream, events, next_sequence, already_processed, projections, cascade_errors })
    }

    /// The stream that it was for.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// The events that were stored, in order; none where the handler returned none (row C3). Where in the store they are, the
    /// wire does not say: their `position` is 0.
    pub fn events(&self) -> &[StoredEvent] {
        &self.events
    }

    /// The events of one type, decoded.
    pub fn events_of<E: Message>(&self) -> impl Iterator<Item = E> {
        let name = E::full_name();
        self.events
            .iter()
            .filter(move |event| event.type_name == name.as_str())
            .filter_map(|event| E::decode(event.payload.as_ref()).ok())
    }

    /// The stream's next sequence: what a command that builds on this one should expect.
    pub fn next_sequence(&self) -> u32 {
        self.next_sequence
    }

    /// Whether the fact had been recorded before under the same external id; the events are those of the first time (row F2).
    /// For a command the wire does not say it: `None`.
    pub fn already_processed(&self) -> Option<bool> {
        self.already_processed
    }

    /// For a SIMPLE or CASCADE one: what the projectors made of its events (row S3).
    pub fn projections(&self) -> &[Projection] {
        &self.projections
    }

    /// The projections of one projector, decoded.
    pub fn projections_of<V: Message>(&self, projector: &str) -> impl Iterator<Item = V> {
        let name = V::full_name();
        self.projections
            .iter()
            .filter(move |it| it.projector == projector && proto::type_name_of(&it.projection.type_url) == name)
            .filter_map(|it| V::decode(it.projection.value.as_slice()).ok())
    }

    /// Each reaction that failed in a cascade that goes on (row E2), and each component that had not handled the events when the
    /// deadline passed (row S9): the wire has them in one list. Of a fact it has none.
    pub fn cascade_errors(&self) -> &[proto::CascadeError] {
        &self.cascade_errors
    }

    /// When the events were accepted; `None` where there are none.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.events.last().map(|event| time_of(event.created_at))
    }
}

/// The events of a book, as a store has them.
pub(super) fn stored_events(book: proto::EventBook) -> Result<Vec<StoredEvent>, String> {
    let headers = book.cover.map(|cover| Headers::new(cover.correlation_id, cover.ext)).unwrap_or_default();
    book.pages.into_iter().enumerate().map(|(index, page)| stored_event(index, page, headers.clone())).collect()
}

fn stored_event(index: usize, page: proto::EventPage, headers: Headers) -> Result<StoredEvent, String> {
    let sequence = page.sequence().ok_or_else(|| format!("page {index} has no sequence"))?;
    let created_at = page.created_at.as_ref().map_or(0, TimestampExt::to_unix_nanos_saturating);
    let schema_version = page.schema_version_or_one();
    match page.payload {
        Some(proto::event_page::Payload::Event(event)) => Ok(StoredEvent {
            position: 0,
            sequence,
            created_at,
            type_name: Name::new(proto::type_name_of(&event.type_url)),
            schema_version,
            payload: event.value.into(),
            headers,
            isolated: false,
        }),
        Some(proto::event_page::Payload::External(reference)) => {
            Err(format!("the payload of event #{sequence} lies elsewhere: {}", reference.uri))
        }
        None => Err(format!("event #{sequence} has no payload")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_what_it_needs_is_told() {
        let key = || StreamKey::main("account", uuid::Uuid::nil());
        let answer = |book| Answer::of_command(key(), proto::CommandResponse { events: book, ..Default::default() });
        assert!(answer(None).unwrap_err().contains("EventBook"));
        let book = |page| Some(proto::EventBook { pages: vec![page], ..Default::default() });
        assert!(answer(book(proto::EventPage::default())).unwrap_err().contains("page 0 has no sequence"));
        let empty = proto::EventPage { payload: None, ..proto::EventPage::of(7, prost_types::Any::default()) };
        assert!(answer(book(empty)).unwrap_err().contains("#7 has no payload"));
        let elsewhere = proto::PayloadReference { uri: "s3://x".into(), ..Default::default() };
        let payload = Some(proto::event_page::Payload::External(elsewhere));
        let page = proto::EventPage { payload, ..proto::EventPage::of(7, prost_types::Any::default()) };
        assert!(answer(book(page)).unwrap_err().contains("s3://x"));
    }
}
