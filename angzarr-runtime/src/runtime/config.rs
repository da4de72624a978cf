//! What a deployment says: one file, and the environment.
//!
//! In: the text of a file, and variables. Out: settings on a builder, each with its origin, or every mistake in them. Never: a
//! guess at what was meant, or a password in a message.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::builder::Builder;
use super::settings::{Check, KEYS, Key, Origin, Slot, Url, mask, size_text, time_text, variable};
use crate::error::nearest;
use crate::registry::Problem;

/// The file that is read if `ANGZARR_CONFIG` names none.
const FILE: &str = "angzarr.toml";
const FILE_VARIABLE: &str = "ANGZARR_CONFIG";

/// What a deployment says about a program: the file `angzarr.toml` in the working directory, or the one that the variable
/// `ANGZARR_CONFIG` names; and the environment, which wins over the file: `sync_deadline` is `ANGZARR_SYNC_DEADLINE`,
/// `limits.id_bytes` is `ANGZARR_LIMITS_ID_BYTES`. An empty variable counts as none.
///
/// It goes onto a builder by [`Builder::configured_by`], and wins over what was said there before; so code says before what a
/// deployment may change, and behind it what it may not.
///
/// ```
/// use angzarr_runtime::{Config, Memory, Runtime};
///
/// let said = Config::from_toml("angzarr.toml", "sync_deadline = \"2s\"\n[limits]\npayload_bytes = \"1MiB\"");
/// let builder = Runtime::builder().storage(Memory::new()).configured_by(said);
/// let deadline = builder.settings().into_iter().find(|it| it.name == "sync_deadline").unwrap();
/// assert_eq!(deadline.value.as_deref(), Some("2s"));
/// assert_eq!(deadline.origin.to_string(), "angzarr.toml:1");
/// ```
#[derive(Default)]
pub struct Config {
    /// Those of the file first: later ones win.
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

struct Entry {
    key: &'static Key,
    given: Given,
    origin: Origin,
}

/// A value before anybody has asked what it has to be.
enum Given {
    Text(String),
    Number(String),
    Switch(bool),
    /// None of these: what it is.
    Other(&'static str),
}

impl Config {
    /// What file and environment of this process say.
    pub fn load() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("ANGZARR_"))?;
            Some((name, value.into_string()))
        });
        let mut unreadable = Vec::new();
        let mut variables = Vec::new();
        for (name, value) in ours {
            match value {
                Ok(value) => variables.push((name, value)),
                Err(_) => unreadable.push(Problem::error(format!("{name}: the value is no UTF-8"))),
            }
        }
        let mut config = Self::from_variables(variables);
        config.problems.extend(unreadable);
        config
    }

    /// The same with these variables instead of the environment's.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables: Vec<_> = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        variables.sort_unstable();
        let named = variables.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, path)| PathBuf::from(path));
        let mut config = match &named {
            Some(path) => Self::from_file(path),
            None if Path::new(FILE).exists() => Self::from_file(Path::new(FILE)),
            None => Self::default(),
        };
        let (known, unknown): (Vec<_>, Vec<_>) =
            variables.into_iter().partition(|(name, _)| KEYS.iter().any(|key| variable(key.name) == *name));
        for (name, value) in known {
            config.add_variable(name, value);
        }
        for (name, _) in unknown {
            config.add_unknown_variable(&name);
        }
        config
    }

    /// What a file says; one that cannot be read is a mistake.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(path, &text),
            Err(error) => {
                let problem = Problem::error(format!("the configuration {} cannot be read: {error}", path.display()))
                    .hint(format!("{FILE_VARIABLE} names it; without that, {FILE} in the working directory is read"));
                Self { problems: vec![problem], ..Self::default() }
            }
        }
    }

    /// What this text says, as a file of that name.
    pub fn from_toml(path: impl AsRef<Path>, text: &str) -> Self {
        let mut config = Self::default();
        let place = |at: usize| Origin::File {
            path: path.as_ref().to_owned(),
            line: text.get(..at).unwrap_or(text).matches('\n').count() + 1,
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let origin = place(error.span().map_or(0, |span| span.start));
            config.problems.push(Problem::error(format!("{origin}: {}", error.message())));
        }
        config.add_table("", table.get_ref(), &place);
        config
    }

    fn add_table(&mut self, section: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            let full =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let origin = place(name.span().start);
            let is_section =
                KEYS.iter().any(|key| key.name.strip_prefix(&full).is_some_and(|rest| rest.starts_with('.')));
            match (KEYS.iter().find(|key| key.name == full), value.get_ref()) {
                (Some(key), value) => self.entries.push(Entry { key, given: Given::from(value), origin }),
                (None, DeValue::Table(inner)) if is_section => self.add_table(&full, inner, place),
                (None, _) if is_section => self.problems.push(
                    Problem::error(format!("{origin}: `{full}` is a section, not a setting"))
                        .hint(format!("write `[{full}]` and its settings on the lines below")),
                ),
                (None, _) => self.problems.push(unknown(&origin, &full)),
            }
        }
    }

    fn add_variable(&mut self, name: String, value: String) {
        if let Some(key) = KEYS.iter().find(|key| variable(key.name) == name) {
            self.entries.push(Entry { key, given: Given::Text(value), origin: Origin::Environment { variable: name } });
        }
    }

    /// It may be somebody else's, so it stops nothing: whoever names a service `angzarr` gets variables of that name from
    /// Kubernetes.
    fn add_unknown_variable(&mut self, name: &str) {
        let is_token = |entry: &Entry| entry.key.name == "server.token_env" && entry.given.text() == Some(name);
        let Some(rest) = name.strip_prefix("ANGZARR_").filter(|_| name != FILE_VARIABLE) else { return };
        if self.entries.iter().any(is_token) {
            return;
        }
        let known: Vec<_> = KEYS.iter().map(|key| variable(key.name)).collect();
        let known = known.iter().filter_map(|it| it.strip_prefix("ANGZARR_")).chain(["CONFIG"]);
        let problem = Problem::warning(format!("the variable {name} sets nothing"));
        self.problems.push(match nearest(rest, known).first() {
            Some(known) => problem.hint(format!("did you mean ANGZARR_{known}?")),
            None => problem.hint("`config` lists the variables"),
        });
    }

    /// Whether nothing was said, and nothing said wrong.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.problems.is_empty()
    }
}

