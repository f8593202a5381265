//! A Jaeger of one's own: OTLP in, searches out, storage in memory.

mod installation;
pub mod pages;
mod query;

use std::{process::Command, time::Duration};

pub use installation::Installation;
pub use query::{Query, Span, Trace};

use crate::{Process, Result, Stop, files, free_port};

/// The UI's settings: what `docker-compose.jaeger.yml` mounts too.
const UI: &str = include_str!("../../../../dashboards/jaeger-ui.json");

const CONFIGURATION: &str = include_str!("../../jaeger/jaeger.yaml");

/// A running Jaeger. It stops when the value is dropped.
pub struct Jaeger {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    _folder: tempfile::TempDir,
    otlp_grpc: String,
    otlp_http: String,
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
        let folder = files::folder_of(None)?;
        let ui = folder.path().join("ui.json");
        let configuration = folder.path().join("jaeger.yaml");
        files::write(&ui, UI)?;
        files::write(&configuration, CONFIGURATION)?;
        let [grpc, http, page, query] =
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
