//! `check --explain`: why what goes where, and why nothing else does.
//!
//! In: the registry, and the model of the documentation. Out: the way of every command, event, fact, timeout, rejection and
//! compensation, with the place in the source. Never: a way that the runtime does not take.

use std::collections::BTreeSet;
use std::io::Write;

use super::failure::Failure;
use crate::declare::{Location, Target};
use crate::docs::{Aggregate, Elsewhere, ElsewhereKind, Model, Origin, Process, Saga, without_password};
use crate::registry::{Registry, rejected_by};
use crate::remote::Client;

type Out<'a> = &'a mut (dyn Write + Send);

/// A method and where it stands.
type Method = (&'static str, Location);

pub(super) fn explain(registry: &Registry, model: &Model, out: Out<'_>) -> Result<(), Failure> {
    for aggregate in &model.aggregates {
        let declared = &registry.aggregates[aggregate.domain];
        writeln!(out, "aggregate `{}` ({}, {})", aggregate.domain, aggregate.name, declared.descriptor.location)?;
        commands_and_events(registry, aggregate, out)?;
        facts(registry, model, aggregate, out)?;
        let sends = |it: &Elsewhere| matches!(it.kind, ElsewhereKind::Saga | ElsewhereKind::ProcessManager);
        if !(model.sagas.is_empty() && model.processes.is_empty()) || model.elsewhere.iter().any(sends) {
            rejections(registry, model, aggregate, out)?;
            compensation(registry, aggregate, out)?;
        }
        writeln!(out)?;
    }
    for it in &model.sagas {
        saga(registry, model, it, out)?;
    }
    for it in &model.processes {
        process(registry, model, it, out)?;
    }
    for it in &model.elsewhere {
        elsewhere(registry, it, out)?;
    }
    Ok(())
}

/// What is known here of a component in another process.
fn elsewhere(registry: &Registry, it: &Elsewhere, out: Out<'_>) -> Result<(), Failure> {
    writeln!(out, "{it} ({})", it.location)?;
    match it.kind {
        ElsewhereKind::Aggregate => {
            writeln!(out, "  every command for `{}`", it.name)?;
            writeln!(out, "    goes there, with the history of its stream; the rejection is its own answer")?;
            heard(registry, it.name, out)?;
        }
        ElsewhereKind::Upcaster => {
            writeln!(out, "  every stored event of `{}` goes there before anybody gets it", it.name)?
        }
        ElsewhereKind::Saga | ElsewhereKind::Projector => {
            writeln!(out, "  every event of {} goes there", listed(it.domains.iter().copied()))?;
        }
        ElsewhereKind::ProcessManager => {
            let domains = listed(it.domains.iter().copied());
            writeln!(out, "  every event of {domains} that has a correlation id goes there")?;
            writeln!(out, "  timeouts and rejected commands of its own go there")?;
            heard(registry, it.name, out)?;
        }
    }
    writeln!(out, "  while it is out of reach")?;
    let waits = match it.kind {
        ElsewhereKind::Aggregate => "commands are answered UNAVAILABLE and may be retried; those of components wait",
        ElsewhereKind::Upcaster => {
            "nothing of the domain is read in the form of today: who needs it waits, or is told to retry"
        }
        _ => "its events wait",
    };
    Ok(writeln!(out, "    {waits}\n")?)
}

/// Who listens to events that nobody here knows.
fn heard(registry: &Registry, domain: &str, out: Out<'_>) -> Result<(), Failure> {
    let sagas = registry.sagas.values().filter(|it| it.descriptor.domain == domain).map(|it| it.descriptor.name);
    let processes = registry.process_managers.values().filter(|it| it.descriptor.sources.contains(&domain));
    let processes = processes.map(|it| it.descriptor.state.domain);
    let projectors = registry.projectors.values().filter(|it| it.descriptor.domains.contains(&domain));
    let names = listed(sagas.chain(processes).chain(projectors.map(|it| it.descriptor.name)));
    let names = if names.is_empty() { "nobody".to_owned() } else { names };
    Ok(writeln!(out, "  its events are listened to by {names}")?)
}

fn commands_and_events(registry: &Registry, it: &Aggregate, out: Out<'_>) -> Result<(), Failure> {
    let declared = &registry.aggregates[it.domain];
    for command in &it.commands {
        let handler = declared.handlers[&command.full_name];
        let merge = command.merge.map_or_else(String::new, |merge| format!(", merge = {merge}"));
        writeln!(out, "  command {}", command.full_name)?;
        writeln!(out, "    goes to `{}` ({}){merge}", handler.method, handler.location)?;
        may_give(&command.events, out)?;
    }
    for event in &it.events {
        writeln!(out, "  event {}", event.full_name)?;
        match event.emitted_by.as_slice() {
            [] => writeln!(out, "    no command gives it: it comes from older versions of the program")?,
            origins => {
                let origins: Vec<_> = origins.iter().map(origin).collect();
                writeln!(out, "    comes from {}", origins.join(", "))?;
            }
        }
        listeners(registry, it.domain, &event.full_name, out)?;
    }
    Ok(())
}

fn may_give(events: &[String], out: Out<'_>) -> Result<(), Failure> {
    let given = if events.is_empty() { "gives no event".to_owned() } else { format!("may give {}", events.join(", ")) };
    Ok(writeln!(out, "    {given}")?)
}

fn origin(it: &Origin) -> String {
    match it {
        Origin::Command(command) => command.clone(),
        Origin::Fact(fact) => format!("the fact {fact}"),
        Origin::Rejection(command, target) => format!("a rejection of {command}{}", by(*target)),
        Origin::Compensation => "a compensation".to_owned(),
    }
}

fn by(target: Option<&str>) -> String {
    target.map_or_else(String::new, |target| format!(" by `{target}`"))
}

fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What happened outside (rows F).
fn facts(registry: &Registry, model: &Model, it: &Aggregate, out: Out<'_>) -> Result<(), Failure> {
    let declared = &registry.aggregates[it.domain];
    let sends = |saga: &&Saga| targets(saga).contains(&Target::Fact(it.domain));
    let sagas = listed(model.sagas.iter().filter(sends).map(|saga| saga.name));
    let sagas = if sagas.is_empty() { sagas } else { format!(", or from saga {sagas}") };
    for fact in &it.facts {
        let location = declared.facts[&fact.what].location;
        writeln!(out, "  fact {}", fact.what)?;
        writeln!(out, "    comes from outside{sagas}")?;
        writeln!(out, "    goes to `{}` ({location}), which cannot refuse it", fact.method)?;
        may_give(&fact.events, out)?;
    }
    let which = if it.facts.is_empty() { "any fact" } else { "any other fact" };
    writeln!(out, "  {which}")?;
    Ok(writeln!(
        out,
        "    has no `#[fact]`: it is appended as it is if one of the events above is of its type, or is an UNKNOWN_FACT"
    )?)
}

/// The rejections that an aggregate answers to, and whose commands they are (row K2).
fn rejections(registry: &Registry, model: &Model, it: &Aggregate, out: Out<'_>) -> Result<(), Failure> {
    let declared = &registry.aggregates[it.domain];
    for rejected in &it.rejected {
        let location = declared.rejected[&(rejected.what.clone(), rejected.target)].location;
        writeln!(out, "  rejection of {}{}", rejected.what, by(rejected.target))?;
        let takes = |domain: &str| {
            rejected.target.is_none_or(|target| target == domain)
                && model.commands_of(domain).contains(&rejected.what.as_str())
        };
        let sends = |saga: &&Saga| {
            let sends = |target: &Target| match target {
                Target::Domain(domain) => takes(domain),
                Target::Fact(_) => false,
                Target::Any => true,
            };
            saga.domain == it.domain && targets(saga).iter().any(sends)
        };
        // What one in another process sends is known there.
        let elsewhere =
            model.elsewhere.iter().filter(|saga| saga.kind == ElsewhereKind::Saga && saga.listens_to(it.domain));
        let here = model.sagas.iter().filter(sends).map(|saga| saga.name);
        let sagas = listed(here.chain(elsewhere.map(|saga| saga.name)));
        if sagas.is_empty() {
            writeln!(
                out,
                "    never comes: no saga that listens to `{}` sends it, and what a process manager sends is told to the \
                 process manager",
                it.domain
            )?;
        } else {
            writeln!(out, "    comes for a command of saga {sagas}")?;
        }
        writeln!(out, "    goes to `{}` ({location})", rejected.method)?;
        may_give(&rejected.events, out)?;
    }
    Ok(())
}

/// What a cascade takes back (row E3).
fn compensation(registry: &Registry, it: &Aggregate, out: Out<'_>) -> Result<(), Failure> {
    writeln!(out, "  compensation")?;
    writeln!(out, "    comes when a cascade fails that a command for it belonged to, under COMPENSATE")?;
    let method = registry.aggregates[it.domain].compensate;
    let (Some(method), Some(compensate)) = (method, &it.compensate) else {
        return Ok(writeln!(
            out,
            "    nobody answers: `{0}` has no `#[compensate]`; it waits in the dead letters of `{0}`",
            it.domain
        )?);
    };
    writeln!(out, "    goes to `{}` ({})", method.method, method.location)?;
    may_give(&compensate.events, out)
}

fn saga(registry: &Registry, model: &Model, it: &Saga, out: Out<'_>) -> Result<(), Failure> {
    let descriptor = registry.sagas[it.name].descriptor;
    writeln!(out, "saga `{}` ({}, {})", it.name, descriptor.rust_name, descriptor.location)?;
    writeln!(out, "  listens to `{}`", it.domain)?;
    let source = registry.aggregates.get(it.domain);
    let process = registry.process_managers.get(it.domain);
    let find = |command: &str, target: &str| {
        let aggregate = source.and_then(|source| rejected_by(&source.rejected, command, target));
        let process = || process.and_then(|process| rejected_by(&process.rejected, command, target));
        aggregate.map(|it| (it.method, it.location)).or_else(|| process().map(|it| (it.method, it.location)))
    };
    answers(model, it.domain, &targets(it), find, out)?;
    failing(it.name, out)
}

fn process(registry: &Registry, model: &Model, it: &Process, out: Out<'_>) -> Result<(), Failure> {
    let declared = &registry.process_managers[it.domain];
    writeln!(out, "process manager `{}` ({}, {})", it.domain, it.name, declared.descriptor.state.location)?;
    let sources = listed(it.sources.iter().copied());
    writeln!(out, "  listens to {sources}; an event without a correlation id is skipped, and counted")?;
    for event in &it.events {
        writeln!(out, "  event {}", event.full_name)?;
        writeln!(out, "    comes from its own methods")?;
        listeners(registry, it.domain, &event.full_name, out)?;
    }
    for timeout in &it.timeouts {
        let location = declared.timeouts[timeout.name].location;
        writeln!(out, "  timeout `{}`", timeout.name)?;
        writeln!(out, "    comes when a method has scheduled it and its time is there, if the process is not over")?;
        writeln!(out, "    goes to `{}` ({location})", timeout.method)?;
    }
    writeln!(out, "  {}", if it.timeouts.is_empty() { "any timeout" } else { "any other timeout" })?;
    writeln!(out, "    has no `#[timeout]`: a reaction that schedules it fails")?;
    // What it sends is said when it runs; what is declared is whom it may send to.
    let mut targets: Vec<_> = it.targets.iter().map(|domain| Target::Domain(domain)).collect();
    targets.push(Target::Any);
    let find = |command: &str, target: &str| {
        rejected_by(&declared.rejected, command, target).map(|it| (it.method, it.location))
    };
    answers(model, it.domain, &targets, find, out)?;
    failing(it.domain, out)
}

/// Whom a saga sends to, each once.
fn targets(saga: &Saga) -> Vec<Target> {
    let targets: BTreeSet<_> = saga.handlers.iter().flat_map(|handler| &handler.targets).copied().collect();
    targets.into_iter().collect()
}

/// Who answers when what a component sends is rejected; nobody's are dead letters (row K3).
fn answers(
    model: &Model,
    owner: &str,
    targets: &[Target],
    find: impl Fn(&str, &str) -> Option<Method>,
    out: Out<'_>,
) -> Result<(), Failure> {
    let nobody =
        format!("nobody answers: `{owner}` has no `#[rejected]` for it; the command waits in the dead letters of");
    let answered = |domain: &str, out: Out<'_>| -> Result<Vec<String>, Failure> {
        let mut others = Vec::new();
        for command in model.commands_of(domain) {
            let Some((method, location)) = find(command, domain) else {
                others.push(command.to_owned());
                continue;
            };
            writeln!(out, "  if `{domain}` rejects {command}")?;
            writeln!(out, "    `{method}` of `{owner}` answers ({location})")?;
        }
        Ok(others)
    };
    for target in targets {
        let Target::Domain(domain) = target else { continue };
        let others = answered(domain, out)?;
        if !others.is_empty() {
            writeln!(out, "  if `{domain}` rejects {}", others.join(" or "))?;
            writeln!(out, "    {nobody} `{domain}`")?;
        }
    }
    if targets.contains(&Target::Any) {
        let domains = model.aggregates.iter().map(|it| it.domain).chain(model.remotes.iter().map(|it| it.domain));
        let domains: BTreeSet<_> = domains.filter(|domain| !targets.contains(&Target::Domain(domain))).collect();
        for domain in domains {
            answered(domain, out)?;
        }
        writeln!(out, "  if anything else is rejected")?;
        writeln!(out, "    {nobody} its target")?;
    }
    Ok(())
}

