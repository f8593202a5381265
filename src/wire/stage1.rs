//! What MySQL's methods make of a password before anything else: all that an answer takes of it.

use std::fmt;

use zeroize::Zeroizing;

/// A password's digest by one of MySQL's methods, of this many bytes.
///
/// Whoever has it logs in as with the password, by that method, at every server where the account
/// has this password, until it is changed; so it is a secret, wiped when dropped and never printed.
/// There is no way back from it to a password but guessing: it is not salted, and quick to make.
pub struct Stage1<const LENGTH: usize>(
    /// On the heap, so that moving it leaves no copy behind.
    Box<Zeroizing<[u8; LENGTH]>>,
);

impl<const LENGTH: usize> Stage1<LENGTH> {
    /// One that was made before and kept, where there is no password to make it from.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; LENGTH]) -> Self {
        let mut digest = Box::new(Zeroizing::new([0; LENGTH]));
        digest.copy_from_slice(bytes);
        Stage1(digest)
    }

    /// The digest: a secret as good as the password.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The digest under a mask.
    pub(super) fn masked(&self, mut mask: [u8; LENGTH]) -> [u8; LENGTH] {
        for (byte, secret) in mask.iter_mut().zip(self.as_bytes()) {
            *byte ^= secret;
        }
        mask
    }
}

impl<const LENGTH: usize> fmt::Debug for Stage1<LENGTH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stage1(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_itself() {
        let stage1 = Stage1::from_bytes(&[7; 20]);
        assert_eq!(format!("{stage1:?}"), "Stage1(redacted)");
        assert_eq!(stage1.as_bytes(), &[7; 20]);
    }
}
