//! `dead-letters`: what could not be done, and what an operator makes of it (row D2).
//!
//! In: ids and filters. Out: letters with readable payloads; retries and discards. Never: a started component for a look.

use std::io::Write;

use prost_types::Any;

use super::failure::Failure;
use super::live::Live;
use super::output::{self, count};
use super::{Builder, DeadLettersCommand, DiscardArguments, ListArguments, RetryArguments, time};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::docs::{payload, proto::ProtoIndex};
use crate::error::nearest;
use crate::proto::angzarr_dead_letter::{Payload, RejectionDetails};
use crate::proto::{self, CommandPageExt as _, CoverExt as _, EventPageExt as _};
use crate::registry::Registry;
use crate::runtime::Inspection;

pub(super) async fn run(
    builder: Builder,
    command: DeadLettersCommand,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List(arguments) => list(builder, arguments, out).await,
        DeadLettersCommand::Show(arguments) => show(builder, arguments.id, out).await,
        DeadLettersCommand::Retry(arguments) => retry(builder, arguments, out).await,
        DeadLettersCommand::Discard(arguments) => discard(builder, arguments, out).await,
    }
}

async fn list(builder: Builder, arguments: ListArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let ListArguments { domain, component, correlation, all, limit } = arguments;
    if let Some(component) = &component {
        known_component(component, inspection.registry())?;
    }
    // One more than asked for tells whether there are more.
    let filter = DeadLetterFilter {
        domain,
        component,
        correlation_id: correlation,
        include_resolved: all,
        limit: Some(limit as usize + 1),
    };
    let mut letters = inspection.storage().dead_letters(&filter).await?;
    let more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    if letters.is_empty() {
        writeln!(out, "no dead letters{}", if all { "" } else { " that are open" })?;
        return Ok(inspection.close().await?);
    }
    let mut table = output::table(&["id", "put here (UTC)", "component", "what", "stream", "tries", "reason"]);
    for letter in &letters {
        table.add_row([
            letter.id.to_string(),
            time::show(letter.occurred_at),
            letter.letter.source_component.clone(),
            what(letter),
            stream_of(letter),
            letter.attempts.to_string(),
            reason(letter),
        ]);
    }
    write!(out, "{}", output::text(&table))?;
    writeln!(out, "{}", count(letters.len(), "dead letter"))?;
    if more {
        writeln!(out, "there are more: narrow it down, or take a larger `--limit`")?;
    }
    Ok(inspection.close().await?)
}

async fn show(builder: Builder, id: DeadLetterId, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let Some(letter) = inspection.storage().dead_letter(id).await? else { return Err(not_there(id)) };
    let index = ProtoIndex::of(inspection.registry());
    let source = &letter.letter;
    writeln!(out, "{id}: {}", state(&letter))?;
    writeln!(out, "  {} `{}`, {}", source.source_component_type, source.source_component, stream_of(&letter))?;
    let tries = match letter.attempts {
        0 => "not tried: it waits behind an earlier one".to_owned(),
        1 => "tried once".to_owned(),
        tries => format!("tried {tries} times"),
    };
    writeln!(out, "  put here {} (UTC), {tries}", time::show(letter.occurred_at))?;
    if let Some(id) = source.cover.as_ref().map(|cover| &cover.correlation_id).filter(|id| !id.is_empty()) {
        writeln!(out, "  correlation {id}")?;
    }
    writeln!(out, "  reason: {}", source.rejection_reason)?;
    match &source.rejection_details {
        Some(RejectionDetails::SequenceMismatch(it)) => {
            writeln!(out, "  expected sequence {}, the stream was at {}", it.expected_sequence, it.actual_sequence)?;
        }
        Some(RejectionDetails::EventProcessingFailed(it)) if it.is_transient => {
            writeln!(out, "  the failure may go away by itself")?;
        }
        _ => {}
    }
    for (place, message) in messages(&letter) {
        let name = proto::type_name_of(&message.type_url);
        writeln!(out, "\n{place}  {name}\n    {}", payload::show(&index, name, &message.value))?;
    }
    if letter.resolution.is_none() {
        writeln!(out, "\n`dead-letters retry {id}` runs it again; `dead-letters discard {id} --reason …` gives it up")?;
    }
    Ok(inspection.close().await?)
}

async fn retry(builder: Builder, arguments: RetryArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    if let Some(component) = &arguments.all_of {
        known_component(component, &builder.check()?)?;
    }
    let live = Live::start(builder, "`runtime.dead_letters().retry(…)`").await?;
    let done = retry_each(&live, arguments, out).await;
    live.end(done).await
}

