//! Register: what `inventory` collected, put in order once for a runtime.
//!
//! In: the static descriptors of every linked crate. Out: one index by (domain, type), or every wiring mistake of the
//! program in one error. Never: a global table that changes; a registry is built, then only read.

mod check;
mod check_coordination;
mod coordination;
mod problem;

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};

pub use problem::{Problem, Severity, WiringErrors};

use crate::declare::*;
use crate::remote::Client;
use crate::stream::upcast::Upcasters;
use crate::stream::{Limits, Name};

/// Everything that the program declares.
#[derive(Debug, Default)]
pub struct Registry {
    /// By domain.
    pub(crate) aggregates: BTreeMap<&'static str, Aggregate>,
    pub(crate) by_state: HashMap<TypeId, &'static str, foldhash::fast::RandomState>,
    pub(crate) remotes: BTreeMap<&'static str, &'static RemoteAggregateDescriptor>,
    /// By name.
    pub(crate) sagas: BTreeMap<&'static str, Saga>,
    /// By domain, which is their name.
    pub(crate) process_managers: BTreeMap<&'static str, ProcessManager>,
    /// By name.
    pub(crate) projectors: BTreeMap<&'static str, Projector>,
    pub(crate) upcaster_steps: Vec<&'static UpcasterDescriptor>,
    pub(crate) upcasters: Upcasters,
    /// Domains whose owner is in another process, each with its upcaster if that is named.
    pub(crate) elsewhere: BTreeMap<&'static str, Option<(Client, Location)>>,
    pub(crate) proto_descriptors: Vec<&'static ProtoDescriptors>,
    warnings: Vec<Problem>,
}

/// An aggregate with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) descriptor: &'static AggregateDescriptor,
    /// By full name of the command.
    pub(crate) handlers: BTreeMap<String, &'static CommandHandlerDescriptor>,
    /// By full name of the event.
    pub(crate) appliers: HashMap<Name, &'static ApplyDescriptor, foldhash::fast::RandomState>,
    pub(crate) rejected: RejectedBy<RejectedDescriptor>,
    pub(crate) compensate: Option<&'static CompensateDescriptor>,
    /// By full name of the fact.
    pub(crate) facts: BTreeMap<String, &'static FactDescriptor>,
    /// Kind of state that its snapshots hold (row N4).
    pub(crate) snapshot_type: Name,
    /// Type URL of a snapshot for others, where they can read it: its state is a protobuf message with a name.
    pub(crate) snapshot_url: Option<String>,
    /// Where it is, if it is elsewhere. Only it knows then what it handles.
    pub(crate) remote: Option<Client>,
}

impl Aggregate {
    pub(crate) fn new(descriptor: &'static AggregateDescriptor) -> Self {
        let codec = match descriptor.snapshot {
            Some(policy) if policy.codec.name != "prost" => policy.codec.name,
            _ => "",
        };
        let message = descriptor.state_message.filter(|_| descriptor.snapshot.is_some() && codec.is_empty());
        Self {
            descriptor,
            handlers: BTreeMap::new(),
            appliers: HashMap::default(),
            rejected: BTreeMap::new(),
            compensate: None,
            facts: BTreeMap::new(),
            snapshot_type: Name::from(format!("{}.{}{codec}", descriptor.domain, descriptor.name)),
            snapshot_url: message.map(|full_name| angzarr_proto::type_url_of(&full_name())),
            remote: None,
        }
    }

    /// Whether such a command can be sent to it.
    pub(crate) fn takes(&self, command: &str) -> bool {
        self.remote.is_some() || self.handlers.contains_key(command)
    }
}

/// A saga with its handlers, by full name of the event.
#[derive(Debug)]
pub(crate) struct Saga {
    pub(crate) descriptor: &'static SagaDescriptor,
    pub(crate) handlers: BTreeMap<String, &'static SagaHandlerDescriptor>,
    /// Where it is, if it is elsewhere. Only it knows then what it handles.
    pub(crate) remote: Option<Client>,
}

