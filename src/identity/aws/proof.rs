//! A proof of identity, checked for all that can be known before STS is asked.

use std::{fmt, time::Duration};

use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

use super::{
    AwsProof, Region,
    request::{
        BODY, CONTENT_TYPE, X_AMZ_DATE, X_APPROZIUM_AUDIENCE, X_APPROZIUM_NONCE, hex, is_audience,
    },
};
use crate::{Error, Result, error::printable, identity::Rejection, secret::Secret};

/// A proof whose every part is of its form, whose date is now, and which is meant for this
/// Authenticator. Only its signature is still to be verified: see [`Verifier`](super::Verifier).
///
/// From it the Authenticator writes the one request that can have been signed:
///
/// ```text
/// POST / HTTP/1.1
/// content-type: application/x-www-form-urlencoded; charset=utf-8
/// host: sts.<region>.amazonaws.com
/// x-amz-date: 20260102T030405Z
/// x-amz-security-token: …            (exactly when the credentials are temporary)
/// x-approzium-audience: …
/// x-approzium-nonce: …
/// authorization: AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/sts/aws4_request, …
///
/// Action=GetCallerIdentity&Version=2011-06-15
/// ```
pub struct CheckedProof {
    access_key_id: String,
    amz_date: String,
    region: &'static Region,
    security_token: Option<Secret>,
    audience: String,
    nonce: String,
    signature: String,
}

impl CheckedProof {
    /// The body that every proof signs.
    pub(crate) const BODY: &str = BODY;

    /// Checks a proof.
    ///
    /// `nonce` is what this Authenticator sent on the same stream, `now` its own clock.
    ///
    /// # Errors
    /// [`Rejection::Malformed`], [`Rejection::UnknownRegion`], [`Rejection::Audience`],
    /// [`Rejection::Expired`], [`Rejection::NotYetValid`].
    pub fn parse(
        proof: &AwsProof,
        nonce: &[u8],
        audiences: &Audiences,
        now: OffsetDateTime,
        skew: &Skew,
    ) -> Result<Self, Rejection> {
        let AwsProof {
            access_key_id,
            amz_date,
            region,
            security_token,
            audience,
            signature,
        } = proof;

        check_access_key_id(access_key_id)?;
        check_security_token(security_token)?;
        check_signature(signature)?;
        let signed_at = parse_amz_date(amz_date)?;
        let region = Region::find(region).ok_or(Rejection::UnknownRegion)?;
        if !is_audience(audience) {
            return Err(Rejection::Malformed(
                "the audience is not 1 to 128 characters of [A-Za-z0-9._:-]",
            ));
        }
        if !audiences.contains(audience) {
            return Err(Rejection::Audience);
        }
        skew.check(signed_at, now)?;

        Ok(CheckedProof {
            access_key_id: access_key_id.clone(),
            amz_date: amz_date.clone(),
            region,
            security_token: (!security_token.is_empty())
                .then(|| Secret::from(security_token.clone())),
            audience: audience.clone(),
            nonce: hex(nonce),
            signature: signature.clone(),
        })
    }

    /// The region whose STS is to be asked.
    pub fn region(&self) -> &'static Region {
        self.region
    }

    /// The access key by which the proof was signed. An identifier, not a secret.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The audience that the proof names, one of this Authenticator's.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    pub(crate) fn security_token(&self) -> Option<&str> {
        self.security_token
            .as_ref()
            .and_then(|token| std::str::from_utf8(token.expose_secret()).ok())
    }

    pub(crate) fn amz_date(&self) -> &str {
        &self.amz_date
    }

    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// The signed headers of the request to `host`: names in lower case, sorted.
    pub(crate) fn headers<'a>(&'a self, host: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", host),
            (X_AMZ_DATE, self.amz_date()),
        ];
        if let Some(token) = self.security_token() {
            headers.push(("x-amz-security-token", token));
        }
        headers.push((X_APPROZIUM_AUDIENCE, &self.audience));
        headers.push((X_APPROZIUM_NONCE, &self.nonce));
        headers
    }

    /// The `Authorization` header that belongs to [`headers`](Self::headers).
    pub(crate) fn authorization(&self) -> String {
        let date = self.amz_date.get(..8).unwrap_or_default();
        let token = if self.security_token.is_some() {
            "x-amz-security-token;"
        } else {
            ""
        };
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{date}/{}/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;{token}\
             x-approzium-audience;x-approzium-nonce, Signature={}",
            self.access_key_id,
            self.region.name(),
            self.signature(),
        )
    }
}

