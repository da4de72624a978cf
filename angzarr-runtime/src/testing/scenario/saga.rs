//! Scenarios of a saga.

use std::any::TypeId;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use prost_types::Timestamp;
use uuid::Uuid;

use super::report::Story;
use super::told::{Told, unhandled};
use crate::declare::{Domain, Emission, Emissions, Instance, Message, ReactionError, SagaOutput};
use crate::error::nearest;
use crate::proto::TimestampExt as _;
use crate::reaction;
use crate::registry::{Registry, Saga};
use crate::stream::{Name, StoredEvent, StreamKey};

/// A saga that waits for an event. From [`Scenario::saga`](super::Scenario::saga).
#[must_use = "a scenario asserts nothing before `then…`"]
pub struct SagaScenario {
    name: &'static str,
    instance: Instance,
    told: Told,
    story: Story,
}

/// A saga after an event. Every `then…` asserts one thing, panics at its own line if that is not so, and gives the
/// scenario back for the next one.
pub struct Reacted {
    scenario: SagaScenario,
    outcome: Result<Vec<Emission>, ReactionError>,
    idle: Option<Idle>,
}

/// Why no handler ran.
enum Idle {
    /// The saga listens to another domain: the event never comes to it, whatever the test thinks.
    Foreign(String),
    /// The saga has no handler for it, which is a way to answer (row G5).
    Unhandled(String),
}

impl SagaScenario {
    #[track_caller]
    pub(super) fn by_name(name: &str) -> Self {
        let registry = super::registry();
        let Some(saga) = registry.sagas.get(name) else {
            let near = nearest(name, registry.sagas.keys().copied());
            let near = near.first().map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            panic!("no saga has the name `{name}`{near}");
        };
        let descriptor = saga.descriptor;
        let instance = super::made(descriptor.instance, "saga", descriptor.name, descriptor.rust_name);
        Self::new(registry, descriptor.name, instance)
    }

    #[track_caller]
    pub(super) fn by_instance<S: Send + Sync + 'static>(instance: S) -> Self {
        let registry = super::registry();
        let found = registry.sagas.values().find(|saga| (saga.descriptor.component)() == TypeId::of::<S>());
        let Some(name) = found.map(|saga| saga.descriptor.name) else {
            panic!("`{}` is no saga: annotate it with `#[saga(name = \"…\", from = …)]`", std::any::type_name::<S>());
        };
        Self::new(registry, name, std::sync::Arc::new(instance))
    }

    fn new(registry: Registry, name: &'static str, instance: Instance) -> Self {
        let story = Story::new(format!("the saga `{name}`"), &registry);
        Self { name, instance, told: Told::new(registry), story }
    }

    /// The time at which the next event was accepted, and at which it is handled.
    pub fn at(self, time: SystemTime) -> Self {
        self.told.clock.set(time);
        self
    }

    /// The correlation id of the events.
    pub fn with_correlation(mut self, id: impl Into<String>) -> Self {
        self.told.correlation = id.into();
        self
    }

    /// The timeline of the events.
    pub fn with_edition(mut self, name: impl Into<String>) -> Self {
        self.told.edition = name.into();
        self
    }

    /// An event of the aggregate `D` comes to the saga.
    #[track_caller]
    pub fn when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Reacted {
        let (stream, stored) = self.told.event::<D, _>(root, &event);
        let shown = self.story.show_message(&event);
        self.when(&stream, stored, &shown)
    }

    /// An event of the aggregate `D` comes that an older program stored: its name and version then, and its encoded
    /// payload. It comes to the saga through the upcasters.
    #[track_caller]
    pub fn when_stored<D: Domain>(
        mut self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: impl AsRef<[u8]>,
    ) -> Reacted {
        let (type_name, payload) = (Name::new(type_name), payload.as_ref());
        let shown = self.story.show_stored(&self.told.core.registry, &type_name, version, payload);
        let (stream, stored) = self.told.stored::<D>(root, type_name, version, Bytes::copy_from_slice(payload));
        self.when(&stream, stored, &shown)
    }

    fn when(mut self, stream: &StreamKey, event: StoredEvent, shown: &str) -> Reacted {
        self.story.tell("when", format!("{stream}: {shown}"));
        let listens_to = self.saga().descriptor.domain;
        if stream.domain != listens_to {
            let idle = Some(Idle::Foreign(format!("it listens to `{listens_to}`, not to `{}`", stream.domain)));
            return Reacted { scenario: self, outcome: Ok(Vec::new()), idle };
        }
        let (outcome, idle) = match self.told.upcast(stream, event) {
            Ok(events) => (self.react(stream, &events), self.unhandled(&events)),
            Err(error) => (Err(error), None),
        };
        Reacted { scenario: self, outcome, idle }
    }

    /// The handlers, as the runtime calls them, but once: a test does not wait for a retry.
    fn react(&self, stream: &StreamKey, events: &[StoredEvent]) -> Result<Vec<Emission>, ReactionError> {
        let mut commands = Vec::new();
        for event in events {
            commands.extend(reaction::react_here(&self.told.core, self.saga(), &self.instance, stream, event)?);
        }
        Ok(commands)
    }

    fn saga(&self) -> &Saga {
        &self.told.core.registry.sagas[self.name]
    }

    fn unhandled(&self, events: &[StoredEvent]) -> Option<Idle> {
        let handlers = &self.saga().handlers;
        let is_handled = events.iter().any(|event| handlers.contains_key(event.type_name.as_str()));
        (!is_handled).then(|| Idle::Unhandled(unhandled(events, handlers.keys())))
    }
}

