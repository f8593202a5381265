//! Records that hold digests: what they are of, and which are mistakes.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::*;
use crate::{
    authenticator::secrets::{Record, records},
    wire::caching_sha2,
};

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
    record_of(&format!("scram_sha_256: {scram_sha_256}{more}"))
}

fn record_of(credential: &str) -> Result<Arc<Record>, String> {
    let yaml = format!(
        "- {{dbhost: db, dbport: 5432, dbuser: app, iam_arn: \
         'arn:aws:iam::123456789012:role/checkout', {credential}}}"
    );
    records(yaml.as_bytes()).map(|records| records[0].clone())
}

fn digests_of(record: &Record) -> &Digests {
    match &record.credential {
        Credential::Digests(digests) => digests,
        Credential::Password(_) => panic!("{record:?}"),
    }
}

#[test]
fn digests_are_keys_of_one_salt_and_no_password() {
    let record = digests(&BASE64_STANDARD.encode([7; 32]), "").unwrap();
    assert!(record.credential.password().is_none());
    let [keys] = digests_of(&record).scram_sha_256.as_slice() else {
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
    let found = digests_of(&both)
        .scram_sha_256
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
        let [client_key, server_key] = [[7; 32], [9; 32]].map(|key| BASE64_STANDARD.encode(key));
        serde_json::json!({"salt": salt, "iterations": 4096, "client_key": client_key,
            "server_key": server_key})
    };
    let list = serde_json::json!([digests(SALT), digests("bmV3IHNhbHQ=")]);
    let given = Given {
        scram_sha_256: serde_json::from_str(&list.to_string()).unwrap(),
        mysql_native_password: None,
        caching_sha2_password: None,
    };
    assert_eq!(given.digests().unwrap().scram_sha_256.len(), 2);
    for no_list in ["5", "\"x\"", "[5]", "[[]]", "null"] {
        assert!(
            serde_json::from_str::<ScramList>(no_list).is_err(),
            "{no_list}"
        );
    }
}

#[test]
fn mysql_s_digests_answer_as_their_password_does() {
    let (password, scramble) = (b"password", [3; 20]);
    let digest = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let native = digest(mysql_native::Stage1::of(password).as_bytes());
    let caching = digest(caching_sha2::Stage1::of(password).as_bytes());
    let only_native = format!("mysql_native_password: {native}");
    let only_caching = format!("caching_sha2_password: {caching}");
    let scram = format!("scram_sha_256: {}", one(SALT, 4096, &digest(&[7; 32])));

    let record = record_of(&format!("{only_native}, methods: [mysql_native_password]")).unwrap();
    assert!(record.credential.password().is_none());
    let answer = Some(mysql_native::response(password, &scramble));
    assert_eq!(record.credential.mysql_native_response(&scramble), answer);
    assert_eq!(record.credential.md5_response("app", [7; 4]), None);
    let held = Credential::Password(Arc::new(Secret::new(password.to_vec())));
    assert_eq!(held.mysql_native_response(&scramble), answer);

    let record = record_of(&format!("{only_caching}, methods: [caching_sha2_password]")).unwrap();
    assert_eq!(record.credential.mysql_native_response(&scramble), None);
    let stage1 = digests_of(&record).caching_sha2_password.as_ref().unwrap();
    let answer = caching_sha2::response(password, &scramble);
    assert_eq!(stage1.response(&scramble), answer);

    let both = "[mysql_native_password, caching_sha2_password]";
    let all = format!("{only_native}, {only_caching}, {scram}");
    assert!(record_of(&format!("{only_native}, {only_caching}, methods: {both}")).is_ok());
    for methods in [both, "[scram-sha-256]", "[mysql_native_password]"] {
        let record = record_of(&format!("{all}, methods: {methods}")).unwrap();
        let digests = digests_of(&record);
        assert_eq!(digests.scram_sha_256.len(), 1);
        assert!(digests.mysql_native_password.is_some());
        assert!(digests.caching_sha2_password.is_some());
    }
}

