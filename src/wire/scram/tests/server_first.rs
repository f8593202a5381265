//! Challenges that must be refused, each for its own reason, and what is just within the bounds.

use proptest::prelude::*;

use super::{
    super::{Error, Keys, Limits, verify_server_final},
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
