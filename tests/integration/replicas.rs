//! Two replicas behind Envoy, under a load of logins: they are killed, drained, and given new keys.

mod house;
mod replica;

use approzium_peers::{Method, skip};

use house::{GRPC, House, TCP};
use replica::PATIENCE;

/// The house, or the test is left.
macro_rules! house {
    ($envoy:expr) => {
        house!(= House::start($envoy))
    };
    (= $house:expr) => {
        match $house.await {
            Ok(house) => house,
            Err(error) => return skip(&error),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_survive_a_killed_replica_where_envoy_balances_connections() {
    let mut house = house!(TCP);
    killed(&mut house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_survive_a_killed_replica_where_envoy_balances_logins() {
    let mut house = house!(GRPC);
    killed(&mut house).await;
}

/// One after the other, each while the other one serves.
async fn killed(house: &mut House) {
    let load = house.load().await;
    for number in [0, 1] {
        load.more().await;
        house.replicas[number].kill();
        load.more().await;
        house.restart(number).await;
    }
    load.more().await;
    // Each was retried once at most, or the load would have failed.
    for heard in load.end().await {
        assert!(heard.error.is_retryable(), "{heard:?}");
    }
    house.proved_once_for_all_replicas();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_is_not_noticed_where_envoy_balances_connections() {
    let mut house = house!(TCP);
    drained(&mut house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_is_not_noticed_where_envoy_balances_logins() {
    let mut house = house!(GRPC);
    drained(&mut house).await;
}

async fn drained(house: &mut House) {
    let load = house.load().await;
    for number in [0, 1] {
        load.more().await;
        house.replicas[number].drain().await;
        load.more().await;
        house.restart(number).await;
    }
    load.more().await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
    house.proved_once_for_all_replicas();
}

/// Whom one replica's answer did not let in tries again at the other one, which has heard of nothing:
/// by MD5 nothing in the database's challenge tells it.
#[tokio::test(flavor = "multi_thread")]
async fn no_stale_answer_is_given_twice_by_two_replicas() {
    let house = house!(= House::rotating(GRPC, Method::Md5));
    let application = house.known_to_both().await;
    house.rotate("canary-second").await;
    // Envoy gives each replica its turn: that of the retry is the other one's.
    house.connect(&application).await;
    approzium_peers::eventually("one refusal", PATIENCE, async || {
        (house.refused().await > 0.0).then_some(())
    })
    .await;
    house.connect(&application).await;
    house.connect(&application).await;
    assert!(house.refused().await < 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_under_load_by_md5() {
    let house = house!(= House::rotating(GRPC, Method::Md5));
    rotated(&house).await;
}

/// Another salt tells of it only where one was seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_under_load_by_scram() {
    let house = house!(= House::rotating(GRPC, Method::ScramSha256));
    rotated(&house).await;
}

/// The one retry is the client's own, so that its application sees nothing.
async fn rotated(house: &House) {
    let load = house.load().await;
    load.more().await;
    house.rotate("canary-second").await;
    load.more().await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
    house.refused_once_at_most().await;
}

/// By the steps that the manual names, at one replica after the other.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_sessions_are_exchanged_under_load() {
    let house = house!(GRPC);
    let load = house.load().await;
    for keys in [&["old", "new"][..], &["new", "old"]] {
        for replica in &house.replicas {
            replica.exchange_keys(keys).await;
            load.more().await;
        }
    }
    house.proved_once_for_all_replicas();
    for replica in &house.replicas {
        replica.exchange_keys(&["new"]).await;
        load.more().await;
    }
    // Tokens of the old key are refused now: nobody but the client hears of it.
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
    house.proved_again();
}
