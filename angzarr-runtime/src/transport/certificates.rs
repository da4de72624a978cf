//! Certificates of brokers and clients, as URLs name them.
//!
//! In: options of a URL, files. Out: where they are, and what they hold. Never: a connection that trusts more than it was told
//! to.

#[cfg(feature = "amqp")]
use std::path::Path;
use std::path::PathBuf;
#[cfg(feature = "amqp")]
use std::sync::Arc;

/// What the URL of a broker may say about certificates: `root_certificates`, `client_certificate` and `client_key`, each a PEM
/// file.
#[derive(Default)]
pub(super) struct CertificateOptions {
    pub(super) root_certificates: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl CertificateOptions {
    pub(super) fn is_one(name: &str) -> bool {
        matches!(name, "root_certificates" | "client_certificate" | "client_key")
    }

    /// Takes an option that [is one](Self::is_one).
    pub(super) fn take(&mut self, name: &str, file: &str) -> Result<(), String> {
        if file.is_empty() {
            return Err(format!("`{name}` names no file"));
        }
        let place = match name {
            "root_certificates" => &mut self.root_certificates,
            "client_certificate" => &mut self.certificate,
            _ => &mut self.key,
        };
        *place = Some(file.into());
        Ok(())
    }

    /// The certificate that the client shows, with its key.
    pub(super) fn client(self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err("`client_certificate` needs `client_key`".to_owned()),
            (None, Some(_)) => Err("`client_key` needs `client_certificate`".to_owned()),
        }
    }
}

/// Whether the two ends could not agree on an encryption: one of them speaks none, or does not take the certificate of the other.
pub(super) fn is_disagreement(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|it| it.is::<rustls::Error>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Encryption that trusts the certificates in the file, or without one those that this machine trusts, and shows a certificate
/// where there is one. It reads files.
#[cfg(feature = "amqp")]
pub(super) fn encryption(
    root_certificates: Option<&Path>,
    client: Option<&(PathBuf, PathBuf)>,
) -> Result<rustls::ClientConfig, String> {
    let cannot = |error: rustls::Error| format!("encryption cannot be set up: {error}");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(cannot)?
        .with_root_certificates(crate::trust::roots(root_certificates, "root_certificates")?);
    crate::trust::showing(config, client, ("client_certificate", "client_key"))
}

/// The client of NATS asks rustls for the provider of the process, and rustls panics where the features of all crates together
/// leave it a choice. Whoever has chosen one keeps it.
#[cfg(feature = "nats")]
pub(super) fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else has just chosen.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
