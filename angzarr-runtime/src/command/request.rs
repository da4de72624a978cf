//! The dynamic entry: a `CommandRequest` as any client sends it. Parse and validate, route, then the same pipeline.

use std::any::Any;
use std::borrow::Cow;

use angzarr_proto as proto;
use bytes::Bytes;
use proto::page_header::SequenceType;
use proto::{CommandPageExt as _, CoverExt as _, PageHeaderExt as _};
use smallvec::SmallVec;
use tracing::Span;
use uuid::Uuid;

use super::Because;
use super::pipeline::{Core, Decider, Decoded, Outcome, Page, Refusal, Submission};
use super::{Along, CascadeErrorMode, Provenance, Receipt, SyncMode, external_dedup};
use crate::declare::{AnyMessage, CommandContext, CommandHandlerDescriptor, EventSink, Location, MergeStrategy};
use crate::error::{About, Error, Result, Subject, nearest};
use crate::reaction::CascadeLink;
use crate::registry;
use crate::remote::Question;
use crate::storage::Dedup;
use crate::stream::limits::shorten;
use crate::stream::{Edition, Headers, Name, Nanos, StreamKey};
use crate::telemetry;

/// A command whose type is known by name.
struct Erased<E> {
    handler: &'static CommandHandlerDescriptor,
    command: AnyMessage,
    encode: E,
}

impl<E: Fn() -> prost_types::Any + Send + Sync> Decoded for Erased<E> {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        (self.handler.decide)(state, self.command.as_ref(), context, events).map_err(Refusal::Rejected)
    }
    fn encoded(&self) -> prost_types::Any {
        (self.encode)()
    }
}

/// A command for an aggregate in another process.
struct Elsewhere<E> {
    question: Question,
    location: Location,
    encode: E,
}

impl<E: Fn() -> prost_types::Any + Send + Sync> Decoded for Elsewhere<E> {
    fn decide(&self, _: &dyn Any, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        events.events.extend(self.question.take()?.events_or_rejection()?);
        Ok(())
    }
    fn encoded(&self) -> prost_types::Any {
        (self.encode)()
    }
    fn question(&self) -> Option<&Question> {
        Some(&self.question)
    }
}

/// A command, and who decides on it.
enum Work<E> {
    Here(Erased<E>),
    Elsewhere(Elsewhere<E>),
}

impl<E: Fn() -> prost_types::Any + Send + Sync> Work<E> {
    /// Finds who decides on a command, and reads it as far as anybody here can.
    fn find(
        aggregate: &registry::Aggregate,
        field: impl Into<Cow<'static, str>>,
        type_name: &str,
        payload: &[u8],
        page: impl FnOnce() -> proto::CommandPage,
        encode: E,
    ) -> Result<Self> {
        if let Some(remote) = &aggregate.remote {
            let location = aggregate.descriptor.location;
            return Ok(Self::Elsewhere(Elsewhere { question: remote.command(page()), location, encode }));
        }
        let handler = handler_of(aggregate, type_name)?;
        let command = (handler.command.decode)(payload).map_err(|error| undecodable(field, type_name, &error))?;
        Ok(Self::Here(Erased { handler, command, encode }))
    }

    fn decoded(&self) -> &dyn Decoded {
        match self {
            Self::Here(here) => here,
            Self::Elsewhere(elsewhere) => elsewhere,
        }
    }

    fn decider(&self) -> Decider {
        match self {
            Self::Here(here) => here.handler.into(),
            Self::Elsewhere(Elsewhere { location, .. }) => Decider::elsewhere(*location),
        }
    }
}

struct ParsedPage<E> {
    command: Work<E>,
    expected: Option<u32>,
    merge: MergeStrategy,
    sync: SyncMode,
    dedup: Option<Dedup>,
}

impl<E: Fn() -> prost_types::Any + Send + Sync> ParsedPage<E> {
    fn page(&self) -> Page<'_> {
        Page {
            decider: self.command.decider(),
            command: self.command.decoded(),
            expected: self.expected,
            merge: Some(self.merge),
            sync: self.sync,
        }
    }
}

