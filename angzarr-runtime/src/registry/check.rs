//! What only the whole program shows.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, Registry, in_order};
use crate::declare::{
    Location, MessageType, RegisteredApply, RegisteredCommandHandler, RegisteredFact, RegisteredProcessHandler,
    RegisteredProcessRejected, RegisteredProjectorHandler, RegisteredRejected, RegisteredSagaHandler, Target,
};
use crate::error::nearest;
use crate::stream::Limits;
use crate::stream::limits::valid_name;

/// Checks that need more than one item; those of a single item are compile errors.
pub(super) fn whole_program(registry: &Registry, limits: &Limits, problems: &mut Vec<Problem>) {
    names(registry, limits.domain_name_chars, problems);
    domains_exist(registry, problems);
    shapes(problems);
    old_shapes(registry, problems);
    handlers_exist(registry, problems);
    triggers(registry, problems);
    super::check_coordination::coordination(registry, problems);
}

/// The limit is on names of domains; components keep to what it is where nothing was said.
fn names(registry: &Registry, domain_max: usize, problems: &mut Vec<Problem>) {
    let max = Limits::default().domain_name_chars;
    let aggregates = registry.aggregates.values().map(|it| (it.descriptor.domain, it.descriptor.location, domain_max));
    let sagas = registry.sagas.values().map(|it| (it.descriptor.name, it.descriptor.location, max));
    let projectors = registry.projectors.values().map(|it| (it.descriptor.name, it.descriptor.location, max));
    let processes = registry.process_managers.values().map(|it| it.descriptor.state);
    let processes = processes.map(|state| (state.domain, state.location, domain_max));
    for (name, location, max) in aggregates.chain(processes).chain(sagas).chain(projectors) {
        if !valid_name(name, max, b"") {
            problems.push(
                Problem::error(format!("`{name}` is not a valid name"))
                    .at(location, "here")
                    .hint(format!("1 to {max} of a-z 0-9 _ -, starting with a letter")),
            );
        }
    }
}

/// A component that listens to a domain that nobody declares is a typing error, or the crate of that domain is not
/// linked: `inventory` sees only what is.
fn domains_exist(registry: &Registry, problems: &mut Vec<Problem>) {
    let known = registry.aggregates.keys().chain(registry.remotes.keys()).chain(registry.process_managers.keys());
    let known: BTreeSet<&str> = known.copied().collect();
    let mut check = |domain: &str, location: Location, what: String| {
        if known.contains(domain) {
            return;
        }
        let near = nearest(domain, known.iter().copied());
        let mut hint = match near.first() {
            Some(name) => format!("did you mean `{name}`? Otherwise "),
            None => String::new(),
        };
        hint.push_str(&format!(
            "declare an aggregate with `#[aggregate(domain = \"{domain}\")]`; if a crate of yours has it, that crate is not \
             linked into this program: name it (`use that_crate as _;`); if it lives in another process, declare it with \
             `#[aggregate(domain = \"{domain}\", remote, handles(…))]`"
        ));
        problems.push(Problem::error(format!("no aggregate has the domain `{domain}`")).at(location, what).hint(hint));
    };
    for projector in registry.projectors.values() {
        for domain in projector.descriptor.domains {
            check(
                domain,
                projector.descriptor.location,
                format!("the projector `{}` listens to it", projector.descriptor.name),
            );
        }
    }
    for process in registry.process_managers.values() {
        let state = process.descriptor.state;
        for domain in process.descriptor.sources {
            check(domain, state.location, format!("the process manager `{}` listens to it", state.name));
        }
        for domain in process.descriptor.targets {
            check(domain, state.location, format!("the process manager `{}` sends to it", state.name));
        }
    }
    for saga in registry.sagas.values() {
        check(
            saga.descriptor.domain,
            saga.descriptor.location,
            format!("the saga `{}` listens to it", saga.descriptor.name),
        );
        for handler in saga.handlers.values() {
            let mut targets = Vec::new();
            (handler.targets)(&mut targets);
            for target in targets {
                match target {
                    Target::Domain(target) => {
                        let what = format!("the saga `{}` sends commands to it", saga.descriptor.name);
                        check(target, handler.location, what);
                    }
                    Target::Fact(target) => {
                        let what = format!("the saga `{}` sends facts to it", saga.descriptor.name);
                        check(target, handler.location, what);
                    }
                    Target::Any => {}
                }
            }
        }
    }
}