fn unknown(origin: &Origin, name: &str) -> Problem {
    let sections = KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0));
    let problem = Problem::error(format!("{origin}: there is no setting `{name}`"));
    match nearest(name, KEYS.iter().map(|key| key.name).chain(sections)).first() {
        Some(known) => problem.hint(format!("did you mean `{known}`?")),
        None => problem.hint("`config --format toml` writes a file with all of them"),
    }
}

impl From<&DeValue<'_>> for Given {
    fn from(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Self::Number(number.as_str().replace('_', "")),
            DeValue::Integer(number) => match i128::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => Self::Number(number.to_string()),
                Err(_) => Self::Other("a number out of bounds"),
            },
            DeValue::Boolean(switch) => Self::Switch(*switch),
            DeValue::Float(_) => Self::Other("a fraction"),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(_) => Self::Other("a list"),
            DeValue::Table(_) => Self::Other("a section"),
        }
    }
}

impl Given {
    /// As a message shows it.
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("`{}`", mask(&crate::stream::limits::shorten(text))),
            Self::Number(number) => format!("`{number}`"),
            Self::Switch(switch) => format!("`{switch}`"),
            Self::Other(what) => (*what).to_owned(),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            _ => None,
        }
    }

    /// A text that holds a number will do: the environment knows nothing else.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(switch) => Some(*switch),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn size(&self) -> Option<u64> {
        let with_unit = || Some(self.text()?.parse::<bytesize::ByteSize>().ok()?.as_u64());
        self.number().or_else(with_unit)
    }

    /// A number alone does not say of what.
    fn time(&self) -> Option<Duration> {
        humantime::parse_duration(self.text()?).ok()
    }
}

impl Builder {
    /// Puts on what file and environment of this process say ([`Config::load`]); see
    /// [`configured_by`](Self::configured_by). A builder that was configured already stays as it is.
    ///
    /// The tool (`cli::run`, `cli::execute`) does it by itself.
    #[must_use]
    pub fn configure(self) -> Self {
        if self.is_configured { self } else { self.configured_by(Config::load()) }
    }

    /// Puts on what a deployment says. It wins over what was said on this builder before; what is said behind it stays, whatever
    /// the deployment says. Mistakes are told by [`build`](Self::build), together with every other one.
    #[must_use]
    pub fn configured_by(mut self, config: Config) -> Self {
        self.is_configured = true;
        self.problems.extend(config.problems);
        for Entry { key, given, origin } in config.entries {
            self = key.set(self, &given, origin);
        }
        let (min, max) = self.reaction_backoff;
        if min > max {
            let said = |name: &str| self.origins.get(name).cloned().unwrap_or_default();
            let (from, to) = (said("reaction_backoff_min"), said("reaction_backoff_max"));
            self.problems.push(Problem::error(format!(
                "`reaction_backoff_min` is {} ({from}), more than `reaction_backoff_max`, which is {} ({to})",
                time_text(min),
                time_text(max)
            )));
        }
        self.check_server();
        self
    }

