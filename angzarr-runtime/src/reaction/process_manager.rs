//! Process managers: events of several domains, a state of their own, commands, timeouts (rows P).
//!
//! In: an event, a timeout or a rejection, and a correlation id. Out: events of the process's own stream, stored in one step
//! with the intent to send the rest. Never: something sent that is not stored, or a correlation id that nobody gave.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};

use angzarr_proto as proto;
use parking_lot::Mutex;
use prost::Message as _;

use super::emission::{Sender, command_of};
use super::lanes::in_lanes;
use super::notification::{About, Undelivered, notified};
use super::ownership::TAKEN_OVER;
use super::plan::{PART, Plan, SendWork, TimeoutWork, Told, unknown_timeout};
use super::subscription::context_of;
use super::{CascadeLink, ComponentKind};
use crate::command::{
    Alone, Because, Core, Decider, Decoded, Outcome, Provenance, Refusal, any_of, cover_on, event_page, note,
};
use crate::dead_letter::{self, DeadLetterId, EventFailure, Resolution};
use crate::declare::{
    AnyFact, CommandContext, Emission, EventContext, EventSink, ProcessHandlerDescriptor, ProcessRejectedDescriptor,
    ReactionError, TimeoutDescriptor,
};
use crate::error::{Error, Result};
use crate::registry::{ProcessManager, rejected_by};
use crate::remote::{Answered, Question};
use crate::storage::{Extras, Intent, IntentKind, Settle};
use crate::stream::upcast::Upcasted;
use crate::stream::{Edition, Headers, LogEvent, Name, StoredEvent, StreamKey, TraceContext, root};
use crate::telemetry::{self, AtEvent};

/// Processes that one process manager works on at a time; each of them in order.
const PROCESSES_AT_ONCE: usize = 256;

/// Kinds of dedup keys in a process's own stream.
pub(super) const TRIGGERED: u8 = b't';
const FIRED: u8 = b'o';

/// The framework's note of a reaction that left no event of its own, but sends something: what it sends is known by it.
const STEP: &str = "angzarr.ProcessManagerStep";

/// Runs one process manager.
pub(crate) struct ProcessManagerRunner {
    pub(super) name: &'static str,
    sources: &'static [&'static str],
    /// Triggers without a correlation id (row P2).
    pub(super) skipped: AtomicU64,
    /// Triggers of processes that were over (row P7).
    pub(super) ignored: AtomicU64,
    /// One at a time: dead letters that are tried again.
    retries: tokio::sync::Mutex<()>,
}

enum Failure {
    Event(EventFailure),
    Held(String),
}

/// What wakes a process manager.
pub(super) enum Trigger<'a> {
    Event {
        handler: &'static ProcessHandlerDescriptor,
        event: &'a StoredEvent,
        stream: &'a StreamKey,
    },
    Timeout {
        method: &'static TimeoutDescriptor,
        due: i64,
    },
    Rejection {
        method: &'static ProcessRejectedDescriptor,
        about: &'a About,
    },
    /// An event, or without one the rejection of a command, for a process manager in another process.
    Elsewhere {
        question: Question,
        event: Option<(&'a StoredEvent, &'a StreamKey)>,
    },
}

/// A trigger on its way to the state of its process.
pub(super) struct ProcessWork<'a> {
    pub(super) core: &'a Core,
    pub(super) trigger: Trigger<'a>,
    pub(super) key: &'a StreamKey,
    pub(super) headers: &'a Headers,
    pub(super) name: &'static str,
}

impl ProcessWork<'_> {
    /// The event that it is for; a timeout and a rejection are intents, and go with their branch.
    fn because(&self) -> Option<Because<'_>> {
        match &self.trigger {
            Trigger::Event { event, stream, .. } => {
                Some(Because { stream, sequence: event.sequence, position: event.position })
            }
            Trigger::Elsewhere { event, .. } => {
                event.map(|(event, stream)| Because { stream, sequence: event.sequence, position: event.position })
            }
            Trigger::Timeout { .. } | Trigger::Rejection { .. } => None,
        }
    }

    /// What a timeout or a rejection has for a context: the process's own stream, at the place where it stands.
    fn own_context(&self, context: &CommandContext<'_>, created_at: i64, type_name: Name) -> EventContext {
        let event = StoredEvent {
            position: 0,
            sequence: context.next_sequence(),
            created_at,
            type_name,
            schema_version: 1,
            payload: bytes::Bytes::new(),
            headers: self.headers.clone(),
            isolated: false,
        };
        context_of(self.core, self.key, &event)
    }
}

