//! Sagas: one event in, commands out (rows G).
//!
//! In: a batch of events of the saga's domain. Out: commands, each run once by its provenance. Never: state; a repeat of
//! the same event gives the same commands, and their targets know them.

use futures_util::stream::{self, StreamExt as _};

use crate::command::{Core, Provenance, ReactionCommand};
use crate::dead_letter::{self, DeadLetterId, EventFailure, Resolution};
use crate::declare::{AnyCommand, Emission, Instance};
use crate::error::{Error, Result};
use crate::reaction::ComponentKind;
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
        }
    }

    fn saga<'c>(&self, core: &'c Core) -> &'c Saga {
        &core.registry.sagas[self.name]
    }

    /// One event: every command of it, in order.
    async fn react(&self, core: &Core, stream: &StreamKey, stored: StoredEvent) -> Result<(), Failure> {
        let upcast: Upcasted = core
            .upcast(stream, stored)
            .map_err(|error| Failure::Event(EventFailure { reason: error.to_string(), tries: 1, transient: false }))?;
        // A split event keeps one sequence: the command index runs on over its parts. The first part that fails ends it,
        // so that the commands of a repeat have the same indexes.
        let mut index = 0;
        for event in upcast {
            for emission in self.decide(core, stream, &event).await.map_err(Failure::Event)? {
                let Emission::Command(command) = emission else {
                    return Err(Failure::Held("facts are not carried yet".to_owned()));
                };
                let provenance = Provenance {
                    source: stream.clone(),
                    source_seq: event.sequence,
                    component: Name::from_static(self.name),
                    command_index: index,
                };
                index += 1;
                self.run(core, stream, &event, &command, &provenance).await.map_err(Failure::Held)?;
            }
        }
        Ok(())
    }

    /// The same, and a letter if the saga cannot handle it.
    async fn handle_one(&self, core: &Core, stream: &StreamKey, event: StoredEvent) -> Result<(), String> {
        match self.react(core, stream, event.clone()).await {
            Ok(()) => Ok(()),
            Err(Failure::Held(reason)) => Err(reason),
            Err(Failure::Event(failure)) => {
                let item = LogEvent { stream: stream.clone(), event };
                let letter = dead_letter::failed_event(core, self.name, ComponentKind::Saga, &item, &failure);
                // One that an operator has discarded is no news.
                if dead_letter::store(core, letter).await.map_err(|error| error.to_string())? {
                    telemetry::event_dead_lettered(self.at(&item.stream, &item.event), &failure.reason);
                }
                Ok(())
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
        let message = match telemetry::within(span, self.react(core, &item.stream, item.event)).await {
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
    async fn decide(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
    ) -> Result<Vec<Emission>, EventFailure> {
        let mut delays = core.reaction_delays();
        let mut tries = 1;
        loop {
            let error = match super::react(core, self.saga(core), &self.instance, stream, event) {
                Ok(commands) => return Ok(commands),
                Err(error) => error,
            };
            telemetry::failed(self.at(stream, event), tries, &error);
            match delays.next() {
                Some(delay) if !error.is_permanent() => tokio::time::sleep(delay).await,
                _ => return Err(EventFailure::new(&error, tries)),
            }
            tries += 1;
        }
    }

    /// Runs one command. A rejection is final; what can pass is retried, then dead-lettered (row G3).
    async fn run(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
        command: &AnyCommand,
        provenance: &Provenance,
    ) -> Result<(), String> {
        let edition = Edition::named(stream.edition.as_str());
        let reaction = ReactionCommand { command, provenance, edition: &edition, headers: event.headers.clone() };
        let mut delays = core.reaction_delays();
        let mut tries = 1;
        let error = loop {
            match core.handle_reaction(&reaction).await {
                Ok(receipt) => {
                    telemetry::command_sent(command, &receipt);
                    return Ok(());
                }
                // Not an outcome of the command: it comes again after the restart.
                Err(Error::ShuttingDown) => return Err("the runtime is shutting down".to_owned()),
                Err(error) => match delays.next().filter(|_| error.is_retryable()) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    // A full disk says nothing about the command: it waits until the store is well again.
                    None if matches!(error, Error::Storage(_)) => return Err(error.to_string()),
                    None => break error,
                },
            }
            tries += 1;
        };
        let letter = dead_letter::reaction_command(core, &reaction, &error, tries);
        if dead_letter::store(core, letter).await.map_err(|error| error.to_string())? {
            telemetry::command_dead_lettered(self.at(stream, event), command, &error);
        }
        Ok(())
    }

    /// Where to begin; events up to this position are handled.
    pub(super) async fn start(&self, core: &Core) -> Result<u64> {
        Ok(core.storage.checkpoint(self.name).await?.unwrap_or(0))
    }

    /// Handles a batch, in order within each stream. An error leaves it unhandled: it comes again, and commands that were
    /// done are known by their provenance.
    pub(super) async fn handle(&self, core: &Core, batch: Vec<LogEvent>) -> Result<(), String> {
        // One lane a stream: order within, many lanes at once, so that their commands share commits.
        let mut lanes: Vec<(StreamKey, Vec<StoredEvent>)> = Vec::new();
        let mut lane_of = std::collections::HashMap::new();
        for LogEvent { stream, event } in batch {
            let lane = *lane_of.entry(stream.clone()).or_insert_with(|| {
                lanes.push((stream, Vec::new()));
                lanes.len() - 1
            });
            lanes[lane].1.push(event);
        }
        let mut done = stream::iter(lanes)
            .map(|(stream, events)| async move {
                for event in events {
                    let span = telemetry::reaction_span(self.at(&stream, &event));
                    telemetry::within(span, self.handle_one(core, &stream, event)).await?;
                }
                Ok::<(), String>(())
            })
            .buffer_unordered(STREAMS_AT_ONCE);
        let mut failure = None;
        while let Some(result) = done.next().await {
            if let Err(reason) = result {
                failure = Some(reason);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn wants(&self, event: &LogEvent) -> bool {
        // Old versions may have other names than the handlers know: what the domain says is for us, types are matched
        // after upcasting.
        event.stream.domain == self.domain
    }
}
