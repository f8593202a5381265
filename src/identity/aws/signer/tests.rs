use std::time::Duration;

use aws_credential_types::provider::{error::CredentialsError, future};
#[cfg(feature = "authenticator")]
use proptest::prelude::*;

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn keys(token: Option<&str>, expiry: Option<SystemTime>) -> Credentials {
    let token = token.map(str::to_owned);
    Credentials::new(
        "AKIAIOSFODNN7EXAMPLE",
        "canary-secret",
        token,
        expiry,
        "test",
    )
}

async fn signer(credentials: Credentials) -> Signer {
    Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn tells_when_the_credentials_expire() {
    let expiry = NOW + Duration::from_secs(60);
    let signer = signer(keys(Some("token"), Some(expiry))).await;
    let (proof, expires_at) = signer.sign(&[7; 32], "a", NOW).await.unwrap();
    assert_eq!(expires_at, Some(expiry));
    assert_eq!(proof.amz_date, "19700101T000000Z");
    assert_eq!(proof.security_token, "token");

    let error = signer.sign(&[7; 32], "a", expiry).await.unwrap_err();
    assert!(error.is_credentials(), "{error}");
}

#[tokio::test]
async fn an_audience_that_cannot_be_signed_is_a_configuration_error() {
    let signer = signer(keys(None, None)).await;
    for audience in ["", "a b", "a\nb", &"x".repeat(129)] {
        let error = signer.sign(&[7; 32], audience, NOW).await.unwrap_err();
        assert!(error.is_configuration(), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn keys_that_cannot_be_sent_are_an_error_without_them() {
    let signer = signer(keys(Some("canary\ntoken"), None)).await;
    let error = signer.sign(&[7; 32], "a", NOW).await.unwrap_err();
    assert!(error.is_credentials());
    let shown = format!("{error} {error:?} {signer:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[derive(Debug)]
struct Failing(fn() -> CredentialsError);

impl ProvideCredentials for Failing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

#[tokio::test]
async fn a_provider_s_failure_says_which_hop_and_what_to_do() {
    let failures: [(fn() -> CredentialsError, bool); 4] = [
        (|| CredentialsError::not_loaded("none"), false),
        (
            || CredentialsError::provider_timed_out(Duration::from_secs(1)),
            true,
        ),
        (|| CredentialsError::invalid_configuration("x"), false),
        (|| CredentialsError::provider_error("x"), false),
    ];
    for (failure, timeout) in failures {
        let signer = Signer::builder()
            .credentials_provider(SharedCredentialsProvider::new(Failing(failure)))
            .region("eu-central-1")
            .build()
            .await
            .unwrap();
        let error = signer.sign(&[7; 32], "a", NOW).await.unwrap_err();
        assert_eq!(error.hop(), Hop::Credentials);
        assert_eq!(
            (error.is_timeout(), error.is_credentials()),
            (timeout, !timeout)
        );
        assert!(error.help().unwrap().contains("get-caller-identity"));
    }
}

#[derive(Debug)]
struct Answer(#[expect(dead_code, reason = "read by Debug")] &'static str);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is cut off")
    }
}

impl StdError for Answer {}

#[tokio::test]
async fn what_a_credential_service_answered_is_not_kept() {
    let failing = Failing(|| CredentialsError::provider_error(Answer("canary-key")));
    let signer = Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(failing))
        .region("eu-central-1")
        .build()
        .await
        .unwrap();
    let error = signer.sign(&[7; 32], "a", NOW).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("the answer is cut off") && !shown.contains("canary"),
        "{shown}"
    );
}

#[tokio::test]
async fn fips_is_another_host_and_so_another_signature() {
    let build = |region: &str, fips| {
        Signer::builder()
            .credentials_provider(SharedCredentialsProvider::new(keys(None, None)))
            .region(region)
            .fips(fips)
            .build()
    };
    let plain = build("us-east-1", false).await.unwrap();
    let fips = build("us-east-1", true).await.unwrap();
    let plain = plain.sign(&[7; 32], "a", NOW).await.unwrap().0;
    let fips = fips.sign(&[7; 32], "a", NOW).await.unwrap().0;
    assert_ne!(plain.signature, fips.signature);
    assert!(
        build("eu-central-1", true)
            .await
            .unwrap_err()
            .is_configuration()
    );
}

#[cfg(feature = "authenticator")]
proptest! {
    /// What the SDK's signer signs is what the Authenticator will write.
    #[test]
    fn both_sides_write_the_same_request(
        secret in "[!-~]{1,80}",
        token in proptest::option::of("[!-~]{1,200}"),
        nonce in any::<[u8; 32]>(),
        audience in "[A-Za-z0-9._:-]{1,128}",
        seconds in 0_u32..,
    ) {
        use super::super::{Audiences, CheckedProof, Skew, sigv4::{Scope, SignedRequest, signature}};

        let now = NOW + Duration::from_secs(seconds.into());
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", &*secret, token, None, "test");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (proof, _) = runtime
            .block_on(async { signer(credentials).await.sign(&nonce, &audience, now).await })
            .unwrap();
        let audiences = Audiences::new([audience]).unwrap();
        let checked =
            CheckedProof::parse(&proof, &nonce, &audiences, now.into(), &Skew::default()).unwrap();
        let ours = signature(
            secret.as_bytes(),
            &Scope { amz_date: checked.amz_date(), region: "eu-central-1", service: "sts" },
            &SignedRequest {
                method: "POST",
                path: "/",
                canonical_query: "",
                headers: &checked.headers("sts.eu-central-1.amazonaws.com"),
                body: BODY.as_bytes(),
            },
        );
        prop_assert_eq!(ours, proof.signature);
    }
}
