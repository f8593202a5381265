//! What a server may ask for.

use std::ops::RangeInclusive;

/// Bounds on what a server-first message may hold.
///
/// They protect the keys (few iterations make guesses at a password cheap, and the salt and the
/// iterations come from whoever relays the message) and the time of the one who answers (many
/// iterations keep it busy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// PBKDF2 iterations. Default: 4,096, which RFC 7677 asks for and PostgreSQL uses, to 100,000.
    pub iterations: RangeInclusive<u32>,
    /// Bytes of the decoded salt. Default: 1 to 1,024; PostgreSQL uses 16.
    pub salt_length: RangeInclusive<usize>,
    /// Bytes of the whole message. Default: 2,048.
    pub message_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            iterations: 4_096..=100_000,
            salt_length: 1..=1_024,
            message_length: 2_048,
        }
    }
}
