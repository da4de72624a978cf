//! States over the wire: what the server has stored, folded here.
//!
//! In: a question for a state. Out: the state, folded with this program's upcasters and `#[apply]`s. Never: a snapshot of another
//! shape than this program's (row N4); then every event is asked for instead.

use std::future::IntoFuture;

use angzarr_proto as proto;
use proto::TimestampExt as _;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::answer::stored_events;
use super::send::{key_of, point_of};
use super::{Client, ClientError};
use crate::command::{Loaded, StateQuery, about, cover_on, decode_state};
use crate::declare::Aggregate;
use crate::error::Error;
use crate::registry;
use crate::storage::BoxFuture;
use crate::stream::{Headers, StreamKey, Versioned};

/// Metadata of a book with a snapshot: the version of its state's shape.
const STATE_VERSION: &str = "angzarr-state-version";

impl<A: Aggregate> StateQuery<A, Client> {
    async fn load(&self) -> Result<Loaded, ClientError> {
        let registry = self.to.registry()?;
        let domain = registry.by_state.get(&std::any::TypeId::of::<A>());
        let aggregate = domain.and_then(|domain| registry.state_of(domain)).ok_or_else(|| Error::UnknownDomain {
            domain: A::DOMAIN.to_owned(),
            nearest: Vec::new(),
            subject: Default::default(),
        })?;
        let (line, key) = (&self.to.line, key_of::<A>(self.root, &self.edition));
        let cover = cover_on(&key, &self.edition, &Headers::default());
        let selection = point_of(self.as_of).map(proto::query::Selection::Temporal);
        let query = proto::Query { cover: Some(cover), selection };
        let until = line.until();
        match line.book(until, query.clone()).await {
            Ok(answer) => {
                let (metadata, mut book, _) = answer.into_parts();
                let snapshot = book.snapshot.take();
                let begun = match snapshot {
                    None => Some(Loaded::new(aggregate)),
                    Some(snapshot) => from_snapshot(aggregate, &key, &snapshot, &metadata),
                };
                if let Some(mut loaded) = begun {
                    self.fold(registry, aggregate, &key, &mut loaded, book)?;
                    return Ok(loaded);
                }
            }
            // More than fits into one answer of the server, or than this side takes at once.
            Err(ClientError::Answered(answered)) if matches!(answered.code(), "ANSWER_TOO_LARGE" | "OUT_OF_RANGE") => {}
            Err(error) => return Err(error),
        }
        self.replay(until, registry, aggregate, &key, query).await
    }

    /// From the first event on.
    async fn replay(
        &self,
        until: Instant,
        registry: &registry::Registry,
        aggregate: &registry::Aggregate,
        key: &StreamKey,
        query: proto::Query,
    ) -> Result<Loaded, ClientError> {
        let mut loaded = Loaded::new(aggregate);
        for book in self.to.line.books_until(until, query).await? {
            self.fold(registry, aggregate, key, &mut loaded, book)?;
        }
        Ok(loaded)
    }

    fn fold(
        &self,
        registry: &registry::Registry,
        aggregate: &registry::Aggregate,
        key: &StreamKey,
        loaded: &mut Loaded,
        book: proto::EventBook,
    ) -> Result<(), ClientError> {
        let events = stored_events(book).map_err(|message| self.to.line.unreadable(message))?;
        Ok(registry.fold(aggregate, key, loaded, events)?)
    }
}

/// The state to begin with, if the snapshot is one of this program's.
fn from_snapshot(
    aggregate: &registry::Aggregate,
    key: &StreamKey,
    snapshot: &proto::Snapshot,
    metadata: &MetadataMap,
) -> Option<Loaded> {
    let state = snapshot.state.as_ref()?;
    let policy = aggregate.descriptor.snapshot.as_ref()?;
    let own_type = proto::type_name_of(aggregate.snapshot_url.as_deref()?);
    let version = metadata.get(STATE_VERSION).and_then(|version| version.to_str().ok());
    let is_own = proto::type_name_of(&state.type_url) == own_type
        && version.and_then(|version| version.parse().ok()) == Some(aggregate.descriptor.state_version);
    if !is_own {
        return None;
    }
    match decode_state(&policy.codec, &state.value) {
        Ok(state) => Some(Loaded {
            state,
            next_sequence: snapshot.sequence.checked_add(1)?,
            last_created_at: snapshot.created_at.as_ref()?.to_unix_nanos_saturating(),
            ..Loaded::new(aggregate)
        }),
        Err(error) => {
            tracing::warn!(stream = %key, sequence = snapshot.sequence, error, "snapshot ignored: unreadable");
            None
        }
    }
}

impl<A: Aggregate> IntoFuture for StateQuery<A, Client> {
    type Output = Result<Versioned<A>, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let loaded = self.load().await.map_err(|error| match error {
                ClientError::Here(error) => {
                    ClientError::Here(Box::new(error.about(|| about::<A>(self.root, &self.edition))))
                }
                error => error,
            })?;
            match loaded.state.downcast::<A>() {
                Ok(state) => Ok(Versioned::new(*state, loaded.next_sequence, loaded.last_created_at)),
                Err(_) => unreachable!("the registry pairs domains and states by type"),
            }
        })
    }
}
