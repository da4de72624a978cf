//! From a description to a running program, or to every mistake at once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{Inner, Runtime};
use crate::command::{Core, Doubts, EditionGate, StateCache};
use crate::declare::{Clock, IdSource, Instance, RandomIds, SystemClock};
use crate::error::Result;
use crate::reaction::{
    Component, Escalate, Escalation, IntentDesk, ProcessManagerRunner, ProjectorRunner, SagaRunner, Subscription,
    Subscriptions, WaitBoard,
};
use crate::registry::{Problem, Registry, WiringErrors};
use crate::storage::{BoxFuture, Memory, Storage, StorageError, Writer};
use crate::stream::Limits;
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
}

/// Describes a runtime. Nothing happens before [`build`](Self::build).
pub struct Builder {
    storage: Option<Box<dyn OpenStorage>>,
    transport: Option<Arc<dyn Transport>>,
    outbox: bool,
    instances: Vec<(TypeId, &'static str, Instance)>,
    expected_domains: Vec<String>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    limits: Limits,
    cache_bytes: u64,
    sync_deadline: Duration,
    drain_limit: Duration,
    attempts: u32,
    reaction_attempts: u32,
    reaction_backoff: (Duration, Duration),
    cascade_depth: u32,
    escalate: Option<Arc<Escalate>>,
    problems: Vec<Problem>,
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
            problems: Vec::new(),
        }
    }
}

impl Builder {
    /// Where events are kept; memory if nothing is said.
    #[must_use]
    pub fn storage(mut self, storage: impl OpenStorage) -> Self {
        self.storage = Some(Box::new(storage));
        self
    }

    /// The storage by URL: `memory:`, `sqlite:bank.db`, `sqlite:bank.db?durability=relaxed`. A URL that cannot work is
    /// told by [`build`](Self::build), together with every other mistake.
    #[must_use]
    pub fn storage_url(mut self, url: &str) -> Self {
        match crate::storage::by_url(url) {
            Ok(storage) => self.storage = Some(storage),
            Err(problem) => self.problems.push(Problem::error(problem)),
        }
        self
    }

