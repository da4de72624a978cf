//! What travels: an event with what a broker and a consumer need to know about it.
//!
//! In: a stored event. Out: the same, with a stable id and a key. Never: another payload than the stored one; old versions
//! become current where they are read (row U1).

use uuid::Uuid;

use crate::stream::LogEvent;

/// One event on its way through a transport, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The store that it is from ([`Storage::id`](crate::storage::Storage::id)).
    pub store: Uuid,
    /// A position before the event's. Between the two the log holds nothing that is published: by this a consumer that has
    /// everything up to here knows that it missed nothing.
    pub follows: u64,
    /// The event and its stream.
    pub event: LogEvent,
}

impl Publication {
    /// The same for the same event, however often it is published; no two events share one.
    pub fn id(&self) -> String {
        format!("{}/{}", self.store, self.event.event.position)
    }

    /// The stream, as text: publications with the same key stay in order.
    pub fn partition_key(&self) -> String {
        self.event.stream.to_string()
    }

    /// The correlation id, empty if there is none (row I1).
    pub fn correlation_id(&self) -> &str {
        self.event.event.headers.correlation_id()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let headers = &self.event.event.headers;
        let ext = headers.ext().map_or(0, |ext| ext.type_url.len() + ext.value.len());
        size_of::<Self>() + self.event.event.payload.len() + headers.correlation_id().len() + ext
    }
}

/// A publication as a consumer gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// What was published.
    pub publication: Publication,
    /// By which it is acknowledged, on the consumer that delivered it.
    pub tag: u64,
}
