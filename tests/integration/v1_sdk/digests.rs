//! Records of `approzium secret` that hold no password, at a MariaDB that was told what it printed.

use approzium_peers::{MariaDb, PythonSdk, peer};
use serde_json::{Value, json};

use super::{doors, login};
use crate::authenticator::{process::PASSWORD, secret::made};

/// What is made for an account, of a password or of one that nobody ever sees.
fn secret(user: &str, password: Option<&str>) -> Value {
    let account = [
        "--method=mysql_native_password",
        "--dbhost=localhost",
        "--account-host=127.0.0.1",
        "--dbuser",
        user,
    ];
    made(&account, password)
}

/// A record of the local file.
fn record(mariadb: &MariaDb, user: &str, made: &Value) -> String {
    let mut record = made["record"][user].clone();
    assert!(record["password"].is_null(), "{record}");
    record["dbhost"] = "localhost".into();
    record["dbport"] = mariadb.port().into();
    record["dbuser"] = user.into();
    format!("- {record}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_by_a_digest_and_the_printed_statement_sets_one() {
    let sdk = peer!(PythonSdk::install());
    let user = |name: &str| format!("CREATE USER '{name}'@'127.0.0.1';");
    // One has its password by its administrator, the others by what is printed.
    let (told, typed, nobody_s) = (
        secret("shop", Some(PASSWORD)),
        secret("typed", Some(PASSWORD)),
        secret("generated", None),
    );
    let statement = |made: &Value| made["alter_user"].as_str().unwrap().to_owned();
    let server = MariaDb::builder()
        .user("shop", PASSWORD)
        .statement(&user("typed"))
        .statement(&statement(&typed))
        .statement(&user("generated"))
        .statement(&statement(&nobody_s))
        .statement(&user("other"))
        .statement(&statement(&secret("other", None)));
    let mariadb = peer!(server.start());
    let records = [
        record(&mariadb, "shop", &told),
        record(&mariadb, "typed", &typed),
        record(&mariadb, "generated", &nobody_s),
        // Of another password than the account has.
        record(&mariadb, "other", &secret("other", None)),
    ];
    let (door, _dev) = doors::development(&records.concat(), &doors::ON).await;
    let at = |driver, user, ca| login(driver, mariadb.port(), user, ca);
    let ca = || Some(mariadb.ca_path());
    let logins = vec![
        at("pymysql", "shop", None),
        at("pymysql", "typed", ca()),
        at("mysql.connector", "typed", None),
        at("mysql.connector", "generated", ca()),
        at("pymysql", "generated", None),
        at("pymysql", "other", None),
    ];
    let answers = door.try_all(&sdk, logins).await;
    let expected = [
        ("shop", false),
        ("typed", true),
        ("typed", false),
        ("generated", true),
        ("generated", false),
    ];
    for ((user, tls), answer) in expected.into_iter().zip(&answers) {
        assert_eq!(*answer, json!({"user": user, "tls": tls}));
    }
    let refused = answers[5]["error"].as_str().unwrap();
    assert!(refused.contains("Access denied"), "{refused}");
}
