//! `editions`: branches of the timeline (rows B5, B6).
//!
//! In: names. Out: what they hold; their merge or their end. Never: a discard that nobody has confirmed.

use std::io::Write;

use super::failure::Failure;
use super::live::Live;
use super::output::{self, count};
use super::{Builder, DiscardEditionArguments, EditionsCommand, MergeArguments};
use crate::runtime::Inspection;

pub(super) async fn run(
    builder: Builder,
    command: EditionsCommand,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    match command {
        EditionsCommand::List => list(builder, out).await,
        EditionsCommand::Merge(arguments) => merge(builder, arguments, out).await,
        EditionsCommand::Discard(arguments) => discard(builder, arguments, out).await,
    }
}

async fn list(builder: Builder, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let inspection = Inspection::open(builder).await?;
    let editions = inspection.storage().editions().await?;
    if editions.is_empty() {
        writeln!(out, "no editions: nothing was written to a branch")?;
        return Ok(inspection.close().await?);
    }
    let mut table = output::table(&["edition", "streams", "events"]);
    for edition in &editions {
        table.add_row([edition.name.to_string(), edition.streams.to_string(), edition.events.to_string()]);
    }
    write!(out, "{}", output::text(&table))?;
    writeln!(out, "{}", count(editions.len(), "edition"))?;
    Ok(inspection.close().await?)
}

async fn merge(builder: Builder, arguments: MergeArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let live = Live::start(builder, "`runtime.edition(…).merge()`").await?;
    let done = async {
        // What its sagas still do goes along.
        live.runtime.settled().await;
        let merged = live.runtime.edition(&arguments.edition).merge().await?;
        live.runtime.settled().await;
        let name = &arguments.edition;
        if merged.already_merged {
            return Ok(writeln!(out, "{name}: was merged before; nothing was written")?);
        }
        let events = count(usize::try_from(merged.events).unwrap_or(usize::MAX), "event");
        Ok(writeln!(out, "{name}: merged {events} of {}", count(merged.streams, "stream"))?)
    };
    let done = done.await;
    live.end(done).await
}

async fn discard(
    builder: Builder,
    arguments: DiscardEditionArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let DiscardEditionArguments { edition, domain, yes } = arguments;
    if !yes {
        let hint = "add `--yes`; `editions list` and `streams` show what would go";
        return Err(Failure::usage("what is discarded does not come back").hint(hint));
    }
    let live = Live::start(builder, "`runtime.edition(…).discard()`").await?;
    let done = async {
        let handle = live.runtime.edition(&edition);
        let handle = match &domain {
            Some(domain) => handle.of_domain(domain),
            None => handle,
        };
        handle.discard().await?;
        Ok(writeln!(out, "{edition}: discarded")?)
    };
    let done = done.await;
    live.end(done).await
}
