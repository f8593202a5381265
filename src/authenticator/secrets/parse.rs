//! The YAML list and the JSON documents of the original, and what this Authenticator adds to them.
//!
//! Errors name the entry, the line and the key. They never show what stands in the file.

#[cfg(any(test, feature = "vault", feature = "asm", feature = "kubernetes"))]
mod users;

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
#[cfg(any(test, feature = "vault", feature = "asm", feature = "kubernetes"))]
pub(crate) use users::Users;

use super::{
    ChannelBindingPolicy, Credential, Method, Policy, Record, RecordKey,
    credential::{Encoded, Given, ScramList},
};
use crate::identity::Principal;

const KEYS: &str = "dbhost, dbport, dbuser, password or digests of it (scram_sha_256: salt, \
    iterations, client_key, server_key, or a list of such; mysql_native_password; \
    caching_sha2_password), iam_arn, iam_arns, iam_accounts, user_ids, methods, \
    pinned_salt, pinned_iterations, pinned_certificates, channel_binding";

/// Reads a whole file.
pub(crate) fn records(yaml: &[u8]) -> Result<Vec<Arc<Record>>, String> {
    let entries: Option<Vec<Entry>> = serde_yaml_ng::from_slice(yaml).map_err(|error| {
        format!(
            "it is not a YAML list of records: see {}; a record's keys are {KEYS}, and what is \
             text stands in quotes where YAML would take it for something else",
            location(&error)
        )
    })?;
    entries
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            entry
                .filed()
                .map(Arc::new)
                .map_err(|problem| format!("record {}: {problem}", index + 1))
        })
        .collect()
}

/// Where in a YAML text it goes wrong. The error's own words may quote a value, and a value may be
/// the password.
fn location(error: &serde_yaml_ng::Error) -> String {
    match error.location() {
        Some(place) => format!("line {}, column {}", place.line(), place.column()),
        None => "somewhere".to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dbhost: Option<String>,
    dbport: Option<Port>,
    dbuser: Option<String>,
    password: Option<String>,
    scram_sha_256: Option<ScramList>,
    mysql_native_password: Option<Encoded>,
    caching_sha2_password: Option<Encoded>,
    iam_arn: Option<String>,
    #[serde(default)]
    iam_arns: Vec<String>,
    #[serde(default)]
    iam_accounts: Vec<String>,
    #[serde(default)]
    user_ids: Vec<String>,
    methods: Option<BTreeSet<Method>>,
    pinned_salt: Option<String>,
    pinned_iterations: Option<u32>,
    #[serde(default)]
    pinned_certificates: Vec<String>,
    #[serde(default)]
    channel_binding: ChannelBindingPolicy,
}

#[cfg(any(test, feature = "vault", feature = "asm"))]
pub(crate) fn not_json(error: &serde_json::Error) -> String {
    no_users(&format!("line {}, column {}", error.line(), error.column()))
}

#[cfg(feature = "kubernetes")]
pub(crate) fn not_yaml(error: &serde_yaml_ng::Error) -> String {
    no_users(&location(error))
}

#[cfg(any(test, feature = "vault", feature = "asm", feature = "kubernetes"))]
fn no_users(place: &str) -> String {
    format!(
        "it is not an object of users with their records: see {place}; a record's keys are {KEYS}, \
         without the first three"
    )
}

/// The original writes ports in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Entry {
    /// One that says itself what it is for.
    fn filed(mut self) -> Result<Record, String> {
        let port = match self.dbport.take() {
            Some(Port::Number(port)) => Some(port),
            Some(Port::Text(text)) => text.parse().ok(),
            None => return Err("dbport is missing".into()),
        }
        .filter(|port| *port != 0)
        .ok_or("dbport is not a port number")?;
        let host = self.dbhost.take().ok_or("dbhost is missing")?;
        let user = self.dbuser.take().ok_or("dbuser is missing")?;
        if host.is_empty() || user.is_empty() {
            return Err("dbhost and dbuser must not be empty".into());
        }
        self.into_record(RecordKey::new(&host, port, &user))
    }

    fn into_record(self, key: RecordKey) -> Result<Record, String> {
        let digests = Given {
            scram_sha_256: self.scram_sha_256,
            mysql_native_password: self.mysql_native_password,
            caching_sha2_password: self.caching_sha2_password,
        };
        let credential = Credential::new(self.password, digests)?;

        // The reasons are of our own words; what stands there is not repeated, for it may be a
        // password that slipped into the wrong line.
        let arns = self.iam_arn.iter().chain(&self.iam_arns).map(|arn| {
            Principal::parse(arn).map_err(|reason| format!("iam_arn or iam_arns: {reason}"))
        });
        let accounts = self.iam_accounts.iter().map(|account| {
            Principal::parse_account(account).map_err(|reason| format!("iam_accounts: {reason}"))
        });
        let principals = arns.chain(accounts).collect::<Result<Vec<_>, _>>()?;
        if principals.is_empty() {
            return Err("iam_arn, iam_arns or iam_accounts must name who may use it".into());
        }

        let policy = Policy {
            methods: self.methods.unwrap_or(Policy::default().methods),
            pinned_salt: self
                .pinned_salt
                .map(|salt| BASE64_STANDARD.decode(salt))
                .transpose()
                .map_err(|_| "pinned_salt is not base64, as in pg_authid")?,
            pinned_iterations: self.pinned_iterations,
            pinned_certificates: self
                .pinned_certificates
                .iter()
                .map(|text| certificate_hash(text))
                .collect::<Option<_>>()
                .ok_or(
                    "pinned_certificates: an entry is not a SHA-256, SHA-384 or SHA-512 in \
                     hexadecimal",
                )?,
            channel_binding: self.channel_binding,
        };
        consistent(&policy)?;
        credential.consistent_with(&policy)?;
        Ok(Record {
            key,
            credential,
            principals,
            user_ids: self.user_ids,
            policy,
        })
    }
}

