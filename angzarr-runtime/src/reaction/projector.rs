//! Projectors: events become rows of a read model (rows J).
//!
//! In: a batch of events, in order. Out: handler calls; with a read model, rows and checkpoint in one transaction. Never:
//! an event of a stream whose earlier event failed: it is parked behind it, in order (row J2).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Checkpoint, ComponentKind, ErasedReadModel, RebuildProgress};
use crate::command::Core;
use crate::dead_letter::{DeadLetterFilter, EventFailure, letter_id};
use crate::declare::{Instance, ReactionError};
use crate::error::{Error, ForeignReadModel, Result};
use crate::registry::Projector;
use crate::stream::{LogEvent, StreamKey};
use crate::telemetry::{self, AtEvent};

pub(super) type Unit = Arc<dyn std::any::Any + Send + Sync>;
pub(super) type Projection = Option<prost_types::Any>;

/// Runs one projector.
pub(crate) struct ProjectorRunner {
    pub(super) name: &'static str,
    domains: &'static [&'static str],
    all_editions: bool,
    /// Where live events go. Only who has the turn replaces it.
    live: RwLock<Arc<ReadSide>>,
    /// How far a rebuild is, while one runs.
    pub(super) rebuild: Mutex<Option<RebuildProgress>>,
    /// Streams that wait for an operator, and a sequence below which none of their events does.
    pub(super) parked: Mutex<HashMap<StreamKey, u32>>,
    /// One at a time: a batch of the log, or a dead letter that is tried again.
    pub(super) turn: tokio::sync::Mutex<Turn>,
}

/// What a projector's handlers run on and write to.
pub(super) struct ReadSide {
    pub(super) instance: Instance,
    pub(super) read_model: Option<Arc<dyn ErasedReadModel>>,
    /// It is being built anew: what must not be repeated is left out (row J6).
    pub(super) replay: bool,
}

/// What whoever has the turn knows.
pub(super) struct Turn {
    /// The read model may hold events of the next batch: a commit may have gone through whose answer was lost.
    pub(super) in_doubt: bool,
    /// Events up to this position are handled or parked.
    pub(super) reached: u64,
    /// The checkpoint of the read model, if it is known: who commits behind another one is not alone (row R5).
    pub(super) committed: Option<u64>,
}

/// Projections that are told to waiting commands once they are committed, by the place of their event in the batch.
type Told = Vec<(usize, Projection)>;

/// Why an event was not projected.
pub(super) enum Failure {
    /// The handler's fault: it counts against the event.
    Handler(ReactionError),
    /// Nobody's fault: the database is out of reach, and the event has to wait.
    Outage(String),
}

impl Failure {
    fn of(error: ReactionError) -> Self {
        if error.is_outage() { Self::Outage(error.message().to_owned()) } else { Self::Handler(error) }
    }

    pub(super) fn outage(error: impl std::fmt::Display) -> Self {
        Self::Outage(error.to_string())
    }
}

