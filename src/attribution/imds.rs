//! The EC2 instance metadata service: version 2 with its session token, and version 1 where the
//! AWS SDKs fall back to it.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::OnceCell;

use super::{
    dmi::Verdict,
    findings::fit,
    http::{Endpoint, Failure},
    machine::Machine,
};

const TOKEN_LIFETIME: &str = "X-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "X-aws-ec2-metadata-token";

/// Where the service is by default, by `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE`.
const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";

pub(super) struct Imds {
    endpoint: Result<Endpoint, String>,
    v1_disabled: bool,
    cap: Duration,
    session: OnceCell<Result<Session, String>>,
}

enum Session {
    V2 { token: String },
    V1,
}

impl Imds {
    /// Decides whether the service may be asked at all, and where.
    ///
    /// `address` stands in for the link-local address. `cap` bounds each request.
    pub(super) async fn new(machine: &Machine, address: Option<&str>, cap: Duration) -> Self {
        Imds {
            endpoint: endpoint(machine, address).await,
            v1_disabled: machine.is_true("AWS_EC2_METADATA_V1_DISABLED"),
            cap,
            session: OnceCell::new(),
        }
    }

    /// A service that is not asked, and why.
    pub(super) fn unasked(why: String) -> Self {
        Imds {
            endpoint: Err(why),
            v1_disabled: true,
            cap: Duration::ZERO,
            session: OnceCell::new(),
        }
    }

    /// Why the service is not asked, if it is not.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.endpoint.as_ref().err().map(String::as_str)
    }

    /// Opens the session, once. Says whether it is one of version 2, which only AWS speaks.
    pub(super) async fn open(&self) -> Result<bool, String> {
        let endpoint = self.endpoint.as_ref().map_err(String::clone)?;
        let session = self
            .session
            .get_or_init(|| self.open_session(endpoint))
            .await;
        match session {
            Ok(session) => Ok(matches!(session, Session::V2 { .. })),
            Err(why) => Err(why.clone()),
        }
    }

    /// What stands at a path, or nothing if the service has nothing there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        self.open().await?;
        let endpoint = self.endpoint.as_ref().map_err(String::clone)?;
        let token = match self.session.get() {
            Some(Ok(Session::V2 { token })) => Some((TOKEN, token.as_str())),
            _ => None,
        };
        let answer = endpoint
            .get(path, token.as_slice(), self.cap)
            .await
            .map_err(|failure| format!("{endpoint}{path}: {failure}"))?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(format!("{endpoint}{path} answered {status}")),
        }
    }

    /// The same as one line of text.
    pub(super) async fn text(&self, path: &str) -> Result<Option<String>, String> {
        let body = self.get(path).await?;
        let text = body.and_then(|body| fit(std::str::from_utf8(&body).ok()?).map(str::to_owned));
        Ok(text)
    }

    async fn open_session(&self, endpoint: &Endpoint) -> Result<Session, String> {
        let lifetime = [(TOKEN_LIFETIME, "60")];
        let answer = endpoint.put("/latest/api/token", &lifetime, self.cap).await;
        // The SDKs' rule: a service that refuses tokens, or a token that does not come back (its
        // hop limit ends before a container), means version 1; anything else is a failure.
        let why = match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let token = std::str::from_utf8(&answer.body).ok().and_then(fit);
                return match token {
                    Some(token) => Ok(Session::V2 {
                        token: token.to_owned(),
                    }),
                    None => Err(format!("{endpoint} answered with no usable token")),
                };
            }
            Ok(answer) if matches!(answer.status.as_u16(), 403..=405) => {
                format!("{endpoint} answered {} to a token request", answer.status)
            }
            Ok(answer) => {
                let status = answer.status;
                return Err(format!("{endpoint} answered {status} to a token request"));
            }
            Err(failure @ Failure::Silence(_)) => format!(
                "{endpoint}: {failure} to a token request; inside a container the instance's \
                 metadata response hop limit must be at least 2"
            ),
            Err(failure) => return Err(format!("{endpoint}: {failure}")),
        };
        if self.v1_disabled {
            return Err(format!(
                "{why}; AWS_EC2_METADATA_V1_DISABLED forbids version 1"
            ));
        }
        Ok(Session::V1)
    }
}

async fn endpoint(machine: &Machine, address: Option<&str>) -> Result<Endpoint, String> {
    if machine.is_true("AWS_EC2_METADATA_DISABLED") {
        return Err("not asked: AWS_EC2_METADATA_DISABLED is true".to_owned());
    }
    // Who says where it is, says that it is there.
    if let Some(configured) = machine.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        return Endpoint::parse(&configured)
            .map_err(|why| format!("AWS_EC2_METADATA_SERVICE_ENDPOINT: {why}"));
    }
    if machine.variable("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        return Err("not asked: Lambda has no instance metadata".to_owned());
    }
    if machine.variable("AWS_EXECUTION_ENV").as_deref() == Some("AWS_ECS_FARGATE") {
        return Err("not asked: Fargate has no instance metadata".to_owned());
    }
    if let Verdict::Other(what) = machine.verdict().await {
        return Err(format!(
            "not asked: this machine is no EC2 instance ({what})"
        ));
    }
    let ipv6 = machine
        .variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
        .is_some_and(|mode| mode.trim().eq_ignore_ascii_case("ipv6"));
    Endpoint::parse(address.unwrap_or(if ipv6 { IPV6 } else { IPV4 }))
}
