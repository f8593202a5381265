//! The parts of a proof, with NULs between them: what is accepted becomes the headers of one request,
//! to a host of the table, and nothing more.

#![no_main]

use approzium::{
    fuzzing::identity::headers,
    identity::aws::{Audiences, AwsProof, CheckedProof, Region, Skew},
};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

/// 2026-01-02T03:04:05Z.
const NOW: i64 = 1_767_323_045;

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let proof = AwsProof {
        access_key_id: part(),
        amz_date: part(),
        region: part(),
        security_token: part(),
        audience: part(),
        signature: part(),
    };
    let audiences = Audiences::new(["authenticator.internal", "10.0.0.7:6000"]).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    let Ok(checked) = CheckedProof::parse(&proof, &[9; 32], &audiences, now, &Skew::default())
    else {
        return;
    };
    let region = Region::find(&proof.region).unwrap();
    assert_eq!(checked.region(), region);
    assert!(region.sts_host().starts_with("sts."));

    let headers = headers(&checked, region.sts_host());
    let mut names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let authorization = &headers.last().unwrap().1;
    let signed = authorization
        .split_once("SignedHeaders=")
        .and_then(|(_, rest)| rest.split_once(','))
        .unwrap()
        .0;
    assert_eq!(names.pop(), Some("authorization"));
    assert_eq!(signed, names.join(";"));
    assert_eq!(
        names.contains(&"x-amz-security-token"),
        !proof.security_token.is_empty()
    );
    for once in [
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        "/sts/aws4_request",
    ] {
        assert_eq!(authorization.matches(once).count(), 1, "{authorization}");
    }
    for (name, value) in &headers {
        assert!(HeaderValue::from_str(value).is_ok(), "{name}");
        assert!(
            value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{name}"
        );
    }
    if !proof.access_key_id.contains(&proof.signature) {
        assert!(!format!("{checked:?}").contains(&proof.signature));
    }
});
