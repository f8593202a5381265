//! Two replicas behind Envoy, under a load of logins: they are killed, drained, and given new keys.

mod house;
mod replica;

use approzium_peers::skip;

use house::{GRPC, House, TCP};

/// The house, or the test is left.
macro_rules! house {
    ($envoy:expr) => {
        match House::start($envoy).await {
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
