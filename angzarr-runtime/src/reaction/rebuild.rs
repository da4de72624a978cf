//! Rebuilds: what a projector wrote, made anew from the log beside live traffic (rows J3, J6).
//!
//! In: the log from its start up to where the projector stands. Out: a fresh state in the place of the old one, and dead
//! letters that say what is missing in it. Never: an event that the projector has not come to; it handles that live, so that
//! a handler that is `live_only` is called once.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::projector::{Failure, ProjectorRunner, ReadSide, Turn, checkpoint, roll_back};
use super::subscription::{BATCH, BATCH_BYTES};
use super::{ComponentKind, ErasedReadModel};
use crate::command::{Core, panic_text};
use crate::dead_letter::{self, DeadLetter, DeadLetterId, EventFailure, Resolution, letter_id};
use crate::declare::Instance;
use crate::error::{Error, RebuildProblem, Result};
use crate::stream::{LogEvent, StreamKey};
use crate::telemetry;

/// How far a rebuild is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebuildProgress {
    /// The fresh state holds everything up to this position of the log.
    pub position: u64,
    /// Where the projector itself stands: there the rebuild switches over. It moves on with live traffic.
    pub head: u64,
    /// Events that were handled.
    pub events: u64,
    /// Events per second, from the start of the rebuild.
    pub per_second: u64,
    /// Streams that a failing handler has parked: their events wait in the dead letters after the switch.
    pub parked_streams: usize,
    /// How long it has run.
    pub elapsed: Duration,
}

/// What was asked for.
#[derive(Default)]
pub(crate) struct Order {
    /// A fresh instance, the type of its component and its name.
    pub(crate) instance: Option<(Instance, TypeId, &'static str)>,
    pub(crate) progress: Option<Box<dyn Fn(RebuildProgress) + Send + Sync>>,
    /// Nobody waits for it any more.
    pub(crate) given_up: Arc<AtomicBool>,
}

/// More parked events than this are a mistake of the new code, not of the events; they are kept in memory up to the switch.
const MOST_PARKED: usize = 10_000;
/// A checkpoint that only skips foreign events is stored this often at most.
const IDLE_CHECKPOINT: u64 = 65_536;

/// Ends the note that a rebuild runs.
struct Running<'a>(&'a ProjectorRunner);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.rebuild.lock() = None;
    }
}

impl ProjectorRunner {
    /// Reads the log up to where the projector stands (`position` tells) into a fresh state, and puts that in the place of
    /// the old one.
    pub(crate) async fn rebuild(
        &self,
        core: &Core,
        order: Order,
        position: &(dyn Fn() -> u64 + Sync),
    ) -> Result<RebuildProgress> {
        let _running = {
            let mut rebuild = self.rebuild.lock();
            if rebuild.is_some() {
                return Err(self.cannot(RebuildProblem::Running));
            }
            *rebuild = Some(RebuildProgress::default());
            Running(self)
        };
        telemetry::rebuild_started(self.name);
        let side = AssertUnwindSafe(self.fresh_side(core, &order)).catch_unwind().await;
        let side = side.unwrap_or_else(|panic| Err(self.failed(panic_text(panic.as_ref()))))?;
        let fresh = side.read_model.clone();
        let by_instance = order.instance.is_some();
        let mut run = Run {
            projector: self,
            core,
            order,
            side,
            head: 0,
            at: 0,
            committed: 0,
            events: 0,
            began: Instant::now(),
            set_aside: HashMap::new(),
            parked: BTreeMap::new(),
        };
        // Code of the user runs in there, outside of its handlers too: a read model's commit.
        let done = AssertUnwindSafe(run.run(position)).catch_unwind().await;
        let done = done.unwrap_or_else(|panic| Err(self.failed(panic_text(panic.as_ref()))));
        match &done {
            Ok(progress) => telemetry::rebuild_switched(self.name, progress),
            Err(error) => telemetry::rebuild_failed(self.name, error),
        }
        let switched = matches!(&done, Ok(_) | Err(Error::Rebuild { problem: RebuildProblem::AfterSwitch(_), .. }));
        if let Some(fresh) = fresh.filter(|_| !switched && !by_instance)
            && let Err(error) = fresh.abandon().await
        {
            // The next rebuild removes it.
            telemetry::fresh_left_behind(self.name, &error);
        }
        done
    }

    fn cannot(&self, problem: RebuildProblem) -> Error {
        Error::Rebuild { component: self.name.to_owned(), problem }
    }

    fn failed(&self, reason: impl std::fmt::Display) -> Error {
        self.cannot(RebuildProblem::Failed(reason.to_string()))
    }

