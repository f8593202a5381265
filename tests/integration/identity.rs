//! Proofs of identity against an STS that checks signatures (moto), against hostile ones, and
//! against the stand-in of development mode.

use std::time::{Duration, SystemTime};

use approzium::identity::{
    Principal, Rejection, VerifiedIdentity,
    aws::{Audiences, AwsProof, CheckedProof, Signer, Skew, StsVerifier, Verifier},
};
use approzium_peers::{
    Moto,
    moto::{ACCOUNT, Credentials},
    peer,
};
use aws_credential_types::provider::SharedCredentialsProvider;

mod environment;
pub(crate) mod hostile_sts;
mod outage;
mod reach;
mod stand_in;

const AUDIENCE: &str = "authenticator.example.com:6001";
const NONCE: [u8; 32] = [0x5a; 32];

#[tokio::test]
async fn sts_vouches_for_users_and_for_assumed_roles() {
    let moto = peer!(Moto::start());
    let verifier = verifier(&moto);
    let user = moto.user("ann").await.unwrap();
    let pathed = moto
        .assumed_role(ACCOUNT, "/team/", "checkout", "pod-7f")
        .await
        .unwrap();
    let elsewhere = moto
        .assumed_role("210987654321", "/", "checkout", "pod-7f")
        .await
        .unwrap();

    let identity = ask(&verifier, &proof(&user, "eu-central-1").await)
        .await
        .unwrap();
    assert_eq!(identity.arn, "arn:aws:iam::123456789012:user/ann");
    let ann = Principal::parse("arn:aws:iam::123456789012:user/ann").unwrap();
    assert!(ann.matches(&identity.principal));

    let checkout = Principal::parse("arn:aws:iam::123456789012:role/team/checkout").unwrap();
    for region in ["us-east-1", "eu-central-1", "ap-southeast-2"] {
        let identity = ask(&verifier, &proof(&pathed, region).await).await.unwrap();
        assert_eq!(
            identity.arn,
            "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f"
        );
        assert!(identity.unique_id().starts_with("AROA"), "{identity:?}");
        assert!(identity.user_id.ends_with(":pod-7f"), "{identity:?}");
        assert!(checkout.matches(&identity.principal));
    }

    let identity = ask(&verifier, &proof(&elsewhere, "us-east-1").await)
        .await
        .unwrap();
    assert_eq!(identity.principal.account(), "210987654321");
    assert!(!checkout.matches(&identity.principal));
}

#[tokio::test]
async fn a_proof_of_which_any_part_was_changed_is_refused() {
    type Change = fn(&mut AwsProof);
    let moto = peer!(Moto::start());
    let verifier = verifier(&moto);
    let role = moto
        .assumed_role(ACCOUNT, "/", "checkout", "pod-7f")
        .await
        .unwrap();
    let user = moto.user("ann").await.unwrap();
    let good = proof(&role, "eu-central-1").await;
    assert!(ask(&verifier, &good).await.is_ok());

    let wrong_secret = Credentials {
        secret_access_key: "x".repeat(40),
        ..role.clone()
    };
    let wrong_secret = proof(&wrong_secret, "eu-central-1").await;
    assert_eq!(
        ask(&verifier, &wrong_secret).await,
        Err(Rejection::Signature)
    );
    let wrong_token = Credentials {
        session_token: Some("x".repeat(356)),
        ..role.clone()
    };
    let wrong_token = proof(&wrong_token, "eu-central-1").await;
    assert_eq!(
        ask(&verifier, &wrong_token).await,
        Err(Rejection::Credentials)
    );

    let changes: &[(&str, Change, Rejection)] = &[
        (
            "region",
            |p| p.region = "us-east-1".into(),
            Rejection::Signature,
        ),
        (
            "audience",
            |p| p.audience = "another.example.com".into(),
            Rejection::Signature,
        ),
        (
            "signature",
            |p| p.signature = "0".repeat(64),
            Rejection::Signature,
        ),
        ("a second", |p| nudge(&mut p.amz_date), Rejection::Signature),
        (
            "token",
            |p| p.security_token.push('x'),
            Rejection::Credentials,
        ),
        (
            "key",
            |p| p.access_key_id = "ASIAAAAAAAAAAAAAAAAA".into(),
            Rejection::Credentials,
        ),
    ];
    for (name, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(
            ask(&verifier, &changed).await.as_ref(),
            Err(expected),
            "{name}"
        );
    }

    // Another key's identity cannot be had by naming it.
    let mut relabelled = proof(&user, "eu-central-1").await;
    relabelled.access_key_id.clone_from(&role.access_key_id);
    relabelled.security_token.clone_from(&good.security_token);
    assert_eq!(ask(&verifier, &relabelled).await, Err(Rejection::Signature));

    // The same proof on a stream with another nonce: a replay.
    let replayed = check(&good, &[0xa5; 32], SystemTime::now()).unwrap();
    assert_eq!(verifier.verify(&replayed).await, Err(Rejection::Signature));
}

