use sha2::{Digest, Sha256};

use super::super::{Error, verify_server_final};

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
