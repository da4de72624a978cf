//! The documentation as one page of Markdown.
//!
//! In: the model. Out: a page with a table of contents, the flow, a chapter for each aggregate, the components, the
//! upcasters and every message. Never: HTML but for line breaks and anchors.

use std::fmt::Write as _;

use super::elsewhere::Kind;
use super::mermaid;
use super::model::{Aggregate, Command, Event, Handler, Message, Model, Origin, Process, Taken};
use crate::declare::Target;

const EMPTY: &str = "–";

/// The page.
pub(super) fn page(model: &Model) -> String {
    let mut page = String::new();
    page.push_str("# Domain reference\n\n");
    page.push_str("Made from the program's registry. Change the code, not this page.\n\n");
    page.push_str(&counts(model));
    contents(model, &mut page);
    let _ = write!(page, "\n<a id=\"flow\"></a>\n## The flow\n\n```mermaid\n{}```\n", mermaid::flowchart(model));
    for aggregate in &model.aggregates {
        aggregate_chapter(model, aggregate, &mut page);
    }
    remotes(model, &mut page);
    elsewhere(model, &mut page);
    sagas(model, &mut page);
    processes(model, &mut page);
    projectors(model, &mut page);
    failures(model, &mut page);
    upcasters(model, &mut page);
    messages(model, &mut page);
    enums(model, &mut page);
    warnings(model, &mut page);
    page
}

fn counts(model: &Model) -> String {
    let commands = model.aggregates.iter().map(|it| it.commands.len()).sum();
    let events = model.aggregates.iter().map(|it| it.events.len()).sum();
    let parts = [
        (model.aggregates.len(), "aggregate"),
        (commands, "command"),
        (events, "event"),
        (model.sagas.len(), "saga"),
        (model.processes.len(), "process manager"),
        (model.projectors.len(), "projector"),
    ];
    let parts = parts.into_iter().filter(|(n, what)| *n > 0 || *what != "process manager");
    let parts = parts.chain([(model.elsewhere.len(), "component elsewhere")].into_iter().filter(|(n, _)| *n > 0));
    let parts: Vec<_> = parts.map(|(n, what)| format!("{n} {}", plural(n, what))).collect();
    format!("{}.\n\n", parts.join(", "))
}

fn plural(n: usize, what: &str) -> String {
    match (n, what.split_once(' ')) {
        (1, _) => what.to_owned(),
        (_, Some((noun, "elsewhere"))) => format!("{noun}s elsewhere"),
        _ => format!("{what}s"),
    }
}

fn contents(model: &Model, page: &mut String) {
    page.push_str("- [The flow](#flow)\n");
    for aggregate in &model.aggregates {
        let domain = aggregate.domain;
        let about = first_line(aggregate.doc);
        let about = if about.is_empty() { String::new() } else { format!(": {about}") };
        let _ = writeln!(page, "- [Aggregate `{domain}`](#aggregate-{domain}){about}");
    }
    let chapters = [
        ("Aggregates elsewhere", "remotes", model.remotes.is_empty()),
        ("Components elsewhere", "elsewhere", model.elsewhere.is_empty()),
        ("Sagas", "sagas", model.sagas.is_empty()),
        ("Process managers", "process-managers", model.processes.is_empty()),
        ("Projectors", "projectors", model.projectors.is_empty()),
        ("When something fails", "failures", !coordinates(model)),
        ("Upcasters", "upcasters", model.chains.is_empty()),
        ("Messages", "messages", model.messages.is_empty()),
        ("Enums", "enums", model.enums.is_empty()),
        ("Warnings", "warnings", model.warnings.is_empty()),
    ];
    for (title, anchor, _) in chapters.into_iter().filter(|(_, _, is_empty)| !is_empty) {
        let _ = writeln!(page, "- [{title}](#{anchor})");
    }
}

