//! `EventQueryService`: what is stored, for whoever asks.
//!
//! In: queries. Out: books; one that is large or many comes piece by piece. Never: more of a stream in memory than a piece.

use std::collections::VecDeque;

use angzarr_proto as proto;
use futures_util::stream::{self, TryStreamExt as _};
use prost::Message as _;
use proto::CoverExt as _;
use proto::event_query_service_server::EventQueryService;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status, Streaming};

use super::answers::{Answers, BOOK_BYTES, BOOK_PAGES, answers, in_portions};
use super::calls::{Calls, Failure, Late, taken};
use super::commands::about;
use super::status::Trouble;
use crate::Runtime;
use crate::command::{Form, Selection, cover_of, is_on_timeline};
use crate::error::{Error, Result};
use crate::storage::{StreamFilter, StreamRead};
use crate::stream::{AsOf, Edition, Nanos, StreamKey};

pub(super) struct Queries {
    pub(super) runtime: Runtime,
    pub(super) calls: Calls,
}

/// Metadata by which a caller asks for events as they are today: `angzarr-upcast: true` (row U1).
pub(super) const UPCAST: &str = "angzarr-upcast";
/// Metadata of an answer with a snapshot: the version of its state's shape (row N4).
pub(super) const STATE_VERSION: &str = "angzarr-state-version";

pub(super) fn form_of(metadata: &MetadataMap) -> Form {
    let asked = metadata.get(UPCAST).and_then(|value| value.to_str().ok());
    if asked.is_some_and(|asked| asked.eq_ignore_ascii_case("true") || asked == "1") {
        Form::Today
    } else {
        Form::Stored
    }
}

/// Streams are listed in portions of this many.
const LIST: usize = 1_000;
/// The first look into a stream; how large its events are is known from then on.
const FIRST_LOOK: u32 = 16;

#[tonic::async_trait]
impl EventQueryService for Queries {
    async fn get_event_book(&self, request: Request<proto::Query>) -> Result<Response<proto::EventBook>, Status> {
        let (caller, query) = taken(request);
        let (form, runtime, limit) = (form_of(&caller.metadata), self.runtime.clone(), self.calls.bounds.answer_bytes);
        let about = about(query.cover.as_ref());
        let work = async move {
            let book = one_book(&runtime, &query, form, limit).await?;
            let domain = book.cover.as_ref().filter(|_| book.snapshot.is_some()).map(|cover| cover.domain.as_str());
            let owner = domain.map(|domain| runtime.core().owner_of(domain)).transpose()?;
            Ok((owner.map(|owner| owner.descriptor.state_version), book))
        };
        let (metadata, (version, book), extensions) =
            self.calls.run(caller, Late::Question, about, work).await?.into_parts();
        let mut answer = Response::from_parts(metadata, book, extensions);
        if let Some(version) = version {
            answer.metadata_mut().insert(STATE_VERSION, MetadataValue::from(version));
        }
        Ok(answer)
    }

    type GetEventsStream = Answers<proto::EventBook>;

    async fn get_events(&self, request: Request<proto::Query>) -> Result<Response<Self::GetEventsStream>, Status> {
        let (caller, query) = taken(request);
        let deadline = self.calls.stream_deadline(&caller);
        let books =
            self.books(&query, form_of(&caller.metadata)).await.map_err(|failure| self.calls.status(failure))?;
        Ok(Response::new(answers(deadline, books)))
    }

    type SynchronizeStream = Answers<proto::EventBook>;

    async fn synchronize(
        &self,
        request: Request<Streaming<proto::Query>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        let (caller, queries) = taken(request);
        let (deadline, form) = (self.calls.stream_deadline(&caller), form_of(&caller.metadata));
        let here = Self { runtime: self.runtime.clone(), calls: self.calls.clone() };
        let state = (here, queries, None::<Answers<proto::EventBook>>);
        let books = stream::try_unfold(state, move |(here, mut queries, mut answering)| async move {
            loop {
                if let Some(books) = &mut answering
                    && let Some(book) = books.try_next().await?
                {
                    return Ok(Some((book, (here, queries, answering))));
                }
                let query = queries.message().await.map_err(|status| super::completed(&status).unwrap_or(status))?;
                let Some(query) = query else { return Ok(None) };
                answering = Some(here.books(&query, form).await.map_err(|failure| here.calls.status(failure))?);
            }
        });
        Ok(Response::new(answers(deadline, books)))
    }

    type GetAggregateRootsStream = Answers<proto::AggregateRoot>;

