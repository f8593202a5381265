//! What an application of the SDK's sees where it is not let in.

use approzium_peers::{PythonSdk, peer};
use serde_json::Value;

use super::{Databases, Door, doors};
use crate::authenticator::process::PASSWORD;

/// The error of a login by each driver. It shows no password, and no identity on a record.
async fn errors(sdk: &PythonSdk, databases: &Databases, door: &Door) -> Vec<String> {
    let logins = vec![
        databases.login("psycopg2", "old", true),
        databases.login("psycopg2", "app", true),
        databases.login("pymysql", "shop", true),
        databases.login("mysql.connector", "shop", true),
    ];
    let shown = |answer: &Value| {
        let error = answer["error"].as_str();
        let error = error.unwrap_or_else(|| panic!("it is let in: {answer}"));
        for secret in [PASSWORD, "role/checkout", "md5"] {
            assert!(!error.contains(secret), "{error}");
        }
        error.to_owned()
    };
    let answers = door.try_all(sdk, logins).await;
    answers.iter().map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_than_on_the_record_is_refused() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, _dev) = doors::development(&databases.records(), &doors::ON).await;
    let door = door.profile("intruder");
    for error in errors(&sdk, &databases, &door).await {
        assert!(error.contains("PERMISSION_DENIED"), "{error}");
    }
    // asyncpg hides what went wrong inside of it, so that only this much can be asked of it.
    let login = databases.login("asyncpg", "app", true);
    let answers = door.try_all(&sdk, vec![login]).await;
    assert!(answers[0]["error"].is_string(), "{answers:?}");
    assert!(!answers[0].to_string().contains(PASSWORD), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_record_is_refused() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, _dev) = doors::development(&databases.records(), &doors::ON).await;
    let login = databases.login("psycopg2", "stranger", true);
    let answers = door.try_all(&sdk, vec![login]).await;
    let error = answers[0]["error"].as_str().unwrap();
    assert!(error.contains("PERMISSION_DENIED"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_the_record_does_not_allow_is_refused() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, _dev) = doors::development(&databases.records(), &doors::ON).await;
    let login = databases.login("psycopg2", "weak", true);
    let answers = door.try_all(&sdk, vec![login]).await;
    let error = answers[0]["error"].as_str().unwrap();
    assert!(error.contains("FAILED_PRECONDITION"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_v1_api_is_off_until_somebody_turns_it_on() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, _dev) = doors::development(&databases.records(), &[]).await;
    for error in errors(&sdk, &databases, &door).await {
        assert!(error.contains("UNIMPLEMENTED"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_s_proof_is_refused_until_somebody_allows_it() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let on = &doors::ON[..1];
    let (door, _dev) = doors::development(&databases.records(), on).await;
    for error in errors(&sdk, &databases, &door).await {
        assert!(error.contains("UNAUTHENTICATED"), "{error}");
    }
}
