//! Sagas: one event in, commands out (rows G).
//!
//! In: a batch of events of the saga's domain. Out: commands, each run once by its provenance. Never: state; a repeat of
//! the same event gives the same commands, and their targets know them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::emission::Sender;
use super::lanes::in_lanes;
use super::ownership::TAKEN_OVER;
use super::{CascadeLink, ComponentKind};
use crate::command::{Because, Core};
use crate::dead_letter::{self, DeadLetterId, EventFailure, Resolution};
use crate::declare::{Emission, Instance};
use crate::error::{Error, Result};
use crate::registry::Saga;
use crate::stream::upcast::Upcasted;
use crate::stream::{Edition, LogEvent, Name, StoredEvent, StreamKey};
use crate::telemetry::{self, AtEvent};

/// Streams that one saga works on at a time; each of them in order.
const STREAMS_AT_ONCE: usize = 256;

/// Runs one saga.
pub(crate) struct SagaRunner {
    pub(super) name: &'static str,
    domain: &'static str,
    instance: Instance,
    /// One at a time: dead letters that are tried again.
    retries: tokio::sync::Mutex<()>,
    /// The last batch did not come to its end: parts of it were done.
    interrupted: AtomicBool,
}

/// Why an event was not handled to its end.
enum Failure {
    /// The saga cannot handle it.
    Event(EventFailure),
    /// Something else is in the way: the event has to wait.
    Held(String),
}

impl SagaRunner {
    pub(crate) fn new(saga: &Saga, instance: Instance) -> Self {
        Self {
            name: saga.descriptor.name,
            domain: saga.descriptor.domain,
            instance,
            retries: tokio::sync::Mutex::new(()),
            interrupted: AtomicBool::new(false),
        }
    }

