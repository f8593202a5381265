//! What a client says, first and then.

use postgres_protocol::message::frontend;

use super::*;

#[test]
fn startup_packets() {
    let mut written = BytesMut::new();
    frontend::startup_message([("user", "bob"), ("database", "shop")], &mut written).unwrap();
    let raw = written.clone().freeze();
    let packet = StartupPacket::read(&mut written).unwrap().unwrap();
    assert!(written.is_empty());
    let StartupPacket::Startup(startup) = packet else {
        panic!("{packet:?}");
    };
    assert_eq!(startup.parameter("user"), Some("bob"));
    assert_eq!(startup.parameter("database"), Some("shop"));
    assert_eq!(startup.parameter("USER"), None);
    assert_eq!((startup.minor_version(), startup.raw()), (0, &raw));

    let mut written = BytesMut::new();
    frontend::cancel_request(7, 8, &mut written);
    let raw = written.clone().freeze();
    let packet = StartupPacket::read(&mut written).unwrap();
    let Some(StartupPacket::CancelRequest(cancel)) = packet else {
        panic!("{packet:?}");
    };
    assert_eq!(*cancel.raw(), raw);

    let mut written = BytesMut::new();
    frontend::ssl_request(&mut written);
    assert_eq!(written[..], SSL_REQUEST);
    assert_eq!(
        StartupPacket::read(&mut written),
        Ok(Some(StartupPacket::SslRequest))
    );
    assert_eq!(
        startup_packet(b"\x04\xd2\x16\x30"),
        Ok(Some(StartupPacket::GssEncRequest))
    );
}

#[test]
fn a_parameter_is_added_as_if_the_client_had_sent_it() {
    let message = |parameters: &[(&str, &str)]| {
        let mut written = BytesMut::new();
        frontend::startup_message(parameters.iter().copied(), &mut written).unwrap();
        match StartupPacket::read(&mut written) {
            Ok(Some(StartupPacket::Startup(startup))) => startup,
            other => panic!("{other:?}"),
        }
    };
    let startup = message(&[("user", "bob")]);
    assert_eq!(
        startup.with_parameter("application_name", "shop").unwrap(),
        message(&[("user", "bob"), ("application_name", "shop")])
    );
    for (name, value, refused) in [
        ("a", "b\0c\0d", Error::Unsendable("startup parameter")),
        ("a\0", "b", Error::Unsendable("startup parameter")),
        ("user", "mallory", Error::Malformed("StartupMessage")),
        ("", "b", Error::Malformed("StartupMessage")),
    ] {
        assert_eq!(startup.with_parameter(name, value), Err(refused));
    }
    let room = MAX_STARTUP_PACKET_LENGTH - startup.raw().len() - "a\0\0".len();
    assert!(startup.with_parameter("a", &"b".repeat(room)).is_ok());
    let too_long = startup.with_parameter("a", &"b".repeat(room + 1));
    assert!(matches!(too_long, Err(Error::Length { .. })));
}

#[test]
fn startup_messages_that_are_accepted() {
    for (body, parameters) in [
        (&b"\0\x03\0\0\0"[..], 0),
        (b"\0\x03\0\x02user\0\0\0", 1),
        (b"\0\x03\0\0user\0\xff\0_pq_.x\0y\0\0", 2),
    ] {
        let packet = startup_packet(body);
        let Ok(Some(StartupPacket::Startup(startup))) = packet else {
            panic!("{body:?}: {packet:?}");
        };
        assert_eq!(startup.parameters().len(), parameters, "{body:?}");
    }
    let not_utf_8 = startup_packet(b"\0\x03\0\0user\0\xff\0\0");
    let Ok(Some(StartupPacket::Startup(startup))) = not_utf_8 else {
        panic!("{not_utf_8:?}");
    };
    assert_eq!(startup.parameter("user"), None);
    assert_eq!(startup.parameters()[0].1, &b"\xff"[..]);
}

#[test]
fn malformed_startup_packets() {
    const STARTUP: Error = Error::Malformed("StartupMessage");
    const CANCEL: Error = Error::Malformed("CancelRequest");
    let version = |major, minor| Error::ProtocolVersion { major, minor };
    for (body, error) in [
        (&b"\0\x03\0\0"[..], STARTUP),
        (b"\0\x03\0\0user\0", STARTUP),
        (b"\0\x03\0\0user\0bob", STARTUP),
        (b"\0\x03\0\0user\0bob\0", STARTUP),
        (b"\0\x03\0\0user\0bob\0\0\0", STARTUP),
        (b"\0\x03\0\0\0user\0bob\0\0", STARTUP),
        // Which of two users would it be?
        (b"\0\x03\0\0user\0bob\0user\0eve\0\0", STARTUP),
        (b"\0\x02\0\0user\0bob\0\0", version(2, 0)),
        (b"\0\x04\0\x01user\0bob\0\0", version(4, 1)),
        (b"\0\0\0\0", version(0, 0)),
        (b"\xff\xff\xff\xff", version(0xffff, 0xffff)),
        (b"\x04\xd2\x16\x2e", CANCEL),
        (b"\x04\xd2\x16\x2e\0\0\0\x01abc", CANCEL),
        (b"\x04\xd2\x16\x2f\0", Error::Malformed("SSLRequest")),
        (b"\x04\xd2\x16\x30\0", Error::Malformed("GSSENCRequest")),
    ] {
        assert_eq!(startup_packet(body), Err(error), "{body:?}");
    }
    let cancel =
        |key: usize| startup_packet(&[b"\x04\xd2\x16\x2e\0\0\0\x01", &vec![7; key][..]].concat());
    assert!(cancel(256).is_ok());
    assert_eq!(cancel(257), Err(CANCEL));

    let parameters = |count: usize| {
        let parameters: String = (0..count).map(|name| format!("{name}\0x\0")).collect();
        startup_packet(&[b"\0\x03\0\0", parameters.as_bytes(), b"\0"].concat())
    };
    assert!(parameters(128).is_ok());
    assert_eq!(parameters(129), Err(STARTUP));
}

#[test]
fn startup_packets_have_8_to_10000_bytes() {
    for claimed in [0, 4, 7, 10_001, u32::MAX] {
        let error = Error::Length {
            claimed,
            limit: MAX_STARTUP_PACKET_LENGTH,
        };
        let mut buffer = BytesMut::from(&claimed.to_be_bytes()[..]);
        assert_eq!(StartupPacket::read(&mut buffer), Err(error));
    }
    let mut buffer = BytesMut::from(&10_000_u32.to_be_bytes()[..]);
    assert_eq!(StartupPacket::read(&mut buffer), Ok(None));
}

#[test]
fn answers_to_an_ssl_request() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'S' => Ok(SslResponse::Accepted),
            b'N' => Ok(SslResponse::Refused),
            b'E' => Ok(SslResponse::Error),
            _ => Err(Error::SslResponse(byte)),
        };
        assert_eq!(SslResponse::parse(byte), expected);
    }
}

#[test]
fn what_cannot_be_sent() {
    assert_eq!(
        password_message("a\0b"),
        Err(Error::Unsendable("PasswordMessage"))
    );
    assert_eq!(
        sasl_initial_response("SCRAM\0", b""),
        Err(Error::Unsendable("SASLInitialResponse"))
    );
    assert!(sasl_response(&[7; 8_192]).is_ok());
    assert_eq!(
        sasl_response(&[7; 8_193]),
        Err(Error::Unsendable("SASLResponse"))
    );
    assert!(password_message(&"x".repeat(8_192)).is_err());
    assert!(sasl_initial_response("X", &[7; 8_192]).is_err());
}
