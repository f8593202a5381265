//! What must be refused, each for its own reason.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    super::{ChannelBinding, Error, Keys, Limits, Mechanism, Offer, verify_server_final},
    RFC_7677_NONCE, few_iterations, rfc_7677_client_first,
};

fn refusal(message: &[u8]) -> Option<Error> {
    rfc_7677_client_first()
        .server_first(message, &Limits::default())
        .err()
}

#[test]
fn server_first_messages() {
    const N: &str = RFC_7677_NONCE;
    for (message, error) in [
        // The order is r, s, i.
        (String::new(), Error::ExpectedAttribute('r')),
        (",".into(), Error::ExpectedAttribute('r')),
        ("r".into(), Error::ExpectedAttribute('r')),
        ("r=".into(), Error::ExpectedAttribute('r')),
        ("r=,s=c2FsdA==,i=4096".into(), Error::ExpectedAttribute('r')),
        (
            format!(" r={N}x,s=c2FsdA==,i=4096"),
            Error::ExpectedAttribute('r'),
        ),
        (
            format!("R={N}x,s=c2FsdA==,i=4096"),
            Error::ExpectedAttribute('r'),
        ),
        (
            format!("s=c2FsdA==,r={N}x,i=4096"),
            Error::ExpectedAttribute('r'),
        ),
        (
            format!("a=b,r={N}x,s=c2FsdA==,i=4096"),
            Error::ExpectedAttribute('r'),
        ),
        ("e=other-error".into(), Error::ExpectedAttribute('r')),
        (format!("r={N}x"), Error::ExpectedAttribute('s')),
        (format!("r={N}x,"), Error::ExpectedAttribute('s')),
        (
            format!("r={N}x,i=4096,s=c2FsdA=="),
            Error::ExpectedAttribute('s'),
        ),
        (
            format!("r={N}x,r={N}x,s=c2FsdA==,i=4096"),
            Error::ExpectedAttribute('s'),
        ),
        (format!("r={N}x,s=,i=4096"), Error::ExpectedAttribute('s')),
        (format!("r={N}x,s=c2FsdA=="), Error::ExpectedAttribute('i')),
        (
            format!("r={N}x,s=c2FsdA==,i="),
            Error::ExpectedAttribute('i'),
        ),
        (
            format!("r={N}x,s=c2FsdA==,x=y,i=4096"),
            Error::ExpectedAttribute('i'),
        ),
        (
            format!("r={N}x,s=c2FsdA==,s=c2FsdA==,i=4096"),
            Error::ExpectedAttribute('i'),
        ),
        // Mandatory extensions, wherever they stand.
        (
            format!("m=x,r={N}x,s=c2FsdA==,i=4096"),
            Error::MandatoryExtension,
        ),
        ("m=".into(), Error::MandatoryExtension),
        (
            format!("r={N}x,m=x,s=c2FsdA==,i=4096"),
            Error::MandatoryExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,m=x,i=4096"),
            Error::MandatoryExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,m=x"),
            Error::MandatoryExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,x=y,m=x"),
            Error::MandatoryExtension,
        ),
        // What is no extension.
        (
            format!("r={N}x,s=c2FsdA==,i=4096,"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,x"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,x="),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,xy=z"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,1=z"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,ä=z"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,x=y,,z=z"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,i=1"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,r={N}y"),
            Error::MalformedExtension,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096,p=cHJvb2Y="),
            Error::MalformedExtension,
        ),
        // Text.
        (format!("r={N}x,s=c2FsdA==,i=4096\0"), Error::NotText),
        (format!("r={N}\0x,s=c2FsdA==,i=4096"), Error::NotText),
        // The nonce.
        (format!("r={N},s=c2FsdA==,i=4096"), Error::NonceNotExtended),
        (format!("r=x{N},s=c2FsdA==,i=4096"), Error::NonceNotExtended),
        ("r=x,s=c2FsdA==,i=4096".into(), Error::NonceNotExtended),
        (
            format!("r={}x,s=c2FsdA==,i=4096", N.to_lowercase()),
            Error::NonceNotExtended,
        ),
        (
            format!("r={N} ,s=c2FsdA==,i=4096"),
            Error::NonceNotPrintable,
        ),
        (
            format!("r={N}\n,s=c2FsdA==,i=4096"),
            Error::NonceNotPrintable,
        ),
        (
            format!("r={N}\u{7f},s=c2FsdA==,i=4096"),
            Error::NonceNotPrintable,
        ),
        (
            format!("r={N}ä,s=c2FsdA==,i=4096"),
            Error::NonceNotPrintable,
        ),
        // The salt: base64 with its padding, standard alphabet, no stray bits.
        (format!("r={N}x,s=c2FsdA,i=4096"), Error::SaltNotBase64),
        (format!("r={N}x,s=c2FsdA=,i=4096"), Error::SaltNotBase64),
        (format!("r={N}x,s=c2FsdB==,i=4096"), Error::SaltNotBase64),
        (format!("r={N}x,s=c2 sdA==,i=4096"), Error::SaltNotBase64),
        (format!("r={N}x,s=-_-_,i=4096"), Error::SaltNotBase64),
        (format!("r={N}x,s====,i=4096"), Error::SaltNotBase64),
        // The iteration count: a decimal number without sign or leading zero.
        (
            format!("r={N}x,s=c2FsdA==,i=-1"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=+4096"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i= 4096"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4096 "),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=04096"),
            Error::IterationsNotNumber,
        ),
        (format!("r={N}x,s=c2FsdA==,i=0"), Error::IterationsNotNumber),
        (
            format!("r={N}x,s=c2FsdA==,i=0x1000"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4e3"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=4294967296"),
            Error::IterationsNotNumber,
        ),
        (
            format!("r={N}x,s=c2FsdA==,i=٤٠٩٦"),
            Error::IterationsNotNumber,
        ),
        (format!("r={N}x,s=c2FsdA==,i=1"), iterations(1)),
        (format!("r={N}x,s=c2FsdA==,i=4095"), iterations(4_095)),
        (format!("r={N}x,s=c2FsdA==,i=100001"), iterations(100_001)),
        (
            format!("r={N}x,s=c2FsdA==,i=4294967295"),
            iterations(u32::MAX),
        ),
    ] {
        assert_eq!(refusal(message.as_bytes()), Some(error), "{message:?}");
    }
    assert_eq!(refusal(b"r=\xff"), Some(Error::NotText));
}

