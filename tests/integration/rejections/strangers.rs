//! What may be asked on connections on which nobody has proved who they are, and what that keeps from
//! who has; and what these may.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use approzium::{
    authenticator::{AuditLog, Limits},
    identity::{
        Rejection, VerifiedIdentity,
        aws::{CheckedProof, Verifier},
    },
};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tonic::{
    Code,
    metadata::{MetadataMap, MetadataValue},
};

use super::{House, Log, dev_signer, dev_sts};
use crate::authenticator::{
    client::{Client, Handshake, Refusal, channel_from, request_id, sign, start},
    process::{record, until},
};

/// Calls of one connection that are read before anybody is identified on it.
const OF_ONE_CONNECTION: usize = 4;

/// A client of its own address. Linux has all of 127.0.0.0/8; elsewhere there is one to come from.
#[cfg(target_os = "linux")]
async fn from(house: &House, last: u8) -> Client {
    let source = Ipv4Addr::new(127, 0, 0, last);
    let channel = channel_from(source, &house.address(), house.tls()).await;
    Client::over(channel.unwrap())
}

#[tokio::test]
async fn few_calls_of_one_connection_are_read_before_it_is_known_whose_it_is() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = House::start(sts.verifier(), &record("app", "")).await;
    let signer = dev_signer(&sts, "checkout").await;
    let stranger = house.client().await;
    let mut open = Vec::new();
    for _ in 0..OF_ONE_CONNECTION {
        open.push(stranger.challenge().await.unwrap());
    }
    // Whoever waits is not to lie here with long headers.
    let mut headers = MetadataMap::new();
    let long = MetadataValue::try_from("x".repeat(3_000)).unwrap();
    headers.insert("x-long", long.clone());
    let refused = stranger.silent_with(headers).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "too_many_calls");

    let mut waiting = Box::pin(join_all((0..50).map(|_| stranger.challenge())));
    let other = house.client().await;
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there are more than {OF_ONE_CONNECTION}"),
        _ = other.session(&signer) => {}
    }
    // The first that says who it is makes way for all.
    let first = open.pop().unwrap();
    let proof = sign(&signer, &first.nonce, "127.0.0.1", SystemTime::now()).await;
    first.prove(proof).await.unwrap();
    for challenge in waiting.await {
        challenge.unwrap();
    }
}

/// A pool that is filled, on connections that are as new as it is: its calls wait for one another,
/// and for nothing else.
#[tokio::test]
async fn who_has_a_session_has_all_his_logins_on_new_connections_at_once() {
    let sts = dev_sts().await;
    let mut limits = Limits::default();
    limits.unauthenticated_per_address = 20;
    let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = house.client().await.session(&signer).await.session_token;
    let clients = [house.client().await, house.client().await];
    let logins = (0..200).map(|number| clients[number % 2].accepted(&token, "app"));
    assert_eq!(join_all(logins).await.len(), 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_of_strangers_are_few_for_one_address_and_in_all() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.unauthenticated = 3;
    limits.unauthenticated_per_address = 2;
    limits.handshake_timeout = Duration::from_secs(1);
    let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let known = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = known.session(&signer).await.session_token;
    let [first, second, third] = [2, 3, 4].map(|last| from(&house, last));
    let (first, second, third) = (first.await, second.await, third.await);

    let one = first.challenge().await.unwrap();
    let _two = first.challenge().await.unwrap();
    let for_one = first.challenge().await.map(drop).unwrap_err();
    let _three = second.challenge().await.unwrap();
    let in_all = third.challenge().await.map(drop).unwrap_err();
    assert_eq!(for_one.code(), Code::ResourceExhausted);
    assert_eq!(Refusal::from(&for_one), Refusal::from(&in_all));
    for status in [for_one, in_all] {
        let line = log.audit(&request_id(&status), "denied").await;
        assert_eq!(line["reason"], "too_many_calls");
    }

    // Who is known is served, also by a new session; and a place that is given up is another's.
    known.accepted(&token, "app").await;
    known.session(&signer).await;
    drop(one);
    until("a place", async || third.challenge().await.ok()).await;
    house.running.shutdown().await;
}

/// Any AWS account is enough to be known: one address has only so many calls all the same, and so
/// have all together. A call has its place until it is over.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_of_the_known_are_few_for_one_address_and_in_all() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let [mut of_one, mut in_all] = [(); 2].map(|()| Limits::default());
    of_one.connections_per_address = 3;
    in_all.connections = 3;
    for (limits, is_for_one) in [(of_one, true), (in_all, false)] {
        let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
            builder.limits(limits)
        })
        .await;
        let signer = dev_signer(&sts, "checkout").await;
        let (known, other) = (house.client().await, from(&house, 2).await);
        let token = known.session(&signer).await.session_token;
        other.accepted(&token, "app").await;
        // The calls before may be over a moment later.
        let mut open = Vec::new();
        while open.len() < 3 {
            let silent = async || known.silent().await.ok();
            open.push(until("a place", silent).await);
        }
        let refused = known.silent().await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let reason = log.reason(&request_id(&refused), "denied").await;
        assert_eq!(reason, "too_many_calls");
        assert_eq!(other.silent().await.is_ok(), is_for_one);
        open.pop();
        until("a place", async || known.silent().await.ok()).await;
    }
}

