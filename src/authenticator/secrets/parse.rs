//! The YAML list of the original, and what this Authenticator adds to it.
//!
//! Errors name the entry, the line and the key. They never show what stands in the file.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{
    ChannelBindingPolicy, Credential, Method, Policy, Record, RecordKey, credential::ScramDigests,
};
use crate::identity::Principal;

const KEYS: &str = "dbhost, dbport, dbuser, password or scram_sha_256 (salt, iterations, \
    client_key, server_key), iam_arn, iam_arns, user_ids, methods, pinned_salt, pinned_iterations, pinned_certificates, channel_binding";

/// Reads a whole file.
pub(crate) fn records(yaml: &[u8]) -> Result<Vec<Arc<Record>>, String> {
    let entries: Option<Vec<Entry>> = serde_yaml_ng::from_slice(yaml).map_err(|error| {
        // The error's own words may quote a value, and a value may be the password.
        let place = match error.location() {
            Some(place) => format!("line {}, column {}", place.line(), place.column()),
            None => "somewhere".to_owned(),
        };
        format!(
            "it is not a YAML list of records: see {place}; a record's keys are {KEYS}, and what \
             is text stands in quotes where YAML would take it for something else"
        )
    })?;
    entries
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            entry
                .into_record()
                .map(Arc::new)
                .map_err(|problem| format!("record {}: {problem}", index + 1))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dbhost: String,
    dbport: Port,
    dbuser: String,
    password: Option<String>,
    scram_sha_256: Option<ScramDigests>,
    iam_arn: Option<String>,
    #[serde(default)]
    iam_arns: Vec<String>,
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

/// The original writes ports in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Entry {
    fn into_record(self) -> Result<Record, String> {
        let port = match self.dbport {
            Port::Number(port) => Some(port),
            Port::Text(text) => text.parse().ok(),
        }
        .filter(|port| *port != 0)
        .ok_or("dbport is not a port number")?;
        if self.dbhost.is_empty() || self.dbuser.is_empty() {
            return Err("dbhost and dbuser must not be empty".into());
        }
        let credential = Credential::new(self.password, self.scram_sha_256)?;

        let principals = self
            .iam_arn
            .iter()
            .chain(&self.iam_arns)
            .map(|arn| {
                // The reason is of our own words; the ARN is not repeated, for it may be a
                // password that slipped into the wrong line.
                Principal::parse(arn).map_err(|reason| format!("iam_arn or iam_arns: {reason}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if principals.is_empty() {
            return Err("iam_arn or iam_arns must name who may use it".into());
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
            key: RecordKey::new(&self.dbhost, port, &self.dbuser),
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
    if policy.methods.contains(&Method::Md5)
        && (policy.pinned_salt.is_some() || policy.pinned_iterations.is_some())
    {
        return Err(
            "methods: md5 has neither salt nor iterations that pinned_salt or pinned_iterations \
             could hold it to",
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
