//! Sagas: one event in, commands out (rows G).
//!
//! In: a batch of events of the saga's domain. Out: commands, each run once by its provenance. Never: state; a repeat of
//! the same event gives the same commands, and their targets know them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::stream::{self, StreamExt as _};

use super::subscription::{Runner, context_of};
use crate::command::{Core, Provenance, ReactionCommand, panic_text};
use crate::dead_letter;
use crate::declare::{AnyCommand, Instance, ReactionError};
use crate::error::{Error, Result};
use crate::reaction::ComponentKind;
use crate::registry::Saga;
use crate::storage::{BoxFuture, Extras, Write};
use crate::stream::upcast::Upcasted;
use crate::stream::{Edition, LogEvent, Name, StoredEvent, StreamKey};

/// Streams that one saga works on at a time; each of them in order.
const STREAMS_AT_ONCE: usize = 256;

/// Runs one saga.
pub(crate) struct SagaRunner {
    name: &'static str,
    domain: &'static str,
    instance: Instance,
}

impl SagaRunner {
    pub(crate) fn new(saga: &Saga, instance: Instance) -> Self {
        Self { name: saga.descriptor.name, domain: saga.descriptor.domain, instance }
    }

    fn saga<'c>(&self, core: &'c Core) -> &'c Saga {
        &core.registry.sagas[self.name]
    }

    /// One event: every command of it, in order.
    async fn react(&self, core: &Core, stream: &StreamKey, stored: StoredEvent) -> Result<(), String> {
        let original = stored.clone();
        let upcast: Upcasted = match core.upcast(stream, stored) {
            Ok(upcast) => upcast,
            Err(error) => return self.give_up(core, stream, &original, &error.to_string(), 0, false).await,
        };
        // A split event keeps one sequence: the command index runs on over its parts.
        let mut index = 0;
        for event in upcast {
            let commands = match self.decide(core, stream, &event).await {
                Ok(commands) => commands,
                Err((error, attempts)) => {
                    self.give_up(core, stream, &original, error.message(), attempts, !error.is_permanent()).await?;
                    continue;
                }
            };
            for command in commands {
                let provenance = Provenance {
                    source: stream.clone(),
                    source_seq: event.sequence,
                    component: Name::from_static(self.name),
                    command_index: index,
                };
                index += 1;
                self.run(core, stream, &event, &command, &provenance).await?;
            }
        }
        Ok(())
    }

    /// Runs the handler; transient errors are retried within the budget (row D4).
    async fn decide(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
    ) -> Result<Vec<AnyCommand>, (ReactionError, u32)> {
        let Some(handler) = self.saga(core).handlers.get(event.type_name.as_str()) else { return Ok(Vec::new()) };
        let context = context_of(core, stream, event);
        let mut delays = crate::command::retry_delays(core.reaction_attempts);
        let mut attempts = 0;
        loop {
            let mut commands = Vec::new();
            let result = catch_unwind(AssertUnwindSafe(|| {
                (handler.react)(self.instance.as_ref(), &event.payload, &context, &mut commands)
            }));
            let error = match result {
                Ok(Ok(())) => return Ok(commands),
                Ok(Err(error)) => error,
                Err(panic) => ReactionError::transient(format!("panicked: {}", panic_text(panic.as_ref()))),
            };
            tracing::warn!(component = self.name, %stream, sequence = event.sequence, attempts, %error, "saga handler failed");
            if error.is_permanent() {
                return Err((error, attempts));
            }
            match delays.next() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err((error, attempts)),
            }
            attempts += 1;
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
        let mut delays = crate::command::retry_delays(core.reaction_attempts);
        let mut attempts = 1;
        let error = loop {
            match core.handle_reaction(&reaction).await {
                Ok(receipt) => {
                    tracing::debug!(
                        component = self.name, source = %stream, sequence = event.sequence, target = %receipt.stream(),
                        correlation_id = event.headers.correlation_id(), repeat = receipt.already_processed(), "saga command done"
                    );
                    return Ok(());
                }
                // Not an outcome of the command: it comes again after the restart.
                Err(Error::ShuttingDown) => return Err("the runtime is shutting down".to_owned()),
                Err(error) if error.is_retryable() => match delays.next() {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None if matches!(error, Error::Storage(_)) => return Err(error.to_string()),
                    None => break error,
                },
                Err(error) => break error,
            }
            attempts += 1;
        };
        tracing::warn!(component = self.name, source = %stream, sequence = event.sequence, %error, "saga command dead-lettered");
        let letter = dead_letter::reaction_command(core, &reaction, &error, attempts);
        store(core, letter).await
    }

    async fn give_up(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
        reason: &str,
        attempts: u32,
        transient: bool,
    ) -> Result<(), String> {
        let failed =
            dead_letter::FailedEvent { component: self.name, kind: ComponentKind::Saga, reason, attempts, transient };
        store(core, dead_letter::failed_event(core, stream, event, &failed)).await
    }
}

/// Durable before the event counts as handled (row D1).
async fn store(core: &Core, letter: crate::dead_letter::DeadLetter) -> Result<(), String> {
    let write = Write::extras(Extras { dead_letters: vec![letter], ..Extras::default() });
    core.writer.commit(write).await.map(|_| ()).map_err(|error| error.to_string())
}

impl Runner for SagaRunner {
    fn start<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { Ok(core.storage.checkpoint(self.name).await?.unwrap_or(0)) })
    }

    fn handle<'a>(&'a self, core: &'a Core, batch: Vec<LogEvent>, _upto: u64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
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
                        self.react(core, &stream, event).await?;
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
        })
    }

    fn parked(&self) -> usize {
        0
    }

    fn wants(&self, event: &LogEvent) -> bool {
        // Old versions may have other names than the handlers know: what the domain says is for us, types are matched
        // after upcasting.
        event.stream.domain == self.domain
    }

    fn keeps_checkpoint(&self) -> bool {
        false
    }
}
