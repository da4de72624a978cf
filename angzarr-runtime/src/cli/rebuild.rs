//! `rebuild`: a projector's state anew from the log, with a bar.
//!
//! In: the name of a projector. Out: how far it is, and what came of it. Never: a rebuild beside a process that runs on the
//! same store.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::failure::Failure;
use super::live::Live;
use super::output::count;
use super::{Builder, RebuildArguments};
use crate::error::nearest;
use crate::reaction::RebuildProgress;

/// Lines come this often where there is no terminal for a bar.
const LINE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    builder: Builder,
    arguments: RebuildArguments,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    terminal: bool,
) -> Result<(), Failure> {
    let name = arguments.projector;
    // Before anything is started.
    let known: Vec<_> = builder.check()?.projectors.keys().copied().collect();
    if !known.contains(&name.as_str()) {
        let failure = Failure::usage(format_args!("there is no projector `{name}` in this program"));
        return Err(match nearest(&name, known.iter().copied()).first() {
            Some(near) => failure.hint(format_args!("did you mean `{near}`?")),
            None => failure.hint(format_args!("the projectors are: {}", known.join(", "))),
        });
    }
    let live = Live::start(builder, "`runtime.rebuild(…)`").await?;
    let (tell, told) = watch::channel(RebuildProgress::default());
    let rebuild = live.runtime.rebuild(&name).progress(move |progress| {
        tell.send_replace(progress);
    });
    let mut shown = Shown::new(&name, terminal);
    let done = follow(rebuild.into_future(), told, &mut shown, err).await;
    shown.end();
    let done = live.end(done.map_err(Failure::from)).await?;
    writeln!(
        out,
        "rebuilt `{name}`: {} in {:.1} s, {} per second; it is at position {}",
        count(usize::try_from(done.events).unwrap_or(usize::MAX), "event"),
        done.elapsed.as_secs_f64(),
        done.per_second,
        done.position
    )?;
    if done.parked_streams > 0 {
        let streams = count(done.parked_streams, "stream");
        writeln!(out, "{streams} could not be handled to the end: `dead-letters list --component {name}` shows why")?;
    }
    Ok(())
}

/// Shows each progress until the rebuild ends.
async fn follow<T>(
    rebuild: impl Future<Output = T>,
    mut told: watch::Receiver<RebuildProgress>,
    shown: &mut Shown,
    err: &mut (dyn Write + Send),
) -> T {
    let mut rebuild = std::pin::pin!(rebuild);
    loop {
        tokio::select! {
            biased;
            done = &mut rebuild => return done,
            Ok(()) = told.changed() => {
                let progress = told.borrow_and_update().clone();
                shown.show(&progress, err);
            }
        }
    }
}

/// A bar on a terminal; otherwise a line now and then.
struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    last: Option<Duration>,
}

impl Shown {
    fn new(name: &str, terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(0);
            let style = "{prefix} [{wide_bar}] {human_pos}/{human_len} {msg} {eta}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        Self { name: name.to_owned(), bar, last: None }
    }

    fn show(&mut self, progress: &RebuildProgress, err: &mut (dyn Write + Send)) {
        let RebuildProgress { position, head, per_second, .. } = progress;
        if let Some(bar) = &self.bar {
            bar.set_length(*head);
            bar.set_position(*position);
            bar.set_message(format!("{per_second} events/s"));
        } else if position == head || self.last.is_none_or(|last| progress.elapsed.saturating_sub(last) >= LINE) {
            self.last = Some(progress.elapsed);
            // A reader that goes away does not stop the rebuild.
            let _ = writeln!(err, "{}: {position} of {head}, {per_second} events/s", self.name);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
