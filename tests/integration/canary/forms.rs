//! What must not be found, in every form in which it could be somewhere.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Secrets, each in every form, each form in two halves: what an allocator leaves of a buffer that
/// it took back is often its second half alone.
#[derive(Default)]
pub(super) struct Needles {
    needles: Vec<Needle>,
    /// By their first two bytes.
    starts: HashMap<[u8; 2], Vec<usize>>,
}

struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// What PostgreSQL keeps of a role's password in `pg_authid`.
pub(super) struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Needles {
    /// Whatever can be made of a password without a database's challenge, and takes its place:
    ///
    /// - the password itself;
    /// - MD5(password ‖ user), with which every MD5 challenge is answered;
    /// - HMAC under the password before its message, by which every salt has its SaltedPassword.
    pub(super) fn password(self, role: &str, password: &str) -> Self {
        let digest = Md5::digest(format!("{password}{role}"));
        self.secret(&format!("{role}'s password"), password.as_bytes())
            .secret(&format!("{role}'s MD5 form"), &digest)
            .hmac_key(&format!("{role}'s password"), password.as_bytes())
    }

    /// The keys of a password for one salt:
    ///
    /// - SaltedPassword, of which the others are made;
    /// - ClientKey, which logs in;
    /// - StoredKey, which makes a ClientKey of any proof that was seen, and the application sees
    ///   proofs;
    /// - ServerKey, which plays the server.
    pub(super) fn keys(self, role: &str, password: &str, verifier: &Verifier) -> Self {
        let salted_password = verifier.salted_password(password);
        let client_key = hmac(&salted_password, b"Client Key");
        let stored_key = Sha256::digest(client_key.as_slice());
        let server_key = hmac(&salted_password, b"Server Key");
        let name = |key| format!("{role}'s {key}");
        self.secret(&name("ClientKey"), &client_key)
            .secret(&name("SaltedPassword"), &salted_password)
            .hmac_key(&name("SaltedPassword"), &salted_password)
            .secret(&name("StoredKey"), &stored_key)
            .hmac_key(&name("StoredKey"), &stored_key)
            .secret(&name("ServerKey"), &server_key)
            .hmac_key(&name("ServerKey"), &server_key)
    }

    /// What MySQL's methods make of a password, and what they make of that:
    ///
    /// - the first stage, which logs in;
    /// - the second, which makes the first of any answer that was seen, and applications see answers.
    pub(super) fn stage1(self, user: &str, password: &str) -> Self {
        let native = Sha1::digest(password);
        let caching = Sha256::digest(password);
        self.secret(&format!("{user}'s SHA-1 stage 1"), &native)
            .secret(&format!("{user}'s SHA-1 stage 2"), &Sha1::digest(native))
            .secret(&format!("{user}'s SHA-256 stage 1"), &caching)
            .secret(
                &format!("{user}'s SHA-256 stage 2"),
                &Sha256::digest(caching),
            )
    }

    /// What HMAC-SHA-256 makes of a key, which is as good as the key: its two pads (RFC 2104), and
    /// the states of SHA-256 after them.
    fn hmac_key(mut self, name: &str, key: &[u8]) -> Self {
        for (pad, filler) in [("inner", 0x36), ("outer", 0x5c)] {
            let mut block = [filler; 64];
            for (padded, byte) in block.iter_mut().zip(key) {
                *padded ^= byte;
            }
            let mut state = INITIAL_STATE;
            sha2::block_api::compress256(&mut state, &[block]);
            let state: Vec<u8> = state.iter().flat_map(|word| word.to_ne_bytes()).collect();
            self.add(name, &format!("HMAC's {pad} pad"), &block[..key.len()]);
            self.add(name, &format!("HMAC's {pad} state"), &state);
        }
        self
    }

    /// Any bytes.
    pub(super) fn secret(mut self, name: &str, secret: &[u8]) -> Self {
        for (form, bytes) in forms(secret) {
            self.add(name, &form, &bytes);
        }
        self
    }

    fn add(&mut self, name: &str, form: &str, bytes: &[u8]) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (half, bytes) in [("first", first), ("second", second)] {
            assert!(bytes.len() >= 8, "{name}: too short to be told from chance");
            let start = [bytes[0], bytes[1]];
            let index = self.needles.len();
            self.starts.entry(start).or_default().push(index);
            self.needles.push(Needle {
                what: format!("{name}, {form}, {half} half"),
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Which of them are in there.
    pub(super) fn found_in(&self, haystack: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        self.search(haystack, |what, _| {
            found.insert(what);
        });
        found
    }

    /// Calls `found` with each one that is in there, and its place.
    pub(super) fn search<'a>(&'a self, haystack: &[u8], mut found: impl FnMut(&'a str, usize)) {
        let mut may_start = vec![false; 1 << 16];
        for [first, second] in self.starts.keys() {
            may_start[usize::from(*first) << 8 | usize::from(*second)] = true;
        }
        let mut pair = 0;
        for (at, byte) in haystack.iter().enumerate() {
            pair = (pair << 8 | usize::from(*byte)) & 0xffff;
            if !may_start[pair] || at == 0 {
                continue;
            }
            let rest = &haystack[at - 1..];
            for index in self.starts.get(&[rest[0], rest[1]]).into_iter().flatten() {
                let needle = &self.needles[*index];
                if rest.starts_with(&needle.bytes) {
                    found(&needle.what, at - 1);
                }
            }
        }
    }

    /// How long the longest is, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.needles
            .iter()
            .map(|needle| needle.bytes.len())
            .max()
            .unwrap_or_default()
    }

    /// What all of them are.
    pub(super) fn all(&self) -> BTreeSet<&str> {
        self.needles
            .iter()
            .map(|needle| needle.what.as_str())
            .collect()
    }

    /// All of them, for a process that is to hold them.
    pub(super) fn planted(&self) -> Vec<u8> {
        let lines = self.needles.iter().map(|needle| needle.bytes.as_slice());
        lines.collect::<Vec<_>>().join(&b"\n"[..])
    }
}

impl Verifier {
    /// Parses `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    pub(super) fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.split(['$', ':']).collect();
        let [mechanism, iterations, salt, stored_key, server_key] = parts[..] else {
            panic!("{text} is no SCRAM verifier");
        };
        assert_eq!(mechanism, "SCRAM-SHA-256");
        let decode = |text| base64::prelude::BASE64_STANDARD.decode(text).unwrap();
        Verifier {
            salt: decode(salt),
            iterations: iterations.parse().unwrap(),
            stored_key: decode(stored_key),
            server_key: decode(server_key),
        }
    }

    /// That what is searched for is what the database compares with.
    pub(super) fn assert_is_of(&self, password: &str) {
        let salted_password = self.salted_password(password);
        let client_key = hmac(&salted_password, b"Client Key");
        assert_eq!(
            Sha256::digest(client_key.as_slice()).to_vec(),
            self.stored_key
        );
        assert_eq!(hmac(&salted_password, b"Server Key"), self.server_key);
    }

    fn salted_password(&self, password: &str) -> [u8; 32] {
        let mut key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &self.salt, self.iterations, &mut key);
        key
    }
}

