//! Messages as PostgreSQL writes them, as postgres-protocol reads and writes them, and as nobody
//! should.

use bytes::{BufMut as _, Bytes, BytesMut};
use postgres_protocol::message::{backend, frontend};
use proptest::prelude::*;

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

#[test]
fn authentication_requests() {
    for (body, expected) in [
        (&b"\0\0\0\0"[..], Authentication::Ok),
        (b"\0\0\0\x02", Authentication::Other(2)),
        (b"\0\0\0\x03", Authentication::CleartextPassword),
        (
            b"\0\0\0\x05\x01\x02\x03\x04",
            Authentication::Md5Password { salt: [1, 2, 3, 4] },
        ),
        (b"\0\0\0\x06\x01\x02", Authentication::Other(6)),
        (b"\0\0\0\x07", Authentication::Gss),
        (b"\0\0\0\x08token", Authentication::Other(8)),
        (b"\0\0\0\x09", Authentication::Sspi),
        (
            b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
            Authentication::Sasl {
                mechanisms: vec!["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()],
            },
        ),
        (
            b"\0\0\0\x0br=x",
            Authentication::SaslContinue(Bytes::from_static(b"r=x")),
        ),
        (b"\0\0\0\x0b", Authentication::SaslContinue(Bytes::new())),
        (
            b"\0\0\0\x0cv=x",
            Authentication::SaslFinal(Bytes::from_static(b"v=x")),
        ),
        (b"\xff\xff\xff\xff", Authentication::Other(-1)),
        (b"\0\0\0\x0d", Authentication::Other(13)),
    ] {
        assert_eq!(read_authentication(body), Ok(expected), "{body:?}");
    }
}

#[test]
fn malformed_authentication_requests() {
    for body in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\0\0",
        b"\0\0\0\x03\0",
        b"\0\0\0\x05",
        b"\0\0\0\x05\x01\x02\x03",
        b"\0\0\0\x05\x01\x02\x03\x04\x05",
        b"\0\0\0\x07token",
        b"\0\0\0\x09token",
        b"\0\0\0\x0a",
        b"\0\0\0\x0a\0",
        b"\0\0\0\x0a\0\0",
        b"\0\0\0\x0aSCRAM-SHA-256",
        b"\0\0\0\x0aSCRAM-SHA-256\0",
        b"\0\0\0\x0aSCRAM-SHA-256\0\0\0",
        b"\0\0\0\x0aSCRAM-SHA-256\0\0SCRAM-SHA-256-PLUS\0\0",
        b"\0\0\0\x0ascram-sha-256\0\0",
        b"\0\0\0\x0aSCRAM\x1b[31m\0\0",
        b"\0\0\0\x0a\xff\0\0",
        b"\0\0\0\x0aA-MECHANISM-OF-21-CH.\0\0",
        b"\0\0\0\x0aA-MECHANISM-OF-21-CHA\0\0",
    ] {
        assert!(
            matches!(read_authentication(body), Err(Error::Malformed(_))),
            "{body:?}"
        );
    }
}

#[test]
fn at_most_16_mechanisms() {
    let offer = |count: usize| [b"\0\0\0\x0a", &b"X\0".repeat(count)[..], b"\0"].concat();
    assert!(read_authentication(&offer(16)).is_ok());
    assert_eq!(
        read_authentication(&offer(17)),
        Err(Error::Malformed("AuthenticationSASL"))
    );
}

#[test]
fn an_error_of_postgresql() {
    let body = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"bob\"\0\
        Fauth.c\0L335\0Rauth_failed\0\0";
    let fields = read_fields(body).unwrap();
    assert_eq!(fields.sqlstate(), Some("28P01"));
    assert_eq!(fields.severity().unwrap(), "FATAL");
    assert_eq!(
        fields.message().unwrap(),
        "password authentication failed for user \"bob\""
    );
    assert_eq!(fields.detail(), None);
    assert_eq!(fields.get(b'L').unwrap(), "335");
    assert_eq!(*fields.raw(), message(b'E', body));
    assert_eq!(
        format!("{fields:?}"),
        "Fields { severity: Some(\"FATAL\"), sqlstate: Some(\"28P01\"), message: \
         Some(\"password authentication failed for user \\\"bob\\\"\"), .. }"
    );
}