impl Reacted {
    /// Exactly these commands, in this order: one, a tuple, an array or a `Vec` of what a saga may return.
    #[track_caller]
    pub fn then_commands(self, commands: impl SagaOutput) -> Self {
        let mut expected = Emissions::default();
        if let Err(error) = commands.collect(&mut expected) {
            panic!("the expected commands are an error: {error}");
        }
        self.compare(&expected.0);
        self
    }

    /// No command. An event of another domain fails here too: the saga never sees it.
    #[track_caller]
    pub fn then_no_commands(self) -> Self {
        self.compare(&[]);
        self
    }

    /// The handler failed with an error whose text contains this.
    #[track_caller]
    pub fn then_error(self, text: &str) -> Self {
        if self.outcome.as_ref().err().is_none_or(|error| !error.message().contains(text)) {
            self.scenario.story.fail_different(&[format!("error: …{text}…")], &self.lines());
        }
        self
    }

    /// What the saga answered, for whatever the assertions do not cover.
    ///
    /// # Errors
    /// What its handler failed with.
    pub fn outcome(&self) -> Result<&[Emission], &ReactionError> {
        self.outcome.as_deref()
    }

    /// The time at which the next event was accepted, and at which it is handled.
    #[must_use = "it is for the next event"]
    pub fn at(self, time: SystemTime) -> Self {
        self.scenario.told.clock.set(time);
        self
    }

    /// The next event comes.
    #[track_caller]
    pub fn and_when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Self {
        self.tell_outcome();
        self.scenario.when_event::<D>(root, event)
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
        self.scenario.when_stored::<D>(root, type_name, version, payload)
    }

    #[track_caller]
    fn compare(&self, expected: &[Emission]) {
        let never_came = matches!(self.idle, Some(Idle::Foreign(_)));
        if !never_came && self.outcome.as_ref().is_ok_and(|actual| *actual == expected) {
            return;
        }
        let wanted: Vec<_> = expected.iter().map(|command| self.show(command)).collect();
        let nothing = vec!["no command".to_owned()];
        self.scenario.story.fail_different(if wanted.is_empty() { &nothing } else { &wanted }, &self.lines());
    }

    fn show(&self, emission: &Emission) -> String {
        let command = match emission {
            Emission::Command(command) => command,
            Emission::Fact(fact) => {
                let shown = self.scenario.story.show(&fact.type_name, &fact.payload);
                return format!("{}/{}: the fact {shown}", fact.domain, fact.root);
            }
        };
        let at = command.at.map_or_else(String::new, |at| format!(" at {}", Timestamp::from_unix_nanos(at)));
        let shown = self.scenario.story.show(&command.type_name, &command.payload);
        format!("{}/{}: {shown}{at}", command.domain, command.root)
    }

    /// What came is part of the story that goes on.
    fn tell_outcome(&mut self) {
        for line in self.lines() {
            self.scenario.story.tell("then", line);
        }
    }

    fn lines(&self) -> Vec<String> {
        match (&self.outcome, &self.idle) {
            (Ok(_), Some(Idle::Foreign(why))) => vec![format!("the saga never sees the event: {why}")],
            (Ok(_), Some(Idle::Unhandled(why))) => vec![format!("no command: {why}")],
            (Ok(commands), None) if commands.is_empty() => vec!["no command".to_owned()],
            (Ok(commands), None) => commands.iter().map(|command| self.show(command)).collect(),
            (Err(error), _) => vec![format!("error: {error}")],
        }
    }
}

impl fmt::Debug for SagaScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaScenario").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reacted").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