    fn saga<'c>(&self, core: &'c Core) -> &'c Saga {
        &core.registry.sagas[self.name]
    }

    /// One event: every command and fact of it, in order.
    async fn react(
        &self,
        core: &Core,
        stream: &StreamKey,
        stored: StoredEvent,
        link: Option<&CascadeLink>,
        in_doubt: bool,
    ) -> Result<(), Failure> {
        let (sequence, position) = (stored.sequence, stored.position);
        let headers = stored.headers.clone().with_wait(link.and_then(CascadeLink::mark));
        let upcast: Upcasted = core.today(stream, stored).await.map_err(|error| match error {
            Error::OutOfReach { .. } => Failure::Held(error.to_string()),
            error => Failure::Event(EventFailure { reason: error.to_string(), tries: 1, transient: false }),
        })?;
        let sender = Sender {
            kind: ComponentKind::Saga,
            component: Name::from_static(self.name),
            source: stream,
            source_seq: sequence,
            edition: Edition::of(&stream.edition, headers.divergences()),
            headers,
            link,
            in_doubt,
            intent: None,
            because: Some(Because { stream, sequence, position }),
        };
        // A split event keeps one sequence: the command index runs on over its parts. The first part that fails ends it,
        // so that the commands of a repeat have the same indexes.
        let mut index = 0;
        for event in upcast {
            for emission in self.decide(core, stream, &event).await? {
                core.emit(&sender, index, &emission, None).await.map_err(Failure::Held)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// What it sends for an event that a caller gives, in the order in which a delivery would number it (row G2).
    #[cfg(feature = "server")]
    pub(super) async fn would_send(
        &self,
        core: &Core,
        stream: &StreamKey,
        stored: &StoredEvent,
    ) -> Result<Vec<Emission>> {
        let mut all = Vec::new();
        for event in core.today(stream, stored.clone()).await? {
            let emissions = super::react(core, self.saga(core), &self.instance, stream, &event).await;
            let checked = emissions.and_then(|emissions| core.check_emissions(&emissions).map(|()| emissions));
            all.extend(checked.map_err(|error| error.of(self.name))?);
        }
        Ok(all)
    }

    /// The same, and a letter if the saga cannot handle it.
    async fn handle_one(&self, core: &Core, item: &LogEvent, in_doubt: bool) -> Result<(), String> {
        let (stream, sequence) = (&item.stream, item.event.sequence);
        if !core.ownership.has_partition(self.name, core.ownership.partition_of(stream)) {
            return Err(TAKEN_OVER.to_owned());
        }
        let link = core.link_for(self.name, stream, &item.event);
        if let Some(link) = &link
            && let Some(failure) = core.too_deep(link, self.name, ComponentKind::Saga, stream, sequence).await
        {
            return core.stop_cascade(self.name, ComponentKind::Saga, item, failure, link).await;
        }
        match self.react(core, stream, item.event.clone(), link.as_ref(), in_doubt).await {
            Ok(()) => {
                core.handled(self.name, ComponentKind::Saga, stream, &item.event, Ok(None));
                Ok(())
            }
            Err(Failure::Held(reason)) => Err(reason),
            Err(Failure::Event(failure)) => {
                core.dead_letter_event(self.name, ComponentKind::Saga, item, &failure).await
            }
        }
    }

    /// What this saga tells of an event.
    fn at<'e>(&self, stream: &'e StreamKey, event: &'e StoredEvent) -> AtEvent<'e> {
        AtEvent { component: self.name, kind: ComponentKind::Saga, stream, event }
    }

    /// Tries an event of the dead letters again. Commands that were done the first time are known by their provenance.
    pub(crate) async fn retry(&self, core: &Core, id: DeadLetterId) -> Result<()> {
        let _turn = self.retries.lock().await;
        let letter = dead_letter::open(core, id).await?;
        let item = dead_letter::parked_event(&letter)?;
        let span = telemetry::reaction_span(self.at(&item.stream, &item.event));
        let message = match telemetry::within(span, self.react(core, &item.stream, item.event, None, true)).await {
            Ok(()) => return dead_letter::resolve(core, id, Resolution::Retried { at: core.now() }).await,
            Err(Failure::Held(reason)) => reason,
            Err(Failure::Event(failure)) => {
                dead_letter::store(core, dead_letter::failed_again(&letter, &failure)).await?;
                failure.reason
            }
        };
        Err(Error::Component { component: self.name.to_owned(), message })
    }

    /// Runs the handler; transient errors are retried within the budget (row D4).
    async fn decide(&self, core: &Core, stream: &StreamKey, event: &StoredEvent) -> Result<Vec<Emission>, Failure> {
        let mut delays = core.reaction_delays();
        let mut tries = 1;
        loop {
            let emissions = super::react(core, self.saga(core), &self.instance, stream, event).await;
            // One without a target fails the event before any of its commands runs (row G6).
            let checked = emissions.and_then(|emissions| core.check_emissions(&emissions).map(|()| emissions));
            let error = match checked {
                Ok(emissions) => return Ok(emissions),
                Err(error) => error,
            };
            if error.is_outage() {
                return Err(Failure::Held(error.message().to_owned()));
            }
            telemetry::failed(self.at(stream, event), tries, &error);
            match delays.next() {
                Some(delay) if !error.is_permanent() => tokio::time::sleep(delay).await,
                _ => return Err(Failure::Event(EventFailure::new(&error, tries))),
            }
            tries += 1;
        }
    }

    /// Handles a batch, in order within each stream. An error leaves it unhandled: it comes again, and commands that were
    /// done are known by their provenance.
    pub(super) async fn handle(&self, core: &Core, batch: Vec<LogEvent>) -> Result<(), String> {
        let was_interrupted = self.interrupted.swap(true, Ordering::Relaxed);
        in_lanes(
            batch,
            STREAMS_AT_ONCE,
            |item| item.stream.clone(),
            |item| async move {
                let span = telemetry::reaction_span(self.at(&item.stream, &item.event));
                let in_doubt = was_interrupted || core.may_have_been_handled(item.event.position);
                telemetry::within(span, self.handle_one(core, &item, in_doubt)).await
            },
        )
        .await?;
        self.interrupted.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn wants(&self, event: &LogEvent) -> bool {
        // Old versions may have other names than the handlers know: what the domain says is for us, types are matched
        // after upcasting.
        event.stream.domain == self.domain
    }
}