#[test]
fn errors_in_another_language_and_encoding() {
    let fields =
        read_fields(b"S\xd4\xc1\xd4\xc1\xcc\xd8\0VFATAL\0C3D000\0M\xff\0Dd\0Hh\0\0").unwrap();
    assert_eq!(fields.severity().unwrap(), "FATAL");
    assert_eq!(fields.message().unwrap(), "\u{fffd}");
    assert_eq!(
        (fields.detail().unwrap(), fields.hint().unwrap()),
        ("d".into(), "h".into())
    );
    let before_9_6 = read_fields(b"SFATAL\0\0").unwrap();
    assert_eq!(before_9_6.severity().unwrap(), "FATAL");
    assert_eq!(before_9_6.sqlstate(), None);
}

#[test]
fn a_sqlstate_has_its_form_or_is_none() {
    for code in [
        &b""[..],
        b"28P0",
        b"28P011",
        b"28p01",
        b"28P0\n",
        b"\xff\xff\xff\xff\xff",
    ] {
        let fields = read_fields(&[b"C", code, b"\0\0"].concat()).unwrap();
        assert_eq!(fields.sqlstate(), None, "{code:?}");
    }
    let twice = read_fields(b"C28P01\0C00000\0\0").unwrap();
    assert_eq!(twice.sqlstate(), Some("28P01"), "the first one counts");
}

#[test]
fn malformed_errors() {
    for body in [
        &b""[..],
        b"C28P01\0",
        b"C28P01",
        b"C",
        b"\0\0",
        b"C28P01\0\0\0",
        b"\0C28P01\0\0",
    ] {
        assert_eq!(
            read_fields(body),
            Err(Error::Malformed("ErrorResponse or NoticeResponse")),
            "{body:?}"
        );
    }
    assert!(read_fields(&[&b"Mx\0".repeat(64)[..], b"\0"].concat()).is_ok());
    assert!(read_fields(&[&b"Mx\0".repeat(65)[..], b"\0"].concat()).is_err());
}

#[test]
fn notices_negotiation_and_the_rest() {
    let notice = read(&message(b'N', b"SWARNING\0Mwatch out\0\0")).unwrap();
    let Some(BackendMessage::NoticeResponse(fields)) = notice else {
        panic!("{notice:?}");
    };
    assert_eq!(fields.severity().unwrap(), "WARNING");

    let negotiation = b"\0\x03\0\0\0\0\0\x02_pq_.one\0_pq_.two\0";
    let negotiation = read(&message(b'v', negotiation)).unwrap();
    let Some(BackendMessage::NegotiateProtocolVersion(negotiation)) = negotiation else {
        panic!("{negotiation:?}");
    };
    assert_eq!(negotiation.minor_version(), 0);
    assert_eq!(negotiation.unrecognized_options(), ["_pq_.one", "_pq_.two"]);

    let other = read(b"Z\0\0\0\x05I").unwrap();
    let Some(BackendMessage::Other(frame)) = other else {
        panic!("{other:?}");
    };
    assert_eq!((frame.tag(), frame.body()), (b'Z', &b"I"[..]));
    assert_eq!(&frame.raw()[..], b"Z\0\0\0\x05I");
    assert_eq!(format!("{frame:?}"), "Frame { tag: 'Z', length: 6, .. }");
    assert_eq!(&frame.into_raw()[..], b"Z\0\0\0\x05I");
}

