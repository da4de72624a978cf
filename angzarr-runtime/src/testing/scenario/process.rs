//! Scenarios of a process manager.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use uuid::Uuid;

use super::aggregate::{Given, Stage, now};
use super::events::{EventsOf, KnownEvent};
use super::report::Holds;
use crate::declare::{
    Aggregate, Clock as _, CommandOf, DeclaredProcessManager, Domain, Emission, Emissions, Message, ReactionError,
    RejectedCommand, SagaOutput, TimeoutAt, nanos_of,
};
use crate::reaction::{Rehearsal, Rehearsed};
use crate::stream::{Headers, Name, StoredEvent, StreamKey};

/// A process after a trigger. Every `then…` asserts one thing, panics at its own line if that is not so, and gives the
/// scenario back for the next one.
pub struct WhenProcess<P> {
    stage: Stage,
    /// `None` where the process manager has no method for the trigger.
    outcome: Option<Result<Rehearsed, ReactionError>>,
    process: PhantomData<fn() -> P>,
}

/// The correlation id of a scenario's process.
const CORRELATION: &str = "scenario";

impl Stage {
    #[track_caller]
    fn rehearse<P: Aggregate>(&mut self, trigger: Rehearsal<'_>) -> Option<Result<Rehearsed, ReactionError>> {
        if self.correlation.as_deref().is_some_and(|id| id != CORRELATION) {
            self.story.fail("a process is known by its correlation id: leave that of the scenario as it is");
        }
        let process = &self.core.registry.process_managers[P::DOMAIN];
        now(process.rehearse(&self.core, CORRELATION, trigger))
    }

    #[track_caller]
    fn event<P: Aggregate, D: Domain>(
        &mut self,
        root: Uuid,
        event: &(impl Message + fmt::Debug),
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let stream = StreamKey::main(Name::from_static(D::DOMAIN), root);
        let shown = self.story.show_message(event);
        self.story.tell("when", format!("{stream}: {shown}"));
        let sources = self.core.registry.process_managers[P::DOMAIN].descriptor.sources;
        if !sources.contains(&D::DOMAIN) {
            self.story.fail(&format!("it listens to {}, not to `{}`", sources.join(", "), D::DOMAIN));
        }
        let sequence = self.others.entry(stream.clone()).or_default();
        let type_name = Name::from(type_name_of(event));
        let stored = StoredEvent {
            position: 1,
            sequence: *sequence,
            created_at: nanos_of(self.clock.now()),
            schema_version: self.core.registry.upcasters.current_version(&type_name),
            payload: Bytes::from(event.encode_to_vec()),
            headers: Headers::new(CORRELATION, None),
            isolated: false,
            type_name,
        };
        *sequence += 1;
        self.rehearse::<P>(Rehearsal::Event { stream: &stream, event: &stored })
    }

    #[track_caller]
    fn timeout<P: Aggregate>(&mut self, name: &str) -> Option<Result<Rehearsed, ReactionError>> {
        self.story.tell("when", format!("the timeout `{name}` is due"));
        self.rehearse::<P>(Rehearsal::Timeout { name })
    }

    #[track_caller]
    fn rejection<P: Aggregate, D: Domain, C: Message + fmt::Debug>(
        &mut self,
        root: Uuid,
        command: &C,
        reason: &str,
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let shown = self.story.show_message(command);
        self.story.tell("when", format!("{}/{root} rejects {shown}: {reason}", D::DOMAIN));
        let rejected = RejectedCommand {
            domain: Name::from_static(D::DOMAIN),
            root,
            type_name: Name::from(C::full_name()),
            payload: Bytes::from(command.encode_to_vec()),
            reason: reason.to_owned(),
            component: Name::from_static(P::DOMAIN),
            source_seq: 0,
        };
        self.rehearse::<P>(Rehearsal::Rejection { rejected })
    }
}

fn type_name_of<M: Message>(_: &M) -> String {
    M::full_name()
}

impl<P: DeclaredProcessManager> Given<P> {
    #[track_caller]
    fn begin(mut self) -> Stage {
        self.stage.store(P::DOMAIN, std::mem::take(&mut self.events));
        self.stage
    }

    /// An event of the aggregate `D` comes to the process.
    #[track_caller]
    pub fn when_event<D: Domain>(self, root: Uuid, event: impl Message + fmt::Debug) -> WhenProcess<P> {
        let mut stage = self.begin();
        let outcome = stage.event::<P, D>(root, &event);
        WhenProcess { stage, outcome, process: PhantomData }
    }

    /// A timeout of the process is due.
    #[track_caller]
    pub fn when_timeout(self, name: &str) -> WhenProcess<P> {
        let mut stage = self.begin();
        let outcome = stage.timeout::<P>(name);
        WhenProcess { stage, outcome, process: PhantomData }
    }

    /// A command that the process has sent is rejected by its target; the reason begins with the rejection's code.
    #[track_caller]
    pub fn when_rejected<D: Aggregate>(
        self,
        root: Uuid,
        command: impl CommandOf<D> + fmt::Debug,
        reason: &str,
    ) -> WhenProcess<P> {
        let mut stage = self.begin();
        let outcome = stage.rejection::<P, D, _>(root, &command, reason);
        WhenProcess { stage, outcome, process: PhantomData }
    }
}

impl<P: DeclaredProcessManager> WhenProcess<P> {
    /// Exactly these events went to its own stream, in this order.
    #[track_caller]
    pub fn then<Shape>(mut self, events: impl EventsOf<P, Shape>) -> Self {
        let mut expected = Vec::new();
        events.list(&mut expected);
        let wanted: Vec<_> = expected.iter().map(|event| self.stage.story.show_known(event)).collect();
        let same = |(wanted, came): (&KnownEvent, &StoredEvent)| {
            self.stage.story.equal(wanted, &came.type_name, &came.payload)
        };
        let came = self.done().map(|done| done.events.as_slice());
        if came.is_some_and(|came| came.len() == expected.len() && expected.iter().zip(came).all(same)) {
            return self;
        }
        self.differs(&wanted, "no event")
    }