async fn retry_each(live: &Live, arguments: RetryArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let desk = live.runtime.dead_letters();
    // What was to be handled is: a projector that is being built anew has not come to its letters yet.
    live.runtime.settled().await;
    let mut ids = arguments.ids;
    if let Some(component) = arguments.all_of {
        let filter = DeadLetterFilter {
            component: Some(component),
            limit: Some(i64::MAX as usize),
            ..DeadLetterFilter::default()
        };
        ids.extend(desk.list(&filter).await?.into_iter().map(|letter| letter.id));
    }
    let (mut done, mut failed, mut told) = (0, 0, Ok(()));
    for id in ids {
        let outcome = match desk.show(id).await? {
            None => Err("there is no such dead letter".to_owned()),
            // One of the same stream was retried before it, and those behind it followed.
            Some(DeadLetter { resolution: Some(_), .. }) => Ok("is resolved already"),
            Some(_) => desk.retry(id).await.map(|()| "done").map_err(|error| error.to_string()),
        };
        match &outcome {
            Ok("done") => done += 1,
            Ok(_) => {}
            Err(_) => failed += 1,
        }
        // A reader that goes away does not stop the work.
        told = told.and_then(|()| match &outcome {
            Ok(outcome) => writeln!(out, "{id}: {outcome}"),
            Err(reason) => writeln!(out, "{id}: {reason}"),
        });
    }
    told?;
    writeln!(out, "{} retried", count(done, "dead letter"))?;
    if failed > 0 {
        return Err(Failure::new(format_args!("{} could not be done and stay open", count(failed, "dead letter")))
            .hint("`dead-letters show ID` tells more about one"));
    }
    Ok(())
}

async fn discard(builder: Builder, arguments: DiscardArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let DiscardArguments { id, reason } = arguments;
    if reason.trim().is_empty() {
        return Err(
            Failure::usage("`--reason` is empty").hint("say why this will not be done; it is kept with the letter")
        );
    }
    let live = Live::start(builder, "`runtime.dead_letters().discard(…)`").await?;
    let done = async {
        live.runtime.settled().await;
        let desk = live.runtime.dead_letters();
        if desk.show(id).await?.is_none() {
            return Err(not_there(id));
        }
        desk.discard(id, reason).await?;
        Ok(writeln!(out, "{id}: discarded")?)
    };
    let done = done.await;
    live.end(done).await
}

fn not_there(id: DeadLetterId) -> Failure {
    Failure::new(format_args!("there is no dead letter {id}"))
        .hint("`dead-letters list --all` shows those that there are")
}

/// A saga, projector or aggregate that letters may come from.
fn known_component(name: &str, registry: &Registry) -> Result<(), Failure> {
    let reactions = registry.sagas.keys().chain(registry.process_managers.keys()).chain(registry.projectors.keys());
    let reactions = reactions.copied();
    let known: Vec<_> = reactions.chain(registry.domains()).collect();
    if known.contains(&name) {
        return Ok(());
    }
    let failure = Failure::usage(format_args!(
        "there is no saga, process manager, projector or aggregate `{name}` in this program"
    ));
    Err(match nearest(name, known.iter().copied()).first() {
        Some(near) => failure.hint(format_args!("did you mean `{near}`?")),
        None => failure.hint(format_args!("there are: {}", known.join(", "))),
    })
}

fn state(letter: &DeadLetter) -> String {
    match &letter.resolution {
        None => "open".to_owned(),
        Some(Resolution::Retried { at }) => format!("retried {} (UTC)", time::show(*at)),
        Some(Resolution::Discarded { at, reason }) => format!("discarded {} (UTC): {reason}", time::show(*at)),
    }
}

fn reason(letter: &DeadLetter) -> String {
    let reason = letter.letter.rejection_reason.lines().next().unwrap_or_default();
    match &letter.resolution {
        None => reason.to_owned(),
        Some(_) => format!("[{}] {reason}", state(letter)),
    }
}

/// The messages of a letter, each with its place.
fn messages(letter: &DeadLetter) -> Vec<(String, &Any)> {
    match &letter.letter.payload {
        Some(Payload::RejectedCommand(book)) => {
            book.pages.iter().filter_map(|page| Some(("command".to_owned(), page.command()?))).collect()
        }
        Some(Payload::RejectedEvents(book)) => {
            let page = |page: &proto::EventPage| format!("#{}", page.sequence().unwrap_or_default());
            book.pages.iter().filter_map(|it| Some((page(it), it.event()?))).collect()
        }
        None => Vec::new(),
    }
}

/// The first message in short.
fn what(letter: &DeadLetter) -> String {
    match messages(letter).first() {
        Some((place, message)) => format!("{place} {}", proto::type_name_of(&message.type_url)),
        None => "nothing".to_owned(),
    }
}

fn stream_of(letter: &DeadLetter) -> String {
    let Some(cover) = &letter.letter.cover else { return String::new() };
    let edition =
        cover.edition_name().filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!("@{name}"));
    let root = cover.root_bytes().map_or_else(|| "?".to_owned(), |root| uuid::Uuid::from_bytes(root).to_string());
    format!("{}{edition}/{root}", cover.domain)
}
