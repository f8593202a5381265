//! The registry, and what is in it before anything is counted.

use prometheus_client::{
    metrics::MetricType,
    registry::{Metric, Registry},
};

/// A registry that tells what it holds. By itself it knows a family only once it has members.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    registry: Registry,
    entries: Vec<Entry>,
}

/// A metric that may come.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it was registered: without what its type appends.
    pub(super) name: String,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
}

impl Catalogue {
    pub(super) fn register(
        &mut self,
        name: impl Into<String>,
        help: &'static str,
        metric: impl Metric,
    ) {
        let (name, kind) = (name.into(), metric.metric_type());
        self.registry.register(&name, help, metric);
        self.entries.push(Entry { name, help, kind });
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
