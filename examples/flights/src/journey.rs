//! Drives the log through the framework.
//!
//! In: rows, and a signal to stop. Out: a world that knows them, whatever was known before. Never: anything twice; a run that
//! was interrupted goes on where it is needed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Origin, rusqlite};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::{mpsc, watch};

use crate::domain::{Day, Flight, flight_root};
use crate::pb::{Arrive, Cancel, Depart, Divert, Schedule};
use crate::projection::Boards;
use crate::source::{Moment, News, Row, moments};
use crate::time;

/// Flights that are worked on at a time: their commands share commits.
const LANES: usize = 512;
/// How far the fastest lane may run ahead of the slowest, in moments.
const AHEAD: usize = 4;

/// Where a world lives: the events in one place, the read model in a file.
#[derive(Clone, Debug)]
pub struct World {
    /// The events: a file, or a URL.
    events: PathBuf,
    /// The read model.
    pub boards: PathBuf,
    /// Whether file and environment may put the events elsewhere.
    movable: bool,
}

impl World {
    /// The world of `db`, the file of the events or their URL, whatever a deployment says.
    pub fn at(db: &Path) -> Self {
        let boards = if is_url(db) { "flights.boards.db".into() } else { db.with_extension("boards.db") };
        Self { events: db.to_owned(), boards, movable: false }
    }

    /// The same, or `flights.db` or whatever a deployment says (`ANGZARR_STORAGE`).
    pub fn choose(db: Option<&Path>) -> Self {
        db.map_or_else(|| Self { movable: true, ..Self::at(Path::new("flights.db")) }, Self::at)
    }

    /// The file of the events, if they are in one that we know.
    pub fn file(&self) -> Option<&Path> {
        let moved = || {
            self.storage(false).settings().into_iter().any(|it| it.name == "storage" && it.origin != Origin::Builder)
        };
        let is_elsewhere = is_url(&self.events) || (self.movable && moved());
        (!is_elsewhere).then_some(&*self.events)
    }

    /// Both files' bytes, with what is not merged into them yet.
    pub fn bytes(&self) -> (u64, u64) {
        let size = |path: &Path| {
            let wal = PathBuf::from(format!("{}-wal", path.display()));
            [path, &wal].iter().filter_map(|path| std::fs::metadata(path).ok()).map(|it| it.len()).sum()
        };
        (self.file().map_or(0, size), size(&self.boards))
    }

