//! Scenarios of an aggregate.

use std::collections::HashMap;
use std::fmt;
use std::future::IntoFuture as _;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::super::{ManualClock, SequentialIds};
use super::events::{EventsOf, KnownEvent};
use super::report::{Holds, Story};
use crate::command::{Core, InProcess, Receipt, RecordFact, SendCommand};
use crate::declare::{Aggregate, Clock as _, CommandOf, Message, nanos_of};
use crate::error::{Error, Result};
use crate::storage::{Append, Memory, NewEvent, Write};
use crate::stream::{AsOf, Edition, Headers, Name, StreamKey, root};

/// An aggregate with what happened to it before. From [`Scenario::given`](super::Scenario::given).
pub struct Given<A> {
    pub(super) stage: Stage,
    pub(super) events: Vec<NewEvent>,
    aggregate: PhantomData<fn() -> A>,
}

/// An aggregate after a command. Every `then…` asserts one thing, panics at its own line if that is not so, and gives the
/// scenario back for the next one.
pub struct When<A> {
    stage: Stage,
    outcome: Result<Receipt>,
    aggregate: PhantomData<fn() -> A>,
}

/// Where a scenario plays: a runtime without components.
pub(super) struct Stage {
    pub(super) core: Arc<Core>,
    pub(super) clock: ManualClock,
    root: Uuid,
    /// Events that are stored of what is given.
    given: u32,
    pub(super) expected: Option<u32>,
    pub(super) correlation: Option<String>,
    pub(super) story: Story,
    /// The next sequence of each stream that events of a process manager come from.
    pub(super) others: HashMap<StreamKey, u32>,
    /// Rejections and compensations so far.
    pub(super) undone: u32,
}

impl Stage {
    fn new<A: Aggregate>() -> Self {
        let clock = ManualClock::new();
        let builder = crate::Builder::default().clock(clock.clone()).ids(SequentialIds::new());
        let registry = super::registry();
        let story = Story::new(format!("`{}`", short_name::<A>()), &registry);
        let core = Arc::new(builder.core(registry, Arc::new(Memory::new())));
        Self {
            core,
            clock,
            root: root(A::DOMAIN, "scenario"),
            given: 0,
            expected: None,
            correlation: None,
            story,
            others: HashMap::new(),
            undone: 0,
        }
    }

    pub(super) fn key(&self, domain: &'static str) -> StreamKey {
        StreamKey::main(Name::from_static(domain), self.root)
    }

    /// Stores what is given, as it would lie in the store.
    #[track_caller]
    pub(super) fn store(&mut self, domain: &'static str, events: Vec<NewEvent>) {
        let Some(count) = u32::try_from(events.len()).ok().filter(|count| *count > 0) else { return };
        let write = Write::append(Append {
            key: self.key(domain),
            expected: self.given,
            events: events.into(),
            created_at: nanos_of(self.clock.now()),
            headers: Headers::new(self.correlation.clone().unwrap_or_default(), None),
            dedup: None,
            diverged_at: None,
        });
        match now(self.core.writer.commit(write)) {
            Ok(_) => self.given += count,
            Err(error) => self.story.fail(&format!("the given events could not be stored: {error}")),
        }
    }

    #[track_caller]
    pub(super) fn send<A: Aggregate, C: CommandOf<A> + fmt::Debug>(&mut self, command: C) -> Result<Receipt> {
        let shown = self.story.show_message(&command);
        self.story.tell("when", shown);
        let mut sending = SendCommand::<A, C>::new(InProcess::new(self.core.clone()), self.root, command);
        if let Some(expected) = self.expected.take() {
            sending = sending.expect_sequence(expected);
        }
        if let Some(correlation) = &self.correlation {
            sending = sending.correlation(correlation.clone());
        }
        now(sending.into_future())
    }

    #[track_caller]
    pub(super) fn record<A: Aggregate>(&mut self, fact: impl Message + fmt::Debug) -> Result<Receipt> {
        let shown = self.story.show_message(&fact);
        self.story.tell("when", format!("the fact {shown}"));
        let mut record = RecordFact::<A, _>::new(InProcess::new(self.core.clone()), self.root, fact);
        if let Some(correlation) = &self.correlation {
            record = record.correlation(correlation.clone());
        }
        now(record.into_future())
    }

