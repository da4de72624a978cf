//! From a URL to what is needed to connect.
//!
//! In: a URL as libpq has it, with `schema=` as our own option. Out: settings that are checked. Never: a connection, or a
//! text that shows a password.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The schema where nothing is said.
const SCHEMA: &str = "angzarr";
/// How long it may take until the server answers.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection whose other end has vanished is given up after about a minute.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// So is one whose other end does not take what was sent.
const UNANSWERED: Duration = Duration::from_secs(60);
/// How long a statement waits for what somebody else has locked.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How long PostgreSQL lets names be.
const NAME_BYTES: usize = 63;

/// What is asked of the certificate of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing: the connection may be encrypted, and nobody knows by whom it is read at the other end.
    Nothing,
    /// It is signed by somebody who is trusted.
    Authority,
    /// And it is made out to the host of the URL.
    Host,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) verify: Verify,
    pub(super) root_certificates: Option<PathBuf>,
    /// What the server is shown, and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    /// How long a statement waits for what somebody else has locked.
    pub(super) lock_patience: Duration,
    /// The user has said when commits are answered; otherwise they are on disk then.
    pub(super) own_durability: bool,
}

impl Settings {
    /// # Errors
    /// In words, what is wrong with the URL.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err("a PostgreSQL URL is like `postgres://user:password@host:5432/database`".to_owned());
        }
        let (mut schema, mut mode, mut root_certificates) = (SCHEMA.to_owned(), None, None);
        let (mut certificate, mut key) = (None, None);
        let mut others = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "schema" => schema = decoded(value)?,
                "sslmode" => mode = Some(decoded(value)?),
                "sslrootcert" => root_certificates = Some(PathBuf::from(decoded(value)?)),
                "sslcert" => certificate = Some(PathBuf::from(decoded(value)?)),
                "sslkey" => key = Some(PathBuf::from(decoded(value)?)),
                _ => others.push(option),
            }
        }
        check_schema(&schema)?;
        let rest = if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) };
        // Its error names options and never quotes a value.
        let mut config = Config::from_str(&rest).map_err(|error| super::error::told(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        let (ssl, verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
            // As libpq does it: whoever names an authority wants it to be asked.
            Some("require") if root_certificates.is_some() => (SslMode::Require, Verify::Authority),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Authority),
            Some("verify-full") => (SslMode::Require, Verify::Host),
            Some(other) => {
                return Err(format!(
                    "`sslmode={other}` is none; write disable, prefer, require, verify-ca or verify-full"
                ));
            }
        };
        if root_certificates.is_some() && verify == Verify::Nothing {
            return Err(
                "`sslrootcert` is asked of nobody without `sslmode=verify-full`, `verify-ca` or `require`".to_owned()
            );
        }
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err("`sslcert` needs `sslkey`".to_owned()),
            (None, Some(_)) => return Err("`sslkey` needs `sslcert`".to_owned()),
        };
        if certificate.is_some() && ssl != SslMode::Require {
            return Err(
                "`sslcert` may be shown to nobody without `sslmode=require`, `verify-ca` or `verify-full`".to_owned()
            );
        }
        config.ssl_mode(ssl);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        // As long as nothing was said.
        let unsaid = Config::new();
        if config.get_keepalives_idle() == unsaid.get_keepalives_idle() {
            config.keepalives_idle(KEEPALIVE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(2);
        }
        // While something is on its way, the system does not ask whether the other side is still there.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNANSWERED);
        }
        if config.get_application_name().is_none() {
            config.application_name("angzarr");
        }
        let own_durability = config.get_options().is_some_and(|it| it.contains("synchronous_commit"));
        let lock_patience = LOCK_PATIENCE;
        Ok(Self { config, schema, verify, root_certificates, certificate, lock_patience, own_durability })
    }

    /// How long it may take until a server has let us in: each of them for as long as its connection may take, and the last one
    /// for its answers.
    pub(super) fn longest_connect(&self) -> Duration {
        let servers = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECT);
        each.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX)).saturating_add(CONNECT)
    }

    pub(super) fn in_schema(mut self, schema: &str) -> Result<Self, String> {
        check_schema(schema)?;
        self.schema = schema.to_owned();
        Ok(self)
    }

    /// Where this is, without the password.
    pub(super) fn describe(&self) -> String {
        let ports = self.config.get_ports();
        let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        let host = |(n, host): (usize, &Host)| match host {
            Host::Tcp(host) => format!("{host}:{}", port(n)),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{}", path.display(), port(n)),
        };
        let mut hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        if hosts.is_empty() {
            hosts = self.config.get_hostaddrs().iter().map(|it| format!("{it}:{}", port(0))).collect();
        }
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("the user's own database");
        format!("postgres {}/{database}, schema {}", hosts.join(","), self.schema)
    }

    /// The schema as SQL has it.
    pub(super) fn quoted_schema(&self) -> String {
        quoted(&self.schema)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

/// A name as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn check_schema(schema: &str) -> Result<(), String> {
    if schema.is_empty() || schema.len() > NAME_BYTES || schema.contains('\0') {
        return Err(format!("the name of a schema has 1 to {NAME_BYTES} bytes, `{schema}` has {}", schema.len()));
    }
    if schema.starts_with("pg_") || schema == "information_schema" {
        return Err(format!("the schema `{schema}` belongs to PostgreSQL itself; choose another name"));
    }
    Ok(())
}

