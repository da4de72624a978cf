//! Process managers, and what aggregates do about facts, rejections and compensations.
//!
//! In: their descriptors. Out: each in its place in the registry. Never: two methods for one thing; the second is a problem.

use std::any::TypeId;
use std::collections::BTreeMap;

use super::{Aggregate, Problem, ProcessManager, Registry, in_order};
use crate::declare::*;

/// Where a method stands.
type Place = (Location, &'static str);

impl Registry {
    pub(super) fn add_process_manager(
        &mut self,
        descriptor: &'static ProcessManagerDescriptor,
        problems: &mut Vec<Problem>,
    ) {
        let state = descriptor.state;
        if let Some(other) = self.state_of(state.domain) {
            problems.push(
                Problem::error(format!("two components have the domain `{}`", state.domain))
                    .at(other.descriptor.location, format!("`{}`", other.descriptor.name))
                    .at(state.location, format!("the process manager `{}`", state.name))
                    .hint("a process manager keeps its own streams: give it a domain of its own"),
            );
            return;
        }
        self.by_state.insert((state.state)(), state.domain);
        let process = ProcessManager {
            descriptor,
            state: Aggregate::new(state),
            handlers: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            rejected: BTreeMap::new(),
        };
        self.process_managers.insert(state.domain, process);
    }

    /// What belongs to process managers and aggregates that are in the registry.
    pub(super) fn add_coordination(&mut self, problems: &mut Vec<Problem>) {
        self.add_process_methods(problems);
        self.add_aggregate_methods(problems);
    }

    fn process_manager_mut(&mut self, component: TypeId) -> Option<&mut ProcessManager> {
        self.process_managers.values_mut().find(|it| (it.descriptor.state.state)() == component)
    }

    fn add_process_methods(&mut self, problems: &mut Vec<Problem>) {
        for handler in in_order(inventory::iter::<RegisteredProcessHandler>().map(|it| it.0), |it| it.location) {
            let Some(process) = self.process_manager_mut((handler.component)()) else { continue };
            let event = (handler.event.full_name)();
            if let Some(other) = process.handlers.insert(event.clone(), handler) {
                let what = format!("the event `{event}`");
                let places = [(other.location, other.method), (handler.location, handler.method)];
                problems.push(twice(process.descriptor.state.name, "#[handler]", &what, places));
            }
        }
        for timeout in in_order(inventory::iter::<RegisteredTimeout>().map(|it| it.0), |it| it.location) {
            let Some(process) = self.process_manager_mut((timeout.component)()) else { continue };
            if let Some(other) = process.timeouts.insert(timeout.name, timeout) {
                let what = format!("the timeout `{}`", timeout.name);
                let places = [(other.location, other.method), (timeout.location, timeout.method)];
                problems.push(twice(process.descriptor.state.name, "#[timeout]", &what, places));
            }
        }
        for rejected in in_order(inventory::iter::<RegisteredProcessRejected>().map(|it| it.0), |it| it.location) {
            let Some(process) = self.process_manager_mut((rejected.component)()) else { continue };
            let command = (rejected.command.full_name)();
            if let Some(other) = process.rejected.insert((command.clone(), rejected.target), rejected) {
                let what = format!("the command `{command}`");
                let places = [(other.location, other.method), (rejected.location, rejected.method)];
                problems.push(twice(process.descriptor.state.name, "#[rejected]", &what, places));
            }
        }
    }

    fn aggregate_of_mut(&mut self, state: TypeId) -> Option<&mut Aggregate> {
        self.aggregates.values_mut().find(|it| (it.descriptor.state)() == state)
    }

    fn add_aggregate_methods(&mut self, problems: &mut Vec<Problem>) {
        for rejected in in_order(inventory::iter::<RegisteredRejected>().map(|it| it.0), |it| it.location) {
            let Some(aggregate) = self.aggregate_of_mut((rejected.aggregate)()) else { continue };
            let command = (rejected.command.full_name)();
            if let Some(other) = aggregate.rejected.insert((command.clone(), rejected.target), rejected) {
                let what = format!("the command `{command}`");
                let places = [(other.location, other.method), (rejected.location, rejected.method)];
                problems.push(twice(aggregate.descriptor.name, "#[rejected]", &what, places));
            }
        }
        for compensate in in_order(inventory::iter::<RegisteredCompensate>().map(|it| it.0), |it| it.location) {
            let Some(aggregate) = self.aggregate_of_mut((compensate.aggregate)()) else { continue };
            if let Some(other) = aggregate.compensate.replace(compensate) {
                let places = [(other.location, other.method), (compensate.location, compensate.method)];
                problems.push(twice(aggregate.descriptor.name, "#[compensate]", "what is to be undone", places));
            }
        }
        for fact in in_order(inventory::iter::<RegisteredFact>().map(|it| it.0), |it| it.location) {
            let Some(aggregate) = self.aggregate_of_mut((fact.aggregate)()) else { continue };
            let name = (fact.fact.full_name)();
            if let Some(other) = aggregate.facts.insert(name.clone(), fact) {
                let what = format!("the fact `{name}`");
                let places = [(other.location, other.method), (fact.location, fact.method)];
                problems.push(twice(aggregate.descriptor.name, "#[fact]", &what, places));
            }
        }
    }
}

fn twice(component: &str, marker: &str, what: &str, [first, second]: [Place; 2]) -> Problem {
    Problem::error(format!("`{component}` has two `{marker}` for {what}"))
        .at(first.0, format!("`{}`", first.1))
        .at(second.0, format!("`{}`", second.1))
        .hint("one method for each: put both effects into one of them")
}
