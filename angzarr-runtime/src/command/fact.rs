//! Facts: things that happened outside and cannot be rejected (rows F, G6).
//!
//! In: a fact for a stream. Out: it, or what a `#[fact]` makes of it, at the head of the stream; once for each external id.
//! Never: a refusal of the domain's; only what cannot be read or has no place is told.

use std::any::Any;
use std::future::IntoFuture;
use std::marker::PhantomData;

use angzarr_proto as proto;
use bytes::Bytes;
use proto::{EventPageExt as _, PageHeaderExt as _};
use uuid::Uuid;

use super::external_dedup;
use super::pipeline::{Along, Core, Decided, Decider, Decoded, Page, Refusal, Submission};
use super::{CascadeErrorMode, InProcess, Receipt, SyncMode, any_of, detached};
use crate::declare::{Aggregate, CommandContext, EmittedEvent, EventSink, FactDescriptor, Location, Message};
use crate::error::{About, Error, Result, Subject, nearest};
use crate::registry;
use crate::remote::Question;
use crate::storage::{BoxFuture, Dedup, Extras};
use crate::stream::{Edition, Headers, Name};
use crate::telemetry;

/// A fact on its way. Await it.
#[must_use = "a fact is not recorded until it is awaited"]
pub struct RecordFact<A, E, To = InProcess> {
    pub(crate) to: To,
    pub(crate) root: Uuid,
    pub(crate) fact: E,
    pub(crate) external_id: Option<String>,
    pub(crate) edition: Edition,
    pub(crate) correlation_id: Option<String>,
    pub(crate) ext: Option<prost_types::Any>,
    pub(crate) sync: SyncMode,
    mode: CascadeErrorMode,
    pub(crate) to_handler: bool,
    aggregate: PhantomData<fn() -> A>,
}

impl<A, E, To> RecordFact<A, E, To> {
    pub(crate) fn new(to: To, root: Uuid, fact: E) -> Self {
        Self {
            to,
            root,
            fact,
            external_id: None,
            edition: Edition::main(),
            correlation_id: None,
            ext: None,
            sync: SyncMode::Async,
            mode: CascadeErrorMode::default(),
            to_handler: true,
            aggregate: PhantomData,
        }
    }

    /// The id by which the fact is known outside. A second fact with it stores nothing: the answer has the first one's events
    /// (row F2). Without one the fact is recorded as often as it is told.
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// Leaves the `#[fact]` method out: the fact itself is appended (row F1). It needs an `#[apply]` then.
    pub fn as_it_is(mut self) -> Self {
        self.to_handler = false;
        self
    }

    /// The workflow that the fact belongs to (row I1).
    pub fn correlation(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// An opaque extension that every event of the fact carries (row I3).
    pub fn ext(mut self, ext: prost_types::Any) -> Self {
        self.ext = Some(ext);
        self
    }

    /// The timeline (rows B).
    pub fn edition(mut self, edition: impl Into<Edition>) -> Self {
        self.edition = edition.into();
        self
    }

    /// When the answer comes (rows S).
    pub fn sync(mut self, mode: SyncMode) -> Self {
        self.sync = mode;
        self
    }
}

impl<A: Aggregate, E: Message> RecordFact<A, E> {
    /// For a CASCADE: what becomes of it when a reaction fails (rows E). In process only: an `EventRequest` does not say it.
    pub fn cascade_error_mode(mut self, mode: CascadeErrorMode) -> Self {
        self.mode = mode;
        self
    }

