//! What a server says during a login.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Error, Fields, Frame, Reader};

/// A message from the server, as far as a login has to understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendMessage {
    /// `R`: the login goes on, or has succeeded.
    Authentication(Authentication),
    /// `E`: the login, or the connection, is over.
    ErrorResponse(Fields),
    /// `N`: something worth knowing; the login goes on.
    NoticeResponse(Fields),
    /// `v`: the server does not know the minor version or some option that the client asked for.
    NegotiateProtocolVersion(NegotiateProtocolVersion),
    /// Anything else, unread. None of it belongs between startup and AuthenticationOk.
    Other(Frame),
}

impl BackendMessage {
    /// Takes the first message off the buffer, of at most `limit` bytes; `Ok(None)` if it is not
    /// complete yet. What follows it stays in the buffer: after AuthenticationOk that is the
    /// session's.
    ///
    /// ```
    /// use approzium::wire::postgres::{
    ///     Authentication, BackendMessage, MAX_LOGIN_MESSAGE_LENGTH,
    /// };
    /// use bytes::BytesMut;
    ///
    /// let mut buffer = BytesMut::from(&b"R\0\0\0\x0c\0\0\0\x05\x01\x02\x03\x04"[..]);
    /// assert_eq!(
    ///     BackendMessage::read(&mut buffer, MAX_LOGIN_MESSAGE_LENGTH)?,
    ///     Some(BackendMessage::Authentication(Authentication::Md5Password {
    ///         salt: [1, 2, 3, 4],
    ///     }))
    /// );
    /// # Ok::<_, approzium::wire::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Length`] and [`Error::Malformed`]; the stream is of no use after either.
    pub fn read(buffer: &mut BytesMut, limit: usize) -> Result<Option<Self>, Error> {
        Frame::read(buffer, limit)?
            .map(BackendMessage::parse)
            .transpose()
    }

    /// Reads one message that is there already.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn parse(frame: Frame) -> Result<Self, Error> {
        match frame.tag() {
            b'R' => Authentication::parse(frame).map(BackendMessage::Authentication),
            b'E' => Fields::parse(frame).map(BackendMessage::ErrorResponse),
            b'N' => Fields::parse(frame).map(BackendMessage::NoticeResponse),
            b'v' => NegotiateProtocolVersion::parse(&frame)
                .map(BackendMessage::NegotiateProtocolVersion),
            _ => Ok(BackendMessage::Other(frame)),
        }
    }
}

/// What the server wants of the client, or that it is content.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// AuthenticationOk. Whether the server has proved anything until then is for the client to
    /// know.
    Ok,
    /// AuthenticationCleartextPassword: the server wants the password itself.
    CleartextPassword,
    /// AuthenticationMD5Password.
    Md5Password {
        /// The challenge.
        salt: [u8; 4],
    },
    /// AuthenticationGSS.
    Gss,
    /// AuthenticationSSPI.
    Sspi,
    /// AuthenticationSASL.
    Sasl {
        /// Names of mechanisms in the server's order, 1 to 16 of them, each of 1 to 20 characters
        /// of `A`–`Z`, `0`–`9`, `-` and `_` (RFC 4422, section 3.1).
        mechanisms: Vec<String>,
    },
    /// AuthenticationSASLContinue, and the mechanism's challenge.
    SaslContinue(Bytes),
    /// AuthenticationSASLFinal, and the mechanism's last word.
    SaslFinal(Bytes),
    /// Any other request, by its number.
    Other(i32),
}

