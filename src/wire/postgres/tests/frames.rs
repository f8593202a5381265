//! Lengths, and what is whole.

use proptest::prelude::*;

use super::*;

#[test]
fn lengths_are_checked_before_anything_is_read_or_reserved() {
    const LIMIT: usize = MAX_LOGIN_MESSAGE_LENGTH;
    for claimed in [0, 3, u32::try_from(LIMIT).unwrap(), 0x7fff_ffff, u32::MAX] {
        let mut buffer = BytesMut::new();
        buffer.put_u8(b'E');
        buffer.put_u32(claimed);
        let capacity = buffer.capacity();
        assert_eq!(
            BackendMessage::read(&mut buffer, LIMIT),
            Err(Error::Length {
                claimed,
                limit: LIMIT
            })
        );
        assert_eq!(buffer.capacity(), capacity);
    }
    let mut just_within = BytesMut::new();
    just_within.put_u8(b'E');
    just_within.put_u32(u32::try_from(LIMIT - 1).unwrap());
    let capacity = just_within.capacity();
    assert_eq!(BackendMessage::read(&mut just_within, LIMIT), Ok(None));
    assert_eq!((just_within.len(), just_within.capacity()), (5, capacity));
}

#[test]
fn other_protocols_are_recognised_by_their_length() {
    for greeting in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\0\x02\x02\x46",
    ] {
        assert!(
            matches!(read(greeting), Err(Error::Length { .. })),
            "{greeting:?}"
        );
    }
}

#[test]
fn what_follows_a_message_stays_in_the_buffer() {
    let mut buffer = BytesMut::from(&b"R\0\0\0\x08\0\0\0\0S\0\0\0\x0aa\0b\0Z"[..]);
    assert_eq!(
        BackendMessage::read(&mut buffer, 9),
        Ok(Some(BackendMessage::Authentication(Authentication::Ok)))
    );
    assert_eq!(&buffer[..], b"S\0\0\0\x0aa\0b\0Z");
}

#[test]
fn a_part_of_a_message_is_no_message() {
    for whole in [
        &b"R\0\0\0\x08\0\0\0\0"[..],
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
        b"E\0\0\0\x0cC28P01\0\0",
        b"Z\0\0\0\x04",
    ] {
        assert!(matches!(read(whole), Ok(Some(_))), "{whole:?}");
        for length in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..length]);
            assert_eq!(
                BackendMessage::read(&mut part, MAX_LOGIN_MESSAGE_LENGTH),
                Ok(None)
            );
            assert_eq!(part, whole[..length]);
        }
    }
    let mut startup = BytesMut::from(&SSL_REQUEST[..7]);
    assert_eq!(StartupPacket::read(&mut startup), Ok(None));
    assert_eq!(startup, SSL_REQUEST[..7]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = StartupPacket::read(&mut BytesMut::from(&bytes[..]));
        let _ = startup_packet(&bytes);
        let _ = startup_packet(&[b"\0\x03\0\0", &bytes[..]].concat());
        let _ = read(&bytes);
        for tag in *b"RENvZ" {
            let _ = read(&message(tag, &bytes));
        }
        for code in 0..16 {
            let _ = read(&message(b'R', &[&[0, 0, 0, code], &bytes[..]].concat()));
        }
    }

    /// However the bytes arrive, the same messages come out, and not a byte is lost.
    #[test]
    fn messages_are_the_same_in_pieces(
        bodies in proptest::collection::vec(
            (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)),
            1..8,
        ),
        size in 1_usize..20,
    ) {
        let sent: Vec<Vec<u8>> = bodies.iter().map(|(tag, body)| message(*tag, body)).collect();
        let mut buffer = BytesMut::new();
        let mut received = Vec::new();
        for piece in sent.concat().chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = Frame::read(&mut buffer, MAX_LOGIN_MESSAGE_LENGTH).unwrap() {
                received.push(frame.into_raw().to_vec());
            }
        }
        prop_assert_eq!(received, sent);
        prop_assert!(buffer.is_empty());
    }
}