/// One protobuf name, one Rust type. Old shapes of an event may share its name: only current ones count.
fn shapes(problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, (TypeId, &'static str, Location)> = BTreeMap::new();
    let mut check = |message: MessageType, location: Location| {
        let name = (message.full_name)();
        let path = (message.rust_path)();
        match seen.get(&name) {
            Some((id, other_path, other)) if *id != (message.id)() => problems.push(
                Problem::error(format!("the message `{name}` has two shapes"))
                    .at(*other, format!("`{other_path}`"))
                    .at(location, format!("`{path}`"))
                    .hint(
                        "one protobuf name stands for one Rust type: rename one, or use the same type in both places",
                    ),
            ),
            Some(_) => {}
            None => {
                seen.insert(name, ((message.id)(), path, location));
            }
        }
    };
    // Of everything that is linked: also of components that lost their name to another.
    for handler in in_order(inventory::iter::<RegisteredCommandHandler>().map(|it| it.0), |it| it.location) {
        check(handler.command, handler.location);
        let mut events = Vec::new();
        (handler.emits)(&mut events);
        events.into_iter().for_each(|event| check(event, handler.location));
    }
    for apply in in_order(inventory::iter::<RegisteredApply>().map(|it| it.0), |it| it.location) {
        check(apply.event, apply.location);
    }
    for handler in in_order(inventory::iter::<RegisteredSagaHandler>().map(|it| it.0), |it| it.location) {
        check(handler.event, handler.location);
    }
    for handler in in_order(inventory::iter::<RegisteredProcessHandler>().map(|it| it.0), |it| it.location) {
        check(handler.event, handler.location);
    }
    for rejected in in_order(inventory::iter::<RegisteredProcessRejected>().map(|it| it.0), |it| it.location) {
        check(rejected.command, rejected.location);
    }
    for rejected in in_order(inventory::iter::<RegisteredRejected>().map(|it| it.0), |it| it.location) {
        check(rejected.command, rejected.location);
    }
    for fact in in_order(inventory::iter::<RegisteredFact>().map(|it| it.0), |it| it.location) {
        check(fact.fact, fact.location);
    }
    for handler in in_order(inventory::iter::<RegisteredProjectorHandler>().map(|it| it.0), |it| it.location) {
        check(handler.event, handler.location);
    }
}

/// A new event in an old shape: the state that the handler's runtime has would be that of the old shape, and after the
/// next replay that of what the upcaster makes of it (rows T2, U2).
fn old_shapes(registry: &Registry, problems: &mut Vec<Problem>) {
    for handler in in_order(inventory::iter::<RegisteredCommandHandler>().map(|it| it.0), |it| it.location) {
        let mut events = Vec::new();
        (handler.emits)(&mut events);
        for event in events {
            let Some(upcaster) = registry.upcasters.taker_of(&event) else { continue };
            problems.push(
                Problem::error(format!("a handler returns `{}`, which is an old version", (event.full_name)()))
                    .at(handler.location, format!("`{}` returns it", handler.method))
                    .at(upcaster.location, format!("`{}`, from = {}, takes it", upcaster.function, upcaster.from))
                    .hint("return the current event, the one that the chain of upcasters ends in"),
            );
        }
    }
}

fn handlers_exist(registry: &Registry, problems: &mut Vec<Problem>) {
    for saga in registry.sagas.values().filter(|saga| saga.handlers.is_empty() && saga.remote.is_none()) {
        problems.push(
            Problem::error(format!("the saga `{}` handles no event", saga.descriptor.name))
                .at(saga.descriptor.location, "declared here")
                .hint(format!("add an `#[saga] impl {} {{ #[handler] fn … }}` block", saga.descriptor.rust_name)),
        );
    }
    for process in registry.process_managers.values().filter(|it| it.handlers.is_empty() && it.state.remote.is_none()) {
        let state = process.descriptor.state;
        problems.push(
            Problem::error(format!("the process manager `{}` handles no event", state.domain))
                .at(state.location, "declared here")
                .hint(format!("add a `#[process_manager] impl {} {{ #[handler] fn … }}` block", state.name)),
        );
    }
    for projector in registry.projectors.values().filter(|it| it.handlers.is_empty() && it.remote.is_none()) {
        problems.push(
            Problem::error(format!("the projector `{}` handles no event", projector.descriptor.name))
                .at(projector.descriptor.location, "declared here")
                .hint(format!(
                    "add an `#[projector] impl {} {{ #[handler] fn … }}` block",
                    projector.descriptor.rust_name
                )),
        );
    }
    for aggregate in registry.aggregates.values().filter(|it| it.handlers.is_empty() && it.remote.is_none()) {
        problems.push(
            Problem::warning(format!("the aggregate `{}` handles no command", aggregate.descriptor.name))
                .at(aggregate.descriptor.location, "declared here")
                .hint(format!("add an `#[aggregate] impl {} {{ #[handler] fn … }}` block", aggregate.descriptor.name)),
        );
    }
}

/// A trigger that nothing emits never fires.
fn triggers(registry: &Registry, problems: &mut Vec<Problem>) {
    let mut check = |component: &str, domains: &[&str], event: &str, location: Location, method: &str| {
        let is_elsewhere = |domain: &&str| {
            registry.remotes.contains_key(*domain) || registry.state_of(domain).is_some_and(|it| it.remote.is_some())
        };
        if domains.iter().any(is_elsewhere) {
            return;
        }
        let mut known: BTreeSet<String> = BTreeSet::new();
        for aggregate in domains.iter().filter_map(|domain| registry.state_of(domain)) {
            known.extend(aggregate.appliers.keys().map(|name| name.to_string()));
        }
        if known.contains(event) {
            return;
        }
        let near = nearest(event, known.iter().map(String::as_str));
        let hint = near.first().map_or_else(
            || "remove the handler, or correct the event or the domain".to_owned(),
            |name| format!("did you mean `{name}`?"),
        );
        problems.push(
            Problem::warning(format!(
                "`{component}` waits for `{event}`, which nothing in {} emits",
                domains.iter().map(|domain| format!("`{domain}`")).collect::<Vec<_>>().join(", ")
            ))
            .at(location, format!("`{method}`"))
            .hint(hint),
        );
    };
    for saga in registry.sagas.values() {
        for (event, handler) in &saga.handlers {
            check(saga.descriptor.name, &[saga.descriptor.domain], event, handler.location, handler.method);
        }
    }
    for process in registry.process_managers.values() {
        let (name, sources) = (process.descriptor.state.domain, process.descriptor.sources);
        for (event, handler) in &process.handlers {
            check(name, sources, event, handler.location, handler.method);
        }
    }
    for projector in registry.projectors.values() {
        for (event, handler) in &projector.handlers {
            check(projector.descriptor.name, projector.descriptor.domains, event, handler.location, handler.method);
        }
    }
}
