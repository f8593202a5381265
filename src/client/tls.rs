//! TLS to the Authenticator.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// Where the roots are, if the application says nothing of them.
pub(super) const CA_VARIABLE: &str = "APPROZIUM_CA";

/// How the connection to the Authenticator is secured.
///
/// TLS 1.2 or newer. The Authenticator's certificate must be valid for the name or IP address that
/// is dialled, under the roots of [`roots_file`](Self::roots_file) or
/// [`roots_pem`](Self::roots_pem), else those of the file that `APPROZIUM_CA` names, else those of
/// the system. Files are read again whenever the Authenticator is dialled, so that renewed
/// certificates need no restart.
///
/// ```no_run
/// let tls = approzium::TlsConfig::new()
///     .roots_file("/etc/approzium/ca.pem")
///     .client_certificate_files("/etc/approzium/client.pem", "/etc/approzium/client.key");
/// ```
#[derive(Clone, Default)]
pub struct TlsConfig {
    roots: Option<Pem>,
    client: Option<(Pem, Pem)>,
}

#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(Secret),
}

impl TlsConfig {
    /// The system's roots (or those of `APPROZIUM_CA`), no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of this PEM file, and no others.
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots = Some(Pem::File(path.into()));
        self
    }

    /// Trusts the certificates of this PEM text, and no others.
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(Pem::Text(Secret::new(pem.into())));
        self
    }

    /// Shows the Authenticator a client certificate: the PEM files of its chain (leaf first) and
    /// of its private key (PKCS #8, PKCS #1 or SEC 1).
    pub fn client_certificate_files(
        mut self,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// [`client_certificate_files`](Self::client_certificate_files), from PEM texts.
    pub fn client_certificate_pem(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.client = Some((
            Pem::Text(Secret::new(chain.into())),
            Pem::Text(Secret::new(key.into())),
        ));
        self
    }

    pub(super) fn has_roots(&self) -> bool {
        self.roots.is_some()
    }

    /// Reads the files: blocking.
    pub(super) fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::configuration("TLS cannot be set up").with_source(error))?
            .with_root_certificates(self.root_store()?);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(
                    chain.certificates("client certificate")?,
                    key.private_key()?,
                )
                .map_err(|error| {
                    Error::configuration("the client certificate and its private key do not fit")
                        .with_help("the chain begins with the certificate of that key")
                        .with_source(error)
                })?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        if let Some(pem) = &self.roots {
            for certificate in pem.certificates("trusted roots")? {
                store.add(certificate).map_err(|error| {
                    Error::configuration(format!("{pem} holds a certificate that is no root"))
                        .with_source(error)
                })?;
            }
        } else {
            let native = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(native.certs);
        }
        if store.is_empty() {
            return Err(
                Error::configuration("this system has no trusted roots").with_help(format!(
                    "name the Authenticator's CA by {CA_VARIABLE} or TlsConfig::roots_file"
                )),
            );
        }
        Ok(store)
    }
}

/// Notes that the Authenticator asked for a client certificate: if it does not like the answer, all
/// that may be seen of it is a connection that closes.
#[derive(Debug)]
pub(super) struct Asked {
    resolver: Arc<dyn ResolvesClientCert>,
    asked: AtomicBool,
}

impl Asked {
    pub(super) fn watch(config: &mut ClientConfig) -> Arc<Self> {
        let asked = Arc::new(Asked {
            resolver: Arc::clone(&config.client_auth_cert_resolver),
            asked: AtomicBool::new(false),
        });
        config.client_auth_cert_resolver = Arc::clone(&asked) as _;
        asked
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.resolver.resolve(root_hint_subjects, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

impl Pem {
    fn bytes(&self) -> Result<Secret> {
        match self {
            Pem::Text(text) => Ok(text.clone()),
            Pem::File(path) => std::fs::read(path).map(Secret::new).map_err(|error| {
                Error::configuration(format!("{self} cannot be read: {}", error.kind()))
                    .with_source(error)
            }),
        }
    }

    fn certificates(&self, what: &str) -> Result<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes()?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(bytes.expose_secret())
            .collect::<Result<_, _>>()
            .map_err(|error| Error::configuration(format!("{self} ({what}) is no PEM: {error}")))?;
        if certificates.is_empty() {
            return Err(Error::configuration(format!(
                "{self} ({what}) holds no certificate in PEM form"
            )));
        }
        Ok(certificates)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.bytes()?.expose_secret()).map_err(|_| {
            // The error itself could show what stands in the file.
            Error::configuration(format!("{self} holds no private key in PEM form"))
                .with_help("PKCS #8, PKCS #1 and SEC 1 keys are read; encrypted ones are not")
        })
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{path:?}"),
            Pem::Text(_) => f.write_str("the given PEM text"),
        }
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.as_ref().map(ToString::to_string);
        let client = self.client.as_ref().map(|(chain, _)| chain.to_string());
        f.debug_struct("TlsConfig")
            .field("roots", &roots)
            .field("client_certificate", &client)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_and_certificate() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["authenticator.test".to_owned()]).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn reads_roots_and_client_certificates() {
        let (key, certificate) = key_and_certificate();
        let config = TlsConfig::new()
            .roots_pem(certificate.clone())
            .client_certificate_pem(certificate, key)
            .client_config()
            .unwrap();
        assert_eq!(config.alpn_protocols, [b"h2"]);
        assert!(config.client_auth_cert_resolver.has_certs());
    }

    #[test]
    fn says_which_file_is_not_what_it_should_be() {
        let (key, certificate) = key_and_certificate();
        let (other_key, _) = key_and_certificate();
        let roots = || TlsConfig::new().roots_pem(certificate.clone());
        for (tls, expected) in [
            (TlsConfig::new().roots_file("/no/such.pem"), "/no/such.pem"),
            (TlsConfig::new().roots_pem("nothing"), "no certificate"),
            (TlsConfig::new().roots_pem(key.clone()), "no certificate"),
            (
                roots().client_certificate_pem(certificate.clone(), "x"),
                "private key",
            ),
            (
                roots().client_certificate_pem("x", key),
                "client certificate",
            ),
            (
                roots().client_certificate_pem(certificate.clone(), other_key),
                "do not fit",
            ),
        ] {
            let error = tls.client_config().expect_err(expected);
            assert!(error.is_configuration());
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn shows_no_key() {
        let (key, certificate) = key_and_certificate();
        let tls = TlsConfig::new().client_certificate_pem(certificate, key.clone());
        let line = key.lines().nth(1).unwrap();
        assert!(!format!("{tls:?}").contains(line));
    }
}
