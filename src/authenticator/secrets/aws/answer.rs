//! What Secrets Manager says.

use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    authenticator::secrets::{
        Record, Trouble, Unavailable,
        https::{Answer, trouble},
        parse::{Users, not_json},
        place::Place,
    },
    error::printable,
};

/// What Secrets Manager answers, and for what is no answer, whether other credentials may help.
pub(super) fn read(
    answer: &Answer,
    name: &str,
) -> Result<Option<Zeroizing<String>>, (Unavailable, bool)> {
    #[derive(Deserialize)]
    struct Secret {
        #[serde(rename = "SecretString")]
        text: Option<String>,
    }
    let unavailable = |trouble, detail: String| (Unavailable::new(trouble, detail), false);
    if answer.status.is_success() {
        let malformed = |what| unavailable(Trouble::Malformed, format!("{name}: {what}"));
        let secret: Secret =
            serde_json::from_slice(&answer.body).map_err(|_| malformed("no answer of its"))?;
        let text = secret.text.ok_or_else(|| malformed("it is not text"))?;
        return Ok(Some(Zeroizing::new(text)));
    }
    let (kind, message) = error(&answer.body);
    let said = || printable(&format!("{name}: {kind}: {message}"));
    match kind.as_str() {
        "ResourceNotFoundException" => Ok(None),
        "InvalidRequestException" if message.contains("marked for deletion") => Ok(None),
        "ThrottlingException" | "LimitExceededException" => {
            Err(unavailable(Trouble::Throttled, said()))
        }
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            Err((Unavailable::new(Trouble::Refused, said()), true))
        }
        _ => match trouble(answer.status) {
            Some(trouble) => Err((trouble, false)),
            None => Err(unavailable(Trouble::Refused, said())),
        },
    }
}

/// The name of an error, without its namespace, and what it says.
fn error(body: &[u8]) -> (String, String) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let kind = said.kind.rsplit('#').next().unwrap_or_default().to_owned();
    (kind, said.message)
}

pub(super) fn records(
    text: &str,
    place: &Place,
    name: &str,
) -> Result<Vec<Arc<Record>>, Unavailable> {
    let malformed =
        |problem: String| Unavailable::new(Trouble::Malformed, format!("{name}: {problem}"));
    let users: Users = serde_json::from_str(text).map_err(|error| malformed(not_json(&error)))?;
    users.records(place).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn of(status: u16, body: &str) -> (String, bool) {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        match read(&answer, "approzium/db@5432") {
            Ok(Some(text)) => (text.to_string(), false),
            Ok(None) => ("none".to_owned(), false),
            Err((unavailable, stale)) => (format!("{:?}", unavailable.trouble), stale),
        }
    }

    #[test]
    fn answers_are_told_apart() {
        for (status, body, means, stale) in [
            (200, r#"{"SecretString":"{}"}"#, "{}", false),
            (200, r#"{"SecretBinary":"e30="}"#, "Malformed", false),
            (200, "<html>", "Malformed", false),
            (
                400,
                r#"{"__type":"ResourceNotFoundException"}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"x#ResourceNotFoundException","message":"x"}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"InvalidRequestException","Message":"… was marked for deletion."}"#,
                "none",
                false,
            ),
            (
                400,
                r#"{"__type":"InvalidRequestException"}"#,
                "Refused",
                false,
            ),
            (
                400,
                r#"{"__type":"AccessDeniedException"}"#,
                "Refused",
                false,
            ),
            (400, r#"{"__type":"DecryptionFailure"}"#, "Refused", false),
            (
                400,
                r#"{"__type":"ExpiredTokenException"}"#,
                "Refused",
                true,
            ),
            (
                400,
                r#"{"__type":"ThrottlingException"}"#,
                "Throttled",
                false,
            ),
            (429, "", "Throttled", false),
            (
                500,
                r#"{"__type":"InternalServiceError"}"#,
                "Unreachable",
                false,
            ),
            (503, "", "Unreachable", false),
            (302, "", "Unreachable", false),
            (404, "", "Refused", false),
        ] {
            let found = of(status, body);
            assert_eq!(found, (means.to_owned(), stale), "{status} {body}");
        }
    }
}