/// A request that can be run.
struct Parsed<'r, E> {
    aggregate: &'r registry::Aggregate,
    key: StreamKey,
    edition: Edition,
    headers: Headers,
    dedup: Option<Dedup>,
    mode: CascadeErrorMode,
    /// At least one.
    pages: SmallVec<[ParsedPage<E>; 1]>,
}

impl<E: Fn() -> prost_types::Any + Send + Sync> Parsed<'_, E> {
    fn pages(&self) -> SmallVec<[Page<'_>; 1]> {
        self.pages.iter().map(ParsedPage::page).collect()
    }

    fn submission<'s>(&'s self, pages: &'s [Page<'s>], at: Option<Nanos>, span: Option<Span>) -> Submission<'s> {
        let Self { aggregate, key, edition, headers, dedup, .. } = self;
        let span = span
            .unwrap_or_else(|| telemetry::command_span(aggregate, key, headers, || pages[0].full_name(), pages.len()));
        let (key, headers, dedup) = (key.clone(), telemetry::traced(headers.clone(), &span), dedup.clone());
        Submission {
            aggregate,
            key,
            edition,
            headers,
            pages,
            dedup,
            at,
            along: None,
            link: None,
            for_open_process: false,
            because: None,
            span,
        }
    }
}

impl Core {
    /// Runs a `CommandRequest` (row C1). Its events are stored with the time `at`, if there is one, instead of now. `span` is
    /// what [`handle_now`](Self::handle_now) has begun.
    pub(crate) async fn handle_command(
        &self,
        request: &proto::CommandRequest,
        at: Option<Nanos>,
        span: Option<Span>,
    ) -> Result<Receipt> {
        let parsed = self.parse_or_tell(request)?;
        let pages = parsed.pages();
        self.submit(parsed.submission(&pages, at, span), parsed.mode).await
    }

