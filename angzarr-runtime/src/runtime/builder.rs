//! From a description to a running program, or to every mistake at once.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::settings::{KEYS, Origin, ServerConfig, Setting, TelemetryConfig, Url, mask};
use super::{Inner, Runtime};
use crate::command::{Core, Doubts, EditionGate, StateCache};
use crate::declare::{Clock, IdSource, Instance, RandomIds, SystemClock};
use crate::error::Result;
use crate::reaction::{
    Component, Escalate, Escalation, IntentDesk, Outbox, Ownership, PARTITIONS, ProcessManagerRunner, ProjectorRunner,
    SagaRunner, Subscription, Subscriptions, WaitBoard,
};
use crate::registry::{Problem, Registry, Severity, WiringErrors};
use crate::storage::{BoxFuture, Extras, Memory, Storage, StorageError, Write, WriteError, Writer};
use crate::stream::{Limits, Name};
use crate::transport::{Local, Publishing, Relay, Transport};

/// Something that becomes a store when the runtime starts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a storage",
    label = "not a storage",
    note = "write `.storage(Sqlite::open(\"bank.db\"))` or `.storage(Memory::new())`, or `.storage_url(\"sqlite:bank.db\")` for a storage by URL"
)]
pub trait OpenStorage: Send + 'static {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened, or belongs to somebody else.
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>>;

    /// Opens it for questions only, beside a process that runs on it where the backend allows that.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open_read_only(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        self.open()
    }

    /// What it will be, for `config`.
    fn describe(&self) -> String;

    /// The URL that says the same; `None` if there is none.
    fn url(&self) -> Option<String> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<S: Storage> OpenStorage for S {
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move {
            {
                let opened: Arc<dyn Storage> = Arc::new(*self);
                Ok(opened)
            }
        })
    }
    fn describe(&self) -> String {
        Storage::describe(self)
    }
}

#[cfg(feature = "sqlite")]
impl OpenStorage for crate::storage::Sqlite {
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move { Ok(Arc::new(self.start().await?) as Arc<dyn Storage>) })
    }
    fn open_read_only(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move { Ok(Arc::new(self.start_read_only().await?) as Arc<dyn Storage>) })
    }
    fn describe(&self) -> String {
        crate::storage::Sqlite::describe(self)
    }
    fn url(&self) -> Option<String> {
        crate::storage::Sqlite::url(self)
    }
}

#[cfg(feature = "postgres")]
impl OpenStorage for crate::storage::Postgres {
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move { Ok(Arc::new(self.start().await?) as Arc<dyn Storage>) })
    }
    fn open_read_only(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Storage>, StorageError>> {
        Box::pin(async move { Ok(Arc::new(self.start_read_only().await?) as Arc<dyn Storage>) })
    }
    fn describe(&self) -> String {
        crate::storage::Postgres::describe(self)
    }
}

/// Describes a runtime. Nothing happens before [`build`](Self::build).
pub struct Builder {
    storage: Option<Box<dyn OpenStorage>>,
    transport: Option<Arc<dyn Transport>>,
    pub(super) outbox: bool,
    instances: Vec<(TypeId, &'static str, Instance)>,
    expected_domains: Vec<String>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    pub(super) limits: Limits,
    pub(super) cache_bytes: u64,
    pub(super) sync_deadline: Duration,
    pub(super) drain_limit: Duration,
    pub(super) attempts: u32,
    pub(super) reaction_attempts: u32,
    pub(super) reaction_backoff: (Duration, Duration),
    pub(super) cascade_depth: u32,
    escalate: Option<Arc<Escalate>>,
    pub(super) partitions: u32,
    pub(super) lease_time: Duration,
    pub(super) server: ServerConfig,
    pub(super) telemetry: TelemetryConfig,
    /// The URLs of storage and transport, where they were given by one.
    urls: (Option<String>, Option<String>),
    /// Who has set what, by the names of the settings.
    pub(super) origins: BTreeMap<&'static str, Origin>,
    /// Whether file and environment were asked.
    #[cfg(feature = "config")]
    pub(super) is_configured: bool,
    pub(super) problems: Vec<Problem>,
    #[cfg(feature = "remote")]
    pub(super) remotes: Vec<crate::remote::Declaration>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            storage: None,
            transport: None,
            outbox: true,
            instances: Vec::new(),
            expected_domains: Vec::new(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            limits: Limits::default(),
            cache_bytes: 256 * 1024 * 1024,
            sync_deadline: Duration::from_secs(5),
            drain_limit: Duration::from_secs(30),
            attempts: 16,
            reaction_attempts: 8,
            reaction_backoff: (Duration::from_millis(5), Duration::from_millis(500)),
            cascade_depth: 32,
            escalate: None,
            partitions: 16,
            lease_time: Duration::from_secs(6),
            server: ServerConfig::default(),
            telemetry: TelemetryConfig::default(),
            urls: (None, None),
            origins: BTreeMap::new(),
            #[cfg(feature = "config")]
            is_configured: false,
            problems: Vec::new(),
            #[cfg(feature = "remote")]
            remotes: Vec::new(),
        }
    }
}

