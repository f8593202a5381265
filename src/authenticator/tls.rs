//! The Authenticator's own TLS.

mod judged;
mod live;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use self::live::Configs;
pub(crate) use self::live::{Endpoint, LiveTls};
use super::{
    metrics::Metrics,
    readiness::{OK, Validity, certificate},
    secrets::exposure,
};
use crate::{Error, Result};

/// A certificate, its key, and whom it asks for certificates of their own.
///
/// What was read from files is read again, within seconds, when one of them changes: connections
/// that are open stay, new ones get the new certificate. Files that do not fit together change
/// nothing, and are said in the log. The names that the Authenticator answers to stay those of the
/// start.
#[derive(Debug)]
pub struct ServerTls {
    /// Where it was read; nowhere, if it was given.
    files: Option<Files>,
    material: Material,
}

#[derive(Clone, Debug)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
}

#[derive(Debug)]
struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<RootCertStore>,
    clients_validity: Option<Validity>,
}

impl ServerTls {
    /// A chain of certificates, the server's own first, and its key, in PEM.
    ///
    /// # Errors
    /// Either holds no such thing. Whether they belong together is checked at start.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let problem = |what: &str, error: &dyn std::fmt::Display| {
            Error::configuration(format!("{what}: {error}"))
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| problem("tls_cert_path", &error))?;
        if chain.is_empty() {
            return Err(problem("tls_cert_path", &"it holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| problem("tls_key_path", &"it holds no private key in PEM"))?;
        Ok(ServerTls {
            files: None,
            material: Material {
                chain,
                key,
                clients: None,
                clients_validity: None,
            },
        })
    }

    /// As [`from_pem`](Self::from_pem), from files.
    ///
    /// # Errors
    /// As above, or a file cannot be read.
    pub fn open(chain: &Path, key: &Path) -> Result<Self> {
        let tls = Self::from_pem(&read("tls_cert_path", chain)?, &read("tls_key_path", key)?)?;
        Ok(ServerTls {
            files: Some(Files {
                chain: chain.to_owned(),
                key: key.to_owned(),
                clients: None,
            }),
            ..tls
        })
    }

    /// Only clients with a certificate of one of these authorities (PEM) may connect; their session
    /// tokens are bound to it. Operators need one too, but to ask whether it lives and is ready.
    ///
    /// # Errors
    /// It holds no certificate that could be an authority.
    pub fn with_client_ca(mut self, authorities: &[u8]) -> Result<Self> {
        let problem = |error: &dyn std::fmt::Display| {
            Error::configuration(format!("client_ca_path: {error}"))
        };
        let certificates = CertificateDer::pem_slice_iter(authorities)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| problem(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| problem(&error))?;
        }
        if roots.is_empty() {
            return Err(problem(&"it holds no certificate"));
        }
        self.material.clients = Some(roots);
        self.material.clients_validity = validity(&certificates);
        Ok(self)
    }

    /// As [`with_client_ca`](Self::with_client_ca), from a file.
    ///
    /// # Errors
    /// As above, or the file cannot be read.
    pub fn open_client_ca(self, path: &Path) -> Result<Self> {
        let mut tls = self.with_client_ca(&read("client_ca_path", path)?)?;
        if let Some(files) = &mut tls.files {
            files.clients = Some(path.to_owned());
        }
        Ok(tls)
    }

    /// Whether certificate, key and authorities of clients belong together.
    pub(crate) fn fits(&self) -> Result<()> {
        Configs::of(self).map(drop)
    }

    /// What these files, where it was read, hold now. Authorities that were given stay.
    fn read_again(&self, files: &Files) -> Result<Self> {
        let mut tls = Self::open(&files.chain, &files.key)?;
        match &files.clients {
            Some(path) => tls.open_client_ca(path),
            None => {
                tls.material.clients.clone_from(&self.material.clients);
                tls.material.clients_validity = self.material.clients_validity;
                Ok(tls)
            }
        }
    }

    /// From when and until when every certificate of the chain is valid, in seconds since 1970.
    pub(crate) fn validity(&self) -> Option<Validity> {
        validity(&self.material.chain)
    }

    /// A certificate that has ended is not put in the place of one that has not.
    fn may_replace(&self, other: &Self) -> Result<()> {
        let now = SystemTime::now();
        match certificate(self.validity(), now) {
            OK => Ok(()),
            _ if certificate(other.validity(), now) != OK => Ok(()),
            problem => Err(Error::configuration(format!(
                "tls_cert_path: it is {problem}"
            ))),
        }
    }

    /// Why applications refuse its certificate, whatever authorities they trust.
    pub(crate) fn unfit(&self) -> Option<String> {
        let problem = judged::refusal(self.material.chain.first()?)?;
        Some(format!("tls_cert_path: applications refuse it: {problem}"))
    }

    /// Why its key is no secret, if it was read from a file that others can reach.
    pub(crate) fn exposed_key(&self) -> Option<String> {
        let path = &self.files.as_ref()?.key;
        let problem = exposure(path)?;
        Some(format!("tls_key_path: {}: {problem}", path.display()))
    }

    fn show(&self, metrics: &Metrics) {
        if let Some(problem) = self.exposed_key() {
            ::tracing::warn!("{problem}");
        }
        metrics.certificate(self.validity());
        metrics.client_ca(self.material.clients_validity);
    }

    /// The names that the certificate carries, but for wildcards: what clients may have dialled.
    pub(crate) fn names(&self) -> Vec<String> {
        let Some(certificate) = self
            .material
            .chain
            .first()
            .and_then(|der| Certificate::from_der(der).ok())
        else {
            return Vec::new();
        };
        let Ok(Some((_, names))) = certificate
            .tbs_certificate()
            .get_extension::<SubjectAltName>()
        else {
            return Vec::new();
        };
        names
            .0
            .iter()
            .filter_map(|name| match name {
                GeneralName::DnsName(name) => Some(name.to_string()),
                GeneralName::IpAddress(address) => ip_address(address.as_bytes()),
                _ => None,
            })
            .filter(|name| !name.contains('*'))
            .collect()
    }

    fn config(&self, endpoint: Endpoint) -> Result<ServerConfig> {
        let Material {
            chain,
            key,
            clients,
            ..
        } = &self.material;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::configuration(format!("tls: {error}")))?;
        let builder =
            match clients {
                Some(roots) => {
                    let roots = Arc::new(roots.clone());
                    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                    let verifier = match endpoint {
                        Endpoint::Applications => verifier,
                        Endpoint::Operators => verifier.allow_unauthenticated(),
                    };
                    let verifier = verifier.build();
                    builder.with_client_cert_verifier(verifier.map_err(|error| {
                        Error::configuration(format!("client_ca_path: {error}"))
                    })?)
                }
                None => builder.with_no_client_auth(),
            };
        let mut config = builder
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| {
                let problem = judged::in_words(&error);
                Error::configuration(format!("tls_cert_path and tls_key_path: {problem}"))
            })?;
        if clients.is_some() {
            // A session that is resumed shows no certificate: one that has ended since, or whose
            // authority is taken off, would go on as long as its sessions.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let protocols = endpoint.protocols().iter();
        config.alpn_protocols = protocols.map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

impl Material {
    fn is(&self, other: &Self) -> bool {
        let authorities = |it: &Self| it.clients.as_ref().map(|store| store.roots.clone());
        self.chain == other.chain
            && self.key == other.key
            && authorities(self) == authorities(other)
    }
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        let pair = [self.chain.clone(), self.key.clone()];
        pair.into_iter().chain(self.clients.clone()).collect()
    }
}

