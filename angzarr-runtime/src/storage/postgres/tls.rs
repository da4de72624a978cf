//! Encrypted connections.
//!
//! In: what is asked of the server's certificate. Out: what a connection is encrypted with. Never: a certificate that passes
//! although the URL asks for it to be verified.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::StorageError;
use super::error::failed;
use super::settings::{Settings, Verify};
use crate::trust;

/// It reads files.
pub(super) fn connector(settings: &Settings) -> Result<MakeRustlsConnect, StorageError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let cannot = |error: &dyn std::fmt::Display| failed(format!("encryption cannot be set up: {error}"));
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| cannot(&error))?;
    let verifier: Arc<dyn ServerCertVerifier> = match settings.verify {
        Verify::Nothing => Arc::new(Lenient { provider, authority: None }),
        Verify::Authority | Verify::Host => {
            let roots = Arc::new(trust::roots(settings.root_certificates.as_deref(), "sslrootcert").map_err(failed)?);
            let strict = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            let strict = strict.map_err(|error| cannot(&error))?;
            match settings.verify {
                Verify::Host => strict,
                _ => Arc::new(Lenient { provider, authority: Some(strict) }),
            }
        }
    };
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let config = trust::showing(config, settings.certificate.as_ref(), ("sslcert", "sslkey")).map_err(failed)?;
    Ok(MakeRustlsConnect::new(config))
}

/// Asks for an authority and not for the name, or for nothing: what `verify-ca` and `require` mean. The other end must have
/// the key of its certificate all the same.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