    /// The same for what can be answered without waiting. Otherwise the span of the command, if it has one already.
    pub(crate) fn handle_now(&self, request: &proto::CommandRequest) -> Result<Result<Receipt>, Option<Span>> {
        if !self.storage.commits_now() {
            return Err(None);
        }
        let parsed = match self.parse_or_tell(request) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error)),
        };
        let pages = parsed.pages();
        let submission = parsed.submission(&pages, None, None);
        self.run_now(&submission).ok_or(Some(submission.span))
    }

    /// Lets something be done with a request that would be run; without the sequences that it expects, if it is told to.
    #[cfg(feature = "server")]
    pub(super) async fn with_parsed<T>(
        &self,
        request: &proto::CommandRequest,
        with_expected: bool,
        then: impl AsyncFnOnce(&Submission<'_>) -> Result<T>,
    ) -> Result<T> {
        let parsed = self.parse_or_tell(request)?;
        let mut pages = parsed.pages();
        if !with_expected {
            pages.iter_mut().for_each(|page| page.expected = None);
        }
        let submission = parsed.submission(&pages, None, Some(Span::none()));
        then(&submission).await
    }

    fn parse_or_tell<'r>(
        &'r self,
        request: &'r proto::CommandRequest,
    ) -> Result<Parsed<'r, impl Fn() -> prost_types::Any + Send + Sync + 'r>> {
        self.parse(request).map_err(|error| {
            let error = error.about(|| about_request(request));
            let cover = request.command.as_ref().and_then(|book| book.cover.as_ref());
            telemetry::refused_early(&error, cover.map_or("", |cover| &cover.correlation_id));
            error
        })
    }

    /// Parse and validate, route.
    fn parse<'r>(
        &'r self,
        request: &'r proto::CommandRequest,
    ) -> Result<Parsed<'r, impl Fn() -> prost_types::Any + Send + Sync + 'r>> {
        let book = request.command.as_ref().ok_or_else(|| missing("command", "a CommandBook"))?;
        let cover = book.cover.as_ref().ok_or_else(|| missing("command.cover", "a Cover"))?;
        let (aggregate, key, edition) = self.route(cover)?;
        let headers = self.headers(cover)?.with_divergences(edition.named_divergences());
        let default_sync = sync_mode(request.sync_mode, || "sync_mode".into())?;
        let mode = cascade_error_mode(request.cascade_error_mode)?;
        if book.pages.is_empty() {
            return Err(missing("command.pages", "at least one page"));
        }
        if book.pages.len() > self.limits.pages_per_book {
            return Err(Error::limit(
                "command.pages",
                book.pages.len(),
                self.limits.pages_per_book,
                "pages in one book",
            ));
        }
        let mut parsed = SmallVec::<[_; 1]>::with_capacity(book.pages.len());
        for (index, page) in book.pages.iter().enumerate() {
            let page_of = |error: Error| error.about(|| about_page(index, page));
            parsed.push(self.parse_page(aggregate, index, page, default_sync).map_err(page_of)?);
        }
        // Stored together, remembered together: a page with a key of its own, or without the one of the others, could not
        // be told apart later (row C10).
        let mut keys = parsed.iter().map(|page| &page.dedup);
        let dedup = keys.next().cloned().flatten();
        if let Some(other) = keys.position(|key| *key != dedup) {
            return Err(Error::invalid_argument(
                format!("command.pages[{}].header", other + 1),
                "the pages of a book are stored together: all of them carry the same external id or provenance, or none does; \
                 send one book each",
            ));
        }
        Ok(Parsed { aggregate, key, edition, headers, dedup, mode, pages: parsed })
    }

    /// The stream that a cover names, and its aggregate.
    pub(crate) fn route(&self, cover: &proto::Cover) -> Result<(&registry::Aggregate, StreamKey, Edition)> {
        self.limits.check_domain(&cover.domain)?;
        let aggregate =
            self.registry.aggregates.get(cover.domain.as_str()).ok_or_else(|| self.unknown_domain(&cover.domain))?;
        let (root, edition) = (self.root_of(cover)?, edition_of(cover));
        let key = self.key(aggregate, &edition, root)?;
        Ok((aggregate, key, edition))
    }

    /// The root that a cover names.
    pub(super) fn root_of(&self, cover: &proto::Cover) -> Result<Uuid> {
        if cover.root.is_none() {
            return Err(missing("cover.root", "a UUID of 16 bytes"));
        }
        cover.root_bytes().map(Uuid::from_bytes).ok_or_else(|| {
            let length = cover.root.as_ref().map_or(0, |root| root.value.len());
            Error::invalid_argument("cover.root", format!("a root has 16 bytes, this one has {length}"))
        })
    }

    pub(crate) fn headers(&self, cover: &proto::Cover) -> Result<Headers> {
        if !cover.correlation_id.is_empty() {
            self.limits.check_id("cover.correlation_id", &cover.correlation_id)?;
        }
        if let Some(ext) = &cover.ext {
            self.limits.check_ext(ext)?;
        }
        Ok(Headers::new(cover.correlation_id.as_str(), cover.ext.clone()))
    }

    fn parse_page<'r>(
        &self,
        aggregate: &registry::Aggregate,
        index: usize,
        page: &'r proto::CommandPage,
        default_sync: SyncMode,
    ) -> Result<ParsedPage<impl Fn() -> prost_types::Any + Send + Sync + 'r>> {
        let field = |name: &str| format!("command.pages[{index}].{name}");
        let command = match &page.payload {
            Some(proto::command_page::Payload::Command(command)) => command,
            Some(proto::command_page::Payload::External(_)) => {
                return Err(Error::not_offered("a command payload by reference", "send the payload itself"));
            }
            None => return Err(missing(field("command"), "the command as an Any")),
        };
        let type_name = proto::type_name_of(&command.type_url);
        self.limits.check_payload(|| field("command").into(), command.value.len())?;
        let work =
            Work::find(aggregate, field("command"), type_name, &command.value, || page.clone(), || command.clone())?;
        let merge = proto::MergeStrategy::try_from(page.merge_strategy).map_err(|_| {
            Error::invalid_argument(field("merge_strategy"), format!("{} is no MergeStrategy", page.merge_strategy))
        })?;
        let (mut expected, mut dedup, mut sync) = (page.sequence(), None, default_sync);
        if let Some(header) = &page.header {
            if let Some(mode) = header.sync_mode {
                sync = sync_mode(mode, || field("header.sync_mode").into())?;
            }
            if let Some(id) = header.external_id() {
                self.limits.check_id_of(|| field("header.external_deferred.external_id").into(), id)?;
                dedup = Some(external_dedup(id));
                expected = None;
            }
            if let Some(provenance) = header.provenance() {
                dedup = Some(self.provenance(provenance, field)?.dedup());
                expected = None;
            }
        }
        Ok(ParsedPage { command: work, expected, merge: merge.into(), sync, dedup })
    }

    /// Every text of it is checked: what follows on another in a dedup key must not be taken for a part of it.
    fn provenance(
        &self,
        deferred: &proto::AngzarrDeferredSequence,
        field: impl Fn(&str) -> String,
    ) -> Result<Provenance> {
        let part = |name: &str| Cow::from(field(&format!("header.angzarr_deferred.{name}")));
        let source = deferred.source.as_ref().ok_or_else(|| missing(part("source"), "the source's Cover"))?;
        self.limits.check_domain_of(|| part("source.domain"), &source.domain)?;
        let edition = Edition::named(source.edition_name().unwrap_or_default());
        self.limits.check_edition_of(|| part("source.edition.name"), edition.name())?;
        let root = source
            .root_bytes()
            .map(Uuid::from_bytes)
            .ok_or_else(|| missing(part("source.root"), "a UUID of 16 bytes"))?;
        self.limits.check_id_of(|| part("source_component"), &deferred.source_component)?;
        Ok(Provenance {
            source: StreamKey { domain: Name::new(&source.domain), edition: edition.name().clone(), root },
            source_seq: deferred.source_seq,
            component: Name::new(&deferred.source_component),
            command_index: deferred.command_index,
        })
    }

    /// No commands can be sent there.
    pub(crate) fn unknown_domain(&self, domain: &str) -> Error {
        let nearest = nearest(domain, self.registry.domains());
        Error::UnknownDomain { domain: domain.to_owned(), nearest, subject: Subject::default() }
    }

    /// There are no streams to read.
    pub(crate) fn unknown_stream_domain(&self, domain: &str) -> Error {
        let nearest = nearest(domain, self.registry.stream_domains());
        Error::UnknownDomain { domain: domain.to_owned(), nearest, subject: Subject::default() }
    }
}