impl Builder {
    /// Where events are kept; memory if nothing is said.
    #[must_use]
    pub fn storage(mut self, storage: impl OpenStorage) -> Self {
        self.storage = Some(Box::new(storage));
        self.urls.0 = None;
        self.said("storage")
    }

    /// The storage by URL: `memory:`, `sqlite:bank.db`, `sqlite:bank.db?durability=relaxed`, `postgres://host/database`. A URL that cannot work is
    /// told by [`build`](Self::build), together with every other mistake.
    #[must_use]
    pub fn storage_url(mut self, url: &str) -> Self {
        match crate::storage::by_url(url) {
            Ok(storage) => {
                self.storage = Some(storage);
                self.urls.0 = Some(url.to_owned());
            }
            Err(problem) => self.problems.push(Problem::error(problem.replace(url, &mask(url)))),
        }
        self.said("storage")
    }

    /// How subscribers are woken; within this process if nothing is said.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self.urls.1 = None;
        self.said("transport")
    }

    /// The transport by URL: `local:`, `nats://127.0.0.1:4222?prefix=shop` (cargo feature `nats`),
    /// `amqp://127.0.0.1:5672?prefix=shop` (cargo feature `amqp`). A URL that cannot work is told by [`build`](Self::build), together with every other mistake.
    #[must_use]
    pub fn transport_url(mut self, url: &str) -> Self {
        match crate::transport::by_url(url) {
            Ok(transport) => {
                self.transport = Some(transport);
                self.urls.1 = Some(url.to_owned());
            }
            Err(problem) => self.problems.push(Problem::error(problem.replace(url, &mask(url)))),
        }
        self.said("transport")
    }

    /// Whether the relay stores how far it has published; `true` if nothing is said. Of no consequence for a transport that
    /// only wakes.
    ///
    /// - `true`: the relay goes on behind its stored cursor after any crash, and begins at the first event of the store the
    ///   first time (row R2).
    /// - `false`, for a transport that is durable by itself (row R3): events are published right after their commit, and
    ///   nothing is written for it. After a crash the relay goes on behind what the transport says that it has
    ///   ([`Transport::newest`]). If it cannot say, the relay begins with what is stored from then on: events that were
    ///   stored and not yet confirmed when the process died, and all that was stored under another transport, are never
    ///   published. Feeds of this runtime find them in the store all the same; other programs that listen to the transport
    ///   do not. And a shutdown waits for a transport that is out of reach, up to the drain limit.
    #[must_use]
    pub fn outbox(mut self, outbox: bool) -> Self {
        self.outbox = outbox;
        self.said("outbox")
    }

    /// The instance of a component that holds something. Unit structs need none.
    #[must_use]
    pub fn with<C: Any + Send + Sync>(mut self, component: C) -> Self {
        self.instances.push((TypeId::of::<C>(), std::any::type_name::<C>(), Arc::new(component)));
        self
    }

    /// Domains that must be linked into this program. A crate that nobody names is silently left out by the linker; name
    /// its domains here, and the start tells.
    #[must_use]
    pub fn expect_domains<D: Into<String>>(mut self, domains: impl IntoIterator<Item = D>) -> Self {
        self.expected_domains.extend(domains.into_iter().map(Into::into));
        self
    }

    /// Where time comes from (row C11).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where ids come from (row C11).
    #[must_use]
    pub fn ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// What is refused for its size or form.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.said_all_that_changes(|it| it.limits = limits)
    }

    /// What a server of this program is told, as far as neither file nor environment say it.
    #[must_use]
    pub fn server_defaults(self, server: ServerConfig) -> Self {
        self.said_all_that_changes(|it| it.server = server)
    }

    /// Where telemetry of this program goes, as far as neither file nor environment say it.
    #[must_use]
    pub fn telemetry_defaults(self, telemetry: TelemetryConfig) -> Self {
        self.said_all_that_changes(|it| it.telemetry = telemetry)
    }

    /// What a server of this program is told.
    pub fn server_config(&self) -> &ServerConfig {
        &self.server
    }

    /// Where telemetry of this program goes.
    pub fn telemetry_config(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn said(mut self, setting: &'static str) -> Self {
        self.origins.insert(setting, Origin::Builder);
        self
    }

    fn said_all_that_changes(mut self, change: impl FnOnce(&mut Self)) -> Self {
        let before = self.settings();
        change(&mut self);
        for (before, after) in before.into_iter().zip(self.settings()) {
            if before.value != after.value {
                self.origins.insert(after.name, Origin::Builder);
            }
        }
        self
    }

    /// Bytes of states that are kept for the next command; 256 MiB if nothing is said. A state that is not kept costs a
    /// read.
    #[must_use]
    pub fn state_cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self.said("state_cache_bytes")
    }

    /// How long a SIMPLE command waits for projectors; 5 s if nothing is said (row S9).
    #[must_use]
    pub fn sync_deadline(mut self, deadline: Duration) -> Self {
        self.sync_deadline = deadline;
        self.said("sync_deadline")
    }

    /// How long a shutdown waits for what runs; 30 s if nothing is said (row R6).
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self.said("drain_limit")
    }

    /// Tries of a command against other writers (row C6), at least 1; 16 if nothing is said.
    #[must_use]
    pub fn command_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self.said("command_attempts")
    }

    /// Retries of an event in a saga or projector before it is dead-lettered (rows G3, J2, D4); 8 if nothing is said.
    #[must_use]
    pub fn reaction_attempts(mut self, attempts: u32) -> Self {
        self.reaction_attempts = attempts;
        self.said("reaction_attempts")
    }

    /// The pauses between those retries: they grow from `min` to `max`, with jitter; 5 ms to 500 ms if nothing is said.
    #[must_use]
    pub fn reaction_backoff(mut self, min: Duration, max: Duration) -> Self {
        self.reaction_backoff = (min, max.max(min));
        self.said("reaction_backoff_min").said("reaction_backoff_max")
    }

    /// Reactions one after the other in a CASCADE before it is stopped; 32 if nothing is said (row S8).
    #[must_use]
    pub fn cascade_depth(mut self, reactions: u32) -> Self {
        self.cascade_depth = reactions;
        self.said("cascade_depth")
    }

    /// Who is called when a compensation gives up and escalates (row K4). It may be called again for the same one after a
    /// crash.
    #[must_use]
    pub fn on_escalation(mut self, hook: impl Fn(&Escalation) + Send + Sync + 'static) -> Self {
        self.escalate = Some(Arc::new(hook));
        self
    }

    /// For a store that several processes share: into how many partitions the work of each saga and process manager is divided
    /// over them, 1 to 1,024; 16 if nothing is said (row R5). What the store was first started with counts for good.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.clamp(1, 1_024);
        self.said("partitions")
    }

    /// For a store that several processes share: for how long a process that is not heard of keeps its part of the work, at least
    /// 1 s; 6 s if nothing is said (row R5). Afterwards the others take it over. Shorter is sooner, and mistakes a process that is
    /// only slow for a dead one sooner.
    #[must_use]
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.lease_time = time.max(Duration::from_secs(1));
        self.said("lease_time")
    }

    /// Checks the wiring without starting anything: what [`build`](Self::build) would tell.
    ///
    /// # Errors
    /// Every wiring mistake of the whole program.
    pub fn check(&self) -> Result<Registry, WiringErrors> {
        let (registry, mut problems) = self.collect();
        self.check_instances(&registry, &mut problems);
        registry.or_errors(problems)
    }

    /// The same for those who run no component, and so need no instances: tools and tests.
    pub(crate) fn check_without_instances(&self) -> Result<Registry, WiringErrors> {
        let (registry, problems) = self.collect();
        registry.or_errors(problems)
    }

    fn collect(&self) -> (Registry, Vec<Problem>) {
        let (registry, found) =
            Registry::collect_all(&self.limits, |registry, problems| self.add_remotes(registry, problems));
        let mut problems = self.problems.clone();
        problems.extend(found);
        self.check_expected(&registry, &mut problems);
        if cfg!(not(feature = "metrics")) && self.telemetry.prometheus_listen.is_some() {
            let problem = Problem::warning("`telemetry.prometheus_listen` is set, and this build serves no figures");
            problems.push(problem.hint("turn the feature `metrics` of angzarr-runtime on"));
        }
        if cfg!(not(feature = "otel")) && self.telemetry.otlp_endpoint.is_some() {
            let problem = Problem::warning("`telemetry.otlp_endpoint` is set, and this build sends no traces");
            problems.push(
                problem.hint("turn the feature `otel` of angzarr-runtime on, and call `telemetry::otel::install`"),
            );
        }
        (registry, problems)
    }

    #[cfg(not(feature = "remote"))]
    #[allow(clippy::unused_self)]
    fn add_remotes(&self, _: &mut Registry, _: &mut Vec<Problem>) {}

    /// What this builder would use, setting by setting, and who said so. Passwords are masked.
    pub fn settings(&self) -> Vec<Setting> {
        KEYS.iter().map(|key| key.setting(self)).collect()
    }

    /// What was said on this builder and cannot work.
    #[cfg(feature = "cli")]
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Storage or transport: what a person is told, and the URL that says the same.
    pub(super) fn engine(&self, which: Url) -> (String, Option<String>) {
        match which {
            Url::Storage => {
                let described = self.storage.as_ref().map_or_else(|| "memory".to_owned(), |it| it.describe());
                let url = self.urls.0.clone().or_else(|| self.storage.as_ref().and_then(|storage| storage.url()));
                let url = url.or_else(|| (described == "memory").then(|| "memory:".to_owned()));
                (described, url)
            }
            Url::Transport => {
                let described = self.transport.as_ref().map_or_else(|| "local".to_owned(), |it| it.describe());
                let url = self.urls.1.clone().or_else(|| (described == "local").then(|| "local:".to_owned()));
                (described, url)
            }
        }
    }

    /// Opens the store for questions only and starts nothing: for tools that look at what a running process writes.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub async fn open_store(mut self) -> Result<Arc<dyn Storage>> {
        // A storage that could not be named must not read as an empty one.
        if self.problems.iter().any(|problem| problem.severity() == Severity::Error) {
            return Err(WiringErrors::new(std::mem::take(&mut self.problems)).into());
        }
        self.open_read_only().await
    }

    pub(crate) async fn open_read_only(&mut self) -> Result<Arc<dyn Storage>> {
        match self.storage.take() {
            Some(storage) => Ok(storage.open_read_only().await?),
            None => Ok(Arc::new(Memory::new())),
        }
    }

    /// Checks the whole program and starts it: opens the store, and every component goes on behind its checkpoint, so that
    /// reactions that a crash prevented run now (row R1).
    ///
    /// Components, and commits of several commands together, run on the tokio runtime that this is awaited in: keep it
    /// running as long as the [`Runtime`] is used.
    ///
    /// # Errors
    /// Every wiring mistake of the whole program in one error; or the store cannot be opened.
    pub async fn build(mut self) -> Result<Runtime> {
        let registry = self.check()?;
        for warning in registry.warnings() {
            tracing::warn!("{warning}");
        }
        #[cfg(feature = "metrics")]
        let listener = self.listen_for_metrics().await?;
        let storage = match self.storage.take() {
            Some(storage) => storage.open().await?,
            None => Arc::new(Memory::new()),
        };
        let kept = storage.clone();
        match self.start(registry, storage).await {
            Ok(runtime) => {
                #[cfg(feature = "metrics")]
                if let Some(Ok(endpoint)) = listener.map(|it| crate::telemetry::prometheus::serve_on(&runtime, it)) {
                    tracing::info!(address = %endpoint.address(), "figures for Prometheus are served at /metrics");
                    let _ = runtime.inner.metrics.set(endpoint);
                }
                Ok(runtime)
            }
            Err(error) => {
                // Whoever mends it tries again, on a store that nobody holds.
                if let Err(error) = kept.close().await {
                    tracing::warn!(%error, "the store was not closed properly after a start that failed");
                }
                Err(error)
            }
        }
    }

    /// Before anything is opened: an address that is taken stops the start.
    #[cfg(feature = "metrics")]
    async fn listen_for_metrics(&self) -> Result<Option<tokio::net::TcpListener>> {
        let Some(address) = self.telemetry.prometheus_listen else { return Ok(None) };
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let message = format!("`telemetry.prometheus_listen`: nobody can listen on {address}: {error}");
                Err(WiringErrors::new(vec![Problem::error(message)]).into())
            }
        }
    }

    async fn start(self, registry: Registry, storage: Arc<dyn Storage>) -> Result<Runtime> {
        warn_of_unlinked_domains(&registry, storage.as_ref()).await?;
        let mut core = self.core(registry, storage);
        if core.storage.leases().is_some() {
            let partitions = partitions_of(core.storage.as_ref(), self.partitions).await?;
            core.ownership = Ownership::shared(partitions, self.lease_time);
        }
        let core = Arc::new(core);
        tracing::info!(storage = core.storage.describe(), transport = core.transport.describe(), "runtime starts");
        let instances: HashMap<TypeId, Instance> = self.instances.into_iter().map(|(id, _, it)| (id, it)).collect();
        let instance_of = |component: TypeId, make: Option<fn() -> Instance>| {
            instances.get(&component).cloned().or_else(|| make.map(|make| make()))
        };
        let projectors = core.registry.projectors.values().filter_map(|projector| {
            let descriptor = projector.descriptor;
            let instance = instance_of((descriptor.component)(), descriptor.instance)?;
            Some(Component::Projector(ProjectorRunner::new(projector, instance)))
        });
        let sagas = core.registry.sagas.values().filter_map(|saga| {
            let descriptor = saga.descriptor;
            let instance = instance_of((descriptor.component)(), descriptor.instance)?;
            Some(Component::Saga(SagaRunner::new(saga, instance)))
        });
        let relay = Relay::open(&core, self.outbox).await?;
        let processes = core.registry.process_managers.values();
        let processes = processes.map(|process| Component::ProcessManager(ProcessManagerRunner::new(process)));
        let all = projectors.chain(sagas).chain(processes).map(|it| Arc::new(Subscription::new(&core, it))).collect();
        let subscriptions = Subscriptions::start(&core, all).await?;
        forward_changes(&core);
        let publishing = Publishing::start(&core, relay);
        let (ending, drain_limit) = (OnceLock::new(), self.drain_limit);
        let inner = Inner {
            core,
            subscriptions,
            publishing,
            ending,
            drain_limit,
            #[cfg(feature = "metrics")]
            metrics: OnceLock::new(),
        };
        Ok(Runtime { inner: Arc::new(inner) })
    }

    /// Everything that the way of a command needs, on an open store.
    pub(crate) fn core(&self, registry: Registry, storage: Arc<dyn Storage>) -> Core {
        Core {
            registry,
            writer: Writer::new(storage.clone()),
            transport: self.transport.clone().unwrap_or_else(|| Arc::new(Local::new())),
            cache: StateCache::new(self.cache_bytes),
            editions: EditionGate::default(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            limits: self.limits.clone(),
            waits: WaitBoard::default(),
            outbox: Outbox::default(),
            ownership: Ownership::whole(),
            sync_deadline: self.sync_deadline,
            attempts: self.attempts,
            reaction_attempts: self.reaction_attempts,
            reaction_backoff: self.reaction_backoff,
            in_flight: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            idle: tokio::sync::Notify::new(),
            failed_snapshots: AtomicU64::new(0),
            intents: IntentDesk::default(),
            cascade_depth: self.cascade_depth,
            escalate: self.escalate.clone(),
            doubts: Doubts::new(storage.head()),
            storage,
        }
    }

    fn check_instances(&self, registry: &Registry, problems: &mut Vec<Problem>) {
        let given = |component: TypeId| self.instances.iter().any(|(id, _, _)| *id == component);
        let mut known = Vec::new();
        for saga in registry.sagas.values().map(|saga| saga.descriptor) {
            known.push((saga.component)());
            if saga.instance.is_none() && !given((saga.component)()) {
                problems.push(no_instance("saga", saga.name, saga.rust_name, saga.location));
            }
        }
        for projector in registry.projectors.values().map(|projector| projector.descriptor) {
            known.push((projector.component)());
            if projector.instance.is_none() && !given((projector.component)()) {
                problems.push(no_instance("projector", projector.name, projector.rust_name, projector.location));
            }
        }
        for (id, name, _) in &self.instances {
            if !known.contains(id) {
                problems.push(
                    Problem::error(format!("`.with({name})` gives an instance of something that is no component"))
                        .hint("annotate the struct with `#[projector(…)]` or `#[saga(…)]`, or remove the line"),
                );
            }
        }
    }

    fn check_expected(&self, registry: &Registry, problems: &mut Vec<Problem>) {
        for domain in &self.expected_domains {
            if registry.state_of(domain).is_none() {
                problems.push(
                    Problem::error(format!("the domain `{domain}` is expected and not linked into this program")).hint(
                        "the linker leaves out a crate that nobody names: write `use its_crate as _;` in the binary",
                    ),
                );
            }
        }
    }
}