impl Saga {
    /// Whether it may do something with such an event.
    pub(crate) fn handles(&self, event: &str) -> bool {
        self.remote.is_some() || self.handlers.contains_key(event)
    }
}

/// `#[rejected]` methods, by full name of the command and the target domain that they are for, if they are for one.
pub(crate) type RejectedBy<D> = BTreeMap<(String, Option<&'static str>), &'static D>;

/// The method for a rejected command: one for its target before one for any (row K2).
pub(crate) fn rejected_by<D>(methods: &RejectedBy<D>, command: &str, target: &str) -> Option<&'static D> {
    let of = |target: Option<&str>| methods.iter().find(|((name, of), _)| name == command && *of == target);
    of(Some(target)).or_else(|| of(None)).map(|(_, method)| *method)
}

/// A process manager with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct ProcessManager {
    pub(crate) descriptor: &'static ProcessManagerDescriptor,
    /// What its own stream folds into.
    pub(crate) state: Aggregate,
    /// By full name of the event.
    pub(crate) handlers: BTreeMap<String, &'static ProcessHandlerDescriptor>,
    /// By name.
    pub(crate) timeouts: BTreeMap<&'static str, &'static TimeoutDescriptor>,
    pub(crate) rejected: RejectedBy<ProcessRejectedDescriptor>,
}

impl ProcessManager {
    /// Whether it may do something with such an event.
    pub(crate) fn handles(&self, event: &str) -> bool {
        self.state.remote.is_some() || self.handlers.contains_key(event)
    }
}

/// A projector with its handlers, by full name of the event.
#[derive(Debug)]
pub(crate) struct Projector {
    pub(crate) descriptor: &'static ProjectorDescriptor,
    pub(crate) handlers: BTreeMap<String, &'static ProjectorHandlerDescriptor>,
    /// Where it is, if it is elsewhere.
    pub(crate) remote: Option<Client>,
}

impl Projector {
    /// Whether it may do something with such an event.
    pub(crate) fn handles(&self, event: &str) -> bool {
        self.remote.is_some() || self.handlers.contains_key(event)
    }
}

impl Registry {
    /// Collects what is linked into this program and checks the wiring, with the limits where nothing was said.
    ///
    /// # Errors
    /// Every mistake that only the whole program shows, with file and line of all sides.
    pub fn collect() -> Result<Self, WiringErrors> {
        let (registry, problems) = Self::collect_all(&Limits::default(), |_, _| {});
        registry.or_errors(problems)
    }

    /// What could be put in order, with every mistake: checks that need more than the registry add theirs.
    /// `others` adds components that were not collected.
    pub(crate) fn collect_all(
        limits: &Limits,
        others: impl FnOnce(&mut Self, &mut Vec<Problem>),
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut registry = Self::default();
        registry.add_aggregates(&mut problems);
        registry.add_reactions(&mut problems);
        registry.add_coordination(&mut problems);
        others(&mut registry, &mut problems);
        registry.upcaster_steps = in_order(inventory::iter::<RegisteredUpcaster>().map(|it| it.0), |it| it.location);
        registry.upcasters = Upcasters::build(&registry.upcaster_steps, &mut problems);
        registry.proto_descriptors = inventory::iter::<RegisteredProtoDescriptors>().map(|it| it.0).collect();
        check::whole_program(&registry, limits, &mut problems);
        (registry, problems)
    }

