//! The flow as a Mermaid flowchart.
//!
//! In: the model. Out: a box for each aggregate with its commands and events, sagas and projectors, and the arrows between
//! them. Never: a node's name that the user chose; ids are numbers in the model's order, names are quoted labels.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::elsewhere::Kind;
use super::model::Model;
use crate::declare::Target;

/// The chart, with a line feed at its end.
pub(super) fn flowchart(model: &Model) -> String {
    let mut chart = "flowchart LR\n".to_owned();
    let mut domains = BTreeMap::new();
    let mut arrows = Vec::new();
    let mut listened = Vec::new();
    for (at, aggregate) in model.aggregates.iter().enumerate() {
        domains.insert(aggregate.domain, format!("a{at}"));
        let _ = writeln!(chart, "    subgraph a{at} [\"{}\"]", label(aggregate.domain));
        let mut events = BTreeMap::new();
        for (number, event) in aggregate.events.iter().enumerate() {
            events.insert(event.full_name.as_str(), format!("a{at}e{number}"));
        }
        for (number, command) in aggregate.commands.iter().enumerate() {
            let id = format!("a{at}c{number}");
            let _ = writeln!(chart, "        {id}[/\"{}\"/]", label(model.short(&command.full_name)));
            for event in command.events.iter().filter_map(|event| events.get(event.as_str())) {
                arrows.push(format!("{id} --> {event}"));
            }
        }
        for (number, event) in aggregate.events.iter().enumerate() {
            let _ = writeln!(chart, "        a{at}e{number}(\"{}\")", label(model.short(&event.full_name)));
            listened.extend(event.listeners.iter().map(|listener| (format!("a{at}e{number}"), listener.name)));
        }
        chart.push_str("    end\n");
    }
    for (at, remote) in model.remotes.iter().enumerate() {
        let id = domains.entry(remote.domain).or_insert_with(|| format!("r{at}"));
        let _ = writeln!(chart, "    {id}[[\"{} (elsewhere)\"]]", label(remote.domain));
    }
    // Which events wake them is known there: the whole domain leads to them.
    let mut components = BTreeMap::new();
    for (at, it) in model.elsewhere.iter().enumerate() {
        let (id, name) = (format!("e{at}"), label(it.name));
        match it.kind {
            Kind::Upcaster => continue,
            Kind::Aggregate => {
                let id = domains.entry(it.name).or_insert(id).clone();
                if id == format!("e{at}") {
                    let _ = writeln!(chart, "    {id}[[\"{name} (elsewhere)\"]]");
                }
                continue;
            }
            Kind::Saga => {
                let _ = writeln!(chart, "    {id}{{{{\"{name} (elsewhere)\"}}}}");
            }
            Kind::ProcessManager => {
                let _ = writeln!(chart, "    {id}{{{{\"{name} (elsewhere)\"}}}}");
                domains.insert(it.name, id.clone());
            }
            Kind::Projector => {
                let _ = writeln!(chart, "    {id}[(\"{name} (elsewhere)\")]");
            }
        }
        components.insert(it.name, id);
    }
    let mut sent = Vec::new();
    for (at, saga) in model.sagas.iter().enumerate() {
        components.insert(saga.name, format!("s{at}"));
        let _ = writeln!(chart, "    s{at}{{{{\"{}\"}}}}", label(saga.name));
        let mut targets: Vec<_> = saga.handlers.iter().flat_map(|handler| &handler.targets).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            match target {
                Target::Domain(domain) => {
                    sent.extend(domains.get(domain).map(|target| format!("s{at} -. commands .-> {target}")));
                }
                Target::Fact(domain) => {
                    sent.extend(domains.get(domain).map(|target| format!("s{at} -. facts .-> {target}")));
                }
                Target::Any => sent.push(format!("s{at} -. commands .-> any")),
            }
        }
    }
    for (at, process) in model.processes.iter().enumerate() {
        components.insert(process.domain, format!("m{at}"));
        let _ = writeln!(chart, "    m{at}{{{{\"{}\"}}}}", label(process.domain));
        let targets = process.targets.iter().filter_map(|domain| domains.get(domain));
        sent.extend(targets.map(|target| format!("m{at} -. commands .-> {target}")));
        for timeout in &process.timeouts {
            sent.push(format!("m{at} -. \"timeout {}\" .-> m{at}", label(timeout.name)));
        }
        for event in &process.events {
            listened.extend(event.listeners.iter().map(|listener| (format!("m{at}"), listener.name)));
        }
    }
    if model.sagas.iter().flat_map(|saga| &saga.handlers).any(|handler| handler.targets.contains(&Target::Any)) {
        let _ = writeln!(chart, "    any([\"any aggregate\"])");
    }
    for (at, projector) in model.projectors.iter().enumerate() {
        components.insert(projector.name, format!("p{at}"));
        let _ = writeln!(chart, "    p{at}[(\"{}\")]", label(projector.name));
    }
    for it in &model.elsewhere {
        let Some(to) = components.get(it.name).filter(|_| it.kind != Kind::Aggregate) else { continue };
        let from = it.domains.iter().filter(|domain| it.listens_to(domain)).filter_map(|domain| domains.get(domain));
        arrows.extend(from.map(|from| format!("{from} --> {to}")));
    }
    let elsewhere = |domain: &str| model.elsewhere.iter().any(|it| it.owns(domain));
    let sagas = model.sagas.iter().map(|it| (it.name, vec![it.domain]));
    let processes = model.processes.iter().map(|it| (it.domain, it.sources.clone()));
    let projectors = model.projectors.iter().map(|it| (it.name, it.domains.clone()));
    for (name, sources) in sagas.chain(processes).chain(projectors) {
        let from = sources.iter().filter(|domain| elsewhere(domain)).filter_map(|domain| domains.get(domain));
        arrows.extend(from.filter_map(|from| Some(format!("{from} --> {}", components.get(name)?))));
    }
    let is_here = |name: &str| !model.elsewhere.iter().any(|it| it.kind != Kind::Aggregate && it.name == name);
    listened.retain(|(_, name)| is_here(name));
    let listened = listened.iter().filter_map(|(event, name)| Some(format!("{event} --> {}", components.get(name)?)));
    arrows.extend(listened);
    arrows.extend(sent);
    for arrow in arrows {
        let _ = writeln!(chart, "    {arrow}");
    }
    chart
}

/// Text that may stand between the quotes of a label.
fn label(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars() {
        match c {
            '"' => label.push_str("#quot;"),
            '#' => label.push_str("#35;"),
            '<' => label.push_str("#lt;"),
            '>' => label.push_str("#gt;"),
            '&' => label.push_str("#amp;"),
            '`' => label.push_str("#96;"),
            c if c.is_control() => label.push(' '),
            c => label.push(c),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_never_ends_early() {
        assert_eq!(label("a\"b#c<d>&\n"), "a#quot;b#35;c#lt;d#gt;#amp; ");
    }
}
