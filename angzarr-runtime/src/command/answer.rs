//! Answer: what the sender of a command gets, typed or as the wire has it.

use std::time::SystemTime;

use angzarr_proto as proto;
use proto::{CoverExt as _, TimestampExt as _};

use super::pipeline::{Outcome, StoredEvents};
use crate::declare::{Message, time_of};
use crate::reaction::{CascadeFailure, Missing, WaitResult};
use crate::stream::{StoredEvent, StreamKey};

/// The answer to an accepted command: its events are stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    stream: StreamKey,
    events: StoredEvents,
    next_sequence: u32,
    already_processed: bool,
    projections: Vec<Projection>,
    done: Vec<&'static str>,
    missing: Vec<Missing>,
    failures: Vec<CascadeFailure>,
}

/// What a projector made of an event of a SIMPLE command.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The projector.
    pub projector: String,
    /// The event.
    pub sequence: u32,
    /// The projection.
    pub projection: prost_types::Any,
}

impl Receipt {
    pub(crate) fn new(stream: StreamKey, outcome: Outcome, waited: WaitResult) -> Self {
        let is_missing =
            |projector: &&str| waited.missing.iter().any(|it| it.component == *projector && it.stream == stream);
        let mut done: Vec<_> =
            waited.done.iter().map(|(projector, _)| *projector).filter(|it| !is_missing(it)).collect();
        done.sort_unstable();
        done.dedup();
        Self {
            stream,
            events: outcome.events,
            next_sequence: outcome.next_sequence,
            already_processed: outcome.duplicate,
            projections: waited.projections,
            done,
            missing: waited.missing,
            failures: Vec::new(),
        }
    }

    /// With what failed in its cascade and did not make it fail.
    pub(crate) fn with_failures(mut self, failures: Vec<CascadeFailure>) -> Self {
        self.failures = failures;
        self
    }

    /// The stream that the command was for.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// The events that the command stored, in order; none where the handler returned none (row C3).
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

    /// Whether the command had been done before under the same external id; the events are those of the first time
    /// (row C10).
    pub fn already_processed(&self) -> bool {
        self.already_processed
    }

    /// For a SIMPLE command: what the projectors made of its events (row S3). A repeat of the command has those of
    /// projectors that had not been at its events before: a projection is answered once.
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

    /// For a SIMPLE command: the components that have handled all of its events that concern them, with or without a
    /// projection. Who is neither here nor in [`missing`](Self::missing) is not concerned.
    pub fn done(&self) -> &[&'static str] {
        &self.done
    }

    /// For a SIMPLE command: the components that had not handled its events when the deadline passed, that have put them
    /// into the dead letters, or that were stopped. The events are stored all the same (row S9).
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// For a CASCADE with [`CascadeErrorMode::Continue`](crate::CascadeErrorMode::Continue): each reaction that failed
    /// (row E2).
    pub fn cascade_errors(&self) -> &[CascadeFailure] {
        &self.failures
    }

    /// When the events were accepted; `None` where there are none.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.events.last().map(|event| time_of(event.created_at))
    }

    /// The same as the wire has it; [`missing`](Self::missing) stands in `cascade_errors`, one for each event and projector.
    pub fn into_response(self) -> proto::CommandResponse {
        let pages = self.events.iter().map(event_page).collect();
        let headers = self.events.first().map(|event| event.headers.clone()).unwrap_or_default();
        let cover = cover_of(&self.stream, headers.correlation_id(), headers.ext());
        let failed = self.failures.into_iter().map(failure);
        let cascade_errors = failed.chain(self.missing.into_iter().map(cascade_error)).collect();
        let projections = self
            .projections
            .into_iter()
            .map(|it| proto::Projection {
                cover: Some(cover.clone()),
                projector: it.projector,
                sequence: it.sequence,
                projection: Some(it.projection),
            })
            .collect();
        proto::CommandResponse {
            events: Some(proto::EventBook {
                cover: Some(cover),
                snapshot: None,
                pages,
                next_sequence: self.next_sequence,
            }),
            projections,
            cascade_errors,
        }
    }
}

fn failure(failure: CascadeFailure) -> proto::CascadeError {
    proto::CascadeError {
        error_message: format!("event #{}: {}", failure.sequence, failure.message),
        component_name: failure.component,
        component_type: failure.kind.as_str().to_owned(),
        source_domain: failure.source.domain.to_string(),
    }
}

fn cascade_error(missing: Missing) -> proto::CascadeError {
    let reason = missing.reason.as_deref().unwrap_or("not handled when the deadline passed; it will be");
    proto::CascadeError {
        error_message: format!("event #{}: {reason}", missing.sequence),
        component_name: missing.component,
        component_type: missing.kind.as_str().to_owned(),
        source_domain: missing.stream.domain.to_string(),
    }
}

/// A stream's cover.
pub(crate) fn cover_of(key: &StreamKey, correlation_id: &str, ext: Option<&prost_types::Any>) -> proto::Cover {
    let mut cover = proto::Cover::of(key.domain.as_str(), key.root.into_bytes());
    cover.correlation_id = correlation_id.to_owned();
    cover.ext = ext.cloned();
    if !key.is_main() {
        cover.edition = Some(proto::Edition { name: key.edition.to_string(), divergences: Vec::new() });
    }
    cover
}

/// A stored event as the wire has it.
pub(crate) fn event_page(event: &StoredEvent) -> proto::EventPage {
    proto::EventPage {
        header: Some(proto::PageHeader {
            sequence_type: Some(proto::page_header::SequenceType::Sequence(event.sequence)),
            sync_mode: None,
        }),
        created_at: Some(prost_types::Timestamp::from_unix_nanos(event.created_at)),
        payload: Some(proto::event_page::Payload::Event(prost_types::Any {
            type_url: proto::type_url_of(&event.type_name),
            value: event.payload.to_vec(),
        })),
        schema_version: event.schema_version,
    }
}
