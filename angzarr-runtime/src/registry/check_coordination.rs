//! What only the whole program shows of process managers and rejections.
//!
//! In: a registry in order. Out: what can never work as an error, what can never be called as a warning. Never: a word about a
//! command that nobody compensates; its dead letter is an answer too (row K3).

use std::collections::BTreeSet;

use super::{Problem, Registry, RejectedBy, in_order};
use crate::declare::{Location, RegisteredCommandHandler};
use crate::error::nearest;

pub(super) fn coordination(registry: &Registry, problems: &mut Vec<Problem>) {
    commands_of_process_managers(registry, problems);
    sources(registry, problems);
    for process in registry.process_managers.values() {
        let name = process.descriptor.state.name;
        unknown_commands(registry, name, &process.rejected, |it| (it.location, it.method), problems);
    }
    for aggregate in registry.aggregates.values() {
        let descriptor = aggregate.descriptor;
        unknown_commands(registry, descriptor.name, &aggregate.rejected, |it| (it.location, it.method), problems);
        // What a process manager sends is told to the process manager; only sagas send for an aggregate (row K2).
        if registry.sagas.values().any(|saga| saga.descriptor.domain == descriptor.domain) {
            continue;
        }
        for ((command, _), method) in &aggregate.rejected {
            problems.push(
                Problem::warning(format!(
                    "`{}` waits for a rejected `{command}`, and no saga listens to it",
                    descriptor.name
                ))
                .at(method.location, format!("`{}`", method.method))
                .hint(format!(
                    "it is called for commands that a saga with `from = {}` sends; for those of a process manager, \
                         put the method on the process manager",
                    descriptor.name
                )),
            );
        }
    }
}

/// The state of a process manager has all that an `#[aggregate] impl` block asks for, and no way for a command to reach it.
fn commands_of_process_managers(registry: &Registry, problems: &mut Vec<Problem>) {
    for handler in in_order(inventory::iter::<RegisteredCommandHandler>().map(|it| it.0), |it| it.location) {
        let owner = (handler.aggregate)();
        let Some(process) = registry.process_managers.get(owner.domain) else { continue };
        let state = process.descriptor.state;
        if (state.state)() != (owner.state)() {
            continue;
        }
        problems.push(
            Problem::error(format!(
                "the process manager `{}` has a handler for the command `{}`",
                state.name,
                (handler.command.full_name)()
            ))
            .at(state.location, "the process manager")
            .at(handler.location, format!("`{}`", handler.method))
            .hint(format!(
                "a process manager reacts to events: handle the command in an aggregate, and its event in the \
                 `#[process_manager] impl {}` block",
                state.name
            )),
        );
    }
}

fn sources(registry: &Registry, problems: &mut Vec<Problem>) {
    for process in registry.process_managers.values() {
        let (state, sources) = (process.descriptor.state, process.descriptor.sources);
        if sources.contains(&state.domain) {
            problems.push(
                Problem::error(format!("the process manager `{}` listens to itself", state.name))
                    .at(state.location, format!("`from` has its own domain, `{}`", state.domain))
                    .hint("what follows on its own events is said where it returns them: in the same reaction"),
            );
        }
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> = sources.iter().filter(|source| !seen.insert(**source)).collect();
        for source in twice {
            problems.push(
                Problem::error(format!("the process manager `{}` lists the domain `{source}` twice", state.name))
                    .at(state.location, "in its `from`")
                    .hint("name each domain once"),
            );
        }
    }
}

/// A `#[rejected]` for a command that nobody handles is never called.
fn unknown_commands<D>(
    registry: &Registry,
    component: &str,
    methods: &RejectedBy<D>,
    place: fn(&D) -> (Location, &'static str),
    problems: &mut Vec<Problem>,
) {
    for ((command, target), method) in methods {
        // What an aggregate in another process takes, only it knows.
        let is_meant = |domain: &str| target.is_none_or(|target| target == domain);
        if registry.aggregates.iter().any(|(domain, it)| it.remote.is_some() && is_meant(domain)) {
            continue;
        }
        let known = commands_of(registry, *target);
        if known.contains(command) {
            continue;
        }
        let by = target.map_or_else(|| "nobody".to_owned(), |target| format!("nothing in `{target}`"));
        let near = nearest(command, known.iter().map(String::as_str));
        let hint = near.first().map_or_else(
            || "remove the method, or correct the command or its target".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let (location, method) = place(method);
        problems.push(
            Problem::warning(format!("`{component}` waits for a rejected `{command}`, which {by} handles"))
                .at(location, format!("`{method}`"))
                .hint(hint),
        );
    }
}

/// Full names of the commands that a domain takes, here or elsewhere; of all domains without one.
fn commands_of(registry: &Registry, target: Option<&str>) -> BTreeSet<String> {
    let is_meant = |domain: &str| target.is_none_or(|target| target == domain);
    let here = registry.aggregates.iter().filter(|(domain, _)| is_meant(domain));
    let elsewhere = registry.remotes.iter().filter(|(domain, _)| is_meant(domain));
    let here = here.flat_map(|(_, aggregate)| aggregate.handlers.keys().cloned());
    here.chain(elsewhere.flat_map(|(_, remote)| remote.commands.iter().map(|it| (it.full_name)()))).collect()
}