fn failing(component: &str, out: Out<'_>) -> Result<(), Failure> {
    writeln!(out, "  if a method of its own fails")?;
    Ok(writeln!(out, "    what it was to handle waits in the dead letters of `{component}`\n")?)
}

/// Whose method it is, or where it is called.
fn there(remote: Option<&Client>, here: Option<Method>) -> Result<Option<Method>, &Client> {
    remote.map_or(Ok(here), Err)
}

/// What every component has to do with an event: those that handle it come first.
fn listeners(registry: &Registry, domain: &str, event: &str, out: Out<'_>) -> Result<(), Failure> {
    let mut verdicts = Vec::new();
    let mut judge =
        |kind: &str, name: &str, domains: &[&str], handler: Result<Option<Method>, &Client>, condition: &str| {
            let verdict = match handler {
                _ if !domains.contains(&domain) => {
                    format!("does not: it listens to {}", listed(domains.iter().copied()))
                }
                Err(at) => format!("gets it at {}, and handles it or not{condition}", without_password(at.address())),
                Ok(None) => "does not: it listens to this domain and has no handler for this event".to_owned(),
                Ok(Some((method, location))) => format!("handles it in `{method}` ({location}){condition}"),
            };
            verdicts.push((verdict.starts_with("does not"), format!("    {kind} `{name}` {verdict}")));
        };
    for saga in registry.sagas.values() {
        let handler = there(saga.remote.as_ref(), saga.handlers.get(event).map(|it| (it.method, it.location)));
        judge("saga", saga.descriptor.name, &[saga.descriptor.domain], handler, "");
    }
    for process in registry.process_managers.values().filter(|it| it.descriptor.state.domain != domain) {
        let handler =
            there(process.state.remote.as_ref(), process.handlers.get(event).map(|it| (it.method, it.location)));
        let (name, sources) = (process.descriptor.state.domain, process.descriptor.sources);
        judge("process manager", name, sources, handler, ", if it has a correlation id");
    }
    for projector in registry.projectors.values() {
        let handler =
            there(projector.remote.as_ref(), projector.handlers.get(event).map(|it| (it.method, it.location)));
        judge("projector", projector.descriptor.name, projector.descriptor.domains, handler, "");
    }
    verdicts.sort_by_key(|(does_not, _)| *does_not);
    for (_, line) in verdicts {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
