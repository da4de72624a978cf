//! Scenarios of a projector.

use std::any::TypeId;
use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use super::events::{KnownEvent, KnownType};
use super::report::{Holds, Story};
use super::told::{Told, unhandled};
use crate::declare::{Domain, Instance, Message, ReactionError};
use crate::reaction::{self, Checkpoint, ErasedReadModel};
use crate::registry::Projector;
use crate::storage::BoxFuture;
use crate::stream::{Name, StoredEvent, StreamKey};

/// A projector that waits for an event. From [`Scenario::projector`](super::Scenario::projector).
#[must_use = "a scenario asserts nothing before `then…`"]
pub struct ProjectorScenario {
    name: &'static str,
    instance: Instance,
    read_model: Option<Arc<dyn ErasedReadModel>>,
    replay: bool,
    told: Told,
    story: Story,
}

/// An event on its way to a projector. Await it.
#[must_use = "the projector sees the event once this is awaited"]
pub struct Projecting {
    scenario: ProjectorScenario,
    stream: StreamKey,
    event: StoredEvent,
    called: &'static Location<'static>,
}

/// A projector after an event. Every `then…` asserts one thing, panics at its own line if that is not so, and gives the
/// scenario back for the next one.
///
/// With a read model that keeps the checkpoint, rows and checkpoint of the event are committed by now, or rolled back if
/// the handler failed.
pub struct Projected {
    scenario: ProjectorScenario,
    outcome: Result<Option<prost_types::Any>, ReactionError>,
}

impl ProjectorScenario {
    #[track_caller]
    pub(super) fn new<P: Send + Sync + 'static>(instance: P) -> Self {
        let registry = super::registry();
        let found = registry.projectors.values().find(|it| (it.descriptor.component)() == TypeId::of::<P>());
        let Some(descriptor) = found.map(|projector| projector.descriptor) else {
            panic!(
                "`{}` is no projector: annotate it with `#[projector(name = \"…\", domains = […])]`",
                std::any::type_name::<P>()
            );
        };
        let story = Story::new(format!("the projector `{}`", descriptor.name), &registry);
        let instance: Instance = Arc::new(instance);
        let read_model = (descriptor.read_model)(instance.as_ref());
        Self { name: descriptor.name, instance, read_model, replay: false, told: Told::new(registry), story }
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

    /// The events come as in a rebuild: handlers that are `live_only` are left out, and the context says so (row J6).
    pub fn in_rebuild(mut self) -> Self {
        self.replay = true;
        self
    }

    /// An event of the aggregate `D` comes to the projector. Await it.
    #[track_caller]
    pub fn when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Projecting {
        let shown = self.story.show_message(&event);
        let (stream, event) = self.told.event::<D, _>(root, &event);
        self.story.tell("when", format!("{stream}: {shown}"));
        Projecting { scenario: self, stream, event, called: Location::caller() }
    }

    /// An event of the aggregate `D` comes that an older program stored: its name and version then, and its encoded
    /// payload. It comes to the projector through the upcasters. Await it.
    #[track_caller]
    pub fn when_stored<D: Domain>(
        mut self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: impl AsRef<[u8]>,
    ) -> Projecting {
        let (type_name, payload) = (Name::new(type_name), payload.as_ref());
        let shown = self.story.show_stored(&self.told.core.registry, &type_name, version, payload);
        let (stream, event) = self.told.stored::<D>(root, type_name, version, Bytes::copy_from_slice(payload));
        self.story.tell("when", format!("{stream}: {shown}"));
        Projecting { scenario: self, stream, event, called: Location::caller() }
    }

    /// The handlers, inside the read model's transaction, which is committed with the checkpoint; but once: a test does not
    /// wait for a retry.
    async fn project(
        &self,
        stream: &StreamKey,
        events: &[StoredEvent],
        position: u64,
    ) -> Result<Option<prost_types::Any>, ReactionError> {
        if let Some(model) = &self.read_model {
            // As at every start: a read model makes the place of its checkpoints when it is asked.
            model.checkpoint(self.name).await?;
        }
        let unit = self.read_model.as_ref().map(|model| (model, model.unit()));
        let (core, lent) = (&self.told.core, unit.as_ref().map(|(_, unit)| unit));
        let events = events.iter().cloned();
        let outcome =
            reaction::project(core, self.projector(), &self.instance, stream, events, lent, self.replay).await;
        match (unit, &outcome) {
            (None, _) => {}
            (Some((model, unit)), Ok(_)) => {
                model.commit(unit, self.name, None, Checkpoint { store: Uuid::nil(), position }).await?;
            }
            (Some((model, unit)), Err(_)) => model.rollback(unit).await?,
        }
        outcome
    }

    fn projector(&self) -> &Projector {
        &self.told.core.registry.projectors[self.name]
    }

    /// Why the projector never sees events of this stream.
    fn never_sees(&self, stream: &StreamKey) -> Option<String> {
        let descriptor = self.projector().descriptor;
        if !descriptor.domains.contains(&stream.domain.as_str()) {
            let domains: Vec<_> = descriptor.domains.iter().map(|domain| format!("`{domain}`")).collect();
            return Some(format!("it listens to {}, not to `{}`", domains.join(", "), stream.domain));
        }
        (!stream.is_main() && !descriptor.all_editions).then(|| "it sees the main timeline only".to_owned())
    }