fn decoded(value: &str) -> Result<String, String> {
    let text = percent_decode_str(value).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| format!("`{value}` is no UTF-8 text when its % are decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let it =
            Settings::parse("postgres://me:secret@db.example:6000/shop?schema=my%20shop&sslmode=verify-full").unwrap();
        assert_eq!(it.describe(), "postgres db.example:6000/shop, schema my shop");
        assert_eq!((it.verify, it.config.get_ssl_mode()), (Verify::Host, SslMode::Require));
        assert!(!format!("{it:?}").contains("secret"));
        let it =
            Settings::parse("postgresql:///shop?options=-c%20synchronous_commit%3Doff&application_name=till").unwrap();
        assert_eq!(it.describe(), "postgres localhost:5432/shop, schema angzarr");
        assert!(it.own_durability);
        assert_eq!(it.config.get_application_name(), Some("till"));
        assert_eq!((it.verify, it.config.get_ssl_mode()), (Verify::Nothing, SslMode::Prefer));
        let it = Settings::parse("postgres://h/d?sslmode=require&sslrootcert=/etc/ca.pem").unwrap();
        assert_eq!((it.verify, it.root_certificates), (Verify::Authority, Some("/etc/ca.pem".into())));
        let it =
            Settings::parse("postgres://h/d?sslmode=verify-full&sslcert=/etc/me%20too.pem&sslkey=/etc/me.key").unwrap();
        assert_eq!(it.certificate, Some(("/etc/me too.pem".into(), "/etc/me.key".into())));
    }

    #[test]
    fn what_cannot_work_is_told_without_the_password() {
        for (url, word) in [
            ("postgres:bank", "postgres://user"),
            ("postgres://me:secret@h/d?sslmode=maybe", "verify-full"),
            ("postgres://me:secret@h/d?schema=", "schema"),
            ("postgres://me:secret@h/d?schema=pg_mine", "belongs to PostgreSQL"),
            ("postgres://me:secret@h/d?durablity=off", "durablity"),
            ("postgres://me:secret@h:many/d", "invalid"),
            ("postgres://me:secret@h/d?sslmode=require&sslcert=/c.pem", "needs `sslkey`"),
            ("postgres://me:secret@h/d?sslmode=require&sslkey=/c.key", "needs `sslcert`"),
            ("postgres://me:secret@h/d?sslcert=/c.pem&sslkey=/c.key", "shown to nobody"),
        ] {
            let told = Settings::parse(url).expect_err(url);
            assert!(told.contains(word), "`{word}` is missing in: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn only_verify_full_looks_at_the_name() {
        let verify = |mode: &str| Settings::parse(&format!("postgres://h/d?sslmode={mode}")).unwrap().verify;
        assert_eq!(verify("verify-ca"), Verify::Authority);
        assert_eq!(verify("verify-full"), Verify::Host);
    }

    #[test]
    fn a_name_cannot_get_out_of_its_quotes() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
