mod backend;
mod frames;
mod interoperability;
#[cfg(feature = "postgres")]
mod session;
mod startup;

use bytes::{BufMut as _, BytesMut};

use super::*;

/// One message that is complete.
fn read(message: &[u8]) -> Result<Option<BackendMessage>, Error> {
    BackendMessage::read(&mut BytesMut::from(message), MAX_LOGIN_MESSAGE_LENGTH)
}

fn read_authentication(body: &[u8]) -> Result<Authentication, Error> {
    match read(&message(b'R', body))? {
        Some(BackendMessage::Authentication(authentication)) => Ok(authentication),
        other => panic!("{other:?} is no authentication request"),
    }
}

fn read_fields(body: &[u8]) -> Result<Fields, Error> {
    match read(&message(b'E', body))? {
        Some(BackendMessage::ErrorResponse(fields)) => Ok(fields),
        other => panic!("{other:?} is no error"),
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.put_u32(u32::try_from(body.len() + 4).unwrap());
    message.put_slice(body);
    message
}

fn startup_packet(body: &[u8]) -> Result<Option<StartupPacket>, Error> {
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(body.len() + 4).unwrap());
    packet.put_slice(body);
    StartupPacket::read(&mut packet)
}
