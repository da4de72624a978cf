//! Components on events that a caller gives (rows G, P, J): run, or asked what they would do.
//!
//! In: a book of events of one stream. Out: what a saga, process manager or projector makes of them. Never: an effect of an event
//! that did not happen: what is of this store has to be in it, or what a component sends for it would pass for done later on
//! (row G2).

use angzarr_proto as proto;
use parking_lot::Mutex;
use proto::{CoverExt as _, EventPageExt as _, PageHeaderExt, TimestampExt};
use uuid::Uuid;

use super::emission::Sender;
use super::plan::{PART, Plan, Sent, Told, sent};
use super::process_manager::{ProcessWork, process_key};
use super::{CascadeLink, ComponentKind, Missing, ProcessManagerRunner, ProjectorRunner, SagaRunner, WaitResult};
use crate::command::{
    Alone, Because, CascadeErrorMode, Core, Loaded, Outcome, Projection, ReactionCommand, cover_on, decode_state,
    edition_of, event_page,
};
use crate::declare::{AnyFact, Emission};
use crate::error::{Error, Result};
use crate::registry::{Aggregate, ProcessManager};
use crate::storage::{StorageError, StorageErrorKind, StreamRead};
use crate::stream::{AsOf, Edition, Headers, Name, StoredEvent, StreamKey};

/// Events of one stream, as a caller gives them.
pub(crate) struct Given {
    pub(crate) stream: StreamKey,
    pub(crate) edition: Edition,
    pub(crate) events: Vec<StoredEvent>,
}

impl Core {
    /// What a caller gives, as it says it is. Pages without a sequence are counted.
    pub(crate) fn given(&self, book: Option<&proto::EventBook>, field: &'static str) -> Result<Given> {
        let missing =
            |name: &str, what: &str| Error::invalid_argument(format!("{field}{name}"), format!("missing; send {what}"));
        let book = book.ok_or_else(|| missing("", "an EventBook"))?;
        let cover = book.cover.as_ref().ok_or_else(|| missing(".cover", "a Cover"))?;
        self.limits.check_domain(&cover.domain)?;
        let root = cover.root_bytes().ok_or_else(|| missing(".cover.root", "a UUID of 16 bytes"))?;
        let edition = edition_of(cover);
        self.limits.check_edition(edition.name())?;
        edition.check_divergences()?;
        let headers = self.headers(cover)?.with_divergences(edition.named_divergences());
        if book.pages.len() > self.limits.pages_per_book {
            let (actual, limit) = (book.pages.len(), self.limits.pages_per_book);
            return Err(Error::limit(format!("{field}.pages"), actual, limit, "pages in one book"));
        }
        let stream = StreamKey {
            domain: Name::new(&cover.domain),
            edition: edition.name().clone(),
            root: Uuid::from_bytes(root),
        };
        let mut events = Vec::with_capacity(book.pages.len());
        let mut next = 0u32;
        for (index, page) in book.pages.iter().enumerate() {
            let event =
                page.event().ok_or_else(|| missing(&format!(".pages[{index}].event"), "the event as an Any"))?;
            self.limits.check_payload(|| format!("{field}.pages[{index}].event").into(), event.value.len())?;
            let sequence = page.header.as_ref().and_then(PageHeaderExt::explicit_sequence).unwrap_or(next);
            next = sequence.saturating_add(1);
            events.push(StoredEvent {
                position: 0,
                sequence,
                created_at: page.created_at.as_ref().map_or_else(|| self.now(), TimestampExt::to_unix_nanos_saturating),
                type_name: Name::new(proto::type_name_of(&event.type_url)),
                schema_version: page.schema_version_or_one(),
                payload: event.value.clone().into(),
                headers: headers.clone(),
                isolated: false,
            });
        }
        Ok(Given { stream, edition, events })
    }