impl ProjectorRunner {
    pub(crate) fn new(projector: &Projector, instance: Instance) -> Self {
        let descriptor = projector.descriptor;
        let read_model = (descriptor.read_model)(instance.as_ref());
        Self {
            name: descriptor.name,
            domains: descriptor.domains,
            all_editions: descriptor.all_editions,
            live: RwLock::new(Arc::new(ReadSide { instance, read_model, replay: false })),
            rebuild: Mutex::new(None),
            parked: Mutex::new(HashMap::new()),
            turn: tokio::sync::Mutex::new(Turn { in_doubt: true, reached: 0, committed: None }),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where live events go.
    pub(super) fn live(&self) -> Arc<ReadSide> {
        self.live.read().clone()
    }

    /// Live events go to another place from now on. Only for who has the turn.
    pub(super) fn switch_to(&self, side: ReadSide) {
        *self.live.write() = Arc::new(side);
    }

    /// Whether its read model is this process's own.
    pub(super) fn is_local(&self) -> bool {
        self.live.read().read_model.as_ref().is_some_and(|model| model.is_of_this_process())
    }

    /// Whether it keeps its checkpoint by itself, in its read model.
    pub(super) fn keeps_checkpoint(&self) -> bool {
        self.live.read().read_model.is_some()
    }

    /// Where to begin; events up to this position are handled.
    pub(super) async fn start(&self, core: &Core) -> Result<u64> {
        // Under the turn: an operator may retry a letter as soon as the runtime is there.
        let mut turn = self.turn.lock().await;
        let position = self.find_start(core).await?;
        self.resolve_done(core).await?;
        self.find_parked(core).await?;
        // Another process may have had it in between.
        *turn = Turn { in_doubt: true, reached: position, committed: None };
        Ok(position)
    }

    async fn find_start(&self, core: &Core) -> Result<u64> {
        let live = self.live();
        let Some(model) = &live.read_model else {
            return Ok(core.storage.checkpoint(self.name).await?.unwrap_or(0));
        };
        let silent = |error: ReactionError| Error::Component {
            component: self.name.to_owned(),
            message: format!("its read model does not tell the checkpoint: {error}"),
        };
        let refused = |problem| Err(Error::ReadModel { component: self.name.to_owned(), problem });
        if model.is_of_earlier_version().await.map_err(silent)? {
            return refused(ForeignReadModel::EarlierVersion);
        }
        let found = model.checkpoint(self.name).await.map_err(silent)?;
        let Some(Checkpoint { store: of, position }) = found else { return Ok(0) };
        let (store, head) = (core.storage.id(), core.storage.head());
        if of != store {
            return refused(ForeignReadModel::OtherStore { read_model: of, store });
        }
        if position > head {
            return refused(ForeignReadModel::Ahead { read_model: position, head });
        }
        Ok(position)
    }

    /// Handles a batch. An error leaves the rest of it unhandled: the batch comes again.
    pub(super) async fn handle(&self, core: &Core, mut batch: Vec<LogEvent>, upto: u64) -> Result<(), String> {
        let mut turn = self.turn.lock().await;
        let live = self.live();
        // What a rebuild has taken over of a batch that comes again.
        batch.retain(|item| item.event.position > turn.reached);
        let was_in_doubt = std::mem::replace(&mut turn.in_doubt, true);
        let done = match &live.read_model {
            Some(model) => {
                self.in_transactions(core, &mut turn, &live, model.as_ref(), batch, upto, was_in_doubt).await
            }
            None => self.one_by_one(core, &mut turn, &live, batch).await,
        };
        turn.in_doubt = done.is_err();
        if done.is_ok() {
            turn.reached = upto;
        }
        done
    }

    #[allow(clippy::too_many_arguments)]
    async fn in_transactions(
        &self,
        core: &Core,
        turn: &mut Turn,
        live: &ReadSide,
        model: &dyn ErasedReadModel,
        mut batch: Vec<LogEvent>,
        upto: u64,
        in_doubt: bool,
    ) -> Result<(), String> {
        if in_doubt {
            batch = self.without_done(core, turn, model, batch).await?;
            // Another process may be further than this one.
            if turn.committed.is_some_and(|committed| committed >= upto) {
                return Ok(());
            }
        }
        match self.all_at_once(core, turn.committed, live, model, &batch, upto).await {
            Ok(told) => {
                turn.committed = Some(upto);
                for (place, projection) in told {
                    self.tell(core, &batch[place], Ok(projection));
                }
                return Ok(());
            }
            Err(Failure::Outage(reason)) => return Err(reason),
            Err(Failure::Handler(_)) => {}
        }
        self.one_by_one(core, turn, live, batch).await?;
        let (from, to) = (turn.committed, checkpoint(core, upto));
        model.commit(model.unit(), self.name, from, to).await.map_err(|error| error.to_string())?;
        turn.committed = Some(upto);
        telemetry::committed(self.name, upto);
        Ok(())
    }

    /// Leaves out what the read model holds already.
    async fn without_done(
        &self,
        core: &Core,
        turn: &mut Turn,
        model: &dyn ErasedReadModel,
        batch: Vec<LogEvent>,
    ) -> Result<Vec<LogEvent>, String> {
        let text = |error: ReactionError| error.to_string();
        let found = model.checkpoint(self.name).await.map_err(text)?;
        let reached = found.filter(|it| it.store == core.storage.id()).map_or(0, |it| it.position);
        turn.committed = Some(reached);
        // An event may have been parked, and its letter retried, before the checkpoint got past it.
        let letters = DeadLetterFilter {
            component: Some(self.name.to_owned()),
            include_resolved: true,
            limit: Some(1),
            ..DeadLetterFilter::default()
        };
        let letters = core.storage.dead_letters(&letters).await.map_err(|error| error.to_string())?;
        let mut left = Vec::with_capacity(batch.len());
        for item in batch {
            let mut done = item.event.position <= reached;
            if !done && !letters.is_empty() {
                let name =
                    self.letter_name(letter_id(self.name, &item.stream, item.event.sequence, item.event.position));
                done = model.checkpoint(&name).await.map_err(text)?.is_some();
            }
            if done {
                self.tell(core, &item, Ok(None));
            } else {
                left.push(item);
            }
        }
        Ok(left)
    }

    /// The whole batch in one transaction; the error is that of the first event that failed.
    async fn all_at_once(
        &self,
        core: &Core,
        from: Option<u64>,
        live: &ReadSide,
        model: &dyn ErasedReadModel,
        batch: &[LogEvent],
        upto: u64,
    ) -> Result<Told, Failure> {
        let unit = model.unit();
        let mut told = Vec::with_capacity(batch.len());
        for (place, item) in batch.iter().enumerate() {
            if self.is_parked(core, item).await.map_err(Failure::Outage)? {
                self.park_behind(core, item).await.map_err(Failure::Outage)?;
                continue;
            }
            let span = telemetry::reaction_span(self.at(item));
            match telemetry::within(span.clone(), self.project(core, live, item, Some(&unit))).await {
                Ok(projection) => told.push((place, projection)),
                Err(error) => {
                    span.in_scope(|| telemetry::fell_back(&error));
                    return Err(roll_back(model, unit, error).await);
                }
            }
        }
        model.commit(unit, self.name, from, checkpoint(core, upto)).await.map_err(Failure::outage)?;
        telemetry::committed(self.name, upto);
        Ok(told)
    }

    /// Event by event, each with its retries; one that keeps failing parks its stream.
    async fn one_by_one(
        &self,
        core: &Core,
        turn: &mut Turn,
        live: &ReadSide,
        batch: Vec<LogEvent>,
    ) -> Result<(), String> {
        for item in &batch {
            telemetry::within(telemetry::reaction_span(self.at(item)), self.handle_one(core, turn, live, item)).await?;
            turn.reached = item.event.position;
        }
        Ok(())
    }

    async fn handle_one(&self, core: &Core, turn: &mut Turn, live: &ReadSide, item: &LogEvent) -> Result<(), String> {
        if self.is_parked(core, item).await? {
            return self.park_behind(core, item).await;
        }
        match self.with_retries(core, live, item, turn.committed).await? {
            Ok(projection) => {
                turn.committed = live.read_model.as_ref().map(|_| item.event.position);
                self.tell(core, item, Ok(projection));
            }
            Err(failure) => self.park(core, item, &failure).await?,
        }
        Ok(())
    }

    /// Whoever waits for it is told.
    pub(super) fn tell(&self, core: &Core, item: &LogEvent, outcome: Result<Projection, String>) {
        if self.is_local() {
            // Each process runs it for itself: nobody waits for that of another one.
            core.waits.handled(self.name, &item.stream, item.event.sequence, outcome);
        } else {
            core.handled(self.name, ComponentKind::Projector, &item.stream, &item.event, outcome);
        }
    }

    /// What this projector tells of an event.
    pub(super) fn at<'e>(&self, item: &'e LogEvent) -> AtEvent<'e> {
        AtEvent { component: self.name, kind: ComponentKind::Projector, stream: &item.stream, event: &item.event }
    }