    /// How subscribers are woken; within this process if nothing is said.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The transport by URL: `local:`, `nats://127.0.0.1:4222?prefix=shop` (cargo feature `nats`),
    /// `amqp://127.0.0.1:5672?prefix=shop` (cargo feature `amqp`). A URL that cannot work is told by [`build`](Self::build), together with every other mistake.
    #[must_use]
    pub fn transport_url(mut self, url: &str) -> Self {
        match crate::transport::by_url(url) {
            Ok(transport) => self.transport = Some(transport),
            Err(problem) => self.problems.push(Problem::error(problem)),
        }
        self
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
        self
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
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bytes of states that are kept for the next command; 256 MiB if nothing is said. A state that is not kept costs a
    /// read.
    #[must_use]
    pub fn state_cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long a SIMPLE command waits for projectors; 5 s if nothing is said (row S9).
    #[must_use]
    pub fn sync_deadline(mut self, deadline: Duration) -> Self {
        self.sync_deadline = deadline;
        self
    }

    /// How long a shutdown waits for what runs; 30 s if nothing is said (row R6).
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Tries of a command against other writers (row C6), at least 1; 16 if nothing is said.
    #[must_use]
    pub fn command_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Retries of an event in a saga or projector before it is dead-lettered (rows G3, J2, D4); 8 if nothing is said.
    #[must_use]
    pub fn reaction_attempts(mut self, attempts: u32) -> Self {
        self.reaction_attempts = attempts;
        self
    }

    /// The pauses between those retries: they grow from `min` to `max`, with jitter; 5 ms to 500 ms if nothing is said.
    #[must_use]
    pub fn reaction_backoff(mut self, min: Duration, max: Duration) -> Self {
        self.reaction_backoff = (min, max.max(min));
        self
    }

    /// Reactions one after the other in a CASCADE before it is stopped; 32 if nothing is said (row S8).
    #[must_use]
    pub fn cascade_depth(mut self, reactions: u32) -> Self {
        self.cascade_depth = reactions;
        self
    }

    /// Who is called when a compensation gives up and escalates (row K4). It may be called again for the same one after a
    /// crash.
    #[must_use]
    pub fn on_escalation(mut self, hook: impl Fn(&Escalation) + Send + Sync + 'static) -> Self {
        self.escalate = Some(Arc::new(hook));
        self
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
        let (registry, found) = Registry::collect_all(&self.limits);
        let mut problems = self.problems.clone();
        problems.extend(found);
        self.check_expected(&registry, &mut problems);
        (registry, problems)
    }

    /// What this builder would use: (setting, value).
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let storage = self.storage.as_ref().map_or_else(|| "memory".to_owned(), |storage| storage.describe());
        let transport = self.transport.as_ref().map_or_else(|| "local".to_owned(), |transport| transport.describe());
        vec![
            ("storage", storage),
            ("transport", transport),
            ("outbox", self.outbox.to_string()),
            ("state_cache_bytes", self.cache_bytes.to_string()),
            ("sync_deadline", format!("{:?}", self.sync_deadline)),
            ("drain_limit", format!("{:?}", self.drain_limit)),
            ("command_attempts", self.attempts.to_string()),
            ("cascade_depth", self.cascade_depth.to_string()),
            ("reaction_attempts", self.reaction_attempts.to_string()),
            ("reaction_backoff", format!("{:?} to {:?}", self.reaction_backoff.0, self.reaction_backoff.1)),
            ("limits.payload_bytes", self.limits.payload_bytes.to_string()),
            ("limits.ext_bytes", self.limits.ext_bytes.to_string()),
            ("limits.events_per_command", self.limits.events_per_command.to_string()),
            ("limits.pages_per_book", self.limits.pages_per_book.to_string()),
            ("limits.domain_name_chars", self.limits.domain_name_chars.to_string()),
            ("limits.edition_name_chars", self.limits.edition_name_chars.to_string()),
            ("limits.id_bytes", self.limits.id_bytes.to_string()),
        ]
    }

    /// Opens the store for questions only and starts nothing: for tools that look at what a running process writes.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub async fn open_store(mut self) -> Result<Arc<dyn Storage>> {
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
        let storage = match self.storage.take() {
            Some(storage) => storage.open().await?,
            None => Arc::new(Memory::new()),
        };
        let kept = storage.clone();
        match self.start(registry, storage).await {
            Ok(runtime) => Ok(runtime),
            Err(error) => {
                // Whoever mends it tries again, on a store that nobody holds.
                if let Err(error) = kept.close().await {
                    tracing::warn!(%error, "the store was not closed properly after a start that failed");
                }
                Err(error)
            }
        }
    }

    async fn start(self, registry: Registry, storage: Arc<dyn Storage>) -> Result<Runtime> {
        warn_of_unlinked_domains(&registry, storage.as_ref()).await?;
        let core = Arc::new(self.core(registry, storage));
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
        let all =
            projectors.chain(sagas).chain(processes).map(|component| Arc::new(Subscription::new(component))).collect();
        let subscriptions = Subscriptions::start(&core, all).await?;
        let publishing = Publishing::start(&core, relay);
        let (ending, drain_limit) = (OnceLock::new(), self.drain_limit);
        Ok(Runtime { inner: Arc::new(Inner { core, subscriptions, publishing, ending, drain_limit }) })
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

fn no_instance(kind: &str, name: &str, rust_name: &str, location: crate::declare::Location) -> Problem {
    Problem::error(format!("the {kind} `{name}` holds something and got no instance"))
        .at(location, format!("`{rust_name}` has fields"))
        .hint(format!("add `.with({rust_name} {{ … }})` to the builder"))
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
