//! Who owns what: builder, handle, shutdown.

mod builder;
mod edition;
#[cfg(feature = "cli")]
mod inspect;
mod snapshot;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::FutureExt as _;
use uuid::Uuid;

pub use builder::{Builder, OpenStorage};
pub use edition::EditionHandle;
#[cfg(feature = "cli")]
pub(crate) use inspect::Inspection;

use crate::command::{Core, PreviewCommand, Receipt, SendCommand, StateQuery, detached};
use crate::dead_letter::DeadLetters;
use crate::declare::{Aggregate, CommandOf};
use crate::error::{Error, Result};
use crate::reaction::{Component, SubscriptionStatus, Subscriptions};
use crate::registry::Registry;
use crate::storage::{BoxFuture, Storage, StorageError, StorageErrorKind};
use crate::transport::{OpenFeed, Publishing, RelayStatus};

/// A running program: send commands, ask for states, see where everything stands. Cheap to clone.
///
/// Dropping the last handle stops the components; [`shutdown`](Self::shutdown) does it in order.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    subscriptions: Subscriptions,
    publishing: Publishing,
    /// The shutdown, once somebody has asked for it.
    ending: OnceLock<Ending>,
    drain_limit: Duration,
}

/// The store has at least this long to close.
const CLOSING: Duration = Duration::from_secs(10);

type Ending = futures_util::future::Shared<BoxFuture<'static, Result<(), StorageError>>>;

impl Inner {
    async fn end(&self) -> Result<(), StorageError> {
        let (core, limit) = (&self.core, self.drain_limit);
        // Reactions of what is stored may still send commands; those that cannot finish come again after the restart.
        let commands = async {
            loop {
                let mut idle = std::pin::pin!(core.idle.notified());
                // Before the look at the count: the last command may end in between.
                idle.as_mut().enable();
                if core.in_flight.load(Ordering::Acquire) == 0 {
                    break;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(limit, commands).await.is_err() {
            let running = core.in_flight.load(Ordering::Acquire);
            tracing::warn!(running, "commands still ran when the limit of the shutdown passed");
        }
        self.subscriptions.stop(limit).await;
        // Behind everything that could still store events.
        self.publishing.stop(limit).await;
        core.waits.close();
        if tokio::time::timeout(limit, core.writer.drain()).await.is_err() {
            tracing::warn!("the store still wrote when the limit of the shutdown passed");
        }
        // A short limit is for what runs: a store that is left open is no use to anybody.
        let limit = limit.max(CLOSING);
        match tokio::time::timeout(limit, core.storage.close()).await {
            Ok(closed) => closed,
            Err(_) => Err(not_closed(format!("the store was not closed within {limit:?}"))),
        }
    }
}

fn not_closed(message: String) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, "storage", message)
}

impl Runtime {
    /// Starts to describe a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a command to an aggregate. Await the answer; say more about it before (expected sequence, sync mode, …).
    pub fn send<A: Aggregate>(&self, root: Uuid, command: impl CommandOf<A>) -> SendCommand<A, impl CommandOf<A>> {
        SendCommand::new(self.inner.core.clone(), root, command)
    }

    /// The dynamic entry: a `CommandRequest` as any client sends it, through the same pipeline. Once this was polled, the
    /// command runs to its end, even if the caller goes away.
    ///
    /// # Errors
    /// What the pipeline refuses; see [`Error`].
    pub async fn handle_command(&self, request: proto::CommandRequest) -> Result<proto::CommandResponse> {
        Ok(match self.inner.core.handle_now(&request) {
            Ok(answer) => answer?,
            Err(span) => self.handle_detached(request, span).await?,
        }
        .into_response())
    }

    /// The same with the answer as the typed client has it.
    ///
    /// # Errors
    /// What the pipeline refuses; see [`Error`].
    pub async fn submit(&self, request: &proto::CommandRequest) -> Result<Receipt> {
        match self.inner.core.handle_now(request) {
            Ok(answer) => answer,
            Err(span) => self.handle_detached(request.clone(), span).await,
        }
    }

    async fn handle_detached(&self, request: proto::CommandRequest, span: Option<tracing::Span>) -> Result<Receipt> {
        let core = self.inner.core.clone();
        detached(async move { core.handle_command(&request, None, span).await }).await
    }

