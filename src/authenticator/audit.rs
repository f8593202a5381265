//! One line for each decision: in the log, on the target `approzium::audit`, or in a [`stream`] of
//! its own.
//!
//! A decision is: a session is granted or not; a proof is given for a database or not; a login
//! ended so or so. The reason is from a closed list. What a peer wrote is a string, which the log
//! escapes in both its forms.

mod lines;
mod reason;
pub(super) mod stream;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::stream::MAX_WAIT;
pub(crate) use self::{
    lines::AuditLines,
    reason::{Decision, Reason},
};
use super::{logging, metrics::Metrics, secrets::Method, target::Target, token::Session};
use crate::identity::VerifiedIdentity;

/// What is known of a request while it is decided on.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) call: &'static str,
    pub(crate) request_id: String,
    pub(crate) peer: SocketAddr,
    pub(crate) client_version: String,
    pub(crate) identity: Option<VerifiedIdentity>,
    /// The request that verified the identity.
    pub(crate) session: Option<String>,
    pub(crate) target: Option<Target>,
    /// What the database asked for.
    pub(crate) method: Option<Method>,
    /// What the client says it runs on: not verified.
    pub(crate) attribution: Vec<(String, String)>,
    lines: Arc<AuditLines>,
}

impl Audit {
    pub(crate) fn new(
        lines: Arc<AuditLines>,
        call: &'static str,
        request_id: String,
        peer: SocketAddr,
    ) -> Self {
        Audit {
            lines,
            call,
            request_id,
            peer,
            client_version: String::new(),
            identity: None,
            session: None,
            target: None,
            method: None,
            attribution: Vec::new(),
        }
    }

    pub(crate) fn belongs_to(&mut self, session: &Session) {
        self.identity = Some(session.identity.clone());
        self.session = Some(session.request_id.clone());
    }

    /// Counts the decision, and returns when its line is written: each has one, but for strangers who
    /// are refused too often (see [`lines`]).
    pub(crate) async fn decide(
        &self,
        metrics: &Metrics,
        decision: Decision,
        reason: Reason,
        detail: Option<&str>,
    ) {
        metrics.decision(decision, reason);
        let is_strangers = self.identity.is_none() && decision != Decision::Allowed;
        if is_strangers && !self.lines.admit(self.peer.ip(), Instant::now()) {
            return;
        }
        let Some(log) = &self.lines.log else {
            let line = || self.trace(decision, reason, detail, None);
            if logging::surely(line, MAX_WAIT).await.is_err() {
                metrics.audit_write_failed();
            }
            return;
        };
        let written = log.write(&self.line(decision, reason, detail));
        if let Err(error) = written.await {
            metrics.audit_write_failed();
            self.trace(decision, reason, detail, Some(&error.to_string()));
        }
    }

    fn line<'a>(&'a self, decision: Decision, reason: Reason, detail: Option<&'a str>) -> Line<'a> {
        let identity = self.identity.as_ref();
        let target = self.target.as_ref();
        Line {
            timestamp: now(),
            level: if reason.is_suspicious() {
                "WARN"
            } else {
                "INFO"
            },
            target: logging::AUDIT,
            message: "decision",
            request_id: &self.request_id,
            call: self.call,
            decision: decision.as_str(),
            reason: reason.as_str(),
            iam_arn: identity.map(|identity| identity.arn.as_str()),
            user_id: identity.map(|identity| identity.user_id.as_str()),
            session: self.session.as_deref(),
            peer: self.peer,
            dbhost: target.map(|target| target.host.as_str()),
            dbport: target.map(|target| target.port),
            dbuser: target.map(|target| target.user.as_str()),
            dbname: target.map(|target| target.database.as_str()),
            method: self.method.map(Method::as_str),
            client: Some(self.client_version.as_str()).filter(|version| !version.is_empty()),
            attribution: self
                .attribution
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            detail,
        }
    }

    /// The line in the log. One that could not be written elsewhere is an error.
    fn trace(
        &self,
        decision: Decision,
        reason: Reason,
        detail: Option<&str>,
        not_written: Option<&str>,
    ) {
        let identity = self.identity.as_ref();
        let target = self.target.as_ref();
        // Empty fields are left out: `Option` records nothing when there is nothing.
        macro_rules! line {
            ($level:ident) => {
                ::tracing::$level!(
                    target: logging::AUDIT,
                    request_id = %self.request_id,
                    call = self.call,
                    decision = decision.as_str(),
                    reason = reason.as_str(),
                    iam_arn = identity.map(|identity| identity.arn.as_str()),
                    user_id = identity.map(|identity| identity.user_id.as_str()),
                    session = self.session.as_deref(),
                    peer = %self.peer,
                    dbhost = target.map(|target| target.host.as_str()),
                    dbport = target.map(|target| target.port),
                    dbuser = target.map(|target| target.user.as_str()),
                    dbname = target.map(|target| target.database.as_str()),
                    client = Some(self.client_version.as_str()).filter(|version| !version.is_empty()),
                    method = self.method.map(Method::as_str),
                    attribution = (!self.attribution.is_empty())
                        .then(|| ::tracing::field::debug(&self.attribution)),
                    detail,
                    not_written,
                    "decision",
                )
            };
        }
        if not_written.is_some() {
            line!(error);
        } else if reason.is_suspicious() {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

fn now() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// The fields of the log's line, by the same names; what is not known is left out.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    request_id: &'a str,
    call: &'static str,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iam_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    peer: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dbhost: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dbport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dbuser: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dbname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    /// Not verified.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attribution: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}
