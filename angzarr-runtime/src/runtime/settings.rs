//! What can be set: the name of each setting, what it may be, and where the builder keeps it.
//!
//! In: a builder, and what a file or the environment says. Out: each setting's value in force and where it comes from.
//! Never: a password.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::builder::Builder;

/// One setting with the value that is in force. From [`Builder::settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, as a file has it: `sync_deadline`, `limits.payload_bytes`.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: String,
    /// The value, for a person; passwords are masked. `None` if there is none.
    pub value: Option<String>,
    /// The value as a file has it; `None` if a file cannot say it: there is none, it has a password, or it is an instance.
    pub literal: Option<String>,
    /// What it is about.
    pub about: &'static str,
    /// Who said so.
    pub origin: Origin,
}

/// Where a setting comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The program's own code.
    Builder,
    /// A file.
    File {
        /// Its path, as it was given.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Builder => f.write_str("builder"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => f.write_str(variable),
        }
    }
}

/// What a server is told. Read it from [`Builder::server_config`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Its certificate chain, a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Who signs the certificates of clients, a PEM file: with it, clients need one.
    pub client_ca: Option<PathBuf>,
    /// The environment variable that holds the bearer token. The token itself stands in no file.
    pub token_env: Option<String>,
    /// Calls at a time; more are refused.
    pub max_in_flight: Option<u32>,
    /// How long a call without a deadline of its own may take.
    pub default_deadline: Option<Duration>,
}

/// Where telemetry goes. Read it from [`Builder::telemetry_config`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// The OTLP collector that gets traces.
    pub otlp_endpoint: Option<String>,
    /// Where `/metrics` is served for Prometheus.
    pub prometheus_listen: Option<SocketAddr>,
    /// The name of this program in traces.
    pub service_name: Option<String>,
}

/// A setting that a file or the environment may have.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) slot: Slot,
}

/// What a setting may be, and its place in the builder.
#[cfg_attr(not(feature = "config"), allow(dead_code, reason = "only a file and the environment ask"))]
pub(super) enum Slot {
    Url(Url),
    Switch { get: fn(&Builder) -> bool, set: fn(&mut Builder, bool) },
    Count { range: RangeInclusive<u64>, get: fn(&Builder) -> Option<u64>, set: fn(&mut Builder, u64) },
    Size { range: RangeInclusive<u64>, get: fn(&Builder) -> u64, set: fn(&mut Builder, u64) },
    Time { range: RangeInclusive<Duration>, get: fn(&Builder) -> Option<Duration>, set: fn(&mut Builder, Duration) },
    Address { get: fn(&Builder) -> Option<SocketAddr>, set: fn(&mut Builder, SocketAddr) },
    Text { check: Check, get: fn(&Builder) -> Option<String>, set: fn(&mut Builder, String) },
}

/// What a text has to be.
#[derive(Clone, Copy)]
pub(super) enum Check {
    Filled,
    Variable,
    WebAddress,
}

