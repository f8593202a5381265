//! What is in `dashboards/`, on the real servers that it is for.

mod boards;
mod exported;
mod expressions;
mod links;
mod logs;
mod monitor;
mod quickstart;
mod rules;
mod shop;

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
    async fn start() -> Result<Self> {
        let prometheus = Prometheus::start().await?;
        let jaeger = Jaeger::monitored(prometheus.url()).await?;
        let stack = Stack { jaeger, prometheus };
        stack.configure("").await?;
        Ok(stack)
    }

    /// Gives Prometheus the file, with more jobs than it has.
    async fn configure(&self, jobs: &str) -> Result<()> {
        let rules = folder().join("alerts.yml");
        let configuration = read("prometheus.yml")
            .replace("jaeger:8889", self.jaeger.metrics_address().unwrap())
            .replace("[alerts.yml]", &format!("[{}]", rules.display()))
            // Not four times a minute: somebody waits.
            .replace("15s", "250ms");
        let configuration = format!("{configuration}{jobs}");
        self.prometheus.configure(&configuration).await
    }
}
