//! `streams`, `show`, `state`: what lies in the store.
//!
//! In: names of streams as a person writes them. Out: tables, events with readable payloads, states. Never: a stream that is
//! silently another than the one that was meant.

use std::io::Write;

use uuid::Uuid;

use super::failure::Failure;
use super::output::{self, count};
use super::{Builder, ShowArguments, StateArguments, StreamsArguments, time};
use crate::docs::{payload, proto::ProtoIndex};
use crate::error::nearest;
use crate::registry::Registry;
use crate::runtime::Inspection;
use crate::storage::{StreamFilter, StreamRead, StreamSlice};
use crate::stream::{AsOf, Edition, Name, StoredEvent, StreamKey, root};

pub(super) async fn streams(
    builder: Builder,
    arguments: StreamsArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let StreamsArguments { domain, limit, after } = arguments;
    if let Some(domain) = &domain {
        known_domain(&inspection, domain).await?;
    }
    let after = after.as_deref().map(StreamName::parse).transpose()?;
    let after = match after {
        Some(StreamName { domain: Some(domain), edition, root }) => Some(StreamKey {
            root: root_of(&domain, &root).0,
            domain: Name::new(&domain),
            edition: Name::new(&edition),
        }),
        Some(_) => return Err(Failure::usage("`--after` needs a whole name: DOMAIN/ROOT, as the last page ended")),
        None => None,
    };
    let filter = StreamFilter { domain, ..StreamFilter::default() };
    // One more than asked for tells whether there is another page.
    let mut found = inspection.storage().streams(&filter, after.as_ref(), limit as usize + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let Some(last) = found.last().map(|info| info.key.clone()) else {
        writeln!(out, "no streams{}", empty_because(&inspection))?;
        return Ok(inspection.close().await?);
    };
    let mut table = output::table(&["stream", "events", "last event (UTC)"]);
    for info in &found {
        table.add_row([info.key.to_string(), info.next_sequence.to_string(), time::show(info.last_created_at)]);
    }
    write!(out, "{}", output::text(&table))?;
    writeln!(out, "{}", count(found.len(), "stream"))?;
    if more {
        writeln!(out, "there are more: add `--after {last}`, or a larger `--limit`")?;
    }
    Ok(inspection.close().await?)
}

pub(super) async fn show(
    builder: Builder,
    arguments: ShowArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let ShowArguments { stream, from, limit } = arguments;
    let name = StreamName::parse(&stream)?;
    let key = find(&inspection, &name).await?;
    let read = StreamRead { from, to: Some(from.saturating_add(limit - 1)), ..StreamRead::all() };
    let slice = inspection.storage().read_stream(&key, read).await?;
    if slice.next_sequence == 0 {
        return Err(not_there(&inspection, &name, &key).await?);
    }
    let inherited = slice.diverged_at.filter(|at| *at > 0);
    let inherited = inherited.map_or_else(String::new, |at| format!(", {at} of them on the main timeline"));
    writeln!(out, "{key}: {}{inherited}", count(slice.next_sequence as usize, "event"))?;
    if let Some(at) = slice.diverged_at {
        writeln!(
            out,
            "left the main timeline before event {at}; what came before is shown by `show {}`",
            key.on_main()
        )?;
    }
    for snapshot in inspection.storage().snapshots(&key).await? {
        let kept = if snapshot.retention == crate::stream::Retention::Persist { ", kept for good" } else { "" };
        writeln!(out, "snapshot after event {} ({} bytes{kept})", snapshot.sequence, snapshot.state.len())?;
    }
    write_events(&inspection, &slice, out)?;
    let last = slice.events.last().map(|event| event.sequence);
    match last {
        Some(last) if last + 1 < slice.next_sequence => {
            writeln!(out, "\nthere are more: add `--from {}`, or a larger `--limit`", last + 1)?;
        }
        Some(_) => {}
        None => writeln!(out, "\nno event at {from} or later")?,
    }
    Ok(inspection.close().await?)
}

fn write_events(inspection: &Inspection, slice: &StreamSlice, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let index = ProtoIndex::of(inspection.registry());
    for event in &slice.events {
        let (version, shape) = as_stored(inspection.registry(), event);
        let correlation = match event.headers.correlation_id() {
            "" => String::new(),
            id => format!("  correlation {id}"),
        };
        let isolated = if event.isolated { "  isolated" } else { "" };
        writeln!(
            out,
            "\n#{}  {}  {}{version}{correlation}{isolated}",
            event.sequence,
            time::show(event.created_at),
            event.type_name
        )?;
        writeln!(out, "    {}", payload::show(&index, &shape, &event.payload))?;
    }
    Ok(())
}

/// What is said about an event's version, and the message that its payload was written as: an old one has the fields of the
/// message that its upcaster takes.
fn as_stored(registry: &Registry, event: &StoredEvent) -> (String, String) {
    let (name, version) = (event.type_name.as_str(), event.schema_version.max(1));
    let Some(step) = registry.upcasters.step_of(&event.type_name, version) else {
        let version = if version > 1 { format!(" v{version}") } else { String::new() };
        return (version, name.to_owned());
    };
    let now = registry.upcasters.end_of(step).unwrap_or_else(|| name.to_owned());
    let current = registry.upcasters.current_version(&now);
    let read_as = if now == name { format!("v{current}") } else { format!("{now} v{current}") };
    (format!(" v{version}, read as {read_as}"), (step.input.full_name)())
}

pub(super) async fn state(
    builder: Builder,
    arguments: StateArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let StateArguments { domain, root, as_of, as_of_sequence, edition } = arguments;
    let (as_of, then) = match (as_of, as_of_sequence) {
        (Some(time), _) => (AsOf::Time(time), format!(" as of {}", time::show(time))),
        (None, Some(sequence)) => (AsOf::Sequence(sequence), format!(" as of event {sequence}")),
        (None, None) => (AsOf::Head, String::new()),
    };
    known_domain(&inspection, &domain).await?;
    let edition = edition.map_or_else(Edition::main, Edition::named);
    let name = StreamName { domain: Some(domain.clone()), edition: edition.name().to_string(), root };
    let (uuid, _) = root_of(&domain, &name.root);
    let state = inspection.state(&domain, uuid, &edition, as_of).await?;
    if state.next_sequence == 0 {
        if as_of == AsOf::Head {
            return Err(not_there(&inspection, &name, &state.stream).await?);
        }
        writeln!(out, "{}{then}: no events yet; this is the state before the first one", state.stream)?;
    } else {
        let events = count(state.next_sequence as usize, "event");
        writeln!(out, "{}{then}: {events}, the last at {}", state.stream, time::show(state.last_created_at))?;
    }
    if !state.stream.is_main() && !has_events(&inspection, &state.stream).await? {
        writeln!(out, "nothing was ever stored on this branch: it is as the main timeline is")?;
    }
    match &state.text {
        Some(text) => writeln!(out, "{text}")?,
        None => writeln!(out, "`{}` does not derive `Debug`, so it cannot be shown", state.name)?,
    }
    Ok(inspection.close().await?)
}

/// A stream as a person writes it.
struct StreamName {
    /// `None` where only the root was said.
    domain: Option<String>,
    edition: String,
    root: String,
}

impl StreamName {
    /// `DOMAIN/ROOT`, `DOMAIN@EDITION/ROOT`, or `ROOT`. The edition `angzarr` is the main timeline.
    fn parse(text: &str) -> Result<Self, Failure> {
        let help = "write DOMAIN/ROOT, such as `account/Ada`; `streams` lists what there is";
        let (domain, root) = match text.split_once('/') {
            Some((domain, root)) => (Some(domain), root),
            None => (None, text),
        };
        let (domain, edition) = match domain {
            Some(domain) => {
                let (domain, edition) = domain.split_once('@').unwrap_or((domain, ""));
                (Some(domain.to_owned()), Edition::named(edition).name().to_string())
            }
            None => (None, String::new()),
        };
        if root.is_empty() || domain.as_ref().is_some_and(String::is_empty) {
            return Err(Failure::usage(format_args!("`{text}` names no stream")).hint(help));
        }
        Ok(Self { domain, edition, root: root.to_owned() })
    }
}

/// The root that a text stands for, and whether it is a natural key.
fn root_of(domain: &str, text: &str) -> (Uuid, bool) {
    match Uuid::parse_str(text) {
        Ok(uuid) => (uuid, false),
        Err(_) => (root(domain, text), true),
    }
}

/// The stream that is meant. A root alone is looked for in every domain.
async fn find(inspection: &Inspection, name: &StreamName) -> Result<StreamKey, Failure> {
    let key = |domain: &str, root| StreamKey { domain: Name::new(domain), edition: Name::new(&name.edition), root };
    if let Some(domain) = &name.domain {
        known_domain(inspection, domain).await?;
        return Ok(key(domain, root_of(domain, &name.root).0));
    }
    let mut found = Vec::new();
    for domain in inspection.storage().domains().await? {
        let key = key(&domain, root_of(&domain, &name.root).0);
        if has_events(inspection, &key).await? {
            found.push(key);
        }
    }
    match found.as_slice() {
        [key] => Ok(key.clone()),
        [] => Err(Failure::new(format_args!("no stream has the root `{}`{}", name.root, empty_because(inspection)))
            .hint("`streams` lists what there is")),
        several => {
            let several: Vec<_> = several.iter().map(|key| format!("`{key}`")).collect();
            Err(Failure::usage(format_args!("`{}` is the root of several streams", name.root))
                .hint(format_args!("say which one: {}", several.join(" or "))))
        }
    }
}

/// Whether anything is stored under this key itself.
async fn has_events(inspection: &Inspection, key: &StreamKey) -> Result<bool, Failure> {
    let head = StreamRead { from: u32::MAX, ..StreamRead::all() };
    Ok(inspection.storage().read_stream(key, head).await?.next_sequence > 0)
}

/// A domain that the program or the store knows.
async fn known_domain(inspection: &Inspection, domain: &str) -> Result<(), Failure> {
    let mut known: Vec<String> = inspection.storage().domains().await?;
    known.extend(inspection.registry().stream_domains().map(str::to_owned));
    known.sort_unstable();
    known.dedup();
    if known.iter().any(|it| it == domain) {
        return Ok(());
    }
    let failure = Failure::usage(format_args!("there is no domain `{domain}`, in the program or in the store"));
    let near = nearest(domain, known.iter().map(String::as_str));
    Err(match near.first() {
        Some(near) => failure.hint(format_args!("did you mean `{near}`?")),
        None => failure.hint(format_args!("the domains are: {}", known.join(", "))),
    })
}

/// Why there is nothing: the likeliest reason.
fn empty_because(inspection: &Inspection) -> &'static str {
    if inspection.storage().describe() == "memory" {
        ": the store is in memory, and begins empty with every process"
    } else {
        ""
    }
}

/// The failure for a stream without events.
async fn not_there(inspection: &Inspection, name: &StreamName, key: &StreamKey) -> Result<Failure, Failure> {
    let failure = Failure::new(format_args!("{key} has no events{}", empty_because(inspection)));
    let (_, is_natural) = root_of(&key.domain, &name.root);
    if is_natural {
        return Ok(failure.hint(format_args!(
            "`{0}` is no UUID, so it was taken for the natural key of root(\"{1}\", \"{0}\"); `streams --domain {1}` lists what there is",
            name.root, key.domain
        )));
    }
    for domain in inspection.storage().domains().await? {
        let other = StreamKey { domain: Name::new(&domain), edition: Name::default(), root: key.root };
        if other != *key && has_events(inspection, &other).await? {
            return Ok(failure.hint(format_args!("did you mean `{other}`?")));
        }
    }
    Ok(failure.hint(format_args!("`streams --domain {}` lists what there is", key.domain)))
}