fn aggregate_chapter(model: &Model, it: &Aggregate, page: &mut String) {
    let _ = write!(page, "\n<a id=\"aggregate-{0}\"></a>\n## Aggregate `{0}`\n\n", it.domain);
    paragraph(it.doc, page);
    let snapshot = match it.snapshot {
        Some((1, codec)) => format!("a snapshot after every event ({codec})"),
        Some((every, codec)) => format!("a snapshot every {every} events ({codec})"),
        None => "no snapshots".to_owned(),
    };
    let version = if it.state_version > 1 { format!(", state version {}", it.state_version) } else { String::new() };
    let _ = write!(page, "State: `{}`, {snapshot}{version}.\n\n", it.name);
    let sagas = model.senders_to(it.domain).map(|name| format!("saga [`{name}`](#component-{name})"));
    let processes = model.processes_to(it.domain);
    let processes = processes.map(|name| format!("process manager [`{name}`](#component-{name})"));
    let senders = list_inline(sagas.chain(processes));
    if !senders.is_empty() {
        let _ = write!(page, "Gets commands from whoever sends them, and from {senders}.\n\n");
    }

    page.push_str("### Commands\n\n");
    if it.commands.is_empty() {
        page.push_str("None: nothing can happen to it.\n\n");
    } else {
        page.push_str("| Command | What it does | Fields | Merge | Events |\n|---|---|---|---|---|\n");
        for command in &it.commands {
            command_row(model, command, page);
        }
        page.push('\n');
    }

    page.push_str("### Events\n\n");
    if it.events.is_empty() {
        page.push_str("None.\n");
        return;
    }
    page.push_str("| Event | What happened | Fields | Emitted by | Applied by | Listened to by |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for event in &it.events {
        event_row(model, event, page);
    }
    if !it.facts.is_empty() {
        page.push_str("\n### Facts\n\nWhat happened outside and cannot be refused.\n\n");
        page.push_str("| Fact | What becomes of it | Events |\n|---|---|---|\n");
        for fact in &it.facts {
            row(&[link(model, &fact.what), said(fact), gives(model, fact)], page);
        }
    }
    if !it.rejected.is_empty() || it.compensate.is_some() {
        page.push_str("\n### Compensation\n\n| When | What it does | Events |\n|---|---|---|\n");
        for rejected in &it.rejected {
            row(&[rejection(model, rejected), said(rejected), gives(model, rejected)], page);
        }
        if let Some(compensate) = &it.compensate {
            let when = "a cascade that its events belong to is taken back".to_owned();
            row(&[when, said(compensate), gives(model, compensate)], page);
        }
    }
}

fn said(it: &Taken) -> String {
    if it.doc.is_empty() { format!("`{}`", it.method) } else { cell(it.doc) }
}

fn gives(model: &Model, it: &Taken) -> String {
    list(it.events.iter().map(|event| link(model, event)))
}

fn rejection(model: &Model, it: &Taken) -> String {
    rejection_of(model, &it.what, it.target)
}

fn rejection_of(model: &Model, command: &str, target: Option<&str>) -> String {
    let by = target.map_or_else(String::new, |target| format!(" by {}", domain(model, target)));
    format!("{} is rejected{by}", link(model, command))
}

fn origin(model: &Model, it: &Origin) -> String {
    match it {
        Origin::Command(command) => link(model, command),
        Origin::Fact(fact) => format!("the fact {}", link(model, fact)),
        Origin::Rejection(command, target) => format!("when {}", rejection_of(model, command, *target)),
        Origin::Compensation => "a compensation".to_owned(),
    }
}

fn command_row(model: &Model, it: &Command, page: &mut String) {
    row(
        &[
            link(model, &it.full_name),
            cell(&it.doc),
            fields(model, &it.full_name),
            it.merge.map_or_else(|| "as the sender says".to_owned(), |merge| format!("`{merge}`")),
            list(it.events.iter().map(|event| link(model, event))),
        ],
        page,
    );
}

fn event_row(model: &Model, it: &Event, page: &mut String) {
    let version = if it.version > 1 { format!(" v{}", it.version) } else { String::new() };
    row(
        &[
            link(model, &it.full_name) + &version,
            cell(&it.doc),
            fields(model, &it.full_name),
            if it.emitted_by.is_empty() {
                "no command of this version".to_owned()
            } else {
                list(it.emitted_by.iter().map(|it| origin(model, it)))
            },
            it.applied_by.map_or_else(|| EMPTY.to_owned(), |method| format!("`{method}`")),
            list(it.listeners.iter().map(|it| format!("{} [`{}`](#component-{})", it.kind.as_str(), it.name, it.name))),
        ],
        page,
    );
}

