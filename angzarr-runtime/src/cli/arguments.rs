//! What may be written on the command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};

use super::time;
use crate::dead_letter::DeadLetterId;
use crate::docs::Format;
use crate::stream::Nanos;

/// Looks into this program and its store.
///
/// A look changes nothing: the store is opened for questions only, beside a process that may be running on it. What does
/// change something, `rebuild`, `dead-letters retry|discard` and `editions merge|discard`, starts the program and stops it
/// again.
#[derive(Debug, Parser)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
Examples:
  check --explain                      is everything wired, and what goes where
  docs --output DOCS.md                the documentation, to be committed
  streams --domain account             what is stored
  show account/7c9e6679-7425-40de-944b-e07fc1f90ae7
  state account Ada --as-of \"2026-07-01 12:00\"
  dead-letters list                    what could not be done
  editions list                        branches of the timeline
  rebuild balances                     a projector's state anew from the log
  config                               what the program would run with, and who said so
Every command has --help with more."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands of the tool, to be taken in among those of a binary of yours: `#[command(flatten)] Tool(cli::Command)`.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Checks the wiring of the whole program: every mistake at once.
    Check(CheckArguments),
    /// Writes the documentation of the program: commands, events with their fields, who listens to what.
    Docs(DocsArguments),
    /// Lists the streams in the store.
    Streams(StreamsArguments),
    /// Shows the events of a stream.
    Show(ShowArguments),
    /// Shows the state of an aggregate, now or then.
    State(StateArguments),
    /// Lists, shows, retries and discards what could not be done.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Lists, merges and discards branches of the timeline.
    #[command(subcommand)]
    Editions(EditionsCommand),
    /// Builds what a projector has written anew from the log.
    Rebuild(RebuildArguments),
    /// Serves callers in any language by gRPC, until Ctrl-C.
    #[cfg(feature = "server")]
    Serve(ServeArguments),
    /// Shows what the program would run with, and who said so: the source, a file, the environment.
    Config(ConfigArguments),
}

/// Arguments of `config`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  config                                   one setting on each line, with its value and where it comes from
  config --format toml > angzarr.toml      a file with all of them, to be changed
  ANGZARR_STORAGE=memory: PROGRAM config   as it would be with this variable
Variables of the environment win over the file (angzarr.toml in the working directory, or the one that ANGZARR_CONFIG names),
and the file wins over the program's source. `limits.id_bytes` is the variable ANGZARR_LIMITS_ID_BYTES. Passwords are never
shown.")]
#[non_exhaustive]
pub struct ConfigArguments {
    /// A table for a person, or a file that can be loaded again.
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
}

/// How `config` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[non_exhaustive]
pub enum ConfigFormat {
    /// A table.
    #[default]
    Table,
    /// A file that can be loaded again.
    Toml,
}

/// Arguments of `serve`.
#[cfg(feature = "server")]
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  serve                                            on this machine only, in plain text
  serve --listen 0.0.0.0:50051 --tls-cert server.pem --tls-key server-key.pem --token-env API_TOKENS
  serve --tls-cert server.pem --tls-key server-key.pem --client-ca clients.pem     mutual TLS
It ends in order on Ctrl-C or SIGTERM: nothing new is taken, what runs has the drain limit to finish.")]
#[non_exhaustive]
pub struct ServeArguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub listen: std::net::SocketAddr,
    /// The server's certificate (PEM), with those that lead to its root.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Only clients whose certificate this authority (PEM) has signed.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// Only calls with a bearer token that stands in this variable of the environment; several with commas between.
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// Seconds that what runs has to finish.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain: u64,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  check                  for a build: exit code 0 if the program would start
  check --explain        and tell for every event who handles it, and why the others do not")]
#[non_exhaustive]
pub struct CheckArguments {
    /// Tell for every command where it goes, and for every event who handles it and why the others do not.
    #[arg(long)]
    pub explain: bool,
}

/// Arguments of `docs`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  docs --output DOCS.md                     one page, with the flow as a diagram inside
  docs --format mermaid --output DOCS.mmd   the diagram alone
