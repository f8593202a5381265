//! What STS, or who plays it, answers: a status and a type in the first line, and the body. Nothing
//! is taken for an identity but one document that says so, of the right type and status.

#![no_main]

use approzium::fuzzing::identity::sts_answer;
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

const XML: Option<&str> = Some("text/xml");

fuzz_target!(|bytes: &[u8]| {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let (line, body) = bytes.split_at(line.unwrap_or(bytes.len()));
    let body = body.get(1..).unwrap_or_default();
    let (status, content_type) = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.split_once(' '))
        .unwrap_or(("200", "text/xml"));
    let status = StatusCode::from_bytes(status.as_bytes()).unwrap_or(StatusCode::OK);

    match sts_answer(status, Some(content_type), body) {
        Ok(_) => assert_eq!(status, StatusCode::OK),
        Err(rejection) => {
            let said = rejection.to_string();
            assert!(
                said.len() < 4096 && !said.contains(char::is_control),
                "{said:?}"
            );
        }
    }
    let Ok(identity) = sts_answer(StatusCode::OK, XML, body) else {
        return;
    };
    assert!(body.starts_with(b"<"));
    assert!(identity.arn.contains(identity.principal.account()));
    let document = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>",
        escaped(&identity.arn),
        escaped(&identity.user_id),
        identity.principal.account(),
    );
    assert_eq!(
        sts_answer(StatusCode::OK, XML, document.as_bytes()),
        Ok(identity)
    );

    for (status, content_type) in [
        (StatusCode::OK, None),
        (StatusCode::OK, Some("application/json")),
        (StatusCode::CREATED, XML),
        (StatusCode::FORBIDDEN, XML),
        (StatusCode::FOUND, XML),
    ] {
        assert!(sts_answer(status, content_type, body).is_err());
    }
    for (before, after) in [
        (&b" "[..], &b""[..]),
        (b"", b"<x/>"),
        (b"", body),
        (b"", b"{}"),
        (b"\xef\xbb\xbf", b""),
    ] {
        let body = [before, body, after].concat();
        assert!(sts_answer(StatusCode::OK, XML, &body).is_err());
    }
});

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