impl Decoded for ProcessWork<'_> {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        let done = match &self.trigger {
            Trigger::Event { handler, event, stream } => {
                (handler.react)(state, &event.payload, &context_of(self.core, stream, event), events)
            }
            Trigger::Timeout { method, due } => {
                (method.run)(state, &self.own_context(context, *due, Name::from_static("angzarr.Timeout")), events)
            }
            Trigger::Rejection { method, about } => {
                let now = crate::declare::nanos_of(context.now());
                let own = self.own_context(context, now, Name::from_static("angzarr.RejectionNotification"));
                (method.run)(state, &about.rejected, &own, events)
            }
            Trigger::Elsewhere { question, .. } => {
                let Answered { events: own, emissions, timeouts, complete, .. } = question.take()?;
                events.events.extend(own);
                if !emissions.is_empty() || !timeouts.is_empty() || complete {
                    let rest = events.aftermath.get_or_insert_default();
                    rest.emissions.extend(emissions);
                    rest.timeouts.extend(timeouts);
                    rest.complete |= complete;
                }
                Ok(())
            }
        };
        done.map_err(Refusal::Failed)?;
        let sends = events.aftermath.as_ref().is_some_and(|aftermath| !aftermath.emissions.is_empty());
        let is_event = matches!(self.trigger, Trigger::Event { .. } | Trigger::Elsewhere { event: Some(_), .. });
        if sends && events.events.is_empty() && !is_event {
            events.events.push(note(STEP, &self.name.to_owned()));
        }
        Ok(())
    }

    fn encoded(&self) -> prost_types::Any {
        match &self.trigger {
            Trigger::Event { event, .. } => any_of(&event.type_name, &event.payload),
            Trigger::Elsewhere { event: Some((event, _)), .. } => any_of(&event.type_name, &event.payload),
            Trigger::Timeout { .. } | Trigger::Rejection { .. } | Trigger::Elsewhere { .. } => {
                prost_types::Any::default()
            }
        }
    }

    fn question(&self) -> Option<&Question> {
        match &self.trigger {
            Trigger::Elsewhere { question, .. } => Some(question),
            _ => None,
        }
    }
}

/// One event as a process manager in another process gets it.
fn book_of(stream: &StreamKey, event: &StoredEvent) -> proto::EventBook {
    let edition = Edition::of(&stream.edition, event.headers.divergences());
    proto::EventBook {
        cover: Some(cover_on(stream, &edition, &event.headers)),
        snapshot: None,
        pages: vec![event_page(event)],
        next_sequence: event.sequence.saturating_add(1),
    }
}

/// A notification as a process manager in another process gets it.
fn told_in_a_book(cover: proto::Cover, notification: &proto::Notification) -> proto::EventBook {
    let told = proto::pack_as("angzarr.Notification", notification);
    let page = proto::EventPage { payload: Some(proto::event_page::Payload::Event(told)), ..Default::default() };
    proto::EventBook { cover: Some(cover), pages: vec![page], ..Default::default() }
}

/// The stream of a process: its root is made of the correlation id (row P1).
pub(crate) fn process_key(domain: &'static str, edition: &Name, correlation_id: &str) -> StreamKey {
    StreamKey { domain: Name::from_static(domain), edition: edition.clone(), root: root(domain, correlation_id) }
}

impl ProcessManagerRunner {
    pub(crate) fn new(process: &ProcessManager) -> Self {
        Self {
            name: process.descriptor.state.domain,
            sources: process.descriptor.sources,
            skipped: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            retries: tokio::sync::Mutex::new(()),
        }
    }

