//! What can be counted without naming anyone: labels are closed sets.

mod catalogue;
mod export;
mod labels;
mod lost;
mod original;
mod reloads;
mod secrets_token;
mod sts;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
        info::Info,
    },
};

use self::{
    catalogue::Catalogue,
    export::Histograms,
    labels::{CacheLabels, DecisionLabels, MethodLabels, PhaseLabels},
    lost::{DroppedSpans, LostLines},
    original::Original,
    reloads::Reloads,
    secrets_token::SecretsToken,
    sts::Sts,
};
pub(crate) use self::{
    labels::{CacheAnswer, Ending, Phase},
    reloads::{File, Reading},
};
use super::{
    audit::{Decision, Reason},
    readiness::Validity,
    secrets::Method,
};

/// As the exposition format wants to be announced.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from a cached answer to a secrets manager at its slowest.
const BUCKETS: [f64; 13] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0,
];

/// The histograms.
const PHASES: &str = "approzium_phase_duration_seconds";
const HANDSHAKES: &str = "approzium_handshake_duration_seconds";

/// Every metric of one Authenticator.
pub(crate) struct Metrics {
    catalogue: Catalogue,
    /// Where they go besides.
    exported: OnceLock<Histograms>,
    original: Original,
    phases: Family<PhaseLabels, Histogram, fn() -> Histogram>,
    methods: Family<MethodLabels, Histogram, fn() -> Histogram>,
    decisions: Family<DecisionLabels, Counter>,
    cache: Family<CacheLabels, Counter>,
    refused_connections: Counter,
    secrets_token: SecretsToken,
    sts: Sts,
    streams: Gauge,
    reloads: Reloads,
    ready: Gauge,
    draining: AtomicBool,
    certificate: Certificate,
    client_ca: Certificate,
    audit_write_failures: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut catalogue = Catalogue::default();
        let original = Original::default();
        original.register(&mut catalogue);
        let phases: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let methods: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let (decisions, cache) = (Family::default(), Family::default());
        let refused_connections = Counter::default();
        let (streams, ready) = (Gauge::default(), Gauge::default());
        let reloads = Reloads::default();
        reloads.register(&mut catalogue);
        let secrets_token = SecretsToken::default();
        secrets_token.register(&mut catalogue);
        let sts = Sts::default();
        sts.register(&mut catalogue);
        let audit_write_failures = Counter::default();
        let certificate = Certificate::default();
        catalogue.register(
            "approzium_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain expires",
            certificate.clone(),
        );
        let client_ca = Certificate::default();
        catalogue.register(
            "approzium_client_ca_expiry_timestamp_seconds",
            "When the first authority of client certificates expires",
            client_ca.clone(),
        );
        catalogue.register(
            "approzium_build",
            "What runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        catalogue.register(
            PHASES,
            "Time of a part of the work, by how it ended",
            phases.clone(),
        );
        catalogue.register(
            HANDSHAKES,
            "Time of a handshake up to the proof, by what the database asked for",
            methods.clone(),
        );
        catalogue.register(
            "approzium_ready",
            "Whether records can be had, the certificate is valid, and it is not draining",
            ready.clone(),
        );
        catalogue.register(
            "approzium_audit_write_failures",
            "Audit lines that could not be written where they belong in time",
            audit_write_failures.clone(),
        );
        catalogue.register(
            "approzium_decisions",
            "Decisions, as in the audit log",
            decisions.clone(),
        );
        catalogue.register(
            "approzium_key_cache_lookups",
            "SCRAM keys looked up for a challenge",
            cache.clone(),
        );
        catalogue.register(
            "approzium_connections_refused",
            "Connections refused because there were too many",
            refused_connections.clone(),
        );
        catalogue.register(
            "approzium_streams",
            "Sessions and handshakes under way",
            streams.clone(),
        );
        catalogue.register(
            "approzium_spans_dropped",
            "Spans that the collector did not take",
            DroppedSpans,
        );
        catalogue.register(
            "approzium_log_lines_lost",
            "Lines of the log that standard error did not take",
            LostLines,
        );
        Metrics {
            catalogue,
            exported: OnceLock::new(),
            original,
            phases,
            methods,
            decisions,
            cache,
            refused_connections,
            secrets_token,
            sts,
            streams,
            reloads,
            ready,
            draining: AtomicBool::new(false),
            certificate,
            client_ca,
            audit_write_failures,
        }
    }
}

impl Metrics {
    /// The certificate in use, from now on.
    pub(crate) fn certificate(&self, validity: Option<Validity>) {
        self.certificate.0.store(Arc::new(validity));
    }

    /// The authorities of clients in use, from now on.
    pub(crate) fn client_ca(&self, validity: Option<Validity>) {
        self.client_ca.0.store(Arc::new(validity));
    }

    /// Of the certificate in use; none in plaintext.
    pub(crate) fn validity(&self) -> Option<Validity> {
        **self.certificate.0.load()
    }

