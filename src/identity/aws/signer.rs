//! The application's side: signing the proof.

use std::{error::Error as StdError, fmt, time::SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use super::{
    AwsProof, Region, credentials,
    request::{
        BODY, CONTENT_TYPE, X_AMZ_DATE, X_APPROZIUM_AUDIENCE, X_APPROZIUM_NONCE, hex, is_audience,
    },
};
use crate::{
    Error, Hop, Result,
    error::{Kind, printable, root_cause},
};

/// Signs proofs of identity with the application's AWS credentials.
///
/// Credentials are asked for at each signature, so that rotated ones are seen; a session with the
/// Authenticator needs one signature.
///
/// ```
/// use approzium::identity::aws::Signer;
/// use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
///
/// # async fn example() -> approzium::Result<()> {
/// let keys = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "secret", None);
/// let signer = Signer::builder()
///     .credentials_provider(SharedCredentialsProvider::new(keys))
///     .region("eu-central-1")
///     .build()
///     .await?;
/// assert_eq!(signer.region().sts_host(), "sts.eu-central-1.amazonaws.com");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Signer {
    credentials: SharedCredentialsProvider,
    region: &'static Region,
    host: &'static str,
    /// The role that the provider assumes, for its errors.
    role: Option<String>,
}

impl Signer {
    /// Credentials and region of one's choice, or the environment's.
    pub fn builder() -> SignerBuilder {
        SignerBuilder::default()
    }

    /// The region whose STS is to confirm the proofs.
    pub fn region(&self) -> &'static Region {
        self.region
    }

    /// Signs GetCallerIdentity for the Authenticator called `audience`, which sent `nonce`.
    ///
    /// Also answers when the credentials expire, if they do: no session may outlive them.
    ///
    /// `now` becomes the proof's date. A proof dated too far from the Authenticator's clock is
    /// refused like any other bad proof, without a word on why; what tells a wrong clock is the
    /// `server_time` of the challenge, which the caller compares with its own.
    ///
    /// # Errors
    /// At [`Hop::Credentials`] if the provider has no credentials, or none that can be sent; at
    /// [`Hop::Configuration`] if the audience is not 1–128 characters of `[A-Za-z0-9._:-]`.
    pub async fn sign(
        &self,
        nonce: &[u8],
        audience: &str,
        now: SystemTime,
    ) -> Result<(AwsProof, Option<SystemTime>)> {
        if !is_audience(audience) {
            return Err(Error::configuration(format!(
                "the audience \"{}\" is not 1 to 128 characters of [A-Za-z0-9._:-]",
                printable(audience)
            ))
            .with_help("set it to one of the names that the Authenticator answers to"));
        }
        let credentials = self.credentials(now).await?;
        let proof = self.proof(&credentials, &hex(nonce), audience, now)?;
        Ok((proof, credentials.expiry()))
    }

    /// Signs GetCallerIdentity with these headers besides, for a service that sends the request to
    /// STS as it is.
    #[cfg(feature = "vault")]
    pub(crate) async fn sign_request(
        &self,
        more: &[(&str, &str)],
        now: SystemTime,
    ) -> Result<SignedRequest> {
        let credentials = self.credentials(now).await?;
        self.request(&credentials, more, now)
    }

    async fn credentials(&self, now: SystemTime) -> Result<Credentials> {
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|source| no_credentials(source, self.role.as_deref()))?;
        if credentials.expiry().is_some_and(|expiry| expiry <= now) {
            return Err(Error::new(
                Kind::Credentials,
                Hop::Credentials,
                "the AWS credentials have expired",
            )
            .with_help("renew them, or give a provider that does"));
        }
        Ok(credentials)
    }

    fn proof(
        &self,
        credentials: &Credentials,
        nonce: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<AwsProof> {
        let more = [(X_APPROZIUM_AUDIENCE, audience), (X_APPROZIUM_NONCE, nonce)];
        let request = self.request(credentials, &more, now)?;
        let amz_date = request
            .headers
            .iter()
            .find(|(name, _)| name == X_AMZ_DATE)
            .map(|(_, date)| date.as_str().to_owned())
            .unwrap_or_default();
        Ok(AwsProof {
            access_key_id: credentials.access_key_id().to_owned(),
            amz_date,
            region: self.region.name().to_owned(),
            security_token: credentials.session_token().unwrap_or_default().to_owned(),
            audience: audience.to_owned(),
            signature: request.signature,
        })
    }

    fn request(
        &self,
        credentials: &Credentials,
        more: &[(&str, &str)],
        now: SystemTime,
    ) -> Result<SignedRequest> {
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region.name())
            .name("sts")
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(not_signable)?
            .into();
        let url = format!("https://{}/", self.host);
        let headers = [("content-type", CONTENT_TYPE)];
        let headers = headers.iter().chain(more).copied();
        let body = SignableBody::Bytes(BODY.as_bytes());
        let request =
            SignableRequest::new("POST", &url, headers.clone(), body).map_err(not_signable)?;
        let (instructions, signature) = sign(request, &params).map_err(not_signable)?.into_parts();
        let headers = headers
            .chain([("host", self.host)])
            .chain(instructions.headers())
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
            .collect();
        Ok(SignedRequest {
            url,
            headers,
            signature,
        })
    }
}