    async fn run(self) -> Result<Receipt> {
        let core = &*self.to.core;
        let aggregate = core.aggregate_of::<A>()?;
        if let Some(id) = &self.correlation_id {
            core.limits.check_id("correlation_id", id)?;
        }
        if let Some(ext) = &self.ext {
            core.limits.check_ext(ext)?;
        }
        let headers = Headers::new(self.correlation_id.as_deref().unwrap_or_default(), self.ext.clone());
        let dedup = match &self.external_id {
            Some(id) => {
                core.limits.check_id("external_id", id)?;
                Some(external_dedup(id))
            }
            None => None,
        };
        let (type_name, payload) = (E::full_name(), Bytes::from(self.fact.encode_to_vec()));
        core.limits.check_payload(|| "fact".into(), payload.len())?;
        let fact = FactWork::find(aggregate, &type_name, payload, self.to_handler)?;
        let key = core.key(aggregate, &self.edition, self.root)?;
        core.record(aggregate, key, &self.edition, headers, &[(fact, self.sync)], dedup, self.mode).await
    }
}

impl<A: Aggregate, E: Message> IntoFuture for RecordFact<A, E> {
    type Output = Result<Receipt>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let about = About {
            domain: A::DOMAIN.to_owned(),
            root: Some(self.root),
            edition: crate::stream::limits::shorten(self.edition.name()),
            ..About::command(E::full_name())
        };
        Box::pin(async move { detached(self.run()).await.map_err(|error| error.about(|| about)) })
    }
}

/// A fact that has a place in its aggregate.
pub(crate) struct FactWork {
    type_name: Name,
    payload: Bytes,
    handler: Option<&'static FactDescriptor>,
    /// How the fact itself is applied, where it can be.
    apply: Option<crate::declare::ApplyFn>,
    location: Location,
    /// For an aggregate in another process: what it makes of the fact.
    question: Option<Question>,
    is_elsewhere: bool,
}

impl FactWork {
    /// Whether the aggregate can take it, and how.
    pub(crate) fn find(
        aggregate: &registry::Aggregate,
        type_name: &str,
        payload: Bytes,
        to_handler: bool,
    ) -> Result<Self> {
        if let Some(remote) = &aggregate.remote {
            let question = to_handler.then(|| remote.fact(type_name, &payload));
            let (type_name, location) = (Name::new(type_name), aggregate.descriptor.location);
            // Nobody here has a state of it.
            let apply: Option<crate::declare::ApplyFn> = Some(|_, _| Ok(()));
            return Ok(Self { type_name, payload, handler: None, apply, location, question, is_elsewhere: true });
        }
        let handler = aggregate.facts.get(type_name).copied().filter(|_| to_handler);
        let apply = aggregate.appliers.get(type_name).copied();
        let location = handler.map(|it| it.location).or(apply.map(|it| it.location));
        let Some(location) = location else {
            let known =
                aggregate.facts.keys().map(String::as_str).chain(aggregate.appliers.keys().map(|it| it.as_str()));
            return Err(Error::UnknownFact {
                domain: aggregate.descriptor.domain.to_owned(),
                fact: crate::stream::limits::shorten(type_name),
                nearest: nearest(type_name, known),
                subject: Subject::default(),
            });
        };
        let readable = match (handler, apply) {
            (Some(handler), _) => (handler.fact.decode)(&payload).map(drop),
            (None, Some(apply)) => (apply.event.decode)(&payload).map(drop),
            (None, None) => Ok(()),
        };
        readable
            .map_err(|error| Error::invalid_argument("fact", format!("the payload is not a `{type_name}`: {error}")))?;
        let apply = apply.map(|apply| apply.apply);
        let type_name = Name::new(type_name);
        Ok(Self { type_name, payload, handler, apply, location, question: None, is_elsewhere: false })
    }

    pub(crate) fn decider(&self) -> Decider {
        if self.is_elsewhere {
            return Decider::elsewhere(self.location);
        }
        Decider {
            method: self.handler.map_or("fact", |it| it.method),
            location: self.location,
            merge: None,
            full_name: self.handler.map_or(|| "fact".to_owned(), |it| it.fact.full_name),
        }
    }
}

impl Decoded for FactWork {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        let before = events.events.len();
        if let Some(question) = &self.question {
            events.events.extend(question.take()?.events);
        }
        if let Some(handler) = self.handler {
            (handler.run)(state, &self.payload, context, events)
                .map_err(|error| Refusal::Error(Error::invalid_argument("fact", error.to_string())))?;
        }
        // It has happened: one that the method makes nothing of is recorded as it is, where the state knows it.
        if events.events.len() == before
            && let Some(apply) = self.apply
        {
            let (type_name, payload) = (self.type_name.clone(), self.payload.clone());
            events.events.push(EmittedEvent { type_name, payload, apply, schema_version: 0 });
        }
        Ok(())
    }

    fn encoded(&self) -> prost_types::Any {
        any_of(&self.type_name, &self.payload)
    }

    fn question(&self) -> Option<&Question> {
        self.question.as_ref()
    }
}

