//! `flights`: tells the framework a week, or a year, of real flights, and asks it questions afterwards.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use angzarr_runtime::{Runtime, rusqlite};
use clap::{Args, Parser, Subcommand};
use flights::domain::{Aircraft, Flight, aircraft_root};
use flights::journey::{self, World};
use flights::projection::{BoardLine, Boards, CarrierDay, Figures, Hour};
use flights::rotations::Rotations;
use flights::what_if::{self, Closure};
use flights::{report, source, time};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A year of real flights through Angzarr.
///
/// Without a command it tells the framework the week of the blizzard of February 2013, which is shipped with the program,
/// and shows what came of it. Afterwards ask for a flight, a board or an aircraft, now or as of any moment.
#[derive(Parser)]
#[command(after_help = "Examples:
  flights                                              the week of the blizzard, into flights.db
  flights run --all flights.csv.zip --db year.db       the whole year
  flights flight B6625 2013-02-08 --as-of \"2013-02-08 20:00\"
  flights board JFK --as-of \"2013-02-08 18:00\"
  flights aircraft N258JB
  flights storm
  flights run --fresh --follow-aircraft                and which legs could no longer be flown: flights rotations
  flights what-if --airport JFK --from \"2013-02-08 20:00\"
  flights streams --domain aircraft                    what is stored; in another file: flights --db year.db streams
  flights state aircraft N258JB --as-of \"2013-02-08 12:00\"
Times are UTC.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Tell the framework what happened (the default). Interrupt it with Ctrl-C and run it again: nothing is doubled.
    Run(RunArguments),
    /// One flight, as it was known at a moment.
    Flight {
        /// Carrier and number: UA1545.
        flight: String,
        /// Local day of the timetable: 2013-02-08.
        day: String,
        #[command(flatten)]
        question: Question,
    },
    /// The departures board of an airport, as it was known at a moment: 3 hours back, 12 ahead.
    Board {
        /// EWR, JFK or LGA.
        airport: String,
        #[command(flatten)]
        question: Question,
    },
    /// The rotation of an aircraft by its tail number.
    Aircraft {
        /// The tail number: N258JB.
        tail: String,
        #[command(flatten)]
        question: Question,
    },
    /// The storm of 8 and 9 February in figures.
    Storm {
        /// The event store: flights.db, or what the configuration says (`config` shows it).
        #[arg(long, value_name = "FILE|URL")]
        db: Option<PathBuf>,
    },
    /// The legs of a day that could no longer be flown, because their aircraft was not there.
    ///
    /// Answers for a store that was told with `flights run --follow-aircraft`: then a process manager goes through each day with
    /// each aircraft, raises a flag where it cannot be where its next leg leaves in time, and withdraws it when that does not
    /// hold any more.
    #[command(after_help = "Examples:
  flights run --fresh --follow-aircraft
  flights rotations
  flights rotations 2013-02-09")]
    Rotations {
        /// Local day of the timetable.
        #[arg(default_value = "2013-02-08", value_parser = report::parse_day)]
        day: u32,
        /// The event store: flights.db, or what the configuration says (`config` shows it).
        #[arg(long, value_name = "FILE|URL")]
        db: Option<PathBuf>,
    },
    /// What if an airport had closed? Told in an edition, compared with what happened, and thrown away.
    ///
    /// Every flight that is scheduled to leave the airport from that moment to the end of the day is cancelled in a branch of
    /// the timeline that leaves right behind the flight's place in the timetable. Then the states of both timelines are
    /// compared, and the branch is discarded: the main timeline never hears of it.
    #[command(after_help = "Examples:
  flights what-if                                       JFK closes on 8 February at 15:00 in New York
  flights what-if --airport LGA --from \"2013-02-08 14:00\"
Times are UTC; New York is five hours behind in February.")]
    WhatIf {
        /// EWR, JFK or LGA.
        #[arg(long, default_value = "JFK")]
        airport: String,
        /// From when on, in UTC. Flights count by their scheduled departure.
        #[arg(long, value_name = "TIME", default_value = "2013-02-08 20:00", value_parser = report::parse_moment)]
        from: i64,
        /// The event store: flights.db, or what the configuration says (`config` shows it).
        #[arg(long, value_name = "FILE|URL")]
        db: Option<PathBuf>,
    },
    /// Look into the program and its store.
    #[command(flatten)]
    Tool(angzarr_runtime::cli::Command),
}