fn iterations(requested: u32) -> Error {
    Error::Iterations {
        requested,
        allowed: 4_096..=100_000,
    }
}

#[test]
fn what_is_just_within_the_bounds() {
    for iterations in ["4096", "100000"] {
        let message = format!("r={RFC_7677_NONCE}x,s=c2FsdA==,i={iterations}");
        assert_eq!(refusal(message.as_bytes()), None);
    }
    let extended = format!("r={RFC_7677_NONCE}x,s=c2FsdA==,i=4096,x=y,Z=a=b,t=ä\u{1}");
    assert_eq!(refusal(extended.as_bytes()), None);
}

#[test]
fn the_salt_has_1_to_1024_bytes() {
    let message = |salt: &str| format!("r={RFC_7677_NONCE}x,s={salt},i=4096");
    let most = format!("{}AA==", "AAAA".repeat(341));
    assert_eq!(refusal(message(&most).as_bytes()), None);
    let too_many = format!("{}AAA=", "AAAA".repeat(341));
    assert_eq!(
        refusal(message(&too_many).as_bytes()),
        Some(Error::SaltLength {
            length: 1_025,
            allowed: 1..=1_024,
        })
    );
    let limits = Limits {
        salt_length: 8..=16,
        ..Limits::default()
    };
    assert_eq!(
        rfc_7677_client_first()
            .server_first(message("c2FsdA==").as_bytes(), &limits)
            .err(),
        Some(Error::SaltLength {
            length: 4,
            allowed: 8..=16,
        })
    );
}