#[tokio::test]
async fn who_says_nothing_takes_no_place_of_a_session() {
    let sts = dev_sts().await;
    let mut limits = Limits::default();
    limits.unauthenticated = 1;
    let house = House::start_with(sts.verifier(), "", |builder, _| builder.limits(limits)).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    client.session(&signer).await;
    let _silent = join_all((0..20).map(|_| client.challenge())).await;
    client.session(&signer).await;
}

/// An STS that never answers of one key.
struct Stuck<V> {
    verifier: V,
    key: String,
    asked: Arc<Notify>,
}

#[tonic::async_trait]
impl<V: Verifier> Verifier for Stuck<V> {
    async fn verify(&self, proof: &CheckedProof) -> Result<VerifiedIdentity, Rejection> {
        if proof.access_key_id() != self.key {
            return self.verifier.verify(proof).await;
        }
        self.asked.notify_one();
        std::future::pending().await
    }
}

/// Also when what they began goes on after they reset its streams.
#[tokio::test]
async fn who_is_known_has_new_sessions_while_strangers_have_all_of_theirs() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.unauthenticated = 2;
    let asked = Arc::new(Notify::new());
    let intruder = sts.identity("intruder").unwrap().credentials();
    let stuck = Stuck {
        verifier: sts.verifier(),
        key: intruder.access_key_id().to_owned(),
        asked: asked.clone(),
    };
    let house = House::start_with(stuck, "", |builder, _| builder.limits(limits)).await;
    let known = house.client().await;
    let checkout = dev_signer(&sts, "checkout").await;
    known.session(&checkout).await;

    let stranger = house.client().await;
    let signer = dev_signer(&sts, "intruder").await;
    for _ in 0..2 {
        let challenge = stranger.challenge().await.unwrap();
        let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        tokio::select! {
            granted = challenge.prove(proof) => panic!("{granted:?}"),
            () = asked.notified() => {}
        }
    }
    let challenge = stranger.challenge().await.unwrap();
    let proof = sign(&checkout, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
    let refused = challenge.prove(proof).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "too_many_sessions");
    known.session(&checkout).await;
}

/// Metrics count them all.
#[tokio::test]
async fn refusals_beyond_a_bound_have_one_line_that_says_how_many_they_were() {
    let sts = dev_sts().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let log = AuditLog::open(&path).unwrap();
    let house = House::start_with(sts.verifier(), "", |builder, _| builder.audit_log(log)).await;
    let client = house.client().await;
    let lines = || -> Vec<serde_json::Value> {
        let written = std::fs::read_to_string(&path).unwrap();
        let lines = written.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let left_out = || {
        let lines = lines();
        let numbers = lines.iter().filter_map(|line| line["left_out"].as_u64());
        usize::try_from(numbers.sum::<u64>()).unwrap()
    };
    // As many at once as are more than twenty a second, on whatever machine.
    let mut refused = 0;
    until("some are left out", async || {
        let forged = join_all((0..100).map(|_| client.start(start("forged", "app")))).await;
        for told in join_all(forged.into_iter().map(Handshake::told)).await {
            assert_eq!(told.status.code, Code::Unauthenticated);
            refused += 1;
        }
        (left_out() > 0).then_some(())
    })
    .await;
    let written = until("all of them", async || {
        let lines = lines();
        let own = lines.iter().filter(|line| line["reason"] == "token_forged");
        let own = own.count();
        assert!(own + left_out() <= refused);
        (own + left_out() == refused).then_some(own)
    })
    .await;
    assert!(written >= 200, "{written} of {refused}");
    let counted = "approzium_decisions_total{decision=\"denied\",reason=\"token_forged\"}";
    assert_eq!(house.metric(counted).await, refused as f64);
}
