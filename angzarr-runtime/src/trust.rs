//! Whom an encrypted connection to a server trusts.
//!
//! In: a file of the user's, or none. Out: certificates of those who may sign. Never: somebody whom neither the file nor, where
//! there is none, this machine names.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

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