/// FIPS 180-4, section 5.3.3.
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let each = |separator: &str, write: fn(&u8) -> String| {
        let digits: Vec<String> = secret.iter().map(write).collect();
        digits.join(separator).into_bytes()
    };
    let mut forms = vec![
        ("as it is".to_owned(), secret.to_vec()),
        (
            "lower hex".to_owned(),
            each("", |byte| format!("{byte:02x}")),
        ),
        (
            "upper hex".to_owned(),
            each("", |byte| format!("{byte:02X}")),
        ),
        // `Debug` of a slice, of `bytes::Bytes`.
        ("decimal".to_owned(), each(", ", u8::to_string)),
        ("escaped".to_owned(), secret.escape_ascii().collect()),
    ];
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(secret);
        let own = own_digits(before, secret.len());
        for (name, engine) in [
            ("base64", &STANDARD_NO_PAD),
            ("base64url", &URL_SAFE_NO_PAD),
        ] {
            let text = engine.encode(&shifted).into_bytes();
            forms.push((
                format!("{name} after {before} bytes"),
                text[own.clone()].to_vec(),
            ));
        }
    }
    // An escape of what needs none, base64url without `-` and `_`.
    let mut seen = BTreeSet::new();
    forms.retain(|(_, bytes)| seen.insert(bytes.clone()));
    forms
}

/// The base64 digits that depend on nothing but these bytes, wherever they stand in what is
/// encoded.
fn own_digits(before: usize, length: usize) -> Range<usize> {
    (before * 8).div_ceil(6)..(before + length) * 8 / 6
}

#[test]
fn base64_is_found_wherever_the_secret_stands() {
    let secret = b"0123456789abcdefghijklmnop\xff\xfe\xfd";
    let needles = Needles::default().secret("it", secret);
    for before in 0..4 {
        for after in 0..4 {
            let text = [&b"xyz!"[..before], secret, &b"xyz!"[..after]].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let found = needles.found_in(engine.encode(&text).as_bytes());
                let halves = |half: &str| found.iter().any(|what| what.ends_with(half));
                assert!(halves("first half") && halves("second half"), "{found:?}");
            }
        }
    }
    assert_eq!(
        needles
            .found_in(b"0123456789abc, and nothing of it else")
            .len(),
        0
    );
}