    /// No event of its own, nothing sent, no timeout: also where it has no method for the trigger, or is over.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        let idle = match &self.outcome {
            None => true,
            Some(Ok(done)) => done.ignored || (done.events.is_empty() && lines_of(&self.stage, done).is_empty()),
            Some(Err(_)) => false,
        };
        if idle { self } else { self.differs(&[], "nothing") }
    }

    /// Exactly these commands and facts are to be sent, in this order: one, a tuple, an array or a `Vec`.
    #[track_caller]
    pub fn then_commands(self, commands: impl SagaOutput) -> Self {
        let mut expected = Emissions::default();
        if let Err(error) = commands.collect(&mut expected) {
            panic!("the expected commands are an error: {error}");
        }
        if self.done().is_some_and(|done| done.aftermath.emissions == expected.0) {
            return self;
        }
        let wanted: Vec<_> = expected.0.iter().map(|emission| show_emission(&self.stage, emission)).collect();
        self.differs(&wanted, "no command")
    }

    /// This timeout is scheduled, or moved, to so long after now.
    #[track_caller]
    pub fn then_timeout(self, name: &str, after: Duration) -> Self {
        let due = |done: &Rehearsed| {
            let last = done.aftermath.timeouts.iter().rev().find(|change| change.name == name)?;
            match last.to? {
                TimeoutAt::After(after) => Some(after),
                TimeoutAt::At(at) => u64::try_from(at.saturating_sub(done.now)).ok().map(Duration::from_nanos),
            }
        };
        if self.done().and_then(due) == Some(after) {
            return self;
        }
        self.differs(&[format!("timeout `{name}` in {after:?}")], "no timeout")
    }

    /// This timeout is taken back.
    #[track_caller]
    pub fn then_timeout_cancelled(self, name: &str) -> Self {
        let taken_back = |done: &Rehearsed| {
            let last = done.aftermath.timeouts.iter().rev().find(|change| change.name == name);
            last.is_some_and(|change| change.to.is_none()) || done.aftermath.complete
        };
        if self.done().is_some_and(taken_back) {
            self
        } else {
            self.differs(&[format!("timeout `{name}` taken back")], "")
        }
    }

    /// The process says that it is over (row P7).
    #[track_caller]
    pub fn then_complete(self) -> Self {
        if self.done().is_some_and(|done| done.aftermath.complete) {
            return self;
        }
        self.differs(&["the process is over".to_owned()], "")
    }

    /// The process was over before: the trigger is ignored (row P7).
    #[track_caller]
    pub fn then_ignored(self) -> Self {
        if self.done().is_some_and(|done| done.ignored) {
            return self;
        }
        self.differs(&["ignored: the process is over".to_owned()], "")
    }

    /// The method failed with an error whose text contains this.
    #[track_caller]
    pub fn then_error(self, text: &str) -> Self {
        if matches!(&self.outcome, Some(Err(error)) if error.message().contains(text)) {
            return self;
        }
        self.differs(&[format!("error: …{text}…")], "")
    }

    /// The state of the process: the closure asserts, or answers whether it is right.
    #[track_caller]
    pub fn then_state<H: Holds>(self, check: impl FnOnce(&P) -> H) -> Self {
        self.stage.check_state(check);
        self
    }

    /// The time at which the next trigger comes.
    #[must_use = "it is for the next trigger"]
    pub fn at(self, time: SystemTime) -> Self {
        self.stage.clock.set(time);
        self
    }

    /// The next event comes.
    #[track_caller]
    pub fn and_when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.event::<P, D>(root, &event);
        self
    }

    /// A timeout is due next.
    #[track_caller]
    pub fn and_when_timeout(mut self, name: &str) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.timeout::<P>(name);
        self
    }

    /// A command is rejected next.
    #[track_caller]
    pub fn and_when_rejected<D: Aggregate>(
        mut self,
        root: Uuid,
        command: impl CommandOf<D> + fmt::Debug,
        reason: &str,
    ) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.rejection::<P, D, _>(root, &command, reason);
        self
    }

    fn done(&self) -> Option<&Rehearsed> {
        self.outcome.as_ref()?.as_ref().ok()
    }

    /// What came is part of the story that goes on.
    fn tell_outcome(&mut self) {
        for line in self.lines() {
            self.stage.story.tell("then", line);
        }
    }

    #[track_caller]
    fn differs(&self, wanted: &[String], nothing: &str) -> ! {
        let nothing = vec![nothing.to_owned()];
        self.stage.story.fail_different(if wanted.is_empty() { &nothing } else { wanted }, &self.lines())
    }

    /// What came of the trigger, in lines.
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
    if done.aftermath.complete {
        lines.push("the process is over".to_owned());
    }
    if done.ignored {
        lines.push("ignored: the process is over".to_owned());
    }
    lines
}

fn show_emission(stage: &Stage, emission: &Emission) -> String {
    match emission {
        Emission::Command(it) => format!("{}/{}: {}", it.domain, it.root, stage.story.show(&it.type_name, &it.payload)),
        Emission::Fact(it) => {
            format!("{}/{}: the fact {}", it.domain, it.root, stage.story.show(&it.type_name, &it.payload))
        }
    }
}

impl<P> fmt::Debug for WhenProcess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenProcess").finish_non_exhaustive()
    }
}