    fn check_server(&mut self) {
        let server = &self.server;
        let mut problems = Vec::new();
        if server.tls_cert.is_some() != server.tls_key.is_some() {
            problems.push(
                Problem::error("`server.tls_cert` and `server.tls_key` come together, and only one of them is set")
                    .hint("set both for TLS, or none"),
            );
        }
        if server.client_ca.is_some() && server.tls_cert.is_none() {
            problems.push(
                Problem::error("`server.client_ca` is set, and the server has no certificate of its own")
                    .hint("set `server.tls_cert` and `server.tls_key` too"),
            );
        }
        self.problems.append(&mut problems);
    }
}

impl Key {
    fn set(&self, mut builder: Builder, given: &Given, origin: Origin) -> Builder {
        if let Slot::Url(which) = self.slot
            && let Some(url) = given.text()
        {
            let (known, before) = (builder.problems.len(), builder.origins.get(self.name).cloned());
            builder = match which {
                Url::Storage => builder.storage_url(url),
                Url::Transport => builder.transport_url(url),
            };
            if builder.problems.len() > known {
                for problem in &mut builder.problems[known..] {
                    *problem = problem.clone().in_front(&format!("{origin}: "));
                }
                builder.origins.insert(self.name, before.unwrap_or_default());
                return builder;
            }
        } else if let Err(wanted) = self.put(&mut builder, given) {
            // What stands in the place of a variable's name may be the token itself.
            let shown = match self.slot {
                Slot::Text { check: Check::Variable, .. } => "no name of a variable".to_owned(),
                _ => given.shown(),
            };
            let message = format!("{origin}: `{}` is {shown}; write {wanted}", self.name);
            builder.problems.push(Problem::error(message));
            return builder;
        }
        builder.origins.insert(self.name, origin);
        builder
    }

    /// Checks a value and puts it on the builder, or says what it has to be.
    fn put(&self, builder: &mut Builder, given: &Given) -> Result<(), String> {
        match &self.slot {
            Slot::Url(Url::Storage) => Err("a URL, like \"sqlite:bank.db\"".to_owned()),
            Slot::Url(Url::Transport) => Err("a URL, like \"local:\"".to_owned()),
            Slot::Switch { set, .. } => {
                set(builder, given.switch().ok_or("true or false")?);
                Ok(())
            }
            Slot::Count { range, set, .. } => {
                let wanted = || format!("a number from {} to {}", range.start(), range.end());
                set(builder, given.number().filter(|it| range.contains(it)).ok_or_else(wanted)?);
                Ok(())
            }
            Slot::Size { range, set, .. } => {
                let (min, max) = (size_text(*range.start()), size_text(*range.end()));
                let wanted = || format!("a size from {min} to {max}, like \"256MiB\", or a number of bytes");
                set(builder, given.size().filter(|it| range.contains(it)).ok_or_else(wanted)?);
                Ok(())
            }
            Slot::Time { range, set, .. } => {
                let (min, max) = (time_text(*range.start()), time_text(*range.end()));
                let wanted = || format!("a time from {min} to {max}, like \"5s\" or \"250ms\"");
                set(builder, given.time().filter(|it| range.contains(it)).ok_or_else(wanted)?);
                Ok(())
            }
            Slot::Address { set, .. } => {
                let address = given.text().and_then(|text| text.parse::<SocketAddr>().ok());
                set(builder, address.ok_or("an address with a port, like \"127.0.0.1:9464\"")?);
                Ok(())
            }
            Slot::Text { check, set, .. } => {
                let text = given.text().filter(|text| check.holds(text)).ok_or(check.wanted())?;
                set(builder, text.to_owned());
                Ok(())
            }
        }
    }
}

impl Check {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Filled => !text.is_empty() && !text.chars().any(char::is_control),
            Self::Variable => {
                text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
                    && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
            }
            Self::WebAddress => {
                let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
                rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
            }
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Filled => "a text that is not empty",
            Self::Variable => {
                "the name of an environment variable, like \"ANGZARR_TOKEN\"; the token itself belongs there"
            }
            Self::WebAddress => "an http:// or https:// address, like \"http://localhost:4317\"",
        }
    }
}
