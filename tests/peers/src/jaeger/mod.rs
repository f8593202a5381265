//! A Jaeger of one's own: OTLP in, searches out, storage in memory.

mod installation;
mod monitor;
pub mod pages;
mod query;

use std::{process::Command, time::Duration};

pub use installation::Installation;
pub use monitor::Measure;
pub use query::{Query, Span, Trace};

use crate::{Process, Result, Stop, files, free_port};

/// The UI's settings: what `docker-compose.jaeger.yml` mounts too.
const UI: &str = include_str!("../../../../dashboards/jaeger-ui.json");

const CONFIGURATION: &str = include_str!("../../jaeger/jaeger.yaml");

/// The same with metrics of the spans: what `docker-compose.jaeger.yml` runs.
const MONITORED: &str = include_str!("../../../../dashboards/jaeger.yaml");

/// A running Jaeger. It stops when the value is dropped.
pub struct Jaeger {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    _folder: tempfile::TempDir,
    otlp_grpc: String,
    otlp_http: String,
    metrics: Option<String>,
    query: Query,
    has_ui: bool,
}

impl Jaeger {
    /// Starts the Jaeger that [`Installation::find`] finds, or makes.
    ///
    /// # Errors
    /// [`Error::Missing`](crate::Error::Missing) if there is none and none could be built.
    pub async fn start() -> Result<Self> {
        Jaeger::start_from(&Installation::find().await?).await
    }

    /// Starts this one.
    pub async fn start_from(installation: &Installation) -> Result<Self> {
        Jaeger::launch(installation, None).await
    }

    /// Starts one as `docker-compose.jaeger.yml` does: it makes metrics of the spans, takes the
    /// applications' own, and its Monitor tab asks the Prometheus at this URL for them.
    ///
    /// # Errors
    /// As [`Jaeger::start`].
    pub async fn monitored(prometheus: &str) -> Result<Self> {
        Jaeger::launch(&Installation::find().await?, Some(prometheus)).await
    }

    async fn launch(installation: &Installation, prometheus: Option<&str>) -> Result<Self> {
        let folder = files::folder_of(None)?;
        let ui = folder.path().join("ui.json");
        let configuration = folder.path().join("jaeger.yaml");
        files::write(&ui, UI)?;
        files::write(
            &configuration,
            prometheus.map_or(CONFIGURATION, |_| MONITORED),
        )?;
        let [grpc, http, page, query, metrics] =
            std::array::from_fn(|_| format!("127.0.0.1:{}", free_port()));
        let mut command: Command = installation.command(folder.path());
        command
            .env("OTLP_GRPC", &grpc)
            .env("OTLP_HTTP", &http)
            .env("QUERY_HTTP", &page)
            .env("QUERY_GRPC", &query)
            .env("JAEGER_UI_CONFIG", &ui)
            .env("JAEGER_UI", installation.ui().unwrap_or(folder.path()))
            .current_dir(folder.path());
        if let Some(prometheus) = prometheus {
            command
                .env("PROMETHEUS", prometheus)
                .env("METRICS_HTTP", &metrics)
                // Metrics come while somebody watches.
                .env("SPAN_METRICS_INTERVAL", "200ms");
        }
        let mut server = Process::start(
            "jaeger",
            &mut command,
            Stop::Terminate,
            &folder.path().join("jaeger.log"),
            Some(folder.path()),
        )?;
        let url = format!("http://{page}");
        let query = Query::new(&url);
        let answers = async || {
            query.services().await.is_ok() && tokio::net::TcpStream::connect(&grpc).await.is_ok()
        };
        server.until(Duration::from_secs(60), answers).await?;
        Ok(Jaeger {
            _server: server,
            _folder: folder,
            otlp_grpc: format!("http://{grpc}"),
            otlp_http: format!("http://{http}"),
            metrics: prometheus.map(|_| metrics),
            has_ui: installation.has_ui(),
            query,
        })
    }

    /// Where spans are sent by gRPC: `http://127.0.0.1:<port>`.
    pub fn otlp_grpc(&self) -> &str {
        &self.otlp_grpc
    }

    /// Where spans are sent by HTTP: `http://127.0.0.1:<port>`, to which `/v1/traces` is added.
    pub fn otlp_http(&self) -> &str {
        &self.otlp_http
    }

    /// Where Prometheus scrapes it, `host:port`, if it is [monitored](Jaeger::monitored).
    pub fn metrics_address(&self) -> Option<&str> {
        self.metrics.as_deref()
    }

    /// Where traces are searched, by programs and in a browser.
    pub fn query_url(&self) -> &str {
        self.query.url()
    }

    /// Asks it for traces.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Whether a browser gets the pages, not the API alone.
    pub fn has_ui(&self) -> bool {
        self.has_ui
    }
}