fn remotes(model: &Model, page: &mut String) {
    if model.remotes.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"remotes\"></a>\n## Aggregates elsewhere\n\nThey run in other processes.\n\n");
    page.push_str("| Domain | Type here | What it is | Commands |\n|---|---|---|---|\n");
    for it in &model.remotes {
        let commands = list(it.commands.iter().map(|command| link(model, command)));
        row(&[format!("`{}`", it.domain), format!("`{}`", it.name), cell(it.doc), commands], page);
    }
}

fn elsewhere(model: &Model, page: &mut String) {
    if model.elsewhere.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"elsewhere\"></a>\n## Components elsewhere\n\n");
    page.push_str(
        "They run in other processes and are called over gRPC. What they do with which message is known there.\n\n",
    );
    page.push_str("| Component | Domains | Address | Deadline | Snapshots |\n|---|---|---|---|---|\n");
    for it in &model.elsewhere {
        let anchor = if it.kind == Kind::Upcaster { "upcaster" } else { "component" };
        let name = format!("<a id=\"{anchor}-{0}\"></a>remote {1} `{0}`", it.name, it.kind.as_str());
        let domains = match it.kind {
            Kind::Aggregate | Kind::Upcaster => list_inline(it.domains.iter().map(|name| format!("`{name}`"))),
            _ => format!("listens to {}", list_inline(it.domains.iter().map(|name| domain(model, name)))),
        };
        let snapshots = it.snapshot.map_or_else(|| EMPTY.to_owned(), |every| format!("every {every}"));
        row(&[name, domains, format!("`{}`", it.address), format!("{:?}", it.deadline), snapshots], page);
    }
}

fn sagas(model: &Model, page: &mut String) {
    if model.sagas.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"sagas\"></a>\n## Sagas\n");
    for it in &model.sagas {
        let _ = write!(page, "\n<a id=\"component-{0}\"></a>\n### Saga `{0}`\n\n", it.name);
        paragraph(it.doc, page);
        let _ = write!(page, "Listens to {}.\n\n", domain(model, it.domain));
        page.push_str("| Event | What it does | Sends |\n|---|---|---|\n");
        for handler in &it.handlers {
            let sends = list(handler.targets.iter().map(|target| sent_to(model, *target)));
            row(&[link(model, &handler.event), what(handler), sends], page);
        }
    }
}

fn processes(model: &Model, page: &mut String) {
    if model.processes.is_empty() {
        return;
    }
    page.push_str(
        "\n<a id=\"process-managers\"></a>\n## Process managers\n\nEach process is known by a correlation id.\n",
    );
    for it in &model.processes {
        process(model, it, page);
    }
}

fn process(model: &Model, it: &Process, page: &mut String) {
    let _ = write!(page, "\n<a id=\"component-{0}\"></a>\n### Process manager `{0}`\n\n", it.domain);
    paragraph(it.doc, page);
    let sources = list_inline(it.sources.iter().map(|name| domain(model, name)));
    let targets = list_inline(it.targets.iter().map(|name| domain(model, name)));
    let sends = if targets.is_empty() { String::new() } else { format!(" Sends to {targets}.") };
    let _ = write!(page, "State: `{}`. Listens to {sources}.{sends}\n\n", it.name);
    page.push_str("| When | What it does |\n|---|---|\n");
    for handler in &it.handlers {
        row(&[link(model, &handler.event), what(handler)], page);
    }
    for timeout in &it.timeouts {
        let what = if timeout.doc.is_empty() { format!("`{}`", timeout.method) } else { cell(timeout.doc) };
        row(&[format!("the timeout `{}` is due", timeout.name), what], page);
    }
    for rejected in &it.rejected {
        row(&[rejection(model, rejected), said(rejected)], page);
    }
    page.push_str("\n| Own event | What happened | Fields | Listened to by |\n|---|---|---|---|\n");
    for event in &it.events {
        let version = if event.version > 1 { format!(" v{}", event.version) } else { String::new() };
        let listeners = event.listeners.iter();
        let listeners = listeners.map(|it| format!("{} [`{}`](#component-{})", it.kind.as_str(), it.name, it.name));
        let (name, doc) = (link(model, &event.full_name) + &version, cell(&event.doc));
        row(&[name, doc, fields(model, &event.full_name), list(listeners)], page);
    }
}