    /// The registry, if none of the problems stops the start.
    pub(crate) fn or_errors(mut self, problems: Vec<Problem>) -> Result<Self, WiringErrors> {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.severity() == Severity::Error);
        self.warnings = warnings;
        if errors.is_empty() { Ok(self) } else { Err(WiringErrors::new(errors)) }
    }

    /// What is probably a mistake and does not stop the start.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What the streams of a domain fold into: an aggregate or a process manager.
    pub(crate) fn state_of(&self, domain: &str) -> Option<&Aggregate> {
        let process = || self.process_managers.get(domain).map(|process| &process.state);
        self.aggregates.get(domain).or_else(process)
    }

    /// Where a component of that name was declared, and what it is.
    #[cfg(feature = "remote")]
    pub(crate) fn component_of_that_name(&self, name: &str) -> Option<(Location, &'static str)> {
        let process = self.process_managers.get(name).map(|it| (it.descriptor.state.location, "a process manager"));
        let saga = || self.sagas.get(name).map(|it| (it.descriptor.location, "a saga"));
        let projector = || self.projectors.get(name).map(|it| (it.descriptor.location, "a projector"));
        process.or_else(saga).or_else(projector)
    }

    fn state_of_mut(&mut self, domain: &str) -> Option<&mut Aggregate> {
        match self.aggregates.get_mut(domain) {
            Some(aggregate) => Some(aggregate),
            None => self.process_managers.get_mut(domain).map(|process| &mut process.state),
        }
    }

    /// The domains of this program's aggregates, in order.
    pub fn domains(&self) -> impl Iterator<Item = &'static str> {
        self.aggregates.keys().copied()
    }

    /// Those and the domains of its process managers: whatever may have streams.
    pub(crate) fn stream_domains(&self) -> impl Iterator<Item = &'static str> {
        self.domains().chain(self.process_managers.keys().copied())
    }

    fn add_aggregates(&mut self, problems: &mut Vec<Problem>) {
        for descriptor in in_order(inventory::iter::<RegisteredAggregate>().map(|it| it.0), |it| it.location) {
            let aggregate = Aggregate::new(descriptor);
            if let Some(other) = self.aggregates.get(descriptor.domain) {
                problems.push(
                    Problem::error(format!("two aggregates have the domain `{}`", descriptor.domain))
                        .at(other.descriptor.location, format!("`{}`", other.descriptor.name))
                        .at(descriptor.location, format!("`{}`", descriptor.name))
                        .hint("a domain has one aggregate: give one of them another domain"),
                );
                continue;
            }
            self.by_state.insert((descriptor.state)(), descriptor.domain);
            self.aggregates.insert(descriptor.domain, aggregate);
        }
        for remote in in_order(inventory::iter::<RegisteredRemoteAggregate>().map(|it| it.0), |it| it.location) {
            if let Some(local) = self.aggregates.get(remote.domain) {
                problems.push(
                    Problem::error(format!(
                        "`{}` is declared remote and is an aggregate of this program",
                        remote.domain
                    ))
                    .at(local.descriptor.location, format!("the aggregate `{}`", local.descriptor.name))
                    .at(remote.location, format!("the remote declaration `{}`", remote.name))
                    .hint("remove the remote declaration and use the aggregate's own type"),
                );
            }
            self.remotes.entry(remote.domain).or_insert(remote);
        }
        for descriptor in in_order(inventory::iter::<RegisteredProcessManager>().map(|it| it.0), |it| it.state.location)
        {
            self.add_process_manager(descriptor, problems);
        }
        for handler in in_order(inventory::iter::<RegisteredCommandHandler>().map(|it| it.0), |it| it.location) {
            let owner = (handler.aggregate)();
            let Some(aggregate) = self.aggregates.get_mut(owner.domain) else { continue };
            if (aggregate.descriptor.state)() != (owner.state)() {
                continue;
            }
            let name = (handler.command.full_name)();
            if let Some(other) = aggregate.handlers.insert(name.clone(), handler) {
                problems.push(
                    Problem::error(format!("`{}` handles the command `{name}` twice", owner.name))
                        .at(other.location, format!("`{}`", other.method))
                        .at(handler.location, format!("`{}`", handler.method))
                        .hint("two Rust types have the same protobuf name: give each its own"),
                );
            }
        }
        for apply in in_order(inventory::iter::<RegisteredApply>().map(|it| it.0), |it| it.location) {
            let owner = (apply.aggregate)();
            let Some(aggregate) = self.state_of_mut(owner.domain) else { continue };
            if (aggregate.descriptor.state)() != (owner.state)() {
                continue;
            }
            let name = Name::from((apply.event.full_name)());
            if let Some(other) = aggregate.appliers.insert(name.clone(), apply) {
                problems.push(
                    Problem::error(format!("`{}` has two `#[apply]` for the event `{name}`", owner.name))
                        .at(other.location, format!("`{}`", other.method))
                        .at(apply.location, format!("`{}`", apply.method))
                        .hint("two Rust types have the same protobuf name: give each its own"),
                );
            }
        }
    }

    fn add_reactions(&mut self, problems: &mut Vec<Problem>) {
        let mut names: BTreeMap<&'static str, (Location, &'static str)> = BTreeMap::new();
        let mut unique = |name: &'static str, location: Location, kind: &'static str, problems: &mut Vec<Problem>| {
            if let Some((other, other_kind)) = names.insert(name, (location, kind)) {
                problems.push(
                    Problem::error(format!("two components have the name `{name}`"))
                        .at(other, other_kind)
                        .at(location, kind)
                        .hint("a component's checkpoint is stored under its name: give each its own"),
                );
                return false;
            }
            true
        };
        for process in self.process_managers.values() {
            let state = process.descriptor.state;
            unique(state.domain, state.location, "a process manager", problems);
        }
        let mut saga_names = HashMap::new();
        for descriptor in in_order(inventory::iter::<RegisteredSaga>().map(|it| it.0), |it| it.location) {
            if unique(descriptor.name, descriptor.location, "a saga", problems) {
                saga_names.insert((descriptor.component)(), descriptor.name);
                self.sagas.insert(descriptor.name, Saga { descriptor, handlers: BTreeMap::new(), remote: None });
            }
        }
        let mut projector_names = HashMap::new();
        for descriptor in in_order(inventory::iter::<RegisteredProjector>().map(|it| it.0), |it| it.location) {
            if unique(descriptor.name, descriptor.location, "a projector", problems) {
                projector_names.insert((descriptor.component)(), descriptor.name);
                self.projectors
                    .insert(descriptor.name, Projector { descriptor, handlers: BTreeMap::new(), remote: None });
            }
        }
        for handler in in_order(inventory::iter::<RegisteredSagaHandler>().map(|it| it.0), |it| it.location) {
            let Some(saga) = saga_names.get(&(handler.component)()).and_then(|name| self.sagas.get_mut(name)) else {
                continue;
            };
            let name = (handler.event.full_name)();
            if let Some(other) = saga.handlers.insert(name.clone(), handler) {
                problems.push(handled_twice(
                    saga.descriptor.name,
                    &name,
                    (other.location, other.method),
                    (handler.location, handler.method),
                ));
            }
        }
        for handler in in_order(inventory::iter::<RegisteredProjectorHandler>().map(|it| it.0), |it| it.location) {
            let Some(projector) =
                projector_names.get(&(handler.component)()).and_then(|name| self.projectors.get_mut(name))
            else {
                continue;
            };
            let name = (handler.event.full_name)();
            if let Some(other) = projector.handlers.insert(name.clone(), handler) {
                problems.push(handled_twice(
                    projector.descriptor.name,
                    &name,
                    (other.location, other.method),
                    (handler.location, handler.method),
                ));
            }
        }
    }
}

/// The linker gives no order; the reader of a report wants one.
fn in_order<T>(collected: impl Iterator<Item = &'static T>, place: fn(&T) -> Location) -> Vec<&'static T> {
    let mut all: Vec<_> = collected.collect();
    all.sort_by_key(|it| (place(it).package, place(it).file, place(it).line));
    all
}

fn handled_twice(
    component: &str,
    event: &str,
    first: (Location, &'static str),
    second: (Location, &'static str),
) -> Problem {
    Problem::error(format!("`{component}` handles the event `{event}` twice"))
        .at(first.0, format!("`{}`", first.1))
        .at(second.0, format!("`{}`", second.1))
        .hint("one handler for each event: put both effects into one of them")
}