    /// The text of `/v1/metrics/prometheus`.
    pub(crate) fn exposition(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, self.catalogue.registry())?;
        Ok(text)
    }

    pub(crate) fn request_began(&self) {
        self.original.requests.increment();
        self.streams.inc();
    }

    /// A call was answered as far as it is to be: granted, proved, or refused.
    pub(crate) fn request_ended(&self, phase: Phase, ending: Ending, took: Duration) {
        match ending {
            Ending::Ok => self.original.responses.increment(),
            Ending::Denied | Ending::Failed => self.original.error_responses.increment(),
        }
        self.original.request_milliseconds.set(took);
        self.phase(phase, ending, took);
    }

    /// Nothing of the call is left, a login's outcome included.
    pub(crate) fn stream_ended(&self) {
        self.streams.dec();
    }

    /// An identity was compared with what its client says.
    pub(crate) fn claim(&self, matches: bool) {
        self.original.identity_matching_attempts.increment();
        if !matches {
            self.original.identity_matching_failures.increment();
        }
    }

    /// A record was looked up, and an identity compared with it.
    pub(crate) fn authorization(&self, ending: Ending, took: Duration) {
        let original = &self.original;
        original.password_retrieval_attempts.increment();
        original.password_request_milliseconds.set(took);
        match ending {
            Ending::Failed => original.password_retrieval_failures.increment(),
            Ending::Ok | Ending::Denied => original.identity_matching_attempts.increment(),
        }
        if ending == Ending::Denied {
            original.identity_matching_failures.increment();
            original.password_retrieval_unauthorized.increment();
        }
        self.phase(Phase::Authorization, ending, took);
    }

    pub(crate) fn phase(&self, phase: Phase, outcome: Ending, took: Duration) {
        let labels = PhaseLabels { phase, outcome };
        self.phases
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if let Some(exported) = self.exported.get() {
            exported.phase(&labels, took);
        }
    }

    /// A handshake ended. Which method it is, only a challenge says.
    pub(crate) fn handshake(&self, method: Option<Method>, outcome: Ending, took: Duration) {
        let Some(method) = method else {
            return;
        };
        let labels = MethodLabels { method, outcome };
        self.methods
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if let Some(exported) = self.exported.get() {
            exported.handshake(&labels, took);
        }
    }

    pub(crate) fn ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
        // It may have begun to drain since it was looked at.
        if self.draining.load(Ordering::SeqCst) {
            self.ready.set(0);
        }
    }

    /// It is ready no more, whatever is found.
    pub(crate) fn draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.ready.set(0);
    }

    pub(crate) fn audit_write_failed(&self) {
        self.audit_write_failures.inc();
    }

    pub(crate) fn decision(&self, decision: Decision, reason: Reason) {
        self.decisions
            .get_or_create(&DecisionLabels { decision, reason })
            .inc();
    }

    pub(crate) fn cache(&self, result: CacheAnswer) {
        self.cache.get_or_create(&CacheLabels { result }).inc();
    }

    pub(crate) fn connection_refused(&self) {
        self.refused_connections.inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// As a metric, its expiry; nothing where there is none.
#[derive(Clone, Debug, Default)]
struct Certificate(Arc<ArcSwap<Option<Validity>>>);

impl EncodeMetric for Certificate {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match **self.0.load() {
            Some((_, until)) => encoder.encode_gauge(&i64::try_from(until).unwrap_or(i64::MAX)),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_originals_names_and_adds_labelled_ones() {
        let metrics = Metrics::default();
        metrics.certificate(Some((1, 4_102_444_800)));
        metrics.request_began();
        metrics.sts(Ending::Ok, Duration::from_millis(7));
        metrics.authorization(Ending::Denied, Duration::from_millis(1));
        metrics.decision(Decision::Denied, Reason::NoRecord);
        metrics.cache(CacheAnswer::Miss);
        metrics.request_ended(Phase::Handshake, Ending::Denied, Duration::from_millis(9));
        metrics.handshake(Some(Method::Md5), Ending::Ok, Duration::from_millis(2));
        metrics.handshake(None, Ending::Failed, Duration::from_millis(2));
        metrics.stream_ended();
        let text = metrics.exposition().unwrap();
        for line in [
            "approzium_total_requests 1",
            "approzium_total_error_responses 1",
            "approzium_total_identity_verification_attempts 1",
            "approzium_total_password_retrieval_unauthorized 1",
            "approzium_total_aws_request_milliseconds 7",
            "approzium_decisions_total{decision=\"denied\",reason=\"no_record\"} 1",
            "approzium_key_cache_lookups_total{result=\"miss\"} 1",
            "approzium_phase_duration_seconds_count{phase=\"sts\",outcome=\"ok\"} 1",
            "approzium_handshake_duration_seconds_count{method=\"md5\",outcome=\"ok\"} 1",
            "approzium_certificate_expiry_timestamp_seconds 4102444800",
            concat!(
                "approzium_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
            "approzium_streams 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
