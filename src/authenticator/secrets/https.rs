//! Asking a secrets manager: no redirects, no proxies, no retries, bounded answers.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect, retry};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Trouble, Unavailable, cached::Lifetimes};
use crate::{
    Error, Result as Configured,
    authenticator::{
        limits::locked,
        metrics::{File, Metrics},
        reload::{self, Watched},
    },
    error::root_cause,
};

/// AWS keeps 64 KiB in one secret, Vault a few MiB; a thousand users of one database fit.
const MAX_BODY: usize = 1 << 20;

/// A client for one secrets manager.
pub(super) struct Https {
    client: ArcSwap<Client>,
    authorities: Option<Authorities>,
}

/// Whom it trusts, and nobody else.
struct Authorities {
    path: PathBuf,
    in_use: Mutex<Vec<u8>>,
}

/// What it answered, whatever that is.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Https {
    /// Trusts the authorities of `ca_path` and no others, or else the system's.
    pub(super) fn new(ca_path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = ca_path else {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(Https {
                client: ArcSwap::from_pointee(trusting(roots)?),
                authorities: None,
            });
        };
        let (pem, client) = read(path)?;
        Ok(Https {
            client: ArcSwap::from_pointee(client),
            authorities: Some(Authorities {
                path: path.to_owned(),
                in_use: Mutex::new(pem),
            }),
        })
    }

    /// Trusts what stands in the file of authorities from now on, until `end`.
    pub(super) fn keep_current(self: &Arc<Self>, metrics: &Arc<Metrics>, end: &CancellationToken) {
        let Some(authorities) = &self.authorities else {
            return;
        };
        let watched = Watched::new(vec![authorities.path.clone()]);
        let (https, metrics) = (self.clone(), metrics.clone());
        let look = move || {
            watched.look(File::SecretsManagerCa, &metrics, || https.read_again());
        };
        reload::watch(look, end.clone());
    }

    fn read_again(&self) -> Configured<bool> {
        let Some(authorities) = &self.authorities else {
            return Ok(false);
        };
        let (pem, client) = read(&authorities.path)
            .map_err(|problem| Error::configuration(format!("its authorities: {problem}")))?;
        let mut in_use = locked(&authorities.in_use);
        let changed = *in_use != pem;
        if changed {
            // Connections that the old authorities vouched for go with the old client.
            self.client.store(Arc::new(client));
            *in_use = pem;
        }
        Ok(changed)
    }

    #[cfg(feature = "vault")]
    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.client.load().get(url)
    }

    pub(super) fn post(&self, url: &str, body: Vec<u8>) -> RequestBuilder {
        self.client.load().post(url).body(body)
    }
}

/// Sends a request and reads the answer.
pub(super) async fn answer(request: RequestBuilder) -> Result<Answer, Unavailable> {
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::with_capacity(4 << 10));
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_BODY {
            let long = format!("the answer is longer than {MAX_BODY} bytes");
            return Err(Unavailable::new(Trouble::Malformed, long));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

/// What any HTTP service may say when it cannot answer.
pub(super) fn trouble(status: StatusCode) -> Option<Unavailable> {
    let (trouble, what) = match status.as_u16() {
        429 => (Trouble::Throttled, "it wants to be asked less often"),
        300..=399 => (
            Trouble::Unreachable,
            "it points elsewhere, which is not followed: name the active server itself",
        ),
        500.. => (Trouble::Unreachable, "something is wrong with it"),
        _ => return None,
    };
    let detail = format!("it answers {}: {what}", status.as_u16());
    Some(Unavailable::new(trouble, detail))
}

/// Without a trailing slash: https, or http on loopback, and nothing but scheme, host, port, path.
pub(super) fn endpoint(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL such as https://vault:8200")?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("it is http, which only an address of loopback may be: use https"),
        _ => return Err("it is not a URL such as https://vault:8200"),
    }
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err("it holds a user, a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// It says whom it was to reach, by scheme, host and port alone. No cause of it holds anything that
/// was sent.
fn unreachable(error: reqwest::Error) -> Unavailable {
    let trouble = if error.is_timeout() {
        Trouble::Slow
    } else {
        Trouble::Unreachable
    };
    let peer = error.url().map(origin);
    let cause = root_cause(&error.without_url());
    Unavailable::new(
        trouble,
        match peer {
            Some(peer) => format!("{peer}: {cause}"),
            None => cause,
        },
    )
}

fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Authorities from a file, and a client that trusts them.
fn read(path: &Path) -> Result<(Vec<u8>, Client), String> {
    let problem = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| problem(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| problem(&error))?;
        roots.add(certificate).map_err(|error| problem(&error))?;
    }
    if roots.is_empty() {
        return Err(problem(&"it holds no certificate"));
    }
    let client = trusting(roots)?;
    Ok((pem, client))
}

fn trusting(roots: RootCertStore) -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .timeout(Lifetimes::MAX_TIMEOUT)
        .build()
        .map_err(|error| format!("the HTTPS client cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for length in [MAX_BODY, MAX_BODY + 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4_096]).await.unwrap();
                // Its length is not said before.
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                stream.write_all(head).await.unwrap();
                // Who has read enough hangs up.
                let _ = stream.write_all(&vec![b'x'; length]).await;
            }
        });
        let https = Https::new(None).unwrap();
        let long = answer(https.post(&url, Vec::new())).await.unwrap();
        assert_eq!(long.body.len(), 1 << 20);
        let Err(too_long) = answer(https.post(&url, Vec::new())).await else {
            panic!("it was read");
        };
        assert_eq!(too_long.trouble, Trouble::Malformed);
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_named_without_what_was_asked() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let https = Https::new(None).unwrap();
        let url = format!("http://user:hunter2@{address}/v1/hunter2?hunter2");
        let Err(refused) = answer(https.post(&url, Vec::new())).await else {
            panic!("nobody is there");
        };
        let said = refused.to_string();
        let named = format!("http://{address}: ");
        assert!(
            said.starts_with(&named) && said.contains("refused"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn secrets_come_by_https_or_from_this_machine() {
        for (text, good) in [
            ("https://vault.internal:8200", true),
            ("https://vault.internal/behind/a/proxy/", true),
            ("http://127.0.0.1:8200", true),
            ("http://[::1]:8200", true),
            ("http://localhost:8200/", true),
            ("http://vault.internal:8200", false),
            ("http://127.0.0.1.example", false),
            ("http://0.0.0.0:8200", false),
            ("https://user:hunter2@vault", false),
            ("https://vault?x=1", false),
            ("https://vault#x", false),
            ("unix:///run/vault.sock", false),
            ("vault:8200", false),
            ("", false),
        ] {
            assert_eq!(endpoint(text).is_ok(), good, "{text}");
        }
        assert_eq!(endpoint("https://vault/").as_deref(), Ok("https://vault"));
    }
}
