use proptest::prelude::*;

use super::*;

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";

fn document(result: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">{result}\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
}

fn result() -> String {
    format!(
        "<GetCallerIdentityResult><Arn>{ARN}</Arn><UserId>AROAX:pod-7f</UserId>\
         <Account>123456789012</Account></GetCallerIdentityResult>"
    )
}

fn ok(body: &str) -> Result<VerifiedIdentity, Rejection> {
    read(StatusCode::OK, Some("text/xml"), body.as_bytes())
}

#[test]
fn reads_the_document() {
    let identity = ok(&document(&result())).unwrap();
    assert_eq!(identity.arn, ARN);
    assert_eq!(identity.unique_id(), "AROAX");
    // AWS's own layout: indented, a line at the end.
    let spaced = document(&result()).replace("><", ">\n  <") + "\n";
    assert!(ok(&spaced).is_ok());
    // And a stand-in's.
    let declared = format!("<?xml version=\"1.0\"?>\n{}", document(&result()));
    assert!(ok(&declared).is_ok());
    let typed = |content_type| read(StatusCode::OK, content_type, document(&result()).as_bytes());
    assert!(typed(Some("Text/XML; charset=utf-8")).is_ok());
}

#[test]
fn refuses_everything_else() {
    let good = document(&result());
    let json = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{}}}"#;
    for (name, body) in [
        ("empty", String::new()),
        ("space first", format!(" {good}")),
        ("byte order mark first", format!("\u{feff}{good}")),
        ("JSON", json.to_owned()),
        ("JSON, then XML", format!("{json}{good}")),
        ("XML, then JSON", format!("{good}{json}")),
        ("two documents", format!("{good}{good}")),
        ("comment after", format!("{good}<!-- x -->")),
        ("comment before", format!("<!-- x -->{good}")),
        (
            "comment inside",
            document(&result()).replace("<Arn>", "<!-- x --><Arn>"),
        ),
        (
            "comment that splits a text",
            good.replace("checkout", "check<!-- x -->out"),
        ),
        ("instruction", format!("<?x y?>{good}")),
        (
            "document type",
            format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{good}"),
        ),
        ("two results", document(&(result() + &result()))),
        ("no result", document("")),
        (
            "text beside the result",
            document(&format!("x{}", result())),
        ),
        (
            "another element",
            document(&format!("{}<Arn>{ARN}</Arn>", result())),
        ),
        (
            "two Arns",
            good.replace("<UserId>", &format!("<Arn>{ARN}</Arn><UserId>")),
        ),
        (
            "no UserId",
            good.replace("<UserId>AROAX:pod-7f</UserId>", ""),
        ),
        ("empty Arn", good.replace(ARN, "")),
        (
            "element in the Arn",
            good.replace(ARN, &format!("<a>{ARN}</a>")),
        ),
        (
            "attribute on the Arn",
            good.replace("<Arn>", "<Arn a=\"b\">"),
        ),
        ("line in the Arn", good.replace(ARN, &format!("{ARN}\n"))),
        (
            "no namespace",
            good.replace(&format!(" xmlns=\"{NAMESPACE}\""), ""),
        ),
        (
            "another namespace",
            good.replace(NAMESPACE, "https://example.com/"),
        ),
        (
            "Arn of another namespace",
            good.replace("<Arn>", "<Arn xmlns=\"x\">"),
        ),
        (
            "another answer",
            good.replace("GetCallerIdentity", "GetSessionToken"),
        ),
        ("cut off", good.get(..good.len() - 3).unwrap().to_owned()),
        (
            "another Account",
            good.replace(">123456789012<", ">210987654321<"),
        ),
        (
            "Arn of no caller",
            good.replace("assumed-role/checkout/pod-7f", "role/checkout"),
        ),
        (
            "Arn of no identity",
            good.replace(ARN, "arn:aws:s3:::bucket"),
        ),
        ("wildcard", good.replace("checkout", "*")),
    ] {
        let rejection = ok(&body).unwrap_err();
        assert_eq!(
            rejection.reason(),
            "sts_unexpected_answer",
            "{name}: {rejection}"
        );
    }
    for content_type in [
        None,
        Some(""),
        Some("application/json"),
        Some("text/html"),
        Some("text/xmlx"),
    ] {
        let rejection = read(StatusCode::OK, content_type, good.as_bytes()).unwrap_err();
        assert_eq!(
            rejection.reason(),
            "sts_unexpected_answer",
            "{content_type:?}"
        );
    }
    let not_utf8 = read(StatusCode::OK, Some("text/xml"), b"<a>\xff</a>").unwrap_err();
    assert_eq!(not_utf8.reason(), "sts_unexpected_answer");
}

#[test]
fn tells_refusals_apart() {
    let error = |code: &str| {
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>m</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        )
    };
    for (status, body, reason) in [
        (403, error("SignatureDoesNotMatch"), "signature_mismatch"),
        (403, error("InvalidClientTokenId"), "credentials_refused"),
        (403, error("ExpiredToken"), "credentials_refused"),
        (403, error("AccessDenied"), "sts_refused"),
        (403, error("RegionDisabledException"), "sts_refused"),
        (403, String::new(), "sts_refused"),
        (403, document(&result()), "sts_refused"),
        (400, error("IncompleteSignature"), "sts_refused"),
        (400, error("Throttling"), "sts_throttled"),
        (400, error("RequestLimitExceeded"), "sts_throttled"),
        (503, error("Throttling"), "sts_throttled"),
        (429, String::new(), "sts_throttled"),
        (500, error("InternalFailure"), "sts_unavailable"),
        (503, error("ServiceUnavailable"), "sts_unavailable"),
        (502, "<html>".to_owned(), "sts_unavailable"),
        (301, document(&result()), "sts_unexpected_answer"),
        (204, String::new(), "sts_unexpected_answer"),
        (201, document(&result()), "sts_unexpected_answer"),
        (404, String::new(), "sts_unexpected_answer"),
        (400, "<html>".to_owned(), "sts_unexpected_answer"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let rejection = read(status, Some("text/xml"), body.as_bytes()).unwrap_err();
        assert_eq!(rejection.reason(), reason, "{status} {body}");
    }
}

#[test]
fn an_error_code_is_one_bounded_line() {
    let body = format!(
        "<ErrorResponse><Error><Code>a\n{}</Code></Error></ErrorResponse>",
        "x".repeat(1000)
    );
    let rejection = read(StatusCode::FORBIDDEN, None, body.as_bytes()).unwrap_err();
    let shown = rejection.to_string();
    assert!(shown.len() < 300 && !shown.contains('\n'), "{shown}");
}

proptest! {
    /// The document with one piece of it doubled, dropped or replaced is read as the same identity
    /// or not at all.
    #[test]
    fn no_mutation_becomes_another_identity(
        at in 0_usize..400,
        length in 0_usize..40,
        replacement in "[ -~]{0,12}",
    ) {
        let good = document(&result());
        let start = at.min(good.len());
        let end = (start + length).min(good.len());
        let mutated = format!("{}{replacement}{}", &good[..start], &good[end..]);
        if let Ok(identity) = ok(&mutated) {
            prop_assert_eq!(identity.principal.account(), "123456789012");
        }
        let _ = read(StatusCode::FORBIDDEN, None, mutated.as_bytes());
    }
}
