//! Asking STS whose signature a proof carries.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::tracing::debug;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, RequestBuilder, Response, redirect, retry};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tokio::sync::Semaphore;

use super::{
    CheckedProof, PresignedMethod, PresignedOrigin, PresignedProof, Region, Verifier,
    request::CONTENT_TYPE,
};
use crate::{
    Error, Result,
    error::root_cause,
    identity::{Rejection, VerifiedIdentity},
};

pub(super) mod answer;

/// Asks the regional STS of AWS, once for each proof.
///
/// - https only, to the host that the region's table names; certificates of the system's roots;
/// - no redirects, no retries, no proxy, and deaf to `AWS_ENDPOINT_URL*` and every other variable;
/// - at most [10 seconds](StsVerifierBuilder::timeout) in all, a bounded number of
///   [calls at once](StsVerifierBuilder::max_concurrent_calls), at most 64 KiB of answer;
/// - the answer is parsed strictly; identities of account 000000000000 are refused.
pub struct StsVerifier {
    client: Client,
    /// None: all of the table.
    regions: Option<Vec<&'static Region>>,
    fips: bool,
    timeout: Duration,
    calls: Calls,
}

impl StsVerifier {
    /// The settings to start from.
    pub fn builder() -> StsVerifierBuilder {
        StsVerifierBuilder::default()
    }

    /// Whether the STS of this region can be asked at all: it is sent a question that nobody has
    /// signed, which it must refuse.
    ///
    /// # Errors
    /// [`Rejection::UnknownRegion`] if it is none that is asked, or FIPS is asked for and not there;
    /// [`Rejection::Unavailable`] if no answer came, or one of a server in trouble.
    pub async fn reach(&self, region: &Region) -> std::result::Result<(), Rejection> {
        let host = self.host(region)?;
        let question = self
            .client
            .post(format!("https://{host}/"))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(CheckedProof::BODY);
        let status = question.send().await.map_err(unavailable)?.status();
        match status.is_client_error() {
            true => Ok(()),
            false => Err(Rejection::Unavailable(format!("it answered {status}"))),
        }
    }

    fn host(&self, region: &Region) -> std::result::Result<&'static str, Rejection> {
        let regions = self.regions.as_ref();
        if regions.is_some_and(|regions| !regions.contains(&region)) {
            return Err(Rejection::UnknownRegion);
        }
        if self.fips {
            region.sts_fips_host().ok_or(Rejection::UnknownRegion)
        } else {
            Ok(region.sts_host())
        }
    }

    /// One question, within its time.
    async fn ask(
        &self,
        region: &Region,
        question: RequestBuilder,
    ) -> std::result::Result<VerifiedIdentity, Rejection> {
        let began = tokio::time::Instant::now();
        let deadline = began + self.timeout;
        let calls = self.calls.of(region);
        // STS has the other half: else one that answers would be taken for one that does not.
        let call = tokio::time::timeout_at(began + self.timeout / 2, calls.acquire()).await;
        let Ok(Ok(_call)) = call else {
            return Err(Rejection::Throttled);
        };
        let verdict = tokio::time::timeout_at(deadline, answered(region, question))
            .await
            .unwrap_or_else(|_| Err(Rejection::Unavailable("it did not answer in time".into())));
        if let Err(rejection) = &verdict {
            debug!(
                region = region.name(),
                reason = rejection.reason(),
                "STS did not vouch for a proof"
            );
        }
        verdict
    }
}

/// Calls under way, region by region: of so many as the table has.
struct Calls {
    at_once: usize,
    regions: Mutex<HashMap<&'static str, Arc<Semaphore>>>,
}

impl Calls {
    fn of(&self, region: &Region) -> Arc<Semaphore> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions
            .entry(region.name())
            .or_insert_with(|| Arc::new(Semaphore::new(self.at_once)))
            .clone()
    }
}

async fn answered(
    region: &Region,
    question: RequestBuilder,
) -> std::result::Result<VerifiedIdentity, Rejection> {
    let response = question.send().await.map_err(unavailable)?;
    let status = response.status();
    let content_type = the_one(response.headers(), &header::CONTENT_TYPE);
    let body = bounded_body(response).await?;
    let identity = answer::read(status, content_type.as_deref(), &body)?;
    let principal = &identity.principal;
    if principal.account() == STAND_IN_ACCOUNT || principal.partition() != region.partition() {
        return Err(Rejection::Account);
    }
    Ok(identity)
}

/// Only stand-ins have identities of this account.
pub(crate) const STAND_IN_ACCOUNT: &str = "000000000000";

#[tonic::async_trait]
impl Verifier for StsVerifier {
    async fn verify(
        &self,
        proof: &CheckedProof,
    ) -> std::result::Result<VerifiedIdentity, Rejection> {
        let region = proof.region();
        let host = self.host(region)?;
        let question = self
            .client
            .post(format!("https://{host}/"))
            .headers(headers(host, proof)?)
            .body(CheckedProof::BODY);
        self.ask(region, question).await
    }

    fn presigned_origin(&self) -> PresignedOrigin {
        PresignedOrigin::Sts { fips: self.fips }
    }

