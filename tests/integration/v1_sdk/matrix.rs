//! Every driver of the SDK × what its databases ask for × the database's transport, through each
//! door of the Authenticator.

use approzium_peers::{PythonSdk, peer};
use serde_json::{Value, json};

use super::{Databases, Door, doors};
use crate::authenticator::process::until;

/// What is asked, the driver, the user, and whether the database is reached over TLS.
const CASES: [(&str, &str, &str, bool); 20] = [
    ("psycopg2, MD5, plain", "psycopg2", "old", false),
    ("psycopg2, MD5, TLS", "psycopg2", "old", true),
    ("psycopg2, SCRAM-SHA-256, plain", "psycopg2", "app", false),
    ("psycopg2, SCRAM-SHA-256, TLS", "psycopg2", "app", true),
    ("psycopg2's pool, MD5, plain", "psycopg2.pool", "old", false),
    ("psycopg2's pool, SCRAM, TLS", "psycopg2.pool", "app", true),
    ("asyncpg, MD5, plain", "asyncpg", "old", false),
    ("asyncpg, MD5, TLS", "asyncpg", "old", true),
    ("asyncpg, SCRAM-SHA-256, plain", "asyncpg", "app", false),
    ("asyncpg, SCRAM-SHA-256, TLS", "asyncpg", "app", true),
    ("PyMySQL, plain", "pymysql", "shop", false),
    ("PyMySQL, TLS", "pymysql", "shop", true),
    ("PyMySQL, TLS demanded", "pymysql", "secure", true),
    ("Connector, plain", "mysql.connector", "shop", false),
    ("Connector, TLS", "mysql.connector", "shop", true),
    ("Connector, TLS demanded", "mysql.connector", "secure", true),
    (
        "Connector's pool, plain",
        "mysql.connector.pooling",
        "shop",
        false,
    ),
    (
        "Connector's pool, TLS",
        "mysql.connector.pooling",
        "shop",
        true,
    ),
    // Once more, by a proof that was used for all the others.
    ("psycopg2, after all", "psycopg2", "app", true),
    ("PyMySQL, after all", "pymysql", "shop", true),
];

async fn every_driver_logs_in(sdk: &PythonSdk, databases: &Databases, door: &Door) {
    let logins = CASES.map(|(_, driver, user, tls)| databases.login(driver, user, tls));
    let answers = door.try_all(sdk, logins.into()).await;
    for ((asked, _, user, tls), answer) in CASES.into_iter().zip(answers) {
        assert_eq!(answer, json!({"user": user, "tls": tls}), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_logs_in_over_tls() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, dev) = doors::development(&databases.records(), &doors::ON).await;
    every_driver_logs_in(&sdk, &databases, &door).await;
    // By the audit log, operators know who has yet to move.
    let answered = |line: &Value| line["client"] == "v1/python" && line["decision"] == "allowed";
    let pooled = CASES
        .iter()
        .filter(|(_, driver, ..)| driver.contains("pool"));
    let expected = CASES.len() + pooled.count();
    until("a line for each login", async || {
        (dev.process.lines(answered).len() == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_logs_in_in_the_clear() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let door = doors::in_the_clear(&databases.records()).await;
    every_driver_logs_in(&sdk, &databases, &door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_logs_in_with_a_certificate_that_is_asked_for() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let door = doors::with_certificates(&databases.records()).await;
    every_driver_logs_in(&sdk, &databases, &door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_sdk_assumes_logs_in() {
    let sdk = peer!(PythonSdk::install());
    let databases = peer!(Databases::start());
    let (door, _dev) = doors::development(&databases.records(), &doors::ON).await;
    let mut door = door.profile("developer");
    door.authenticator["iam_role"] = "arn:aws:iam::000000000000:role/checkout".into();
    let logins = vec![
        databases.login("psycopg2", "app", true),
        databases.login("pymysql", "shop", true),
    ];
    let answers = door.try_all(&sdk, logins).await;
    assert_eq!(answers[0], json!({"user": "app", "tls": true}));
    assert_eq!(answers[1], json!({"user": "shop", "tls": true}));
}