    /// The same as it is stored. Of a stream that is not of this store nobody here can tell more.
    pub(crate) async fn as_stored(&self, given: Given, field: &'static str) -> Result<Given> {
        let (Some(first), Some(last)) =
            (given.events.iter().map(|it| it.sequence).min(), given.events.iter().map(|it| it.sequence).max())
        else {
            return Err(Error::invalid_argument(format!("{field}.pages"), "missing; send at least one event"));
        };
        if self.registry.state_of(&given.stream.domain).is_none() {
            return Ok(given);
        }
        let read = StreamRead { from: first, to: Some(last), ..StreamRead::all() };
        let slice = self.storage.read_stream(&given.stream, read).await?;
        let mut events = Vec::with_capacity(given.events.len());
        for (index, event) in given.events.iter().enumerate() {
            let stored = slice.events.iter().find(|stored| {
                !stored.isolated
                    && (stored.sequence, &stored.type_name, stored.schema_version, &stored.payload)
                        == (event.sequence, &event.type_name, event.schema_version, &event.payload)
            });
            let stored = stored.ok_or_else(|| {
                let message = format!(
                    "{} has no such event #{} that reactions may see; send events as they are stored, or record a fact",
                    given.stream, event.sequence
                );
                Error::invalid_argument(format!("{field}.pages[{index}]"), message)
            })?;
            events.push(stored.clone());
        }
        Ok(Given { events, ..given })
    }

    /// Runs a saga and delivers what it returns: each command once, whoever asks and how often (row G2). For a cascade the
    /// answer waits for everything that follows.
    pub(crate) async fn run_saga(
        &self,
        saga: &SagaRunner,
        given: &Given,
        cascade: Option<CascadeErrorMode>,
    ) -> Result<proto::SagaResponse> {
        let begun = cascade.map(|mode| self.begin_cascade(mode, None));
        let cascade = begun.as_ref().map(|begun| &begun.cascade);
        let mut response = proto::SagaResponse::default();
        for event in &given.events {
            let link = cascade
                .map(|cascade| CascadeLink::begin(cascade.clone()).next(saga.name, &given.stream, event.sequence));
            let sender = sender(saga, given, event, link.as_ref(), true);
            for (index, emission) in (0u32..).zip(saga.would_send(self, &given.stream, event).await?) {
                self.emit(&sender, index, &emission, None).await.map_err(held)?;
                self.tell(&mut response, &sender, index, &emission);
            }
        }
        if let Some(begun) = &begun {
            let next_sequence = given.events.last().map_or(0, |it| it.sequence.saturating_add(1));
            let events = given.events.iter().cloned().collect();
            let outcome = Outcome { events, next_sequence, duplicate: false, moot: false, waiting: None };
            self.end_cascade(&given.stream, outcome, begun).await?;
        }
        Ok(response)
    }

    /// What a saga would send, and nothing of it sent.
    pub(crate) async fn speculate_saga(&self, saga: &SagaRunner, given: &Given) -> Result<proto::SagaResponse> {
        let mut response = proto::SagaResponse::default();
        for event in &given.events {
            let sender = sender(saga, given, event, None, false);
            for (index, emission) in (0u32..).zip(saga.would_send(self, &given.stream, event).await?) {
                self.tell(&mut response, &sender, index, &emission);
            }
        }
        Ok(response)
    }

    fn tell(&self, response: &mut proto::SagaResponse, by: &Sender<'_>, index: u32, emission: &Emission) {
        match emission {
            Emission::Command(command) => {
                let (edition, headers) = (&by.edition, by.headers.clone());
                let provenance = &by.provenance(index);
                let reaction =
                    ReactionCommand { command, provenance, edition, headers, along: None, link: None, because: None };
                response.commands.push(reaction.book());
            }
            Emission::Fact(fact) => response.events.push(fact_book(by, index, fact)),
        }
    }