    /// One event, until it goes through or has failed too often. The outer error is an outage.
    pub(super) async fn with_retries(
        &self,
        core: &Core,
        side: &ReadSide,
        item: &LogEvent,
        from: Option<u64>,
    ) -> Result<Result<Projection, EventFailure>, String> {
        let mut delays = core.reaction_delays();
        let mut tries = 1;
        loop {
            let error = match self.once(core, side, item, self.name, from).await {
                Ok(projection) => return Ok(Ok(projection)),
                Err(Failure::Outage(reason)) => return Err(reason),
                Err(Failure::Handler(error)) => error,
            };
            telemetry::failed(self.at(item), tries, &error);
            match delays.next() {
                Some(delay) if !error.is_permanent() => tokio::time::sleep(delay).await,
                _ => return Ok(Err(EventFailure::new(&error, tries))),
            }
            tries += 1;
        }
    }

    /// One event in a transaction of its own, with a checkpoint of that name.
    pub(super) async fn once(
        &self,
        core: &Core,
        side: &ReadSide,
        item: &LogEvent,
        name: &str,
        from: Option<u64>,
    ) -> Result<Projection, Failure> {
        let Some(model) = side.read_model.as_deref() else {
            return self.project(core, side, item, None).await.map_err(Failure::of);
        };
        let unit = model.unit();
        match self.project(core, side, item, Some(&unit)).await {
            Ok(projection) => {
                let to = checkpoint(core, item.event.position);
                model.commit(unit, name, from, to).await.map_err(Failure::outage)?;
                telemetry::committed(self.name, item.event.position);
                Ok(projection)
            }
            Err(error) => Err(roll_back(model, unit, error).await),
        }
    }