    async fn get_aggregate_roots(
        &self,
        request: Request<()>,
    ) -> Result<Response<Self::GetAggregateRootsStream>, Status> {
        let (caller, ()) = taken(request);
        let deadline = self.calls.stream_deadline(&caller);
        let list = Listing::new(
            self.runtime.clone(),
            StreamFilter { edition: Some(String::new()), ..StreamFilter::default() },
        );
        let calls = self.calls.clone();
        let roots = stream::try_unfold((list, calls), |(mut list, calls)| async move {
            let next = list.next().await.map_err(|error| calls.status(error))?;
            let root = |key: StreamKey| proto::AggregateRoot {
                domain: key.domain.to_string(),
                root: Some(key.root.into_bytes().into()),
            };
            Ok(next.map(|key| (root(key), (list, calls))))
        });
        Ok(Response::new(answers(deadline, roots)))
    }
}

/// One stream, in one book.
async fn one_book(
    runtime: &Runtime,
    query: &proto::Query,
    form: Form,
    limit: usize,
) -> Result<proto::EventBook, Failure> {
    let core = runtime.core();
    let cover = query.cover.as_ref().ok_or_else(|| Error::invalid_argument("cover", "missing; send a Cover"))?;
    if cover.domain.is_empty() && !cover.correlation_id.is_empty() {
        let message = "missing; a workflow may have many books: ask for them by GetEvents";
        return Err(Error::invalid_argument("cover.domain", message).into());
    }
    let selection = Selection::of(query)?;
    let (owner, key, edition) = core.route_question(cover)?;
    let book = match &selection {
        Selection::Whole => core.book_as_of(owner, &key, &edition, AsOf::Head, form).await?,
        Selection::AsOf(point) => core.book_as_of(owner, &key, &edition, *point, form).await?,
        selection => {
            let mut reading = Reading::new(runtime.clone(), key, edition, selection, form);
            let mut whole: Option<proto::EventBook> = None;
            let mut bytes = 0;
            while let Some(book) = reading.next().await? {
                bytes += book.encoded_len();
                if bytes > limit {
                    return Err(too_large(bytes, limit).into());
                }
                match &mut whole {
                    Some(whole) => whole.pages.extend(book.pages),
                    None => whole = Some(book),
                }
            }
            match whole {
                Some(book) => book,
                None => reading.empty().await?,
            }
        }
    };
    let bytes = book.encoded_len();
    if bytes > limit { Err(too_large(bytes, limit).into()) } else { Ok(book) }
}

fn too_large(bytes: usize, limit: usize) -> Trouble {
    let message = format!(
        "the book has more than {limit} bytes, which is what one answer may have; ask for a range, or by GetEvents"
    );
    Trouble::new(Code::ResourceExhausted, "ANSWER_TOO_LARGE", message)
        .fact("actual", bytes.to_string())
        .fact("limit", limit.to_string())
}

impl Queries {
    /// Every book that a query is for.
    async fn books(&self, query: &proto::Query, form: Form) -> Result<Answers<proto::EventBook>, Failure> {
        let core = self.runtime.core();
        let cover = query.cover.as_ref().ok_or_else(|| Error::invalid_argument("cover", "missing; send a Cover"))?;
        let selection = Selection::of(query)?;
        if cover.root.is_some() {
            let (_, key, edition) = core.route_question(cover)?;
            let mut reading = Reading::new(self.runtime.clone(), key, edition, &selection, form);
            // What is wrong with the query is told before the stream begins.
            let first = match reading.next().await? {
                Some(book) => book,
                None => reading.empty().await?,
            };
            return Ok(Box::pin(self.going_on(first, reading)));
        }
        if !cover.correlation_id.is_empty() {
            if !cover.domain.is_empty() {
                core.owner_of(&cover.domain)?;
            }
            if selection != Selection::Whole {
                let message = "a selection is for one stream: send the stream's root as well";
                return Err(Error::invalid_argument("selection", message).into());
            }
            let mut books = core.books_of_correlation(&cover.correlation_id, form).await?;
            books.retain(|book| {
                let is_of = |it: &proto::Cover| cover.domain.is_empty() || it.domain == cover.domain;
                is_on_timeline(book, cover) && book.cover.as_ref().is_some_and(is_of)
            });
            let books: VecDeque<_> = books.into_iter().flat_map(in_portions).map(Ok).collect();
            return Ok(Box::pin(stream::iter(books)));
        }
        if cover.domain.is_empty() {
            let message = "missing; send a domain and a root, a domain, or a correlation id";
            return Err(Error::invalid_argument("cover.domain", message).into());
        }
        core.owner_of(&cover.domain)?;
        let edition = Edition::named(cover.edition_name().unwrap_or_default());
        core.limits.check_edition(edition.name())?;
        let filter = StreamFilter {
            domain: Some(cover.domain.clone()),
            edition: Some(edition.name().to_string()),
            ..StreamFilter::default()
        };
        let list = Listing::new(self.runtime.clone(), filter);
        let calls = self.calls.clone();
        let state = (list, None::<Reading>, selection, edition, calls);
        Ok(Box::pin(stream::try_unfold(state, move |(mut list, mut reading, selection, edition, calls)| async move {
            loop {
                if let Some(stream) = &mut reading
                    && let Some(book) = stream.next().await.map_err(|error| calls.status(error))?
                {
                    return Ok(Some((book, (list, reading, selection, edition, calls))));
                }
                let Some(key) = list.next().await.map_err(|error| calls.status(error))? else { return Ok(None) };
                reading = Some(Reading::new(list.runtime.clone(), key, edition.clone(), &selection, form));
            }
        })))
    }

