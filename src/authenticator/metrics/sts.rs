//! What was asked of STS, and how that went.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::{Ending, Metrics, Phase, catalogue::Catalogue};

/// A name of the table of regions: a caller can choose one, and write none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    region: &'static str,
}

#[derive(Default)]
pub(super) struct Sts {
    throttled: Counter,
    retries: Counter,
    circuits: Family<Labels, Gauge>,
    opened: Family<Labels, Counter>,
}

impl Sts {
    pub(super) fn register(&self, catalogue: &mut Catalogue) {
        catalogue.register(
            "approzium_sts_throttled",
            "Calls that STS, or the bound on calls to it, refused for their number",
            self.throttled.clone(),
        );
        catalogue.register(
            "approzium_sts_retries",
            "Calls to STS that were made again because it throttled",
            self.retries.clone(),
        );
        catalogue.register(
            "approzium_sts_circuit_open",
            "Whether the STS of a region is left alone because it does not answer",
            self.circuits.clone(),
        );
        catalogue.register(
            "approzium_sts_circuit_opens",
            "How often the STS of a region was found not to answer",
            self.opened.clone(),
        );
    }
}

impl Metrics {
    /// An identity was verified or not, after as many calls as that took.
    pub(crate) fn sts(&self, ending: Ending, took: Duration) {
        self.original.identity_verification_attempts.increment();
        if ending != Ending::Ok {
            self.original.identity_verification_failures.increment();
        }
        self.original.aws_request_milliseconds.set(took);
        self.phase(Phase::Sts, ending, took);
    }

    pub(crate) fn sts_throttled(&self) {
        self.sts.throttled.inc();
    }

    pub(crate) fn sts_retried(&self) {
        self.sts.retries.inc();
    }

    pub(crate) fn sts_circuit(&self, region: &'static str, is_open: bool) {
        let circuit = self.sts.circuits.get_or_create(&Labels { region });
        circuit.set(i64::from(is_open));
    }

    pub(crate) fn sts_circuit_opened(&self, region: &'static str) {
        self.sts_circuit(region, true);
        self.sts.opened.get_or_create(&Labels { region }).inc();
    }
}
