//! Rejections and compensations in a scenario (rows K, E3).
//!
//! In: a command that its target has rejected, or events that a cascade takes back. Out: what the methods for it answer, by
//! way of the notification that the runtime records. Never: the target's own decision; the scenario says that it has rejected.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use uuid::Uuid;

use super::aggregate::{Given, Stage, When, now};
use super::answer::Answered;
use crate::declare::{Accepts, Aggregate, Domain, Message, ReactionError, RejectedCommand, Target};
use crate::reaction::{Rehearsal, Rehearsed};
use crate::stream::Name;

/// A command that the aggregate `D` takes, here or elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{D}` does not handle the command `{Self}`",
    label = "no `#[handler]` for this command",
    note = "name the target of the command: `when_rejected::<Target>(root, command, \"code: why\")`"
)]
pub trait SentTo<D>: Message + fmt::Debug {}
impl<D: Accepts<C>, C: Message + fmt::Debug> SentTo<D> for C {}

impl Stage {
    #[track_caller]
    fn reject<A: Aggregate, D: Domain, C: SentTo<D>>(
        &mut self,
        root: Uuid,
        command: &C,
        reason: &str,
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let shown = self.story.show_message(command);
        self.story.tell("when", format!("{}/{root} rejects {shown}: {reason}", D::DOMAIN));
        let component = self.sender::<A>(D::DOMAIN);
        let rejected = RejectedCommand {
            domain: Name::from_static(D::DOMAIN),
            root,
            type_name: Name::from(C::full_name()),
            payload: Bytes::from(command.encode_to_vec()),
            reason: reason.to_owned(),
            component: Name::from_static(component),
            source_seq: 0,
        };
        // What a process decides is shown whole, what it sends and all; so it is rehearsed.
        if self.core.registry.process_managers.contains_key(A::DOMAIN) {
            let trigger = Rehearsal::Rejection { rejected: rejected.clone() };
            if let Some(outcome) = self.rehearse::<A>(trigger) {
                return Some(outcome);
            }
        }
        let (source, index) = (self.key(A::DOMAIN), self.index());
        let correlation = self.correlation.clone().unwrap_or_default();
        Some(now(self.core.rehearse_rejection(&source, &correlation, &rejected, index)))
    }

    #[track_caller]
    fn compensate<A: Aggregate>(&mut self, events: Range<u32>) -> Option<Result<Rehearsed, ReactionError>> {
        let which = match events.end.saturating_sub(events.start) {
            0 => "nothing".to_owned(),
            1 => format!("its event {}", events.start),
            _ => format!("its events {} to {}", events.start, events.end - 1),
        };
        self.story.tell("when", format!("a cascade takes back {which}"));
        let (target, index) = (self.key(A::DOMAIN), self.index());
        let correlation = self.correlation.clone().unwrap_or_default();
        Some(now(self.core.rehearse_compensation(&target, &correlation, events, index)))
    }

    /// Who has sent the command: the process, or a saga that listens to the aggregate and sends to the target.
    fn sender<A: Aggregate>(&self, target: &str) -> &'static str {
        if self.core.registry.process_managers.contains_key(A::DOMAIN) {
            return A::DOMAIN;
        }
        let sends = |saga: &&crate::registry::Saga| {
            let mut targets = Vec::new();
            saga.handlers.values().for_each(|handler| (handler.targets)(&mut targets));
            let is_it = |it: &Target| *it == Target::Any || matches!(it, Target::Domain(domain) if *domain == target);
            saga.descriptor.domain == A::DOMAIN && targets.iter().any(is_it)
        };
        self.core.registry.sagas.values().find(sends).map_or("scenario", |saga| saga.descriptor.name)
    }

    /// Each rejection and compensation is another one.
    fn index(&mut self) -> u32 {
        self.undone += 1;
        self.undone
    }
}

impl<A: Aggregate> Given<A> {
    /// A command is rejected by its target that a process has sent, or a saga for the last event of the aggregate; the reason
    /// begins with the rejection's code. Where there is no `#[rejected]` method for it, it waits in the dead letters (row K3).
    #[track_caller]
    pub fn when_rejected<D: Domain>(self, root: Uuid, command: impl SentTo<D>, reason: &str) -> Answered<A> {
        let mut stage = self.begin();
        let outcome = stage.reject::<A, D, _>(root, &command, reason);
        Answered::new(stage, outcome)
    }

    /// A cascade fails and takes back the command that these events came from: `0..2` for the first two (row E3).
    #[track_caller]
    pub fn when_compensate(self, events: Range<u32>) -> Answered<A> {
        let mut stage = self.begin();
        let outcome = stage.compensate::<A>(events);
        Answered::new(stage, outcome)
    }
}

impl<A: Aggregate> When<A> {
    /// A command that was sent for the last event is rejected next.
    #[track_caller]
    pub fn and_when_rejected<D: Domain>(self, root: Uuid, command: impl SentTo<D>, reason: &str) -> Answered<A> {
        let mut stage = self.goes_on();
        let outcome = stage.reject::<A, D, _>(root, &command, reason);
        Answered::new(stage, outcome)
    }

    /// A cascade takes back next what these events came from.
    #[track_caller]
    pub fn and_when_compensate(self, events: Range<u32>) -> Answered<A> {
        let mut stage = self.goes_on();
        let outcome = stage.compensate::<A>(events);
        Answered::new(stage, outcome)
    }
}

impl<A: Aggregate> Answered<A> {
    /// A command is rejected next.
    #[track_caller]
    pub fn and_when_rejected<D: Domain>(mut self, root: Uuid, command: impl SentTo<D>, reason: &str) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.reject::<A, D, _>(root, &command, reason);
        self
    }

    /// A cascade takes back next what these events came from.
    #[track_caller]
    pub fn and_when_compensate(mut self, events: Range<u32>) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.compensate::<A>(events);
        self
    }
}