/// Wakes subscribers for what other processes have stored. Ends with the store.
fn forward_changes(core: &Core) {
    let Some(mut changes) = core.storage.changes() else { return };
    let transport = core.transport.clone();
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let head = *changes.borrow_and_update();
            transport.announce(head);
        }
    });
}

fn no_instance(kind: &str, name: &str, rust_name: &str, location: crate::declare::Location) -> Problem {
    Problem::error(format!("the {kind} `{name}` holds something and got no instance"))
        .at(location, format!("`{rust_name}` has fields"))
        .hint(format!("add `.with({rust_name} {{ … }})` to the builder"))
}

/// Into how many partitions a store's work is divided. Whoever starts on it first decides: checkpoints depend on it.
async fn partitions_of(storage: &dyn Storage, wanted: u32) -> Result<u32, StorageError> {
    if storage.checkpoint(PARTITIONS).await?.is_none() {
        let checkpoints = vec![(Name::from_static(PARTITIONS), u64::from(wanted))];
        let write = Write::extras(Extras { checkpoints, ..Extras::default() });
        for written in storage.commit(vec![write]).await {
            if let Err(WriteError::Storage(error)) = written {
                return Err(error);
            }
        }
    }
    let decided = storage.checkpoint(PARTITIONS).await?.and_then(|it| u32::try_from(it).ok()).unwrap_or(wanted);
    if decided != wanted {
        tracing::info!(decided, wanted, "the store's work is divided already, and stays so");
    }
    Ok(decided)
}

/// A store may know domains that this program has no code for: most likely a crate that is not linked.
async fn warn_of_unlinked_domains(registry: &Registry, storage: &dyn Storage) -> Result<()> {
    for stored in storage.domains().await? {
        let stored = stored.as_str();
        let known = registry.state_of(stored).is_some() || registry.remotes.contains_key(stored);
        if !known {
            tracing::warn!(
                domain = stored,
                "the store holds streams of a domain that this program has no aggregate for; if a crate of yours has it, \
                 that crate is not linked: name it (`use that_crate as _;`)"
            );
        }
    }
    Ok(())
}