fn handler_of(aggregate: &registry::Aggregate, type_name: &str) -> Result<&'static CommandHandlerDescriptor> {
    aggregate.handlers.get(type_name).copied().ok_or_else(|| Error::UnknownCommand {
        domain: aggregate.descriptor.domain.to_owned(),
        command: shorten(type_name),
        nearest: nearest(type_name, aggregate.handlers.keys().map(String::as_str)),
        subject: Subject::default(),
    })
}

fn undecodable(field: impl Into<Cow<'static, str>>, type_name: &str, error: &prost::DecodeError) -> Error {
    Error::invalid_argument(field, format!("the payload is not a `{type_name}`: {error}"))
}

fn missing(field: impl Into<Cow<'static, str>>, what: &str) -> Error {
    Error::invalid_argument(field, format!("missing; send {what}"))
}

pub(crate) fn sync_mode(value: i32, field: impl FnOnce() -> Cow<'static, str>) -> Result<SyncMode> {
    match proto::SyncMode::try_from(value) {
        Ok(proto::SyncMode::Async) => Ok(SyncMode::Async),
        Ok(proto::SyncMode::Simple) => Ok(SyncMode::Simple),
        Ok(proto::SyncMode::Decision) => Ok(SyncMode::Decision),
        Ok(proto::SyncMode::Isolated) => Ok(SyncMode::Isolated),
        Ok(proto::SyncMode::Cascade) => Ok(SyncMode::Cascade),
        Err(_) => Err(Error::invalid_argument(field(), format!("{value} is no SyncMode"))),
    }
}