    fn going_on(
        &self,
        first: proto::EventBook,
        reading: Reading,
    ) -> impl futures_util::Stream<Item = Result<proto::EventBook, Status>> + Send + use<> {
        let calls = self.calls.clone();
        stream::try_unfold((Some(first), reading, calls), |(first, mut reading, calls)| async move {
            let next = match first {
                Some(book) => Some(book),
                None => reading.next().await.map_err(|error| calls.status(error))?,
            };
            Ok(next.map(|book| (book, (None, reading, calls))))
        })
    }
}

/// A part of a stream on its way out, piece by piece.
struct Reading {
    runtime: Runtime,
    key: StreamKey,
    edition: Edition,
    form: Form,
    /// What is still to be read.
    parts: VecDeque<(u32, Option<u32>, Option<Nanos>)>,
    ready: VecDeque<proto::EventBook>,
    /// How many events to look at next.
    look: u32,
    /// It is the stream as it was then: its next sequence is the one behind what it had (row T1).
    is_then: bool,
}

impl Reading {
    fn new(runtime: Runtime, key: StreamKey, edition: Edition, selection: &Selection, form: Form) -> Self {
        let parts = selection.parts().into();
        let is_then = matches!(selection, Selection::AsOf(point) if *point != AsOf::Head);
        Self { runtime, key, edition, form, parts, ready: VecDeque::new(), look: FIRST_LOOK, is_then }
    }

    /// The next book; `None` when all of it was read.
    async fn next(&mut self) -> Result<Option<proto::EventBook>> {
        loop {
            if let Some(book) = self.ready.pop_front() {
                return Ok(Some(book));
            }
            let Some(&(from, to, until)) = self.parts.front() else { return Ok(None) };
            let last = from.saturating_add(self.look - 1).min(to.unwrap_or(u32::MAX));
            let core = self.runtime.core();
            let owner = core.owner_of(&self.key.domain)?;
            let read = StreamRead { from, to: Some(last), until, snapshot: None };
            let (events, mut next_sequence) = core.events_of(owner, &self.key, &self.edition, read).await?;
            let bytes: usize = events.iter().map(|it| it.event.payload.len() + 64).sum();
            let count = events.len();
            // Fewer than asked for: there are no more. A set of sequences goes on behind what is not there.
            let is_whole = count as u64 == u64::from(last - from) + 1;
            match last.checked_add(1) {
                Some(next) if is_whole && to.is_none_or(|to| last < to) => self.parts[0].0 = next,
                _ => drop(self.parts.pop_front()),
            }
            if let (true, Some(last)) = (self.is_then, events.last()) {
                next_sequence = last.event.sequence.saturating_add(1);
            }
            if let Some(each) = bytes.checked_div(count) {
                self.look = u32::try_from((BOOK_BYTES / (each + 1)).clamp(1, BOOK_PAGES)).unwrap_or(1);
            }
            let mut pages = Vec::with_capacity(count);
            for it in events {
                pages.extend(core.pages_of(&it.stream, it.event, self.form).await?);
            }
            if !pages.is_empty() {
                let cover = Some(cover_of(&self.key, "", None));
                self.ready.extend(in_portions(proto::EventBook { cover, snapshot: None, pages, next_sequence }));
            }
        }
    }

    /// The book of a selection in which nothing is.
    async fn empty(&self) -> Result<proto::EventBook> {
        let core = self.runtime.core();
        let owner = core.owner_of(&self.key.domain)?;
        let nothing = StreamRead { from: u32::MAX, to: Some(u32::MAX), ..StreamRead::all() };
        let (_, mut next_sequence) = core.events_of(owner, &self.key, &self.edition, nothing).await?;
        if self.is_then {
            next_sequence = 0;
        }
        let cover = Some(cover_of(&self.key, "", None));
        Ok(proto::EventBook { cover, snapshot: None, pages: Vec::new(), next_sequence })
    }
}

/// The streams of the store, one after the other.
struct Listing {
    runtime: Runtime,
    filter: StreamFilter,
    ready: VecDeque<StreamKey>,
    after: Option<StreamKey>,
    is_over: bool,
}

impl Listing {
    fn new(runtime: Runtime, filter: StreamFilter) -> Self {
        Self { runtime, filter, ready: VecDeque::new(), after: None, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<StreamKey>> {
        if self.ready.is_empty() && !self.is_over {
            let found = self.runtime.storage().streams(&self.filter, self.after.as_ref(), LIST).await?;
            self.is_over = found.len() < LIST;
            self.ready.extend(found.into_iter().map(|it| it.key));
            self.after = self.ready.back().cloned();
        }
        Ok(self.ready.pop_front())
    }
}