/// Whether anything is sent that may be rejected.
fn coordinates(model: &Model) -> bool {
    !(model.sagas.is_empty() && model.processes.is_empty())
}

/// Where things go that cannot be done: whom a rejection reaches, and what waits in the dead letters.
fn failures(model: &Model, page: &mut String) {
    if !coordinates(model) {
        return;
    }
    page.push_str("\n<a id=\"failures\"></a>\n## When something fails\n\n");
    page.push_str("| Component | A command of it is rejected | An event that it cannot handle |\n|---|---|---|\n");
    let letters = |name: &str| format!("waits in the dead letters of `{name}`");
    for saga in &model.sagas {
        let source = model.aggregates.iter().find(|it| it.domain == saga.domain);
        let process = model.processes.iter().find(|it| it.domain == saga.domain);
        let methods = source.map(|it| &it.rejected).or(process.map(|it| &it.rejected));
        let answers = methods
            .into_iter()
            .flatten()
            .map(|it| format!("{}: `{}` of {}", rejection(model, it), it.method, domain(model, saga.domain)));
        row(&[format!("saga [`{0}`](#component-{0})", saga.name), routes(answers), letters(saga.name)], page);
    }
    for process in &model.processes {
        let answers = process.rejected.iter().map(|it| format!("{}: `{}`", rejection(model, it), it.method));
        let name = format!("process manager [`{0}`](#component-{0})", process.domain);
        row(&[name, routes(answers), letters(process.domain)], page);
    }
    for projector in &model.projectors {
        let parked = "parks its stream in the dead letters, with the events behind it".to_owned();
        row(&[format!("projector [`{0}`](#component-{0})", projector.name), EMPTY.to_owned(), parked], page);
    }
}

/// Who answers to rejections, and what becomes of the others.
fn routes(answers: impl Iterator<Item = String>) -> String {
    let others = "any other: the dead letters of its target's domain".to_owned();
    list(answers.chain(std::iter::once(others)))
}

fn projectors(model: &Model, page: &mut String) {
    if model.projectors.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"projectors\"></a>\n## Projectors\n");
    for it in &model.projectors {
        let _ = write!(page, "\n<a id=\"component-{0}\"></a>\n### Projector `{0}`\n\n", it.name);
        paragraph(it.doc, page);
        let domains = list_inline(it.domains.iter().map(|name| domain(model, name)));
        let editions = if it.all_editions { ", on every edition" } else { "" };
        let _ = write!(page, "Listens to {domains}{editions}.\n\n");
        page.push_str("| Event | What it does |\n|---|---|\n");
        for handler in &it.handlers {
            row(&[link(model, &handler.event), what(handler)], page);
        }
    }
}

fn upcasters(model: &Model, page: &mut String) {
    if model.chains.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"upcasters\"></a>\n## Upcasters\n\nOld events stay as they are stored; they are read in the current shape.\n");
    for chain in &model.chains {
        let _ = write!(page, "\n### `{}`, now version {}\n\n", chain.event, chain.version);
        page.push_str("| From | Stored as | Step | Becomes | Why |\n|---|---|---|---|---|\n");
        for step in &chain.steps {
            let becomes = list(step.outputs.iter().map(|output| link(model, output)));
            let becomes = if becomes == EMPTY { "nothing: it is dropped".to_owned() } else { becomes };
            row(
                &[
                    format!("version {}", step.from),
                    link(model, &step.input),
                    format!("`{}`", step.function),
                    becomes,
                    cell(step.doc),
                ],
                page,
            );
        }
    }
}

fn messages(model: &Model, page: &mut String) {
    if model.messages.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"messages\"></a>\n## Messages\n");
    for (name, it) in &model.messages {
        let _ = write!(page, "\n<a id=\"{name}\"></a>\n### `{name}`\n\n");
        message(it, page);
    }
}

