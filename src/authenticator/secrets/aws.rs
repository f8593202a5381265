//! Records from AWS Secrets Manager: one signed GetSecretValue for each.
//!
//! The request is signed and sent here, as proofs of identity are: the SDK's client for this one
//! call would be the heaviest dependency of the whole Authenticator.

mod answer;
mod credentials;
#[cfg(fuzzing)]
pub(super) mod fuzzing;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderName, HeaderValue};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use self::{
    answer::{read, records},
    credentials::Kept,
};
use super::{
    Record, SecretsManager, Trouble, Unavailable,
    cached::{Cached, Lifetimes, Source},
    https::{Https, answer, endpoint},
    place::Place,
};
use crate::{
    Error, Result,
    authenticator::metrics::Metrics,
    identity::aws::{Region, SignerBuilder, resolve},
};

/// Records kept in AWS Secrets Manager.
///
/// One secret, called `approzium/<host>@<port>`, holds the users of one database as text, with the
/// keys of the local file:
///
/// ```json
/// {"shop": {"password": "…", "iam_arns": ["arn:aws:iam::123456789012:role/checkout"]}}
/// ```
///
/// It is read at most every [`ttl`](AwsSecretsBuilder::ttl), and at once when something looks like
/// a rotation. Names of secrets have no colon, so there are no records for IPv6 addresses.
pub struct AwsSecrets {
    asm: Asm,
    lifetimes: Lifetimes,
}

impl AwsSecrets {
    /// In the environment's region, with the environment's credentials.
    pub fn builder() -> AwsSecretsBuilder {
        AwsSecretsBuilder::default()
    }
}

impl From<AwsSecrets> for SecretsManager {
    fn from(secrets: AwsSecrets) -> Self {
        SecretsManager(Arc::new(Cached::new(secrets.asm, secrets.lifetimes)))
    }
}

impl fmt::Debug for AwsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSecrets").finish_non_exhaustive()
    }
}

/// The description of [`AwsSecrets`].
#[derive(Debug, Default)]
pub struct AwsSecretsBuilder {
    credentials: SignerBuilder,
    endpoint: Option<String>,
    ca_path: Option<PathBuf>,
    lifetimes: Lifetimes,
}

impl AwsSecretsBuilder {
    /// The region of the secrets. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.credentials = self.credentials.region(region);
        self
    }

    /// The credentials to read them with. Default: the AWS SDK's chain.
    pub fn credentials_provider(mut self, provider: SharedCredentialsProvider) -> Self {
        self.credentials = self.credentials.credentials_provider(provider);
        self
    }

    /// A role to assume for it, by its ARN. Default: none.
    pub fn iam_role(mut self, role_arn: impl Into<String>) -> Self {
        self.credentials = self.credentials.iam_role(role_arn);
        self
    }

    /// Where it answers: a VPC endpoint, or a test's. https, or http on loopback. Default: the
    /// region's endpoint. No variable of the environment says so.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// A file with the authorities of its certificate, PEM; then only these are trusted. Default:
    /// the system's.
    pub fn ca_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_path = Some(path.into());
        self
    }

    /// How long a record is good without being read again. Default: 10 s; at most a minute.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes = self.lifetimes.with_ttl(ttl);
        self
    }

    /// How long an answer is waited for. Default: 3 s; at most 9 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lifetimes = self.lifetimes.with_timeout(timeout);
        self
    }

    /// Resolves region and provider. Secrets Manager is not asked yet.
    ///
    /// # Errors
    /// A configuration error that names the setting of `approzium serve`; at
    /// [`Hop::Credentials`](crate::Hop::Credentials) if no region is known.
    pub async fn build(self) -> Result<AwsSecrets> {
        let wrong = |key: &str, problem: &str| Error::configuration(format!("{key}: {problem}"));
        let given = self.endpoint.as_deref().map(endpoint).transpose();
        let given = given.map_err(|problem| wrong("asm_endpoint", problem))?;
        let https = Https::new(self.ca_path.as_deref())
            .map_err(|problem| wrong("asm_endpoint", &problem))?;
        let (credentials, region) = Box::pin(resolve(self.credentials)).await?;
        Ok(AwsSecrets {
            asm: Asm {
                https: Arc::new(https),
                url: format!("{}/", given.unwrap_or_else(|| regional(region))),
                region: region.name(),
                credentials: Kept::of(credentials),
            },
            lifetimes: self.lifetimes,
        })
    }
}

/// In the domain that the region's STS has.
fn regional(region: &Region) -> String {
    let name = region.name();
    let sts = region.sts_host();
    let domain = sts.split_once(name).map_or("", |(_, domain)| domain);
    format!("https://secretsmanager.{name}{domain}")
}

struct Asm {
    https: Arc<Https>,
    url: String,
    region: &'static str,
    credentials: Kept,
}

#[tonic::async_trait]
impl Source for Asm {
    async fn fetch(&self, place: &Place) -> Result<Vec<Arc<Record>>, Unavailable> {
        if place.host().contains(':') {
            return Ok(Vec::new());
        }
        let name = format!("approzium/{}@{}", place.host(), place.port());
        match self.secret(&name).await? {
            Some(text) => records(&text, place, &name),
            None => Ok(Vec::new()),
        }
    }