    /// Where the rebuild writes to.
    async fn fresh_side(&self, core: &Core, order: &Order) -> Result<ReadSide> {
        let Some((instance, component, type_name)) = &order.instance else {
            let live = self.live();
            let Some(model) = &live.read_model else { return Err(self.cannot(RebuildProblem::NoReadModel)) };
            let fresh = model.fresh(self.name).await;
            let fresh = fresh.map_err(|error| self.cannot(RebuildProblem::NoFreshState(error.to_string())))?;
            // A read model makes the place of its checkpoints when it is asked.
            fresh.checkpoint(self.name).await.map_err(|error| self.failed(error))?;
            return Ok(ReadSide { instance: live.instance.clone(), read_model: Some(fresh), replay: true });
        };
        let descriptor = core.registry.projectors[self.name].descriptor;
        if (descriptor.component)() != *component {
            return Err(self.cannot(RebuildProblem::OtherProjector { instance: type_name }));
        }
        let read_model = (descriptor.read_model)(instance.as_ref());
        if let Some(model) = &read_model {
            let found = match model.is_of_earlier_version().await.map_err(|error| self.failed(error))? {
                true => Some(0),
                false => model.checkpoint(self.name).await.map_err(|error| self.failed(error))?.map(|it| it.position),
            };
            if let Some(position) = found {
                return Err(self.cannot(RebuildProblem::NotFresh { position }));
            }
        }
        Ok(ReadSide { instance: instance.clone(), read_model, replay: true })
    }

    /// Whether a rebuild does anything for the event, and whether there is something that only live handling does. What
    /// cannot be read is for the handlers to fail at.
    fn effects(&self, core: &Core, item: &LogEvent) -> (bool, bool) {
        let Ok(parts) = core.upcast(&item.stream, item.event.clone()) else { return (true, false) };
        let handlers = &core.registry.projectors[self.name].handlers;
        let (mut replayed, mut live_only) = (false, false);
        for handler in parts.into_iter().filter_map(|part| handlers.get(part.type_name.as_str())) {
            replayed |= !handler.live_only;
            live_only |= handler.live_only;
        }
        (replayed, live_only)
    }
}

/// One rebuild on its way.
struct Run<'a> {
    projector: &'a ProjectorRunner,
    core: &'a Core,
    order: Order,
    side: ReadSide,
    /// Where it switches.
    head: u64,
    /// Everything up to here is read.
    at: u64,
    /// Everything up to here is committed, with a read model.
    committed: u64,
    events: u64,
    began: Instant,
    /// Streams with an event that failed, and its sequence: the later ones wait behind it.
    set_aside: HashMap<StreamKey, u32>,
    /// What is to be parked at the switch, by position.
    parked: BTreeMap<u64, (LogEvent, EventFailure)>,
}

/// Why a portion was not handled.
enum Trouble {
    /// The read model is out of reach: the portion may be tried again.
    Outage(String),
    Ends(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ends(error)
    }
}

