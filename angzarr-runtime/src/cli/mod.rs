//! The user's own binary becomes the tool: `check`, `docs`, `streams`, `show`, `state`, `dead-letters`, `rebuild`, `config`; with
//! the feature `server` also `serve`.
//!
//! In: a builder and arguments; file and environment are put on the builder first ([`Config`](crate::Config)). Out: text for a person, and an exit code: 0 for done, 1 for what went wrong, 2 for arguments
//! that make no sense. Never: a component that runs, or a write, for a look: the store is opened for questions only. What
//! changes something (`rebuild`, `dead-letters retry`, `dead-letters discard`) starts the program and shuts it down in order.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use angzarr_runtime::{Runtime, Sqlite, cli};
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     let builder = Runtime::builder().storage(Sqlite::open("bank.db"));
//!     cli::run(builder).await
//! }
//! ```
//!
//! A binary that has commands of its own takes ours in among them:
//!
//! ```no_run
//! use angzarr_runtime::{Runtime, cli};
//! use clap::{Parser, Subcommand};
//!
//! #[derive(Parser)]
//! struct Arguments { #[command(subcommand)] command: Command }
//!
//! #[derive(Subcommand)]
//! enum Command {
//!     /// Opens the shop until Ctrl-C.
//!     Shop,
//!     #[command(flatten)]
//!     Tool(cli::Command),
//! }
//!
//! # async fn shop() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
//! # async fn run() -> std::process::ExitCode {
//! match Arguments::parse().command {
//!     Command::Shop => shop().await,
//!     Command::Tool(command) => cli::execute(Runtime::builder(), command).await,
//! }
//! # }
//! ```

mod arguments;
mod check;
mod config;
mod dead_letters;
mod docs;
mod editions;
mod explain;
mod failure;
mod inspect;
mod live;
mod output;
mod rebuild;
#[cfg(feature = "server")]
mod serve;
mod time;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use clap::Parser as _;

#[cfg(feature = "server")]
pub use arguments::ServeArguments;
pub use arguments::{
    CheckArguments, Command, ConfigArguments, ConfigFormat, DeadLettersCommand, DiscardArguments,
    DiscardEditionArguments, DocsArguments, EditionsCommand, LetterArguments, ListArguments, MergeArguments,
    RebuildArguments, RetryArguments, ShowArguments, StateArguments, StreamsArguments,
};

use crate::Builder;
use arguments::Arguments;

/// Runs the tool on the arguments of the process.
pub async fn run(builder: Builder) -> ExitCode {
    let terminal = std::io::stderr().is_terminal();
    let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
    parse_and_run(builder, std::env::args_os(), out, err, terminal).await
}

/// Runs the tool on these arguments, the first of which is the name of the program, and writes to these writers instead of
/// the terminal's.
pub async fn run_from<A>(
    builder: Builder,
    arguments: impl IntoIterator<Item = A>,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> ExitCode
where
    A: Into<OsString> + Clone,
{
    parse_and_run(builder, arguments, out, err, false).await
}

async fn parse_and_run<A>(
    builder: Builder,
    arguments: impl IntoIterator<Item = A>,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    terminal: bool,
) -> ExitCode
where
    A: Into<OsString> + Clone,
{
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => execute_to(builder, arguments.command, out, err, terminal).await,
        Err(error) => {
            // A reader that went away has nothing left to be told.
            let _ = if error.use_stderr() { write!(err, "{error}") } else { write!(out, "{error}") };
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Runs one command of the tool.
pub async fn execute(builder: Builder, command: Command) -> ExitCode {
    let terminal = std::io::stderr().is_terminal();
    execute_to(builder, command, &mut std::io::stdout(), &mut std::io::stderr(), terminal).await
}

async fn execute_to(
    builder: Builder,
    command: Command,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    terminal: bool,
) -> ExitCode {
    let builder = builder.configure();
    let done = match command {
        Command::Check(arguments) => check::run(&builder, &arguments, out),
        Command::Docs(arguments) => docs::run(&builder, &arguments, out),
        Command::Streams(arguments) => inspect::streams(builder, arguments, out).await,
        Command::Show(arguments) => inspect::show(builder, arguments, out).await,
        Command::State(arguments) => inspect::state(builder, arguments, out).await,
        Command::DeadLetters(command) => dead_letters::run(builder, command, out).await,
        Command::Editions(command) => editions::run(builder, command, out).await,
        Command::Rebuild(arguments) => rebuild::run(builder, arguments, out, err, terminal).await,
        #[cfg(feature = "server")]
        Command::Serve(arguments) => serve::run(builder, arguments, out).await,
        Command::Config(arguments) => config::run(&builder, &arguments, out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // `bank streams | head` is no failure.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(err, "error: {failure}");
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests;
