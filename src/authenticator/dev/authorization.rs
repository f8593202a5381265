//! The signature that a request to the stand-in STS carries in its `Authorization` header.

use http::{HeaderMap, header};
use time::OffsetDateTime;

use super::{
    answer::StsError,
    keys::{Keys, Refusal, Signed},
};
use crate::identity::{
    Rejection, VerifiedIdentity,
    aws::{
        Skew, parse_amz_date,
        sigv4::{Scope, SignedRequest},
    },
};

/// Whose request this is: a `POST /` with these headers and this body.
pub(super) fn caller(
    keys: &Keys,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<VerifiedIdentity, StsError> {
    let header = headers.get(header::AUTHORIZATION).ok_or(MISSING)?;
    let authorization = header
        .to_str()
        .ok()
        .and_then(Authorization::parse)
        .ok_or(INCOMPLETE)?;
    if authorization.service != "sts" {
        return Err(StsError::forbidden(
            "SignatureDoesNotMatch",
            "Credential should be scoped to the service sts.",
        ));
    }
    let amz_date = single(headers, "x-amz-date").ok_or(INCOMPLETE)?;
    let signed_at = parse_amz_date(amz_date).map_err(|_| INCOMPLETE)?;
    if amz_date.get(..8) != Some(authorization.date) {
        return Err(StsError::forbidden(
            "SignatureDoesNotMatch",
            "Date in Credential scope does not match the date of the request.",
        ));
    }
    Skew::default()
        .check(signed_at, now)
        .map_err(|rejection| match rejection {
            Rejection::Expired => {
                StsError::forbidden("SignatureDoesNotMatch", "Signature expired.")
            }
            _ => StsError::forbidden("SignatureDoesNotMatch", "Signature not yet current."),
        })?;

    let signed_headers = signed_headers(headers, authorization.signed_headers)?;
    let signed_headers: Vec<(&str, &str)> = signed_headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let signed = Signed {
        access_key_id: authorization.access_key_id,
        security_token: single(headers, "x-amz-security-token"),
        scope: Scope {
            amz_date,
            region: authorization.region,
            service: authorization.service,
        },
        request: SignedRequest {
            method: "POST",
            path: "/",
            canonical_query: "",
            headers: &signed_headers,
            body,
        },
        signature: authorization.signature,
    };
    keys.authenticate(&signed, now)
        .map_err(|refusal| match refusal {
            Refusal::UnknownKey => StsError::forbidden(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Refusal::Expired => StsError::forbidden(
                "ExpiredToken",
                "The security token included in the request is expired.",
            ),
            Refusal::Signature => StsError::forbidden(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            ),
        })
}

const MISSING: StsError = StsError::forbidden(
    "MissingAuthenticationToken",
    "Request is missing Authentication Token.",
);
const INCOMPLETE: StsError = StsError::bad_request(
    "IncompleteSignature",
    "Authorization header, X-Amz-Date or a signed header is missing or malformed.",
);

struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`
    fn parse(text: &'a str) -> Option<Self> {
        let mut credential = None;
        let mut signed_headers = None;
        let mut signature = None;
        for part in text.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',') {
            let (name, value) = part.trim_matches(' ').split_once('=')?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let mut scope = credential?.split('/');
        let authorization = Authorization {
            access_key_id: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers: signed_headers?,
            signature: signature?,
        };
        (scope.next()? == "aws4_request" && scope.next().is_none()).then_some(authorization)
    }
}

/// The headers that are said to be signed, with their values. Host, date and whatever else begins
/// with `x-amz-` must be among them.
fn signed_headers<'a>(
    headers: &HeaderMap,
    names: &'a str,
) -> Result<Vec<(&'a str, String)>, StsError> {
    let names: Vec<&str> = names.split(';').collect();
    if !names.is_sorted_by(|before, after| before < after) {
        return Err(INCOMPLETE);
    }
    let unsigned = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| *name == "host" || name.starts_with("x-amz-"))
        .any(|name| !names.contains(&name));
    if unsigned || !names.contains(&"host") {
        return Err(StsError::forbidden(
            "SignatureDoesNotMatch",
            "There were headers present in the request which were not signed.",
        ));
    }
    names
        .into_iter()
        .map(|name| Ok((name, joined(headers, name).ok_or(INCOMPLETE)?)))
        .collect()
}

/// All values of a header, as they are signed.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|value| std::str::from_utf8(value.as_bytes()))
        .collect::<Result<_, _>>()
        .ok()?;
    (!values.is_empty()).then(|| values.join(","))
}

/// The value of a header that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