#[test]
fn a_method_that_no_digest_answers_is_a_mistake() {
    let digest = |length| BASE64_STANDARD.encode(vec![7; length]);
    let native = format!("mysql_native_password: {}", digest(20));
    let caching = format!("caching_sha2_password: {}", digest(32));
    let scram = format!("scram_sha_256: {}", one(SALT, 4096, &digest(32)));
    for (digests, methods, says) in [
        (
            &native,
            "",
            "methods: scram-sha-256 is answered from scram_sha_256",
        ),
        (&caching, "", "methods: scram-sha-256 is"),
        (
            &native,
            "[scram-sha-256-plus]",
            "methods: scram-sha-256-plus",
        ),
        (
            &native,
            "[md5]",
            "methods: md5 is answered from the password",
        ),
        (&scram, "[md5, scram-sha-256]", "methods: md5"),
        (
            &scram,
            "[mysql_native_password]",
            "the digest mysql_native_password",
        ),
        (
            &caching,
            "[mysql_native_password]",
            "the digest mysql_native_password",
        ),
        (
            &native,
            "[caching_sha2_password]",
            "the digest caching_sha2_password",
        ),
        (
            &native,
            "[mysql_native_password, caching_sha2_password]",
            "the digest caching_sha2_password",
        ),
        (
            &native,
            "[mysql_native_password, scram-sha-256]",
            "of one database",
        ),
        (&caching, "[caching_sha2_password, md5]", "of one database"),
    ] {
        let methods = match methods {
            "" => String::new(),
            methods => format!(", methods: {methods}"),
        };
        let error = record_of(&format!("{digests}{methods}")).unwrap_err();
        assert!(error.contains(says), "{digests}{methods}: {error}");
        assert!(!error.contains("Bwc"), "{error}");
    }
    for pinned in ["pinned_iterations: 4096", "pinned_salt: c2FsdA=="] {
        let pinned = format!("{caching}, methods: [caching_sha2_password], {pinned}");
        assert!(record_of(&pinned).unwrap_err().contains("pinned_salt"));
    }
}

#[test]
fn mysql_s_digests_have_their_length_and_are_never_shown() {
    // What the server stores is another digest, in hexadecimal, which is base64 of more bytes.
    let stored = "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
    let digest = |length| BASE64_STANDARD.encode(vec![7; length]);
    let wrong = [
        digest(0),
        digest(19),
        digest(21),
        digest(31),
        digest(33),
        stored.to_owned(),
        format!("*{stored}"),
        "hunter2".to_owned(),
        "aHVudGVyMg==".to_owned(),
    ];
    for (key, length, other) in [
        ("mysql_native_password", 20, 32),
        ("caching_sha2_password", 32, 20),
    ] {
        let filed = |digest: &str| record_of(&format!("{key}: {digest}, methods: [{key}]"));
        assert!(filed(&digest(length)).is_ok());
        for wrong in wrong.iter().chain([&digest(other)]) {
            let error = filed(&format!("'{wrong}'")).unwrap_err();
            assert!(error.contains(key), "{error}");
            assert!(error.contains(&length.to_string()), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        for wrong in ["[hunter2]", "{hunter2: x}"] {
            let error = filed(wrong).unwrap_err();
            assert!(error.contains("line 1"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = filed(&format!("{}, password: hunter2", digest(length))).unwrap_err();
        assert!(
            error.contains("one of them") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_record_prints_nothing_of_its_credential() {
    let encoded = |byte, length| BASE64_STANDARD.encode(vec![byte; length]);
    let digests = record_of(&format!(
        "scram_sha_256: {}, mysql_native_password: {}, caching_sha2_password: {}",
        one(SALT, 4096, &encoded(7, 32)),
        encoded(11, 20),
        encoded(13, 32)
    ))
    .unwrap();
    let printed = format!("{digests:?} {digests:#?}");
    for (byte, length) in [(7_u8, 32), (9, 32), (11, 20), (13, 32)] {
        assert!(!printed.contains(&encoded(byte, length)), "{printed}");
        for printed_as in [byte.to_string(), format!("{byte:02x}")] {
            for separator in ["", ", ", ",\n"] {
                let some = [printed_as.as_str(); 4].join(separator);
                assert!(!printed.contains(&some), "{printed}");
            }
        }
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
    let nothing = || Given {
        scram_sha_256: None,
        mysql_native_password: None,
        caching_sha2_password: None,
    };
    let neither = Credential::new(None, nothing()).unwrap_err();
    assert!(neither.contains("scram_sha_256"), "{neither}");
    let empty = Credential::new(Some(String::new()), nothing()).unwrap_err();
    assert!(empty.contains("password"), "{empty}");
}
