//! A database whose passwords are known here, and nowhere else but in the Authenticator's records.

use approzium_peers::{Method, Postgres, Result, Rule};
use serde_json::Value;

use super::{
    authenticator::{Credential, Record},
    forms::{Needles, Verifier},
};
use crate::authenticator::secret::made;

/// What each role of the database has for a password, and what else somebody might type.
pub(super) struct Passwords {
    /// Asked for SCRAM.
    pub(super) app: String,
    /// Of a role of which the Authenticator has digests alone.
    pub(super) digested: String,
    /// Of a user of MySQL's, of whom the Authenticator has digests alone.
    pub(super) shopping: String,
    /// Asked for MD5.
    pub(super) old: String,
    /// Of a role whose record holds the wrong one.
    pub(super) mistaken: String,
    pub(super) wrong: String,
    /// In a connection string, where it has no place.
    pub(super) typed: String,
}

impl Passwords {
    pub(super) fn random() -> Self {
        Passwords {
            app: random(),
            digested: random(),
            shopping: random(),
            old: random(),
            mistaken: random(),
            wrong: random(),
            typed: random(),
        }
    }
}

/// A database with five roles.
pub(super) async fn database(passwords: &Passwords) -> Result<Postgres> {
    let postgres = Postgres::builder()
        .rule(Rule::host("old", Method::Md5))
        .rule(Rule::host("unlisted", Method::Md5))
        .rule(Rule::host("all", Method::ScramSha256))
        .start()
        .await?;
    for (role, password, stored) in [
        ("app", &passwords.app, Method::ScramSha256),
        ("old", &passwords.old, Method::Md5),
        ("unlisted", &passwords.old, Method::Md5),
        ("mistaken", &passwords.mistaken, Method::ScramSha256),
        ("digested", &passwords.wrong, Method::ScramSha256),
    ] {
        postgres.role(role, password, stored).await?;
    }
    Ok(postgres)
}

/// Sets a role's password by the verifier that `approzium secret` makes of it. Returns the digests.
pub(super) async fn digests(postgres: &Postgres, role: &str, password: &str) -> Value {
    let mut made = made(&["--dbhost=localhost", "--dbuser", role], Some(password));
    let statement = made["alter_role"].as_str().unwrap();
    postgres.sql(statement).await.unwrap();
    made["record"][role]["scram_sha_256"].take()
}

/// The digests that `approzium secret` makes for MySQL, as keys of a record.
pub(super) fn mysql_digests(password: &str) -> Value {
    let methods = [
        "--method=mysql_native_password",
        "--method=caching_sha2_password",
    ];
    let account = ["--dbhost=localhost", "--dbuser=shopping"];
    let mut made = made(&[account, methods].concat(), Some(password));
    let record = made["record"]["shopping"].as_object_mut().unwrap();
    record.retain(|key, _| key.ends_with("_password"));
    assert_eq!(record.len(), 2);
    made["record"]["shopping"].take()
}

/// What the Authenticator is given.
pub(super) fn records<'a>(
    postgres: &Postgres,
    passwords: &'a Passwords,
    digests: &'a Value,
    mysql_digests: &'a Value,
) -> [Record<'a>; 6] {
    let filed = |user, credential, methods| Record {
        port: postgres.port(),
        user,
        credential,
        methods,
    };
    let record = |user, password, methods| filed(user, Credential::Password(password), methods);
    let scram = "scram-sha-256, scram-sha-256-plus";
    [
        record("app", &passwords.app, scram),
        record("old", &passwords.old, "md5"),
        record("unlisted", &passwords.old, scram),
        record("mistaken", &passwords.wrong, scram),
        filed("digested", Credential::Scram(digests), scram),
        filed(
            "shopping",
            Credential::Mysql(mysql_digests),
            "mysql_native_password",
        ),
    ]
}

/// Where logins succeed: with and without channel binding, and with MD5.
pub(super) fn databases(postgres: &Postgres) -> String {
    [
        string(postgres, "app", ""),
        string(postgres, "app", "channel_binding=disable"),
        string(postgres, "digested", ""),
        string(postgres, "old", ""),
    ]
    .join("\n")
}

/// Where they do not: a wrong password in the record, MD5 that no record allows, no record, a
/// password in the string.
pub(super) fn refused(postgres: &Postgres, passwords: &Passwords) -> String {
    [
        string(postgres, "mistaken", ""),
        string(postgres, "unlisted", ""),
        string(postgres, "nobody", ""),
        string(postgres, "app", &format!("password={}", passwords.typed)),
    ]
    .join("\n")
}

/// A connection string.
pub(super) fn string(postgres: &Postgres, user: &str, more: &str) -> String {
    let root = match more {
        "sslmode=disable" => String::new(),
        _ => format!("sslrootcert='{}'", postgres.ca_path().display()),
    };
    format!(
        "host={} port={} user={user} dbname=postgres {root} {more}",
        postgres.host(),
        postgres.port()
    )
}

/// Everything that only the Authenticator may have.
pub(super) async fn needles(postgres: &Postgres, passwords: &Passwords) -> Needles {
    let stored = async |role: &str| {
        let query = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'");
        let rows = postgres.sql(&query).await.unwrap();
        rows[0][0].clone().unwrap()
    };
    let app = Verifier::parse(&stored("app").await);
    let mistaken = Verifier::parse(&stored("mistaken").await);
    let digested = Verifier::parse(&stored("digested").await);
    digested.assert_is_of(&passwords.digested);
    app.assert_is_of(&passwords.app);
    mistaken.assert_is_of(&passwords.mistaken);
    let needles = Needles::default()
        .password("app", &passwords.app)
        .keys("app", &passwords.app, &app)
        .password("digested", &passwords.digested)
        .keys("digested", &passwords.digested, &digested)
        .password("shopping", &passwords.shopping)
        .stage1("shopping", &passwords.shopping)
        .password("old", &passwords.old)
        .password("mistaken", &passwords.mistaken)
        .keys("mistaken", &passwords.mistaken, &mistaken)
        .password("mistaken (wrong)", &passwords.wrong)
        .keys("mistaken (wrong)", &passwords.wrong, &mistaken);
    let md5 = stored("old").await;
    let found = needles.found_in(md5.as_bytes());
    assert!(
        found.contains("old's MD5 form, lower hex, first half"),
        "{md5}: {found:?}"
    );
    needles
}

/// 40 letters and digits, which look the same however they are quoted.
fn random() -> String {
    let mut bytes = [0; 40];
    getrandom::fill(&mut bytes).unwrap();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let pick = |byte: &u8| char::from(letters[usize::from(*byte) % letters.len()]);
    bytes.iter().map(pick).collect()
}