    #[track_caller]
    pub(super) fn check_state<A: Aggregate, H: Holds>(&self, check: impl FnOnce(&A) -> H) {
        let main = Edition::main();
        let loaded = self.core.aggregate_of::<A>().and_then(|aggregate| {
            now(self.core.load(aggregate, &self.key(A::DOMAIN), &main, AsOf::Head)).map(|loaded| (aggregate, loaded))
        });
        let (aggregate, loaded) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => self.story.fail(&format!("then\n    the state cannot be read: {error}")),
        };
        let Some(state) = loaded.state.downcast_ref::<A>() else {
            unreachable!("the registry pairs domains and states by type")
        };
        if !check(state).holds() {
            let shown = aggregate.descriptor.debug_state.map_or_else(String::new, |debug| debug(state));
            self.story.fail(&format!("then the state is not as expected\n    {}", shown.replace('\n', "\n    ")));
        }
    }
}

/// What a future on a store in memory answers: it never waits.
#[track_caller]
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    match tokio::task::unconstrained(future).now_or_never() {
        Some(answer) => answer,
        None => panic!("a scenario had to wait; this is a bug of the test kit"),
    }
}

fn short_name<A>() -> &'static str {
    let path = std::any::type_name::<A>();
    path.rsplit("::").next().unwrap_or(path)
}

impl<A: Aggregate> Given<A> {
    pub(super) fn new() -> Self {
        Self { stage: Stage::new::<A>(), events: Vec::new(), aggregate: PhantomData }
    }

    /// More that happened before.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn and_given<Shape>(mut self, events: impl EventsOf<A, Shape>) -> Self {
        let mut list = Vec::new();
        events.list(&mut list);
        for event in list {
            let shown = self.stage.story.show_known(&event);
            self.stage.story.tell("given", shown);
            self.events.push(NewEvent {
                schema_version: self.stage.core.registry.upcasters.current_version(&event.type_name),
                type_name: event.type_name,
                payload: event.payload,
                isolated: false,
            });
        }
        self
    }

    /// More that happened before, as an older program stored it: the event's name and version then, and its encoded
    /// payload.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn and_given_stored(mut self, type_name: &str, version: u32, payload: impl AsRef<[u8]>) -> Self {
        let (type_name, payload) = (Name::new(type_name), payload.as_ref());
        let shown = self.stage.story.show_stored(&self.stage.core.registry, &type_name, version, payload);
        self.stage.story.tell("given", shown);
        self.events.push(NewEvent {
            type_name,
            schema_version: version,
            payload: Bytes::copy_from_slice(payload),
            isolated: false,
        });
        self
    }

    /// The root that the commands are for.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn with_root(mut self, root: Uuid) -> Self {
        self.stage.root = root;
        self
    }

    /// The correlation id of everything that follows.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn with_correlation(mut self, id: impl Into<String>) -> Self {
        self.stage.correlation = Some(id.into());
        self
    }

    /// The time at which the next command comes; what is given happened no later.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn at(self, time: SystemTime) -> Self {
        self.stage.clock.set(time);
        self
    }

    /// The sequence that the next command expects its stream to have.
    #[must_use = "a scenario asserts nothing before `then…`"]
    pub fn expecting(mut self, sequence: u32) -> Self {
        self.stage.expected = Some(sequence);
        self
    }

    /// The command comes.
    #[track_caller]
    pub fn when<C: CommandOf<A> + fmt::Debug>(self, command: C) -> When<A> {
        let mut stage = self.begin();
        let outcome = stage.send(command);
        When::new(stage, outcome)
    }

    /// A fact comes: something that has happened outside (rows F).
    #[track_caller]
    pub fn when_fact(self, fact: impl Message + fmt::Debug) -> When<A> {
        let mut stage = self.begin();
        let outcome = stage.record::<A>(fact);
        When::new(stage, outcome)
    }

    /// The state after what is given: the closure asserts, or answers whether it is right.
    #[track_caller]
    pub fn then_state<H: Holds>(mut self, check: impl FnOnce(&A) -> H) -> Self {
        self.stage.store(A::DOMAIN, std::mem::take(&mut self.events));
        self.stage.check_state(check);
        self
    }

    /// What is given has happened.
    #[track_caller]
    pub(super) fn begin(mut self) -> Stage {
        self.stage.store(A::DOMAIN, std::mem::take(&mut self.events));
        self.stage
    }
}

