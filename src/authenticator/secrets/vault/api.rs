//! Requests to Vault, and what its answers mean.

use std::{sync::Arc, time::Duration};

use ::http::HeaderValue;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::super::{
    Trouble, Unavailable,
    https::{Answer, Https, answer, trouble},
};
use crate::{authenticator::metrics::Metrics, error::printable};

/// One Vault.
pub(super) struct Api {
    https: Arc<Https>,
    address: String,
    namespace: Option<HeaderValue>,
}

/// An answer of one that is in order.
pub(super) enum Reply {
    Good(Zeroizing<Vec<u8>>),
    /// With what it says about it; nothing where there just is no such secret.
    Absent(String),
    Denied(String),
}

const TOKEN: &str = "x-vault-token";
const NAMESPACE: &str = "x-vault-namespace";
/// Without it, an agent before Vault does not pass requests on.
const REQUEST: &str = "x-vault-request";

/// Within it, a token that one of Vault's nodes granted is known to the others.
const SPREADS: Duration = Duration::from_millis(200);

impl Api {
    pub(super) fn new(https: Https, address: String, namespace: Option<HeaderValue>) -> Self {
        Api {
            https: Arc::new(https),
            address,
            namespace,
        }
    }

    pub(super) fn keep_current(&self, metrics: &Arc<Metrics>, end: &CancellationToken) {
        self.https.keep_current(metrics, end);
    }

    pub(super) async fn get(&self, token: &HeaderValue, path: &str) -> Result<Reply, Unavailable> {
        reply(self.answer_to(self.getting(token, path)).await?)
    }

    /// The same with a token that was granted a moment ago. The node that answers may not have heard
    /// of it yet, and then denies it as it would a stranger: so it is asked once more.
    pub(super) async fn get_by_new(
        &self,
        token: &HeaderValue,
        path: &str,
    ) -> Result<Reply, Unavailable> {
        let answer = self.answer_to(self.getting(token, path)).await?;
        if !matches!(answer.status.as_u16(), 403 | 412) {
            return reply(answer);
        }
        tokio::time::sleep(SPREADS).await;
        self.get(token, path).await
    }

    pub(super) async fn post(
        &self,
        token: Option<&HeaderValue>,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Reply, Unavailable> {
        let mut request = self
            .https
            .post(&self.url(path), body.to_string().into_bytes());
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        reply(self.answer_to(request).await?)
    }

    fn getting(&self, token: &HeaderValue, path: &str) -> reqwest::RequestBuilder {
        self.https.get(&self.url(path)).header(TOKEN, token)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.address)
    }

    async fn answer_to(&self, mut request: reqwest::RequestBuilder) -> Result<Answer, Unavailable> {
        request = request.header(REQUEST, "true");
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        answer(request).await
    }
}

pub(super) fn reply(answer: Answer) -> Result<Reply, Unavailable> {
    let said = || Said::read(&answer.body).text();
    // The second is what a node says that waits for another one to upgrade it.
    let upgrading = |said: &str| {
        said.starts_with("Upgrading") || said.starts_with("Waiting for the primary to upgrade")
    };
    match answer.status.as_u16() {
        200..=299 => Ok(Reply::Good(answer.body)),
        404 => Ok(Reply::Absent(said())),
        400 if upgrading(&said()) => Err(Unavailable::new(
            Trouble::Unreachable,
            "the KV engine is being upgraded",
        )),
        // Of a cluster in which nodes answer that follow another.
        412 => Err(Unavailable::new(
            Trouble::Unreachable,
            "this node does not know the token yet",
        )),
        503 if said().contains("sealed") => Err(Unavailable::new(Trouble::Sealed, "it is sealed")),
        status => Err(match trouble(answer.status) {
            Some(trouble) => trouble,
            // It says 400 to a secret id that it does not know, and 403 to a token.
            None => return Ok(Reply::Denied(format!("it answers {status}: {}", said()))),
        }),
    }
}

/// What comes with an answer that is not what was asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    errors: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// For the operator: a few lines at most, and none of them a line of the log.
    fn text(self) -> String {
        let all = self.errors.into_iter().chain(self.warnings).flatten();
        let text: Vec<_> = all.take(3).map(|line| printable(line.trim())).collect();
        text.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn of(status: u16, body: &str) -> String {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        match reply(answer) {
            Ok(Reply::Good(_)) => "good".to_owned(),
            Ok(Reply::Absent(said)) => format!("absent {said}"),
            Ok(Reply::Denied(said)) => format!("denied {said}"),
            Err(unavailable) => format!("{:?} {unavailable}", unavailable.trouble),
        }
    }

    #[test]
    fn answers_are_told_apart() {
        for (status, body, means) in [
            (200, "{}", "good"),
            (404, r#"{"errors":[]}"#, "absent "),
            (
                404,
                r#"{"errors":["no handler for route \"x\""]}"#,
                "absent no handler",
            ),
            (
                404,
                r#"{"data":null,"warnings":["Invalid path for a versioned K/V"]}"#,
                "absent Invalid path",
            ),
            (
                403,
                r#"{"errors":["permission denied"]}"#,
                "denied it answers 403",
            ),
            (
                400,
                r#"{"errors":["invalid role or secret ID"]}"#,
                "denied it answers 400",
            ),
            (
                400,
                r#"{"errors":["Upgrading from non-versioned to versioned data."]}"#,
                "Unreachable the KV engine",
            ),
            (
                400,
                r#"{"errors":["Waiting for the primary to upgrade from non-versioned to versioned data."]}"#,
                "Unreachable the KV engine",
            ),
            (
                412,
                r#"{"errors":["required index state not present"]}"#,
                "Unreachable this node does not know the token yet",
            ),
            (503, r#"{"errors":["Vault is sealed"]}"#, "Sealed"),
            (503, "", "Unreachable it answers 503"),
            (500, "{}", "Unreachable it answers 500"),
            (502, "<html>", "Unreachable it answers 502"),
            (429, "", "Throttled"),
            (307, "", "Unreachable it answers 307"),
            (301, "", "Unreachable it answers 301"),
        ] {
            let found = of(status, body);
            assert!(found.starts_with(means), "{status} {body}: {found}");
        }
    }

    #[test]
    fn what_it_says_is_no_line_of_the_log() {
        let body = r#"{"errors":["a\nb\u001b[2J"]}"#;
        assert!(!of(403, body).contains(['\n', '\u{1b}']));
    }
}