impl Run<'_> {
    async fn run(&mut self, position: &(dyn Fn() -> u64 + Sync)) -> Result<RebuildProgress> {
        let projector = self.projector;
        // Beside live traffic, for as long as that brings the two nearer to each other.
        let mut gap = u64::MAX;
        loop {
            let head = position();
            let left = head.saturating_sub(self.at);
            if left == 0 || left >= gap {
                break;
            }
            gap = left;
            self.read_to(head).await?;
        }
        // The rest while the projector waits: nothing is missed or doubled at the switch.
        let mut turn = projector.turn.lock().await;
        self.read_to(turn.reached).await?;
        self.is_still_wanted()?;
        self.switch(&mut turn).await?;
        Ok(self.tell())
    }

    fn is_still_wanted(&self) -> Result<()> {
        if self.core.closing.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        if self.order.given_up.load(Ordering::Acquire) {
            return Err(self.projector.failed("whoever asked for it does not wait for it any more"));
        }
        Ok(())
    }

    fn progress(&self) -> RebuildProgress {
        let elapsed = self.began.elapsed();
        let per_second = u128::from(self.events) * 1_000_000 / elapsed.as_micros().max(1);
        RebuildProgress {
            position: self.at,
            head: self.head.max(self.at),
            events: self.events,
            per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
            parked_streams: self.set_aside.len(),
            elapsed,
        }
    }

    fn tell(&self) -> RebuildProgress {
        let progress = self.progress();
        *self.projector.rebuild.lock() = Some(progress.clone());
        if let Some(tell) = &self.order.progress {
            tell(progress.clone());
        }
        progress
    }

    /// Handles everything up to this position.
    async fn read_to(&mut self, head: u64) -> Result<()> {
        self.head = head;
        while self.at < head {
            self.is_still_wanted()?;
            let portion = self.core.storage.read_log(self.at, BATCH, BATCH_BYTES).await?;
            let Some(last) = portion.last().map(|item| item.event.position) else { break };
            let upto = last.min(head);
            let wanted =
                |item: &LogEvent| item.event.position <= upto && !item.event.isolated && self.projector.wants(item);
            let batch: Vec<LogEvent> = portion.into_iter().filter(wanted).collect();
            let count = batch.len() as u64;
            if count > 0 || upto - self.committed >= IDLE_CHECKPOINT {
                self.handle(batch, upto).await?;
            }
            self.at = upto;
            self.events += count;
            self.tell();
        }
        Ok(())
    }

    /// Handles a portion, and tries it again for a while where the read model is out of reach.
    async fn handle(&mut self, mut batch: Vec<LogEvent>, upto: u64) -> Result<()> {
        let mut delays = self.core.reaction_delays();
        let mut in_doubt = false;
        loop {
            let outage = match self.handle_once(&mut batch, upto, in_doubt).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Ends(error)) => return Err(error),
                Err(Trouble::Outage(reason)) => reason,
            };
            in_doubt = true;
            match delays.next() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(self.projector.failed(outage)),
            }
        }
    }

    async fn handle_once(&mut self, batch: &mut Vec<LogEvent>, upto: u64, in_doubt: bool) -> Result<(), Trouble> {
        let name = self.projector.name;
        let outage = |error: crate::declare::ReactionError| Trouble::Outage(error.to_string());
        let Some(model) = self.side.read_model.clone() else {
            for item in &*batch {
                self.one(item).await?;
            }
            return Ok(());
        };
        if in_doubt {
            // A commit may have gone through whose answer was lost.
            let done = model.checkpoint(name).await.map_err(outage)?.map_or(0, |it| it.position);
            batch.retain(|item| item.event.position > done);
        }
        match self.all_at_once(model.as_ref(), batch, upto).await {
            Ok(()) => {}
            Err(Failure::Outage(reason)) => return Err(Trouble::Outage(reason)),
            Err(Failure::Handler(_)) => {
                for item in &*batch {
                    self.one(item).await?;
                }
                model.commit(model.unit(), name, None, checkpoint(self.core, upto)).await.map_err(outage)?;
            }
        }
        self.committed = upto;
        self.check_parked()
    }

    /// The portion in one transaction.
    async fn all_at_once(&mut self, model: &dyn ErasedReadModel, batch: &[LogEvent], upto: u64) -> Result<(), Failure> {
        let unit = model.unit();
        for item in batch {
            if self.waits_behind(item) {
                continue;
            }
            if let Err(error) = self.projector.project(self.core, &self.side, item, Some(&unit)).await {
                return Err(roll_back(model, unit, error).await);
            }
        }
        let (name, upto) = (self.projector.name, checkpoint(self.core, upto));
        model.commit(unit, name, None, upto).await.map_err(Failure::outage)
    }

    /// One event with its retries; one that keeps failing sets its stream aside.
    async fn one(&mut self, item: &LogEvent) -> Result<(), Trouble> {
        if !self.waits_behind(item) {
            let (projector, core, side) = (self.projector, self.core, &self.side);
            let span = telemetry::reaction_span(projector.at(item));
            let done = telemetry::within(span, projector.with_retries(core, side, item, None)).await;
            if let Err(failure) = done.map_err(Trouble::Outage)? {
                self.set_aside(item, failure).await?;
            }
        }
        self.check_parked()
    }

    fn check_parked(&self) -> Result<(), Trouble> {
        let events = self.parked.len();
        if events <= MOST_PARKED {
            return Ok(());
        }
        Err(self.projector.cannot(RebuildProblem::TooManyParked { events }).into())
    }

    /// Whether an earlier event of its stream failed. It is noted then, unless it has no effect on the state anyway: what is
    /// `live_only` was done when it was live.
    fn waits_behind(&mut self, item: &LogEvent) -> bool {
        if self.set_aside.get(&item.stream).is_none_or(|from| item.event.sequence < *from) {
            return false;
        }
        if self.projector.effects(self.core, item).0 {
            let reason = "an earlier event of this stream is parked".to_owned();
            let failure = EventFailure { reason, tries: 0, transient: false };
            self.parked.entry(item.event.position).or_insert_with(|| (item.clone(), failure));
        }
        true
    }

    async fn set_aside(&mut self, item: &LogEvent, failure: EventFailure) -> Result<()> {
        let id = letter_id(self.projector.name, &item.stream, item.event.sequence, item.event.position);
        let letter = self.core.storage.dead_letter(id).await?;
        if matches!(letter.and_then(|it| it.resolution), Some(Resolution::Discarded { .. })) {
            // As at its first time: nobody would ever let its stream go on.
            return Ok(());
        }
        self.set_aside.insert(item.stream.clone(), item.event.sequence);
        self.parked.insert(item.event.position, (item.clone(), failure));
        Ok(())
    }

    /// Puts the fresh state in the place of the old one. The projector waits meanwhile.
    ///
    /// The letters are in the store and the state is not, so there is no one step for both. What makes every moment of a
    /// crash right is that a state says by itself which letters it holds the events of: such a letter is resolved at the next
    /// start (`resolve_done`), and has no second effect if it is retried.
    async fn switch(&mut self, turn: &mut Turn) -> Result<()> {
        let (projector, core) = (self.projector, self.core);
        let live = projector.live();
        if let Some(fresh) = &self.side.read_model
            && self.committed < self.at
        {
            let done = fresh.commit(fresh.unit(), projector.name, None, checkpoint(core, self.at)).await;
            done.map_err(|error| projector.failed(error))?;
        }
        let open = projector.open_letters(core).await?;
        let oldest = oldest_of_each_stream(&open);
        let done = self.letters_that_went_through(open).await?;
        self.open_letters_of_what_failed(&live).await?;
        match (self.order.instance.is_some(), &live.read_model, &self.side.read_model) {
            (false, Some(model), Some(fresh)) => {
                if let Err(error) = model.take_over(fresh.clone()).await {
                    // The old state holds the events whose letters were opened for the new one.
                    projector.resolve_done(core).await?;
                    return Err(projector.failed(error));
                }
            }
            (_, _, read_model) => {
                let (instance, read_model) = (self.side.instance.clone(), read_model.clone());
                projector.switch_to(ReadSide { instance, read_model, replay: false });
            }
        }
        turn.in_doubt = true;
        let settle = async {
            for letter in &done {
                dead_letter::resolve(core, letter.id, Resolution::Retried { at: core.now() }).await?;
            }
            projector.find_parked(core).await?;
            for letter in &done {
                // Behind it may wait what is `live_only`: a resolved letter lets its stream catch up (row J2).
                if oldest.contains(&letter.id) {
                    projector.catch_up(core, turn, letter).await?;
                }
            }
            Ok(())
        };
        settle.await.map_err(|error: Error| projector.cannot(RebuildProblem::AfterSwitch(error.to_string())))
    }

    /// Open letters whose events the fresh state holds; it says so by itself as well.
    async fn letters_that_went_through(&self, open: Vec<DeadLetter>) -> Result<Vec<DeadLetter>> {
        let mut done = Vec::new();
        for letter in open {
            // One that cannot be read has to stay for an operator.
            let Ok(item) = dead_letter::parked_event(&letter) else { continue };
            let failed = self.set_aside.get(&item.stream).is_some_and(|from| item.event.sequence >= *from);
            let (_, live_only) = self.projector.effects(self.core, &item);
            // A mail that was not sent is still not sent.
            if failed || live_only || item.event.position > self.at {
                continue;
            }
            self.mark(&self.side, letter.id, item.event.position).await?;
            done.push(letter);
        }
        Ok(done)
    }

    /// Letters for events that the old state holds and the fresh one does not.
    async fn open_letters_of_what_failed(&self, live: &ReadSide) -> Result<()> {
        let (projector, core) = (self.projector, self.core);
        let open: HashSet<_> = projector.open_letters(core).await?.into_iter().map(|letter| letter.id).collect();
        let mut letters = Vec::new();
        for (position, (item, failure)) in &self.parked {
            let letter = dead_letter::failed_event(core, projector.name, ComponentKind::Projector, item, failure);
            if !open.contains(&letter.id) {
                self.mark(live, letter.id, *position).await?;
                letters.push(letter);
            }
        }
        for letter in letters {
            dead_letter::store(core, letter).await?;
        }
        Ok(())
    }

    /// Says in a state that it holds the event of a letter.
    async fn mark(&self, side: &ReadSide, letter: DeadLetterId, position: u64) -> Result<()> {
        let Some(model) = &side.read_model else { return Ok(()) };
        let name = self.projector.letter_name(letter);
        let done = model.commit(model.unit(), &name, None, checkpoint(self.core, position)).await;
        done.map_err(|error| self.projector.failed(error))
    }
}

fn oldest_of_each_stream(letters: &[DeadLetter]) -> HashSet<DeadLetterId> {
    let mut oldest: HashMap<StreamKey, (u32, DeadLetterId)> = HashMap::new();
    for letter in letters {
        if let Some((stream, sequence)) = letter.event_place() {
            let first = oldest.entry(stream).or_insert((sequence, letter.id));
            *first = (*first).min((sequence, letter.id));
        }
    }
    oldest.into_values().map(|(_, id)| id).collect()
}
