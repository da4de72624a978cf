//! `check`: whether the program would start, and why what goes where.

use std::io::Write;

use super::failure::Failure;
use super::output::count;
use super::{Builder, CheckArguments};
use crate::docs::Model;
use crate::registry::Registry;

pub(super) fn run(builder: &Builder, arguments: &CheckArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    // With a mistake there is no registry to explain.
    let registry = builder.check()?;
    for warning in registry.warnings() {
        writeln!(out, "{warning}\n")?;
    }
    if arguments.explain {
        explain(&registry, &Model::of(&registry), out)?;
    }
    Ok(writeln!(out, "{}", summary(&registry))?)
}

fn summary(registry: &Registry) -> String {
    let handlers = registry.aggregates.values().map(|aggregate| aggregate.handlers.len()).sum();
    let events = registry.aggregates.values().map(|aggregate| aggregate.appliers.len()).sum();
    let warnings = match registry.warnings().len() {
        0 => String::new(),
        n => format!(", {}", count(n, "warning")),
    };
    let processes = match registry.process_managers.len() {
        0 => String::new(),
        n => format!(", {}", count(n, "process manager")),
    };
    format!(
        "ok: {}, {}, {}, {}{processes}, {}, {}{warnings}",
        count(registry.aggregates.len(), "aggregate"),
        count(handlers, "command"),
        count(events, "event"),
        count(registry.sagas.len(), "saga"),
        count(registry.projectors.len(), "projector"),
        count(registry.upcaster_steps.len(), "upcaster"),
    )
}

/// The way of every command, and for every event who handles it and why nobody else does.
fn explain(registry: &Registry, model: &Model, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    for aggregate in &model.aggregates {
        let declared = &registry.aggregates[aggregate.domain];
        writeln!(out, "aggregate `{}` ({}, {})", aggregate.domain, aggregate.name, declared.descriptor.location)?;
        for command in &aggregate.commands {
            let handler = declared.handlers[&command.full_name];
            let merge = command.merge.map_or_else(String::new, |merge| format!(", merge = {merge}"));
            writeln!(out, "  command {}", command.full_name)?;
            writeln!(out, "    goes to `{}` ({}){merge}", handler.method, handler.location)?;
            match command.events.as_slice() {
                [] => writeln!(out, "    gives no event")?,
                events => writeln!(out, "    may give {}", events.join(", "))?,
            }
        }
        for event in &aggregate.events {
            writeln!(out, "  event {}", event.full_name)?;
            match event.emitted_by.as_slice() {
                [] => writeln!(out, "    no command gives it: it comes from older versions of the program")?,
                commands => writeln!(out, "    comes from {}", commands.join(", "))?,
            }
            for (kind, name, verdict) in verdicts(registry, aggregate.domain, &event.full_name) {
                writeln!(out, "    {kind} `{name}` {verdict}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What every component has to do with an event.
fn verdicts(registry: &Registry, domain: &str, event: &str) -> Vec<(&'static str, &'static str, String)> {
    let mut verdicts = Vec::new();
    let mut judge = |kind, name, domains: &[&str], handler: Option<(&str, crate::declare::Location)>| {
        let verdict = match handler {
            _ if !domains.contains(&domain) => {
                let domains: Vec<_> = domains.iter().map(|domain| format!("`{domain}`")).collect();
                format!("does not: it listens to {}", domains.join(", "))
            }
            None => "does not: it listens to this domain and has no handler for this event".to_owned(),
            Some((method, location)) => format!("handles it in `{method}` ({location})"),
        };
        verdicts.push((kind, name, verdict));
    };
    for saga in registry.sagas.values() {
        let handler = saga.handlers.get(event).map(|handler| (handler.method, handler.location));
        judge("saga", saga.descriptor.name, &[saga.descriptor.domain], handler);
    }
    for projector in registry.projectors.values() {
        let handler = projector.handlers.get(event).map(|handler| (handler.method, handler.location));
        judge("projector", projector.descriptor.name, projector.descriptor.domains, handler);
    }
    // Those that handle it come first.
    verdicts.sort_by_key(|(_, _, verdict)| verdict.starts_with("does not"));
    verdicts
}