/// An id alone is worth remembering: a fact that leaves no event is not told again.
struct Nothing;

impl Along for Nothing {
    fn extras(&self, _: &Core, _: &Decided<'_>) -> Result<Extras, Refusal> {
        Ok(Extras::default())
    }
}

impl Core {
    /// Records facts of one stream together (row F1).
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn record(
        &self,
        aggregate: &registry::Aggregate,
        key: crate::stream::StreamKey,
        edition: &Edition,
        headers: Headers,
        facts: &[(FactWork, SyncMode)],
        dedup: Option<Dedup>,
        mode: CascadeErrorMode,
    ) -> Result<Receipt> {
        let pages: Vec<Page<'_>> = facts
            .iter()
            .map(|(fact, sync)| Page {
                decider: fact.decider(),
                command: fact,
                expected: None,
                merge: None,
                sync: *sync,
            })
            .collect();
        let Some(first) = pages.first() else {
            return Err(Error::invalid_argument("events.pages", "missing; a fact is at least one page"));
        };
        let span = telemetry::command_span(aggregate, &key, &headers, first.decider.full_name, pages.len());
        let headers = telemetry::traced(headers, &span).with_divergences(edition.named_divergences());
        let submission = Submission {
            aggregate,
            key,
            edition,
            headers,
            pages: &pages,
            dedup,
            at: None,
            along: Some(&Nothing),
            link: None,
            for_open_process: false,
            because: None,
            span,
        };
        self.submit(submission, mode).await
    }

    /// Records an `EventRequest` (rows F): the facts of one stream, as any client sends them.
    pub(crate) async fn handle_event(&self, request: &proto::EventRequest) -> Result<Receipt> {
        let missing = |field: &'static str, what: &str| Error::invalid_argument(field, format!("missing; send {what}"));
        let book = request.events.as_ref().ok_or_else(|| missing("events", "an EventBook"))?;
        let cover = book.cover.as_ref().ok_or_else(|| missing("events.cover", "a Cover"))?;
        let (aggregate, key, edition) = self.route(cover)?;
        let headers = self.headers(cover)?;
        let default_sync = super::request::sync_mode(request.sync_mode, || "sync_mode".into())?;
        if book.pages.len() > self.limits.pages_per_book {
            return Err(Error::limit(
                "events.pages",
                book.pages.len(),
                self.limits.pages_per_book,
                "pages in one book",
            ));
        }
        let mut facts = Vec::with_capacity(book.pages.len());
        let mut dedup: Option<Option<Dedup>> = None;
        for (index, page) in book.pages.iter().enumerate() {
            let field = |name: &str| format!("events.pages[{index}].{name}");
            let fact = page
                .event()
                .ok_or_else(|| Error::invalid_argument(field("event"), "missing; send the fact as an Any"))?;
            self.limits.check_payload(|| field("event").into(), fact.value.len())?;
            let type_name = proto::type_name_of(&fact.type_url);
            let work = FactWork::find(aggregate, type_name, fact.value.clone().into(), request.route_to_handler)?;
            let mut sync = default_sync;
            let mut key = None;
            if let Some(header) = &page.header {
                if let Some(mode) = header.sync_mode {
                    sync = super::request::sync_mode(mode, || field("header.sync_mode").into())?;
                }
                if let Some(id) = header.external_id() {
                    self.limits.check_id_of(|| field("header.external_deferred.external_id").into(), id)?;
                    key = Some(external_dedup(id));
                }
            }
            if *dedup.get_or_insert_with(|| key.clone()) != key {
                let what = "the facts of a book are stored together: all of them carry the same external id, or none does; \
                            send one book each";
                return Err(Error::invalid_argument(field("header"), what));
            }
            facts.push((work, sync));
        }
        self.record(aggregate, key, &edition, headers, &facts, dedup.flatten(), CascadeErrorMode::default()).await
    }
}
