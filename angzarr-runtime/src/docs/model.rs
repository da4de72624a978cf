//! The program as a reader sees it: names and relations, resolved and in order.
//!
//! In: the registry. Out: plain owned data for every renderer, and for `check --explain`. Never: a place in the source.

use std::collections::{BTreeMap, BTreeSet};

use super::elsewhere::Elsewhere;
use super::proto::ProtoIndex;
use crate::declare::{MessageType, Target, UpcasterDescriptor};
use crate::registry::{self, Registry};

/// The whole program.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) remotes: Vec<Remote>,
    /// Components that are called in other processes; they stand in none of the other lists.
    pub(crate) elsewhere: Vec<Elsewhere>,
    pub(crate) sagas: Vec<Saga>,
    pub(crate) processes: Vec<Process>,
    pub(crate) projectors: Vec<Projector>,
    pub(crate) chains: Vec<Chain>,
    /// Every message that is named anywhere, by full name.
    pub(crate) messages: BTreeMap<String, Message>,
    /// Every enum that one of them uses: values by number.
    pub(crate) enums: BTreeMap<String, BTreeMap<i32, String>>,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// Events between two snapshots and the codec; `None` for no snapshots.
    pub(crate) snapshot: Option<(u32, &'static str)>,
    pub(crate) state_version: u32,
    pub(crate) commands: Vec<Command>,
    pub(crate) events: Vec<Event>,
    /// `#[fact]` methods.
    pub(crate) facts: Vec<Taken>,
    /// `#[rejected]` methods.
    pub(crate) rejected: Vec<Taken>,
    /// The `#[compensate]` method.
    pub(crate) compensate: Option<Taken>,
}

/// A method that takes something other than a command or an event.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Full name of what it takes; empty where that is not a message of the user's.
    pub(crate) what: String,
    /// For a rejection: the one target domain that it is for.
    pub(crate) target: Option<&'static str>,
    pub(crate) method: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) events: Vec<String>,
}

/// A process manager.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) sources: Vec<&'static str>,
    /// Whom it sends to, as far as that is said: by `to`, and by the commands whose rejection it handles.
    pub(crate) targets: Vec<&'static str>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) timeouts: Vec<Timeout>,
    pub(crate) rejected: Vec<Taken>,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug)]
pub(crate) struct Timeout {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) doc: &'static str,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) full_name: String,
    /// The handler's doc comment, otherwise the message's.
    pub(crate) doc: String,
    /// As declared; `None` leaves it to the command.
    pub(crate) merge: Option<&'static str>,
    pub(crate) events: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) full_name: String,
    pub(crate) applied_by: Option<&'static str>,
    /// The `#[apply]`'s doc comment, otherwise the message's.
    pub(crate) doc: String,
    /// What its own aggregate's methods can return it for.
    pub(crate) emitted_by: Vec<Origin>,
    /// Who handles it.
    pub(crate) listeners: Vec<Listener>,
    /// The version that new ones are stored with.
    pub(crate) version: u32,
}

/// What a method takes that can return an event. In the order in which readers look for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Command(String),
    Fact(String),
    /// A rejection of this command, by any target or by one domain.
    Rejection(String, Option<&'static str>),
    Compensation,
}

/// A component that handles an event.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Saga,
    ProcessManager,
    Projector,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::ProcessManager => "process manager",
            Self::Projector => "projector",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) commands: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Saga {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) handlers: Vec<Handler>,
}

#[derive(Debug)]
pub(crate) struct Projector {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) domains: Vec<&'static str>,
    pub(crate) all_editions: bool,
    pub(crate) handlers: Vec<Handler>,
}

/// What a component does with one event.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) event: String,
    pub(crate) method: &'static str,
    pub(crate) doc: &'static str,
    /// For a projector: not called during a rebuild.
    pub(crate) live_only: bool,
    /// For a saga: whom it sends commands to, as far as its return type tells.
    pub(crate) targets: Vec<Target>,
}

/// The upcasters of one event, oldest first.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) event: String,
    pub(crate) version: u32,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) function: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) from: u32,
    pub(crate) input: String,
    pub(crate) outputs: Vec<String>,
}

/// What is known about a message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) doc: String,
    /// `None` for a message that was written by hand.
    pub(crate) fields: Option<Vec<Field>>,
    /// Empty for a message that only stands inside others.
    pub(crate) rust_path: &'static str,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) type_text: String,
    pub(crate) oneof: Option<String>,
    pub(crate) doc: String,
}