    /// Runs a process manager: what it decides is stored, and delivered then. What was done before for the same event is
    /// answered and not done again (row P3).
    pub(crate) async fn run_process(
        &self,
        process: &ProcessManagerRunner,
        given: &Given,
        cascade: Option<CascadeErrorMode>,
    ) -> Result<proto::ProcessManagerHandleResponse> {
        one_workflow(given)?;
        let begun = cascade.map(|mode| self.begin_cascade(mode, None));
        let cascade = begun.as_ref().map(|begun| &begun.cascade);
        let told = Mutex::new(Told::default());
        for event in &given.events {
            let link = cascade
                .map(|cascade| CascadeLink::begin(cascade.clone()).next(process.name, &given.stream, event.sequence));
            process.run_given(self, &given.stream, event.clone(), link.as_ref(), &told).await?;
        }
        if let Some(begun) = &begun {
            let next_sequence = given.events.last().map_or(0, |it| it.sequence.saturating_add(1));
            let events = given.events.iter().cloned().collect();
            let outcome = Outcome { events, next_sequence, duplicate: false, moot: false, waiting: None };
            self.end_cascade(&given.stream, outcome, begun).await?;
        }
        let Told { events, intents } = told.into_inner();
        let (key, headers) = self.process_of(process.name, given);
        Ok(answer(&key, &given.edition, &headers, &events, intents.iter().filter_map(sent)))
    }

    /// What a process manager would decide, on the state that is given or on that which is stored.
    pub(crate) async fn speculate_process(
        &self,
        process: &ProcessManager,
        given: &Given,
        state: Option<&proto::EventBook>,
    ) -> Result<proto::ProcessManagerHandleResponse> {
        one_workflow(given)?;
        let name = process.descriptor.state.domain;
        let (key, headers) = self.process_of(name, given);
        let mut loaded = match state {
            Some(state) => self.folded(&process.state, &key, state)?,
            None => self.load(&process.state, &key, &given.edition, AsOf::Head).await?,
        };
        let (mut events, mut planned) = (Vec::new(), Vec::new());
        for stored in &given.events {
            let upcast = self.today(&given.stream, stored.clone()).await?;
            for (event, part) in upcast.into_iter().zip(0u32..) {
                let Some((trigger, decider)) = process.woken_by(&given.stream, &event) else { continue };
                if event.headers.correlation_id().is_empty() {
                    continue; // row P2
                }
                let work = ProcessWork { core: self, trigger, key: &key, headers: &headers, name };
                let source = Some((&given.stream, event.sequence, part * PART));
                let plan = Plan { source, decided: Some(Mutex::default()), ..Plan::of(name) };
                let alone = Alone {
                    aggregate: &process.state,
                    key: key.clone(),
                    edition: &given.edition,
                    headers: headers.clone(),
                    decider,
                    work: &work,
                    dedup: None,
                    at: None,
                    along: Some(&plan),
                    link: None,
                    for_open_process: true,
                    because: None,
                };
                events.extend(self.would_decide(alone, &mut loaded).await?);
                planned.extend(plan.planned.into_inner().into_iter().filter_map(|(intent, _)| sent(&intent)));
            }
        }
        Ok(answer(&key, &given.edition, &headers, &events, planned))
    }

    /// The process that events are for.
    fn process_of(&self, name: &'static str, given: &Given) -> (StreamKey, Headers) {
        let headers = given.events.first().map(|event| event.headers.clone()).unwrap_or_default();
        (process_key(name, given.edition.name(), headers.correlation_id()), headers)
    }

    /// The state that a caller gives: what its book folds into.
    fn folded(&self, owner: &Aggregate, key: &StreamKey, book: &proto::EventBook) -> Result<Loaded> {
        let mut loaded = Loaded::new(owner);
        if let Some(snapshot) = &book.snapshot {
            let state = snapshot.state.as_ref().map(|state| state.value.as_slice()).unwrap_or_default();
            let policy = owner.descriptor.snapshot.as_ref();
            let decoded = policy.map_or_else(
                || Err("this state has no snapshots; send its events".to_owned()),
                |policy| decode_state(&policy.codec, state),
            );
            loaded.state = decoded.map_err(|error| Error::invalid_argument("process_state.snapshot", error))?;
            loaded.next_sequence = snapshot.sequence.saturating_add(1);
        }
        // Its cover is that of the process, whatever the caller calls it.
        let cover = Some(crate::command::cover_of(key, "", None));
        let pages = book.pages.clone();
        let given = self.given(Some(&proto::EventBook { cover, pages, ..Default::default() }), "process_state")?;
        for event in given.events {
            loaded.next_sequence = loaded.next_sequence.max(event.sequence.saturating_add(1));
            loaded.last_created_at = loaded.last_created_at.max(event.created_at);
            loaded.complete |= event.type_name == crate::command::COMPLETED;
            self.registry.apply_stored(owner, key, &mut loaded.state, event)?;
        }
        Ok(loaded)
    }

