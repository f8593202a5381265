//! MySQL's `mysql_native_password`: one scramble, one response.
//!
//! Of a password the server keeps `stage2`, SHA1(SHA1(password)). A response hides [`Stage1`],
//! SHA1(password), under a digest of the scramble and `stage2`: whoever has seen `stage2` and one
//! response has `stage1`, which is as good as the password.

use std::fmt::Write as _;

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::stage1;

/// Bytes of a scramble, which some call the salt or the nonce, and of a response.
pub const LENGTH: usize = 20;

/// SHA1(password).
pub type Stage1 = stage1::Stage1<LENGTH>;

/// The response to a server's scramble: SHA1(password) ⊕ SHA1(scramble ‖ SHA1(SHA1(password))).
///
/// Where the password is empty, MySQL wants an empty response, which is not computed here. Source:
/// MySQL Source Code Documentation, "Native Authentication".
///
/// ```
/// use approzium::wire::mysql_native;
///
/// let response = mysql_native::response(b"password", &[0; 20]);
/// assert_eq!(response[..4], [0x07, 0x20, 0x87, 0xd1]);
/// ```
#[must_use]
pub fn response(password: &[u8], scramble: &[u8; LENGTH]) -> [u8; LENGTH] {
    Stage1::of(password).response(scramble)
}

impl Stage1 {
    /// Of a password, whose bytes are taken as they are.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        let digest: Zeroizing<[u8; LENGTH]> = Zeroizing::new(Sha1::digest(password).into());
        Self::from_bytes(&digest)
    }

    /// As [`response`], where only this is kept of a password.
    #[must_use]
    pub fn response(&self, scramble: &[u8; LENGTH]) -> [u8; LENGTH] {
        let mask = Sha1::new()
            .chain_update(scramble)
            .chain_update(self.stage2())
            .finalize();
        self.masked(mask.into())
    }

    /// `*` and SHA1(SHA1(password)) in hexadecimal: what the server keeps, and takes as it is in
    /// `ALTER USER … IDENTIFIED WITH mysql_native_password AS '…'`.
    ///
    /// Nobody logs in by it; but who has seen a response makes `stage1` of the two.
    ///
    /// ```
    /// use approzium::wire::mysql_native::Stage1;
    ///
    /// // As `SELECT PASSWORD('password')` says.
    /// let kept = Stage1::of(b"password").authentication_string();
    /// assert_eq!(kept, "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    /// ```
    #[must_use]
    pub fn authentication_string(&self) -> String {
        let mut text = "*".to_owned();
        for byte in self.stage2() {
            // A text takes whatever is written to it.
            write!(text, "{byte:02X}").ok();
        }
        text
    }

    fn stage2(&self) -> [u8; LENGTH] {
        Sha1::digest(self.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the server checks it (MySQL's `check_scramble`): it takes the mask, made of what it keeps,
    /// off the response, and what is under it must have the digest that it keeps.
    fn server_accepts(stage2: &[u8], scramble: &[u8], response: &[u8]) -> bool {
        let mask = Sha1::digest([scramble, stage2].concat());
        let stage1: Vec<u8> = mask.iter().zip(response).map(|(a, b)| a ^ b).collect();
        Sha1::digest(stage1).as_slice() == stage2
    }

    fn stored(password: &[u8]) -> Vec<u8> {
        Sha1::digest(Sha1::digest(password)).to_vec()
    }

    #[test]
    fn vectors() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            hex(&response(b"password", &[0; LENGTH])),
            "072087d16fdfabc55b1644bb904205c60d505fcf"
        );
        // MySQL's own: SELECT PASSWORD('password').
        assert_eq!(
            hex(&stored(b"password")),
            "2470c0c06dee42fd1618bb99005adca2ec9d1e19"
        );
        assert_eq!(
            Stage1::of(b"password").authentication_string(),
            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
        );
    }

    proptest! {
        #[test]
        fn a_server_accepts_the_response_to_its_own_scramble_alone(
            password in proptest::collection::vec(any::<u8>(), 1..80),
            other in proptest::collection::vec(any::<u8>(), 1..80),
            scramble: [u8; LENGTH],
            another: [u8; LENGTH],
        ) {
            let answer = response(&password, &scramble);
            prop_assert!(server_accepts(&stored(&password), &scramble, &answer));
            if other != password {
                prop_assert!(!server_accepts(&stored(&other), &scramble, &answer));
            }
            if another != scramble {
                prop_assert!(!server_accepts(&stored(&password), &another, &answer));
            }
            let kept = Stage1::from_bytes(&Sha1::digest(&password).into());
            prop_assert_eq!(kept.response(&scramble), answer);
        }
    }
}
