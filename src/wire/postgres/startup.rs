//! What a client says first: packets with a length and no tag.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, Reader, frame::total_length};

/// The greatest startup packet in bytes, as PostgreSQL's server bounds it.
pub const MAX_STARTUP_PACKET_LENGTH: usize = 10_000;

/// The first packet of a connection, or the next one after an SSLRequest or GSSENCRequest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket {
    /// A client logs in.
    Startup(StartupMessage),
    /// A client asks to cancel what another connection runs.
    CancelRequest(CancelRequest),
    /// A client asks for TLS.
    SslRequest,
    /// A client asks for GSSAPI encryption.
    GssEncRequest,
}

impl StartupPacket {
    /// Takes the first packet off the buffer; `Ok(None)` if it is not complete yet.
    ///
    /// ```
    /// use approzium::wire::postgres::{SSL_REQUEST, StartupPacket};
    /// use bytes::BytesMut;
    ///
    /// let mut buffer = BytesMut::from(&SSL_REQUEST[..]);
    /// assert_eq!(StartupPacket::read(&mut buffer)?, Some(StartupPacket::SslRequest));
    /// # Ok::<_, approzium::wire::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Length`] for less than 8 or more than [`MAX_STARTUP_PACKET_LENGTH`] bytes,
    /// [`Error::ProtocolVersion`] for another version than 3, and [`Error::Malformed`] for
    /// contents that do not have their form, among them a parameter that is given twice.
    pub fn read(buffer: &mut BytesMut) -> Result<Option<Self>, Error> {
        let Some((length, _)) = buffer.split_first_chunk() else {
            return Ok(None);
        };
        let claimed = u32::from_be_bytes(*length);
        let total = total_length(claimed, 0, 8, MAX_STARTUP_PACKET_LENGTH)?;
        if buffer.len() < total {
            return Ok(None);
        }
        StartupPacket::parse(buffer.split_to(total).freeze()).map(Some)
    }

    fn parse(raw: Bytes) -> Result<Self, Error> {
        let mut body = Reader(raw.get(4..).unwrap_or_default());
        let code = body.i32().ok_or(Error::Malformed("startup packet"))?;
        match code {
            SSL_REQUEST_CODE if body.is_empty() => Ok(StartupPacket::SslRequest),
            SSL_REQUEST_CODE => Err(Error::Malformed("SSLRequest")),
            GSS_ENC_REQUEST_CODE if body.is_empty() => Ok(StartupPacket::GssEncRequest),
            GSS_ENC_REQUEST_CODE => Err(Error::Malformed("GSSENCRequest")),
            CANCEL_REQUEST_CODE => match body.0.len() {
                // A process id, and a key of 4 bytes (protocol 3.0) to 256 bytes (3.2).
                8..=260 => Ok(StartupPacket::CancelRequest(CancelRequest { raw })),
                _ => Err(Error::Malformed("CancelRequest")),
            },
            _ => StartupMessage::parse(code, raw).map(StartupPacket::Startup),
        }
    }
}

/// A client's StartupMessage.
#[derive(Clone, PartialEq, Eq)]
pub struct StartupMessage {
    raw: Bytes,
    minor_version: u16,
    parameters: Vec<(Bytes, Bytes)>,
}

impl StartupMessage {
    fn parse(code: i32, raw: Bytes) -> Result<Self, Error> {
        let [major @ .., third, fourth] = code.to_be_bytes();
        let (major, minor) = (
            u16::from_be_bytes(major),
            u16::from_be_bytes([third, fourth]),
        );
        if major != 3 {
            return Err(Error::ProtocolVersion { major, minor });
        }
        let mut body = Reader(raw.get(8..).unwrap_or_default());
        let parameters =
            parse_parameters(&raw, &mut body).ok_or(Error::Malformed("StartupMessage"))?;
        Ok(StartupMessage {
            raw,
            minor_version: minor,
            parameters,
        })
    }

    /// The minor version of protocol 3 that the client asks for.
    pub fn minor_version(&self) -> u16 {
        self.minor_version
    }

    /// The value of a parameter (`user`, `database`, …) if it is there and is UTF-8.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| *known == name.as_bytes())
            .and_then(|(_, value)| str::from_utf8(value).ok())
    }

    /// All parameters in their order, as bytes; no name comes twice.
    pub fn parameters(&self) -> &[(Bytes, Bytes)] {
        &self.parameters
    }

    /// The whole packet, to be passed on.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The same message with one more parameter.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] for a NUL byte, [`Error::Length`] if it becomes too long, and
    /// [`Error::Malformed`] for a parameter without a name or one that is there already.
    pub fn with_parameter(&self, name: &str, value: &str) -> Result<Self, Error> {
        if name.contains('\0') || value.contains('\0') {
            return Err(Error::Unsendable("startup parameter"));
        }
        let parameters = self.raw.split_last().map_or(&[][..], |(_, before)| before);
        let mut raw = BytesMut::from(parameters);
        for text in [name, value] {
            raw.put_slice(text.as_bytes());
            raw.put_u8(0);
        }
        raw.put_u8(0);
        let length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        if let Some(claimed) = raw.first_chunk_mut() {
            *claimed = length.to_be_bytes();
        }
        match StartupPacket::read(&mut raw)? {
            Some(StartupPacket::Startup(startup)) => Ok(startup),
            _ => Err(Error::Malformed("StartupMessage")),
        }
    }
}

impl fmt::Debug for StartupMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartupMessage")
            .field("minor_version", &self.minor_version)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// Names and values up to an empty name, with which the packet ends.
fn parse_parameters(raw: &Bytes, body: &mut Reader<'_>) -> Option<Vec<(Bytes, Bytes)>> {
    let mut parameters: Vec<(Bytes, Bytes)> = Vec::new();
    loop {
        let name = body.c_string()?;
        if name.is_empty() {
            return body.is_empty().then_some(parameters);
        }
        if parameters.len() == MAX_PARAMETERS || parameters.iter().any(|(known, _)| known == name) {
            return None;
        }
        let value = body.c_string()?;
        parameters.push((raw.slice_ref(name), raw.slice_ref(value)));
    }
}

/// A client's CancelRequest. Its key is a secret between one client and the server: the packet is
/// passed on and not looked into.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest {
    raw: Bytes,
}

impl CancelRequest {
    /// The whole packet, to be passed on.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelRequest(redacted)")
    }
}

/// A server's answer to an SSLRequest: one byte, and not one more before TLS has begun
/// (CVE-2021-23222).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslResponse {
    /// `S`: the TLS handshake may begin.
    Accepted,
    /// `N`: the server has no TLS.
    Refused,
    /// `E`: an ErrorResponse begins. Its text came without TLS, from whoever sits in between, and
    /// is not to be shown (CVE-2024-10977).
    Error,
}

impl SslResponse {
    /// Reads the byte.
    ///
    /// # Errors
    ///
    /// [`Error::SslResponse`] for any other byte.
    pub fn parse(byte: u8) -> Result<Self, Error> {
        match byte {
            b'S' => Ok(SslResponse::Accepted),
            b'N' => Ok(SslResponse::Refused),
            b'E' => Ok(SslResponse::Error),
            _ => Err(Error::SslResponse(byte)),
        }
    }
}

/// Parameters of one StartupMessage.
const MAX_PARAMETERS: usize = 128;

const CANCEL_REQUEST_CODE: i32 = 80_877_102;
const SSL_REQUEST_CODE: i32 = 80_877_103;
const GSS_ENC_REQUEST_CODE: i32 = 80_877_104;
