//! The messages of PostgreSQL's protocol (version 3): those that a login is made of, and of a
//! session as much as an observer needs.
//!
//! ```text
//!   StartupPacket           →             read by StartupPacket::read
//!                           ←  BackendMessage::Authentication(…)
//!   password_message, sasl_initial_response, sasl_response  →
//!                           ←  BackendMessage::Authentication(Ok)
//! ```
//!
//! Messages are taken off the front of a buffer that grows as bytes arrive: `Ok(None)` says that
//! the message is not complete yet, and what follows it stays in the buffer. A length that cannot
//! be right is an error as soon as it is seen, before anything is allocated for it. Everything is
//! checked before it is handed out, on any bytes, and errors hold nothing that a peer wrote.
//!
//! Once the login is over, an observer follows the session without holding it up: a `Skimmer` tells
//! the messages of either side apart in passing, `Request` and `Response` say what they are.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", and `fe-connect.c` and
//! `backend_startup.c` for what the documentation leaves open.

mod backend;
mod fields;
mod frame;
mod frontend;
#[cfg(feature = "postgres")]
pub(crate) mod glance;
#[cfg(feature = "postgres")]
mod session;
#[cfg(feature = "postgres")]
mod skim;
mod startup;
#[cfg(test)]
mod tests;

use std::fmt;

pub use backend::{Authentication, BackendMessage, NegotiateProtocolVersion};
pub use fields::Fields;
pub use frame::{Frame, MAX_LOGIN_MESSAGE_LENGTH};
pub use frontend::{SSL_REQUEST, password_message, sasl_initial_response, sasl_response};
#[cfg(feature = "postgres")]
pub(crate) use session::{ErrorFields, MAX_TEXT_LENGTH, Request, Response};
#[cfg(feature = "postgres")]
pub(crate) use skim::Skimmer;
pub use startup::{
    CancelRequest, MAX_STARTUP_PACKET_LENGTH, SslResponse, StartupMessage, StartupPacket,
};

/// A message that breaks the protocol.
///
/// It holds nothing that a peer wrote but numbers, so it can be shown and logged as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The message says that it is shorter than its own header, or longer than the limit.
    Length {
        /// The length in bytes that it claims, as it stands in the message.
        claimed: u32,
        /// The greatest length that is allowed.
        limit: usize,
    },
    /// A message of this kind whose contents do not have its form.
    Malformed(&'static str),
    /// A StartupMessage of a protocol version other than 3.
    ProtocolVersion {
        /// The major version that it asks for.
        major: u16,
        /// The minor version that it asks for.
        minor: u16,
    },
    /// The answer to an SSLRequest is none of `S`, `N` and `E`.
    SslResponse(u8),
    /// A value to be sent holds a NUL byte, or is too long for a message.
    Unsendable(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Length { claimed, limit } => write!(
                f,
                "PostgreSQL message claims a length of {claimed} bytes; the limit is {limit}"
            ),
            Error::Malformed(message) => write!(f, "malformed {message}"),
            Error::ProtocolVersion { major, minor } => {
                write!(
                    f,
                    "PostgreSQL protocol version {major}.{minor} is not supported"
                )
            }
            Error::SslResponse(byte) => {
                write!(f, "byte {byte:#04x} is no answer to an SSLRequest")
            }
            Error::Unsendable(what) => {
                write!(f, "{what} holds a NUL byte or is too long for a message")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Takes a message's contents apart from the front. `None` is the end of the bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A string up to its NUL, without it.
    fn c_string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (string, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(string)
    }

    /// Whether everything has been read.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
