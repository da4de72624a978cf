//! Who owns what: builder, handle, shutdown.

mod builder;
#[cfg(feature = "config")]
mod config;
mod edition;
#[cfg(feature = "cli")]
mod inspect;
mod rebuild;
#[cfg(feature = "remote")]
mod remote;
mod settings;
mod snapshot;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::FutureExt as _;
use uuid::Uuid;

pub use builder::{Builder, OpenStorage};
#[cfg(feature = "config")]
pub use config::Config;
pub use edition::{EditionHandle, MergeConflict, Merged};
#[cfg(feature = "cli")]
pub(crate) use inspect::Inspection;
pub use rebuild::Rebuild;
#[cfg(feature = "otel")]
pub(crate) use settings::mask;
pub use settings::{Origin, ServerConfig, Setting, TelemetryConfig};

use crate::command::{Core, Form, InProcess, PreviewCommand, Receipt, RecordFact, SendCommand, StateQuery, detached};
use crate::dead_letter::DeadLetters;
use crate::declare::{Aggregate, CommandOf, Message};
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

/// A handle that keeps nothing alive.
#[cfg(feature = "metrics")]
#[derive(Clone)]
pub(crate) struct WeakRuntime(std::sync::Weak<Inner>);

#[cfg(feature = "metrics")]
impl WeakRuntime {
    /// The runtime, while it is there.
    pub(crate) fn upgrade(&self) -> Option<Runtime> {
        self.0.upgrade().map(|inner| Runtime { inner })
    }
}

struct Inner {
    core: Arc<Core>,
    subscriptions: Subscriptions,
    publishing: Publishing,
    /// The shutdown, once somebody has asked for it.
    ending: OnceLock<Ending>,
    drain_limit: Duration,
    /// Where figures are served, if the configuration says so.
    #[cfg(feature = "metrics")]
    metrics: OnceLock<crate::telemetry::prometheus::Endpoint>,
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
        // Behind the last checkpoint: whoever takes over begins there.
        self.subscriptions.give_back(core).await;
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
        SendCommand::new(self.here(), root, command)
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

    /// Records a fact: something that has happened outside and cannot be rejected (rows F). A `#[fact]` method of the aggregate
    /// turns it into events of its own; without one the fact itself is the event. Say more about it before (external id, …),
    /// then await the answer.
    pub fn fact<A: Aggregate, E: Message>(&self, root: Uuid, fact: E) -> RecordFact<A, E> {
        RecordFact::new(self.here(), root, fact)
    }

    /// The dynamic entry for facts: an `EventRequest` as any client sends it. Once this was polled, it runs to its end.
    ///
    /// # Errors
    /// What the pipeline refuses; see [`Error`].
    pub async fn handle_event(&self, request: proto::EventRequest) -> Result<proto::FactInjectionResponse> {
        let core = self.inner.core.clone();
        let receipt = detached(async move { core.handle_event(&request).await }).await?;
        let already_processed = receipt.already_processed();
        let proto::CommandResponse { events, projections, .. } = receipt.into_response();
        Ok(proto::FactInjectionResponse { events, already_processed, projections })
    }

    /// The state of a process: of the process manager `P`, for a correlation id (row P1). Await it.
    pub fn process<P: Aggregate>(&self, correlation_id: &str) -> StateQuery<P> {
        self.state(crate::stream::root(P::DOMAIN, correlation_id))
    }

    /// The state of an aggregate, now or then. Await it.
    pub fn state<A: Aggregate>(&self, root: Uuid) -> StateQuery<A> {
        StateQuery::new(self.here(), root)
    }

    /// What a command would do. Stores nothing. Await it.
    pub fn preview<A: Aggregate>(
        &self,
        root: Uuid,
        command: impl CommandOf<A>,
    ) -> PreviewCommand<A, impl CommandOf<A>> {
        PreviewCommand::new(self.here(), root, command)
    }

    /// Every event book of a workflow, across domains (row I4).
    ///
    /// # Errors
    /// The id is malformed, or the store fails.
    pub async fn books_by_correlation(&self, correlation_id: &str) -> Result<Vec<proto::EventBook>> {
        self.inner.core.books_of_correlation(correlation_id, Form::Stored).await
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

    /// Builds what a projector has written anew from the log, beside live traffic (row J3). Await it; say more about it
    /// before.
    ///
    /// The log is read from the start into a fresh state, while live events go on into the old one and SIMPLE commands wait
    /// for those. The fresh state is one that the projector's read model makes beside the old one ([`SqliteReadModel`]
    /// and, with the feature `sqlite`, a `sqlx::SqlitePool` over a file can), or that of an instance given by
    /// [`into_instance`](Rebuild::into_instance). When it holds what the old one holds, the projector waits for a moment,
    /// and the fresh state takes the place of the old one. Until then the old state is untouched, also if the process dies;
    /// a fresh one that was left behind is thrown away at the next rebuild. Dropping the future gives the rebuild up.
    ///
    /// Handlers that are `#[handler(live_only)]` are not called, and
    /// [`EventContext::is_replay`](crate::EventContext::is_replay) is true for the others (row J6). They have to read through
    /// the context's transaction: the read model itself is the old one.
    ///
    /// A handler that fails is retried, and then parks the rest of its stream as it does live (row J2): the switch opens
    /// dead letters for those events, and the other streams are complete. Dead letters of events that go through now are
    /// resolved, unless their handler is `live_only`: what it was to do is still not done.
    ///
    /// ```
    /// # use angzarr_runtime::prelude::*;
    /// # async fn example(runtime: Runtime) -> angzarr_runtime::Result<()> {
    /// let done = runtime.rebuild("balances").progress(|it| println!("{} of {}", it.position, it.head)).await?;
    /// println!("{} events, {} per second", done.events, done.per_second);
    /// # Ok(()) }
    /// ```
    ///
    /// [`SqliteReadModel`]: crate::SqliteReadModel
    ///
    /// # Errors
    /// There is no projector of that name; [`Error::Rebuild`]: a rebuild of it runs already, there is no fresh state, or it
    /// failed, and the old state stays.
    pub fn rebuild(&self, projector: impl Into<String>) -> Rebuild {
        Rebuild::new(self.clone(), projector.into())
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

    /// Where figures for Prometheus are served: where the configuration says, with a port of its own if that was 0.
    #[cfg(feature = "metrics")]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.inner.metrics.get().map(crate::telemetry::prometheus::Endpoint::address)
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

    #[cfg(feature = "metrics")]
    pub(crate) fn downgrade(&self) -> WeakRuntime {
        WeakRuntime(Arc::downgrade(&self.inner))
    }

    fn here(&self) -> InProcess {
        InProcess::new(self.inner.core.clone())
    }

    pub(crate) fn core(&self) -> &Core {
        &self.inner.core
    }

    /// Says when the runtime shuts down.
    #[cfg(feature = "server")]
    pub(crate) fn stopped(&self) -> tokio::sync::watch::Receiver<bool> {
        self.inner.publishing.stopped()
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