impl Authentication {
    fn parse(frame: Frame) -> Result<Self, Error> {
        let mut body = Reader(frame.body());
        let code = body
            .i32()
            .ok_or(Error::Malformed("authentication request"))?;
        let without_data = |authentication| match frame.body().len() {
            4 => Ok(authentication),
            _ => Err(Error::Malformed("authentication request")),
        };
        match code {
            0 => without_data(Authentication::Ok),
            3 => without_data(Authentication::CleartextPassword),
            5 => match body.array() {
                Some(salt) if body.is_empty() => Ok(Authentication::Md5Password { salt }),
                _ => Err(Error::Malformed("AuthenticationMD5Password")),
            },
            7 => without_data(Authentication::Gss),
            9 => without_data(Authentication::Sspi),
            10 => parse_mechanisms(body)
                .map(|mechanisms| Authentication::Sasl { mechanisms })
                .ok_or(Error::Malformed("AuthenticationSASL")),
            11 => Ok(Authentication::SaslContinue(data(frame))),
            12 => Ok(Authentication::SaslFinal(data(frame))),
            _ => Ok(Authentication::Other(code)),
        }
    }
}

/// Challenges are left out: with the answers beside them they would be worth guessing at.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authentication::Ok => f.write_str("Ok"),
            Authentication::CleartextPassword => f.write_str("CleartextPassword"),
            Authentication::Md5Password { .. } => f.write_str("Md5Password"),
            Authentication::Gss => f.write_str("Gss"),
            Authentication::Sspi => f.write_str("Sspi"),
            Authentication::Sasl { mechanisms } => f
                .debug_struct("Sasl")
                .field("mechanisms", mechanisms)
                .finish(),
            Authentication::SaslContinue(_) => f.write_str("SaslContinue"),
            Authentication::SaslFinal(_) => f.write_str("SaslFinal"),
            Authentication::Other(code) => f.debug_tuple("Other").field(code).finish(),
        }
    }
}

/// What follows an authentication request's number.
fn data(frame: Frame) -> Bytes {
    let mut body = frame.into_body();
    body.advance(4.min(body.len()));
    body
}

/// Names up to an empty one, with which the message ends.
fn parse_mechanisms(mut body: Reader<'_>) -> Option<Vec<String>> {
    let mut mechanisms = Vec::new();
    loop {
        let name = body.c_string()?;
        if name.is_empty() {
            let complete = body.is_empty() && !mechanisms.is_empty();
            return complete.then_some(mechanisms);
        }
        if mechanisms.len() == MAX_MECHANISMS || !is_mechanism_name(name) {
            return None;
        }
        mechanisms.push(str::from_utf8(name).ok()?.to_owned());
    }
}

fn is_mechanism_name(name: &[u8]) -> bool {
    name.len() <= 20
        && name.iter().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

/// The server speaks, but not all that the client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion {
    minor_version: u16,
    unrecognized_options: Vec<String>,
}

impl NegotiateProtocolVersion {
    fn parse(frame: &Frame) -> Result<Self, Error> {
        const MALFORMED: Error = Error::Malformed("NegotiateProtocolVersion");
        let mut body = Reader(frame.body());
        let [_, _, third, fourth] = body.array().ok_or(MALFORMED)?;
        let count = body.i32().ok_or(MALFORMED)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_UNRECOGNIZED_OPTIONS)
            .ok_or(MALFORMED)?;
        let unrecognized_options = (0..count)
            .map(|_| body.c_string())
            .map(|name| name.map(|name| String::from_utf8_lossy(name).into_owned()))
            .collect::<Option<_>>()
            .ok_or(MALFORMED)?;
        if !body.is_empty() {
            return Err(MALFORMED);
        }
        Ok(NegotiateProtocolVersion {
            minor_version: u16::from_be_bytes([third, fourth]),
            unrecognized_options,
        })
    }

    /// The newest minor version of protocol 3 that the server knows.
    pub fn minor_version(&self) -> u16 {
        self.minor_version
    }

    /// The options (`_pq_.…`) that the server does not know: at most 64, a peer's text.
    pub fn unrecognized_options(&self) -> &[String] {
        &self.unrecognized_options
    }
}

/// Mechanisms of one offer; PostgreSQL 18 knows three.
const MAX_MECHANISMS: usize = 16;

const MAX_UNRECOGNIZED_OPTIONS: usize = 64;
