//! The proof of the v1 API: a presigned URL of GetCallerIdentity.
//!
//! It names no audience and no nonce, so whoever sees it can use it while it lasts. What can be done
//! is done: its form is checked to the letter, it is never forwarded, and it is short-lived here
//! whatever it says. Who used it first is for the service to remember.

mod url;

use std::{fmt, net::SocketAddr, time::Duration};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use self::url::{parameters, parts, push_encoded};
use super::{
    Region, Skew,
    proof::{check_access_key_id, check_security_token, check_signature, parse_amz_date},
    request::BODY,
};
use crate::{identity::Rejection, secret::Secret};

/// A presigned GetCallerIdentity whose every part is of its form and whose time is now. Only its
/// signature is still to be verified: see [`Verifier`](super::Verifier).
///
/// Of the URL that a client sent, only these parts are left. From them the Authenticator writes the
/// one request that can have been signed:
///
/// ```text
/// POST /?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256
///     &X-Amz-Credential=<key>/<date>/<region>/sts/aws4_request&X-Amz-Date=20260102T030405Z
///     &X-Amz-Expires=900[&X-Amz-Security-Token=…]&X-Amz-SignedHeaders=host&X-Amz-Signature=…
/// host: sts.<region>.amazonaws.com
/// ```
pub struct PresignedProof {
    method: PresignedMethod,
    host: String,
    region: &'static Region,
    access_key_id: String,
    amz_date: String,
    expires: u64,
    security_token: Option<Secret>,
    signature: String,
    good_until: OffsetDateTime,
}

/// The method that was signed; which one, the client's language tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresignedMethod {
    /// With no body.
    Get,
    /// With an empty body.
    Post,
}

impl PresignedMethod {
    /// `GET`, `POST`.
    pub fn as_str(self) -> &'static str {
        match self {
            PresignedMethod::Get => "GET",
            PresignedMethod::Post => "POST",
        }
    }
}

/// Where the URL of a proof may point to: told by its [`Verifier`](super::Verifier), never by a
/// setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresignedOrigin {
    /// To the STS of its region, over https.
    Sts {
        /// To that with FIPS 140 cryptography.
        fips: bool,
    },
    /// To the stand-in of development mode.
    StandIn(SocketAddr),
}

/// What a URL may say, and for how long it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresignedLimits {
    /// The most that `X-Amz-Expires` may say. Default: 15 minutes. The original's Python SDK says
    /// an hour.
    pub max_expires: Duration,
}

impl Default for PresignedLimits {
    fn default() -> Self {
        PresignedLimits {
            max_expires: MAX_AGE,
        }
    }
}

/// A proof is never good for longer, whatever it says.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

const MAX_URL: usize = 4096;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SIGNED_HEADERS: &str = "host";

impl PresignedProof {
    /// Checks a proof. `now` is this Authenticator's own clock.
    ///
    /// # Errors
    /// [`Rejection::Malformed`], [`Rejection::UnknownRegion`], [`Rejection::Expired`],
    /// [`Rejection::NotYetValid`].
    pub fn parse(
        url: &str,
        method: PresignedMethod,
        origin: PresignedOrigin,
        limits: &PresignedLimits,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        if url.len() > MAX_URL {
            return Err(Rejection::Malformed("the URL is longer than 4,096 bytes"));
        }
        let (scheme, host, query) = parts(url)?;
        let [
            action,
            version,
            algorithm,
            credential,
            amz_date,
            expires,
            token,
            signed_headers,
            signature,
        ] = parameters(query)?;
        if action.as_deref() != Some("GetCallerIdentity")
            || version.as_deref() != Some("2011-06-15")
        {
            return Err(Rejection::Malformed(
                "the URL does not ask for GetCallerIdentity of version 2011-06-15",
            ));
        }
        if algorithm.as_deref() != Some(ALGORITHM) {
            return Err(Rejection::Malformed(
                "the algorithm is not AWS4-HMAC-SHA256",
            ));
        }
        if signed_headers.as_deref() != Some(SIGNED_HEADERS) {
            return Err(Rejection::Malformed("the signed headers are not host"));
        }
        let signature = signature.ok_or(Rejection::Malformed("there is no signature"))?;
        check_signature(&signature)?;
        let token = token.unwrap_or_default();
        check_security_token(&token)?;
        let amz_date = amz_date.ok_or(Rejection::Malformed("there is no date"))?;
        let signed_at = parse_amz_date(&amz_date)?;
        let (access_key_id, region) = scope(credential.as_deref(), &amz_date)?;
        if !origin.is(scheme, host, region)? {
            return Err(Rejection::Malformed(
                "the URL is not that of the STS of its region",
            ));
        }
        let expires = expires
            .as_deref()
            .and_then(seconds)
            .filter(|expires| Duration::from_secs(*expires) <= limits.max_expires)
            .ok_or(Rejection::Malformed(
                "X-Amz-Expires is not a number of seconds that v1_max_expires allows",
            ))?;
        let lifetime = Duration::from_secs(expires).min(MAX_AGE);
        let skew = Skew {
            past: lifetime,
            ..Skew::default()
        };
        skew.check(signed_at, now)?;
        Ok(PresignedProof {
            method,
            host: host.to_owned(),
            region,
            access_key_id,
            amz_date,
            expires,
            security_token: (!token.is_empty()).then(|| Secret::from(token)),
            signature,
            good_until: signed_at + lifetime,
        })
    }