/// A GetCallerIdentity as it would be sent: a POST of [`BODY`].
#[cfg_attr(
    not(feature = "vault"),
    allow(dead_code, reason = "of a proof only parts are sent")
)]
pub(crate) struct SignedRequest {
    pub(crate) url: String,
    /// All that go with it, the signature and the session's token among them.
    pub(crate) headers: Vec<(String, Zeroizing<String>)>,
    signature: String,
}

/// Names no credentials.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region.name())
            .field("host", &self.host)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

fn no_credentials(source: CredentialsError, role: Option<&str>) -> Error {
    let kind = match &source {
        CredentialsError::ProviderTimedOut(_) => Kind::Timeout,
        _ => Kind::Credentials,
    };
    let cause = match &source {
        CredentialsError::CredentialsNotLoaded(_) => "no provider has any".to_owned(),
        _ => root_cause(&source),
    };
    let error = match role {
        Some(role) => Error::new(
            kind,
            Hop::Credentials,
            format!("the role {} could not be assumed: {cause}", printable(role)),
        )
        .with_help(
            "its trust policy must name the application's own identity, which `aws sts \
             get-caller-identity` shows in the same environment",
        ),
        None => Error::new(
            kind,
            Hop::Credentials,
            format!("there are no AWS credentials: {cause}"),
        )
        .with_help(
            "check with `aws sts get-caller-identity` in the same environment: AWS_PROFILE, \
             AWS_ACCESS_KEY_ID, the task's or the instance's role",
        ),
    };
    error.with_source(displayed(&source))
}

/// An error and its causes in words. Their `Debug` is not to be kept: it shows the answers of
/// credential services, which have keys in them.
fn displayed(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn not_signable(source: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(
        Kind::Credentials,
        Hop::Credentials,
        "the AWS credentials cannot be used to sign",
    )
    .with_help("an access key id or session token has characters that no AWS key has")
    .with_source(source)
}

/// Where a [`Signer`] gets credentials and region from.
///
/// Without a provider, the AWS SDK's default chain is asked: environment, profiles, web identity,
/// ECS, EC2. That needs the feature `aws-config`; without it a provider must be given.
#[derive(Clone, Default)]
pub struct SignerBuilder {
    pub(super) credentials: Option<SharedCredentialsProvider>,
    pub(super) region: Option<String>,
    pub(super) iam_role: Option<String>,
    pub(super) session_name: Option<String>,
    fips: bool,
}

impl SignerBuilder {
    /// The credentials to sign with. Default: the AWS SDK's chain (feature `aws-config`).
    pub fn credentials_provider(mut self, provider: SharedCredentialsProvider) -> Self {
        self.credentials = Some(provider);
        self
    }

    /// The region whose STS confirms the proofs. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, then
    /// with the feature `aws-config` the profile's; there is no further default.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// A role to assume first, by its ARN; it is then the identity proved. Needs the feature
    /// `aws-config`. Default: none.
    pub fn iam_role(mut self, role_arn: impl Into<String>) -> Self {
        self.iam_role = Some(role_arn.into());
        self
    }

    /// The session's name while a role is assumed, as CloudTrail and the Authenticator's audit log
    /// will show it: 2–64 characters of `[A-Za-z0-9_+=,.@-]`. Default: `approzium-` and the
    /// host's name, or the process id where that is unknown.
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = Some(name.into());
        self
    }

    /// Signs for the STS endpoints with FIPS 140 cryptography. The Authenticator must be set to ask
    /// those. Default: off.
    pub fn fips(mut self, fips: bool) -> Self {
        self.fips = fips;
        self
    }

    /// Resolves region and provider. Credentials are first asked for when signing, except that a
    /// profile's files are read here.
    ///
    /// # Errors
    /// At [`Hop::Credentials`] if no region is known, if the region has no STS (with FIPS) in this
    /// version's table, or if what was asked for needs the feature `aws-config`.
    pub async fn build(self) -> Result<Signer> {
        let fips = self.fips;
        let role = self.iam_role.clone();
        // Boxed, so that no caller's future is as deep as the SDK's.
        let resolving: BoxFuture<'_, _> = Box::pin(credentials::resolve(self));
        let (credentials, region) = resolving.await?;
        let host = if fips {
            region.sts_fips_host().ok_or_else(|| {
                Error::configuration(format!("{} has no STS with FIPS", region.name()))
                    .with_help("leave FIPS off, or use a region that has it")
            })?
        } else {
            region.sts_host()
        };
        Ok(Signer {
            credentials,
            region,
            host,
            role,
        })
    }
}

impl fmt::Debug for SignerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerBuilder")
            .field("region", &self.region)
            .field("iam_role", &self.iam_role)
            .field("session_name", &self.session_name)
            .field("fips", &self.fips)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
