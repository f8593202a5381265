//! Whose a proof is, and what a thief has of it.

use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use approzium::identity::{
    Rejection, VerifiedIdentity,
    aws::{CheckedProof, PresignedLimits, PresignedOrigin, PresignedProof, Verifier},
};
use approzium_peers::Authority;
use tonic::Code;

use super::{
    answers::v1,
    client::{Client, rfc_7677, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{
        client::{channel, channel_from, request_id, showing},
        process::record,
    },
    rejections::{House, Log, NAMES, dev_sts, server_tls},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

/// The original's SDK opens a channel for each call, and signs once for many.
#[tokio::test]
async fn a_proof_is_good_for_whoever_used_it_first_and_for_nobody_else() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = v1(&sts, &record("user", "")).await;
    let from = async |last: u8| {
        let source = Ipv4Addr::new(127, 0, 0, last);
        Client::over(
            channel_from(source, &house.address(), house.tls())
                .await
                .unwrap(),
        )
    };
    let keys = sts.identity("checkout").unwrap().credentials();
    let url = Presigned::for_stand_in(&sts).url(&keys);
    let request = rfc_7677(&who(&url, CHECKOUT, "user"));
    for _ in 0..3 {
        from(2).await.scram(request.clone()).await.unwrap();
    }
    let stolen = from(3).await.scram(request.clone()).await.unwrap_err();
    assert_eq!(stolen.code(), Code::Unauthenticated);
    let line = log.audit(&request_id(&stolen), "denied").await;
    assert_eq!(
        (&line["reason"], &line["level"]),
        (&"proof_replayed".into(), &"WARN".into())
    );
    assert_eq!(line["iam_arn"], CHECKOUT);
    // In other words it is the same proof.
    let shuffled = url.replace("%2F", "%2f");
    let shuffled = rfc_7677(&who(&shuffled, CHECKOUT, "user"));
    let stolen = from(3).await.scram(shuffled).await.unwrap_err();
    assert_eq!(
        log.reason(&request_id(&stolen), "denied").await,
        "proof_replayed"
    );
    from(2).await.scram(request).await.unwrap();
}

#[tokio::test]
async fn with_client_certificates_the_address_alone_holds_nothing() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let clients = Authority::default();
    let house = House::start_with(sts.verifier(), &record("user", ""), |builder, own| {
        let tls = server_tls(own, &NAMES).with_client_ca(clients.pem().as_bytes());
        builder.tls(tls.unwrap()).v1_api(PresignedLimits::default())
    })
    .await;
    let (our_certificate, their_certificate) = (clients.client("ours"), clients.client("theirs"));
    let connect = async |certificate| {
        let tls = showing(house.tls(), certificate);
        Client::over(channel(&house.address(), tls).await.unwrap())
    };
    let keys = sts.identity("checkout").unwrap().credentials();
    let url = Presigned::for_stand_in(&sts).url(&keys);
    let request = rfc_7677(&who(&url, CHECKOUT, "user"));
    for _ in 0..2 {
        let ours = connect(&our_certificate).await;
        ours.scram(request.clone()).await.unwrap();
    }
    let theirs = connect(&their_certificate).await;
    let stolen = theirs.scram(request).await.unwrap_err();
    assert_eq!(stolen.code(), Code::Unauthenticated);
    let reason = log.reason(&request_id(&stolen), "denied").await;
    assert_eq!(reason, "proof_replayed");
}

/// Two who bring a proof just before it ends, and are both told by STS after that.
#[tokio::test]
async fn a_proof_that_ends_while_sts_is_asked_is_good_for_nobody() {
    const LIFE: Duration = Duration::from_secs(5);

    struct Slow<V>(V, SystemTime);
    #[tonic::async_trait]
    impl<V: Verifier> Verifier for Slow<V> {
        async fn verify(&self, proof: &CheckedProof) -> Result<VerifiedIdentity, Rejection> {
            self.0.verify(proof).await
        }
        fn presigned_origin(&self) -> PresignedOrigin {
            self.0.presigned_origin()
        }
        async fn verify_presigned(
            &self,
            proof: &PresignedProof,
        ) -> Result<VerifiedIdentity, Rejection> {
            let verdict = self.0.verify_presigned(proof).await;
            let left = self.1.duration_since(SystemTime::now());
            tokio::time::sleep(left.unwrap_or_default()).await;
            verdict
        }
    }

    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let signed = SystemTime::now();
    let verifier = Slow(sts.verifier(), signed + LIFE);
    let house = House::start_with(verifier, &record("user", ""), |builder, _| {
        builder.v1_api(PresignedLimits::default())
    })
    .await;
    let from = async |last: u8| {
        let source = Ipv4Addr::new(127, 0, 0, last);
        let channel = channel_from(source, &house.address(), house.tls()).await;
        Client::over(channel.unwrap())
    };
    let (ours, theirs) = (from(2).await, from(3).await);
    let keys = sts.identity("checkout").unwrap().credentials();
    let short = Presigned {
        expires: LIFE.as_secs(),
        at: signed,
        ..Presigned::for_stand_in(&sts)
    };
    let request = rfc_7677(&who(&short.url(&keys), CHECKOUT, "user"));
    let (ours, theirs) = tokio::join!(ours.scram(request.clone()), theirs.scram(request));
    for answer in [ours, theirs] {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let line = log.audit(&request_id(&status), "denied").await;
        assert_eq!(line["reason"], "proof_expired");
        // By STS's word, which came too late: it was not the date alone that was looked at.
        assert_eq!(line["iam_arn"], CHECKOUT);
    }
}