    async fn verify_presigned(
        &self,
        proof: &PresignedProof,
    ) -> std::result::Result<VerifiedIdentity, Rejection> {
        let region = proof.region();
        let host = self.host(region)?;
        // A proof for another host than the one that is asked could only be refused there.
        if proof.host() != host {
            return Err(Rejection::Malformed(
                "the URL is not that of the STS of its region",
            ));
        }
        let url = format!("https://{host}/?{}", proof.query());
        let question = match proof.method() {
            PresignedMethod::Get => self.client.get(url),
            PresignedMethod::Post => self.client.post(url).body(""),
        };
        let accept = HeaderValue::from_static("text/xml");
        self.ask(region, question.header(header::ACCEPT, accept))
            .await
    }
}

/// The signed headers, the signature and the pinned `Accept`.
fn headers(host: &str, proof: &CheckedProof) -> std::result::Result<HeaderMap, Rejection> {
    let mut headers = HeaderMap::new();
    for (name, value) in proof.headers(host) {
        headers.insert(HeaderName::from_static(name), header_value(value)?);
    }
    let authorization = proof.authorization();
    headers.insert(header::AUTHORIZATION, header_value(&authorization)?);
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/xml"));
    Ok(headers)
}

/// Marked sensitive, so that no log of the HTTP library shows it.
fn header_value(text: &str) -> std::result::Result<HeaderValue, Rejection> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Rejection::Malformed("a part of it cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value of a header that is there once.
fn the_one(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.to_owned();
    values.next().is_none().then_some(value)
}

/// Real answers are below 1 KiB.
const MAX_BODY: usize = 64 * 1024;

async fn bounded_body(mut response: Response) -> std::result::Result<Vec<u8>, Rejection> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Rejection::UnexpectedAnswer("it is longer than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No cause of it holds anything that was sent.
fn unavailable(error: reqwest::Error) -> Rejection {
    Rejection::Unavailable(root_cause(&error.without_url()))
}

impl fmt::Debug for StsVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StsVerifier")
            .field("fips", &self.fips)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`StsVerifier`].
#[derive(Clone, Debug)]
pub struct StsVerifierBuilder {
    regions: Option<Vec<&'static Region>>,
    fips: bool,
    timeout: Duration,
    max_concurrent_calls: usize,
    dial: Option<SocketAddr>,
    extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for StsVerifierBuilder {
    fn default() -> Self {
        StsVerifierBuilder {
            regions: None,
            fips: false,
            timeout: MAX_TIMEOUT,
            max_concurrent_calls: CALLS_AT_ONCE,
            dial: None,
            extra_roots: Vec::new(),
        }
    }
}

const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls to one region's STS at once, unless another number is asked for.
pub(crate) const CALLS_AT_ONCE: usize = 64;

impl StsVerifierBuilder {
    /// Asks the STS of these regions alone: a proof for another is refused, and nobody asked.
    /// Default: those of every region that there is.
    pub fn regions(mut self, regions: impl IntoIterator<Item = &'static Region>) -> Self {
        self.regions = Some(regions.into_iter().collect());
        self
    }

    /// Asks the endpoints with FIPS 140 cryptography; proofs must be signed for those. A region
    /// without one is refused. Default: off.
    pub fn fips(mut self, fips: bool) -> Self {
        self.fips = fips;
        self
    }

    /// How long a verification may take in all, the wait for a free call included. Default and
    /// maximum: 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(MAX_TIMEOUT);
        self
    }

    /// How many calls to one region's STS may run at once; what comes beyond waits, and is throttled
    /// when half of the time is up. Default: 64, of which an Authenticator gives strangers 48. Whoever brings a proof names its region: one that is slow
    /// keeps nobody waiting who is of another.
    pub fn max_concurrent_calls(mut self, calls: usize) -> Self {
        self.max_concurrent_calls = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Connects to this address instead of the one that the host's name resolves to; for tests.
    /// The `Host` header, the TLS server name and the certificate's check stay those of the
    /// region's STS.
    pub fn dial(mut self, address: SocketAddr) -> Self {
        self.dial = Some(address);
        self
    }

    /// Trusts one more certificate authority, beside the system's: of a TLS-inspecting network, or
    /// of a test.
    pub fn add_root_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.extra_roots.push(certificate);
        self
    }

    /// Reads the system's root certificates.
    ///
    /// # Errors
    /// A configuration error if there are no root certificates, or one that was added is invalid.
    pub fn build(self) -> Result<StsVerifier> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls_config(self.extra_roots)?)
            .https_only(true)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .timeout(self.timeout);
        if let Some(address) = self.dial {
            client = client.dns_resolver(Arc::new(Dial(address)));
        }
        let client = client.build().map_err(|source| {
            Error::configuration("the HTTPS client for STS cannot be made").with_source(source)
        })?;
        Ok(StsVerifier {
            client,
            regions: self.regions,
            fips: self.fips,
            timeout: self.timeout,
            calls: Calls {
                at_once: self.max_concurrent_calls,
                regions: Mutex::default(),
            },
        })
    }
}

fn tls_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in extra_roots {
        roots.add(certificate).map_err(|source| {
            Error::configuration("a root certificate for STS is invalid").with_source(source)
        })?;
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            Error::configuration("the system has no root certificates to verify STS by")
                .with_help("install the package ca-certificates, or set SSL_CERT_FILE"),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| {
            Error::configuration("TLS for STS cannot be configured").with_source(source)
        })?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Every name resolves to one address.
struct Dial(SocketAddr);

impl reqwest::dns::Resolve for Dial {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses: reqwest::dns::Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

#[cfg(test)]
mod tests;
