//! Whether this replica can do its work now, part by part.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    audit::Reason,
    limits::locked,
    metrics::Metrics,
    secrets::{Secrets, Trouble},
};
use crate::error::printable;

/// Whoever asks again within it gets the same answer: strangers may ask, and it may cost a question
/// to a secrets manager.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Longer, and the secrets manager counts as not answering: probes do not wait for ever.
const PATIENCE: Duration = Duration::from_secs(3);

/// From when and until when a certificate is valid, in seconds since 1970.
pub(crate) type Validity = (u64, u64);

/// What is asked of a replica that is to be sent applications.
pub(crate) struct Readiness {
    secrets: Arc<dyn Secrets>,
    metrics: Arc<Metrics>,
    leaving: CancellationToken,
    /// Held while the secrets manager is asked: whoever comes meanwhile gets that answer.
    latest: Mutex<Option<(Instant, Result<(), Problem>)>>,
    /// What was last said of the certificate.
    certificate: std::sync::Mutex<&'static str>,
}

/// Why no records can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    trouble: Trouble,
    detail: String,
}

/// What was found. The body of `/v1/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    status: &'static str,
    /// `ok`, or the audit log's word for what is wrong.
    secrets: &'static str,
    certificate: &'static str,
    draining: bool,
}

impl State {
    pub(crate) fn is_ready(&self) -> bool {
        self.status == READY
    }
}

const READY: &str = "ready";
pub(crate) const OK: &str = "ok";

impl Readiness {
    pub(crate) fn new(
        secrets: Arc<dyn Secrets>,
        metrics: Arc<Metrics>,
        leaving: CancellationToken,
    ) -> Self {
        Readiness {
            secrets,
            metrics,
            leaving,
            latest: Mutex::new(None),
            certificate: std::sync::Mutex::new(OK),
        }
    }

    pub(crate) async fn state(&self) -> State {
        let secrets = match self.secrets().await {
            Ok(()) => OK,
            Err(problem) => Reason::from(problem.trouble).as_str(),
        };
        let certificate = self.certificate();
        let draining = self.is_draining();
        let is_ready = secrets == OK && matches!(certificate, OK | PLAINTEXT) && !draining;
        self.metrics.ready(is_ready);
        State {
            status: if is_ready { READY } else { "not_ready" },
            secrets,
            certificate,
            draining,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Cancelled once it drains, or is about to.
    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    async fn secrets(&self) -> Result<(), Problem> {
        let mut latest = self.latest.lock().await;
        if let Some((at, found)) = &*latest
            && at.elapsed() < GOOD_FOR
        {
            return found.clone();
        }
        let asked = tokio::time::timeout(PATIENCE, self.secrets.ready()).await;
        let found = match asked {
            Ok(ready) => ready.map_err(|unavailable| Problem {
                detail: printable(&unavailable.to_string()),
                trouble: unavailable.trouble,
            }),
            Err(_) => Err(Problem {
                trouble: Trouble::Slow,
                detail: "no answer in time".to_owned(),
            }),
        };
        let before = latest.take().map_or(Ok(()), |(_, before)| before);
        // Once for each change: probes come every few seconds.
        match &found {
            Err(Problem { trouble, detail }) if found != before => {
                ::tracing::warn!(?trouble, ?detail, "not ready: no records can be had");
            }
            Ok(()) if found != before => ::tracing::info!("records can be had again"),
            _ => {}
        }
        *latest = Some((Instant::now(), found.clone()));
        found
    }

    fn certificate(&self) -> &'static str {
        let found = certificate(self.metrics.validity(), SystemTime::now());
        let before = std::mem::replace(&mut *locked(&self.certificate), found);
        match found {
            _ if found == before => {}
            PLAINTEXT => {}
            OK => ::tracing::info!("the certificate is valid again"),
            _ => ::tracing::error!(
                certificate = found,
                "not ready: applications refuse the certificate (tls_cert_path)",
            ),
        }
        found
    }
}

const PLAINTEXT: &str = "plaintext";

/// `ok`, or why applications refuse it.
pub(crate) fn certificate(validity: Option<Validity>, now: SystemTime) -> &'static str {
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    match validity {
        None => PLAINTEXT,
        Some((from, _)) if now < from => "not_yet_valid",
        Some((_, until)) if now > until => "expired",
        Some(_) => OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_good_within_its_time_alone() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let validity = Some((100, 200));
        for (now, expected) in [
            (99, "not_yet_valid"),
            (100, OK),
            (200, OK),
            (201, "expired"),
        ] {
            assert_eq!(certificate(validity, at(now)), expected, "{now}");
        }
        assert_eq!(certificate(None, at(0)), PLAINTEXT);
    }
}