    /// The method that was signed.
    pub fn method(&self) -> PresignedMethod {
        self.method
    }

    /// The region whose STS is to be asked.
    pub fn region(&self) -> &'static Region {
        self.region
    }

    /// The access key by which the proof was signed. An identifier, not a secret.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The host that was signed: that of the origin.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    #[cfg(feature = "dev")]
    pub(crate) fn amz_date(&self) -> &str {
        &self.amz_date
    }

    #[cfg(feature = "dev")]
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    pub(crate) fn security_token(&self) -> Option<&str> {
        self.security_token
            .as_ref()
            .and_then(|token| std::str::from_utf8(token.expose_secret()).ok())
    }

    /// How long one is good at most, from when it is first accepted: its date may be in the future,
    /// by as much as clocks differ.
    pub(crate) fn longest_life() -> Duration {
        MAX_AGE + Skew::default().future
    }

    /// How long it is good yet.
    pub(crate) fn remaining(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(self.good_until - now).unwrap_or_default()
    }

    /// What tells this proof from every other: a hash of all that was signed, and the signature.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [
            self.method.as_str(),
            &self.host,
            &self.canonical_query(),
            &self.signature,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The query that was signed, in canonical form.
    pub(crate) fn canonical_query(&self) -> String {
        let date = self.amz_date.get(..8).unwrap_or_default();
        let region = self.region.name();
        let credential = format!("{}/{date}/{region}/sts/aws4_request", self.access_key_id);
        let mut query = format!("{BODY}&X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=");
        push_encoded(&mut query, &credential);
        query.push_str("&X-Amz-Date=");
        query.push_str(&self.amz_date);
        query.push_str("&X-Amz-Expires=");
        query.push_str(&self.expires.to_string());
        if let Some(token) = self.security_token() {
            query.push_str("&X-Amz-Security-Token=");
            push_encoded(&mut query, token);
        }
        query.push_str("&X-Amz-SignedHeaders=");
        query.push_str(SIGNED_HEADERS);
        query
    }

    /// The whole query, signature and all.
    pub(crate) fn query(&self) -> String {
        let mut query = self.canonical_query();
        query.push_str("&X-Amz-Signature=");
        query.push_str(&self.signature);
        query
    }
}

impl PresignedOrigin {
    fn is(self, scheme: &str, host: &str, region: &Region) -> Result<bool, Rejection> {
        let (expected_scheme, expected_host) = match self {
            PresignedOrigin::Sts { fips: false } => ("https", region.sts_host().to_owned()),
            PresignedOrigin::Sts { fips: true } => (
                "https",
                region
                    .sts_fips_host()
                    .ok_or(Rejection::UnknownRegion)?
                    .to_owned(),
            ),
            PresignedOrigin::StandIn(address) => ("http", address.to_string()),
        };
        Ok(scheme == expected_scheme && host == expected_host)
    }
}

/// Access key and region of `<key>/<date>/<region>/sts/aws4_request`.
fn scope(credential: Option<&str>, amz_date: &str) -> Result<(String, &'static Region), Rejection> {
    let parts: Vec<&str> = credential.unwrap_or_default().split('/').collect();
    let [access_key_id, date, region, "sts", "aws4_request"] = parts.as_slice() else {
        return Err(Rejection::Malformed(
            "the credential is not <key>/<date>/<region>/sts/aws4_request",
        ));
    };
    check_access_key_id(access_key_id)?;
    if amz_date.get(..8) != Some(*date) {
        return Err(Rejection::Malformed(
            "the credential's date is not that of X-Amz-Date",
        ));
    }
    let region = Region::find(region).ok_or(Rejection::UnknownRegion)?;
    Ok(((*access_key_id).to_owned(), region))
}

/// A decimal number without sign or leading zero.
fn seconds(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

impl fmt::Debug for PresignedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedProof")
            .field("method", &self.method)
            .field("access_key_id", &self.access_key_id)
            .field("amz_date", &self.amz_date)
            .field("expires", &self.expires)
            .field("region", &self.region.name())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