/// From when and until when all of them are valid.
fn validity(certificates: &[CertificateDer<'_>]) -> Option<Validity> {
    let validities = certificates.iter().map(|der| {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some((seconds(validity.not_before), seconds(validity.not_after)))
    });
    validities
        .reduce(|one, other| {
            let ((from, until), (later, earlier)) = (one?, other?);
            Some((from.max(later), until.min(earlier)))
        })
        .flatten()
}

/// For how long a certificate is still valid. One that cannot be read is for no time.
pub(crate) fn remaining(certificate: &CertificateDer<'_>) -> Duration {
    let until = validity(std::slice::from_ref(certificate)).map_or(0, |(_, until)| until);
    let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until));
    until
        .and_then(|until| until.duration_since(SystemTime::now()).ok())
        .unwrap_or_default()
}

fn ip_address(octets: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(octets).ok()?;
    Some(std::net::Ipv6Addr::from(v6).to_string())
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::configuration(format!("{setting}: {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn certificate(names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(
            names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(),
        )
        .unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn knows_the_names_it_answers_to() {
        let (chain, key) = certificate(&["auth.example", "*.example", "127.0.0.1", "::1"]);
        let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(tls.names(), ["auth.example", "127.0.0.1", "::1"]);
        assert!(tls.fits().is_ok());
    }

    #[tokio::test]
    async fn when_the_first_authority_of_clients_ends_is_a_metric() {
        let (chain, key) = certificate(&["a"]);
        let authority = |year| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        let shown = |tls: ServerTls| {
            let metrics = Arc::new(Metrics::default());
            LiveTls::start(tls, metrics.clone(), CancellationToken::new()).unwrap();
            metrics.exposition().unwrap()
        };
        let tls = || ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let name = "\napprozium_client_ca_expiry_timestamp_seconds ";
        let both = authority(2200) + &authority(2100);
        let text = shown(tls().with_client_ca(both.as_bytes()).unwrap());
        assert!(text.contains(&format!("{name}4102444800\n")), "{text}");
        assert!(!shown(tls()).contains(name));
    }

    #[test]
    fn each_mistake_names_its_setting() {
        let (chain, key) = certificate(&["a"]);
        let (_, other) = certificate(&["a"]);
        let says = |result: Result<ServerTls>| result.unwrap_err().to_string();
        let tls = || ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(says(ServerTls::from_pem(b"", key.as_bytes())).contains("tls_cert_path"));
        assert!(says(ServerTls::from_pem(chain.as_bytes(), b"x")).contains("tls_key_path"));
        assert!(says(tls().with_client_ca(b"")).contains("client_ca_path"));
        assert!(says(ServerTls::open(Path::new("/no/such"), Path::new("/n"))).contains("/no/such"));
        let (old, its_key) = crate::certificate::tests::version_1();
        let mut old_one = ServerTls::from_pem(chain.as_bytes(), its_key.as_bytes()).unwrap();
        old_one.material.chain = vec![old];
        let refused = old_one.fits().unwrap_err().to_string();
        assert!(refused.contains("tls_cert_path") && refused.contains("version 1 of X.509"));
        let mixed = ServerTls::from_pem(chain.as_bytes(), other.as_bytes()).unwrap();
        let mixed = mixed.fits().unwrap_err().to_string();
        assert!(mixed.contains("tls_key_path"), "{mixed}");
    }
}
