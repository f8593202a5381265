//! MySQL's `caching_sha2_password`: the fast path, one nonce and one response.
//!
//! It is for accounts that the server has in its cache, with SHA-256(SHA-256(password)), since a
//! client logged in by full authentication, which hands the server the password itself and is not
//! computed here. A response hides [`Stage1`], SHA-256(password), under a digest of what the cache
//! holds and the nonce: whoever has seen both has `stage1`, which is as good as the password on this
//! path.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::stage1;

/// Bytes of a nonce, which some call the scramble or the salt.
pub const NONCE_LENGTH: usize = 20;

/// Bytes of a response.
pub const LENGTH: usize = 32;

/// SHA-256(password).
pub type Stage1 = stage1::Stage1<LENGTH>;

/// The response to a server's nonce:
/// SHA-256(password) ⊕ SHA-256(SHA-256(SHA-256(password)) ‖ nonce).
///
/// Where the password is empty, MySQL wants an empty response, which is not computed here. Source:
/// MySQL Source Code Documentation, "Caching_sha2_password information".
///
/// ```
/// use approzium::wire::caching_sha2;
///
/// let response = caching_sha2::response(b"password", &[0; 20]);
/// assert_eq!(response[..4], [0x10, 0x4f, 0x9a, 0xc4]);
/// ```
#[must_use]
pub fn response(password: &[u8], nonce: &[u8; NONCE_LENGTH]) -> [u8; LENGTH] {
    Stage1::of(password).response(nonce)
}

impl Stage1 {
    /// Of a password, whose bytes are taken as they are.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        let digest: Zeroizing<[u8; LENGTH]> = Zeroizing::new(Sha256::digest(password).into());
        Self::from_bytes(&digest)
    }

    /// As [`response`], where only this is kept of a password.
    #[must_use]
    pub fn response(&self, nonce: &[u8; NONCE_LENGTH]) -> [u8; LENGTH] {
        let stage2: Zeroizing<[u8; LENGTH]> =
            Zeroizing::new(Sha256::digest(self.as_bytes()).into());
        let mask = Sha256::new()
            .chain_update(*stage2)
            .chain_update(nonce)
            .finalize();
        self.masked(mask.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the server checks it (MySQL's `Validate_scramble`): it takes the mask, made of what its
    /// cache holds, off the response, and what is under it must have the digest that it holds.
    fn server_accepts(cached: &[u8], nonce: &[u8], response: &[u8]) -> bool {
        let mask = Sha256::digest([cached, nonce].concat());
        let stage1: Vec<u8> = mask.iter().zip(response).map(|(a, b)| a ^ b).collect();
        Sha256::digest(stage1).as_slice() == cached
    }

    fn cached(password: &[u8]) -> Vec<u8> {
        Sha256::digest(Sha256::digest(password)).to_vec()
    }

    /// The first two are those of go-sql-driver/mysql; all were computed by Python's hashlib too.
    #[test]
    fn vectors() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let nonce = [
            10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 2, 23, 21,
        ];
        for (password, nonce, expected) in [
            (
                "secret",
                nonce,
                "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c",
            ),
            (
                "secret2",
                nonce,
                "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6",
            ),
            (
                "password",
                [0; NONCE_LENGTH],
                "104f9ac4aa8f72151c8d978c00e49ecbe4c8cc8806769c2c15c724ba18eb91be",
            ),
        ] {
            let answer = response(password.as_bytes(), &nonce);
            assert_eq!(hex(&answer), expected, "{password}");
        }
    }

    proptest! {
        #[test]
        fn a_server_accepts_the_response_to_its_own_nonce_alone(
            password in proptest::collection::vec(any::<u8>(), 1..80),
            other in proptest::collection::vec(any::<u8>(), 1..80),
            nonce: [u8; NONCE_LENGTH],
            another: [u8; NONCE_LENGTH],
        ) {
            let answer = response(&password, &nonce);
            prop_assert!(server_accepts(&cached(&password), &nonce, &answer));
            if other != password {
                prop_assert!(!server_accepts(&cached(&other), &nonce, &answer));
            }
            if another != nonce {
                prop_assert!(!server_accepts(&cached(&password), &another, &answer));
            }
            let kept = Stage1::from_bytes(&Sha256::digest(&password).into());
            prop_assert_eq!(kept.response(&nonce), answer);
        }
    }
}
