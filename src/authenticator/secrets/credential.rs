//! What a record answers challenges with: a password, or digests that hold none.

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
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
    /// Answers SCRAM challenges with the salt and the iteration count of one of them. There is no
    /// way back from them to a password, nor to keys for another salt.
    Scram(Vec<Arc<Keys>>),
}

/// Digests of one record. Two are needed while a verifier is exchanged; a few more cost nothing.
const MAX_DIGESTS: usize = 4;

/// `scram_sha_256` of a record: the digests of one password, or a list of such.
pub(super) struct Digests(Vec<ScramDigests>);

/// Bytes in base64.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct ScramDigests {
    salt: String,
    iterations: u32,
    client_key: String,
    server_key: String,
}

impl Credential {
    /// Exactly one of the two.
    pub(super) fn new(password: Option<String>, digests: Option<Digests>) -> Result<Self, String> {
        match (password, digests) {
            (Some(password), None) if !password.is_empty() => {
                Ok(Credential::Password(Arc::new(password.into())))
            }
            (Some(_), None) => Err("password must not be empty".into()),
            (None, Some(digests)) => digests
                .keys()
                .map(Credential::Scram)
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
        let Credential::Scram(digests) = self else {
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
        let meets = |keys: &Arc<Keys>| {
            let salt = policy.pinned_salt.as_deref().unwrap_or(keys.salt());
            let iterations = policy.pinned_iterations.unwrap_or(keys.iterations());
            keys.fit(salt, iterations)
        };
        if !digests.iter().all(meets) {
            return Err("pinned_salt and pinned_iterations are not those of scram_sha_256");
        }
        Ok(())
    }
}

impl Digests {
    /// For each challenge at most one.
    fn keys(&self) -> Result<Vec<Arc<Keys>>, &'static str> {
        if !(1..=MAX_DIGESTS).contains(&self.0.len()) {
            return Err("it is a list of none, or of more than 4");
        }
        let mut keys: Vec<Arc<Keys>> = Vec::with_capacity(self.0.len());
        for digests in &self.0 {
            let more = digests.keys()?;
            if keys
                .iter()
                .any(|one| one.fit(more.salt(), more.iterations()))
            {
                return Err("two of its list have the same salt and iterations");
            }
            keys.push(Arc::new(more));
        }
        Ok(keys)
    }
}

/// By hand, for it keeps no copy of what it reads, and says where a mistake is.
impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Digests;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("digests, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Digests, A::Error> {
                let one = ScramDigests::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Digests(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Digests, A::Error> {
                let mut digests = Vec::new();
                while let Some(more) = list.next_element()? {
                    digests.push(more);
                }
                Ok(Digests(digests))
            }
        }

        deserializer.deserialize_any(OneOrMore)
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
        record(&one(SALT, 4096, client_key), more)
    }

    fn one(salt: &str, iterations: u32, client_key: &str) -> String {
        let server_key = BASE64_STANDARD.encode([9; 32]);
        format!(
            "{{salt: {salt}, iterations: {iterations}, client_key: '{client_key}', server_key: \
             {server_key}}}"
        )
    }

    fn record(scram_sha_256: &str, more: &str) -> Result<Arc<Record>, String> {
        let yaml = format!(
            "- {{dbhost: db, dbport: 5432, dbuser: app, iam_arn: \
             'arn:aws:iam::123456789012:role/checkout', scram_sha_256: {scram_sha_256}{more}}}"
        );
        records(yaml.as_bytes()).map(|records| records[0].clone())
    }

    #[test]
    fn digests_are_keys_of_one_salt_and_no_password() {
        let record = digests(&BASE64_STANDARD.encode([7; 32]), "").unwrap();
        assert!(record.credential.password().is_none());
        let Credential::Scram(digests) = &record.credential else {
            panic!("{record:?}");
        };
        let [keys] = digests.as_slice() else {
            panic!("{record:?}");
        };
        assert!(keys.fit(&BASE64_STANDARD.decode(SALT).unwrap(), 4096));
        assert_eq!(keys.client_key(), &[7; 32]);
        assert_eq!(keys.server_key(), &[9; 32]);
    }

    #[test]
    fn a_list_holds_digests_of_several_passwords_each_for_a_challenge_of_its_own() {
        let keys = [[7; 32], [8; 32]].map(|key| BASE64_STANDARD.encode(key));
        let (old, new) = (
            one(SALT, 4096, &keys[0]),
            one("bmV3IHNhbHQ=", 4096, &keys[1]),
        );
        let both = record(&format!("[{old}, {new}]"), "").unwrap();
        let Credential::Scram(digests) = &both.credential else {
            panic!("{both:?}");
        };
        let found = digests
            .iter()
            .map(|keys| (keys.salt().len(), keys.client_key()));
        assert!(found.eq([(16, &[7; 32]), (8, &[8; 32])]));

        let five = (1..=5).map(|n| one(SALT, 4096 + n, &keys[0]));
        let five = five.collect::<Vec<_>>().join(", ");
        let bad = one(SALT, 5000, "aHVudGVyMg==");
        for (list, more, says) in [
            (String::new(), "", "none"),
            (five, "", "more than 4"),
            (
                format!("{old}, {}", one(SALT, 4096, &keys[1])),
                "",
                "same salt",
            ),
            (format!("{old}, {bad}"), "", "client_key"),
            (
                format!("{old}, {new}"),
                ", pinned_iterations: 5000",
                "pinned_iterations",
            ),
            (
                format!("{old}, {new}"),
                &format!(", pinned_salt: {SALT}"),
                "pinned_salt",
            ),
            (format!("{old}, hunter2"), "", "line 1"),
            (format!("{old}, {{hunter2: x}}"), "", "line 1"),
        ] {
            let error = record(&format!("[{list}]"), more).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!error.contains("aHVudGVyMg"), "{error}");
        }
        assert!(record(&format!("[{old}, {new}]"), ", pinned_iterations: 4096").is_ok());
    }

    #[test]
    fn a_manager_s_document_holds_a_list_as_well() {
        let digests = |salt: &str| {
            let [client_key, server_key] =
                [[7; 32], [9; 32]].map(|key| BASE64_STANDARD.encode(key));
            serde_json::json!({"salt": salt, "iterations": 4096, "client_key": client_key,
                "server_key": server_key})
        };
        let list = serde_json::json!([digests(SALT), digests("bmV3IHNhbHQ=")]);
        let read: Digests = serde_json::from_str(&list.to_string()).unwrap();
        assert_eq!(read.keys().unwrap().len(), 2);
        for no_list in ["5", "\"x\"", "[5]", "[[]]", "null"] {
            assert!(
                serde_json::from_str::<Digests>(no_list).is_err(),
                "{no_list}"
            );
        }
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
