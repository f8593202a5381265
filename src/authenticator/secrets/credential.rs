//! What a record answers challenges with: a password, or digests that hold none.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Method, Policy};
use crate::{
    secret::Secret,
    wire::scram::{Keys, Limits},
};

/// What a record knows of a database user.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Answers every challenge.
    Password(Arc<Secret>),
    /// Answers SCRAM challenges with one salt and one iteration count. There is no way back from it
    /// to the password, nor to keys for another salt.
    Scram(Arc<Keys>),
}

/// `scram_sha_256` of a record, bytes in base64.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub(super) struct ScramDigests {
    salt: String,
    iterations: u32,
    client_key: String,
    server_key: String,
}

impl Credential {
    /// Exactly one of the two.
    pub(super) fn new(
        password: Option<String>,
        digests: Option<ScramDigests>,
    ) -> Result<Self, String> {
        match (password, digests) {
            (Some(password), None) if !password.is_empty() => {
                Ok(Credential::Password(Arc::new(password.into())))
            }
            (Some(_), None) => Err("password must not be empty".into()),
            (None, Some(digests)) => digests
                .keys()
                .map(|keys| Credential::Scram(Arc::new(keys)))
                .map_err(|problem| format!("scram_sha_256: {problem}")),
            (Some(password), Some(_)) => {
                drop(Secret::from(password));
                Err(
                    "scram_sha_256 stands in the place of password: a record has one of them"
                        .into(),
                )
            }
            (None, None) => {
                Err("password or scram_sha_256 must say what challenges are answered with".into())
            }
        }
    }

    pub(crate) fn password(&self) -> Option<&Arc<Secret>> {
        match self {
            Credential::Password(password) => Some(password),
            Credential::Scram(_) => None,
        }
    }

    /// A policy that these digests can never meet is a mistake.
    pub(super) fn consistent_with(&self, policy: &Policy) -> Result<(), &'static str> {
        let Credential::Scram(keys) = self else {
            return Ok(());
        };
        if policy.methods.contains(&Method::Md5) {
            return Err("methods: md5 takes the password, of which scram_sha_256 holds nothing");
        }
        if policy.methods.contains(&Method::MysqlNativePassword) {
            return Err(
                "methods: mysql_native_password takes the password, of which scram_sha_256 holds \
                 nothing",
            );
        }
        let salt = policy.pinned_salt.as_deref().unwrap_or(keys.salt());
        let iterations = policy.pinned_iterations.unwrap_or(keys.iterations());
        if !keys.fit(salt, iterations) {
            return Err("pinned_salt and pinned_iterations are not those of scram_sha_256");
        }
        Ok(())
    }
}

impl ScramDigests {
    fn keys(&self) -> Result<Keys, &'static str> {
        let salt = BASE64_STANDARD
            .decode(&self.salt)
            .ok()
            .filter(|salt| Limits::default().salt_length.contains(&salt.len()))
            .ok_or("salt is not base64 of 1 to 1024 bytes")?;
        if self.iterations == 0 {
            return Err("iterations must not be 0");
        }
        let client_key = key(&self.client_key).ok_or("client_key is not base64 of 32 bytes")?;
        let server_key = key(&self.server_key).ok_or("server_key is not base64 of 32 bytes")?;
        Ok(Keys::from_parts(
            &salt,
            self.iterations,
            &client_key,
            &server_key,
        ))
    }
}

fn key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::{Record, records};

    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

    fn digests(client_key: &str, more: &str) -> Result<Arc<Record>, String> {
        let server_key = BASE64_STANDARD.encode([9; 32]);
        let yaml = format!(
            "- {{dbhost: db, dbport: 5432, dbuser: app, iam_arn: \
             'arn:aws:iam::123456789012:role/checkout', scram_sha_256: {{salt: {SALT}, iterations: \
             4096, client_key: '{client_key}', server_key: {server_key}}}{more}}}"
        );
        records(yaml.as_bytes()).map(|records| records[0].clone())
    }

    #[test]
    fn digests_are_keys_of_one_salt_and_no_password() {
        let record = digests(&BASE64_STANDARD.encode([7; 32]), "").unwrap();
        assert!(record.credential.password().is_none());
        let Credential::Scram(keys) = &record.credential else {
            panic!("{record:?}");
        };
        assert!(keys.fit(&BASE64_STANDARD.decode(SALT).unwrap(), 4096));
        assert_eq!(keys.client_key(), &[7; 32]);
        assert_eq!(keys.server_key(), &[9; 32]);
    }

    #[test]
    fn a_record_prints_nothing_of_its_credential() {
        let record = digests(&BASE64_STANDARD.encode([7; 32]), "").unwrap();
        let printed = format!("{record:?} {record:#?}");
        for key in [[7; 32], [9; 32]] {
            assert!(!printed.contains(&BASE64_STANDARD.encode(key)), "{printed}");
            let decimal = key.map(|byte| byte.to_string());
            assert!(!printed.contains(&decimal[..4].join(", ")), "{printed}");
        }
    }

    #[test]
    fn digests_that_can_never_answer_are_mistakes_and_never_shown() {
        let good = BASE64_STANDARD.encode([7; 32]);
        assert!(digests(&good, ", pinned_iterations: 4096").is_ok());
        assert!(digests(&good, &format!(", pinned_salt: {SALT}")).is_ok());
        for (client_key, more, says) in [
            ("hunter2!", "", "client_key"),
            ("aHVudGVyMg==", "", "client_key"),
            (&good, ", password: hunter2", "one of them"),
            (&good, ", methods: [md5, scram-sha-256]", "md5"),
            (&good, ", pinned_salt: aHVudGVyMg==", "pinned_salt"),
            (&good, ", pinned_iterations: 5000", "pinned_iterations"),
        ] {
            let error = digests(client_key, more).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!error.contains("aHVudGVyMg"), "{error}");
        }
    }

    #[test]
    fn a_record_has_a_password_or_digests() {
        let neither = Credential::new(None, None).unwrap_err();
        assert!(neither.contains("scram_sha_256"), "{neither}");
        let empty = Credential::new(Some(String::new()), None).unwrap_err();
        assert!(empty.contains("password"), "{empty}");
    }
}
