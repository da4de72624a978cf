//! What was said on the builder, put into the registry beside what `inventory` has collected.
//!
//! In: a role, a name, domains and an address. Out: the same descriptors that attributes make. Never: a component that is there
//! twice, here or elsewhere; both places are told.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::Arc;

use parking_lot::Mutex;

use super::history::{History, REPLAYED};
use super::{Client, Remote};
use crate::declare::{
    AggregateDescriptor, Location, ProcessManagerDescriptor, ProjectorDescriptor, SagaDescriptor, SnapshotPolicy,
};
use crate::registry::{Aggregate, Problem, ProcessManager, Projector, Registry, Saga};

/// What a remote component is.
enum Role {
    Aggregate(&'static AggregateDescriptor),
    ProcessManager(&'static ProcessManagerDescriptor),
    Saga(&'static SagaDescriptor),
    Projector(&'static ProjectorDescriptor),
    /// Of a domain.
    Upcaster(&'static str, Location),
}

/// A component that was named on the builder.
pub(crate) struct Declaration {
    role: Role,
    client: Client,
}

/// What connects a remote component with its instance: it needs none.
struct Elsewhere;

fn elsewhere() -> TypeId {
    TypeId::of::<Elsewhere>()
}

fn no_instance() -> Arc<dyn Any + Send + Sync> {
    Arc::new(())
}

/// A text that lives as long as the program, as those of attributes do. The same text is kept once.
fn kept(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock();
    if let Some(known) = texts.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.insert(text);
    text
}

fn all_kept<D: AsRef<str>>(texts: impl IntoIterator<Item = D>) -> &'static [&'static str] {
    Box::leak(texts.into_iter().map(|text| kept(text.as_ref())).collect::<Vec<_>>().into_boxed_slice())
}

/// Where the builder was told.
fn place(caller: &'static panic::Location<'static>) -> Location {
    Location { file: caller.file(), line: caller.line(), package: "the builder" }
}

impl Declaration {
    pub(crate) fn aggregate(
        domain: &str,
        at: &Remote,
        caller: &'static panic::Location<'static>,
    ) -> Result<Self, Problem> {
        let (domain, location) = (kept(domain), place(caller));
        let client = connection(domain, at, location)?;
        Ok(Self { role: Role::Aggregate(state(domain, at, location)), client })
    }

    pub(crate) fn saga(
        name: &str,
        domain: &str,
        at: &Remote,
        caller: &'static panic::Location<'static>,
    ) -> Result<Self, Problem> {
        let (name, location) = (kept(name), place(caller));
        let client = client(name, at, location)?;
        // One for each call of the builder: programs say it once.
        let descriptor = Box::leak(Box::new(SagaDescriptor {
            name,
            rust_name: name,
            component: elsewhere,
            domain: kept(domain),
            instance: Some(no_instance),
            doc: kept(&format!("Behind {}.", at.address())),
            location,
        }));
        Ok(Self { role: Role::Saga(descriptor), client })
    }

    pub(crate) fn process_manager<D: AsRef<str>>(
        domain: &str,
        sources: impl IntoIterator<Item = D>,
        at: &Remote,
        caller: &'static panic::Location<'static>,
    ) -> Result<Self, Problem> {
        let (domain, location) = (kept(domain), place(caller));
        let client = client(domain, at, location)?;
        let descriptor = Box::leak(Box::new(ProcessManagerDescriptor {
            state: state(domain, at, location),
            sources: all_kept(sources),
            targets: &[],
        }));
        Ok(Self { role: Role::ProcessManager(descriptor), client })
    }

    pub(crate) fn projector<D: AsRef<str>>(
        name: &str,
        domains: impl IntoIterator<Item = D>,
        at: &Remote,
        caller: &'static panic::Location<'static>,
    ) -> Result<Self, Problem> {
        let (name, location) = (kept(name), place(caller));
        let client = client(name, at, location)?;
        let descriptor = Box::leak(Box::new(ProjectorDescriptor {
            name,
            rust_name: name,
            component: elsewhere,
            domains: all_kept(domains),
            all_editions: false,
            instance: Some(no_instance),
            read_model: |_| None,
            doc: kept(&format!("Behind {}.", at.address())),
            location,
        }));
        Ok(Self { role: Role::Projector(descriptor), client })
    }

    pub(crate) fn upcaster(
        domain: &str,
        at: &Remote,
        caller: &'static panic::Location<'static>,
    ) -> Result<Self, Problem> {
        let (domain, location) = (kept(domain), place(caller));
        let client = client(domain, at, location)?;
        Ok(Self { role: Role::Upcaster(domain, location), client })
    }

    /// Whether it is for something that others declare.
    pub(crate) fn comes_last(&self) -> bool {
        matches!(self.role, Role::Upcaster(..))
    }

    /// Puts it beside the others.
    pub(crate) fn register(&self, registry: &mut Registry, problems: &mut Vec<Problem>) {
        let client = Some(self.client.clone());
        match self.role {
            Role::Aggregate(descriptor) => {
                let (domain, location) = (descriptor.domain, descriptor.location);
                if is_free(registry, domain, location, "a remote aggregate", problems) {
                    let aggregate = Aggregate { remote: client, ..Aggregate::new(descriptor) };
                    registry.aggregates.insert(domain, aggregate);
                    registry.elsewhere.insert(domain, None);
                }
            }
            Role::ProcessManager(descriptor) => {
                let (name, location) = (descriptor.state.domain, descriptor.state.location);
                let what = "a remote process manager";
                if is_free(registry, name, location, what, problems) && is_new(registry, name, location, what, problems)
                {
                    let process = ProcessManager {
                        descriptor,
                        state: Aggregate { remote: client, ..Aggregate::new(descriptor.state) },
                        handlers: BTreeMap::new(),
                        timeouts: BTreeMap::new(),
                        rejected: BTreeMap::new(),
                    };
                    registry.process_managers.insert(name, process);
                    registry.elsewhere.insert(name, None);
                }
            }
            Role::Upcaster(domain, location) => match registry.elsewhere.get_mut(domain) {
                Some(none @ None) => *none = Some((self.client.clone(), location)),
                Some(Some((_, other))) => problems.push(
                    Problem::error(format!("the domain `{domain}` has two remote upcasters"))
                        .at(*other, "one")
                        .at(location, "another")
                        .hint("one upcaster knows the whole chain of its domain: remove the other"),
                ),
                None => {
                    let message = format!("a remote upcaster for `{domain}`, whose owner is not elsewhere");
                    let mut problem = Problem::error(message).at(location, "here").hint(
                        "who writes a domain's events knows their versions: name the owner with `.remote_aggregate(…)`, \
                         or write an `#[upcaster]` beside an aggregate of this program",
                    );
                    if let Some(owner) = registry.state_of(domain) {
                        problem = problem.at(owner.descriptor.location, format!("`{}`", owner.descriptor.name));
                    }
                    problems.push(problem);
                }
            },
            Role::Saga(descriptor) => {
                if is_new(registry, descriptor.name, descriptor.location, "a remote saga", problems) {
                    let saga = Saga { descriptor, handlers: BTreeMap::new(), remote: client };
                    registry.sagas.insert(descriptor.name, saga);
                }
            }
            Role::Projector(descriptor) => {
                if is_new(registry, descriptor.name, descriptor.location, "a remote projector", problems) {
                    let projector = Projector { descriptor, handlers: BTreeMap::new(), remote: client };
                    registry.projectors.insert(descriptor.name, projector);
                }
            }
        }
    }
}

fn client(name: &'static str, at: &Remote, location: Location) -> Result<Client, Problem> {
    if at.snapshots().is_some() || at.shape() != 1 {
        return Err(Problem::error(format!("`{name}` cannot have snapshots"))
            .at(location, "here")
            .hint("the contract has `Replay` for aggregates only: leave out `.snapshot(…)` and `.state_version(…)`"));
    }
    connection(name, at, location)
}

fn connection(name: &'static str, at: &Remote, location: Location) -> Result<Client, Problem> {
    match at.endpoint() {
        Ok(endpoint) => Ok(Client::new(name, at.address(), at.time(), endpoint)),
        Err(reason) => Err(Problem::error(format!("`{}` is no address of a component: {reason}", at.address()))
            .at(location, format!("the address of `{name}`"))
            .hint("write `http://host:port`; for TLS `Remote::at(\"https://host:port\").certificate_authority(…)`")),
    }
}

/// What is known here of a stream whose owner is elsewhere: its history.
fn state(domain: &'static str, at: &Remote, location: Location) -> &'static AggregateDescriptor {
    Box::leak(Box::new(AggregateDescriptor {
        domain,
        name: domain,
        state: TypeId::of::<History>,
        doc: kept(&format!("Behind {}.", at.address())),
        location,
        snapshot: at.snapshots().map(|every| SnapshotPolicy { every, codec: REPLAYED }),
        state_version: at.shape(),
        state_message: None,
        new_state: || Box::new(History::default()),
        clone_state: None,
        debug_state: None,
    }))
}

/// A domain has one owner.
fn is_free(registry: &Registry, domain: &str, location: Location, what: &str, problems: &mut Vec<Problem>) -> bool {
    let Some(other) = registry.state_of(domain) else { return true };
    problems.push(
        Problem::error(format!("the domain `{domain}` has two owners"))
            .at(other.descriptor.location, format!("`{}`", other.descriptor.name))
            .at(location, what)
            .hint("a domain has one aggregate or process manager, here or elsewhere: remove one, or give it another domain"),
    );
    false
}

fn is_new(registry: &Registry, name: &str, location: Location, what: &str, problems: &mut Vec<Problem>) -> bool {
    let Some((other, kind)) = registry.component_of_that_name(name) else { return true };
    problems.push(
        Problem::error(format!("two components have the name `{name}`"))
            .at(other, kind)
            .at(location, what)
            .hint("a component's checkpoint is stored under its name: give each its own"),
    );
    false
}
