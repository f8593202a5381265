use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const STS: PresignedOrigin = PresignedOrigin::Sts { fips: false };

fn good() -> String {
    format!(
        "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15\
         &X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-central-1%2Fsts%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
         &X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-Signature={}",
        "0f".repeat(32)
    )
}

fn parse_at(
    url: &str,
    origin: PresignedOrigin,
    now: OffsetDateTime,
) -> Result<PresignedProof, Rejection> {
    let limits = PresignedLimits::default();
    PresignedProof::parse(url, PresignedMethod::Post, origin, &limits, now)
}

fn parse(url: &str) -> Result<PresignedProof, Rejection> {
    parse_at(url, STS, NOW)
}

#[test]
fn what_is_asked_is_written_anew_in_canonical_form() {
    let proof = parse(&good()).unwrap();
    assert_eq!(proof.host(), "sts.eu-central-1.amazonaws.com");
    assert_eq!(proof.security_token(), Some("a/b+c=="));
    assert_eq!(
        proof.query(),
        format!(
            "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-central-1%2Fsts%2Faws4_request\
             &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D\
             &X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            "0f".repeat(32)
        )
    );
    // Neither the order of parameters nor their encoding is the client's.
    let (address, query) = good()
        .split_once('?')
        .map(|(a, q)| (a.to_owned(), q.to_owned()))
        .unwrap();
    let mut parameters: Vec<_> = query.split('&').collect();
    parameters.reverse();
    let reordered = format!("{address}?{}", parameters.join("&"))
        .replace("%2F", "%2f")
        .replace("900", "%390%30");
    let reordered = parse(&reordered).unwrap();
    assert_eq!(reordered.query(), proof.query());
    assert_eq!(reordered.digest(), proof.digest());
}

