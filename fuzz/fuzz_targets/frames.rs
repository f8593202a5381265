//! Messages of a login: they are cut where they say that they end, however the bytes come, and what
//! is written here is read back.

#![no_main]

use approzium::wire::postgres::{
    BackendMessage, Error, Frame, MAX_LOGIN_MESSAGE_LENGTH, StartupPacket, password_message,
    sasl_initial_response, sasl_response,
};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = messages(bytes, bytes.len());
    for piece in [1, 7] {
        assert_eq!(messages(bytes, piece), whole);
    }
    frames_are_what_they_say(bytes);
    startup(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        written(text);
    }
});

/// Everything that is read up to the first error, and the error.
fn messages(bytes: &[u8], piece: usize) -> (Vec<BackendMessage>, Option<Error>) {
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match BackendMessage::read(&mut buffer, MAX_LOGIN_MESSAGE_LENGTH) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn frames_are_what_they_say(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    loop {
        let before = buffer.clone();
        match Frame::read(&mut buffer, MAX_LOGIN_MESSAGE_LENGTH) {
            Ok(Some(frame)) => {
                let length = u32::from_be_bytes(before[1..5].try_into().unwrap()) as usize;
                assert_eq!(frame.raw(), &before[..1 + length]);
                assert_eq!((frame.tag(), frame.body()), (before[0], &frame.raw()[5..]));
                assert_eq!(buffer, before[1 + length..]);
            }
            Ok(None) => return assert_eq!(buffer, before, "nothing is taken of half a message"),
            Err(error) => return assert!(matches!(error, Error::Length { .. })),
        }
    }
}

fn startup(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    let Ok(Some(StartupPacket::Startup(startup))) = StartupPacket::read(&mut buffer) else {
        return;
    };
    assert_eq!([startup.raw().as_ref(), &buffer].concat(), bytes);
    let Ok(more) = startup.with_parameter("_pq_.fuzz", "on") else {
        return;
    };
    let known = startup.parameters().iter().cloned();
    let added = (Bytes::from("_pq_.fuzz"), Bytes::from("on"));
    assert!(more.parameters().iter().cloned().eq(known.chain([added])));
}

fn written(text: &str) {
    let with_nul = [text.as_bytes(), b"\0"].concat();
    for (message, body) in [
        (password_message(text), with_nul.clone()),
        (sasl_response(text.as_bytes()), text.into()),
        (
            sasl_initial_response("SCRAM-SHA-256", text.as_bytes()),
            [
                b"SCRAM-SHA-256\0",
                &(text.len() as u32).to_be_bytes()[..],
                text.as_bytes(),
            ]
            .concat(),
        ),
    ] {
        let Ok(message) = message else { continue };
        let mut buffer = BytesMut::from(message.as_ref());
        let frame = Frame::read(&mut buffer, usize::MAX).unwrap().unwrap();
        assert_eq!((frame.tag(), frame.body()), (b'p', body.as_slice()));
        assert!(buffer.is_empty());
    }
}
