//! Records from AWS Secrets Manager: one signed GetSecretValue for each.
//!
//! The request is signed and sent here, as proofs of identity are: the SDK's client for this one
//! call would be the heaviest dependency of the whole Authenticator.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderName, HeaderValue};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{
    Record, SecretsManager, Trouble, Unavailable,
    cached::{Cached, Lifetimes, Source},
    https::{Answer, Https, answer, endpoint, trouble},
    parse::{Users, not_json},
    place::Place,
};
use crate::{
    Error, Result,
    error::{printable, root_cause},
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
                https,
                url: format!("{}/", given.unwrap_or_else(|| regional(region))),
                region: region.name(),
                credentials,
                usable: Mutex::default(),
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
    https: Https,
    url: String,
    region: &'static str,
    credentials: SharedCredentialsProvider,
    /// A role is not assumed for each record.
    usable: Mutex<Option<(Credentials, Instant)>>,
}

/// Credentials that do not say when they end are asked for this often.
const CREDENTIALS: Duration = Duration::from_secs(60);
/// Before they end.
const MARGIN: Duration = Duration::from_secs(60);

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
}

impl Asm {
    /// The text of a secret, if there is one.
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, Unavailable> {
        let body = serde_json::json!({ "SecretId": name }).to_string();
        let credentials = self.credentials().await?;
        let request = self.signed(&credentials, body)?;
        let reply = read(&answer(request).await?, name);
        if reply.as_ref().is_err_and(|(_, stale)| *stale) {
            // Keys that were withdrawn before their time: others may be there already.
            *self.usable.lock().await = None;
        }
        reply.map_err(|(unavailable, _)| unavailable)
    }

    async fn credentials(&self) -> Result<Credentials, Unavailable> {
        let mut usable = self.usable.lock().await;
        if let Some((credentials, until)) = &*usable
            && Instant::now() < *until
        {
            return Ok(credentials.clone());
        }
        let credentials = self.credentials.provide_credentials().await;
        // In words: the Debug of such an error shows the answers of credential services.
        let credentials = credentials.map_err(|error| {
            let why = printable(&root_cause(&error));
            Unavailable::new(Trouble::Refused, format!("no AWS credentials: {why}"))
        })?;
        let left = credentials
            .expiry()
            .map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let good = left.map_or(CREDENTIALS, |left| left.saturating_sub(MARGIN));
        *usable = Some((credentials.clone(), Instant::now() + good));
        Ok(credentials)
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

/// What Secrets Manager answers, and for what is no answer, whether other credentials may help.
fn read(answer: &Answer, name: &str) -> Result<Option<Zeroizing<String>>, (Unavailable, bool)> {
    #[derive(Deserialize)]
    struct Secret {
        #[serde(rename = "SecretString")]
        text: Option<String>,
    }
    let unavailable = |trouble, detail: String| (Unavailable::new(trouble, detail), false);
    if answer.status.is_success() {
        let malformed = |what| unavailable(Trouble::Malformed, format!("{name}: {what}"));
        let secret: Secret =
            serde_json::from_slice(&answer.body).map_err(|_| malformed("no answer of its"))?;
        let text = secret.text.ok_or_else(|| malformed("it is not text"))?;
        return Ok(Some(Zeroizing::new(text)));
    }
    let (kind, message) = error(&answer.body);
    let said = || printable(&format!("{name}: {kind}: {message}"));
    match kind.as_str() {
        "ResourceNotFoundException" => Ok(None),
        "InvalidRequestException" if message.contains("marked for deletion") => Ok(None),
        "ThrottlingException" | "LimitExceededException" => {
            Err(unavailable(Trouble::Throttled, said()))
        }
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            Err((Unavailable::new(Trouble::Refused, said()), true))
        }
        _ => match trouble(answer.status) {
            Some(trouble) => Err((trouble, false)),
            None => Err(unavailable(Trouble::Refused, said())),
        },
    }
}

/// The name of an error, without its namespace, and what it says.
fn error(body: &[u8]) -> (String, String) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let kind = said.kind.rsplit('#').next().unwrap_or_default().to_owned();
    (kind, said.message)
}

fn records(text: &str, place: &Place, name: &str) -> Result<Vec<Arc<Record>>, Unavailable> {
    let malformed =
        |problem: String| Unavailable::new(Trouble::Malformed, format!("{name}: {problem}"));
    let users: Users = serde_json::from_str(text).map_err(|error| malformed(not_json(&error)))?;
    users.records(place).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn of(status: u16, body: &str) -> (String, bool) {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        match read(&answer, "approzium/db@5432") {
            Ok(Some(text)) => (text.to_string(), false),
            Ok(None) => ("none".to_owned(), false),
            Err((unavailable, stale)) => (format!("{:?}", unavailable.trouble), stale),
        }
    }

    #[test]
    fn answers_are_told_apart() {
        for (status, body, means, stale) in [
            (200, r#"{"SecretString":"{}"}"#, "{}", false),
            (200, r#"{"SecretBinary":"e30="}"#, "Malformed", false),
            (200, "<html>", "Malformed", false),
            (
                400,
                r#"{"__type":"ResourceNotFoundException"}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"x#ResourceNotFoundException","message":"x"}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"InvalidRequestException","Message":"… was marked for deletion."}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"InvalidRequestException"}"#,
                "Refused",
                false,
            ),
            (
                400,
                r#"{"__type":"AccessDeniedException"}"#,
                "Refused",
                false,
            ),
            (400, r#"{"__type":"DecryptionFailure"}"#, "Refused", false),
            (
                400,
                r#"{"__type":"ExpiredTokenException"}"#,
                "Refused",
                true,
            ),
            (
                400,
                r#"{"__type":"ThrottlingException"}"#,
                "Throttled",
                false,
            ),
            (429, "", "Throttled", false),
            (
                500,
                r#"{"__type":"InternalServiceError"}"#,
                "Unreachable",
                false,
            ),
            (503, "", "Unreachable", false),
            (302, "", "Unreachable", false),
            (404, "", "Refused", false),
        ] {
            let found = of(status, body);
            assert_eq!(found, (means.to_owned(), stale), "{status} {body}");
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
