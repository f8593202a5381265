//! Messages with a tag and a length, told apart in a stream of bytes.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::Error;

/// The greatest message, tag included, that a server has reason to send before it has accepted a
/// login, in bytes. It is near the bound of PostgreSQL's own client for error messages (30,000).
pub const MAX_LOGIN_MESSAGE_LENGTH: usize = 32 * 1_024;

/// One message as it stood in the stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    tag: u8,
    raw: Bytes,
}

impl Frame {
    /// Takes the first message off the buffer, of at most `limit` bytes with its tag and length.
    ///
    /// `Ok(None)` if it is not complete yet: read more and ask again. Nothing is reserved on the
    /// word of the peer.
    ///
    /// ```
    /// use approzium::wire::postgres::{Frame, MAX_LOGIN_MESSAGE_LENGTH};
    /// use bytes::BytesMut;
    ///
    /// let mut buffer = BytesMut::from(&b"Z\0\0\0\x05I and more"[..]);
    /// let frame = Frame::read(&mut buffer, MAX_LOGIN_MESSAGE_LENGTH)?.expect("it is complete");
    /// assert_eq!((frame.tag(), frame.body()), (b'Z', &b"I"[..]));
    /// assert_eq!(&buffer[..], b" and more");
    /// # Ok::<_, approzium::wire::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Length`] as soon as the header is there and its length is less than 4 or over the
    /// limit.
    pub fn read(buffer: &mut BytesMut, limit: usize) -> Result<Option<Self>, Error> {
        let Some(([tag, length @ ..], _)) = buffer.split_first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let (tag, claimed) = (*tag, u32::from_be_bytes(*length));
        let total = total_length(claimed, 1, 4, limit)?;
        if buffer.len() < total {
            return Ok(None);
        }
        Ok(Some(Frame {
            tag,
            raw: buffer.split_to(total).freeze(),
        }))
    }

    /// The message's type.
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// What follows tag and length.
    pub fn body(&self) -> &[u8] {
        self.raw.get(HEADER_LENGTH..).unwrap_or_default()
    }

    /// The same, sharing the frame's storage.
    pub(super) fn into_body(self) -> Bytes {
        let mut body = self.raw;
        body.advance(HEADER_LENGTH.min(body.len()));
        body
    }

    /// The whole message, to be passed on.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The whole message, to be passed on.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }
}

/// The contents may hold what no log should.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("tag", &char::from(self.tag))
            .field("length", &self.raw.len())
            .finish_non_exhaustive()
    }
}

/// A tag and a length.
const HEADER_LENGTH: usize = 5;

/// Bytes of a message that claims this length and has `outside` bytes before it.
pub(super) fn total_length(
    claimed: u32,
    outside: usize,
    least: u32,
    limit: usize,
) -> Result<usize, Error> {
    usize::try_from(claimed)
        .ok()
        .filter(|_| claimed >= least)
        .and_then(|length| length.checked_add(outside))
        .filter(|total| *total <= limit)
        .ok_or(Error::Length { claimed, limit })
}
