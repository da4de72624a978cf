//! Scenarios of a process manager.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::aggregate::{Given, Stage, now};
use super::answer::{Answered, show_emission};
use crate::declare::{
    Aggregate, Clock as _, DeclaredProcessManager, Domain, Emission, Emissions, Message, ReactionError, SagaOutput,
    TimeoutAt, nanos_of,
};
use crate::reaction::{Rehearsal, Rehearsed};
use crate::stream::{Headers, Name, StoredEvent, StreamKey};

/// The correlation id of a scenario's process.
const CORRELATION: &str = "scenario";

impl Stage {
    #[track_caller]
    pub(super) fn rehearse<P: Aggregate>(
        &mut self,
        trigger: Rehearsal<'_>,
    ) -> Option<Result<Rehearsed, ReactionError>> {
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
        let shown = self.story.show_message(event);
        let type_name = Name::from(type_name_of(event));
        let version = self.core.registry.upcasters.current_version(&type_name);
        self.told::<P, D>(root, type_name, version, Bytes::from(event.encode_to_vec()), &shown)
    }

    #[track_caller]
    fn old_event<P: Aggregate, D: Domain>(
        &mut self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: &[u8],
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let type_name = Name::new(type_name);
        let shown = self.story.show_stored(&self.core.registry, &type_name, version, payload);
        self.told::<P, D>(root, type_name, version, Bytes::copy_from_slice(payload), &shown)
    }

    /// An event as the log holds it, through the upcasters: what all parts of it come to is one answer.
    #[track_caller]
    fn told<P: Aggregate, D: Domain>(
        &mut self,
        root: Uuid,
        type_name: Name,
        schema_version: u32,
        payload: Bytes,
        shown: &str,
    ) -> Option<Result<Rehearsed, ReactionError>> {
        let stream = StreamKey::main(Name::from_static(D::DOMAIN), root);
        self.story.tell("when", format!("{stream}: {shown}"));
        let sources = self.core.registry.process_managers[P::DOMAIN].descriptor.sources;
        if !sources.contains(&D::DOMAIN) {
            self.story.fail(&format!("it listens to {}, not to `{}`", sources.join(", "), D::DOMAIN));
        }
        let sequence = self.others.entry(stream.clone()).or_default();
        let stored = StoredEvent {
            position: 1,
            sequence: *sequence,
            created_at: nanos_of(self.clock.now()),
            schema_version,
            payload,
            headers: Headers::new(CORRELATION, None),
            isolated: false,
            type_name,
        };
        *sequence += 1;
        let events: Vec<_> = match self.core.upcast(&stream, stored) {
            Ok(events) => events.into_iter().collect(),
            Err(error) => return Some(Err(ReactionError::permanent(error.to_string()))),
        };
        let mut whole: Option<Rehearsed> = None;
        for (event, part) in events.iter().zip(0..) {
            match self.rehearse::<P>(Rehearsal::Event { stream: &stream, event, part }) {
                None => {}
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(done)) => match &mut whole {
                    None => whole = Some(done),
                    Some(whole) => whole.and(done),
                },
            }
        }
        whole.map(Ok)
    }

    #[track_caller]
    fn timeout<P: Aggregate>(&mut self, name: &str) -> Option<Result<Rehearsed, ReactionError>> {
        self.story.tell("when", format!("the timeout `{name}` is due"));
        self.rehearse::<P>(Rehearsal::Timeout { name })
    }
}

fn type_name_of<M: Message>(_: &M) -> String {
    M::full_name()
}

impl<P: DeclaredProcessManager> Given<P> {
    /// An event of the aggregate `D` comes to the process.
    #[track_caller]
    pub fn when_event<D: Domain>(self, root: Uuid, event: impl Message + fmt::Debug) -> Answered<P> {
        let mut stage = self.begin();
        let outcome = stage.event::<P, D>(root, &event);
        Answered::new(stage, outcome)
    }

    /// An event of the aggregate `D` comes that an older program stored: its name and version then, and its encoded payload.
    /// It comes to the process through the upcasters.
    #[track_caller]
    pub fn when_stored<D: Domain>(
        self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: impl AsRef<[u8]>,
    ) -> Answered<P> {
        let mut stage = self.begin();
        let outcome = stage.old_event::<P, D>(root, type_name, version, payload.as_ref());
        Answered::new(stage, outcome)
    }

    /// A timeout of the process is due.
    #[track_caller]
    pub fn when_timeout(self, name: &str) -> Answered<P> {
        let mut stage = self.begin();
        let outcome = stage.timeout::<P>(name);
        Answered::new(stage, outcome)
    }
}

impl<P: DeclaredProcessManager> Answered<P> {
    /// Exactly these commands and facts are to be sent, in this order: one, a tuple, an array or a `Vec`.
    #[track_caller]
    pub fn then_commands(self, commands: impl SagaOutput) -> Self {
        let expected = listed(commands);
        if self.done().is_some_and(|done| done.aftermath.emissions == expected) {
            return self;
        }
        let wanted: Vec<_> = expected.iter().map(|emission| show_emission(&self.stage, emission)).collect();
        self.differs(&wanted, "no command")
    }

    /// Exactly these facts are to be sent, in this order, whatever commands go with them (row G6).
    #[track_caller]
    pub fn then_facts(self, facts: impl SagaOutput) -> Self {
        let expected = listed(facts);
        let is_fact = |emission: &&Emission| matches!(emission, Emission::Fact(_));
        let same = |done: &Rehearsed| done.aftermath.emissions.iter().filter(is_fact).eq(&expected);
        if self.done().is_some_and(same) {
            return self;
        }
        let wanted: Vec<_> = expected.iter().map(|emission| show_emission(&self.stage, emission)).collect();
        self.differs(&wanted, "no fact")
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

    /// The next event comes.
    #[track_caller]
    pub fn and_when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.event::<P, D>(root, &event);
        self
    }

    /// The next event comes, as an older program stored it.
    #[track_caller]
    pub fn and_when_stored<D: Domain>(
        mut self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: impl AsRef<[u8]>,
    ) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.old_event::<P, D>(root, type_name, version, payload.as_ref());
        self
    }

    /// A timeout is due next.
    #[track_caller]
    pub fn and_when_timeout(mut self, name: &str) -> Self {
        self.tell_outcome();
        self.outcome = self.stage.timeout::<P>(name);
        self
    }
}

/// What a saga would return for it.
#[track_caller]
fn listed(expected: impl SagaOutput) -> Vec<Emission> {
    let mut emissions = Emissions::default();
    if let Err(error) = expected.collect(&mut emissions) {
        panic!("what is expected to be sent is an error: {error}");
    }
    emissions.0
}