    fn process<'c>(&self, core: &'c Core) -> &'c ProcessManager {
        &core.registry.process_managers[self.name]
    }

    pub(super) fn wants(&self, event: &LogEvent) -> bool {
        self.sources.contains(&event.stream.domain.as_str())
    }

    fn at<'e>(&self, stream: &'e StreamKey, event: &'e StoredEvent) -> AtEvent<'e> {
        AtEvent { component: self.name, kind: ComponentKind::ProcessManager, stream, event }
    }

    /// Handles a batch, in order within each process (row P4). An error leaves it unhandled: it comes again, and what was
    /// done is known.
    pub(super) async fn handle(&self, core: &Core, mut batch: Vec<LogEvent>) -> Result<(), String> {
        batch.retain(|item| !self.is_skipped(core, item));
        let process = |item: &LogEvent| (item.stream.edition.clone(), item.event.headers.correlation_id().to_owned());
        in_lanes(batch, PROCESSES_AT_ONCE, process, |item| async move {
            let span = telemetry::reaction_span(self.at(&item.stream, &item.event));
            telemetry::within(span, self.handle_one(core, &item)).await
        })
        .await
    }

    /// Whether an event is of no process (row P2), as most are in a program that follows few: seen before any more is done. What an
    /// old version becomes is known later.
    fn is_skipped(&self, core: &Core, item: &LogEvent) -> bool {
        let LogEvent { stream, event } = item;
        let type_name = event.type_name.as_str();
        if !event.headers.correlation_id().is_empty()
            || !self.process(core).handles(type_name)
            || event.schema_version != core.registry.upcasters.current_version(type_name)
        {
            return false;
        }
        self.skip(stream, event);
        core.handled(self.name, ComponentKind::ProcessManager, stream, event, Ok(None));
        true
    }

    fn skip(&self, stream: &StreamKey, event: &StoredEvent) {
        let before = self.skipped.fetch_add(1, Ordering::Relaxed);
        telemetry::no_correlation(self.at(stream, event), before == 0);
    }

    /// One event, and a letter if the process manager cannot handle it.
    async fn handle_one(&self, core: &Core, item: &LogEvent) -> Result<(), String> {
        let (stream, sequence) = (&item.stream, item.event.sequence);
        let partition = core.ownership.partition_of_process(stream, &item.event.headers);
        if !core.ownership.has_partition(self.name, partition) {
            return Err(TAKEN_OVER.to_owned());
        }
        let link = core.link_for(self.name, stream, &item.event);
        if let Some(link) = &link
            && let Some(failure) = core.too_deep(link, self.name, ComponentKind::ProcessManager, stream, sequence).await
        {
            return core.stop_cascade(self.name, ComponentKind::ProcessManager, item, failure, link).await;
        }
        match self.react(core, stream, item.event.clone(), link.as_ref(), None).await {
            Ok(()) => {
                core.handled(self.name, ComponentKind::ProcessManager, stream, &item.event, Ok(None));
                Ok(())
            }
            Err(Failure::Held(reason)) => Err(reason),
            Err(Failure::Event(failure)) => {
                core.dead_letter_event(self.name, ComponentKind::ProcessManager, item, &failure).await
            }
        }
    }

    /// One event: what its process makes of it, and then what is to be sent.
    async fn react(
        &self,
        core: &Core,
        stream: &StreamKey,
        stored: StoredEvent,
        link: Option<&CascadeLink>,
        told: Option<&Mutex<Told>>,
    ) -> Result<(), Failure> {
        let upcast: Upcasted = core.today(stream, stored).await.map_err(|error| match error {
            Error::OutOfReach { .. } => Failure::Held(error.to_string()),
            error => Failure::Event(EventFailure { reason: error.to_string(), tries: 1, transient: false }),
        })?;
        for (event, part) in upcast.into_iter().zip(0u32..) {
            let Some((trigger, decider)) = self.process(core).woken_by(stream, &event) else { continue };
            if event.headers.correlation_id().is_empty() {
                self.skip(stream, &event);
                continue;
            }
            self.trigger(core, stream, &event, part, (trigger, decider), link, told).await?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn trigger(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: &StoredEvent,
        part: u32,
        (trigger, decider): (Trigger<'_>, Decider),
        link: Option<&CascadeLink>,
        told: Option<&Mutex<Told>>,
    ) -> Result<(), Failure> {
        let headers = &event.headers.clone().with_wait(link.and_then(CascadeLink::mark));
        let key = process_key(self.name, &stream.edition, headers.correlation_id());
        let provenance = Provenance {
            source: stream.clone(),
            source_seq: event.sequence,
            component: Name::from_static(self.name),
            command_index: part,
        };
        let work = ProcessWork { core, trigger, key: &key, headers, name: self.name };
        let mut delays = core.reaction_delays();
        let mut tries = 1;
        loop {
            let source = Some((stream, event.sequence, part * PART));
            let plan = Plan { source, told, ..Plan::of(self.name) };
            let dedup = provenance.dedup_as(TRIGGERED);
            let step = Step { key: &key, headers, decider, work: &work, dedup, plan: &plan, link, only_open: true };
            let error = match self.process(core).step(core, step).await {
                Ok(outcome) => {
                    if outcome.moot {
                        self.ignored.fetch_add(1, Ordering::Relaxed);
                        telemetry::process_is_over(self.at(stream, event));
                    } else {
                        telemetry::handled(decider.method, Some(plan.planned.lock().len()));
                    }
                    if let Some(told) = told {
                        told.lock().events.extend(outcome.events);
                    }
                    return Ok(());
                }
                Err(Undelivered::Held(reason)) => return Err(Failure::Held(reason)),
                Err(Undelivered::Failed { reason, permanent }) => {
                    if permanent {
                        ReactionError::permanent(reason)
                    } else {
                        ReactionError::transient(reason)
                    }
                }
            };
            telemetry::failed(self.at(stream, event), tries, &error);
            match delays.next() {
                Some(delay) if !error.is_permanent() => tokio::time::sleep(delay).await,
                _ => return Err(Failure::Event(EventFailure::new(&error, tries))),
            }
            tries += 1;
        }
    }

    /// One event that a caller gives: it is told what its process stores and sends. One that fails becomes no letter: the log
    /// brings it as well.
    #[cfg(feature = "server")]
    pub(super) async fn run_given(
        &self,
        core: &Core,
        stream: &StreamKey,
        event: StoredEvent,
        link: Option<&CascadeLink>,
        told: &Mutex<Told>,
    ) -> Result<()> {
        self.react(core, stream, event, link, Some(told)).await.map_err(|failure| match failure {
            Failure::Held(reason) => {
                crate::storage::StorageError::new(crate::storage::StorageErrorKind::Unavailable, "reaction", reason)
                    .into()
            }
            Failure::Event(failure) => Error::Reaction {
                handler: self.name.to_owned(),
                message: failure.reason,
                permanent: !failure.transient,
                subject: Default::default(),
            },
        })
    }

    /// Tries an event of the dead letters again. What was done the first time is known.
    pub(crate) async fn retry(&self, core: &Core, id: DeadLetterId) -> Result<()> {
        let _turn = self.retries.lock().await;
        let letter = dead_letter::open(core, id).await?;
        let item = dead_letter::parked_event(&letter)?;
        let span = telemetry::reaction_span(self.at(&item.stream, &item.event));
        let message = match telemetry::within(span, self.react(core, &item.stream, item.event, None, None)).await {
            Ok(()) => return dead_letter::resolve(core, id, Resolution::Retried { at: core.now() }).await,
            Err(Failure::Held(reason)) => reason,
            Err(Failure::Event(failure)) => {
                dead_letter::store(core, dead_letter::failed_again(&letter, &failure)).await?;
                failure.reason
            }
        };
        Err(Error::Component { component: self.name.to_owned(), message })
    }
}

/// One thing that a process decides on.
pub(super) struct Step<'a> {
    pub(super) key: &'a StreamKey,
    pub(super) headers: &'a Headers,
    pub(super) decider: Decider,
    pub(super) work: &'a ProcessWork<'a>,
    pub(super) dedup: crate::storage::Dedup,
    pub(super) plan: &'a Plan<'a>,
    pub(super) link: Option<&'a CascadeLink>,
    /// Ignored where the process is over (row P7).
    pub(super) only_open: bool,
}

impl ProcessManager {
    /// What an event is for it, and whose method decides; `None` if it is nothing.
    pub(super) fn woken_by<'e>(&self, stream: &'e StreamKey, event: &'e StoredEvent) -> Option<(Trigger<'e>, Decider)> {
        if let Some(remote) = &self.state.remote {
            let question = remote.trigger(book_of(stream, event));
            let trigger = Trigger::Elsewhere { question, event: Some((event, stream)) };
            return Some((trigger, Decider::elsewhere(self.descriptor.state.location)));
        }
        let handler = self.handlers.get(event.type_name.as_str()).copied()?;
        let decider = Decider {
            method: handler.method,
            location: handler.location,
            merge: None,
            full_name: handler.event.full_name,
        };
        Some((Trigger::Event { handler, event, stream }, decider))
    }

    /// What a timeout is for it, and whose method decides.
    fn woken_by_timeout(
        &self,
        name: &str,
        due: i64,
        cover: &proto::Cover,
        told: Option<proto::Notification>,
    ) -> Result<(Trigger<'static>, Decider), ReactionError> {
        if let Some(remote) = &self.state.remote {
            // Scheduled by a version of the process that was in this program.
            let told = told.ok_or_else(|| {
                let manager = self.state.descriptor.name;
                ReactionError::permanent(format_args!("`{manager}` is elsewhere and knows no timeout `{name}`"))
            })?;
            let told = proto::Notification { cover: Some(cover.clone()), ..told };
            let question = remote.trigger(told_in_a_book(cover.clone(), &told));
            let decider = Decider::elsewhere(self.state.descriptor.location);
            return Ok((Trigger::Elsewhere { question, event: None }, decider));
        }
        let method = self.timeouts.get(name).copied().ok_or_else(|| unknown_timeout(self, name))?;
        let decider = Decider {
            method: method.method,
            location: method.location,
            merge: None,
            full_name: || "angzarr.Timeout".to_owned(),
        };
        Ok((Trigger::Timeout { method, due }, decider))
    }

    /// Stores what the process decides, with the intent to send the rest, and then sends it (row P1).
    pub(super) async fn step(&self, core: &Core, step: Step<'_>) -> Result<Outcome, Undelivered> {
        let Step { key, headers, decider, work, dedup, plan, link, only_open } = step;
        let edition = Edition::of(&key.edition, headers.divergences());
        let outcome = core
            .decide_alone(Alone {
                aggregate: &self.state,
                key: key.clone(),
                edition: &edition,
                headers: headers.clone(),
                decider,
                work,
                dedup: Some(dedup),
                at: None,
                along: Some(plan),
                link,
                for_open_process: only_open,
                because: if plan.decided.is_some() { None } else { work.because() },
            })
            .await;
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return Err(Undelivered::of(error)),
        };
        if let Some(link) = link {
            link.adopt(core, key, outcome.waiting.take(), &outcome.events);
        }
        if outcome.duplicate || outcome.moot {
            plan.planned.lock().clear();
            // What the first time planned and did not come to is left to whoever carries out intents.
            core.intents.wake();
            return Ok(outcome);
        }
        let planned = std::mem::take(&mut *plan.planned.lock());
        if plan.decided.is_some() {
            return Ok(outcome); // a rehearsal sends nothing
        }
        if let Some(told) = plan.told {
            told.lock().intents.extend(planned.iter().map(|(intent, _)| intent.clone()));
        }
        for (intent, _claim) in &planned {
            core.carry_out(intent, link).await;
        }
        // A timeout may be due before the one that is waited for.
        core.intents.wake();
        Ok(outcome)
    }
}