#[derive(Args)]
struct RunArguments {
    /// The whole year: flights.csv, or the .gz or .zip that holds it.
    #[arg(long, value_name = "PATH")]
    all: Option<PathBuf>,
    /// The event store: flights.db, or what the configuration says (`config` shows it). The read model stands beside it.
    #[arg(long, value_name = "FILE|URL")]
    db: Option<PathBuf>,
    /// Answer before the disk has it: faster, and the last moments may be lost with the power.
    #[arg(long)]
    relaxed: bool,
    /// Follow each aircraft through its days, and say which of its legs could no longer be flown. From the beginning only:
    /// what was told before without it is not followed.
    #[arg(long)]
    follow_aircraft: bool,
    /// Begin anew: removes the store and the read model.
    #[arg(long)]
    fresh: bool,
}

#[derive(Args)]
struct Question {
    /// As it was known then: "2013-02-08 14:00" (UTC); a day alone is its end. Now, if nothing is said.
    #[arg(long, value_parser = report::parse_time)]
    as_of: Option<i64>,
    /// The event store: flights.db, or what the configuration says (`config` shows it).
    #[arg(long, value_name = "FILE|URL")]
    db: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(shown).init();
    let cli = Cli::parse();
    let result = match cli.command {
        None => run(cli.run).await,
        Some(Command::Run(arguments)) => run(arguments).await,
        Some(Command::Flight { flight, day, question }) => show_flight(&flight, &day, &question).await,
        Some(Command::Board { airport, question }) => show_board(&airport, &question).await,
        Some(Command::Aircraft { tail, question }) => show_aircraft(&tail, &question).await,
        Some(Command::Storm { db }) => storm(&World::choose(db.as_deref())).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Rotations { day, db }) => show_rotations(day, db.as_deref()).await,
        Some(Command::WhatIf { airport, from, db }) => show_what_if(&airport, from, db.as_deref()).await,
        Some(Command::Tool(tool)) => match World::choose(cli.run.db.as_deref()).inspector() {
            Ok(builder) => return angzarr_runtime::cli::execute(builder, tool).await,
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(code) => code,
        // `flights storm | head`: the reader has seen enough.
        Err(error) if is_closed_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(format_args!("flights: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for the person who asked. `println!` would panic when nobody reads any more.
fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// A line beside the answer, read by somebody or by nobody.
fn warn(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn run(arguments: RunArguments) -> Result<ExitCode, Box<dyn Error>> {
    let world = World::choose(arguments.db.as_deref());
    if arguments.fresh {
        world.remove()?;
    }
    let rows = match &arguments.all {
        Some(path) => source::file(path)?,
        None => source::window()?,
    };
    let quiet = !std::io::stderr().is_terminal();
    let runtime = world.builder(arguments.relaxed)?.build().await?;
    let known = model(&world)?.query(journey::complete).await?;
    if !known.is_empty() {
        // The story is to be told even if nobody listens.
        let _ = say(format_args!("Going on: the story of {} flights is told already.", known.len()));
    }
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            warn("\nStopping after what is under way; press Ctrl-C again to stop at once.");
            stop.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
    let (outcome, rotations) = if arguments.follow_aircraft {
        let outcome = journey::run_following_aircraft(&runtime, &known, &rows, stopped, quiet).await?;
        (outcome, Some(Rotations::of(&runtime, &model(&world)?, 20_130_208).await?))
    } else {
        (journey::run(&runtime, &known, &rows, stopped, quiet).await?, None)
    };
    runtime.shutdown().await?;

    let figures = model(&world)?.query(Figures::count).await?;
    say(report::summary(&outcome, &figures, world.bytes()))?;
    if outcome.interrupted {
        say("Run the same command again to go on: nothing is lost, nothing will be doubled.")?;
        return Ok(ExitCode::from(130));
    }
    storm(&world).await?;
    if let Some(rotations) = rotations {
        say(report::rotations(&rotations))?;
    }
    if arguments.all.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    say("What the log itself says of the year:\n")?;
    let truths = report::of_the_year(&figures);
    for truth in &truths {
        let mark = if truth.holds() { '✓' } else { '✗' };
        say(format_args!("  {mark} {:<36}{:>20}{:>22}", truth.what, truth.expected, truth.found))?;
    }
    say("")?;
    if let Some(peak) = peak_memory() {
        say(format_args!("Peak memory: {peak} MB."))?;
    }
    Ok(if truths.iter().all(report::Truth::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn storm(world: &World) -> Result<(), Box<dyn Error>> {
    // Midnight in New York, two days, in slots of two hours.
    const FROM: i64 = 1_360_299_600;
    let model = model(world)?;
    let hours = model.query(|model| Hour::all(model, FROM, FROM + 48 * 3_600, 2 * 3_600)).await?;
    say("The blizzard of 8 and 9 February 2013, by scheduled departure:\n")?;
    say(report::storm_chart(&hours, 60))?;
    let carriers = model.query(|model| CarrierDay::of(model, 20_130_208)).await?;
    say(format_args!("8 February by carrier:\n\n{}", report::carriers(&carriers)))?;
    Ok(())
}

async fn show_flight(flight: &str, day: &str, question: &Question) -> Result<ExitCode, Box<dyn Error>> {
    let world = existing(question.db.as_deref())?;
    let (flight, wanted) = (flight.to_uppercase(), report::parse_day(day)?);
    let found = model(&world)?
        .query(move |model| {
            let mut statement =
                model.prepare("SELECT id FROM flight WHERE day = ?1 AND carrier || number = ?2 ORDER BY departs_at")?;
            let ids = statement.query_map((wanted, flight), |row| row.get::<_, [u8; 16]>(0))?;
            ids.collect::<Result<Vec<_>, _>>()
        })
        .await?;
    if found.is_empty() {
        return Err(format!("no such flight on {day}; `flights board JFK --as-of {day}` shows what there is").into());
    }
    let runtime = world.builder(false)?.build().await?;
    for id in found {
        let state = runtime.state::<Flight>(angzarr_runtime::Uuid::from_bytes(id));
        let state = match question.as_of {
            Some(at) => state.as_of_time(time(at)).await?,
            None => state.await?,
        };
        say(report::flight(&state, state.next_sequence()))?;
    }
    runtime.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}

async fn show_board(airport: &str, question: &Question) -> Result<ExitCode, Box<dyn Error>> {
    let world = existing(question.db.as_deref())?;
    let airport = airport.to_uppercase();
    // "Now", for a log of 2013, is the end of what it tells.
    let model = model(&world)?;
    let last = model
        .query(|model| model.query_row("SELECT coalesce(max(departs_at), 0) FROM flight", [], |row| row.get(0)))
        .await?;
    let at = question.as_of.unwrap_or(last);
    let name = airport.clone();
    let lines = model.query(move |model| BoardLine::board(model, &name, at - 3 * 3_600, at + 12 * 3_600, at)).await?;
    say(report::board(&airport, at, &lines).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn show_aircraft(tail: &str, question: &Question) -> Result<ExitCode, Box<dyn Error>> {
    let world = existing(question.db.as_deref())?;
    let tail = tail.to_uppercase();
    let runtime: Runtime = world.builder(false)?.build().await?;
    let state = runtime.state::<Aircraft>(aircraft_root(&tail));
    let state = match question.as_of {
        Some(at) => state.as_of_time(time(at)).await?,
        None => state.await?,
    };
    runtime.shutdown().await?;
    if state.is_new() {
        return Err(format!("nothing is known of an aircraft {tail} at that moment").into());
    }
    say(report::rotation(&tail, &state).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn show_rotations(day: u32, db: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let world = existing(db)?;
    let runtime = world.builder(false)?.build().await?;
    let rotations = Rotations::of(&runtime, &model(&world)?, day).await;
    runtime.shutdown().await?;
    let rotations = rotations?;
    if rotations.aircraft.is_empty() {
        let db = db.map_or_else(String::new, |db| format!(" --db {}", db.display()));
        return Err(format!(
            "no aircraft is followed on that day; `flights run{db} --fresh --follow-aircraft` tells everything anew"
        )
        .into());
    }
    say(report::rotations(&rotations).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn show_what_if(airport: &str, from: i64, db: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let world = existing(db)?;
    let closure = Closure { airport: airport.to_uppercase(), from };
    let runtime = world.builder(false)?.build().await?;
    let answer = what_if::ask(&runtime, &model(&world)?, closure).await;
    runtime.shutdown().await?;
    say(report::what_if(&answer?).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn existing(db: Option<&Path>) -> Result<World, Box<dyn Error>> {
    let world = World::choose(db);
    match world.file() {
        Some(file) if !file.exists() => {
            Err(format!("there is no {} yet; run `flights run --db {}` first", file.display(), file.display()).into())
        }
        _ => Ok(world),
    }
}

fn model(world: &World) -> Result<angzarr_runtime::SqliteReadModel, rusqlite::Error> {
    Ok(Boards::open(&world.boards)?.model().clone())
}

/// Of this process, in MB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1_024)
}