    fn unhandled(&self, events: &[StoredEvent]) -> Option<String> {
        let handlers = &self.projector().handlers;
        let is_handled = events.iter().any(|event| handlers.contains_key(event.type_name.as_str()));
        (!is_handled).then(|| unhandled(events, handlers.keys()))
    }
}

impl IntoFuture for Projecting {
    type Output = Projected;
    type IntoFuture = BoxFuture<'static, Projected>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { scenario, stream, event, called } = self;
            let position = event.position;
            let events = scenario.told.upcast(&stream, event);
            let unhandled = events.as_ref().ok().and_then(|events| scenario.unhandled(events));
            if let Some(reason) = scenario.never_sees(&stream).or(unhandled) {
                // A future has no caller of its own: the line is said in the text.
                scenario
                    .story
                    .fail(&format!("then the projector never sees the event: {reason}\n    (sent at {called})"));
            }
            let outcome = match events {
                Ok(events) => scenario.project(&stream, &events, position).await,
                Err(error) => Err(error),
            };
            Projected { scenario, outcome }
        })
    }
}

impl Projected {
    /// The handler succeeded, whatever it returned.
    #[track_caller]
    pub fn then_ok(self) -> Self {
        if self.outcome.is_err() {
            self.scenario.story.fail_different(&["success".to_owned()], &self.lines());
        }
        self
    }

    /// The handler succeeded and returned no projection.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        if !matches!(self.outcome, Ok(None)) {
            self.scenario.story.fail_different(&["no projection".to_owned()], &self.lines());
        }
        self
    }

    /// The handler returned this projection: what a SIMPLE command's answer would carry.
    #[track_caller]
    pub fn then_projection<V: Message + PartialEq + fmt::Debug>(mut self, view: V) -> Self {
        let expected = KnownEvent::of(&view);
        let wanted = self.scenario.story.show_known(&expected);
        let same = self.outcome.as_ref().is_ok_and(|outcome| {
            outcome.as_ref().is_some_and(|any| self.scenario.story.equal(&expected, name_of(any), &any.value))
        });
        if !same {
            self.scenario.story.fail_different(&[wanted], &self.lines());
        }
        self
    }

    /// The projection of this type: the closure asserts, or answers whether it is right.
    #[track_caller]
    pub fn then_projection_of<V: Message + PartialEq + fmt::Debug, H: Holds>(
        mut self,
        check: impl FnOnce(&V) -> H,
    ) -> Self {
        self.scenario.story.learn(&Name::from(V::full_name()), KnownType::of::<V>());
        let found = self.outcome.as_ref().ok().and_then(Option::as_ref).filter(|any| name_of(any) == V::full_name());
        match found.and_then(|any| V::decode(any.value.as_slice()).ok()) {
            None => self.scenario.story.fail_different(&[V::full_name()], &self.lines()),
            Some(view) if check(&view).holds() => self,
            Some(_) => self
                .scenario
                .story
                .fail(&format!("then the projection is not as expected\n    {}", self.lines().join("\n    "))),
        }
    }

    /// The handler failed with an error whose text contains this.
    #[track_caller]
    pub fn then_error(self, text: &str) -> Self {
        if self.outcome.as_ref().err().is_none_or(|error| !error.message().contains(text)) {
            self.scenario.story.fail_different(&[format!("error: …{text}…")], &self.lines());
        }
        self
    }

    /// What the handler answered, for whatever the assertions do not cover.
    ///
    /// # Errors
    /// What it failed with.
    pub fn outcome(&self) -> Result<Option<&prost_types::Any>, &ReactionError> {
        self.outcome.as_ref().map(Option::as_ref)
    }

    /// The time at which the next event was accepted, and at which it is handled.
    #[must_use = "it is for the next event"]
    pub fn at(self, time: SystemTime) -> Self {
        self.scenario.told.clock.set(time);
        self
    }

    /// The next event comes. Await it.
    #[track_caller]
    pub fn and_when_event<D: Domain>(mut self, root: Uuid, event: impl Message + fmt::Debug) -> Projecting {
        self.tell_outcome();
        self.scenario.when_event::<D>(root, event)
    }

    /// The next event comes, as an older program stored it. Await it.
    #[track_caller]
    pub fn and_when_stored<D: Domain>(
        mut self,
        root: Uuid,
        type_name: &str,
        version: u32,
        payload: impl AsRef<[u8]>,
    ) -> Projecting {
        self.tell_outcome();
        self.scenario.when_stored::<D>(root, type_name, version, payload)
    }

    /// What came is part of the story that goes on.
    fn tell_outcome(&mut self) {
        for line in self.lines() {
            self.scenario.story.tell("then", line);
        }
    }

    fn lines(&self) -> Vec<String> {
        match &self.outcome {
            Ok(None) => vec!["no projection".to_owned()],
            Ok(Some(any)) => vec![self.scenario.story.show(name_of(any), &any.value)],
            Err(error) => vec![format!("error: {error}")],
        }
    }
}

fn name_of(any: &prost_types::Any) -> &str {
    crate::proto::type_name_of(&any.type_url)
}

impl fmt::Debug for ProjectorScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectorScenario").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Projecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projecting").field("stream", &self.stream).field("event", &self.event).finish_non_exhaustive()
    }
}

impl fmt::Debug for Projected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projected").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
