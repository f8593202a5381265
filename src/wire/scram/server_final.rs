//! The server's last word, as the application reads it: without any key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Error, attributes::Attributes};

/// Checks a `server-final-message`, the data of an AuthenticationSASLFinal, against the SHA-256 of
/// the ServerSignature that is due, and returns the ServerSignature (32 bytes).
///
/// Only once this has succeeded has the server shown that it knows the user's keys. The comparison
/// takes constant time.
///
/// ```
/// use approzium::wire::scram::verify_server_final;
/// use sha2::{Digest, Sha256};
///
/// // [7; 32] stands for the ServerSignature; a client is only told its digest.
/// let digest = Sha256::digest([7; 32]);
/// let message = b"v=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// assert_eq!(verify_server_final(message, &digest)?, [7; 32]);
/// assert!(verify_server_final(message, &[0; 32]).is_err());
/// # Ok::<_, approzium::wire::scram::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Server`] if the server says why it ended the exchange (`e=`),
/// [`Error::ServerSignatureMismatch`] if its signature is another one, and the errors of a
/// malformed message or one longer than 1,024 bytes.
pub fn verify_server_final(message: &[u8], expected_sha256: &[u8]) -> Result<Vec<u8>, Error> {
    let mut attributes = Attributes::new(message, MESSAGE_LENGTH)?;
    if attributes.is_next('e') {
        let value = attributes.expect('e')?;
        attributes.extensions()?;
        return Err(Error::Server(server_error_value(value)));
    }
    let verifier = attributes.expect('v')?;
    attributes.extensions()?;
    let signature = STANDARD
        .decode(verifier)
        .ok()
        .filter(|signature| signature.len() == 32)
        .ok_or(Error::ServerSignatureMalformed)?;
    if Sha256::digest(&signature)
        .as_slice()
        .ct_eq(expected_sha256)
        .into()
    {
        Ok(signature)
    } else {
        Err(Error::ServerSignatureMismatch)
    }
}

/// Bytes of a whole message. A signature needs 46; the rest is for extensions.
const MESSAGE_LENGTH: usize = 1_024;

/// The RFC wants a value that it does not list treated as `other-error`.
fn server_error_value(value: &str) -> &'static str {
    SERVER_ERROR_VALUES
        .into_iter()
        .find(|known| *known == value)
        .unwrap_or("other-error")
}

/// `server-error-value` of RFC 5802, section 7.
const SERVER_ERROR_VALUES: [&str; 11] = [
    "invalid-encoding",
    "extensions-not-supported",
    "invalid-proof",
    "channel-bindings-dont-match",
    "server-does-support-channel-binding",
    "channel-binding-not-supported",
    "unsupported-channel-binding-type",
    "unknown-user",
    "invalid-username-encoding",
    "no-resources",
    "other-error",
];
