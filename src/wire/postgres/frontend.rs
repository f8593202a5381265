//! What a client says during a login.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Error;

/// SSLRequest, the whole packet.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// PasswordMessage: for `md5`, the response of [`wire::md5`](crate::wire::md5::response).
///
/// ```
/// use approzium::wire::postgres::password_message;
///
/// assert_eq!(&password_message("md5…")?[..5], b"p\0\0\0\x0b");
/// # Ok::<_, approzium::wire::postgres::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Unsendable`] for a NUL in it, or more than 8,192 bytes.
pub fn password_message(response: &str) -> Result<Bytes, Error> {
    const WHAT: &str = "PasswordMessage";
    let mut body = BytesMut::new();
    put_c_string(&mut body, response, WHAT)?;
    message(&body, WHAT)
}

/// SASLInitialResponse: the mechanism, and the first message of its exchange.
///
/// # Errors
///
/// [`Error::Unsendable`] for a NUL in the mechanism, or more than 8,192 bytes in all.
pub fn sasl_initial_response(mechanism: &str, data: &[u8]) -> Result<Bytes, Error> {
    const WHAT: &str = "SASLInitialResponse";
    let mut body = BytesMut::new();
    put_c_string(&mut body, mechanism, WHAT)?;
    body.put_i32(i32::try_from(data.len()).map_err(|_| Error::Unsendable(WHAT))?);
    body.put_slice(data);
    message(&body, WHAT)
}

/// SASLResponse: the next message of the mechanism's exchange.
///
/// # Errors
///
/// [`Error::Unsendable`] for more than 8,192 bytes.
pub fn sasl_response(data: &[u8]) -> Result<Bytes, Error> {
    message(data, "SASLResponse")
}

fn put_c_string(body: &mut BytesMut, text: &str, what: &'static str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::Unsendable(what));
    }
    body.put_slice(text.as_bytes());
    body.put_u8(0);
    Ok(())
}

/// All of these share one tag.
fn message(body: &[u8], what: &'static str) -> Result<Bytes, Error> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_BODY_LENGTH)
        .ok_or(Error::Unsendable(what))?;
    let mut message = BytesMut::with_capacity(5 + body.len());
    message.put_u8(b'p');
    message.put_u32(4 + length);
    message.put_slice(body);
    Ok(message.freeze())
}

/// Far more than any mechanism here has to say, far less than a server takes (65,535).
const MAX_BODY_LENGTH: usize = 8_192;
