//! Figures for Prometheus: what the stages count, and where everything stands when somebody asks.
//!
//! In: what a stage knows at its end. Out: counters and histograms under the stable names of [`prometheus`](super::prometheus).
//! Never: a cost before somebody has asked for figures: until then a stage finds nobody there, and goes on.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::command::{Outcome, Submission};
use crate::error::Result;
use crate::storage::{Write, WriteError, Written};

type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Everything that is counted in this process.
pub(super) struct Metrics {
    pub(super) registry: Mutex<Registry>,
    commands: Counters<3>,
    command_duration: Family<Labels<1>, Histogram, fn() -> Histogram>,
    events_stored: Counters<1>,
    states_loaded: Counters<2>,
    command_retries: Counters<1>,
    reaction_failures: Counters<2>,
    dead_letters: Counters<1>,
    batch_writes: Histogram,
    published: Counter,
}

static METRICS: OnceLock<Metrics> = OnceLock::new();

impl Metrics {
    /// Begins to count, if nobody has yet.
    pub(super) fn start() -> &'static Self {
        METRICS.get_or_init(Self::new)
    }

    fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("angzarr")),
            commands: Family::default(),
            // 50 microseconds to 26 seconds.
            command_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_05, 2.0, 20))),
            events_stored: Family::default(),
            states_loaded: Family::default(),
            command_retries: Family::default(),
            reaction_failures: Family::default(),
            dead_letters: Family::default(),
            batch_writes: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            published: Counter::default(),
        };
        let mut registry = metrics.registry.lock();
        registry.register("commands", "Commands by what came of them", metrics.commands.clone());
        registry.register_with_unit(
            "command_duration",
            "From the load of the state to the commit",
            Unit::Seconds,
            metrics.command_duration.clone(),
        );
        registry.register("events_stored", "Events stored", metrics.events_stored.clone());
        registry.register("states_loaded", "States, from the cache or the store", metrics.states_loaded.clone());
        registry.register("command_retries", "Tries of commands that came again", metrics.command_retries.clone());
        registry.register("reaction_failures", "Events that a handler failed on", metrics.reaction_failures.clone());
        registry.register("dead_letters", "Dead letters added", metrics.dead_letters.clone());
        registry.register("writer_batch_writes", "Writes in one commit", metrics.batch_writes.clone());
        registry.register("relay_published", "Events that the transport has confirmed", metrics.published.clone());
        drop(registry);
        metrics
    }
}

/// When a command began, if somebody wants to know.
#[derive(Clone, Copy)]
pub(crate) struct Began(Option<Instant>);

/// A command begins.
pub(crate) fn begins() -> Began {
    Began(METRICS.get().map(|_| Instant::now()))
}

/// A command has ended.
pub(crate) fn ended(began: Began, submission: &Submission<'_>, outcome: &Result<Outcome>) {
    let (Some(metrics), Some(began)) = (METRICS.get(), began.0) else { return };
    let domain = || submission.key.domain.to_string();
    let command = submission.pages.first().map(|page| (page.decider.full_name)()).unwrap_or_default();
    let came_to = match outcome {
        Ok(outcome) if outcome.duplicate => "repeat",
        Ok(outcome) if outcome.moot => "moot",
        Ok(_) => "accepted",
        Err(error) => error.code(),
    };
    let labels = [("domain", domain()), ("command", command), ("outcome", came_to.to_owned())];
    metrics.commands.get_or_create(&labels).inc();
    metrics.command_duration.get_or_create(&[("domain", domain())]).observe(began.elapsed().as_secs_f64());
    if let Ok(outcome) = outcome
        && !outcome.duplicate
        && !outcome.events.is_empty()
    {
        metrics.events_stored.get_or_create(&[("domain", domain())]).inc_by(outcome.events.len() as u64);
    }
}

/// A state is at hand.
pub(super) fn state_loaded(domain: &str, source: &'static str) {
    if let Some(metrics) = METRICS.get() {
        let labels = [("domain", domain.to_owned()), ("source", source.to_owned())];
        metrics.states_loaded.get_or_create(&labels).inc();
    }
}

/// A command is tried again.
pub(super) fn command_retried(reason: &'static str) {
    if let Some(metrics) = METRICS.get() {
        metrics.command_retries.get_or_create(&[("reason", reason.to_owned())]).inc();
    }
}

/// A handler has failed on an event.
pub(super) fn reaction_failed(component: &str, kind: &'static str) {
    if let Some(metrics) = METRICS.get() {
        let labels = [("component", component.to_owned()), ("kind", kind.to_owned())];
        metrics.reaction_failures.get_or_create(&labels).inc();
    }
}

/// The transport has confirmed events.
pub(super) fn published(events: usize) {
    if let Some(metrics) = METRICS.get() {
        metrics.published.inc_by(events as u64);
    }
}

/// So many writes were committed together.
pub(crate) fn batch_committed(writes: usize) {
    if let Some(metrics) = METRICS.get() {
        metrics.batch_writes.observe(writes as f64);
    }
}

/// Whose dead letters a write brings.
pub(crate) struct Letters(Vec<String>);

/// Whose dead letters a write brings, if somebody wants to know.
pub(crate) fn letters_in(write: &Write) -> Letters {
    let letters = write.extras.as_ref().filter(|_| METRICS.get().is_some()).map(|extras| &extras.dead_letters);
    Letters(
        letters
            .into_iter()
            .flatten()
            .filter(|it| it.resolution.is_none())
            .map(|it| it.letter.source_component.clone())
            .collect(),
    )
}

/// What became of that write.
pub(crate) fn letters_stored(letters: Letters, outcome: &std::result::Result<Written, WriteError>) {
    if outcome.is_ok()
        && let Some(metrics) = METRICS.get()
    {
        for component in letters.0 {
            metrics.dead_letters.get_or_create(&[("component", component)]).inc();
        }
    }
}

/// Longer than a scrape may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
