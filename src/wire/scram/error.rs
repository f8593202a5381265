//! Why an exchange was given up.

use std::{fmt, ops::RangeInclusive};

/// Why a message of the exchange was refused.
///
/// It holds nothing that a peer wrote but numbers and names from closed lists, so it can be shown
/// and logged as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No mechanism that is known here was offered.
    NoMechanism,
    /// The server offered SCRAM-SHA-256-PLUS on a connection without TLS, so someone else's offer
    /// may have reached the client.
    PlusWithoutTls,
    /// Channel binding is required, and the server, the connection or its certificate does not
    /// allow it.
    ChannelBindingUnavailable,
    /// The channel-binding data are not a digest of 28 to 64 bytes.
    ChannelBindingData,
    /// The messages are not the client-first-messages of one exchange.
    ClientFirstMessages,
    /// The text is not the AuthMessage of one exchange without channel binding.
    AuthMessage,
    /// The message is longer than the limit, in bytes.
    MessageTooLong {
        /// The most that is allowed.
        limit: usize,
    },
    /// The message is not UTF-8, or holds a NUL.
    NotText,
    /// Where this attribute belongs, another one stands, or none, or one without a value.
    ExpectedAttribute(char),
    /// The message has an attribute `m=`: an extension that must be understood, and is not.
    MandatoryExtension,
    /// What follows the last attribute is no extension of the form `letter=value`, or repeats an
    /// attribute that has its own place.
    MalformedExtension,
    /// The nonce holds something else than printable ASCII without comma.
    NonceNotPrintable,
    /// The server's nonce does not begin with the client's, or adds nothing to it.
    NonceNotExtended,
    /// The salt is no base64.
    SaltNotBase64,
    /// The salt, decoded, is too short or too long.
    SaltLength {
        /// Its length in bytes.
        length: usize,
        /// The lengths that are allowed.
        allowed: RangeInclusive<usize>,
    },
    /// The iteration count is no positive decimal number that fits 32 bits.
    IterationsNotNumber,
    /// The iteration count is out of bounds.
    Iterations {
        /// What the server asked for.
        requested: u32,
        /// What is allowed.
        allowed: RangeInclusive<u32>,
    },
    /// The keys were derived with another salt or another number of iterations.
    KeysOfAnotherChallenge,
    /// The server refused: one of RFC 5802's `server-error-value`s, `other-error` for those that
    /// the RFC does not list.
    Server(&'static str),
    /// The ServerSignature is not 32 bytes of base64.
    ServerSignatureMalformed,
    /// The ServerSignature is not the expected one: the server does not know the keys.
    ServerSignatureMismatch,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoMechanism => {
                f.write_str("the server offers neither SCRAM-SHA-256 nor SCRAM-SHA-256-PLUS")
            }
            Error::PlusWithoutTls => {
                f.write_str("the server offers SCRAM-SHA-256-PLUS over a connection without TLS")
            }
            Error::ChannelBindingUnavailable => f.write_str(
                "channel binding is required and not available: it needs TLS, a server that \
                 offers SCRAM-SHA-256-PLUS, and a certificate whose signature names a hash function",
            ),
            Error::ChannelBindingData => {
                f.write_str("tls-server-end-point is not a digest of 28 to 64 bytes")
            }
            Error::ClientFirstMessages => {
                f.write_str("not the client-first-messages of one SCRAM exchange")
            }
            Error::AuthMessage => f.write_str(
                "not the AuthMessage of one SCRAM exchange without channel binding \
                 (n=…,r=…, the server's message, c=biws,r=…)",
            ),
            Error::MessageTooLong { limit } => {
                write!(f, "SCRAM message longer than {limit} bytes")
            }
            Error::NotText => f.write_str("SCRAM message is not UTF-8 text without NUL"),
            Error::ExpectedAttribute(name) => {
                write!(f, "SCRAM message lacks {name}= in its place")
            }
            Error::MandatoryExtension => {
                f.write_str("SCRAM message has a mandatory extension (m=), which is not supported")
            }
            Error::MalformedExtension => {
                f.write_str("SCRAM message has something else than extensions at its end")
            }
            Error::NonceNotPrintable => f.write_str("SCRAM nonce is not printable ASCII"),
            Error::NonceNotExtended => {
                f.write_str("SCRAM nonce of the server does not extend the client's")
            }
            Error::SaltNotBase64 => f.write_str("SCRAM salt is not base64"),
            Error::SaltLength { length, allowed } => write!(
                f,
                "SCRAM salt has {length} bytes; allowed are {} to {}",
                allowed.start(),
                allowed.end()
            ),
            Error::IterationsNotNumber => {
                f.write_str("SCRAM iteration count is not a positive number")
            }
            Error::Iterations { requested, allowed } => write!(
                f,
                "SCRAM iteration count is {requested}; allowed are {} to {}",
                allowed.start(),
                allowed.end()
            ),
            Error::KeysOfAnotherChallenge => {
                f.write_str("SCRAM keys belong to another salt or iteration count")
            }
            Error::Server(value) => write!(f, "the server ended the SCRAM exchange: {value}"),
            Error::ServerSignatureMalformed => {
                f.write_str("SCRAM ServerSignature is not 32 bytes of base64")
            }
            Error::ServerSignatureMismatch => f.write_str(
                "SCRAM ServerSignature is wrong: the server has not proved that it knows the user's keys",
            ),
        }
    }
}

impl std::error::Error for Error {}
