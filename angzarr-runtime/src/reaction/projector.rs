//! Projectors: events become rows of a read model (rows J).
//!
//! In: a batch of events, in order. Out: handler calls; with a read model, rows and checkpoint in one transaction. Never:
//! an event of a stream whose earlier event failed: it is parked behind it, in order (row J2).

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use super::ErasedReadModel;
use super::subscription::{Runner, context_of};
use crate::command::{Core, panic_text, retry_delays};
use crate::dead_letter::{self, DeadLetterFilter};
use crate::declare::{Instance, ReactionError};
use crate::error::{Error, Result};
use crate::reaction::ComponentKind;
use crate::registry::Projector;
use crate::storage::{BoxFuture, Extras, Write};
use crate::stream::{LogEvent, StreamKey};

type Unit = Arc<dyn std::any::Any + Send + Sync>;
type Projected = Result<Option<prost_types::Any>, ReactionError>;

/// Runs one projector.
pub(crate) struct ProjectorRunner {
    name: &'static str,
    domains: &'static [&'static str],
    all_editions: bool,
    instance: Instance,
    read_model: Option<Arc<dyn ErasedReadModel>>,
    parked: Mutex<HashSet<StreamKey>>,
    /// One at a time: a batch of the log, or a dead letter that is tried again.
    turn: tokio::sync::Mutex<()>,
}

/// Projections that are told to waiting commands once they are committed.
type Told = Vec<(StreamKey, u32, Option<prost_types::Any>)>;

