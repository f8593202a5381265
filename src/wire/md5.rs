//! PostgreSQL's `md5` authentication: one salted challenge, one response.
//!
//! The inner digest is what `pg_authid` stores, and it is as good as the password to whoever has
//! it. The outer one depends on a salt of only four bytes, so collected responses can be replayed.

use md5::{Digest, Md5};
use zeroize::{Zeroize, Zeroizing};

/// The response to an `AuthenticationMD5Password` challenge, as a `PasswordMessage` carries it:
/// `md5` and 32 lower-case hexadecimal digits of MD5(hex(MD5(password ‖ user)) ‖ salt).
///
/// The password is taken as it is: `md5` knows no SASLprep. Source: PostgreSQL documentation,
/// "Message Flow", AuthenticationMD5Password.
///
/// ```
/// use approzium::wire::md5;
///
/// let response = md5::response("bob", b"password", [1, 2, 3, 4]);
/// assert_eq!(response, "md5d576ce99165615bb3f4331154ca6660c");
/// ```
pub fn response(user: &str, password: &[u8], salt: [u8; 4]) -> String {
    let mut digest: [u8; 16] = Md5::new()
        .chain_update(password)
        .chain_update(user)
        .finalize()
        .into();
    let stored = Zeroizing::new(hex(digest));
    digest.zeroize();
    let outer = Md5::new()
        .chain_update(stored.as_bytes())
        .chain_update(salt)
        .finalize();
    format!("md5{}", hex(outer.into()))
}

/// Lower-case hexadecimal, in a buffer that never grows, so that wiping it wipes all of it.
fn hex(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]) {
        text.extend(char::from_digit(nibble.into(), 16));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vectors() {
        assert_eq!(
            response("bob", b"password", [1, 2, 3, 4]),
            "md5d576ce99165615bb3f4331154ca6660c"
        );
        assert_eq!(
            response("", b"", [0; 4]).len(),
            35,
            "an empty user and password are as good as any other"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_postgres_protocol(
            user in "\\PC{0,40}",
            password in proptest::collection::vec(any::<u8>(), 0..80),
            salt: [u8; 4],
        ) {
            let theirs = postgres_protocol::authentication::md5_hash(user.as_bytes(), &password, salt);
            prop_assert_eq!(response(&user, &password, salt), theirs);
        }
    }
}