#[test]
fn a_message_has_at_most_2048_bytes() {
    let mut message = format!("r={RFC_7677_NONCE}x,s=c2FsdA==,i=4096,x=").into_bytes();
    message.resize(2_048, b'y');
    assert_eq!(refusal(&message), None);
    message.push(b'y');
    let error = Error::MessageTooLong { limit: 2_048 };
    assert_eq!(refusal(&message), Some(error));
}

#[test]
fn keys_of_another_challenge_make_no_proof() {
    let server_first = || {
        let message = format!("r={RFC_7677_NONCE}x,s=c2FsdA==,i=2");
        rfc_7677_client_first()
            .server_first(message.as_bytes(), &few_iterations())
            .unwrap()
    };
    for (salt, iterations) in [(&b"salt"[..], 3), (b"SALT", 2), (b"", 2)] {
        let keys = Keys::derive(b"pencil", salt, iterations);
        let error = server_first().client_final(&keys).unwrap_err();
        assert_eq!(error, Error::KeysOfAnotherChallenge);
    }
    let keys = Keys::derive(b"pencil", b"salt", 2);
    assert!(server_first().client_final(&keys).is_ok());
}

#[test]
fn server_final_messages() {
    let digest = Sha256::digest([7; 32]);
    let good = "v=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(
        verify_server_final(good.as_bytes(), &digest).unwrap(),
        [7; 32]
    );
    let extended = format!("{good},x=y");
    assert_eq!(
        verify_server_final(extended.as_bytes(), &digest).unwrap(),
        [7; 32]
    );

    for (message, error) in [
        (String::new(), Error::ExpectedAttribute('v')),
        ("v".into(), Error::ExpectedAttribute('v')),
        ("v=".into(), Error::ExpectedAttribute('v')),
        (format!("x=y,{good}"), Error::ExpectedAttribute('v')),
        (format!("m=x,{good}"), Error::MandatoryExtension),
        (format!("{good},m=x"), Error::MandatoryExtension),
        (format!("{good},e=other-error"), Error::MalformedExtension),
        (format!("{good},{good}"), Error::MalformedExtension),
        (format!("{good},"), Error::MalformedExtension),
        (format!("{good}\0"), Error::NotText),
        ("e=invalid-proof".into(), Error::Server("invalid-proof")),
        ("e=invalid-proof,x=y".into(), Error::Server("invalid-proof")),
        ("e=\u{1b}[31mhello".into(), Error::Server("other-error")),
        (format!("e=unknown-user,{good}"), Error::MalformedExtension),
        ("e=".into(), Error::ExpectedAttribute('e')),
        ("v=BwcH".into(), Error::ServerSignatureMalformed),
        (
            format!("v=BwcH{}", &good[2..]),
            Error::ServerSignatureMalformed,
        ),
        ("v=not base64".into(), Error::ServerSignatureMalformed),
        (
            good.replace("BwcHB", "AwcHB"),
            Error::ServerSignatureMismatch,
        ),
        (
            "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
            Error::ServerSignatureMismatch,
        ),
        (
            format!("{good},x={}", "y".repeat(1_024)),
            Error::MessageTooLong { limit: 1_024 },
        ),
    ] {
        assert_eq!(
            verify_server_final(message.as_bytes(), &digest),
            Err(error),
            "{message:?}"
        );
    }
    for expected in [&[][..], &digest[..31], &[0; 32], &[7; 32]] {
        assert_eq!(
            verify_server_final(good.as_bytes(), expected),
            Err(Error::ServerSignatureMismatch)
        );
    }
}