Commit them, and let a test compare them with `angzarr_runtime::docs::markdown`.")]
#[non_exhaustive]
pub struct DocsArguments {
    /// One page of Markdown, or the flow alone as a Mermaid flowchart.
    #[arg(long, default_value = "markdown", value_parser = PossibleValuesParser::new(Format::NAMES).try_map(|it| it.parse::<Format>()))]
    pub format: Format,
    /// Write to this file instead of the terminal.
    #[arg(long, short, alias = "out", value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `streams`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  streams                        the first streams of the store
  streams --domain account --limit 1000
  streams --after account/7c9e6679-7425-40de-944b-e07fc1f90ae7    the next page")]
#[non_exhaustive]
pub struct StreamsArguments {
    /// Only streams of this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on behind this stream, as the last page ended.
    #[arg(long, value_name = "STREAM")]
    pub after: Option<String>,
}

/// Arguments of `show`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  show account/7c9e6679-7425-40de-944b-e07fc1f90ae7
  show 7c9e6679-7425-40de-944b-e07fc1f90ae7       the root alone, if one domain has it
  show account/Ada                                the stream of root(\"account\", \"Ada\")
  show account@what-if/Ada                        on a branch: its own events only
  show account/Ada --from 100 --limit 20
Events are shown as they are stored, before any upcaster.")]
#[non_exhaustive]
pub struct ShowArguments {
    /// DOMAIN/ROOT, DOMAIN@EDITION/ROOT, or a root alone. A root is a UUID, or a natural key.
    pub stream: String,
    /// Begin with this sequence.
    #[arg(long, default_value_t = 0)]
    pub from: u32,
    /// At most so many events.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Arguments of `state`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  state account 7c9e6679-7425-40de-944b-e07fc1f90ae7
  state account Ada                               the root is root(\"account\", \"Ada\")
  state account Ada --as-of \"2026-07-01 12:00\"    as it was then (UTC)
  state account Ada --as-of-sequence 3            after exactly the events 0 to 3
  state account Ada --edition what-if")]
#[non_exhaustive]
pub struct StateArguments {
    /// The aggregate's domain.
    pub domain: String,
    /// The root: a UUID, or a natural key.
    pub root: String,
    /// With exactly the events that were accepted until then: RFC 3339, or `2026-07-01 12:00[:30]` in UTC.
    #[arg(long, alias = "as-of-time", value_name = "TIME", value_parser = time::parse, conflicts_with = "as_of_sequence")]
    pub as_of: Option<Nanos>,
    /// With exactly the events up to this sequence.
    #[arg(long, value_name = "N")]
    pub as_of_sequence: Option<u32>,
    /// On this branch.
    #[arg(long, value_name = "NAME")]
    pub edition: Option<String>,
}

/// The commands of `editions`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Examples:
  editions list
  editions merge what-if
  editions discard what-if --yes")]
#[non_exhaustive]
pub enum EditionsCommand {
    /// Lists them, with their streams and events.
    List,
    /// Appends the events of one to the main timeline: of every stream or of none.
    Merge(MergeArguments),
    /// Removes the events of one for good.
    Discard(DiscardEditionArguments),
}

/// Arguments of `editions merge`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  editions merge what-if
It is refused, with every stream in the way, where the main timeline has gone on since. The program is started for it and
stopped again: no other process may run on the store.")]
#[non_exhaustive]
pub struct MergeArguments {
    /// The edition, as `editions list` shows it.
    pub edition: String,
}

/// Arguments of `editions discard`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  editions discard what-if --yes
  editions discard what-if --domain account --yes
The program is started for it and stopped again: no other process may run on the store.")]
#[non_exhaustive]
pub struct DiscardEditionArguments {
    /// The edition, as `editions list` shows it.
    pub edition: String,
    /// Only of this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// Says that you mean it: what is removed does not come back.
    #[arg(long)]
    pub yes: bool,
}

/// The commands of `dead-letters`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Examples:
  dead-letters list --component balances
  dead-letters show 0b9152f4-7c1e-5e0f-8a3d-6a1405c9e7b2
  dead-letters retry --all-of balances
  dead-letters discard 0b9152f4-7c1e-5e0f-8a3d-6a1405c9e7b2 --reason \"a test order\"")]
#[non_exhaustive]
pub enum DeadLettersCommand {
    /// Lists them, oldest first.
    List(ListArguments),
    /// Shows one, whole.
    Show(LetterArguments),
    /// Runs the work of some again.
    Retry(RetryArguments),
    /// Decides that the work of one will not be done.
    Discard(DiscardArguments),
}

/// Arguments of `dead-letters list`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  dead-letters list                        those that are open
  dead-letters list --component balances   of one saga, projector or aggregate
  dead-letters list --correlation transfer-7 --all")]
#[non_exhaustive]
pub struct ListArguments {
    /// Only of this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// Only of this saga or projector, or of the aggregate of this domain.
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,
    /// Only with this correlation id.
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Resolved ones too.
    #[arg(long)]
    pub all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Arguments of `dead-letters show`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  dead-letters show 0b9152f4-7c1e-5e0f-8a3d-6a1405c9e7b2")]
#[non_exhaustive]
pub struct LetterArguments {
    /// The letter, as `dead-letters list` shows it.
    pub id: DeadLetterId,
}

/// Arguments of `dead-letters retry`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  dead-letters retry 0b9152f4-7c1e-5e0f-8a3d-6a1405c9e7b2
  dead-letters retry --all-of balances     every open one of a component, oldest first
Of a parked stream the oldest letter comes first, and those behind it follow. The program is started for it and stopped
again: no other process may run on the store.")]
#[non_exhaustive]
pub struct RetryArguments {
    /// The letters.
    #[arg(required_unless_present = "all_of", conflicts_with = "all_of", value_name = "ID")]
    pub ids: Vec<DeadLetterId>,
    /// Every open letter of this saga or projector, or of the aggregate of this domain.
    #[arg(long, value_name = "COMPONENT")]
    pub all_of: Option<String>,
}

/// Arguments of `dead-letters discard`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  dead-letters discard 0b9152f4-7c1e-5e0f-8a3d-6a1405c9e7b2 --reason \"a test order\"
The program is started for it and stopped again: no other process may run on the store.")]
#[non_exhaustive]
pub struct DiscardArguments {
    /// The letter.
    pub id: DeadLetterId,
    /// Why the work will not be done. It is kept with the letter.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Arguments of `rebuild`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  rebuild balances
The program is started for it and stopped again: no other process may run on the store. A program that runs rebuilds beside
its traffic with `runtime.rebuild(\"balances\")`. Handlers that are `live_only` are not called.")]
#[non_exhaustive]
pub struct RebuildArguments {
    /// The projector.
    pub projector: String,
}