impl Core {
    /// Sends what a process has decided to send.
    pub(super) async fn send_intent(&self, intent: &Intent, link: Option<&CascadeLink>) -> Result<(), Undelivered> {
        let unreadable = || Undelivered::Failed { reason: "the intent cannot be read".to_owned(), permanent: true };
        let mut work = SendWork::decode(intent.work.clone()).map_err(|_| unreadable())?;
        let origin = std::mem::take(&mut work.trace);
        let notification =
            proto::RejectionNotification { rejected_command: work.book, rejection_reason: String::new() };
        let About { provenance, rejected, edition, headers, .. } = About::of(notification).ok_or_else(unreadable)?;
        let headers = headers.with_origin(&origin).ok_or_else(unreadable)?;
        // Who carries out what another process has decided finds its cascade by the mark.
        let found = if link.is_none() { headers.wait().and_then(|mark| self.link_at(mark)) } else { None };
        let link = link.or(found.as_ref());
        let headers = headers.with_wait(link.and_then(CascadeLink::mark));
        let sender = Sender {
            kind: ComponentKind::ProcessManager,
            component: provenance.component.clone(),
            source: &provenance.source,
            source_seq: provenance.source_seq,
            edition,
            headers,
            link,
            // It is in the store as long as it is neither done nor told as rejected.
            in_doubt: false,
            intent: Some(intent),
            because: None,
        };
        let emission = match intent.kind {
            IntentKind::Fact => Emission::Fact(AnyFact {
                domain: rejected.domain,
                root: rejected.root,
                type_name: rejected.type_name,
                payload: rejected.payload,
                external_id: work.external_id,
            }),
            _ => Emission::Command(command_of(
                &rejected.domain,
                rejected.root,
                &rejected.type_name,
                rejected.payload,
                work.at,
            )),
        };
        let settle = Settle { id: intent.id, due: intent.due };
        self.emit(&sender, provenance.command_index, &emission, Some(settle)).await.map_err(Undelivered::Held)
    }

