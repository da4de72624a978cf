//! The log of a scenario: what its events come with, and how they come to a component.
//!
//! In: events of today, and events as older programs stored them. Out: stored events, each with the next sequence of its
//! own stream; what the upcasters make of them. Never: a way of its own; upcasting and contexts are the runtime's.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::super::{ManualClock, SequentialIds};
use crate::command::Core;
use crate::declare::{Clock as _, Domain, Message, ReactionError, nanos_of};
use crate::registry::Registry;
use crate::storage::Memory;
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey};

/// What the events of a scenario come with.
pub(super) struct Told {
    /// The runtime that they come from; it has no components.
    pub(super) core: Core,
    pub(super) clock: ManualClock,
    pub(super) correlation: String,
    pub(super) edition: String,
    /// Events so far: the last one's position.
    position: u64,
    /// The next sequence of each stream.
    next: HashMap<StreamKey, u32>,
}

impl Told {
    pub(super) fn new(registry: Registry) -> Self {
        let clock = ManualClock::new();
        let builder = crate::Builder::default().clock(clock.clone()).ids(SequentialIds::new());
        Self {
            core: builder.core(registry, Arc::new(Memory::new())),
            clock,
            correlation: String::new(),
            edition: String::new(),
            position: 0,
            next: HashMap::new(),
        }
    }

    /// An event of today, as the log holds it.
    pub(super) fn event<D: Domain, E: Message>(&mut self, root: Uuid, event: &E) -> (StreamKey, StoredEvent) {
        let type_name = Name::from(E::full_name());
        let version = self.core.registry.upcasters.current_version(&type_name);
        self.stored::<D>(root, type_name, version, Bytes::from(event.encode_to_vec()))
    }

    /// An event as it was stored once.
    pub(super) fn stored<D: Domain>(
        &mut self,
        root: Uuid,
        type_name: Name,
        schema_version: u32,
        payload: Bytes,
    ) -> (StreamKey, StoredEvent) {
        let edition = Edition::named(&self.edition);
        let stream = StreamKey { domain: Name::from_static(D::DOMAIN), edition: edition.name().clone(), root };
        self.position += 1;
        let next = self.next.entry(stream.clone()).or_default();
        let sequence = *next;
        *next += 1;
        let event = StoredEvent {
            position: self.position,
            sequence,
            created_at: nanos_of(self.clock.now()),
            schema_version,
            payload,
            headers: Headers::new(self.correlation.clone(), None),
            isolated: false,
            type_name,
        };
        (stream, event)
    }

    /// The events that a component gets for a stored one.
    pub(super) fn upcast(&self, stream: &StreamKey, event: StoredEvent) -> Result<Vec<StoredEvent>, ReactionError> {
        let upcast = self.core.upcast(stream, event);
        Ok(upcast.map_err(|error| ReactionError::permanent(error.to_string()))?.into_iter().collect())
    }
}

/// Why none of the events is handled.
pub(super) fn unhandled<'n>(events: &[StoredEvent], handled: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<_> = events.iter().map(|event| format!("`{}`", event.type_name)).collect();
    let handled: Vec<_> = handled.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "an upcaster drops it".to_owned(),
        names => format!("it has no handler for {}; it handles {}", names.join(", "), handled.join(", ")),
    }
}