impl Model {
    pub(crate) fn of(registry: &Registry) -> Self {
        let index = ProtoIndex::of(registry);
        let mut messages = BTreeMap::new();
        let here = registry.aggregates.values().filter(|it| it.remote.is_none());
        let aggregates = here.map(|it| aggregate(registry, &index, it, &mut messages)).collect();
        let remotes: Vec<_> = registry
            .remotes
            .values()
            .map(|remote| Remote {
                domain: remote.domain,
                name: remote.name,
                doc: remote.doc,
                commands: sorted(remote.commands.iter().map(|it| note(&index, &mut messages, *it))),
            })
            .collect();
        let here = registry.sagas.values().filter(|it| it.remote.is_none());
        let sagas = here.map(|it| saga(&index, it, &mut messages)).collect();
        let here = registry.process_managers.values().filter(|it| it.state.remote.is_none());
        let processes = here.map(|it| process(registry, &index, it, &mut messages)).collect();
        let here = registry.projectors.values().filter(|it| it.remote.is_none());
        let projectors = here.map(|it| projector(&index, it, &mut messages)).collect();
        let chains = chains(registry, &index, &mut messages);
        let enums = note_inner(&index, &mut messages);
        Self {
            aggregates,
            remotes,
            elsewhere: Elsewhere::all(registry),
            sagas,
            processes,
            projectors,
            chains,
            messages,
            enums,
            warnings: sorted(registry.warnings().iter().map(|it| it.message().to_owned())),
        }
    }

    /// The commands that a domain takes, here or elsewhere.
    pub(crate) fn commands_of(&self, domain: &str) -> Vec<&str> {
        let here = self.aggregates.iter().filter(|it| it.domain == domain).flat_map(|it| &it.commands);
        let elsewhere = self.remotes.iter().filter(|it| it.domain == domain).flat_map(|it| &it.commands);
        here.map(|it| it.full_name.as_str()).chain(elsewhere.map(String::as_str)).collect()
    }

    /// The sagas that may send commands to a domain, as far as their types tell.
    pub(crate) fn senders_to(&self, domain: &str) -> impl Iterator<Item = &'static str> {
        let sends = move |saga: &&Saga| {
            saga.handlers
                .iter()
                .flat_map(|handler| &handler.targets)
                .any(|target| matches!(target, Target::Domain(name) if *name == domain))
        };
        self.sagas.iter().filter(sends).map(|saga| saga.name)
    }

    /// The process managers that say that they send to a domain.
    pub(crate) fn processes_to(&self, domain: &str) -> impl Iterator<Item = &'static str> {
        self.processes.iter().filter(move |it| it.targets.contains(&domain)).map(|it| it.domain)
    }

    /// The short form of a message's name, where it is clear.
    pub(crate) fn short<'n>(&self, full_name: &'n str) -> &'n str {
        let last = |name: &'n str| name.rsplit('.').next().unwrap_or(name);
        let short = last(full_name);
        let mut others = self.messages.keys().filter(|other| *other != full_name);
        if others.any(|other| other.rsplit('.').next() == Some(short)) { full_name } else { short }
    }
}

fn aggregate(
    registry: &Registry,
    index: &ProtoIndex,
    it: &registry::Aggregate,
    messages: &mut BTreeMap<String, Message>,
) -> Aggregate {
    let descriptor = it.descriptor;
    let mut emitted_by: BTreeMap<String, BTreeSet<Origin>> = BTreeMap::new();
    let mut commands = Vec::new();
    for handler in it.handlers.values() {
        let full_name = note(index, messages, handler.command);
        let mut types = Vec::new();
        (handler.emits)(&mut types);
        let mut events = Vec::new();
        for event in types.into_iter().map(|event| note(index, messages, event)) {
            emitted_by.entry(event.clone()).or_default().insert(Origin::Command(full_name.clone()));
            if !events.contains(&event) {
                events.push(event);
            }
        }
        commands.push(Command {
            doc: first_of(handler.doc, &messages[&full_name].doc),
            full_name,
            merge: handler.merge.map(|strategy| strategy.as_str()),
            events,
        });
    }
    let mut given = |origin: Origin, emits: fn(&mut Vec<MessageType>), messages: &mut _| {
        let mut types = Vec::new();
        emits(&mut types);
        let mut events: Vec<String> = Vec::new();
        for event in types.into_iter().map(|event| note(index, messages, event)) {
            emitted_by.entry(event.clone()).or_default().insert(origin.clone());
            if !events.contains(&event) {
                events.push(event);
            }
        }
        events
    };
    let mut facts = Vec::new();
    for fact in it.facts.values() {
        let what = note(index, messages, fact.fact);
        let events = given(Origin::Fact(what.clone()), fact.emits, messages);
        facts.push(Taken { what, target: None, method: fact.method, doc: fact.doc, events });
    }
    let mut rejected = Vec::new();
    for it in it.rejected.values() {
        let what = note(index, messages, it.command);
        let events = given(Origin::Rejection(what.clone(), it.target), it.emits, messages);
        rejected.push(Taken { what, target: it.target, method: it.method, doc: it.doc, events });
    }
    let compensate = it.compensate.map(|it| {
        let events = given(Origin::Compensation, it.emits, messages);
        Taken { what: String::new(), target: None, method: it.method, doc: it.doc, events }
    });
    let events = events(registry, index, it, emitted_by, messages);
    Aggregate {
        domain: descriptor.domain,
        name: descriptor.name,
        doc: descriptor.doc,
        snapshot: descriptor.snapshot.map(|policy| (policy.every, policy.codec.name)),
        state_version: descriptor.state_version,
        commands,
        events,
        facts,
        rejected,
        compensate,
    }
}