fn message(it: &Message, page: &mut String) {
    if !it.doc.is_empty() {
        let _ = write!(page, "{}\n\n", it.doc);
    }
    match it.fields.as_deref() {
        None => {
            let _ = writeln!(page, "Written by hand; fields: see the Rust type `{}`.", it.rust_path);
        }
        Some([]) => page.push_str("No fields.\n"),
        Some(fields) => {
            page.push_str("| Field | Type | Meaning |\n|---|---|---|\n");
            for field in fields {
                let oneof = field.oneof.as_ref().map_or_else(String::new, |it| format!(", one of `{it}`"));
                let kind = format!("`{}`{oneof}", field.type_text);
                row(&[format!("`{}`", field.name), kind, cell(&field.doc)], page);
            }
        }
    }
}

fn enums(model: &Model, page: &mut String) {
    if model.enums.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"enums\"></a>\n## Enums\n\n| Enum | Values |\n|---|---|\n");
    for (name, values) in &model.enums {
        let values = values.iter().map(|(number, name)| format!("`{name}` = {number}"));
        row(&[format!("`{name}`"), list(values)], page);
    }
}

fn warnings(model: &Model, page: &mut String) {
    if model.warnings.is_empty() {
        return;
    }
    page.push_str("\n<a id=\"warnings\"></a>\n## Warnings\n\n`check` tells where.\n\n");
    for warning in &model.warnings {
        let _ = writeln!(page, "- {warning}");
    }
}

/// A link to a message's own section.
fn link(model: &Model, full_name: &str) -> String {
    format!("[`{}`](#{full_name})", model.short(full_name))
}

/// A link to a domain's chapter, where the program has one.
fn domain(model: &Model, name: &str) -> String {
    if model.aggregates.iter().any(|it| it.domain == name) {
        format!("[`{name}`](#aggregate-{name})")
    } else if model.processes.iter().any(|it| it.domain == name) || model.elsewhere.iter().any(|it| it.owns(name)) {
        format!("[`{name}`](#component-{name})")
    } else {
        format!("`{name}`")
    }
}

/// What a saga may send to a target: its type names the target, and the target's handlers name the commands.
fn sent_to(model: &Model, target: Target) -> String {
    let name = match target {
        Target::Domain(name) => name,
        Target::Fact(name) => return format!("facts to {}", domain(model, name)),
        Target::Any => return "any command, to any aggregate".to_owned(),
    };
    let to = domain(model, name);
    let commands: Vec<_> = model.commands_of(name).into_iter().map(|command| link(model, command)).collect();
    match commands.as_slice() {
        [] => format!("to {to}"),
        [one] => format!("{one} to {to}"),
        [several @ .., last] => format!("{} or {last} to {to}", several.join(", ")),
    }
}

/// A message's fields in short.
fn fields(model: &Model, full_name: &str) -> String {
    let Some(message) = model.messages.get(full_name) else { return EMPTY.to_owned() };
    match &message.fields {
        Some(fields) => list(fields.iter().map(|field| format!("`{}: {}`", field.name, field.type_text))),
        None => format!("see the Rust type `{}`", message.rust_path),
    }
}

fn what(handler: &Handler) -> String {
    let what = if handler.doc.is_empty() { format!("`{}`", handler.method) } else { cell(handler.doc) };
    if handler.live_only { what + "<br>live only: not during a rebuild" } else { what }
}

fn paragraph(doc: &str, page: &mut String) {
    if !doc.is_empty() {
        let _ = write!(page, "{doc}\n\n");
    }
}

fn first_line(doc: &str) -> &str {
    doc.lines().next().unwrap_or_default()
}

fn row(cells: &[String], page: &mut String) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// Text that may stand in a table: paragraphs become line breaks, and no bar ends the cell.
fn cell(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = paragraphs.filter(|it| !it.is_empty()).collect::<Vec<_>>().join("<br>").replace('|', "\\|");
    if text.is_empty() { EMPTY.to_owned() } else { text }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() { EMPTY.to_owned() } else { items.join("<br>") }
}

fn list_inline(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j6_what_a_rebuild_leaves_out_says_so() {
        let mail =
            Handler { event: "a.B".into(), method: "mail", doc: "Sends it.", live_only: true, targets: Vec::new() };
        assert_eq!(what(&mail), "Sends it.<br>live only: not during a rebuild");
    }

    #[test]
    fn a_cell_stays_on_its_line_and_inside_its_bars() {
        assert_eq!(cell("one\n  two\n\nthree | four\n"), "one two<br>three \\| four");
        assert_eq!(cell(" \n"), EMPTY);
    }
}