impl ProjectorRunner {
    pub(crate) fn new(projector: &Projector, instance: Instance) -> Self {
        let descriptor = projector.descriptor;
        Self {
            name: descriptor.name,
            domains: descriptor.domains,
            all_editions: descriptor.all_editions,
            read_model: (descriptor.read_model)(instance.as_ref()),
            instance,
            parked: Mutex::new(HashSet::new()),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// One event, once.
    async fn project(&self, core: &Core, item: &LogEvent, unit: Option<&Unit>) -> Projected {
        let upcast = core
            .upcast(&item.stream, item.event.clone())
            .map_err(|error| ReactionError::permanent(error.to_string()))?;
        let mut projection = None;
        for event in upcast {
            let Some(handler) = core.registry.projectors[self.name].handlers.get(event.type_name.as_str()) else {
                continue;
            };
            let mut context = context_of(core, &item.stream, &event);
            context.transaction = unit.cloned();
            let call =
                AssertUnwindSafe(async { (handler.project)(self.instance.as_ref(), &event.payload, &context).await });
            match call.catch_unwind().await {
                Ok(result) => projection = result?.or(projection),
                Err(panic) => {
                    let text = panic_text(panic.as_ref());
                    return Err(ReactionError::transient(format!("`{}` panicked: {text}", handler.method)));
                }
            }
        }
        Ok(projection)
    }

    /// The whole batch in one transaction; the error is that of the first event that failed.
    async fn all_at_once(
        &self,
        core: &Core,
        model: &dyn ErasedReadModel,
        batch: &[LogEvent],
        upto: u64,
    ) -> Result<Told, String> {
        let unit = model.unit();
        let mut told = Vec::with_capacity(batch.len());
        for item in batch {
            if self.is_parked(&item.stream) {
                self.park(core, item, "an earlier event of this stream is parked", 0, false).await?;
                continue;
            }
            match self.project(core, item, Some(&unit)).await {
                Ok(projection) => told.push((item.stream.clone(), item.event.sequence, projection)),
                Err(error) => {
                    tracing::debug!(component = self.name, stream = %item.stream, %error, "a batch falls back to single events");
                    model.rollback(unit).await.map_err(|error| error.to_string())?;
                    return Err(error.to_string());
                }
            }
        }
        model.commit(unit, self.name, upto).await.map_err(|error| error.to_string())?;
        Ok(told)
    }

    /// Event by event, each with its retries; one that keeps failing parks its stream.
    async fn one_by_one(&self, core: &Core, batch: &[LogEvent], upto: u64) -> Result<(), String> {
        for item in batch {
            if self.is_parked(&item.stream) {
                self.park(core, item, "an earlier event of this stream is parked", 0, false).await?;
                continue;
            }
            if let Err((error, attempts)) = self.with_retries(core, item, item.event.position).await {
                self.park(core, item, error.message(), attempts, !error.is_permanent()).await?;
            }
        }
        match &self.read_model {
            Some(model) => model.commit(model.unit(), self.name, upto).await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    async fn with_retries(&self, core: &Core, item: &LogEvent, checkpoint: u64) -> Result<(), (ReactionError, u32)> {
        let mut delays = retry_delays(core.reaction_attempts);
        let mut attempts = 0;
        loop {
            let error = match self.once(core, item, checkpoint).await {
                Ok(projection) => {
                    core.waits.handled(self.name, &item.stream, item.event.sequence, Ok(projection));
                    return Ok(());
                }
                Err(error) => error,
            };
            tracing::warn!(
                component = self.name, stream = %item.stream, sequence = item.event.sequence, attempts, %error,
                "projector handler failed"
            );
            if error.is_permanent() {
                return Err((error, attempts));
            }
            let Some(delay) = delays.next() else { return Err((error, attempts)) };
            tokio::time::sleep(delay).await;
            attempts += 1;
        }
    }

    /// One event in a transaction of its own.
    async fn once(&self, core: &Core, item: &LogEvent, checkpoint: u64) -> Projected {
        let Some(model) = &self.read_model else { return self.project(core, item, None).await };
        let unit = model.unit();
        match self.project(core, item, Some(&unit)).await {
            Ok(projection) => {
                model.commit(unit, self.name, checkpoint).await?;
                Ok(projection)
            }
            Err(error) => {
                model.rollback(unit).await?;
                Err(error)
            }
        }
    }

    fn is_parked(&self, stream: &StreamKey) -> bool {
        let parked = self.parked.lock();
        !parked.is_empty() && parked.contains(stream)
    }

    /// The event goes to the dead letters, durably, before the checkpoint moves past it (rows D1, J2).
    async fn park(
        &self,
        core: &Core,
        item: &LogEvent,
        reason: &str,
        attempts: u32,
        transient: bool,
    ) -> Result<(), String> {
        let failed = dead_letter::FailedEvent {
            component: self.name,
            kind: ComponentKind::Projector,
            reason,
            attempts,
            transient,
        };
        let letter = dead_letter::failed_event(core, &item.stream, &item.event, &failed);
        let write = Write::extras(Extras { dead_letters: vec![letter], ..Extras::default() });
        core.writer.commit(write).await.map_err(|error| error.to_string())?;
        core.waits.handled(self.name, &item.stream, item.event.sequence, Err(format!("parked: {reason}")));
        if self.parked.lock().insert(item.stream.clone()) {
            tracing::error!(
                component = self.name, stream = %item.stream, sequence = item.event.sequence, reason,
                "stream parked: its events wait in the dead letters"
            );
        }
        Ok(())
    }

    /// Tries a parked event again. The caller makes sure that it is the oldest of its stream; `last` says that no other
    /// waits behind it.
    pub(crate) async fn retry_parked(&self, core: &Core, item: &LogEvent) -> Result<(), ReactionError> {
        let _turn = self.turn.lock().await;
        let checkpoint = match &self.read_model {
            // The checkpoint is beyond this event already, and stays where it is.
            Some(model) => model.checkpoint(self.name).await?.unwrap_or(0).max(item.event.position),
            None => item.event.position,
        };
        self.once(core, item, checkpoint).await.map(|_| ())
    }

    /// Lets a stream go on whose letters are all resolved. Runs `still_open` under the turn, so that no event is parked in
    /// between.
    pub(crate) async fn release(&self, core: &Core, stream: &StreamKey) -> Result<()> {
        let _turn = self.turn.lock().await;
        if !self.open_letters(core).await?.contains(stream) {
            self.parked.lock().remove(stream);
        }
        Ok(())
    }

    async fn open_letters(&self, core: &Core) -> Result<HashSet<StreamKey>> {
        let filter = DeadLetterFilter {
            component: Some(self.name.to_owned()),
            limit: Some(usize::MAX),
            ..DeadLetterFilter::default()
        };
        let letters = core.storage.dead_letters(&filter).await?;
        Ok(letters.iter().filter_map(dead_letter::parked_event).map(|event| event.stream).collect())
    }
}

impl Runner for ProjectorRunner {
    fn start<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            *self.parked.lock() = self.open_letters(core).await?;
            let checkpoint = match &self.read_model {
                Some(model) => model.checkpoint(self.name).await.map_err(|error| Error::Component {
                    component: self.name.to_owned(),
                    message: format!("its read model does not tell the checkpoint: {error}"),
                })?,
                None => core.storage.checkpoint(self.name).await?,
            };
            Ok(checkpoint.unwrap_or(0))
        })
    }

    fn handle<'a>(&'a self, core: &'a Core, batch: Vec<LogEvent>, upto: u64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            if let Some(model) = &self.read_model
                && let Ok(told) = self.all_at_once(core, model.as_ref(), &batch, upto).await
            {
                for (stream, sequence, projection) in told {
                    core.waits.handled(self.name, &stream, sequence, Ok(projection));
                }
                return Ok(());
            }
            self.one_by_one(core, &batch, upto).await
        })
    }

    fn parked(&self) -> usize {
        self.parked.lock().len()
    }

    fn wants(&self, event: &LogEvent) -> bool {
        self.domains.contains(&event.stream.domain.as_str()) && (self.all_editions || event.stream.is_main())
    }

    fn keeps_checkpoint(&self) -> bool {
        self.read_model.is_some()
    }
}
