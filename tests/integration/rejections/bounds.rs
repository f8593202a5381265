//! How much anybody can ask for: more is a constant error, and costs nobody else anything.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use approzium::{
    authenticator::Limits,
    identity::{
        Rejection, VerifiedIdentity,
        aws::{CheckedProof, Verifier},
    },
};
use futures_util::future::{join_all, try_join_all};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::Notify,
    time::{Instant, pause, resume, timeout},
};
use tonic::Code;

use super::{House, Log, dev_signer, dev_sts};
use crate::authenticator::{
    client::{channel, request_id, sign},
    process::{https, record, until},
};

/// The nonce goes with its stream.
#[tokio::test]
async fn a_nonce_is_not_good_for_long() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.proof_timeout = Duration::from_millis(300);
    let house = House::start_with(sts.verifier(), "", |builder, _| builder.limits(limits)).await;
    let client = house.client().await;
    let mut challenge = client.challenge().await.unwrap();
    let status = challenge.answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let reason = log.reason(&request_id(&status), "failed").await;
    assert_eq!(reason, "proof_timeout");
    // Nobody reads any more what is sent now.
    challenge.sender.closed().await;
}

/// Time that is paused goes on by itself whenever nothing else happens.
#[tokio::test]
async fn a_nonce_is_good_for_a_minute_whatever_is_configured() {
    const MINUTE: Duration = Duration::from_secs(60);
    const LATE: Duration = Duration::from_secs(9);
    let sts = dev_sts().await;
    let mut hour = Limits::default();
    hour.proof_timeout = Duration::from_secs(3_600);
    for limits in [Limits::default(), hour] {
        let house =
            House::start_with(sts.verifier(), "", |builder, _| builder.limits(limits)).await;
        // Whoever is no stranger: they are let go by themselves.
        let client = house.client().await;
        client.session(&dev_signer(&sts, "checkout").await).await;
        let mut challenge = client.challenge().await.unwrap();
        pause();
        let began = Instant::now();
        let told = timeout(2 * MINUTE, challenge.answers.message()).await;
        let took = began.elapsed();
        resume();
        let status = told.expect("it is good for longer").unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(took + LATE >= MINUTE && took <= MINUTE + LATE, "{took:?}");
    }
}

#[tokio::test]
async fn streams_on_which_nothing_is_said_end_and_keep_nobody_waiting() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_secs(1);
    let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;
    let silent = join_all((0..100).map(|_| client.silent())).await;
    client.accepted(&token, "app").await;

    let mut first = None;
    for handshake in silent {
        let told = handshake.unwrap().told().await;
        assert_eq!(told.status.code, Code::DeadlineExceeded);
        assert_eq!(
            log.reason(&told.request_id, "failed").await,
            "start_timeout"
        );
        assert_eq!(told.status, *first.get_or_insert(told.status.clone()));
    }
}

/// Any AWS account is enough to be no stranger: one address has only so many connections all the
/// same, and so have all together.
#[tokio::test]
async fn connections_are_few_for_one_address_and_in_all_whoever_is_behind_them() {
    let sts = dev_sts().await;
    let [mut of_one, mut in_all] = [(); 2].map(|()| Limits::default());
    of_one.connections_per_address = 2;
    in_all.connections = 2;
    for limits in [of_one, in_all] {
        let house =
            House::start_with(sts.verifier(), "", |builder, _| builder.limits(limits)).await;
        let signer = dev_signer(&sts, "intruder").await;
        let first = house.client().await;
        first.session(&signer).await;
        let second = house.client().await;
        second.session(&signer).await;
        let third = async || channel(&house.address(), house.tls()).await;
        assert!(third().await.is_err());
        drop(first);
        until("a place", async || third().await.ok()).await;
    }
}

#[tokio::test]
async fn questions_to_sts_are_few_for_all_addresses_together() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.sts_calls_per_second = 1;
    let house = House::start_with(sts.verifier(), "", |builder, _| builder.limits(limits)).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    // Ten at once, and one more for each second that it takes: of one address there may be 200.
    let mut refused = None;
    for _ in 0..100 {
        let challenge = client.challenge().await.unwrap();
        let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        refused = challenge.prove(proof).await.err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "sts_throttled");
}

/// Who keeps applications waiting must not make every replica look as if it could not serve.
#[tokio::test]
async fn a_crowd_at_one_port_takes_no_place_of_the_other() {
    const OPERATORS_PER_ADDRESS: usize = 32;
    let sts = dev_sts().await;
    let mut limits = Limits::default();
    limits.unauthenticated = 2;
    let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let (grpc, http) = (
        house.running.grpc_addr(),
        house.running.http_addr().unwrap(),
    );
    let known = house.client().await;
    known.session(&dev_signer(&sts, "checkout").await).await;

    let idle = async |address, number| {
        let all = (0..number).map(|_| TcpStream::connect(address));
        try_join_all(all).await.unwrap()
    };
    let crowd = idle(grpc, 2).await;
    assert!(is_let_go(grpc).await);
    let url = format!("https://{http}/v1/ready");
    let probe = https(house.authority.pem().as_bytes());
    assert_eq!(probe.get(&url).send().await.unwrap().status(), 200);

    // It has a bound all the same, which is nobody else's either.
    drop((crowd, probe));
    let _crowd = idle(http, OPERATORS_PER_ADDRESS).await;
    assert!(is_let_go(http).await);
    until("a place", async || {
        channel(&house.address(), house.tls()).await.ok()
    })
    .await;
}

/// Whether whoever comes now gets no place.
async fn is_let_go(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let end = timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
    matches!(end, Ok(Ok(0) | Err(_)))
}

/// HTTP/2 forgets a stream that is reset, and with it forgets to count it; the work goes on.
#[tokio::test]
async fn streams_that_are_reset_leave_no_heap_of_work() {
    struct Once(OnceLock<()>, Arc<Notify>);
    #[tonic::async_trait]
    impl Verifier for Once {
        async fn verify(&self, _: &CheckedProof) -> Result<VerifiedIdentity, Rejection> {
            if self.0.set(()).is_ok() {
                let arn = "arn:aws:sts::123456789012:assumed-role/checkout/pod-1";
                return Ok(VerifiedIdentity::new(arn, "AROAFIRST:pod-1").unwrap());
            }
            self.1.notify_one();
            std::future::pending().await
        }
    }
    let mut limits = Limits::default();
    limits.unauthenticated_per_address = 10_000;
    limits.unauthenticated = 10_000;
    limits.sts_calls_per_second_per_address = 10_000;
    limits.sts_calls_per_second = 10_000;
    let asked = Arc::new(Notify::new());
    let house = House::start_with(Once(OnceLock::new(), asked.clone()), "", |builder, _| {
        builder.limits(limits)
    })
    .await;
    let client = house.client().await;
    let signer = dev_signer(&dev_sts().await, "checkout").await;
    // Proofs of a stranger would soon wait for each other.
    client.session(&signer).await;
    let mut begun = 0;
    let refused = loop {
        let challenge = match client.challenge().await {
            Ok(challenge) => challenge,
            Err(refused) => break refused,
        };
        let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        // As long as it takes the proof to get there, and no longer.
        tokio::select! {
            granted = challenge.prove(proof) => panic!("{granted:?}"),
            () = asked.notified() => {}
        }
        begun += 1;
        assert!(begun < 2_000, "nobody counts them");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    house.client().await.challenge().await.unwrap();
}
