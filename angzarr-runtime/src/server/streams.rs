//! `EventStreamService`: events as they happen.
//!
//! In: a correlation id, or nothing for every event. Out: books of what is stored, in order of the log: those of a workflow from its
//! beginning, each event once. Never: an event that no subscriber may see (row S5), or a queue that grows behind a slow caller.

use std::collections::VecDeque;
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::stream;
use proto::event_stream_service_server::EventStreamService;
use tokio::sync::watch;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

use super::answers::{Answers, answers, in_portions};
use super::calls::{Calls, taken};
use super::queries::form_of;
use crate::Runtime;
use crate::command::{Form, cover_of};
use crate::error::{Error, Result};
use crate::stream::LogEvent;

pub(super) struct Streams {
    pub(super) runtime: Runtime,
    pub(super) calls: Calls,
}

/// Metadata of a request: begin behind this position of the log. For a subscription to every event.
pub(super) const AFTER: &str = "angzarr-after";
/// Metadata of an answer: where in the log the subscription has gone live.
pub(super) const POSITION: &str = "angzarr-position";

/// Events are read in portions of this many.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 8 << 20;
/// How often to look without being woken (row R7).
const LOOK: Duration = Duration::from_secs(1);

#[tonic::async_trait]
impl EventStreamService for Streams {
    type SubscribeStream = Answers<proto::EventBook>;

    async fn subscribe(
        &self,
        request: Request<proto::EventStreamFilter>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (caller, filter) = taken(request);
        let deadline = self.calls.stream_deadline(&caller);
        let opened = Following::open(self.runtime.clone(), filter.correlation_id, &caller.metadata).await;
        let following = opened.map_err(|error| self.calls.status(error))?;
        let live = following.position;
        let calls = self.calls.clone();
        let books = stream::try_unfold((following, calls), |(mut following, calls)| async move {
            let book = following.next().await.map_err(|error| calls.status(error))?;
            Ok(Some((book, (following, calls))))
        });
        let mut response = Response::new(answers(deadline, books));
        response.metadata_mut().insert(POSITION, MetadataValue::from(live));
        Ok(response)
    }
}

/// A subscription on its way along the log.
struct Following {
    runtime: Runtime,
    woken: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    /// Empty for every event.
    correlation_id: String,
    form: Form,
    /// Everything up to here was read.
    position: u64,
    ready: VecDeque<proto::EventBook>,
}

impl Following {
    async fn open(runtime: Runtime, correlation_id: String, metadata: &MetadataMap) -> Result<Self> {
        let core = runtime.core();
        let after = after_of(metadata)?;
        // Before anything is read, so that what comes meanwhile wakes.
        let (woken, stop) = (core.transport.listen(), runtime.stopped());
        let head = core.storage.head();
        let mut following = Self {
            woken,
            stop,
            form: form_of(metadata),
            position: after.unwrap_or(head),
            ready: VecDeque::new(),
            correlation_id,
            runtime: runtime.clone(),
        };
        if following.correlation_id.is_empty() {
            if following.position > head {
                let message = format!("the store ends at position {head}: {} is of another store", following.position);
                return Err(Error::invalid_argument(AFTER, message));
            }
            return Ok(following);
        }
        core.limits.check_id("correlation_id", &following.correlation_id)?;
        if after.is_some() {
            let message = "a workflow is told from its beginning; leave it out, or leave out the correlation id";
            return Err(Error::invalid_argument(AFTER, message));
        }
        // Up to the head from the index, from there on from the log: nothing is left out, and nothing comes twice.
        let mut past = core.storage.read_correlation(&following.correlation_id).await?;
        past.retain(|it| it.event.position <= head);
        following.take(past).await?;
        Ok(following)
    }

    /// The next book; waits for one.
    async fn next(&mut self) -> Result<proto::EventBook> {
        loop {
            if let Some(book) = self.ready.pop_front() {
                return Ok(book);
            }
            if *self.stop.borrow() {
                return Err(Error::ShuttingDown);
            }
            let storage = self.runtime.storage();
            let head = storage.head();
            if head > self.position {
                let portion = storage.read_log(self.position, BATCH, BATCH_BYTES).await?;
                // Nothing up to the head: all of it was discarded (row B5).
                self.position = portion.last().map_or(head, |it| it.event.position);
                self.take(portion).await?;
                continue;
            }
            tokio::select! {
                _ = self.stop.changed() => {}
                woken = tokio::time::timeout(LOOK, self.woken.changed()) => if let Ok(Err(_)) = woken {
                    // A transport that has gone wakes nobody any more.
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Puts events into books: those of one stream and one command next to each other share one.
    async fn take(&mut self, events: Vec<LogEvent>) -> Result<()> {
        let core = self.runtime.core();
        let mut of_last = None;
        let mut books: Vec<proto::EventBook> = Vec::new();
        for LogEvent { stream, event } in events {
            let is_wanted = self.correlation_id.is_empty() || event.headers.correlation_id() == self.correlation_id;
            if event.isolated || !is_wanted {
                continue;
            }
            let (headers, next_sequence) = (event.headers.clone(), event.sequence.saturating_add(1));
            let pages = core.pages_of(&stream, event, self.form).await?;
            let of_this = Some((stream, headers));
            match books.last_mut() {
                Some(book) if of_last == of_this => {
                    book.pages.extend(pages);
                    book.next_sequence = next_sequence;
                }
                _ => {
                    if let Some((stream, headers)) = &of_this {
                        let cover = Some(cover_of(stream, headers.correlation_id(), headers.ext()));
                        books.push(proto::EventBook { cover, snapshot: None, pages, next_sequence });
                    }
                    of_last = of_this;
                }
            }
        }
        let books = books.into_iter().filter(|book| !book.pages.is_empty());
        self.ready.extend(books.flat_map(in_portions).map(|mut book| {
            let last = book.pages.last().and_then(proto::EventPageExt::sequence);
            book.next_sequence = last.map_or(book.next_sequence, |last| last.saturating_add(1));
            book
        }));
        Ok(())
    }
}

fn after_of(metadata: &MetadataMap) -> Result<Option<u64>> {
    let Some(value) = metadata.get(AFTER) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    position.map(Some).ok_or_else(|| Error::invalid_argument(AFTER, "not a position: a number from 0"))
}
