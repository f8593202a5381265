use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::*;
use crate::authenticator::secrets::records;

const SALT: &[u8] = b"sixteen bytes ok";

fn record(password: &str) -> Arc<Record> {
    let yaml = format!(
        "- {{dbhost: db, dbport: 5432, dbuser: app, password: {password}, iam_arn: \
         'arn:aws:iam::123456789012:role/checkout'}}"
    );
    records(yaml.as_bytes()).unwrap().remove(0)
}

fn principal() -> Principal {
    Principal::parse("arn:aws:iam::123456789012:role/checkout").unwrap()
}

fn store() -> (KeyStore, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (KeyStore::new(1, metrics.clone()).unwrap(), metrics)
}

#[tokio::test]
async fn keys_are_kept_only_once_confirmed_and_for_one_password() {
    let (store, metrics) = store();
    let (before, after, principal) = (record("hunter2"), record("hunter3"), principal());
    drop(store.keys(&before, &principal, SALT, 4096).await);
    let held = store.keys(&before, &principal, SALT, 4096).await.unwrap();
    let text = metrics.exposition().unwrap();
    assert!(text.contains("lookups_total{result=\"miss\"} 2"), "{text}");

    store.confirm(&before, &held);
    drop(held);
    let again = store.keys(&before, &principal, SALT, 4096).await.unwrap();
    assert!(again.keys.fit(SALT, 4096));
    let text = metrics.exposition().unwrap();
    assert!(text.contains("lookups_total{result=\"hit\"} 1"), "{text}");

    assert!(!store.looks_rotated(&before, SALT, 4096));
    assert!(store.looks_rotated(&before, b"another salt", 4096));
    assert!(!store.looks_rotated(&after, b"another salt", 4096));
}

#[tokio::test]
async fn a_salt_that_was_confirmed_with_a_password_asks_for_no_other() {
    let (store, _) = store();
    let (before, after, principal) = (record("hunter2"), record("hunter3"), principal());
    let of_before = store.keys(&before, &principal, SALT, 4096).await.unwrap();
    let of_after = store.keys(&after, &principal, SALT, 4096).await.unwrap();
    assert!(!store.asked_for_another(&after, &of_after));
    store.confirm(&before, &of_before);
    assert!(store.asked_for_another(&after, &of_after));
    assert!(!store.asked_for_another(&before, &of_before));
    let elsewhere = store.keys(&after, &principal, b"another salt", 4096).await;
    assert!(!store.asked_for_another(&after, &elsewhere.unwrap()));
}

/// By v1 nothing is ever confirmed.
#[tokio::test]
async fn a_salt_that_was_not_answered_before_looks_rotated_though_nothing_is_confirmed() {
    let (store, _) = store();
    let (record, principal) = (record("hunter2"), principal());
    assert!(!store.looks_rotated(&record, SALT, 4096), "the first");
    drop(store.keys(&record, &principal, SALT, 4096).await.unwrap());
    assert!(!store.looks_rotated(&record, SALT, 4096));
    assert!(store.looks_rotated(&record, b"another salt", 4096));
    assert!(store.looks_rotated(&record, SALT, 4097));
}

#[test]
fn few_keys_are_kept_and_not_for_long() {
    let store = store().0;
    for policy in [
        store.confirmed.policy(),
        store.answered.policy(),
        store.passwords.policy(),
    ] {
        assert!(policy.max_capacity().is_some_and(|most| most <= 10_000));
        let an_hour = Duration::from_secs(60 * 60);
        assert!(policy.time_to_live().is_some_and(|age| age <= an_hour));
    }
}

#[tokio::test]
async fn digests_answer_for_their_own_salt_and_iterations_alone() {
    let (store, metrics) = store();
    let keys = Keys::derive(b"hunter2", SALT, 4096);
    let [salt, client_key, server_key] = [
        keys.salt(),
        keys.client_key().as_slice(),
        keys.server_key().as_slice(),
    ]
    .map(|bytes| BASE64_STANDARD.encode(bytes));
    let yaml = format!(
        "- {{dbhost: db, dbport: 5432, dbuser: app, scram_sha_256: {{salt: {salt}, iterations: \
         4096, client_key: {client_key}, server_key: {server_key}}}, iam_arn: \
         'arn:aws:iam::123456789012:role/checkout'}}"
    );
    let record = records(yaml.as_bytes()).unwrap().remove(0);
    let principal = principal();
    let held = store.keys(&record, &principal, SALT, 4096).await.unwrap();
    assert_eq!(held.keys.client_key(), keys.client_key());
    assert!(!store.looks_rotated(&record, SALT, 4096));
    store.confirm(&record, &held);

    for (salt, iterations) in [(&b"another salt"[..], 4096), (SALT, 4097)] {
        let refused = store.keys(&record, &principal, salt, iterations).await;
        assert_eq!(refused.err(), Some(NoKeys::AnotherChallenge));
        assert!(store.looks_rotated(&record, salt, iterations));
    }
    let text = metrics.exposition().unwrap();
    assert!(!text.contains("phase=\"derivation\""), "{text}");
}

#[tokio::test]
async fn one_challenge_is_derived_once_however_many_wait_for_it() {
    // One derivation at a time for a principal: a second one would be refused.
    let (store, metrics) = store();
    let (record, principal) = (record("hunter2"), principal());
    let all = (0..20).map(|_| store.keys(&record, &principal, SALT, 50_000));
    for held in futures_util::future::join_all(all).await {
        assert!(held.is_ok());
    }
    let text = metrics.exposition().unwrap();
    let derived = "duration_seconds_count{phase=\"derivation\",outcome=\"ok\"} 1";
    assert!(text.contains(derived), "{text}");
}

/// On the one thread of this runtime, what derives would have come to its end when first polled.
#[tokio::test]
async fn a_derivation_is_done_on_one_of_few_threads_of_its_own() {
    let (store, _) = store();
    let (record, principal) = (record("hunter2"), principal());
    let all = store.threads.available_permits();
    assert!(all <= std::thread::available_parallelism().unwrap().get());
    let busy = store
        .threads
        .clone()
        .acquire_many_owned(all.try_into().unwrap());
    let busy = busy.await.unwrap();

    let mut derivation = std::pin::pin!(store.keys(&record, &principal, SALT, 4096));
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut derivation).is_pending());
        tokio::task::yield_now().await;
    }
    drop(busy);
    assert!(futures_util::poll!(&mut derivation).is_pending());
    assert!(derivation.await.is_ok());
}

#[tokio::test]
async fn derivations_of_one_principal_are_bounded() {
    let (store, _) = store();
    let (record, principal) = (record("hunter2"), principal());
    let _busy = store.per_principal.enter(principal.clone()).unwrap();
    let refused = store.keys(&record, &principal, SALT, 4096).await;
    assert_eq!(refused.err(), Some(NoKeys::Overload));
}
