//! Signature Version 4 as the verifying side computes it (AWS General Reference, "Create a signed
//! AWS API request"), for requests that carry their signature in the `Authorization` header.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::request::hex;

/// A request as it was signed.
pub(crate) struct SignedRequest<'a> {
    /// `POST`, …
    pub(crate) method: &'a str,
    /// The path, URI-encoded.
    pub(crate) path: &'a str,
    /// The query in canonical form; empty for none.
    pub(crate) canonical_query: &'a str,
    /// Exactly the signed headers: names in lower case, sorted by name.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub(crate) body: &'a [u8],
}

/// What the signing key is derived for.
pub(crate) struct Scope<'a> {
    /// `20260102T030405Z`; its first eight characters are the scope's date.
    pub(crate) amz_date: &'a str,
    /// `eu-central-1`, …
    pub(crate) region: &'a str,
    /// `sts`, …
    pub(crate) service: &'a str,
}

/// The signature: 64 lower-case hexadecimal digits.
pub(crate) fn signature(
    secret_access_key: &[u8],
    scope: &Scope<'_>,
    request: &SignedRequest<'_>,
) -> String {
    let date = scope.amz_date.get(..8).unwrap_or_default();
    let string_to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{date}/{}/{}/aws4_request\n{}",
        scope.amz_date,
        scope.region,
        scope.service,
        hex(&Sha256::digest(canonical_request(request))),
    );

    let mut key = Zeroizing::new(b"AWS4".to_vec());
    key.extend_from_slice(secret_access_key);
    let mut key = hmac(&key, date);
    for part in [scope.region, scope.service, "aws4_request"] {
        key = hmac(&*key, part);
    }
    hex(&*hmac(&*key, &string_to_sign))
}

/// The signed headers' names, as in `SignedHeaders=`.
pub(crate) fn signed_headers(headers: &[(&str, &str)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

fn canonical_request(request: &SignedRequest<'_>) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method, request.path, request.canonical_query
    );
    for (name, value) in request.headers {
        text.push_str(name);
        text.push(':');
        push_collapsed(&mut text, value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers(request.headers));
    text.push('\n');
    text.push_str(&hex(&Sha256::digest(request.body)));
    text
}

/// Trims a header's value, and makes each run of spaces one.
fn push_collapsed(text: &mut String, value: &str) {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        text.push_str(first);
    }
    for word in words {
        text.push(' ');
        text.push_str(word);
    }
}

fn hmac(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of every length");
    };
    mac.update(message.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };
    use proptest::prelude::*;

    use super::*;

    /// AWS's published `get-vanilla` vector.
    #[test]
    fn published_vector() {
        let signature = signature(
            b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            &Scope {
                amz_date: "20150830T123600Z",
                region: "us-east-1",
                service: "service",
            },
            &SignedRequest {
                method: "GET",
                path: "/",
                canonical_query: "",
                headers: &[
                    ("host", "example.amazonaws.com"),
                    ("x-amz-date", "20150830T123600Z"),
                ],
                body: b"",
            },
        );
        assert_eq!(
            signature,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_aws_sigv4(
            secret in "[ -~]{0,100}",
            body in "[ -~]{0,200}",
            value in "[!-~]( {0,3}[!-~]{1,10}){0,5}",
            region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
            seconds in 0_u64..4_000_000_000,
        ) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let identity = Credentials::new("AKIAEXAMPLE", &*secret, None, None, "test").into();
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region(&region)
                .name("sts")
                .time(time)
                .settings(SigningSettings::default())
                .build()
                .unwrap()
                .into();
            let request = SignableRequest::new(
                "POST",
                "https://sts.example.com/",
                [("x-value", &*value)].into_iter(),
                SignableBody::Bytes(body.as_bytes()),
            )
            .unwrap();
            let (instructions, theirs) = sign(request, &params).unwrap().into_parts();
            let amz_date = instructions
                .headers()
                .find(|(name, _)| *name == "x-amz-date")
                .unwrap()
                .1;
            let ours = signature(
                secret.as_bytes(),
                &Scope { amz_date, region: &region, service: "sts" },
                &SignedRequest {
                    method: "POST",
                    path: "/",
                    canonical_query: "",
                    headers: &[
                        ("host", "sts.example.com"),
                        ("x-amz-date", amz_date),
                        ("x-value", &value),
                    ],
                    body: body.as_bytes(),
                },
            );
            prop_assert_eq!(ours, theirs);
        }
    }
}
