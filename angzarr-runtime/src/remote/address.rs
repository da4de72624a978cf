//! Where a component is, and how it is called.

use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Where a component in another process is reached, and how. An address alone will do:
/// `.remote_saga("shipping", "order", "http://127.0.0.1:7002")`.
///
/// ```
/// use std::time::Duration;
/// use angzarr_runtime::remote::Remote;
///
/// let there = Remote::at("http://127.0.0.1:7002").deadline(Duration::from_secs(2));
/// # let _ = there;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it says where a component is; give it to the builder"]
pub struct Remote {
    address: String,
    deadline: Duration,
    authority: Option<String>,
    identity: Option<(String, String)>,
    snapshot: Option<u32>,
    state_version: u32,
}

impl Remote {
    /// At `http://host:port`, or `https://host:port` with [`certificate_authority`](Self::certificate_authority).
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            deadline: Duration::from_secs(10),
            authority: None,
            identity: None,
            snapshot: None,
            state_version: 1,
        }
    }

    /// How long a call may take; 10 s if nothing is said. A component that does not answer in time counts as out of reach.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.max(Duration::from_millis(1));
        self
    }

    /// For an aggregate: a snapshot every so many events (row N1). Its component is asked for one by `Replay`, the state is stored
    /// with the next events, and commands come with it and the events behind it instead of with the whole history. Without this, or
    /// for as long as the component has no `Replay`, they come with every event.
    ///
    /// A component that cannot read a snapshot answers DATA_LOSS: it is asked again with the whole history (row N4).
    pub fn snapshot(mut self, every: u32) -> Self {
        self.snapshot = Some(every.max(1));
        self
    }

    /// For an aggregate with snapshots: the version of its state's shape; 1 if nothing is said. Snapshots of another version are
    /// ignored (row N4).
    pub fn state_version(mut self, version: u32) -> Self {
        self.state_version = version;
        self
    }

    /// For `https:`: who has signed the component's certificate, in PEM.
    pub fn certificate_authority(mut self, pem: impl Into<String>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// For `https:`: the runtime's own certificate and key in PEM, where the component asks for one.
    pub fn identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn time(&self) -> Duration {
        self.deadline
    }

    pub(super) fn shape(&self) -> u32 {
        self.state_version
    }

    pub(super) fn snapshots(&self) -> Option<u32> {
        self.snapshot
    }

    /// What connects to it; or why nothing can.
    pub(super) fn endpoint(&self) -> Result<Endpoint, String> {
        let is_secure = self.address.starts_with("https://");
        if !is_secure && !self.address.starts_with("http://") {
            return Err("it begins with neither `http://` nor `https://`".to_owned());
        }
        let endpoint = Endpoint::from_shared(self.address.clone()).map_err(|error| error.to_string())?;
        if endpoint.uri().host().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        let mut endpoint = endpoint
            .connect_timeout(self.deadline.min(Duration::from_secs(5)))
            .tcp_keepalive(Some(Duration::from_secs(30)));
        if is_secure {
            let mut tls = ClientTlsConfig::new();
            match &self.authority {
                Some(pem) => tls = tls.ca_certificate(Certificate::from_pem(pem)),
                None => return Err("nobody is trusted to sign its certificate".to_owned()),
            }
            if let Some((certificate, key)) = &self.identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| super::client::with_causes(&error))?;
        } else if self.authority.is_some() || self.identity.is_some() {
            return Err("certificates are of no use without `https://`".to_owned());
        }
        Ok(endpoint)
    }
}

impl From<&str> for Remote {
    fn from(address: &str) -> Self {
        Self::at(address)
    }
}

impl From<String> for Remote {
    fn from(address: String) -> Self {
        Self::at(address)
    }
}
