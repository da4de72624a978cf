//! Questions about a stream: its state, then or now, and what a command would do.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::SystemTime;

use uuid::Uuid;

use super::decide::{Events, Why};
use super::pipeline::{Core, Page, StoredEvents, Submission};
use super::send::Typed;
use super::{InProcess, Loaded, SyncMode};
use crate::declare::{Aggregate, CommandOf, Domain, nanos_of};
use crate::error::{About, Result};
use crate::storage::BoxFuture;
use crate::stream::limits::shorten;
use crate::stream::{AsOf, Edition, Headers, StoredEvent, Versioned};

/// A question for the state of an aggregate. Await it.
#[must_use = "a query does nothing until it is awaited"]
pub struct StateQuery<A, To = InProcess> {
    pub(crate) to: To,
    pub(crate) root: Uuid,
    pub(crate) edition: Edition,
    pub(crate) as_of: AsOf,
    aggregate: PhantomData<fn() -> A>,
}

impl<A, To> StateQuery<A, To> {
    pub(crate) fn new(to: To, root: Uuid) -> Self {
        Self { to, root, edition: Edition::main(), as_of: AsOf::Head, aggregate: PhantomData }
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
        let core = &self.to.core;
        let aggregate = core.aggregate_of::<A>()?;
        let key = core.key(aggregate, &self.edition, self.root)?;
        core.load(aggregate, &key, &self.edition, self.as_of).await
    }
}

pub(crate) fn about<A: Domain>(root: Uuid, edition: &Edition) -> About {
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
pub struct PreviewCommand<A, C, To = InProcess> {
    pub(crate) to: To,
    pub(crate) root: Uuid,
    pub(crate) command: C,
    pub(crate) edition: Edition,
    pub(crate) as_of: AsOf,
    aggregate: PhantomData<fn() -> A>,
}

/// What a command would have stored.
#[derive(Clone, Debug)]
pub struct Preview {
    events: Vec<StoredEvent>,
}

impl Preview {
    #[cfg(feature = "client")]
    pub(crate) fn new(events: Vec<StoredEvent>) -> Self {
        Self { events }
    }

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

impl<A, C, To> PreviewCommand<A, C, To> {
    pub(crate) fn new(to: To, root: Uuid, command: C) -> Self {
        Self { to, root, command, edition: Edition::main(), as_of: AsOf::Head, aggregate: PhantomData }
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
        let core = &self.to.core;
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
        match core.would_store(&submission, &mut loaded) {
            Ok(events) => Ok(Preview { events: events.into_vec() }),
            Err(Why::Error(error)) => Err(error),
            Err(Why::Mismatch { .. } | Why::NoEvent | Why::Complete) => unreachable!("nothing was expected"),
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
    /// The events that a submission gives on a state, which is that after them from then on.
    pub(super) fn would_store(
        &self,
        submission: &Submission<'_>,
        loaded: &mut Loaded,
    ) -> std::result::Result<StoredEvents, Why> {
        let mut events = Events::default();
        match self.prepare(submission, loaded, &mut events) {
            Ok(_) => Ok(events.stored),
            Err(unstored) => match unstored.why {
                Why::NoEvent | Why::Complete => Ok(StoredEvents::new()),
                why => Err(why),
            },
        }
    }
}