    /// What the rejection of a command is for a process manager, and whose method decides (row P6).
    pub(super) fn told_of_rejection<'a>(
        &self,
        process: &ProcessManager,
        about: &'a About,
    ) -> Option<(Trigger<'a>, Decider)> {
        if let Some(remote) = &process.state.remote {
            let cover = cover_on(&about.provenance.source, &about.edition, &about.headers);
            let question = remote.trigger(told_in_a_book(cover, &self.notification(about)));
            let decider = Decider::elsewhere(process.descriptor.state.location);
            return Some((Trigger::Elsewhere { question, event: None }, decider));
        }
        let method = rejected_by(&process.rejected, &about.rejected.type_name, &about.rejected.domain)?;
        let decider = Decider {
            method: method.method,
            location: method.location,
            merge: None,
            full_name: || "angzarr.RejectionNotification".to_owned(),
        };
        Some((Trigger::Rejection { method, about }, decider))
    }

    /// Lets a process know that a command of it was rejected (row P6).
    pub(super) async fn notify_process(
        &self,
        process: &ProcessManager,
        (trigger, decider): (Trigger<'_>, Decider),
        about: &About,
        settle: Settle,
        link: Option<&CascadeLink>,
    ) -> Result<(), Undelivered> {
        let name = process.descriptor.state.domain;
        let headers = &about.headers;
        let key = process_key(name, about.edition.name(), headers.correlation_id());
        let work = ProcessWork { core: self, trigger, key: &key, headers, name };
        let plan = Plan { settle: Some(settle), ..Plan::of(name) };
        let dedup = notified(about);
        let step = Step { key: &key, headers, decider, work: &work, dedup, plan: &plan, link, only_open: false };
        let outcome = process.step(self, step).await?;
        if outcome.duplicate { self.withdraw(settle).await.map_err(Undelivered::Held) } else { Ok(()) }
    }

    /// Wakes a process whose timeout is due (row P5).
    pub(super) async fn fire(&self, intent: &Intent) -> Result<(), Undelivered> {
        let settle = Settle { id: intent.id, due: intent.due };
        let unreadable = || Undelivered::Failed { reason: "the timeout cannot be read".to_owned(), permanent: true };
        let TimeoutWork { name: timeout, cover, trace, told } =
            TimeoutWork::decode(intent.work.clone()).map_err(|_| unreadable())?;
        let cover = cover.ok_or_else(unreadable)?;
        let edition = crate::command::edition_of(&cover);
        let headers = Headers::new(cover.correlation_id.as_str(), cover.ext.clone())
            .with_divergences(edition.named_divergences())
            .with_trace(TraceContext::from_bytes(&trace));
        let process = self.registry.process_managers.get(cover.domain.as_str()).ok_or_else(|| {
            let reason = format!("no process manager has the domain `{}`", cover.domain);
            Undelivered::Failed { reason, permanent: true }
        })?;
        let (trigger, decider) = process.woken_by_timeout(&timeout, intent.due, &cover, told).map_err(|reason| {
            let reason = reason.to_string();
            Undelivered::Failed { reason, permanent: true }
        })?;
        let name = process.descriptor.state.domain;
        let key = &intent.stream;
        let work = ProcessWork { core: self, trigger, key, headers: &headers, name };
        let plan = Plan { settle: Some(settle), ..Plan::of(name) };
        // The same firing again is known by its time.
        let firing = Provenance {
            source: key.clone(),
            source_seq: 0,
            component: Name::from(format!("{timeout} {}", intent.due)),
            command_index: 0,
        };
        let dedup = firing.dedup_as(FIRED);
        let step =
            Step { key, headers: &headers, decider, work: &work, dedup, plan: &plan, link: None, only_open: true };
        telemetry::timeout_fires(intent, &timeout);
        let outcome = process.step(self, step).await?;
        if outcome.duplicate || outcome.moot { self.withdraw(settle).await.map_err(Undelivered::Held) } else { Ok(()) }
    }

    /// A timeout whose method keeps failing waits for a person.
    pub(super) async fn give_up_timeout(&self, intent: &Intent, reason: &str, attempts: u32) -> Result<(), String> {
        let work = TimeoutWork::decode(intent.work.clone()).unwrap_or_default();
        let cover = work.cover.clone().unwrap_or_default();
        let letter = dead_letter::failed_timeout(self, intent, cover, &work.name, reason, attempts);
        self.store_letter(letter, Some(Settle { id: intent.id, due: intent.due }), Extras::default()).await.map(drop)
    }
}