    /// Waits until a projector has handled these very events (row S9): its last projection of them, if it had not been at them
    /// before, and the events that it has not handled.
    pub(crate) async fn await_projection(
        &self,
        projector: &str,
        given: &Given,
    ) -> Result<(Option<Projection>, Vec<Missing>)> {
        let mut waited = WaitResult::default();
        if let Some(waiting) = self.waits.expect_given(self, &given.stream, &given.events, projector) {
            waited = self.waits.wait(waiting, self.sync_deadline).await;
        }
        let waited = self.without_parked(&given.stream, &given.events, waited).await;
        Ok((waited.projections.into_iter().next_back(), waited.missing))
    }

    /// What a projector would make of events: rows and all, and everything undone again. Its handlers run as in a rebuild, so
    /// that nothing goes out that cannot be taken back (row J6).
    pub(crate) async fn speculate_projection(
        &self,
        projector: &ProjectorRunner,
        given: &Given,
    ) -> Result<Option<Projection>> {
        projector.speculate(self, &given.stream, &given.events).await
    }
}

fn sender<'a>(
    saga: &SagaRunner,
    given: &'a Given,
    event: &StoredEvent,
    link: Option<&'a CascadeLink>,
    in_doubt: bool,
) -> Sender<'a> {
    Sender {
        kind: ComponentKind::Saga,
        component: Name::from_static(saga.name),
        source: &given.stream,
        source_seq: event.sequence,
        edition: Edition::of(&given.stream.edition, event.headers.divergences()),
        headers: event.headers.clone().with_wait(link.and_then(CascadeLink::mark)),
        link,
        in_doubt,
        // One that is of another store may be gone or not: nobody here can tell.
        intent: None,
        because: (event.position > 0).then_some(Because {
            stream: &given.stream,
            sequence: event.sequence,
            position: event.position,
        }),
    }
}

/// A fact as the wire has it.
fn fact_book(by: &Sender<'_>, index: u32, fact: &AnyFact) -> proto::EventBook {
    let key = StreamKey { domain: Name::new(fact.domain()), edition: by.edition.name().clone(), root: fact.root };
    let external_id = fact.external_id.clone().unwrap_or_else(|| by.provenance(index).external_id());
    let event = crate::command::any_of(fact.type_name(), &fact.payload);
    super::plan::fact_book(cover_on(&key, &by.edition, &by.headers), event, external_id)
}

fn answer(
    key: &StreamKey,
    edition: &Edition,
    headers: &Headers,
    events: &[StoredEvent],
    sent: impl IntoIterator<Item = Sent>,
) -> proto::ProcessManagerHandleResponse {
    let mut response = proto::ProcessManagerHandleResponse::default();
    if let Some(last) = events.last() {
        response.process_events = Some(proto::EventBook {
            cover: Some(cover_on(key, edition, headers)),
            snapshot: None,
            pages: events.iter().map(event_page).collect(),
            next_sequence: last.sequence.saturating_add(1),
        });
    }
    for sent in sent {
        match sent {
            Sent::Command(book) => response.commands.push(book),
            Sent::Fact(book) => response.facts.push(book),
        }
    }
    response
}

/// An answer has room for one process.
fn one_workflow(given: &Given) -> Result<()> {
    let mut ids = given.events.iter().map(|event| event.headers.correlation_id());
    let first = ids.next().unwrap_or_default();
    if ids.all(|id| id == first) {
        return Ok(());
    }
    let message = "events of several workflows; send a book for each";
    Err(Error::invalid_argument("trigger.pages", message))
}

/// It waits for something that passes.
fn held(reason: String) -> Error {
    StorageError::new(StorageErrorKind::Unavailable, "reaction", reason).into()
}