/// Everything that a state applies or that its methods give, by name.
fn events(
    registry: &Registry,
    index: &ProtoIndex,
    it: &registry::Aggregate,
    mut emitted_by: BTreeMap<String, BTreeSet<Origin>>,
    messages: &mut BTreeMap<String, Message>,
) -> Vec<Event> {
    for apply in it.appliers.values() {
        emitted_by.entry(note(index, messages, apply.event)).or_default();
    }
    let events = emitted_by.into_iter().map(|(full_name, emitted_by)| {
        let apply = it.appliers.get(full_name.as_str());
        Event {
            applied_by: apply.map(|apply| apply.method),
            doc: first_of(apply.map_or("", |apply| apply.doc), &messages[&full_name].doc),
            emitted_by: emitted_by.into_iter().collect(),
            listeners: listeners(registry, it.descriptor.domain, &full_name),
            version: registry.upcasters.current_version(&full_name),
            full_name,
        }
    });
    events.collect()
}

fn process(
    registry: &Registry,
    index: &ProtoIndex,
    it: &registry::ProcessManager,
    messages: &mut BTreeMap<String, Message>,
) -> Process {
    let handlers = it.handlers.values().map(|handler| Handler {
        event: note(index, messages, handler.event),
        method: handler.method,
        doc: handler.doc,
        live_only: false,
        targets: Vec::new(),
    });
    let handlers = handlers.collect();
    let rejected = it.rejected.values().map(|it| Taken {
        what: note(index, messages, it.command),
        target: it.target,
        method: it.method,
        doc: it.doc,
        events: Vec::new(),
    });
    let rejected: Vec<Taken> = rejected.collect();
    let takers = registry
        .aggregates
        .values()
        .filter(|aggregate| rejected.iter().any(|it| it.target.is_none() && aggregate.handlers.contains_key(&it.what)));
    let takers = takers.map(|aggregate| aggregate.descriptor.domain);
    let said = it.descriptor.targets.iter().copied().chain(rejected.iter().filter_map(|it| it.target));
    let state = it.descriptor.state;
    Process {
        domain: state.domain,
        name: state.name,
        doc: state.doc,
        sources: sorted(it.descriptor.sources.iter().copied()),
        targets: sorted(said.chain(takers)),
        handlers,
        timeouts: it.timeouts.values().map(|it| Timeout { name: it.name, method: it.method, doc: it.doc }).collect(),
        rejected,
        events: events(registry, index, &it.state, BTreeMap::new(), messages),
    }
}

/// Who handles it, or, elsewhere, may handle it.
fn listeners(registry: &Registry, domain: &str, event: &str) -> Vec<Listener> {
    let sagas = registry.sagas.values().filter(|it| it.descriptor.domain == domain && it.handles(event));
    let projectors = registry.projectors.values();
    let projectors = projectors.filter(|it| it.descriptor.domains.contains(&domain) && it.handles(event));
    let sagas = sagas.map(|it| Listener { kind: Kind::Saga, name: it.descriptor.name });
    let processes = registry.process_managers.values();
    let processes = processes.filter(|it| it.descriptor.sources.contains(&domain) && it.handles(event));
    let processes = processes.map(|it| Listener { kind: Kind::ProcessManager, name: it.descriptor.state.domain });
    sagas
        .chain(processes)
        .chain(projectors.map(|it| Listener { kind: Kind::Projector, name: it.descriptor.name }))
        .collect()
}

