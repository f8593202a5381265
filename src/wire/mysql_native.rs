//! MySQL's `mysql_native_password`: one scramble, one response.
//!
//! Of a password the server keeps `stage2`, SHA1(SHA1(password)). A response hides
//! `stage1`, SHA1(password), under a digest of the scramble and `stage2`: whoever has seen `stage2`
//! and one response has `stage1`, which is as good as the password.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// Bytes of a scramble, which some call the salt or the nonce, and of a response.
pub const LENGTH: usize = 20;

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
    let stage1 = Zeroizing::new(Sha1::digest(password).into());
    response_of_stage1(&stage1, scramble)
}

/// As [`response`], from SHA1(password): where only that is kept of a password.
#[must_use]
pub fn response_of_stage1(stage1: &[u8; LENGTH], scramble: &[u8; LENGTH]) -> [u8; LENGTH] {
    let stage2: Zeroizing<[u8; LENGTH]> = Zeroizing::new(Sha1::digest(stage1).into());
    let mut response: [u8; LENGTH] = Sha1::new()
        .chain_update(scramble)
        .chain_update(stage2.as_slice())
        .finalize()
        .into();
    for (byte, secret) in response.iter_mut().zip(stage1) {
        *byte ^= secret;
    }
    response
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
            let stage1 = Sha1::digest(&password).into();
            prop_assert_eq!(response_of_stage1(&stage1, &scramble), answer);
        }
    }
}