pub(super) fn check_access_key_id(text: &str) -> Result<(), Rejection> {
    let well_formed = (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    well_formed.then_some(()).ok_or(Rejection::Malformed(
        "the access key id is not 16 to 128 letters and digits",
    ))
}

pub(super) fn check_security_token(text: &str) -> Result<(), Rejection> {
    if text.len() > MAX_SECURITY_TOKEN {
        return Err(Rejection::Malformed(
            "the session token is longer than 8 KiB",
        ));
    }
    let well_formed = text.bytes().all(|byte| byte.is_ascii_graphic());
    well_formed.then_some(()).ok_or(Rejection::Malformed(
        "the session token has characters other than visible ASCII",
    ))
}

pub(super) fn check_signature(text: &str) -> Result<(), Rejection> {
    let well_formed = text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then_some(()).ok_or(Rejection::Malformed(
        "the signature is not 64 lower-case hexadecimal digits",
    ))
}

/// AWS gives no bound on session tokens; SDKs see up to about 2 KiB, with many session tags 4.
const MAX_SECURITY_TOKEN: usize = 8 * 1024;

const AMZ_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// `YYYYMMDDTHHMMSSZ` and nothing else; the scope's date is cut out of it, so the two agree.
pub(crate) fn parse_amz_date(text: &str) -> Result<OffsetDateTime, Rejection> {
    const MALFORMED: Rejection = Rejection::Malformed("the date is not YYYYMMDDTHHMMSSZ");
    let digits = text
        .bytes()
        .enumerate()
        .all(|(index, byte)| matches!(index, 8 | 15) || byte.is_ascii_digit());
    if text.len() != 16 || !digits {
        return Err(MALFORMED);
    }
    PrimitiveDateTime::parse(text, AMZ_DATE)
        .map(PrimitiveDateTime::assume_utc)
        .map_err(|_| MALFORMED)
}

impl fmt::Debug for CheckedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedProof")
            .field("access_key_id", &self.access_key_id)
            .field("amz_date", &self.amz_date)
            .field("region", &self.region.name())
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// The names that an Authenticator answers to. A proof must be signed for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audiences(Vec<String>);

impl Audiences {
    /// An Authenticator's own list.
    ///
    /// # Errors
    /// If it is empty, or a name is not 1–128 characters of `[A-Za-z0-9._:-]`.
    pub fn new<I>(names: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(Error::configuration("the list of audiences is empty"));
        }
        match names.iter().find(|name| !is_audience(name)) {
            None => Ok(Audiences(names)),
            Some(name) => Err(Error::configuration(format!(
                "the audience \"{}\" is not 1 to 128 characters of [A-Za-z0-9._:-]",
                printable(name)
            ))),
        }
    }

    /// Whether a proof for `name` is meant for this Authenticator. Case counts.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }
}

/// How far a proof's date may lie from this Authenticator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// How old a proof may be. Default: five minutes, as AWS itself has it.
    pub past: Duration,
    /// How far in the future a proof may be dated. Default: five minutes.
    pub future: Duration,
}

impl Default for Skew {
    fn default() -> Self {
        Skew {
            past: Duration::from_secs(5 * 60),
            future: Duration::from_secs(5 * 60),
        }
    }
}

impl Skew {
    pub(crate) fn check(
        &self,
        signed_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), Rejection> {
        let age = now - signed_at;
        if age > self.past {
            Err(Rejection::Expired)
        } else if -age > self.future {
            Err(Rejection::NotYetValid)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
