//! Upcasters in other languages (rows U).
//!
//! In: stored events of a domain whose owner is elsewhere. Out: the same in the form of today, in one call for a whole read. Never: an
//! answer that is remembered; the next version of the component may know better.

use angzarr_proto as proto;
use bytes::Bytes;
use proto::upcaster_service_client::UpcasterServiceClient;
use proto::{EventPageExt as _, PageHeaderExt as _};

use super::client::{ANSWER_BYTES, Client, Trouble, UPCASTER};
use crate::command::event_page;
use crate::error::{Error, Result, Subject};
use crate::stream::upcast::Upcasted;
use crate::stream::{Name, StoredEvent, StreamKey};

/// Events of one call at most, and about how many bytes.
const EVENTS: usize = 1_000;
const BYTES: usize = 2 << 20;

impl Client {
    /// What events of one stream are today: for each of them its parts, none if it was dropped (row U4).
    pub(crate) async fn upcast(&self, stream: &StreamKey, events: &[StoredEvent]) -> Result<Vec<Upcasted>> {
        let mut all = Vec::with_capacity(events.len());
        while all.len() < events.len() {
            let rest = &events[all.len()..];
            let mut bytes = 0;
            let fits = |event: &&StoredEvent| {
                bytes += event.payload.len();
                bytes <= BYTES
            };
            let count = rest.iter().take(EVENTS).take_while(fits).count().max(1);
            all.extend(self.upcast_portion(stream, &rest[..count]).await?);
        }
        Ok(all)
    }

    async fn upcast_portion(&self, stream: &StreamKey, events: &[StoredEvent]) -> Result<Vec<Upcasted>> {
        let pages = events.iter().map(event_page).collect();
        let request = proto::UpcastRequest { domain: stream.domain.to_string(), events: pages };
        let answer = self
            .call((UPCASTER, "Upcast"), None, request, |channel, request| async move {
                let mut client = UpcasterServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                client.upcast(request).await
            })
            .await
            .map_err(|trouble| match trouble {
                Trouble::OutOfReach(reason) | Trouble::NotOffered(reason) => self.outage(reason),
                Trouble::Refused(status) => self.failed(&status),
            })?;
        self.in_place(stream, events, answer.events)
    }

    /// Each part at its event: they keep its sequence, its time and whatever else is the framework's.
    fn in_place(
        &self,
        stream: &StreamKey,
        events: &[StoredEvent],
        pages: Vec<proto::EventPage>,
    ) -> Result<Vec<Upcasted>> {
        let unreadable = |event: &StoredEvent, message: &str| Error::UnreadableEvent {
            stream: Box::new(stream.clone()),
            sequence: event.sequence,
            type_name: event.type_name.to_string(),
            message: format!("the upcaster `{}` at {} answered {message}", self.name(), self.address()),
            subject: Subject::default(),
        };
        let mut pages = pages.into_iter().peekable();
        let mut all = Vec::with_capacity(events.len());
        for event in events {
            let mut parts = Vec::new();
            let is_part = |page: &proto::EventPage| {
                page.header.as_ref().and_then(|header| header.explicit_sequence()) == Some(event.sequence)
            };
            while let Some(page) = pages.next_if(is_part) {
                let today = page.event().ok_or_else(|| unreadable(event, "an event without a payload"))?;
                parts.push(StoredEvent {
                    type_name: Name::new(proto::type_name_of(&today.type_url)),
                    payload: Bytes::copy_from_slice(&today.value),
                    schema_version: page.schema_version_or_one(),
                    ..event.clone()
                });
            }
            all.push(Upcasted::Changed(parts));
        }
        match (pages.next(), events.last()) {
            (Some(_), Some(last)) => {
                Err(unreadable(last, "an event that it was not asked for, or out of order; each keeps its sequence"))
            }
            _ => Ok(all),
        }
    }
}
