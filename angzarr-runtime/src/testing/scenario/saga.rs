//! Scenarios of a saga.

use std::any::TypeId;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use prost_types::Timestamp;
use uuid::Uuid;

use super::super::ManualClock;
use super::report::Story;
use crate::declare::{
    AnyCommand, Clock as _, Domain, EventContext, Instance, Message, ReactionError, SagaOutput, nanos_of,
};
use crate::error::nearest;
use crate::proto::TimestampExt as _;
use crate::registry::Registry;
use crate::stream::{Edition, Headers, Name, StoredEvent, StreamKey};

/// A saga that waits for an event. From [`Scenario::saga`](super::Scenario::saga).
#[must_use = "a scenario asserts nothing before `then…`"]
pub struct SagaScenario {
    registry: Registry,
    name: &'static str,
    instance: Instance,
    told: Told,
    story: Story,
}

/// A saga after an event. Every `then…` asserts one thing, panics at its own line if that is not so, and gives the
/// scenario back for the next one.
pub struct Reacted {
    scenario: SagaScenario,
    outcome: Result<Vec<AnyCommand>, ReactionError>,
    /// Why it could do nothing, if it is not for this saga.
    hint: Option<String>,
}

/// What the events of a scenario come with.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) clock: ManualClock,
    pub(super) correlation: String,
    pub(super) edition: String,
    /// Events so far: the next one's position.
    pub(super) position: u64,
}

impl Told {
    pub(super) fn new() -> Self {
        Self { clock: ManualClock::new(), correlation: String::new(), edition: String::new(), position: 0 }
    }

    /// An event as the log holds it.
    pub(super) fn event<D: Domain, E: Message>(
        &mut self,
        registry: &Registry,
        root: Uuid,
        event: &E,
    ) -> (StreamKey, StoredEvent) {
        self.position += 1;
        let type_name = Name::from(E::full_name());
        let edition = Edition::named(&self.edition);
        let stream = StreamKey { domain: Name::from_static(D::DOMAIN), edition: edition.name().clone(), root };
        let event = StoredEvent {
            position: self.position,
            // The scenario's own stream has no other events: its sequences are those of the scenario.
            sequence: u32::try_from(self.position - 1).unwrap_or(u32::MAX),
            created_at: nanos_of(self.clock.now()),
            schema_version: registry.upcasters.current_version(&type_name),
            payload: Bytes::from(event.encode_to_vec()),
            headers: Headers::new(self.correlation.clone(), None),
            isolated: false,
            type_name,
        };
        (stream, event)
    }

    pub(super) fn context(&self, stream: &StreamKey, event: &StoredEvent) -> EventContext {
        EventContext {
            stream: stream.clone(),
            edition: Edition::named(stream.edition.as_str()),
            sequence: event.sequence,
            position: event.position,
            created_at: event.created_at,
            type_name: event.type_name.clone(),
            headers: event.headers.clone(),
            replay: false,
            clock: std::sync::Arc::new(self.clock.clone()),
            transaction: None,
        }
    }
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
        Self { registry, name, instance, told: Told::new(), story }
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
        let (stream, stored) = self.told.event::<D, _>(&self.registry, root, &event);
        let shown = self.story.show_message(&event);
        self.story.tell("when", format!("{stream}: {shown}"));
        let hint = self.why_not(&stream, &stored);
        let outcome = if hint.is_some() { Ok(Vec::new()) } else { self.react(&stream, &stored) };
        Reacted { scenario: self, outcome, hint }
    }

    fn react(&self, stream: &StreamKey, event: &StoredEvent) -> Result<Vec<AnyCommand>, ReactionError> {
        let mut commands = Vec::new();
        if let Some(handler) = self.registry.sagas[self.name].handlers.get(event.type_name.as_str()) {
            let context = self.told.context(stream, event);
            (handler.react)(self.instance.as_ref(), &event.payload, &context, &mut commands)?;
        }
        Ok(commands)
    }

    /// Why the saga never sees this event.
    fn why_not(&self, stream: &StreamKey, event: &StoredEvent) -> Option<String> {
        let saga = &self.registry.sagas[self.name];
        if stream.domain != saga.descriptor.domain {
            return Some(format!("it listens to `{}`, not to `{}`", saga.descriptor.domain, stream.domain));
        }
        if saga.handlers.contains_key(event.type_name.as_str()) {
            return None;
        }
        let handled: Vec<_> = saga.handlers.keys().map(|name| format!("`{name}`")).collect();
        Some(format!("it has no handler for `{}`; it handles {}", event.type_name, handled.join(", ")))
    }
}

impl Reacted {
    /// Exactly these commands, in this order: one, a tuple, an array or a `Vec` of what a saga may return.
    #[track_caller]
    pub fn then_commands(self, commands: impl SagaOutput) -> Self {
        let mut expected = Vec::new();
        if let Err(error) = commands.collect(&mut expected) {
            panic!("the expected commands are an error: {error}");
        }
        self.compare(&expected);
        self
    }

    /// No command.
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
    pub fn outcome(&self) -> Result<&[AnyCommand], &ReactionError> {
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
        for line in self.lines() {
            self.scenario.story.tell("then", line);
        }
        self.scenario.when_event::<D>(root, event)
    }

    #[track_caller]
    fn compare(&self, expected: &[AnyCommand]) {
        if self.outcome.as_ref().is_ok_and(|actual| *actual == expected) {
            return;
        }
        let wanted: Vec<_> = expected.iter().map(|command| self.show(command)).collect();
        let nothing = vec!["no command".to_owned()];
        self.scenario.story.fail_different(if wanted.is_empty() { &nothing } else { &wanted }, &self.lines());
    }

    fn show(&self, command: &AnyCommand) -> String {
        let at = command.at.map_or_else(String::new, |at| format!(" at {}", Timestamp::from_unix_nanos(at)));
        let shown = self.scenario.story.show(&command.type_name, &command.payload);
        format!("{}/{}: {shown}{at}", command.domain, command.root)
    }

    fn lines(&self) -> Vec<String> {
        match (&self.outcome, &self.hint) {
            (Ok(_), Some(hint)) => vec![format!("no command: {hint}")],
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