    /// A secret that cannot be: whoever may read its neighbours is told that it is not there.
    async fn ready(&self) -> Result<(), Unavailable> {
        self.secret("approzium/readiness@0").await.map(drop)
    }

    fn keep_current(&self, metrics: &Arc<Metrics>, end: &CancellationToken) {
        self.https.keep_current(metrics, end);
    }
}

impl Asm {
    /// The text of a secret, if there is one. Where the credentials turn out to have been withdrawn
    /// before their time, once more with others, which may be there already.
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, Unavailable> {
        let credentials = self.credentials.credentials().await?;
        let mut reply = self.ask(name, &credentials).await;
        if let Err((_, true)) = reply {
            self.credentials.withdraw(&credentials).await;
            let others = self.credentials.credentials().await?;
            if others.access_key_id() != credentials.access_key_id() {
                reply = self.ask(name, &others).await;
            }
        }
        reply.map_err(|(unavailable, _)| unavailable)
    }

    /// With a failure, whether other credentials may help.
    async fn ask(
        &self,
        name: &str,
        credentials: &Credentials,
    ) -> Result<Option<Zeroizing<String>>, (Unavailable, bool)> {
        let body = serde_json::json!({ "SecretId": name }).to_string();
        let unasked = |unavailable| (unavailable, false);
        let request = self.signed(credentials, body).map_err(unasked)?;
        read(&answer(request).await.map_err(unasked)?, name)
    }

    fn signed(
        &self,
        credentials: &Credentials,
        body: String,
    ) -> Result<reqwest::RequestBuilder, Unavailable> {
        let unsignable = |_| {
            let why = "the AWS credentials cannot be used to sign";
            Unavailable::new(Trouble::Refused, why)
        };
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("secretsmanager")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsignable(error.to_string()))?
            .into();
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let signable = SignableRequest::new(
            "POST",
            &self.url,
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| unsignable(error.to_string()))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|error| unsignable(error.to_string()))?
            .into_parts();
        let mut request = self.https.post(&self.url, body.into_bytes());
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| unsignable(error.to_string()))?;
            let mut value =
                HeaderValue::from_str(value).map_err(|error| unsignable(error.to_string()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::credential_fn::provide_credentials_fn;
    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
    };
    use tokio::net::TcpListener;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::authenticator::secrets::RecordKey;

    /// It knows one access key, `second`, and says this of all others.
    async fn after_a_withdrawal(error: &'static str) -> (String, AbortOnDropHandle<()>) {
        let answer = move |headers: HeaderMap| async move {
            let signed = headers["authorization"].to_str().unwrap();
            match signed.contains("Credential=second/") {
                true => (StatusCode::OK, r#"{"SecretString":"{}"}"#.to_owned()),
                false => (
                    StatusCode::BAD_REQUEST,
                    format!(r#"{{"__type":"{error}"}}"#),
                ),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, AbortOnDropHandle::new(server))
    }

    #[tokio::test]
    async fn a_read_with_credentials_that_were_withdrawn_is_done_with_others() {
        let place = Place::of(&RecordKey::new("db", 5432, "app")).unwrap();
        for (error, keys, asked, found) in [
            ("ExpiredTokenException", ["first", "second"], 2, None),
            ("UnrecognizedClientException", ["first", "second"], 2, None),
            // There are no others yet, or they are no better.
            (
                "ExpiredTokenException",
                ["first", "first"],
                2,
                Some(Trouble::Refused),
            ),
            (
                "ExpiredTokenException",
                ["first", "third"],
                2,
                Some(Trouble::Refused),
            ),
            // Others would be told the same.
            (
                "AccessDeniedException",
                ["first", "second"],
                1,
                Some(Trouble::Refused),
            ),
        ] {
            let (url, _server) = after_a_withdrawal(error).await;
            let provided = Arc::new(AtomicUsize::new(0));
            let counted = provided.clone();
            let provider = provide_credentials_fn(move || {
                let key = keys[counted.fetch_add(1, Ordering::SeqCst)];
                async move { Ok(Credentials::new(key, "x", None, None, "test")) }
            });
            let secrets = AwsSecrets::builder()
                .region("eu-central-1")
                .credentials_provider(SharedCredentialsProvider::new(provider))
                .endpoint(url);
            let asm = secrets.build().await.unwrap().asm;
            let trouble = asm.fetch(&place).await.err();
            let trouble = trouble.map(|unavailable| unavailable.trouble);
            assert_eq!(trouble, found, "{error} {keys:?}");
            assert_eq!(provided.load(Ordering::SeqCst), asked, "{error} {keys:?}");
        }
    }

    #[test]
    fn every_region_has_its_endpoint_in_its_partition_s_domain() {
        for (name, endpoint) in [
            (
                "eu-central-1",
                "https://secretsmanager.eu-central-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                "https://secretsmanager.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            assert_eq!(regional(Region::find(name).unwrap()), endpoint);
        }
    }
}
