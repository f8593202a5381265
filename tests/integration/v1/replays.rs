//! Who used a proof first, where replicas share that.

use std::net::Ipv4Addr;

use approzium::{authenticator::RedisReplays, identity::aws::PresignedLimits};
use approzium_peers::{Redis, eventually, peer};
use tonic::Code;

use super::{
    client::{Client, rfc_7677, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{
        client::{channel_from, request_id},
        process::{command, failing, record},
    },
    rejections::{House, Log, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn shared(redis: &Redis) -> RedisReplays {
    RedisReplays::builder(redis.tls_url())
        .password_file(redis.password_path())
        .ca_file(redis.ca_path())
        .build()
        .unwrap()
}

async fn from(last: u8, house: &House) -> Client {
    let source = Ipv4Addr::new(127, 0, 0, last);
    let channel = channel_from(source, &house.address(), house.tls()).await;
    Client::over(channel.unwrap())
}

#[tokio::test]
async fn a_proof_that_one_replica_has_seen_is_known_to_the_other() {
    let mut redis = peer!(Redis::start());
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let replica = async || {
        let replays = shared(&redis);
        House::start_with(sts.verifier(), &record("user", ""), |builder, _| {
            builder
                .v1_api(PresignedLimits::default())
                .v1_replay_store(replays)
        })
        .await
    };
    let (one, other) = (replica().await, replica().await);
    let keys = sts.identity("checkout").unwrap().credentials();
    let url = Presigned::for_stand_in(&sts).url(&keys);
    let request = rfc_7677(&who(&url, CHECKOUT, "user"));

    from(2, &one).await.scram(request.clone()).await.unwrap();
    let stolen = from(3, &other).await.scram(request.clone()).await;
    let stolen = stolen.unwrap_err();
    assert_eq!(stolen.code(), Code::Unauthenticated);
    let reason = log.reason(&request_id(&stolen), "denied").await;
    assert_eq!(reason, "proof_replayed");
    from(2, &other).await.scram(request.clone()).await.unwrap();
    // Also at one that was not there then.
    let third = replica().await;
    let stolen = from(3, &third).await.scram(request.clone()).await;
    assert_eq!(stolen.unwrap_err().code(), Code::Unauthenticated);

    // Nobody is let in of whom it cannot be said.
    redis.stop();
    let refused = from(2, &one).await.scram(request.clone()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let reason = log.reason(&request_id(&refused), "failed").await;
    assert_eq!(reason, "replay_store_unavailable");
    redis.start_again().await.unwrap();
    eventually("a login", PATIENCE, async || {
        from(2, &one).await.scram(request.clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn serve_looks_before_whether_it_remembers() {
    let mut redis = peer!(Redis::start());
    let look = |flags: &[&str]| {
        let mut command = command(&["--check", "--without-sts", "--disable-tls", "--v1-api"]);
        command.args(flags);
        let output = failing(command);
        let said = String::from_utf8(output.stdout).unwrap();
        let line = said.lines().find(|line| line.contains(" v1 replays "));
        let error = String::from_utf8_lossy(&output.stderr);
        line.unwrap_or_else(|| panic!("{said}{error}")).to_owned()
    };
    let store = |url: &str| format!("--v1-replay-store={url}");
    let path = redis.password_path();
    let password = format!("--v1-replay-store-password-path={}", path.display());
    let ca = format!("--v1-replay-store-ca-path={}", redis.ca_path().display());

    let plain = store(&redis.url());
    let found = look(&[&plain, &password]);
    assert!(found.starts_with("ok"), "{found}");
    let found = look(&[&store(&redis.tls_url()), &password, &ca]);
    assert!(found.starts_with("ok"), "{found}");
    for flags in [
        // Of an authority that nobody trusts here.
        vec![store(&redis.tls_url()), password.clone()],
        vec![plain.clone()],
        vec![store("redis://redis.example")],
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let found = look(&flags);
        assert!(found.starts_with("FAILED"), "{found}");
        assert!(found.contains("v1_replay_store"), "{found}");
        assert!(!found.contains(Redis::PASSWORD), "{found}");
    }
    redis.stop();
    let found = look(&[&plain, &password]);
    assert!(found.starts_with("FAILED"), "{found}");
}
