//! `CreateSession`: whose proof is taken, and whose is not.

use std::time::{Duration, SystemTime};

use approzium::authenticator::{Authenticator, LocalSecrets, ServerTls, dev::DevSts};
use approzium_peers::certificates::{Authority, Signature};
use aws_credential_types::Credentials;
use tonic::{Code, Status};

use super::{
    client::{
        Client, channel, credentials, request_id, showing, sign, signer, signer_of, start, tls, v2,
    },
    process::{Dev, record, until, write_private},
};

const ROLE: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

#[tokio::test]
async fn a_good_proof_is_worth_a_session() {
    let dev = Dev::start("").await;
    let grant = Client::connect(&dev)
        .await
        .session(&signer(&dev, "checkout").await)
        .await;
    assert_eq!(grant.iam_arn, ROLE);
    assert!(grant.user_id.ends_with(":dev"), "{}", grant.user_id);
    let lifetime = grant.lifetime.unwrap();
    assert_eq!(lifetime.seconds, 15 * 60);
    let line = dev.audit(&grant.request_id, "allowed").await;
    assert_eq!(line["reason"], "session_granted");
    assert_eq!(line["iam_arn"], ROLE);
    assert_eq!(line["client"], "test/1");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_proof_the_answer_is_the_same() {
    let dev = Dev::start("").await;
    let client = Client::connect(&dev).await;
    let good = signer(&dev, "checkout").await;
    let known = credentials(&dev, "checkout");
    let key = known.access_key_id();
    let token = known.session_token().map(str::to_owned);
    let wrong_secret = Credentials::new(key, "wrong", token, None, "test");
    let secret = known.secret_access_key();
    let wrong_token = Credentials::new(key, secret, Some("wrong".into()), None, "test");
    let (wrong_secret, wrong_token) = (signer_of(wrong_secret).await, signer_of(wrong_token).await);
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);

    let mut refused: Vec<(Status, &str)> = Vec::new();
    for (signer, audience, at, reason) in [
        (&wrong_secret, "127.0.0.1", now, "signature_mismatch"),
        (&wrong_token, "127.0.0.1", now, "credentials_refused"),
        (&good, "another.example", now, "audience_mismatch"),
        (&good, "127.0.0.1", now - hour, "proof_expired"),
        (&good, "127.0.0.1", now + hour, "proof_not_yet_valid"),
    ] {
        let challenge = client.challenge().await.unwrap();
        let proof = sign(signer, &challenge.nonce, audience, at).await;
        refused.push((challenge.prove(proof).await.unwrap_err(), reason));
    }

    // Signed for us-east-1, and said to be for another region; which may not exist.
    for (region, reason) in [
        ("eu-west-1", "signature_mismatch"),
        ("evil-1", "region_unknown"),
    ] {
        let challenge = client.challenge().await.unwrap();
        let mut proof = sign(&good, &challenge.nonce, "127.0.0.1", now).await;
        proof.region = region.into();
        refused.push((challenge.prove(proof).await.unwrap_err(), reason));
    }

    // A proof for the nonce of another stream.
    let (first, second) = (client.challenge().await, client.challenge().await);
    let proof = sign(&good, &first.unwrap().nonce, "127.0.0.1", now).await;
    let replayed = second.unwrap().prove(proof).await;
    refused.push((replayed.unwrap_err(), "signature_mismatch"));

    let challenge = client.challenge().await.unwrap();
    let malformed = challenge.prove(v2::AwsProof::default()).await;
    refused.push((malformed.unwrap_err(), "proof_malformed"));

    for (status, reason) in &refused {
        assert_eq!(status.code(), Code::Unauthenticated, "{reason}");
        assert_eq!(status.message(), refused[0].0.message(), "{reason}");
        assert_eq!(dev.reason(&request_id(status), "denied").await, *reason);
    }
}

#[tokio::test]
async fn every_stream_has_a_nonce_of_its_own() {
    let dev = Dev::start("").await;
    let client = Client::connect(&dev).await;
    let mut nonces = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let nonce = client.challenge().await.unwrap().nonce;
        assert_eq!(nonce.len(), 32);
        assert!(nonce.iter().any(|byte| *byte != nonce[0]), "{nonce:?}");
        assert!(nonces.insert(nonce), "the same nonce twice");
    }
}

#[tokio::test]
async fn another_authenticators_token_is_worth_nothing() {
    let (ours, theirs) = tokio::join!(Dev::start(""), Dev::start(""));
    let foreign = Client::connect(&theirs)
        .await
        .token(&theirs, "checkout")
        .await;
    let client = Client::connect(&ours).await;
    for token in [foreign.as_str(), "", "a2.x.y.z"] {
        let refused = client.start(start(token, "app")).await.refusal().await;
        assert_eq!(refused.code(), Code::Unauthenticated);
        let reason = ours.reason(&request_id(&refused), "denied").await;
        assert_eq!(reason, "token_forged");
    }
}

#[tokio::test]
async fn a_session_ends() {
    let dev = Dev::start_with(&record("app", ""), &["--session-lifetime=1s"]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let refused = until("the end of the session", async || {
        let mut handshake = client.start(start(&token, "app")).await;
        handshake.answer().await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::Unauthenticated);
    let reason = dev.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "token_expired");
}

#[tokio::test]
async fn a_token_is_bound_to_the_client_certificate_it_was_given_to() {
    let authority = Authority::new(Signature::EcdsaP256Sha256);
    let server = authority.localhost();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.yaml");
    write_private(&secrets, &record("app", ""));
    let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let tls_of_server =
        ServerTls::from_pem(server.certificate_pem.as_bytes(), server.key_pem.as_bytes())
            .and_then(|tls| tls.with_client_ca(authority.pem().as_bytes()))
            .unwrap();
    let running = Authenticator::builder()
        .tls(tls_of_server)
        .verifier(sts.verifier())
        .secrets(LocalSecrets::open(&secrets).unwrap())
        .start()
        .await
        .unwrap();
    let address = running.grpc_addr().to_string();

    let nobody = channel(&address, tls(authority.pem().as_bytes())).await;
    let answered = match nobody {
        Ok(channel) => Client::over(channel).challenge().await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "without a certificate");

    let shows = |name: &str| showing(tls(authority.pem().as_bytes()), &authority.client(name));
    let ours = Client::over(channel(&address, shows("ours")).await.unwrap());
    let theirs = Client::over(channel(&address, shows("theirs")).await.unwrap());
    let checkout = signer_of(sts.identity("checkout").unwrap().credentials()).await;
    let token = ours.session(&checkout).await.session_token;
    ours.accepted(&token, "app").await;
    let stolen = theirs.start(start(&token, "app")).await.refusal().await;
    assert_eq!(stolen.code(), Code::Unauthenticated);
    // Idle connections are no reason to wait.
    assert!(running.shutdown().await);
}
