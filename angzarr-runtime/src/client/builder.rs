//! From a description to a connection.
//!
//! In: a URL, and whom to trust, who asks, how long. Out: a [`Client`] that is connected. Never: a secret in what it prints.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::calls::{Bounds, Line};
use super::error::whole_text;
use super::{Client, ClientError};

/// A connection is there in this time, or it is given up.
const CONNECTING: Duration = Duration::from_secs(10);
/// Bytes of all metadata of an answer, details of errors among them: a server may send larger ones than 16 KiB if it is told to.
const METADATA: u32 = 1 << 20;

/// Describes a connection to a server. From [`Client::builder`]; nothing happens before [`connect`](Self::connect).
#[must_use = "nothing happens before `connect`"]
pub struct ClientBuilder {
    url: String,
    roots: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
    token: Option<String>,
    bounds: Bounds,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &self.url).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        let bounds = Bounds { deadline: Duration::from_secs(30), attempts: 10, message_bytes: 16 << 20 };
        Self { url, roots: Vec::new(), identity: None, server_name: None, token: None, bounds }
    }

    /// Trusts servers whose certificate leads to one of these (PEM), instead of the roots of the system. The URL begins with
    /// `https`.
    pub fn tls_roots(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.roots.push(certificates.into());
        self
    }

    /// Shows this certificate and proves it with its key, both PEM: mutual TLS.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The name that the server's certificate is for, where it is not the host of the URL.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The token that each call carries. Over plain `http` everybody on the way can read it.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long a call may take, all attempts together; 30 s if nothing is said. Subscriptions have none once they are open.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline;
        self
    }

    /// How often a call is tried at most; 10 times if nothing is said, 1 for never again.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.bounds.attempts = attempts.max(1);
        self
    }

    /// Bytes of one message, either way; 16 MiB if nothing is said.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.bounds.message_bytes = bytes;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// Something of the description cannot be used, or nobody answers at the URL.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let (url, endpoint, token, bounds) = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| {
            let message = whole_text(&error);
            ClientError::Unreachable { url: url.clone(), message }
        })?;
        Ok(Client { line: Line::new(channel, url, token, bounds), registry: Arc::new(OnceLock::new()) })
    }

    /// The same without a look whether somebody is there: the first call connects.
    ///
    /// # Errors
    /// Something of the description cannot be used.
    pub fn connect_lazily(self) -> Result<Client, ClientError> {
        let (url, endpoint, token, bounds) = self.endpoint()?;
        let line = Line::new(endpoint.connect_lazy(), url, token, bounds);
        Ok(Client { line, registry: Arc::new(OnceLock::new()) })
    }

    #[allow(clippy::type_complexity)]
    fn endpoint(self) -> Result<(String, Endpoint, Option<MetadataValue<Ascii>>, Bounds), ClientError> {
        let Self { url, roots, identity, server_name, token, bounds } = self;
        let wrong = |field, message: String| ClientError::Setup { field, message };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| {
            wrong("url", format!("`{url}` is no URL: {}; write `http://host:port`", whole_text(&error)))
        })?;
        let is_tls = match endpoint.uri().scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("url", format!("`{url}` begins with neither `http://` nor `https://`"))),
        };
        let mut endpoint = endpoint
            .connect_timeout(CONNECTING)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .http2_max_header_list_size(METADATA);
        if is_tls {
            let mut tls = ClientTlsConfig::new().timeout(CONNECTING);
            tls = if roots.is_empty() {
                tls.with_native_roots()
            } else {
                tls.ca_certificates(roots.into_iter().map(Certificate::from_pem))
            };
            if let Some((certificate, key)) = identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            if let Some(name) = server_name {
                tls = tls.domain_name(name);
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| wrong("tls", whole_text(&error)))?;
        } else if !roots.is_empty() || identity.is_some() {
            return Err(wrong("url", "certificates are for a URL that begins with `https://`".to_owned()));
        }
        let token = token.map(|token| format!("Bearer {token}").parse::<MetadataValue<Ascii>>()).transpose();
        let mut token =
            token.map_err(|_| wrong("bearer_token", "it has characters that a header cannot carry".to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok((url, endpoint, token, bounds))
    }
}