impl<A: Aggregate> When<A> {
    pub(super) fn new(stage: Stage, outcome: Result<Receipt>) -> Self {
        Self { stage, outcome, aggregate: PhantomData }
    }

    /// What came is part of the story that goes on.
    pub(super) fn goes_on(mut self) -> Stage {
        for line in self.actual() {
            self.stage.story.tell("then", line);
        }
        self.stage
    }

    /// Exactly these events were stored, in this order.
    #[track_caller]
    pub fn then<Shape>(mut self, events: impl EventsOf<A, Shape>) -> Self {
        let mut expected = Vec::new();
        events.list(&mut expected);
        self.compare(&expected);
        self
    }

    /// The command was accepted and nothing was stored.
    #[track_caller]
    pub fn then_nothing(mut self) -> Self {
        self.compare(&[]);
        self
    }

    /// The handler refused with this code.
    #[track_caller]
    pub fn then_rejected(self, code: &str) -> Self {
        let rejected = self.outcome.as_ref().err().and_then(Error::rejection);
        if rejected.is_none_or(|rejection| rejection.code() != code) {
            let actual = self.actual();
            self.stage.story.fail_different(&[format!("rejected: {code}")], &actual);
        }
        self
    }

    /// The command failed with this [`Error::code`], such as `SEQUENCE_MISMATCH`. For what a handler refuses there is
    /// [`then_rejected`](Self::then_rejected).
    #[track_caller]
    pub fn then_error(self, code: &str) -> Self {
        if self.outcome.as_ref().err().is_none_or(|error| error.code() != code) {
            let actual = self.actual();
            self.stage.story.fail_different(&[format!("error: {code}")], &actual);
        }
        self
    }

    /// The state after the command: the closure asserts, or answers whether it is right.
    #[track_caller]
    pub fn then_state<H: Holds>(self, check: impl FnOnce(&A) -> H) -> Self {
        self.stage.check_state(check);
        self
    }

    /// What the sender of the command would have got, for whatever the assertions do not cover.
    ///
    /// # Errors
    /// What the sender would have got.
    pub fn outcome(&self) -> &Result<Receipt> {
        &self.outcome
    }

    /// The time at which the next command comes.
    pub fn at(self, time: SystemTime) -> Self {
        self.stage.clock.set(time);
        self
    }

    /// The sequence that the next command expects its stream to have.
    pub fn expecting(mut self, sequence: u32) -> Self {
        self.stage.expected = Some(sequence);
        self
    }

    /// The next command comes, to what the commands before made of the aggregate.
    #[track_caller]
    pub fn and_when<C: CommandOf<A> + fmt::Debug>(self, command: C) -> Self {
        let mut stage = self.goes_on();
        let outcome = stage.send(command);
        Self::new(stage, outcome)
    }

    /// A fact comes next (rows F).
    #[track_caller]
    pub fn and_when_fact(self, fact: impl Message + fmt::Debug) -> Self {
        let mut stage = self.goes_on();
        let outcome = stage.record::<A>(fact);
        Self::new(stage, outcome)
    }

    #[track_caller]
    fn compare(&mut self, expected: &[KnownEvent]) {
        let wanted: Vec<_> = expected.iter().map(|event| self.stage.story.show_known(event)).collect();
        if let Ok(receipt) = &self.outcome {
            let events = receipt.events();
            let same = |(wanted, came): (&KnownEvent, &crate::stream::StoredEvent)| {
                self.stage.story.equal(wanted, &came.type_name, &came.payload)
            };
            if events.len() == expected.len() && expected.iter().zip(events).all(same) {
                return;
            }
        }
        let nothing = vec!["nothing".to_owned()];
        let actual = self.actual();
        self.stage.story.fail_different(if wanted.is_empty() { &nothing } else { &wanted }, &actual);
    }

    /// What came of the command, in lines.
    fn actual(&self) -> Vec<String> {
        match &self.outcome {
            Ok(receipt) if receipt.events().is_empty() => vec!["nothing".to_owned()],
            Ok(receipt) => {
                receipt.events().iter().map(|event| self.stage.story.show(&event.type_name, &event.payload)).collect()
            }
            Err(Error::Rejected(rejection)) => vec![format!("rejected: {rejection}")],
            Err(error) => vec![format!("error: {}: {error}", error.code())],
        }
    }
}

impl<A> fmt::Debug for Given<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("events", &self.events).finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for When<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