/// The settings that stand for an instance.
#[derive(Clone, Copy)]
pub(super) enum Url {
    Storage,
    Transport,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const MIB: u64 = 1024 * 1024;

macro_rules! limit {
    ($name:literal, $field:ident, $slot:ident, $range:expr, $about:literal) => {
        Key { name: $name, about: $about, slot: limit!($slot, $field, $range) }
    };
    (Count, $field:ident, $range:expr) => {
        Slot::Count {
            range: $range,
            get: |it| Some(it.limits.$field as u64),
            set: |it, value| it.limits.$field = usize::try_from(value).unwrap_or(usize::MAX),
        }
    };
    (Size, $field:ident, $range:expr) => {
        Slot::Size {
            range: $range,
            get: |it| it.limits.$field as u64,
            set: |it, value| it.limits.$field = usize::try_from(value).unwrap_or(usize::MAX),
        }
    };
}

/// A text of one of the sections.
macro_rules! text {
    ($section:ident . $field:ident, $check:ident) => {
        Slot::Text {
            check: Check::$check,
            get: |it| it.$section.$field.clone(),
            set: |it, value| it.$section.$field = Some(value),
        }
    };
    ($section:ident . $field:ident) => {
        Slot::Text {
            check: Check::Filled,
            get: |it| it.$section.$field.as_ref().map(|path| path.display().to_string()),
            set: |it, value| it.$section.$field = Some(value.into()),
        }
    };
}

macro_rules! address {
    ($section:ident . $field:ident) => {
        Slot::Address { get: |it| it.$section.$field, set: |it, value| it.$section.$field = Some(value) }
    };
}

/// A number that its range keeps small.
fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// All of them, those of a section together.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "storage", about: "Where events are kept: memory:, sqlite:bank.db, …", slot: Slot::Url(Url::Storage)
    },
    Key { name: "transport", about: "How subscribers are woken: local:, …", slot: Slot::Url(Url::Transport) },
    Key {
        name: "outbox",
        about: "Whether the relay stores how far it has published.",
        slot: Slot::Switch { get: |it| it.outbox, set: |it, value| it.outbox = value },
    },
    Key {
        name: "state_cache_bytes",
        about: "Bytes of states that are kept for the next command.",
        slot: Slot::Size { range: 0..=1 << 44, get: |it| it.cache_bytes, set: |it, value| it.cache_bytes = value },
    },
    Key {
        name: "sync_deadline",
        about: "How long a SIMPLE command waits for projectors.",
        slot: Slot::Time {
            range: MILLISECOND..=HOUR,
            get: |it| Some(it.sync_deadline),
            set: |it, value| it.sync_deadline = value,
        },
    },
    Key {
        name: "drain_limit",
        about: "How long a shutdown waits for what runs.",
        slot: Slot::Time {
            range: Duration::ZERO..=HOUR,
            get: |it| Some(it.drain_limit),
            set: |it, value| it.drain_limit = value,
        },
    },
    Key {
        name: "command_attempts",
        about: "Tries of a command against other writers.",
        slot: Slot::Count {
            range: 1..=1_000,
            get: |it| Some(it.attempts.into()),
            set: |it, value| it.attempts = small(value),
        },
    },
    Key {
        name: "partitions",
        about: "Into how many partitions the work of a saga or process manager is divided over processes; the first start on a store decides.",
        slot: Slot::Count {
            range: 1..=1_024,
            get: |it| Some(it.partitions.into()),
            set: |it, value| it.partitions = small(value),
        },
    },
    Key {
        name: "lease_time",
        about: "For how long a process that is not heard of keeps its part of the work.",
        slot: Slot::Time {
            range: Duration::from_secs(1)..=HOUR,
            get: |it| Some(it.lease_time),
            set: |it, value| it.lease_time = value,
        },
    },
    Key {
        name: "cascade_depth",
        about: "Reactions one after the other in a CASCADE before it is stopped.",
        slot: Slot::Count {
            range: 1..=10_000,
            get: |it| Some(it.cascade_depth.into()),
            set: |it, value| it.cascade_depth = small(value),
        },
    },
    Key {
        name: "reaction_attempts",
        about: "Retries of an event in a component before it is dead-lettered.",
        slot: Slot::Count {
            range: 0..=1_000,
            get: |it| Some(it.reaction_attempts.into()),
            set: |it, value| it.reaction_attempts = small(value),
        },
    },
    Key {
        name: "reaction_backoff_min",
        about: "The first pause between those retries.",
        slot: Slot::Time {
            range: MILLISECOND..=HOUR,
            get: |it| Some(it.reaction_backoff.0),
            set: |it, value| it.reaction_backoff.0 = value,
        },
    },
    Key {
        name: "reaction_backoff_max",
        about: "The longest pause between those retries.",
        slot: Slot::Time {
            range: MILLISECOND..=HOUR,
            get: |it| Some(it.reaction_backoff.1),
            set: |it, value| it.reaction_backoff.1 = value,
        },
    },
    limit!("limits.payload_bytes", payload_bytes, Size, 1..=1024 * MIB, "Bytes of one command or event payload."),
    limit!("limits.ext_bytes", ext_bytes, Size, 0..=16 * MIB, "Bytes of the extension of a cover."),
    limit!("limits.events_per_command", events_per_command, Count, 1..=1_000_000, "Events from one command."),
    limit!("limits.pages_per_book", pages_per_book, Count, 1..=1_000_000, "Pages in one command book."),
    limit!("limits.domain_name_chars", domain_name_chars, Count, 1..=255, "Characters of a domain name."),
    limit!("limits.edition_name_chars", edition_name_chars, Count, 1..=255, "Characters of an edition name."),
    limit!("limits.id_bytes", id_bytes, Count, 1..=1_024, "Bytes of a correlation id or an external id."),
    Key { name: "server.listen", about: "Where the server listens.", slot: address!(server.listen) },
    Key { name: "server.tls_cert", about: "The server's certificate chain, a PEM file.", slot: text!(server.tls_cert) },
    Key { name: "server.tls_key", about: "The key of the certificate, a PEM file.", slot: text!(server.tls_key) },
    Key {
        name: "server.client_ca",
        about: "Who signs the certificates of clients, a PEM file: with it, clients need one.",
        slot: text!(server.client_ca),
    },
    Key {
        name: "server.token_env",
        about: "The environment variable that holds the bearer token.",
        slot: text!(server.token_env, Variable),
    },
    Key {
        name: "server.max_in_flight",
        about: "Calls at a time; more are refused.",
        slot: Slot::Count {
            range: 1..=1_000_000,
            get: |it| it.server.max_in_flight.map(Into::into),
            set: |it, value| it.server.max_in_flight = Some(small(value)),
        },
    },
    Key {
        name: "server.default_deadline",
        about: "How long a call without a deadline of its own may take.",
        slot: Slot::Time {
            range: MILLISECOND..=HOUR,
            get: |it| it.server.default_deadline,
            set: |it, value| it.server.default_deadline = Some(value),
        },
    },
    Key {
        name: "telemetry.otlp_endpoint",
        about: "The OTLP collector that gets traces.",
        slot: text!(telemetry.otlp_endpoint, WebAddress),
    },
    Key {
        name: "telemetry.prometheus_listen",
        about: "Where /metrics is served for Prometheus.",
        slot: address!(telemetry.prometheus_listen),
    },
    Key {
        name: "telemetry.service_name",
        about: "The name of this program in traces.",
        slot: text!(telemetry.service_name, Filled),
    },
];

