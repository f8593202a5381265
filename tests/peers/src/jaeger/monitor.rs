//! What the Monitor tab asks of Jaeger, and Jaeger of its Prometheus.

use std::collections::BTreeMap;

use super::Query;
use crate::Result;

/// What the tab draws.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Spans each second.
    Calls,
    /// The share of them that failed, from 0 to 1.
    Errors,
    /// Milliseconds, for a quantile from 0 to 1.
    Latency(f64),
}

impl Query {
    /// The latest value of each operation of a service, of the last minute; `kind` is that of its
    /// spans: `client`, `server`.
    ///
    /// Empty until Prometheus has scraped twice.
    pub async fn monitor(
        &self,
        measure: Measure,
        service: &str,
        kind: &str,
    ) -> Result<BTreeMap<String, f64>> {
        let (path, quantile) = match measure {
            Measure::Calls => ("calls", None),
            Measure::Errors => ("errors", None),
            Measure::Latency(quantile) => ("latencies", Some(quantile.to_string())),
        };
        let mut parameters = vec![
            ("service", service),
            ("spanKind", kind),
            ("groupByOperation", "true"),
            ("lookback", "60000"),
            ("step", "1000"),
            ("ratePer", "60000"),
        ];
        parameters.extend(quantile.as_deref().map(|quantile| ("quantile", quantile)));
        let page = self.page(&format!("/api/metrics/{path}"), &parameters);
        let family = self.answer(page).await?;
        let series = family["metrics"].as_array().into_iter().flatten();
        Ok(series
            .filter_map(|series| {
                let label = series["labels"]
                    .as_array()?
                    .iter()
                    .find(|label| label["name"] == "operation")?;
                let value = series["metricPoints"].as_array()?.last()?;
                let value = value["gaugeValue"]["doubleValue"].as_f64()?;
                Some((label["value"].as_str()?.to_owned(), value))
            })
            .collect())
    }
}
