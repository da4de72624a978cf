//! Questions about a stream: its state, then or now, and what a command would do.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use angzarr_proto as proto;
use uuid::Uuid;

use super::answer::{cover_of, event_page};
use super::decide::{Events, Why};
use super::pipeline::{Core, Page, Submission};
use super::send::Typed;
use super::{Loaded, SyncMode};
use crate::declare::{Aggregate, CommandOf, nanos_of};
use crate::error::{About, Result};
use crate::registry;
use crate::storage::BoxFuture;
use crate::stream::limits::shorten;
use crate::stream::{AsOf, Edition, Headers, StoredEvent, StreamKey, Versioned};

/// A question for the state of an aggregate. Await it.
#[must_use = "a query does nothing until it is awaited"]
pub struct StateQuery<A> {
    core: Arc<Core>,
    root: Uuid,
    edition: Edition,
    as_of: AsOf,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> StateQuery<A> {
    pub(crate) fn new(core: Arc<Core>, root: Uuid) -> Self {
        Self { core, root, edition: Edition::main(), as_of: AsOf::Head, aggregate: PhantomData }
    }

    /// With exactly the events ≤ `sequence` (row T1).
    pub fn as_of_sequence(mut self, sequence: u32) -> Self {
        self.as_of = AsOf::Sequence(sequence);
        self
    }

    /// With exactly the events that were accepted at `time` or before (row T1).
    pub fn as_of_time(mut self, time: SystemTime) -> Self {
        self.as_of = AsOf::Time(nanos_of(time));
        self
    }

    /// On a branch.
    pub fn edition(mut self, edition: impl Into<Edition>) -> Self {
        self.edition = edition.into();
        self
    }
}

impl<A: Aggregate> StateQuery<A> {
    async fn load(&self) -> Result<Loaded> {
        let aggregate = self.core.aggregate_of::<A>()?;
        let key = self.core.key(aggregate, &self.edition, self.root)?;
        self.core.load(aggregate, &key, &self.edition, self.as_of).await
    }
}

fn about<A: Aggregate>(root: Uuid, edition: &Edition) -> About {
    About { domain: A::DOMAIN.to_owned(), root: Some(root), edition: shorten(edition.name()), ..About::default() }
}

impl<A: Aggregate> IntoFuture for StateQuery<A> {
    type Output = Result<Versioned<A>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let loaded = self.load().await.map_err(|error| error.about(|| about::<A>(self.root, &self.edition)))?;
            match loaded.state.downcast::<A>() {
                Ok(state) => Ok(Versioned::new(*state, loaded.next_sequence, loaded.last_created_at)),
                Err(_) => unreachable!("the registry pairs domains and states by type"),
            }
        })
    }
}

/// A question for what a command would do. Nothing is stored, nothing is published (row T3). Await it.
#[must_use = "a preview does nothing until it is awaited"]
pub struct PreviewCommand<A, C> {
    core: Arc<Core>,
    root: Uuid,
    command: C,
    edition: Edition,
    as_of: AsOf,
    aggregate: PhantomData<fn() -> A>,
}

/// What a command would have stored.
#[derive(Clone, Debug)]
pub struct Preview {
    events: Vec<StoredEvent>,
}

impl Preview {
    /// The events, with the sequences that they would have.
    pub fn events(&self) -> &[StoredEvent] {
        &self.events
    }

    /// The events of one type, decoded.
    pub fn events_of<E: crate::declare::Message>(&self) -> impl Iterator<Item = E> {
        let name = E::full_name();
        self.events
            .iter()
            .filter(move |event| event.type_name == name.as_str())
            .filter_map(|event| E::decode(event.payload.as_ref()).ok())
    }
}

impl<A: Aggregate, C: CommandOf<A>> PreviewCommand<A, C> {
    pub(crate) fn new(core: Arc<Core>, root: Uuid, command: C) -> Self {
        Self { core, root, command, edition: Edition::main(), as_of: AsOf::Head, aggregate: PhantomData }
    }

    /// On the state with exactly the events ≤ `sequence`.
    pub fn as_of_sequence(mut self, sequence: u32) -> Self {
        self.as_of = AsOf::Sequence(sequence);
        self
    }