/// A policy that can never be met, or that does not mean what it says, is a mistake.
fn consistent(policy: &Policy) -> Result<(), &'static str> {
    if policy.methods.is_empty() {
        return Err("methods must not be empty");
    }
    let lists = |test: fn(Method) -> bool| policy.methods.iter().copied().any(test);
    if lists(|method| !method.is_scram())
        && (policy.pinned_salt.is_some() || policy.pinned_iterations.is_some())
    {
        return Err(
            "methods: md5, mysql_native_password and caching_sha2_password have neither salt nor \
             iterations that pinned_salt or pinned_iterations could hold them to",
        );
    }
    if lists(Method::is_of_mysql) && lists(|method| !method.is_of_mysql()) {
        return Err(
            "methods: mysql_native_password and caching_sha2_password are MySQL's, and the others \
             are PostgreSQL's: a record is of one database",
        );
    }
    if policy.demands_channel_binding() {
        if !policy.methods.contains(&Method::ScramSha256Plus) {
            return Err(
                "channel_binding: require and pinned_certificates need the method \
                 scram-sha-256-plus",
            );
        }
        if policy.methods.contains(&Method::Md5) {
            return Err(
                "methods: md5 cannot be bound to a channel, which channel_binding: require or \
                 pinned_certificates demand",
            );
        }
    }
    Ok(())
}

