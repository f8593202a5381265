//! What a server says: as PostgreSQL says it, and as nobody should.

use bytes::Bytes;

use super::*;

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