    /// One event, once.
    pub(super) async fn project(
        &self,
        core: &Core,
        side: &ReadSide,
        item: &LogEvent,
        unit: Option<&Unit>,
    ) -> Result<Projection, ReactionError> {
        let upcast = core.today(&item.stream, item.event.clone()).await.map_err(|error| match error {
            Error::OutOfReach { .. } => ReactionError::outage(error),
            error => ReactionError::permanent(error),
        })?;
        let projector = &core.registry.projectors[self.name];
        super::project(core, projector, &side.instance, &item.stream, upcast, unit, side.replay).await
    }

    /// What it would make of events that a caller gives: the last projection. It runs in a transaction that is undone.
    #[cfg(feature = "server")]
    pub(super) async fn speculate(
        &self,
        core: &Core,
        stream: &StreamKey,
        events: &[crate::stream::StoredEvent],
    ) -> Result<Option<crate::command::Projection>> {
        let projector = &core.registry.projectors[self.name];
        if let Some(remote) = &projector.remote {
            let mut last = None;
            for event in events {
                let upcast = core.today(stream, event.clone()).await?.into_iter().collect();
                if let Some(projection) =
                    remote.project(stream, upcast, true).await.map_err(|error| error.of(self.name))?
                {
                    let (projector, sequence) = (self.name.to_owned(), event.sequence);
                    last = Some(crate::command::Projection { projector, sequence, projection });
                }
            }
            return Ok(last);
        }
        let live = self.live();
        let Some(model) = live.read_model.as_deref() else {
            let hint = "its handlers write to no read model of the framework, so nothing of it could be taken back";
            return Err(Error::not_offered("a speculative projection", hint));
        };
        // A read model takes one writer at a time: batches wait.
        let _turn = self.turn.lock().await;
        let (unit, mut last) = (model.unit(), None);
        for event in events {
            let upcast = core.today(stream, event.clone()).await?;
            match super::project(core, projector, &live.instance, stream, upcast, Some(&unit), true).await {
                Ok(None) => {}
                Ok(Some(projection)) => {
                    let (projector, sequence) = (self.name.to_owned(), event.sequence);
                    last = Some(crate::command::Projection { projector, sequence, projection });
                }
                Err(error) => {
                    return Err(match roll_back(model, unit, error).await {
                        Failure::Handler(error) => error.of(self.name),
                        Failure::Outage(reason) => {
                            Error::Component { component: self.name.to_owned(), message: reason }
                        }
                    });
                }
            }
        }
        model.rollback(unit).await.map_err(|error| error.of(self.name))?;
        Ok(last)
    }

    /// Streams that are parked.
    pub(super) fn parked_streams(&self) -> usize {
        self.parked.lock().len()
    }

    pub(super) fn wants(&self, event: &LogEvent) -> bool {
        self.domains.contains(&event.stream.domain.as_str()) && (self.all_editions || event.stream.is_main())
    }
}

pub(super) fn checkpoint(core: &Core, position: u64) -> Checkpoint {
    Checkpoint { store: core.storage.id(), position }
}

/// Takes back what a failed handler wrote.
pub(super) async fn roll_back(model: &dyn ErasedReadModel, unit: Unit, error: ReactionError) -> Failure {
    if let Some(reason) = model.failure(unit.as_ref()) {
        return Failure::Outage(reason);
    }
    match model.rollback(unit).await {
        Ok(()) => Failure::of(error),
        Err(error) => Failure::outage(error),
    }
}
