//! What an aggregate or a process manager answers to something that the runtime brings to it.
//!
//! In: what its method decided, and what became of it. Out: nothing, or a panic at the line of the assertion. Never: a word
//! about commands of an aggregate; their answer is a [`When`].

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::aggregate::{Stage, When};
use super::events::{EventsOf, KnownEvent};
use super::report::Holds;
use crate::declare::{Aggregate, CommandOf, Emission, Message, ReactionError, Revocation, TimeoutAt};
use crate::reaction::Rehearsed;
use crate::stream::StoredEvent;

/// An aggregate after a rejection or a compensation, or a process after a trigger. Every `then…` asserts one thing, panics at
/// its own line if that is not so, and gives the scenario back for the next one.
pub struct Answered<A> {
    pub(super) stage: Stage,
    /// `None` where there is no method for it.
    pub(super) outcome: Option<Result<Rehearsed, ReactionError>>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Answered<A> {
    pub(super) fn new(stage: Stage, outcome: Option<Result<Rehearsed, ReactionError>>) -> Self {
        Self { stage, outcome, aggregate: PhantomData }
    }

    /// Exactly these events went to its own stream, in this order.
    #[track_caller]
    pub fn then<Shape>(mut self, events: impl EventsOf<A, Shape>) -> Self {
        let mut expected = Vec::new();
        events.list(&mut expected);
        let wanted: Vec<_> = expected.iter().map(|event| self.stage.story.show_known(event)).collect();
        let same = |(wanted, came): (&KnownEvent, &StoredEvent)| {
            self.stage.story.equal(wanted, &came.type_name, &came.payload)
        };
        let answered = self.done().filter(|done| done.revocation.is_none() && done.dead_letter.is_none());
        let came = answered.map(|done| done.events.as_slice());
        if came.is_some_and(|came| came.len() == expected.len() && expected.iter().zip(came).all(same)) {
            return self;
        }
        self.differs(&wanted, "no event")
    }

    /// No event of its own, nothing sent, no timeout, no revocation: also where a process has no method for the trigger, or is
    /// over. A rejected command that nobody answers for is not nothing: it waits in the dead letters (row K3).
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        let idle = match &self.outcome {
            None => true,
            Some(Ok(done)) => done.ignored || (done.events.is_empty() && lines_of(&self.stage, done).is_empty()),
            Some(Err(_)) => false,
        };
        if idle { self } else { self.differs(&[], "nothing") }
    }

    /// The method answered with this instead of events, flags and all (row K4).
    #[track_caller]
    pub fn then_revoked(self, revocation: Revocation) -> Self {
        if self.done().is_some_and(|done| done.revocation.as_ref() == Some(&revocation)) {
            return self;
        }
        self.differs(&[show_revocation(&revocation)], "")
    }

    /// The command waits in the dead letters: no method answers for it (row K3), or its method wants it there (row K4).
    #[track_caller]
    pub fn then_dead_letter(self) -> Self {
        if self.done().is_some_and(|done| done.dead_letter.is_some()) {
            return self;
        }
        self.differs(&["dead letter".to_owned()], "")
    }

    /// The method failed with an error whose text contains this.
    #[track_caller]
    pub fn then_error(self, text: &str) -> Self {
        if matches!(&self.outcome, Some(Err(error)) if error.message().contains(text)) {
            return self;
        }
        self.differs(&[format!("error: …{text}…")], "")
    }

    /// The state: the closure asserts, or answers whether it is right.
    #[track_caller]
    pub fn then_state<H: Holds>(self, check: impl FnOnce(&A) -> H) -> Self {
        self.stage.check_state(check);
        self
    }

    /// The time at which the next thing comes.
    #[must_use = "it is for what comes next"]
    pub fn at(self, time: SystemTime) -> Self {
        self.stage.clock.set(time);
        self
    }

    /// The sequence that the next command expects its stream to have.
    #[must_use = "it is for the next command"]
    pub fn expecting(mut self, sequence: u32) -> Self {
        self.stage.expected = Some(sequence);
        self
    }

    /// A command comes next.
    #[track_caller]
    pub fn and_when<C: CommandOf<A> + fmt::Debug>(mut self, command: C) -> When<A> {
        self.tell_outcome();
        let outcome = self.stage.send(command);
        When::new(self.stage, outcome)
    }

    /// A fact comes next (rows F).
    #[track_caller]
    pub fn and_when_fact(mut self, fact: impl Message + fmt::Debug) -> When<A> {
        self.tell_outcome();
        let outcome = self.stage.record::<A>(fact);
        When::new(self.stage, outcome)
    }

    pub(super) fn done(&self) -> Option<&Rehearsed> {
        self.outcome.as_ref()?.as_ref().ok()
    }

    /// What came is part of the story that goes on.
    pub(super) fn tell_outcome(&mut self) {
        for line in self.lines() {
            self.stage.story.tell("then", line);
        }
    }

    #[track_caller]
    pub(super) fn differs(&self, wanted: &[String], nothing: &str) -> ! {
        let nothing = vec![nothing.to_owned()];
        self.stage.story.fail_different(if wanted.is_empty() { &nothing } else { wanted }, &self.lines())
    }

    /// What came, in lines.
    fn lines(&self) -> Vec<String> {
        match &self.outcome {
            None => vec!["nothing: it has no method for that".to_owned()],
            Some(Err(error)) => vec![format!("error: {error}")],
            Some(Ok(done)) => {
                let mut lines: Vec<_> =
                    done.events.iter().map(|event| self.stage.story.show(&event.type_name, &event.payload)).collect();
                lines.extend(lines_of(&self.stage, done));
                if lines.is_empty() { vec!["nothing".to_owned()] } else { lines }
            }
        }
    }
}

/// What follows besides events, in lines.
fn lines_of(stage: &Stage, done: &Rehearsed) -> Vec<String> {
    let mut lines: Vec<_> = done.aftermath.emissions.iter().map(|it| show_emission(stage, it)).collect();
    lines.extend(done.aftermath.timeouts.iter().map(|change| match change.to {
        Some(TimeoutAt::After(after)) => format!("timeout `{}` in {after:?}", change.name),
        Some(TimeoutAt::At(at)) => {
            let after = Duration::from_nanos(u64::try_from(at.saturating_sub(done.now)).unwrap_or_default());
            format!("timeout `{}` in {after:?}", change.name)
        }
        None => format!("timeout `{}` taken back", change.name),
    }));
    lines.extend(done.revocation.as_ref().map(show_revocation));
    lines.extend(done.dead_letter.as_ref().map(|reason| format!("dead letter: {reason}")));
    if done.aftermath.complete {
        lines.push("the process is over".to_owned());
    }
    if done.ignored {
        lines.push("ignored: the process is over".to_owned());
    }
    lines
}

fn show_revocation(revocation: &Revocation) -> String {
    format!("revoked: {revocation}")
}

pub(super) fn show_emission(stage: &Stage, emission: &Emission) -> String {
    match emission {
        Emission::Command(it) => format!("{}/{}: {}", it.domain, it.root, stage.story.show(&it.type_name, &it.payload)),
        Emission::Fact(it) => {
            format!("{}/{}: the fact {}", it.domain, it.root, stage.story.show(&it.type_name, &it.payload))
        }
    }
}

impl<A> fmt::Debug for Answered<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").finish_non_exhaustive()
    }
}
