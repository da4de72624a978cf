//! Whom an encrypted connection to a server trusts, and as whom it comes.
//!
//! In: files of the user's, or none. Out: certificates of those who may sign; a certificate of our own with its key. Never: somebody
//! whom neither the file nor, where there is none, this machine names.

use std::path::{Path, PathBuf};

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// Those whom the file names; without one those whom this machine trusts. `option` is what the file is called in a URL.
///
/// # Errors
/// In words, why nobody can be trusted.
pub(crate) fn roots(file: Option<&Path>, option: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("this machine trusts no certificate at all{why}; name one with `{option}=FILE`"));
        }
        return Ok(roots);
    };
    let cannot = |error: &dyn std::fmt::Display| {
        format!("the certificates in {} cannot be used: {error}; check `{option}`", path.display())
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| cannot(&error))? {
        roots.add(certificate.map_err(|error| cannot(&error))?).map_err(|error| cannot(&error))?;
    }
    if roots.is_empty() {
        return Err(cannot(&"there is none in it"));
    }
    Ok(roots)
}

/// A connection that shows a certificate, where there is one. `options` is what the certificate and its key are called in a URL.
///
/// # Errors
/// In words, why the certificate cannot be shown.
pub(crate) fn showing(
    config: ConfigBuilder<ClientConfig, WantsClientCert>,
    files: Option<&(PathBuf, PathBuf)>,
    options: (&str, &str),
) -> Result<ClientConfig, String> {
    let Some((certificate, key)) = files else { return Ok(config.with_no_client_auth()) };
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        format!("{} cannot be used: {error}; check `{}` and `{}`", path.display(), options.0, options.1)
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| cannot(certificate, &error))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| cannot(key, &error))?;
    config.with_client_auth_cert(chain, key_der).map_err(|error| cannot(certificate, &error))
}