/// The environment variable of a setting: `limits.id_bytes` is `ANGZARR_LIMITS_ID_BYTES`.
pub(super) fn variable(name: &str) -> String {
    format!("ANGZARR_{}", name.replace('.', "_").to_ascii_uppercase())
}

impl Key {
    pub(super) fn setting(&self, builder: &Builder) -> Setting {
        let text = |value: String| (Some(mask(&value)), Some(quoted(&value)).filter(|_| mask(&value) == value));
        let plain = |value: String| (Some(value.clone()), Some(value));
        let (value, literal) = match &self.slot {
            Slot::Url(which) => {
                let (described, url) = builder.engine(*which);
                (Some(mask(&described)), url.filter(|url| mask(url) == *url).map(|url| quoted(&url)))
            }
            Slot::Switch { get, .. } => plain(get(builder).to_string()),
            Slot::Count { get, .. } => get(builder).map_or((None, None), |it| plain(it.to_string())),
            Slot::Size { get, .. } => text(size_text(get(builder))),
            Slot::Time { get, .. } => get(builder).map_or((None, None), |it| text(time_text(it))),
            Slot::Address { get, .. } => get(builder).map_or((None, None), |it| text(it.to_string())),
            Slot::Text { get, .. } => get(builder).map_or((None, None), text),
        };
        let origin = builder.origins.get(self.name).cloned().unwrap_or_default();
        Setting { name: self.name, variable: variable(self.name), value, literal, about: self.about, origin }
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// In the largest unit that says it exactly.
pub(super) fn size_text(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
    let exact = units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// In the largest unit that says it exactly.
pub(super) fn time_text(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units =
        [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let exact = units.into_iter().find(|(unit, _)| nanos > 0 && nanos.is_multiple_of(*unit));
    match exact {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None if nanos == 0 => "0s".to_owned(),
        None => format!("{nanos}ns"),
    }
}

/// Takes the secrets out of a URL: the password, or a user that is a token, and options that are named like one.
pub(crate) fn mask(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (address, options) = match rest.split_once('?') {
        // A password may hold a `?`; a host name cannot stand behind one.
        Some((_, behind)) if behind.contains('@') && !rest[..rest.find('?').unwrap_or(0)].contains('@') => (rest, None),
        Some((address, options)) => (address, Some(options)),
        None => (rest, None),
    };
    let mut masked = format!("{scheme}://");
    // Several servers may stand there, each with its own.
    match address.rsplit_once('@') {
        Some((users, host)) => {
            let user = users.split_once(':').map(|(user, _)| user);
            // NATS takes a token in the place of the user.
            let user = user.unwrap_or(if scheme.starts_with("nats") || scheme == "tls" { "" } else { users });
            let secret = if users.contains(':') || user.is_empty() { ":***" } else { "" };
            masked.push_str(&format!("{user}{secret}@{host}"));
        }
        None => masked.push_str(address),
    }
    if let Some(options) = options {
        let option = |option: &str| match option.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => option.to_owned(),
        };
        masked.push('?');
        masked.push_str(&options.split('&').map(option).collect::<Vec<_>>().join("&"));
    }
    masked
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "credential", "apikey", "api_key"].iter().any(|it| name.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_are_masked() {
        for (url, shown) in [
            ("sqlite:bank.db", "sqlite:bank.db"),
            ("postgres://localhost/bank", "postgres://localhost/bank"),
            ("postgres://ada@localhost/bank", "postgres://ada@localhost/bank"),
            ("postgres://ada:secret@localhost/bank", "postgres://ada:***@localhost/bank"),
            ("postgres://ada:sec@ret/x@localhost/bank", "postgres://ada:***@localhost/bank"),
            ("postgres://ada:sec?ret@localhost/bank", "postgres://ada:***@localhost/bank"),
            (
                "postgres://h/b?user=ada&password=secret&sslmode=require",
                "postgres://h/b?user=ada&password=***&sslmode=require",
            ),
            ("postgres://a:b@h/b?sslpassword=x", "postgres://a:***@h/b?sslpassword=***"),
            ("nats://s3cr3t@localhost:4222", "nats://:***@localhost:4222"),
            ("amqp://guest:guest@localhost", "amqp://guest:***@localhost"),
        ] {
            assert_eq!(mask(url), shown);
            assert_eq!(mask(shown), shown, "what is masked stays as it is");
        }
    }

    #[test]
    fn sizes_and_times_are_said_exactly() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (256 * MIB, "256MiB"), (1536, "1536B")] {
            assert_eq!(size_text(bytes), text);
        }
        for (nanos, text) in
            [(0, "0s"), (5_000_000_000, "5s"), (90_000_000_000, "90s"), (1_500, "1500ns"), (2_000, "2us")]
        {
            assert_eq!(time_text(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(time_text(Duration::from_secs(7_200)), "2h");
    }
}
