//! Proofs of identity, verified by an STS that checks signatures.

use std::time::{Duration, SystemTime};

use approzium::{
    AuthClient, Hop, TlsConfig,
    identity::aws::{Signer, StsVerifier},
};
use approzium_peers::{
    Moto,
    moto::{ACCOUNT, Credentials},
    peer,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use tonic::Code;

use super::{House, Log};
use crate::authenticator::client::{Client, Refusal, request_id, sign, signer_of, start, v2};

/// The name by which these tests reach the Authenticator.
const AUDIENCE: &str = "127.0.0.1";

/// The verifier of production; only the address that it dials and one more root are the test's.
pub(super) fn verifier(moto: &Moto) -> StsVerifier {
    StsVerifier::builder()
        .dial(moto.address())
        .add_root_certificate(moto.authority().der().into())
        .build()
        .unwrap()
}

pub(super) fn keys(credentials: &Credentials) -> aws_credential_types::Credentials {
    let Credentials {
        access_key_id,
        secret_access_key,
        session_token,
        ..
    } = credentials.clone();
    aws_credential_types::Credentials::new(
        access_key_id,
        secret_access_key,
        session_token,
        None,
        "test",
    )
}

/// What a client makes of a nonce of ours.
async fn honest(signer: &Signer, nonce: &[u8]) -> v2::AwsProof {
    sign(signer, nonce, AUDIENCE, SystemTime::now()).await
}

/// Whether STS was asked about a proof that was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sts {
    Asked,
    NotAsked,
}

/// Sends proofs that are to be refused, and sees that each is, alike.
struct Refusals<'a> {
    moto: &'a Moto,
    log: &'a Log,
    client: &'a Client,
    first: Option<Refusal>,
}

impl Refusals<'_> {
    /// One more proof, made for the nonce of a new stream.
    async fn refused(
        &mut self,
        reason: &str,
        sts: Sts,
        proof: impl AsyncFnOnce(&[u8]) -> v2::AwsProof,
    ) {
        let challenge = self.client.challenge().await.unwrap();
        let proof = proof(&challenge.nonce).await;
        let before = self.moto.identity_requests();
        let status = challenge.prove(proof).await.expect_err(reason);
        let asked = self.moto.identity_requests() - before;
        assert_eq!(asked, usize::from(sts == Sts::Asked), "{reason}");

        let id = request_id(&status);
        let line = self.log.audit(&id, "denied").await;
        assert_eq!(line["reason"], reason);
        assert_eq!(line["call"], "CreateSession");
        assert!(line.get("iam_arn").is_none(), "{line}");
        self.alike(Refusal::from(&status), reason);
    }

    fn alike(&mut self, refusal: Refusal, reason: &str) {
        assert_eq!(refusal.code, Code::Unauthenticated, "{reason}");
        match &self.first {
            Some(first) => assert_eq!(refusal, *first, "{reason}"),
            None => self.first = Some(refusal),
        }
    }
}