/// Hexadecimal of any of the digests of RFC 5929, colons allowed as `openssl` prints them.
fn certificate_hash(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if !matches!(digits.len(), 64 | 96 | 128) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::place::Place;

    const ROLE: &str = "arn:aws:iam::123456789012:role/checkout";

    fn one(extra: &str) -> Result<Arc<Record>, String> {
        let yaml = format!(
            "- dbhost: DB.example\n  dbport: \"5432\"\n  dbuser: app\n  password: hunter2\n{extra}"
        );
        records(yaml.as_bytes()).map(|records| records[0].clone())
    }

    #[test]
    fn reads_the_originals_form_and_ours() {
        let original = one(&format!("  iam_arn: {ROLE}\n")).unwrap();
        assert_eq!(original.key, RecordKey::new("db.example.", 5432, "app"));
        assert_eq!(original.policy, Policy::default());

        let ours = one(&format!(
            "  iam_arns: [{ROLE}]\n  methods: [scram-sha-256-plus]\n  channel_binding: require\n  \
             pinned_salt: W22ZaJ0SNY7soEsUEjb6gQ==\n  pinned_iterations: 4096\n  \
             pinned_certificates: [\"{}\"]\n  user_ids: [AROAEXAMPLE]\n",
            "Ab:".repeat(32).trim_end_matches(':')
        ))
        .unwrap();
        assert_eq!(ours.policy.pinned_certificates, [vec![0xab; 32]]);
        assert_eq!(ours.policy.pinned_iterations, Some(4096));
        assert!(ours.policy.demands_channel_binding());
    }

    #[test]
    fn a_manager_s_document_holds_the_same_records() {
        let place = Place::of(&RecordKey::new("db", 5432, "")).unwrap();
        let read = |json: &str| {
            let users: Users = serde_json::from_str(json).map_err(|error| not_json(&error))?;
            users.records(&place)
        };
        let records = read(&format!(
            r#"{{"app": {{"password": "hunter2", "iam_arns": ["{ROLE}"]}},
                 "legacy": {{"password": "hunter3", "iam_arns": ["{ROLE}"], "methods": ["md5"]}}}}"#
        ))
        .unwrap();
        assert_eq!(records[0].key, RecordKey::new("db", 5432, "app"));
        assert_eq!(records[0].policy, Policy::default());
        assert_eq!(records[1].key.user(), "legacy");
        assert_eq!(records[1].policy.methods, [Method::Md5].into());

        let digests = r#"{"salt": "W22ZaJ0SNY7soEsUEjb6gQ==", "iterations": 4096,
            "client_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "server_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#;
        let record = format!(r#"{{"scram_sha_256": {digests}, "iam_arns": ["{ROLE}"]}}"#);
        let records = read(&format!(r#"{{"app": {record}}}"#)).unwrap();
        assert!(records[0].credential.password().is_none());

        for (record, says) in [
            (r#""hunter2""#, "line 1"),
            (r#"{"password": "hunter2"}"#, "record 1: iam_arn"),
            (r#"{"password": ["hunter2"], "iam_arns": []}"#, "line 1"),
            (r#"{"password": "hunter2", "hunter2": 1}"#, "line 1"),
            (
                r#"{"password": "hunter2", "password": "x", "iam_arns": []}"#,
                "line 1",
            ),
            (
                r#"{"password": "hunter2", "iam_arns": ["hunter2"]}"#,
                "iam_arn",
            ),
            (
                r#"{"password": "hunter2", "dbhost": "hunter2", "iam_arns": []}"#,
                "name",
            ),
        ] {
            let error = read(&format!(r#"{{"app": {record}}}"#)).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_empty_file_holds_no_records() {
        assert!(records(b"").unwrap().is_empty());
        assert!(records(b"# nothing yet\n").unwrap().is_empty());
        assert!(records(b"[]").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_names_the_record_or_the_line_and_shows_nothing() {
        for (extra, says) in [
            ("", "iam_arn"),
            ("  iam_arn: hunter2\n", "iam_arn"),
            ("  iam_arn: [hunter2]\n", "line"),
            ("  hunter2: 1\n", "line"),
            (
                &format!("  iam_arn: {ROLE}\n  methods: [hunter2]\n"),
                "line",
            ),
            (&format!("  iam_arn: {ROLE}\n  methods: []\n"), "methods"),
            (
                &format!("  iam_arn: {ROLE}\n  pinned_salt: hunter2!\n"),
                "pinned_salt",
            ),
            (
                &format!("  iam_arn: {ROLE}\n  pinned_certificates: [hunter2]\n"),
                "pinned_certificates",
            ),
            (
                &format!(
                    "  iam_arn: {ROLE}\n  methods: [md5, scram-sha-256-plus]\n  channel_binding: \
                     require\n"
                ),
                "md5",
            ),
            (
                &format!(
                    "  iam_arn: {ROLE}\n  methods: [md5, scram-sha-256]\n  pinned_iterations: \
                     4096\n"
                ),
                "pinned_iterations",
            ),
            (
                &format!("  iam_arn: {ROLE}\n  methods: [md5]\n  channel_binding: require\n"),
                "scram-sha-256-plus",
            ),
        ] {
            let error = one(extra).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
