//! What certificates are trusted and shown, from the files that a [`Config`] names.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{ALPN, verifier::Verifier};
use crate::{
    Error, Result,
    postgres::config::{Config, RootCertificates, SslMode},
};

pub(super) fn client_config(config: &Config) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(
        Arc::clone(&provider),
        roots(config)?,
        config.get_ssl_mode() == SslMode::VerifyFull,
    );
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration("TLS").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut tls = match config.client_certificate() {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("sslcert", certificate)?, private_key(key)?)
            .map_err(|error| {
                Error::configuration("sslcert and sslkey do not fit each other").with_source(error)
            })?,
        _ => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // PostgreSQL resumes no sessions.
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

/// What the certificate must come from; None if it is not verified.
fn roots(config: &Config) -> Result<Option<Trusted>> {
    match (config.root_certificates(), config.get_ssl_mode()) {
        (RootCertificates::File(path), _) => {
            let named = certificates("sslrootcert", path)?;
            let mut roots = RootCertStore::empty();
            // One that cannot serve as an authority may still be the server's own.
            roots.add_parsable_certificates(named.iter().cloned());
            Ok(Some(Trusted {
                roots: Arc::new(roots),
                pinned: named,
            }))
        }
        (RootCertificates::Default, SslMode::Prefer | SslMode::Require) => Ok(None),
        (RootCertificates::Default | RootCertificates::System, _) => Ok(Some(Trusted {
            roots: system_roots()?,
            pinned: Vec::new(),
        })),
    }
}

/// The authorities, and the server certificates trusted as they are.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) pinned: Vec<CertificateDer<'static>>,
}

/// Read once in a process: there may be hundreds.
fn system_roots() -> Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    let (found, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if found == 0 {
        return Err(
            Error::configuration("the system has no root certificates").with_help(
                "install ca-certificates, or name the database's authority with sslrootcert",
            ),
        );
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| {
        Error::configuration(format!("{key}: cannot read certificates from {path:?}"))
            .with_source(error)
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(Error::configuration(format!(
            "{key}: no certificate (PEM) in {path:?}"
        )));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        Error::configuration(format!("sslkey: cannot read a private key from {path:?}"))
            .with_help("it is to be PEM, and not encrypted")
            .with_source(error)
    })
}
