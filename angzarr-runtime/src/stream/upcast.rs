//! Upcasting: old versions of events become the current one when they are read, everywhere they are read (rows U).
//!
//! In: declared steps, then stored events. Out: events in the shape that the program knows. Never: a change of what is
//! stored.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::declare::{MessageType, UpcastSink, UpcasterDescriptor};
use crate::registry::Problem;
use crate::stream::{Name, StoredEvent};

/// The chains of the whole program.
#[derive(Debug, Default)]
pub(crate) struct Upcasters {
    /// What to do with a stored (type, version).
    steps: HashMap<(Name, u32), &'static UpcasterDescriptor>,
    /// The next step for what a step returned.
    by_input: HashMap<TypeId, &'static UpcasterDescriptor>,
    /// Names of the shapes that steps return.
    shapes: HashMap<TypeId, Name>,
    /// Current version of each type that has a chain; every other type is at 1.
    current: HashMap<Name, u32>,
    /// Names that only old events have, with the newest version that was stored under them.
    retired: HashMap<Name, u32>,
}

/// Why an event cannot be brought to the current version.
#[derive(Debug)]
pub(crate) enum UpcastError {
    TooNew { stored: u32, known: u32 },
    Undecodable(prost::DecodeError),
    Panicked { upcaster: &'static UpcasterDescriptor, text: String },
}

/// One stored event after upcasting: one in nearly all cases, none if it was dropped, several if it was split. All of
/// them keep the sequence of the stored one (row U4).
#[derive(Debug)]
pub(crate) enum Upcasted {
    Same(StoredEvent),
    Changed(Vec<StoredEvent>),
}

impl IntoIterator for Upcasted {
    type Item = StoredEvent;
    type IntoIter = std::iter::Chain<std::option::IntoIter<StoredEvent>, std::vec::IntoIter<StoredEvent>>;
    fn into_iter(self) -> Self::IntoIter {
        let (same, changed) = match self {
            Self::Same(event) => (Some(event), Vec::new()),
            Self::Changed(events) => (None, events),
        };
        same.into_iter().chain(changed)
    }
}

impl Upcasters {
    /// Puts the steps into chains; every mistake of the whole program becomes a problem (row U3).
    pub(crate) fn build(descriptors: &[&'static UpcasterDescriptor], problems: &mut Vec<Problem>) -> Self {
        let mut upcasters = Self::default();
        for &step in descriptors {
            if step.from == 0 {
                problems.push(
                    Problem::error(format!("the upcaster `{}` has `from = 0`: versions start at 1", step.function))
                        .at(step.location, "here"),
                );
            }
            if let Some(other) = upcasters.by_input.insert((step.input.id)(), step) {
                problems.push(
                    Problem::error(format!("two upcasters take `{}`: a chain may not fork", (step.input.rust_path)()))
                        .at(other.location, format!("`{}`, from = {}", other.function, other.from))
                        .at(step.location, format!("`{}`, from = {}", step.function, step.from))
                        .hint("give each old version a struct of its own, and each struct one upcaster"),
                );
            }
            for shape in outputs(step) {
                upcasters.shapes.insert((shape.id)(), Name::from((shape.full_name)()));
            }
        }

        upcasters.break_circles(descriptors, problems);
        // A chain is named after the shape that it ends in.
        let mut chains: HashMap<String, Vec<&'static UpcasterDescriptor>> = HashMap::new();
        for &step in descriptors {
            if let Some(end) = upcasters.end_of(step) {
                chains.entry(end).or_default().push(step);
            }
        }
        let mut chains: Vec<_> = chains.into_iter().collect();
        chains.sort_by(|a, b| a.0.cmp(&b.0));
        for (event, mut chain) in chains {
            chain.sort_by_key(|step| step.from);
            upcasters.add_chain(&event, &chain, problems);
        }
        upcasters
    }

    /// Whether a type has, or had, a chain here.
    pub(crate) fn know(&self, type_name: &Name) -> bool {
        self.current.contains_key(type_name) || self.retired.contains_key(type_name)
    }

    fn add_chain(&mut self, event: &str, chain: &[&'static UpcasterDescriptor], problems: &mut Vec<Problem>) {
        for pair in chain.windows(2) {
            let (step, next) = (pair[0], pair[1]);
            if step.from == next.from {
                problems.push(
                    Problem::error(format!("two upcasters take version {} of `{event}`", step.from))
                        .at(step.location, format!("`{}`", step.function))
                        .at(next.location, format!("`{}`", next.function))
                        .hint("a version has one successor: remove one, or correct its `from`"),
                );
            } else if step.from + 1 != next.from {
                problems.push(
                    Problem::error(format!(
                        "the upcasters of `{event}` have a hole: nothing takes version {}",
                        step.from + 1
                    ))
                    .at(step.location, format!("`{}` ends at version {}", step.function, step.from + 1))
                    .at(next.location, format!("`{}` goes on at version {}", next.function, next.from))
                    .hint("add the missing step, or correct the `from` of one of these"),
                );
            } else if !outputs(step).iter().any(|shape| (shape.id)() == (next.input.id)()) {
                problems.push(
                    Problem::error(format!(
                        "the upcasters of `{event}` do not fit together: version {} is returned as `{}` and taken as `{}`",
                        next.from,
                        outputs(step).first().map_or("nothing", |shape| (shape.rust_path)()),
                        (next.input.rust_path)()
                    ))
                    .at(step.location, format!("`{}`", step.function))
                    .at(next.location, format!("`{}`", next.function)),
                );
            }
        }
        if let Some(first) = chain.first().filter(|first| first.from > 1) {
            problems.push(
                Problem::error(format!(
                    "the upcasters of `{event}` have a hole: they start at version {}, nothing takes version 1",
                    first.from
                ))
                .at(first.location, format!("`{}`", first.function)),
            );
        }
        let event_name = Name::new(event);
        for step in chain {
            self.steps.insert((event_name.clone(), step.from), step);
            let own_name = Name::from((step.input.full_name)());
            if own_name != event_name {
                let retired = self.retired.entry(own_name.clone()).or_default();
                *retired = (*retired).max(step.from);
                self.steps.insert((own_name, step.from), step);
            }
        }
        if let Some(last) = chain.last() {
            self.current.insert(event_name, last.from + 1);
        }
    }

    /// A circle through any output of a step would never end. What is in one is told, and not run.
    fn break_circles(&mut self, descriptors: &[&'static UpcasterDescriptor], problems: &mut Vec<Problem>) {
        let after: Vec<HashSet<usize>> = descriptors.iter().map(|step| self.followers(step, descriptors)).collect();
        let mut told = HashSet::new();
        for first in 0..descriptors.len() {
            if !after[first].contains(&first) || !told.insert(first) {
                continue;
            }
            let mut problem = Problem::error("upcasters run in a circle");
            for (n, step) in descriptors.iter().enumerate() {
                if after[first].contains(&n) && after[n].contains(&first) {
                    told.insert(n);
                    problem = problem.at(step.location, format!("`{}`, from = {}", step.function, step.from));
                }
            }
            problems.push(problem.hint("every step must return newer shapes only, and the last one the current event"));
        }
        for circular in told {
            self.by_input.remove(&(descriptors[circular].input.id)());
        }
    }

    /// Every step that may run after this one, by its place in the list.
    fn followers(
        &self,
        step: &'static UpcasterDescriptor,
        descriptors: &[&'static UpcasterDescriptor],
    ) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for next in outputs(step).iter().filter_map(|shape| self.by_input.get(&(shape.id)())) {
                let place = descriptors.iter().position(|it| std::ptr::eq(*it, *next));
                if place.is_some_and(|place| found.insert(place)) {
                    open.push(next);
                }
            }
        }
        found
    }

    /// Name of the event that the chain of `step` ends in; `None` for a step in a circle.
    pub(crate) fn end_of(&self, step: &'static UpcasterDescriptor) -> Option<String> {
        if !self.by_input.contains_key(&(step.input.id)()) {
            return None;
        }
        let mut step = step;
        loop {
            if let Some(event) = step.event {
                return Some(event.to_owned());
            }
            let Some(shape) = outputs(step).into_iter().next() else {
                return Some((step.input.full_name)());
            };
            match self.by_input.get(&(shape.id)()) {
                Some(next) => step = next,
                None => return Some((shape.full_name)()),
            }
        }
    }

    /// The step that would take this event if it were stored as a new one.
    pub(crate) fn taker_of(&self, event: &MessageType) -> Option<&'static UpcasterDescriptor> {
        if self.by_input.is_empty() {
            return None;
        }
        let by_name = || {
            let name = Name::from((event.full_name)());
            let version = self.current_version(&name);
            self.steps.get(&(name, version)).copied()
        };
        self.by_input.get(&(event.id)()).copied().or_else(by_name)
    }

    /// The version that new events of this type are stamped with (row U2).
    pub(crate) fn current_version(&self, type_name: &str) -> u32 {
        if self.current.is_empty() { 1 } else { self.current.get(type_name).copied().unwrap_or(1) }
    }

    /// The step that a stored event takes first; `None` for one that is read as it is stored.
    pub(crate) fn step_of(&self, type_name: &Name, schema_version: u32) -> Option<&'static UpcasterDescriptor> {
        self.steps.get(&(type_name.clone(), schema_version.max(1))).copied()
    }