    /// On the state with exactly the events that were accepted at `time` or before.
    pub fn as_of_time(mut self, time: SystemTime) -> Self {
        self.as_of = AsOf::Time(nanos_of(time));
        self
    }

    /// On a branch.
    pub fn edition(mut self, edition: impl Into<Edition>) -> Self {
        self.edition = edition.into();
        self
    }
}

impl<A: Aggregate, C: CommandOf<A>> PreviewCommand<A, C> {
    /// The pipeline without the write.
    async fn run(&self) -> Result<Preview> {
        let core = &self.core;
        let aggregate = core.aggregate_of::<A>()?;
        core.limits.check_payload(|| "command".into(), self.command.encoded_len())?;
        let key = core.key(aggregate, &self.edition, self.root)?;
        let mut loaded = core.load(aggregate, &key, &self.edition, self.as_of).await?;
        let page = Page {
            decider: C::handler().into(),
            command: &Typed::<A, C>::new(&self.command),
            expected: None,
            merge: None,
            sync: SyncMode::Async,
        };
        let submission = Submission {
            aggregate,
            key,
            edition: &self.edition,
            headers: Headers::default(),
            pages: &[page],
            dedup: None,
            at: None,
            along: None,
            link: None,
            for_open_process: false,
            because: None,
            span: tracing::Span::none(),
        };
        let mut events = Events::default();
        match core.prepare(&submission, &mut loaded, &mut events) {
            Ok(_) => Ok(Preview { events: events.stored.into_vec() }),
            Err(unstored) => match unstored.why {
                Why::NoEvent | Why::Complete => Ok(Preview { events: Vec::new() }),
                Why::Error(error) => Err(error),
                Why::Mismatch { .. } => unreachable!("nothing was expected"),
            },
        }
    }
}

impl<A: Aggregate, C: CommandOf<A>> IntoFuture for PreviewCommand<A, C> {
    type Output = Result<Preview>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let subject = || About { command_type: C::full_name(), ..about::<A>(self.root, &self.edition) };
            self.run().await.map_err(|error| error.about(subject))
        })
    }
}

impl Core {
    /// The book of a stream at its head: the newest snapshot, the events behind it, the next sequence (row M1).
    pub(crate) async fn event_book(
        &self,
        aggregate: &registry::Aggregate,
        key: &StreamKey,
        edition: &Edition,
    ) -> Result<proto::EventBook> {
        // A snapshot that the caller could not unpack is none: all events go out instead.
        let policy = aggregate.descriptor.snapshot.as_ref().filter(|_| aggregate.snapshot_url.is_some());
        let past = self.past(aggregate, key, edition, AsOf::Head, policy).await?;
        let pages = past.parts.iter().flat_map(|(_, events)| events).map(event_page).collect();
        let snapshot = past.snapshot.map(|(_, snapshot)| proto::Snapshot {
            sequence: snapshot.sequence,
            state: Some(prost_types::Any {
                type_url: aggregate.snapshot_url.clone().unwrap_or_default(),
                value: snapshot.state.to_vec(),
            }),
            retention: snapshot.retention as i32,
            created_at: Some(proto::TimestampExt::from_unix_nanos(snapshot.created_at)),
        });
        Ok(proto::EventBook {
            cover: Some(cover_of(key, "", None)),
            snapshot,
            pages,
            next_sequence: past.next_sequence,
        })
    }

    /// Every book of a workflow, across domains (row I4).
    pub(crate) async fn books_of_correlation(&self, correlation_id: &str) -> Result<Vec<proto::EventBook>> {
        self.limits.check_id("correlation_id", correlation_id)?;
        let mut books: Vec<proto::EventBook> = Vec::new();
        let mut places: HashMap<StreamKey, usize> = HashMap::new();
        for found in self.storage.read_correlation(correlation_id).await? {
            let page = event_page(&found.event);
            if let Some(place) = places.get(&found.stream) {
                books[*place].pages.push(page);
                continue;
            }
            books.push(proto::EventBook {
                cover: Some(cover_of(&found.stream, correlation_id, found.event.headers.ext())),
                snapshot: None,
                pages: vec![page],
                // Other events may follow in the stream that belong to other workflows.
                next_sequence: self.head(&found.stream).await?,
            });
            places.insert(found.stream, books.len() - 1);
        }
        Ok(books)
    }
}