pub(crate) fn cascade_error_mode(value: i32) -> Result<CascadeErrorMode> {
    match proto::CascadeErrorMode::try_from(value) {
        Ok(mode) => Ok(CascadeErrorMode::from_proto(mode)),
        Err(_) => Err(Error::invalid_argument("cascade_error_mode", format!("{value} is no CascadeErrorMode"))),
    }
}

/// A command of a reaction, whose target is known by name (row G1).
pub(crate) struct ReactionCommand<'a> {
    pub(crate) command: &'a crate::declare::AnyCommand,
    pub(crate) provenance: &'a Provenance,
    pub(crate) edition: &'a Edition,
    pub(crate) headers: Headers,
    pub(crate) along: Option<&'a dyn Along>,
    pub(crate) link: Option<&'a CascadeLink>,
    pub(crate) because: Option<Because<'a>>,
}

impl ReactionCommand<'_> {
    /// The command as the wire has it, with its provenance.
    pub(crate) fn book(&self) -> proto::CommandBook {
        let command = self.command;
        let key =
            StreamKey { domain: command.domain.clone(), edition: self.edition.name().clone(), root: command.root };
        let page = proto::CommandPage {
            header: Some(proto::PageHeader {
                sequence_type: Some(SequenceType::AngzarrDeferred(self.provenance.to_proto())),
                sync_mode: None,
            }),
            merge_strategy: 0,
            payload: Some(proto::command_page::Payload::Command(any_of(&command.type_name, &command.payload))),
        };
        let cover = cover_on(&key, self.edition, &self.headers);
        proto::CommandBook { cover: Some(cover), pages: vec![page] }
    }
}

/// A stream's cover, with the divergence points of its edition.
pub(crate) fn cover_on(key: &StreamKey, edition: &Edition, headers: &Headers) -> proto::Cover {
    let mut cover = super::answer::cover_of(key, headers.correlation_id(), headers.ext());
    if let Some(there) = &mut cover.edition {
        let divergence =
            |(domain, sequence): (&str, u32)| proto::DomainDivergence { domain: domain.to_owned(), sequence };
        there.divergences = edition.divergences().map(divergence).collect();
    }
    cover
}

/// The edition that a cover speaks of.
pub(crate) fn edition_of(cover: &proto::Cover) -> Edition {
    let mut edition = Edition::named(cover.edition_name().unwrap_or_default());
    if !edition.is_main() {
        for divergence in cover.edition.iter().flat_map(|edition| &edition.divergences) {
            edition = edition.diverge(&divergence.domain, divergence.sequence);
        }
    }
    edition
}

/// One thing that a state is to decide on.
pub(crate) struct Alone<'a> {
    pub(crate) aggregate: &'a registry::Aggregate,
    pub(crate) key: StreamKey,
    pub(crate) edition: &'a Edition,
    pub(crate) headers: Headers,
    pub(crate) decider: Decider,
    pub(crate) work: &'a dyn Decoded,
    pub(crate) dedup: Option<Dedup>,
    pub(crate) at: Option<Nanos>,
    pub(crate) along: Option<&'a dyn Along>,
    pub(crate) link: Option<&'a CascadeLink>,
    pub(crate) for_open_process: bool,
    pub(crate) because: Option<Because<'a>>,
}

impl<'a> Alone<'a> {
    /// The only page of its submission.
    pub(super) fn page(&self, sync: SyncMode) -> Page<'a> {
        Page { decider: self.decider, command: self.work, expected: None, merge: None, sync }
    }

    /// As the pipeline takes it.
    pub(super) fn submission<'s>(self, pages: &'s [Page<'s>], span: Span) -> Submission<'s>
    where
        'a: 's,
    {
        let Self { aggregate, key, edition, headers, dedup, at, along, link, for_open_process, because, .. } = self;
        let headers = headers.with_divergences(edition.named_divergences());
        Submission { aggregate, key, edition, headers, pages, dedup, at, along, link, for_open_process, because, span }
    }
}

/// A reaction's command that can be run.
struct Emitted<'c, E> {
    aggregate: &'c registry::Aggregate,
    key: StreamKey,
    work: Work<E>,
}