fn saga(index: &ProtoIndex, it: &registry::Saga, messages: &mut BTreeMap<String, Message>) -> Saga {
    let handlers = it.handlers.values().map(|handler| {
        let mut targets = Vec::new();
        (handler.targets)(&mut targets);
        Handler {
            event: note(index, messages, handler.event),
            method: handler.method,
            doc: handler.doc,
            live_only: false,
            targets: sorted(targets.into_iter()),
        }
    });
    Saga {
        name: it.descriptor.name,
        doc: it.descriptor.doc,
        domain: it.descriptor.domain,
        handlers: handlers.collect(),
    }
}

fn projector(index: &ProtoIndex, it: &registry::Projector, messages: &mut BTreeMap<String, Message>) -> Projector {
    let handlers = it.handlers.values().map(|handler| Handler {
        event: note(index, messages, handler.event),
        method: handler.method,
        doc: handler.doc,
        live_only: handler.live_only,
        targets: Vec::new(),
    });
    Projector {
        name: it.descriptor.name,
        doc: it.descriptor.doc,
        domains: sorted(it.descriptor.domains.iter().copied()),
        all_editions: it.descriptor.all_editions,
        handlers: handlers.collect(),
    }
}

fn chains(registry: &Registry, index: &ProtoIndex, messages: &mut BTreeMap<String, Message>) -> Vec<Chain> {
    let mut chains: BTreeMap<String, Vec<&UpcasterDescriptor>> = BTreeMap::new();
    for &step in &registry.upcaster_steps {
        if let Some(event) = registry.upcasters.end_of(step) {
            chains.entry(event).or_default().push(step);
        }
    }
    let chains = chains.into_iter().map(|(event, mut steps)| {
        steps.sort_by_key(|step| step.from);
        let steps = steps.into_iter().map(|step| {
            let mut outputs = Vec::new();
            (step.outputs)(&mut outputs);
            Step {
                function: step.function,
                doc: step.doc,
                from: step.from,
                input: note(index, messages, step.input),
                outputs: outputs.into_iter().map(|output| note(index, messages, output)).collect(),
            }
        });
        Chain { version: registry.upcasters.current_version(&event), steps: steps.collect(), event }
    });
    chains.collect()
}

/// Remembers a message and gives its full name.
fn note(index: &ProtoIndex, messages: &mut BTreeMap<String, Message>, message: MessageType) -> String {
    let full_name = (message.full_name)();
    messages.entry(full_name.clone()).or_insert_with(|| described(index, &full_name, (message.rust_path)()));
    full_name
}

fn described(index: &ProtoIndex, full_name: &str, rust_path: &'static str) -> Message {
    let found = index.message(full_name);
    let fields = found.map(|it| {
        let fields = it.fields.iter().map(|field| Field {
            name: field.name.clone(),
            type_text: field.type_text(index),
            oneof: field.oneof.clone(),
            doc: field.doc.clone(),
        });
        fields.collect()
    });
    Message { doc: found.map(|it| it.doc.clone()).unwrap_or_default(), fields, rust_path }
}

/// Remembers the messages that stand inside others, and gives the enums.
fn note_inner(index: &ProtoIndex, messages: &mut BTreeMap<String, Message>) -> BTreeMap<String, BTreeMap<i32, String>> {
    let mut enums = BTreeMap::new();
    let mut waiting: Vec<String> = messages.keys().cloned().collect();
    while let Some(full_name) = waiting.pop() {
        for field in index.message(&full_name).iter().flat_map(|message| &message.fields) {
            let inner = field.map_entry(index).map_or(field, |[_, value]| value);
            if let Some(found) = index.enumeration(&inner.type_name) {
                enums.insert(inner.type_name.clone(), found.values.clone());
            }
            let is_known = messages.contains_key(&inner.type_name) || inner.type_name.starts_with("google.protobuf.");
            if !is_known && index.message(&inner.type_name).is_some() {
                messages.insert(inner.type_name.clone(), described(index, &inner.type_name, ""));
                waiting.push(inner.type_name.clone());
            }
        }
    }
    enums
}

fn first_of(first: &str, second: &str) -> String {
    if first.trim().is_empty() { second } else { first }.to_owned()
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<BTreeSet<_>>().into_iter().collect()
}