#[test]
fn malformed_negotiations() {
    for body in [
        &b""[..],
        b"\0\x03\0\0",
        b"\0\x03\0\0\0\0\0\x01",
        b"\0\x03\0\0\0\0\0\x01x",
        b"\0\x03\0\0\0\0\0\0x\0",
        b"\0\x03\0\0\0\0\0\x02x\0",
        b"\0\x03\0\0\xff\xff\xff\xff",
        b"\0\x03\0\0\x7f\xff\xff\xff",
    ] {
        let error = Error::Malformed("NegotiateProtocolVersion");
        assert_eq!(read(&message(b'v', body)), Err(error), "{body:?}");
    }
    let options = |count: u8| {
        let names = b"x\0".repeat(count.into());
        read(&message(
            b'v',
            &[&[0, 3, 0, 0, 0, 0, 0, count], &names[..]].concat(),
        ))
    };
    assert!(options(64).is_ok());
    assert!(options(65).is_err());
}

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
fn no_challenge_is_printed() {
    for body in [&b"\0\0\0\x05abcd"[..], b"\0\0\0\x0babcd", b"\0\0\0\x0cabcd"] {
        let shown = format!("{:?}", read(&message(b'R', body)));
        assert!(!shown.contains("abcd") && !shown.contains("97"), "{shown}");
    }
    let cancel = startup_packet(b"\x04\xd2\x16\x2e\0\0\0\x01abcd").unwrap();
    assert_eq!(
        format!("{cancel:?}"),
        "Some(CancelRequest(CancelRequest(redacted)))"
    );
}

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

    #[test]
    fn startup_messages_written_by_postgres_protocol(
        parameters in proptest::collection::btree_map("[a-z_.]{1,9}", "[^\0]{0,20}", 0..9),
    ) {
        let mut written = BytesMut::new();
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(pairs, &mut written).unwrap();
        let Some(StartupPacket::Startup(startup)) = StartupPacket::read(&mut written).unwrap() else {
            panic!("no StartupMessage");
        };
        for (name, value) in &parameters {
            prop_assert_eq!(startup.parameter(name), Some(value.as_str()));
        }
        prop_assert_eq!(startup.parameters().len(), parameters.len());
    }

    #[test]
    fn answers_are_written_as_postgres_protocol_writes_them(
        response in "[^\0]{0,40}",
        mechanism in "[A-Z0-9-]{1,20}",
        data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut theirs = BytesMut::new();
        frontend::password_message(response.as_bytes(), &mut theirs).unwrap();
        prop_assert_eq!(password_message(&response).unwrap(), theirs);
        let mut theirs = BytesMut::new();
        frontend::sasl_initial_response(&mechanism, &data, &mut theirs).unwrap();
        prop_assert_eq!(sasl_initial_response(&mechanism, &data).unwrap(), theirs);
        let mut theirs = BytesMut::new();
        frontend::sasl_response(&data, &mut theirs).unwrap();
        prop_assert_eq!(sasl_response(&data).unwrap(), theirs);
    }

    /// Authentication requests mean the same to postgres-protocol, wherever it reads them at all.
    #[test]
    fn authentication_requests_as_postgres_protocol_reads_them(
        code in 0_u8..14,
        data in prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 4),
            "(SCRAM-SHA-256\0|OAUTHBEARER\0){1,3}\0".prop_map(String::into_bytes),
        ],
    ) {
        let request = message(b'R', &[&[0, 0, 0, code], &data[..]].concat());
        let theirs = backend::Message::parse(&mut BytesMut::from(&request[..]));
        let ours = match read(&request) {
            Ok(Some(BackendMessage::Authentication(ours))) => ours,
            // Stricter: postgres-protocol does not look into the list before it is iterated over.
            Err(_) => return Ok(()),
            other => panic!("{other:?}"),
        };
        use backend::Message as Theirs;
        let agree = match (theirs.ok().flatten(), &ours) {
            (Some(Theirs::AuthenticationOk), Authentication::Ok)
            | (Some(Theirs::AuthenticationCleartextPassword), Authentication::CleartextPassword)
            | (Some(Theirs::AuthenticationGss), Authentication::Gss)
            | (Some(Theirs::AuthenticationSspi), Authentication::Sspi) => true,
            (Some(Theirs::AuthenticationMd5Password(body)), Authentication::Md5Password { salt }) => {
                body.salt() == *salt
            }
            (Some(Theirs::AuthenticationSasl(body)), Authentication::Sasl { mechanisms }) => {
                use fallible_iterator::FallibleIterator as _;
                body.mechanisms().map(|name| Ok(name.to_owned())).collect::<Vec<_>>().unwrap()
                    == *mechanisms
            }
            (Some(Theirs::AuthenticationSaslContinue(body)), Authentication::SaslContinue(data)) => {
                body.data() == data
            }
            (Some(Theirs::AuthenticationSaslFinal(body)), Authentication::SaslFinal(data)) => {
                body.data() == data
            }
            (_, Authentication::Other(other)) => *other == i32::from(code),
            _ => false,
        };
        prop_assert!(agree, "{:?}", ours);
    }

    #[test]
    fn errors_as_postgres_protocol_reads_them(
        fields in proptest::collection::btree_map(proptest::char::range('A', 'Z'), "[^\0]{0,20}", 0..9),
    ) {
        let mut body: String = fields.iter().map(|(kind, value)| format!("{kind}{value}\0")).collect();
        body.push('\0');
        let raw = message(b'E', body.as_bytes());
        let ours = read_fields(body.as_bytes()).unwrap();
        let theirs = backend::Message::parse(&mut BytesMut::from(&raw[..])).unwrap();
        let Some(backend::Message::ErrorResponse(theirs)) = theirs else {
            panic!("no ErrorResponse");
        };
        use fallible_iterator::FallibleIterator as _;
        let mut theirs = theirs.fields();
        let mut count = 0;
        while let Some(field) = theirs.next().unwrap() {
            count += 1;
            let value = ours.get(field.type_()).unwrap();
            prop_assert_eq!(value.as_bytes(), field.value_bytes());
        }
        prop_assert_eq!(count, fields.len());
        prop_assert_eq!(&ours.raw()[..], &raw[..]);
    }
}