impl Core {
    /// Runs a command that a saga or process manager emitted: idempotent by its provenance, with the event's edition,
    /// correlation id and extension (rows G1, G2, I1, I3).
    pub(crate) async fn handle_reaction(&self, reaction: &ReactionCommand<'_>) -> Result<Outcome> {
        let command = reaction.command;
        let Emitted { aggregate, key, work } = self.parse_emitted(reaction).map_err(|error| {
            let error = error.about(|| About {
                domain: command.domain().to_owned(),
                root: Some(command.root),
                edition: reaction.edition.name().to_string(),
                ..About::command(command.type_name())
            });
            telemetry::refused_early(&error, reaction.headers.correlation_id());
            error
        })?;
        self.decide_alone(Alone {
            aggregate,
            key,
            edition: reaction.edition,
            headers: reaction.headers.clone(),
            decider: work.decider(),
            work: work.decoded(),
            dedup: Some(reaction.provenance.dedup()),
            at: command.at,
            along: reaction.along,
            link: reaction.link,
            for_open_process: false,
            because: reaction.because,
        })
        .await
    }

    /// Lets a state decide on one thing that the runtime brings to it, through the one pipeline.
    pub(crate) async fn decide_alone(&self, alone: Alone<'_>) -> Result<Outcome> {
        // For one that another process waits for nobody waits here.
        let is_waited_for = alone.link.is_some_and(CascadeLink::is_here);
        let pages = [alone.page(if is_waited_for { SyncMode::Cascade } else { SyncMode::Async })];
        let name = || pages[0].full_name();
        let span = telemetry::command_span(alone.aggregate, &alone.key, &alone.headers, name, 1);
        let headers = telemetry::traced(alone.headers, &span);
        let submission = Alone { headers, ..alone }.submission(&pages, span.clone());
        telemetry::within(span, async {
            let outcome = self.execute(&submission).await.map_err(|error| error.about(|| submission.about()));
            telemetry::done_or_refused(&outcome);
            outcome
        })
        .await
    }

    fn parse_emitted<'c>(
        &'c self,
        reaction: &'c ReactionCommand<'_>,
    ) -> Result<Emitted<'c, impl Fn() -> prost_types::Any + Send + Sync + 'c>> {
        let command = reaction.command;
        let aggregate =
            self.registry.aggregates.get(command.domain()).ok_or_else(|| self.unknown_domain(command.domain()))?;
        self.limits.check_payload(|| "command".into(), command.payload.len())?;
        let key = self.key(aggregate, reaction.edition, command.root)?;
        let page = || reaction.book().pages.swap_remove(0);
        let encode = || any_of(&command.type_name, &command.payload);
        let work = Work::find(aggregate, "command", command.type_name(), &command.payload, page, encode)?;
        Ok(Emitted { aggregate, key, work })
    }
}

/// What is known of a request that was refused before there was a submission.
fn about_request(request: &proto::CommandRequest) -> About {
    let Some(book) = &request.command else { return About::default() };
    let cover = book.cover.clone().unwrap_or_default();
    let edition = cover.edition_name().unwrap_or_default();
    let command_type = match book.pages.as_slice() {
        [page] => command_type(page),
        _ => String::new(),
    };
    About {
        root: cover.root_bytes().map(Uuid::from_bytes),
        edition: shorten(if edition == "angzarr" { "" } else { edition }),
        domain: shorten(&cover.domain),
        command_type,
        ..About::default()
    }
}

fn about_page(index: usize, page: &proto::CommandPage) -> About {
    let field = format!("command.pages[{index}]");
    About { field, ..About::command(command_type(page)) }
}

fn command_type(page: &proto::CommandPage) -> String {
    page.command().map(|command| shorten(proto::type_name_of(&command.type_url))).unwrap_or_default()
}

/// A payload as the wire has it.
pub(crate) fn any_of(type_name: &str, payload: &Bytes) -> prost_types::Any {
    prost_types::Any { type_url: proto::type_url_of(type_name), value: payload.to_vec() }
}
