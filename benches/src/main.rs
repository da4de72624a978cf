//! Angzarr beside the raw limit and its peers, on the same work, in one run.
//!
//! `cargo run --release -p angzarr-benches -- [memory|sqlite|postgres|grpc|fold|long|catchup|startup|all] [--seconds N] [--rounds N] [--out FILE]`

// A program: nothing here is for others.
#![allow(missing_docs, unreachable_pub)]

mod children;
mod domain;
mod limits;
mod load;
mod ours;
mod place;
mod rows;
mod table;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::children::{Child, Children};
use crate::ours::Store;
use crate::place::Place;
use crate::rows::{Arm, ROWS, Row};
use crate::table::{Line, Runs, Target, times};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum What {
    Memory,
    Sqlite,
    Postgres,
    Grpc,
    Fold,
    Long,
    Catchup,
    Startup,
    All,
}

impl What {
    fn of(row: &Row) -> Self {
        match row.store {
            _ if row.is_grpc() => Self::Grpc,
            Store::Memory => Self::Memory,
            Store::Durable | Store::Relaxed => Self::Sqlite,
            Store::Postgres => Self::Postgres,
        }
    }
}

/// Measures Angzarr beside the raw limit and its peers.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// How long each measurement runs.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Interleaved rounds; the table has the medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where files are put; they are removed afterwards.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A database in which schemas can be made, for the rows of PostgreSQL.
    #[arg(long, default_value = "postgres://postgres@127.0.0.1:5432/postgres")]
    postgres: String,
    /// Writes the table here as well.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Without the peers.
    #[arg(long)]
    no_peers: bool,
    /// Uses the programs beside this one as they are, without building them.
    #[arg(long)]
    no_build: bool,
    /// Events of the long stream.
    #[arg(long, default_value_t = 1_000_000)]
    long_events: usize,
}

/// What else went on, where the system says so: processes that want a processor, averaged over a minute.
fn load_average() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wants = |what| arguments.what == What::All || arguments.what == what;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let base = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let directory = || tempfile::tempdir_in(&base);
    let children = Children::build(!arguments.no_build, !arguments.no_peers)?;
    let before = load_average();
    let mut lines = Vec::new();

    let rows: Vec<&Row> = ROWS.iter().filter(|row| wants(What::of(row))).collect();
    let mut runs: Vec<Runs> = rows.iter().map(|_| Runs::default()).collect();
    for round in 1..=arguments.rounds {
        for (row, runs) in rows.iter().zip(&mut runs) {
            eprintln!("round {round} of {}: {}", arguments.rounds, row.name);
            // Who comes first changes from round to round: whoever follows a heavy writer pays for its disk.
            let arms = (0..Arm::ALL.len()).map(|n| Arm::ALL[(n + round) % Arm::ALL.len()]);
            for arm in arms.filter(|arm| row.takes(*arm)) {
                let measured = tokio.block_on(async {
                    let place = match row.store {
                        Store::Postgres => Place::schema(&arguments.postgres).await?,
                        _ => Place::directory(&base)?,
                    };
                    let measured = row.run(arm, &children, arguments.seconds, &place).await?;
                    place.remove().await?;
                    Ok::<_, Box<dyn Error>>(measured)
                })?;
                runs.of(arm).extend(measured);
            }
        }
    }
    for (row, runs) in rows.iter().zip(runs) {
        lines.push(Line::of_commands(row.name, row.targets, runs));
    }

    if wants(What::Fold) {
        let mut runs = Runs::default();
        for round in 1..=arguments.rounds {
            eprintln!("round {round} of {}: fold a stream", arguments.rounds);
            runs.lean.push(limits::sqlite::fold(directory()?.path(), 100_000, arguments.seconds)?);
            runs.ours.push(tokio.block_on(ours::fold(100_000, arguments.seconds, directory()?.path()))?);
        }
        let name = "SQLite, fold a stream of 100,000 (events/s)";
        lines.push(Line::of_commands(name, &[Target::Rate(1.2e6)], runs));
    }
    if wants(What::Long) {
        eprintln!("a stream of {} events", arguments.long_events);
        let long = tokio.block_on(ours::long_stream(arguments.long_events, directory()?.path()))?;
        let events = table::grouped(arguments.long_events as f64);
        for (state, (short, long), limit) in [("warm", long.warm, 1.2), ("cold", long.cold, 3.0)] {
            lines.push(Line::of_ratio(
                format!("a command on a stream of {events}, {state}"),
                format!("{} (10 events)", times(short)),
                times(long),
                long as f64 / short as f64,
                limit,
            ));
        }
    }
    if wants(What::Catchup) {
        let events = 300_000;
        let mut runs = Runs::default();
        for round in 1..=arguments.rounds {
            eprintln!("round {round} of {}: catch up", arguments.rounds);
            runs.lean.push(limits::sqlite::catch_up(directory()?.path(), events)?);
            runs.ours.extend(children.run(Child::CatchUp, &[&events.to_string()], directory()?.path())?);
        }
        let name = "projector catching up, SQLite read model (events/s)";
        lines.push(Line::of_commands(name, &[Target::Rate(1e5)], runs));
    }
    if wants(What::Startup) {
        let mut starts = Vec::new();
        for _ in 0..21 {
            starts.push(children.startup(directory()?.path())?);
        }
        starts.sort_unstable();
        let median = starts[starts.len() / 2];
        lines.push(Line::of_time("start of the process to ready, empty store, 200 handlers", median, 20_000_000));
    }

    let mut table = table::render(&lines, arguments.seconds, arguments.rounds, children.has_peers());
    if let (Some(before), Some(after)) = (before, load_average()) {
        table.push_str(&format!(" Load average of the machine: {before} before, {after} after (with this run in it)."));
    }
    table.push('\n');
    print!("{table}");
    if let Some(out) = &arguments.out {
        std::fs::write(out, table)?;
    }
    Ok(())
}
