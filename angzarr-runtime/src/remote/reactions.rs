//! Sagas and projectors in other languages (rows G, J).
//!
//! In: one event as it is today. Out: what the component sends, or its projection. Never: a target, edition or correlation id of
//! the component's own choice beside domain and root; those are the event's (rows B4, I1).

use angzarr_proto as proto;
use bytes::Bytes;
use proto::projector_service_client::ProjectorServiceClient;
use proto::saga_service_client::SagaServiceClient;
use proto::{CommandPageExt as _, CoverExt as _, EventPageExt as _, PageHeaderExt as _};
use uuid::Uuid;

use super::client::{ANSWER_BYTES, Client, PROJECTOR, SAGA, Trouble};
use crate::command::{Core, cover_on, event_page};
use crate::declare::{AnyCommand, AnyFact, Emission, ReactionError};
use crate::stream::{Edition, Name, StoredEvent, StreamKey};

impl Client {
    /// What a saga sends for one event.
    pub(crate) async fn react(
        &self,
        _: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
    ) -> Result<Vec<Emission>, ReactionError> {
        let source = Some(book(stream, std::slice::from_ref(event)));
        let request = proto::SagaHandleRequest { source, ..Default::default() };
        let answer = self
            .call((SAGA, "Handle"), event.headers.trace(), request, |channel, request| async move {
                let mut client = SagaServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                client.handle(request).await
            })
            .await
            .map_err(Trouble::of_reaction)?;
        self.emissions(answer.commands, answer.events)
    }

    /// What a projector makes of the parts of one event; a speculative projection leaves no trace.
    pub(crate) async fn project(
        &self,
        stream: &StreamKey,
        events: Vec<StoredEvent>,
        speculative: bool,
    ) -> Result<Option<prost_types::Any>, ReactionError> {
        if events.is_empty() {
            return Ok(None); // an upcaster has dropped it
        }
        let method = if speculative { "HandleSpeculative" } else { "Handle" };
        let trace = events.last().and_then(|event| event.headers.trace());
        let answer = self
            .call((PROJECTOR, method), trace, book(stream, &events), |channel, request| async move {
                let mut client = ProjectorServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                if speculative { client.handle_speculative(request).await } else { client.handle(request).await }
            })
            .await
            .map_err(Trouble::of_reaction)?;
        Ok(answer.projection.filter(|projection| !projection.type_url.is_empty()))
    }

    /// Commands and facts of an answer, in the order in which they are sent: commands first.
    pub(super) fn emissions(
        &self,
        commands: Vec<proto::CommandBook>,
        facts: Vec<proto::EventBook>,
    ) -> Result<Vec<Emission>, ReactionError> {
        let mut emissions = Vec::with_capacity(commands.len() + facts.len());
        for book in &commands {
            emissions.push(Emission::Command(self.command_of(book)?));
        }
        for book in &facts {
            let (domain, root) = self.target(book.cover.as_ref())?;
            for page in &book.pages {
                let fact = page.event().ok_or_else(|| self.unusable("a fact without a payload"))?;
                let type_name = proto::type_name_of(&fact.type_url);
                if type_name.starts_with("angzarr.") {
                    return Err(self.unusable(format!(
                        "the fact `{type_name}` for `{domain}`, which is the framework's own; a process manager schedules a timeout \
                         by one for itself, and nobody else can"
                    )));
                }
                emissions.push(Emission::Fact(AnyFact {
                    domain: domain.clone(),
                    root,
                    type_name: Name::new(proto::type_name_of(&fact.type_url)),
                    payload: Bytes::copy_from_slice(&fact.value),
                    external_id: page.header.as_ref().and_then(|it| it.external_id()).map(str::to_owned),
                }));
            }
        }
        Ok(emissions)
    }

    fn command_of(&self, book: &proto::CommandBook) -> Result<AnyCommand, ReactionError> {
        let (domain, root) = self.target(book.cover.as_ref())?;
        let [page] = book.pages.as_slice() else {
            // Each command of a reaction is known by an index of its own; a book would be one step with several.
            let pages = book.pages.len();
            return Err(self.unusable(format!("a book of {pages} commands for `{domain}`; a book has one")));
        };
        let command =
            page.command().ok_or_else(|| self.unusable(format!("a command for `{domain}` without a payload")))?;
        Ok(AnyCommand {
            domain,
            root,
            type_name: Name::new(proto::type_name_of(&command.type_url)),
            payload: Bytes::copy_from_slice(&command.value),
            at: None,
        })
    }

    fn target(&self, cover: Option<&proto::Cover>) -> Result<(Name, Uuid), ReactionError> {
        let cover = cover.ok_or_else(|| self.unusable("a book without a cover"))?;
        let root = cover.root_bytes().map(Uuid::from_bytes);
        let root = root.ok_or_else(|| self.unusable(format!("a book for `{}` without a root", cover.domain)))?;
        Ok((Name::new(&cover.domain), root))
    }
}

/// Events of one stream as a component gets them: the cover is that of the last one.
pub(super) fn book(stream: &StreamKey, events: &[StoredEvent]) -> proto::EventBook {
    let headers = events.last().map(|event| event.headers.clone()).unwrap_or_default();
    let edition = Edition::of(&stream.edition, headers.divergences());
    proto::EventBook {
        cover: Some(cover_on(stream, &edition, &headers)),
        snapshot: None,
        pages: events.iter().map(event_page).collect(),
        next_sequence: events.last().map_or(0, |event| event.sequence.saturating_add(1)),
    }
}