#[tokio::test]
async fn sts_decides_and_whoever_is_refused_is_told_the_same() {
    let moto = peer!(Moto::start());
    let (log, _recording) = Log::start();
    let house = House::start(verifier(&moto), "").await;
    let client = house.client().await;
    let role = moto
        .assumed_role(ACCOUNT, "/team/", "checkout", "pod-7f")
        .await
        .unwrap();
    let user = moto.user("ann").await.unwrap();
    let good = signer_of(keys(&role)).await;
    let now = SystemTime::now();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut refusals = Refusals {
        moto: &moto,
        log: &log,
        client: &client,
        first: None,
    };

    // The one that is taken, and then sent once more, on a stream with another nonce.
    let challenge = client.challenge().await.unwrap();
    let taken = honest(&good, &challenge.nonce).await;
    let grant = challenge.prove(taken.clone()).await.unwrap();
    assert_eq!(grant.iam_arn, role.arn);
    let line = log.audit(&grant.request_id, "allowed").await;
    assert_eq!(line["reason"], "session_granted");
    assert_eq!(line["iam_arn"], role.arn);
    refusals
        .refused("signature_mismatch", Sts::Asked, async |_| taken)
        .await;

    let mut wrong = role.clone();
    wrong.secret_access_key = "x".repeat(40);
    let wrong_secret = signer_of(keys(&wrong)).await;
    refusals
        .refused("signature_mismatch", Sts::Asked, async |nonce| {
            honest(&wrong_secret, nonce).await
        })
        .await;
    let mut wrong = role.clone();
    wrong.session_token = Some("x".repeat(356));
    let wrong_token = signer_of(keys(&wrong)).await;
    refusals
        .refused("credentials_refused", Sts::Asked, async |nonce| {
            honest(&wrong_token, nonce).await
        })
        .await;

    // Somebody else's key id beside a signature of one's own.
    let ann = signer_of(keys(&user)).await;
    refusals
        .refused("signature_mismatch", Sts::Asked, async |nonce| {
            let mut proof = honest(&ann, nonce).await;
            proof.access_key_id.clone_from(&role.access_key_id);
            proof.security_token = role.session_token.clone().unwrap();
            proof
        })
        .await;

    // Signed for us-east-1.
    for (region, reason, sts) in [
        ("eu-central-1", "signature_mismatch", Sts::Asked),
        ("eu-central-9", "region_unknown", Sts::NotAsked),
        ("evil.example/", "region_unknown", Sts::NotAsked),
    ] {
        refusals
            .refused(reason, sts, async |nonce| {
                let mut proof = honest(&good, nonce).await;
                proof.region = region.into();
                proof
            })
            .await;
    }

    // For another Authenticator; and said to be for this one.
    refusals
        .refused("audience_mismatch", Sts::NotAsked, async |nonce| {
            sign(&good, nonce, "another.example", now).await
        })
        .await;
    refusals
        .refused("signature_mismatch", Sts::Asked, async |nonce| {
            let mut proof = sign(&good, nonce, "another.example", now).await;
            proof.audience = AUDIENCE.into();
            proof
        })
        .await;

    for (at, reason) in [
        (now - minutes(6), "proof_expired"),
        (now - minutes(24 * 60), "proof_expired"),
        (now + minutes(6), "proof_not_yet_valid"),
        (now + minutes(24 * 60), "proof_not_yet_valid"),
    ] {
        refusals
            .refused(reason, Sts::NotAsked, async |nonce| {
                sign(&good, nonce, AUDIENCE, at).await
            })
            .await;
    }
    // Signed long ago, and dated anew.
    refusals
        .refused("signature_mismatch", Sts::Asked, async |nonce| {
            let mut proof = sign(&good, nonce, AUDIENCE, now - minutes(6)).await;
            proof.amz_date = honest(&good, nonce).await.amz_date;
            proof
        })
        .await;

    refusals
        .refused("proof_malformed", Sts::NotAsked, async |nonce| {
            let mut proof = honest(&good, nonce).await;
            proof.security_token.push_str("\r\nx-evil: 1");
            proof
        })
        .await;
    refusals
        .refused("proof_malformed", Sts::NotAsked, async |_| {
            v2::AwsProof::default()
        })
        .await;

    // A session that is none is told the same.
    let told = client.start(start("forged", "app")).await.told().await;
    assert_eq!(log.reason(&told.request_id, "denied").await, "token_forged");
    refusals.alike(told.status, "token_forged");
}

#[tokio::test]
async fn a_proof_for_the_nonce_of_another_replica_is_refused() {
    let moto = peer!(Moto::start());
    let (log, _recording) = Log::start();
    // Both answer to the same name.
    let (ours, theirs) = tokio::join!(
        House::start(verifier(&moto), ""),
        House::start(verifier(&moto), "")
    );
    let user = moto.user("ann").await.unwrap();
    let signer = signer_of(keys(&user)).await;
    let challenge = theirs.client().await.challenge().await.unwrap();
    let proof = honest(&signer, &challenge.nonce).await;

    let relayed = ours.client().await.challenge().await.unwrap();
    let status = relayed.prove(proof.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let reason = log.reason(&request_id(&status), "denied").await;
    assert_eq!(reason, "signature_mismatch");
    // It was good, where it belongs.
    challenge.prove(proof).await.unwrap();
}

#[tokio::test]
async fn the_client_of_the_library_is_taken_and_refused_like_any_other() {
    let moto = peer!(Moto::start());
    let (log, _recording) = Log::start();
    let house = House::start(verifier(&moto), "").await;
    let role = moto
        .assumed_role(ACCOUNT, "/", "checkout", "pod-7f")
        .await
        .unwrap();
    let client = |credentials: &Credentials| {
        AuthClient::builder(house.address())
            .tls(TlsConfig::new().roots_pem(house.authority.pem()))
            .credentials_provider(SharedCredentialsProvider::new(keys(credentials)))
            .region("eu-central-1")
            .attribution(false)
            .build()
            .unwrap()
    };

    let honest = client(&role);
    honest.authenticate().await.unwrap();
    let info = honest.attribution_info();
    assert_eq!(info.iam_arn.as_deref(), Some(role.arn.as_str()));

    let mut wrong_secret = role.clone();
    wrong_secret.secret_access_key = "x".repeat(40);
    let mut wrong_token = role.clone();
    wrong_token.session_token = Some("x".repeat(356));
    for (credentials, reason) in [
        (wrong_secret, "signature_mismatch"),
        (wrong_token, "credentials_refused"),
    ] {
        let error = client(&credentials).authenticate().await.unwrap_err();
        assert!(error.is_unauthenticated(), "{error}");
        assert_eq!(error.hop(), Hop::Session);
        let id = error.request_id().expect("the audit log has it");
        assert_eq!(log.reason(id, "denied").await, reason);
        assert!(!error.to_string().contains(reason), "{error}");
    }
}
