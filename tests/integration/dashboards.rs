//! What is in `dashboards/`, on the real servers that it is for.

mod monitor;
mod rules;

use std::path::Path;

use approzium_peers::{Jaeger, Prometheus, Result};

/// The folder of this repository that is tested here.
fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards"))
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `docker-compose.jaeger.yml` starts, without Docker.
struct Stack {
    // Jaeger goes before the Prometheus that it asks: fields are dropped in order.
    jaeger: Jaeger,
    prometheus: Prometheus,
}

impl Stack {
    /// With more jobs for Prometheus than the file has.
    async fn start(jobs: &str) -> Result<Self> {
        let prometheus = Prometheus::start().await?;
        let jaeger = Jaeger::monitored(prometheus.url()).await?;
        let rules = folder().join("alerts.yml");
        let configuration = read("prometheus.yml")
            .replace("jaeger:8889", jaeger.metrics_address().unwrap())
            .replace("[alerts.yml]", &format!("[{}]", rules.display()))
            // Not four times a minute: somebody waits.
            .replace("15s", "250ms");
        prometheus
            .configure(&format!("{configuration}{jobs}"))
            .await?;
        Ok(Stack { jaeger, prometheus })
    }
}