    /// Removes both, to begin anew.
    ///
    /// # Errors
    /// A process runs on them, a file cannot be removed, or the events are not in one.
    pub fn remove(&self) -> Result<(), Box<dyn std::error::Error>> {
        let file = self.file().ok_or("the events are in no file of ours: empty that store by yourself")?;
        Sqlite::open(file).remove()?;
        for suffix in ["", "-wal", "-shm"] {
            match std::fs::remove_file(format!("{}{suffix}", self.boards.display())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The same program for tools that look and run nothing: they leave the read model's file alone.
    ///
    /// # Errors
    /// The schema of the read model is wrong.
    pub fn inspector(&self) -> Result<angzarr_runtime::Builder, rusqlite::Error> {
        Ok(self.storage(false).with(Boards::in_memory()?))
    }

    /// Describes the runtime of this world.
    ///
    /// # Errors
    /// The read model cannot be opened.
    pub fn builder(&self, relaxed: bool) -> Result<angzarr_runtime::Builder, rusqlite::Error> {
        Ok(self.storage(relaxed).with(Boards::open(&self.boards)?))
    }

    /// What was chosen on the command line comes behind the configuration, and so wins.
    fn storage(&self, relaxed: bool) -> angzarr_runtime::Builder {
        let builder = Runtime::builder().transport(Local::new());
        let builder = if self.movable { builder } else { builder.configure() };
        let builder = match self.events.to_str().filter(|_| is_url(&self.events)) {
            Some(url) => builder.storage_url(url),
            None => {
                let storage = Sqlite::open(&self.events);
                builder.storage(if relaxed { storage.relaxed() } else { storage })
            }
        };
        builder.configure()
    }
}

/// `sqlite:…` and `postgres://…` are, `flights.db` and `C:\flights.db` are not.
fn is_url(db: &Path) -> bool {
    let scheme = db.to_str().and_then(|db| db.split_once(':')).map_or("", |(scheme, _)| scheme);
    scheme.len() > 1 && scheme.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Flights of the log.
    pub rows: usize,
    /// Flights that were complete before.
    pub skipped: usize,
    /// Commands that were sent.
    pub commands: u64,
    /// Events that the store holds.
    pub events: u64,
    /// Events that this run added.
    pub added: u64,
    /// How long it took until everything had followed.
    pub took: Duration,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Tells the runtime everything that the rows know, in the order in which the world knew it; stops early on the signal.
///
/// # Errors
/// A command fails for another reason than a rejection, or is rejected: the log is not to be argued with.
pub async fn run(
    runtime: &Runtime,
    known: &HashSet<Uuid>,
    rows: &[Row],
    stop: watch::Receiver<bool>,
    quiet: bool,
) -> angzarr_runtime::Result<Outcome> {
    tell_all(runtime, known, rows, stop, quiet, false).await
}

/// The same, and every flight of a known aircraft belongs to the day of that aircraft: a [`Day`]
/// follows each. What was told before without that stays without it.
///
/// # Errors
/// As [`run`].
pub async fn run_following_aircraft(
    runtime: &Runtime,
    known: &HashSet<Uuid>,
    rows: &[Row],
    stop: watch::Receiver<bool>,
    quiet: bool,
) -> angzarr_runtime::Result<Outcome> {
    tell_all(runtime, known, rows, stop, quiet, true).await
}

async fn tell_all(
    runtime: &Runtime,
    known: &HashSet<Uuid>,
    rows: &[Row],
    mut stop: watch::Receiver<bool>,
    quiet: bool,
    following: bool,
) -> angzarr_runtime::Result<Outcome> {
    let began = Instant::now();
    let before = runtime.storage().head();
    let roots: Vec<Uuid> = rows.iter().map(|row| flight_root(&row.key())).collect();
    let moments: Vec<Moment> = moments(rows).into_iter().filter(|moment| !known.contains(&roots[moment.row])).collect();
    let progress = bar(moments.len() as u64, "telling", quiet);
    let mut outcome = Outcome {
        rows: rows.len(),
        skipped: roots.iter().filter(|root| known.contains(root)).count(),
        ..Outcome::default()
    };
    let mut lanes = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..LANES {
        let (lane, mut moments) = mpsc::channel::<(Uuid, Row, Moment)>(AHEAD);
        let (runtime, progress) = (runtime.clone(), progress.clone());
        lanes.push(lane);
        tasks.spawn(async move {
            while let Some((root, row, moment)) = moments.recv().await {
                tell(&runtime, root, &row, &moment, following).await?;
                progress.inc(1);
            }
            Ok::<(), Error>(())
        });
    }
    for moment in moments {
        // A lane that has ended has failed: its error comes with the task.
        let told = (roots[moment.row], rows[moment.row].clone(), moment);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {
                outcome.interrupted = true;
                break;
            }
            sent = lanes[moment.row % LANES].send(told) => {
                if sent.is_err() {
                    break;
                }
            }
        }
        outcome.commands += 1;
    }
    drop(lanes);
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    progress.finish_and_clear();
    follow(runtime, quiet).await;
    outcome.events = runtime.storage().head();
    outcome.added = outcome.events - before;
    outcome.took = began.elapsed();
    Ok(outcome)
}

/// Shows how the saga and the read model come after, until they have.
async fn follow(runtime: &Runtime, quiet: bool) {
    let settled = runtime.settled();
    tokio::pin!(settled);
    let progress = bar(runtime.storage().head(), "following", quiet);
    loop {
        tokio::select! {
            () = &mut settled => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let statuses = runtime.subscriptions();
                progress.set_length(runtime.storage().head());
                progress.set_position(statuses.iter().map(|status| status.position).min().unwrap_or(0));
            }
        }
    }
    progress.finish_and_clear();
}

async fn tell(
    runtime: &Runtime,
    root: Uuid,
    row: &Row,
    moment: &Moment,
    following: bool,
) -> angzarr_runtime::Result<()> {
    let at = moment.at;
    // The log does not name every aircraft.
    let day = (following && !row.tail.is_empty()).then(|| Day::of(&row.tail, row.day));
    match moment.news {
        News::Scheduled => {
            let schedule = Schedule {
                carrier: row.carrier.clone(),
                number: row.number,
                tail: row.tail.clone(),
                origin: row.origin.clone(),
                destination: row.destination.clone(),
                departs_at: row.departs_at,
                day: row.day,
                distance: row.distance,
            };
            send(runtime, root, schedule, at, day).await
        }
        News::Departed => send(runtime, root, Depart { at, delay: row.departure_delay.unwrap_or(0) }, at, day).await,
        News::Arrived => send(runtime, root, Arrive { at, delay: row.arrival_delay.unwrap_or(0) }, at, day).await,
        News::Cancelled => send(runtime, root, Cancel { at }, at, day).await,
        News::Diverted => send(runtime, root, Divert { at }, at, day).await,
    }
}

async fn send(
    runtime: &Runtime,
    flight: Uuid,
    command: impl angzarr_runtime::CommandOf<Flight>,
    at: i64,
    day: Option<String>,
) -> angzarr_runtime::Result<()> {
    let command = runtime.send::<Flight>(flight, command).at(time(at));
    match day {
        Some(day) => command.correlation(day).await?,
        None => command.await?,
    };
    Ok(())
}

/// The flights whose story is told to its end: they need not be told again.
///
/// # Errors
/// The read model cannot be read.
pub fn complete(model: &rusqlite::Connection) -> Result<HashSet<Uuid>, rusqlite::Error> {
    let mut statement = model.prepare("SELECT id FROM flight WHERE phase >= 3")?;
    let ids = statement.query_map([], |row| row.get::<_, [u8; 16]>(0).map(Uuid::from_bytes))?;
    ids.collect()
}

fn bar(length: u64, what: &'static str, quiet: bool) -> ProgressBar {
    let progress = ProgressBar::new(length);
    if quiet {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{msg:10} {bar:40.cyan/blue} {human_pos}/{human_len}  {per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        progress.set_style(style);
    }
    progress.set_message(what);
    progress
}