    /// Brings a stored event to the current version.
    pub(crate) fn upcast(&self, event: StoredEvent) -> Result<Upcasted, UpcastError> {
        let stored = event.schema_version.max(1);
        if self.current.is_empty() && stored == 1 {
            return Ok(Upcasted::Same(event));
        }
        let known =
            self.current.get(&event.type_name).or_else(|| self.retired.get(&event.type_name)).copied().unwrap_or(1);
        if stored > known {
            return Err(UpcastError::TooNew { stored, known });
        }
        match self.steps.get(&(event.type_name.clone(), stored)) {
            None => Ok(Upcasted::Same(event)),
            Some(step) => {
                let mut changed = Vec::new();
                self.run(step, &event, event.payload.clone(), &mut changed)?;
                Ok(Upcasted::Changed(changed))
            }
        }
    }

    fn run(
        &self,
        step: &'static UpcasterDescriptor,
        stored: &StoredEvent,
        payload: Bytes,
        into: &mut Vec<StoredEvent>,
    ) -> Result<(), UpcastError> {
        let mut sink = UpcastSink::default();
        match catch_unwind(AssertUnwindSafe(|| (step.upcast)(&payload, &mut sink))) {
            Ok(upcast) => upcast.map_err(UpcastError::Undecodable)?,
            Err(panic) => {
                let text = crate::command::panic_text(panic.as_ref()).to_owned();
                return Err(UpcastError::Panicked { upcaster: step, text });
            }
        }
        for (shape, payload) in sink.events {
            if let Some(next) = self.by_input.get(&shape) {
                self.run(next, stored, payload, into)?;
                continue;
            }
            let type_name = self.shapes.get(&shape).cloned().unwrap_or_else(|| stored.type_name.clone());
            let schema_version = self.current_version(&type_name);
            into.push(StoredEvent { type_name, payload, schema_version, ..stored.clone() });
        }
        Ok(())
    }
}

fn outputs(step: &UpcasterDescriptor) -> Vec<MessageType> {
    let mut shapes = Vec::new();
    (step.outputs)(&mut shapes);
    shapes
}