#[tokio::test]
async fn what_can_be_known_is_refused_before_sts_is_asked() {
    type Change = fn(&mut AwsProof);
    let moto = peer!(Moto::start());
    let verifier = verifier(&moto);
    let user = moto.user("ann").await.unwrap();
    let good = proof(&user, "eu-central-1").await;
    assert!(ask(&verifier, &good).await.is_ok());
    let asked = moto.identity_requests();
    assert_eq!(asked, 1, "moto's recording counts");

    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let now = SystemTime::now();
    for (signed_at, expected) in [
        (now - minutes(6), Rejection::Expired),
        (now + minutes(6), Rejection::NotYetValid),
    ] {
        let proof = proof_at(&user, "eu-central-1", signed_at).await;
        assert_eq!(ask(&verifier, &proof).await, Err(expected));
    }
    let changes: &[(Change, &str)] = &[
        (
            |p| p.region = "eu-central-1.evil.example".into(),
            "region_unknown",
        ),
        (
            |p| p.audience = "elsewhere.example.com".into(),
            "audience_mismatch",
        ),
        (
            |p| p.amz_date = "2026-01-02T03:04:05Z".into(),
            "proof_malformed",
        ),
        (
            |p| p.security_token = "a\r\nx-evil: b".into(),
            "proof_malformed",
        ),
        (|p| p.signature.push_str(",x=y"), "proof_malformed"),
    ];
    for (change, reason) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(
            ask(&verifier, &changed).await.unwrap_err().reason(),
            *reason
        );
    }
    assert_eq!(moto.identity_requests(), asked);
}

/// The real verifier: only the address that it dials and one more root are the test's.
fn verifier(moto: &Moto) -> StsVerifier {
    StsVerifier::builder()
        .dial(moto.address())
        .add_root_certificate(moto.authority().der().into())
        .build()
        .unwrap()
}

async fn proof(credentials: &Credentials, region: &str) -> AwsProof {
    proof_at(credentials, region, SystemTime::now()).await
}

async fn proof_at(credentials: &Credentials, region: &str, at: SystemTime) -> AwsProof {
    let Credentials {
        access_key_id,
        secret_access_key,
        session_token,
        ..
    } = credentials.clone();
    let keys = aws_credential_types::Credentials::new(
        access_key_id,
        secret_access_key,
        session_token,
        None,
        "test",
    );
    sign(keys, region, at).await
}

async fn sign(keys: aws_credential_types::Credentials, region: &str, at: SystemTime) -> AwsProof {
    let signer = Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .region(region)
        .build()
        .await
        .unwrap();
    signer.sign(&NONCE, AUDIENCE, at).await.unwrap().0
}

fn check(proof: &AwsProof, nonce: &[u8], now: SystemTime) -> Result<CheckedProof, Rejection> {
    let audiences = Audiences::new([AUDIENCE, "another.example.com"]).unwrap();
    CheckedProof::parse(proof, nonce, &audiences, now.into(), &Skew::default())
}

async fn ask(verifier: &impl Verifier, proof: &AwsProof) -> Result<VerifiedIdentity, Rejection> {
    verifier
        .verify(&check(proof, &NONCE, SystemTime::now())?)
        .await
}

/// Another second of the same minute.
fn nudge(amz_date: &mut String) {
    let seconds: u32 = amz_date[13..15].parse().unwrap();
    amz_date.replace_range(13..15, &format!("{:02}", (seconds + 1) % 60));
}