#[test]
fn mechanisms() {
    const PLAIN: &str = "SCRAM-SHA-256";
    const PLUS: &str = "SCRAM-SHA-256-PLUS";
    let digest = || Some(vec![7; 32]);
    let bound = ChannelBinding::TlsServerEndPoint(vec![7; 32]);
    for (tls, data, require, offered, selected) in [
        // PLUS where it can be had, in whatever order it is offered.
        (
            true,
            digest(),
            false,
            &[PLUS, PLAIN][..],
            Ok((PLUS, bound.clone())),
        ),
        (
            true,
            digest(),
            true,
            &[PLAIN, PLUS],
            Ok((PLUS, bound.clone())),
        ),
        (true, digest(), false, &[PLUS], Ok((PLUS, bound))),
        // Not offered: `y` says that we would have.
        (
            true,
            digest(),
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotOffered)),
        ),
        // Offered, but this client cannot.
        (
            true,
            None,
            false,
            &[PLUS, PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (true, None, false, &[PLUS], Err(Error::NoMechanism)),
        // Without TLS there is nothing to bind to.
        (
            false,
            None,
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (
            false,
            digest(),
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (
            false,
            digest(),
            false,
            &[PLUS, PLAIN],
            Err(Error::PlusWithoutTls),
        ),
        (
            false,
            None,
            true,
            &[PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        // Required.
        (
            true,
            digest(),
            true,
            &[PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        (
            true,
            None,
            true,
            &[PLUS, PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        // Names are compared as they are.
        (true, digest(), false, &[], Err(Error::NoMechanism)),
        (
            true,
            None,
            false,
            &["scram-sha-256"],
            Err(Error::NoMechanism),
        ),
        (
            true,
            None,
            false,
            &["SCRAM-SHA-1", "OAUTHBEARER"],
            Err(Error::NoMechanism),
        ),
        // A digest is as long as digests are.
        (
            true,
            Some(vec![]),
            false,
            &[PLUS],
            Err(Error::ChannelBindingData),
        ),
        (
            true,
            Some(vec![7; 27]),
            false,
            &[PLAIN],
            Err(Error::ChannelBindingData),
        ),
        (
            true,
            Some(vec![7; 65]),
            false,
            &[PLUS],
            Err(Error::ChannelBindingData),
        ),
    ] {
        let case = format!("{tls} {data:?} {require} {offered:?}");
        let offer = Offer {
            tls,
            tls_server_end_point: data,
            require_channel_binding: require,
        };
        let selected = selected.map(|(name, channel_binding)| {
            let mechanism = match name {
                PLUS => Mechanism::ScramSha256Plus,
                _ => Mechanism::ScramSha256,
            };
            assert_eq!(mechanism.to_string(), name);
            (mechanism, channel_binding)
        });
        assert_eq!(offer.select(offered.iter().copied()), selected, "{case}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(refusal(&bytes).is_some());
        prop_assert!(verify_server_final(&bytes, &[7; 32]).is_err());
    }

    #[test]
    fn no_text_panics(text in "([a-z]=[ -~ä]{0,40},?){0,6}") {
        let _ = refusal(text.as_bytes());
        let _ = refusal(format!("r={RFC_7677_NONCE}{text}").as_bytes());
        let _ = verify_server_final(text.as_bytes(), &[7; 32]);
    }

    /// Whatever is accepted has a nonce that extends ours and numbers within the limits.
    #[test]
    fn what_is_accepted_is_within_the_limits(
        nonce in "[ -~]{0,4}",
        salt in "[A-Za-z+/]{0,12}={0,2}",
        iterations in "[0-9]{1,7}",
        extensions in "(,[a-z]=[ -~]{0,3}){0,2}",
    ) {
        let message = format!("r={RFC_7677_NONCE}{nonce},s={salt},i={iterations}{extensions}");
        let limits = Limits::default();
        if let Ok(accepted) = rfc_7677_client_first().server_first(message.as_bytes(), &limits) {
            prop_assert!(!nonce.is_empty() && !nonce.contains([' ', ',']));
            prop_assert!(limits.salt_length.contains(&accepted.salt().len()));
            prop_assert!(limits.iterations.contains(&accepted.iterations()));
            prop_assert!(!extensions.contains("m="));
        }
    }
}
