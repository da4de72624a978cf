//! `check`: whether the program would start; `--explain` adds why what goes where.

use std::io::Write;

use super::explain::explain;
use super::failure::Failure;
use super::output::count;
use super::{Builder, CheckArguments};
use crate::docs::{Elsewhere, Model};
use crate::registry::Registry;

pub(super) fn run(builder: &Builder, arguments: &CheckArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    // With a mistake there is no registry to explain.
    let registry = builder.check()?;
    for warning in registry.warnings() {
        writeln!(out, "{warning}\n")?;
    }
    if arguments.explain {
        explain(&registry, &Model::of(&registry), out)?;
    } else {
        for it in Elsewhere::all(&registry) {
            writeln!(out, "{it}")?;
        }
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
    let elsewhere = match Elsewhere::all(registry).len() {
        0 => String::new(),
        n => format!(", {n} of these elsewhere"),
    };
    format!(
        "ok: {}, {}, {}, {}{processes}, {}, {}{elsewhere}{warnings}",
        count(registry.aggregates.len(), "aggregate"),
        count(handlers, "command"),
        count(events, "event"),
        count(registry.sagas.len(), "saga"),
        count(registry.projectors.len(), "projector"),
        count(registry.upcaster_steps.len() + registry.elsewhere.values().flatten().count(), "upcaster"),
    )
}