#[test]
fn nothing_else_is_a_proof() {
    let token = "&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D";
    let signature = "0f".repeat(32);
    for (from, to) in [
        // The address.
        ("https://", "http://"),
        ("https://", "HTTPS://"),
        ("https://", "//"),
        ("https://", ""),
        ("https://", "https:///"),
        ("https://", "https://user@"),
        ("https://", "https://user:word@"),
        (".com/?", ".com:443/?"),
        (".com/?", ".com:/?"),
        (".com/?", ".com./?"),
        (".com/?", ".com//?"),
        (".com/?", ".com/x?"),
        (".com/?", ".com/%2e?"),
        (".com/?", ".com?"),
        (".com/?", ".com/#?"),
        (".com/?", ".com/;?"),
        (".com/?", ".com/\\?"),
        (".com/?", ".com.evil.example/?"),
        (".com/?", ".com%00.evil.example/?"),
        (".com/?", ".com@evil.example/?"),
        ("sts.eu-central-1.amazonaws.com", "sts.amazonaws.com"),
        (
            "sts.eu-central-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
        ),
        (
            "sts.eu-central-1.amazonaws.com",
            "sts-fips.eu-central-1.amazonaws.com",
        ),
        (
            "sts.eu-central-1.amazonaws.com",
            "STS.eu-central-1.amazonaws.com",
        ),
        ("sts.eu-central-1.amazonaws.com", "127.0.0.1:1"),
        ("sts.eu-central-1.amazonaws.com", "evil.example"),
        ("sts.eu-central-1.amazonaws.com", ""),
        // Its parameters.
        ("GetCallerIdentity", "GetSessionToken"),
        ("GetCallerIdentity", "getcalleridentity"),
        ("GetCallerIdentity", ""),
        ("2011-06-15", "2011-06-14"),
        ("Action=GetCallerIdentity&", ""),
        ("&Version=2011-06-15", ""),
        ("&Version=2011-06-15", "&Version"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
        (token, "&X-Amz-Security-Token=a%0d%0aHost%3A%20evil"),
        (token, "&X-Amz-Security-Token=a%00"),
        (token, "&X-Amz-Security-Token=a%C3%A9"),
        (token, "&X-Amz-Security-Token=a+b"),
        (token, "&X-Amz-Security-Token=a%2"),
        (token, "&X-Amz-Security-Token=a%+2"),
        (token, "&X-Amz-Security-Token=a%zz"),
        (token, "&X-Amz-Security-Token=a\r\nHost: evil"),
        (token, "&X-Amz-Security-Token=é"),
        (token, "&X-Amz-Security-Token=a;b"),
        (token, "&X-Amz-Security-Token=a#b"),
        (token, "&x-amz-security-token=a"),
        (token, "&X-Amz-Security-Token=a&X-Amz-Security-Token=a"),
        (token, "&X-Amz-Security-Token=a&x-amz-security-token=b"),
        (token, "&Action=GetCallerIdentity"),
        (token, "&action=AssumeRole"),
        (token, "&ACTION=GetCallerIdentity"),
        (token, "&RoleArn=x"),
        (token, "&%41ction=AssumeRole"),
        (token, "&"),
        (token, "&="),
        (token, "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE"),
        (&signature, ""),
        (&signature, &"0F".repeat(32)),
        (&signature, &"0f".repeat(33)),
        ("&X-Amz-Signature=", "&X-Amz-Signatur="),
        // Dates and scope.
        ("=900", "=901"),
        ("=900", "=3600"),
        ("=900", "=-1"),
        ("=900", "=0900"),
        ("=900", "=9e2"),
        ("=900", "="),
        ("=900", "=99999999999999999999"),
        ("&X-Amz-Expires=900", ""),
        ("20260102T030405Z", "20260102T030405"),
        ("20260102T030405Z", "2026-01-02T03:04:05Z"),
        ("20260102T030405Z", "20260103T030405Z"),
        ("%2F20260102%2F", "%2F20260101%2F"),
        ("%2Fsts%2F", "%2Fiam%2F"),
        ("aws4_request", "aws4"),
        ("aws4_request", "aws4_request%2Fx"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7%0aXAMPLE"),
    ] {
        let url = good().replace(from, to);
        assert_ne!(url, good(), "{from}");
        let rejection = parse(&url).expect_err(&url);
        assert_eq!(rejection.reason(), "proof_malformed", "{url}");
    }
    let elsewhere = good().replace("eu-central-1", "eu-central-99");
    assert_eq!(parse(&elsewhere).unwrap_err(), Rejection::UnknownRegion);
    let long = good().replace("a%2Fb", &"x".repeat(4_096 - good().len() + 6));
    assert_eq!(long.len(), 4_097);
    assert_eq!(parse(&long).unwrap_err().reason(), "proof_malformed");
    assert!(parse(&long.replace("xxx", "xx")).is_ok());
}

#[test]
fn it_is_good_for_as_long_as_it_says_and_never_for_more_than_a_quarter_of_an_hour() {
    let seconds = time::Duration::seconds;
    let hour = PresignedLimits {
        max_expires: Duration::from_secs(3600),
    };
    for (expires, age, result) in [
        ("900", 900, Ok(0)),
        ("900", 901, Err(Rejection::Expired)),
        ("60", 60, Ok(0)),
        ("60", 61, Err(Rejection::Expired)),
        ("0", 1, Err(Rejection::Expired)),
        ("3600", 900, Ok(0)),
        ("3600", 901, Err(Rejection::Expired)),
        ("900", -300, Ok(1_200)),
        ("900", -301, Err(Rejection::NotYetValid)),
    ] {
        let url = good().replace("=900", &format!("={expires}"));
        let now = NOW + seconds(age);
        let parsed = PresignedProof::parse(&url, PresignedMethod::Get, STS, &hour, now);
        let remaining = parsed.map(|proof| proof.remaining(now).as_secs());
        assert_eq!(remaining, result, "{expires} {age}");
    }
}

#[test]
fn where_it_points_to_is_the_verifiers_to_say() {
    let stand_in = SocketAddr::from(([127, 0, 0, 1], 4566));
    let local = good().replace(
        "https://sts.eu-central-1.amazonaws.com",
        "http://127.0.0.1:4566",
    );
    let fips = PresignedOrigin::Sts { fips: true };
    let us = good().replace("eu-central-1", "us-east-1");
    let us_fips = us.replace("//sts.", "//sts-fips.");
    for (url, origin, good) in [
        (&local, PresignedOrigin::StandIn(stand_in), true),
        (&local, STS, false),
        (&local, fips, false),
        (
            &local.replace("4566", "4567"),
            PresignedOrigin::StandIn(stand_in),
            false,
        ),
        (
            &local.replace("127.0.0.1", "localhost"),
            PresignedOrigin::StandIn(stand_in),
            false,
        ),
        (
            &local.replace("http:", "https:"),
            PresignedOrigin::StandIn(stand_in),
            false,
        ),
        (&good(), PresignedOrigin::StandIn(stand_in), false),
        (&good(), fips, false),
        (&us_fips, fips, true),
        (&us_fips, STS, false),
        (&us, fips, false),
        (&us, STS, true),
    ] {
        assert_eq!(parse_at(url, origin, NOW).is_ok(), good, "{url} {origin:?}");
    }
}

#[test]
fn proofs_are_told_apart_and_print_nothing_that_proves() {
    let proof = parse(&good()).unwrap();
    for other in [
        good().replace("0f0f", "0f1f"),
        good().replace("a%2Fb", "a%2Fc"),
        good().replace("=900", "=899"),
    ] {
        assert_ne!(parse(&other).unwrap().digest(), proof.digest(), "{other}");
    }
    let limits = PresignedLimits::default();
    let get = PresignedProof::parse(&good(), PresignedMethod::Get, STS, &limits, NOW).unwrap();
    assert_ne!(get.digest(), proof.digest());
    let printed = format!("{proof:?}");
    assert!(printed.contains("AKIAIOSFODNN7EXAMPLE"), "{printed}");
    assert!(
        !printed.contains("a/b") && !printed.contains("0f0f"),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_pass(text in "\\PC{0,300}", at in 0_usize..600) {
        prop_assert!(parse(&text).is_err());
        let mut url = good();
        let at = at.min(url.len());
        url.insert_str(at, &text);
        if let Ok(proof) = parse(&url) {
            // What went in stands where any text may: in the token or the signature.
            prop_assert_eq!(proof.host(), "sts.eu-central-1.amazonaws.com");
            prop_assert!(proof.query().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
