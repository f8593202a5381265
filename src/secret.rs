//! Bytes that must not be seen: wiped when dropped, redacted when printed.
//!
//! Wiping is best effort. It covers the buffers that this library owns, not copies that a kernel,
//! an allocator or a library below it made. The `approzium` binary also wipes whatever its allocator
//! takes back.

use std::fmt;

use zeroize::Zeroizing;

/// A secret of any length: a password, a key, a token.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. The caller's buffer becomes this one; nothing is copied.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes themselves. The name is long so that each use is found by a search.
    pub(crate) fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_itself() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret.expose_secret(), b"hunter2");
    }
}