    /// The state of an aggregate, now or then. Await it.
    pub fn state<A: Aggregate>(&self, root: Uuid) -> StateQuery<A> {
        StateQuery::new(self.inner.core.clone(), root)
    }

    /// What a command would do. Stores nothing. Await it.
    pub fn preview<A: Aggregate>(
        &self,
        root: Uuid,
        command: impl CommandOf<A>,
    ) -> PreviewCommand<A, impl CommandOf<A>> {
        PreviewCommand::new(self.inner.core.clone(), root, command)
    }

    /// Every event book of a workflow, across domains (row I4).
    ///
    /// # Errors
    /// The id is malformed, or the store fails.
    pub async fn books_by_correlation(&self, correlation_id: &str) -> Result<Vec<proto::EventBook>> {
        self.inner.core.books_of_correlation(correlation_id).await
    }

    /// A branch of the timeline, to merge or discard it.
    pub fn edition(&self, name: impl AsRef<str>) -> EditionHandle {
        EditionHandle::new(self.clone(), name.as_ref())
    }

    /// Where every saga and projector stands (row J5).
    pub fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        self.inner.subscriptions.all.iter().map(|subscription| subscription.status(&self.inner.core)).collect()
    }

    /// Where the relay stands, that brings events to the transport (row R2); `None` for a transport that only wakes.
    pub fn relay(&self) -> Option<RelayStatus> {
        self.inner.publishing.status(&self.inner.core)
    }

    /// A feed of events for code of your own, under a name by which the transport knows it (row R7). Say which events and
    /// where to begin; await it.
    pub fn feed(&self, name: impl AsRef<str>) -> OpenFeed {
        OpenFeed::new(self.inner.core.clone(), self.inner.publishing.stopped(), name.as_ref())
    }

    /// Waits until every saga and projector has handled everything that is stored, and what that caused; or until the
    /// runtime is shut down.
    pub async fn settled(&self) {
        self.inner.subscriptions.settled(&self.inner.core).await;
    }

    /// Figures of this process, for status pages and alarms.
    pub fn statistics(&self) -> Statistics {
        let core = &self.inner.core;
        Statistics {
            commands_in_flight: core.in_flight.load(Ordering::Relaxed),
            state_cache_bytes: core.cache.bytes(),
            failed_snapshots: core.failed_snapshots.load(Ordering::Relaxed),
            failed_submissions: core.writer.failed_submissions(),
        }
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// What the program declares.
    pub fn registry(&self) -> &Registry {
        &self.inner.core.registry
    }

    /// The store, for tools.
    pub fn storage(&self) -> &dyn Storage {
        self.inner.core.storage.as_ref()
    }

    /// Stops in order (row R6): takes no more commands, finishes what runs, lets every component finish its batch, publishes
    /// what is stored, stores what is under way. A transport that is out of reach is not waited for, as long as the relay
    /// keeps its cursor ([`Builder::outbox`]). Other handles answer [`Error::ShuttingDown`] from now on. Every step has the drain limit of its
    /// own; closing the store has ten seconds at least. It goes on if the caller does not wait for it; whoever calls
    /// meanwhile, or later, gets the same answer.
    ///
    /// # Errors
    /// The store cannot be closed properly, or not in time.
    pub async fn shutdown(self) -> Result<()> {
        let ending = self.inner.ending.get_or_init(|| {
            self.inner.core.closing.store(true, Ordering::Release);
            let inner = self.inner.clone();
            // A task of its own: a caller that goes away must not leave it half done.
            let ended = tokio::spawn(async move { inner.end().await });
            async move {
                    ended.await.unwrap_or_else(|error| Err(not_closed(format!("the shutdown ended early: {error}"))))
                }
                .boxed()
                .shared()
        });
        ending.clone().await.map_err(Error::from)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.inner.core
    }

    pub(crate) fn component(&self, name: &str) -> Option<&Component> {
        self.inner.subscriptions.component(name)
    }
}

/// Figures of one process. From [`Runtime::statistics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Commands, and retries and discards of dead letters, that run now.
    pub commands_in_flight: usize,
    /// About how many bytes of states are kept for the next command.
    pub state_cache_bytes: u64,
    /// Snapshots that could not be encoded; the streams are replayed instead.
    pub failed_snapshots: u64,
    /// Checkpoints that could not be stored; the work that they save is done again.
    pub failed_submissions: u64,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("storage", &self.inner.core.storage.describe()).finish_non_exhaustive()
    }
}
