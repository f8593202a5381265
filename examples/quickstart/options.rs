//! What the quickstart is asked to do.

use std::path::PathBuf;

use clap::Parser;

/// Runs the whole of Approzium on this machine, and shows who ran which query.
///
/// It starts a PostgreSQL, the Authenticator in development mode, a Jaeger, and a small shop of
/// three processes. Everything listens on 127.0.0.1 and ends with this program.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
pub(crate) struct Options {
    /// Does not wait: asks Jaeger for the guilty pod by its tags, and ends with 0 if it finds that
    /// pod's query and no other's.
    #[arg(long)]
    pub(crate) check: bool,

    /// The address of a running Jaeger's pages, http://localhost:16686 for one. Spans go to
    /// OTEL_EXPORTER_OTLP_ENDPOINT, else to port 4317 of the same host.
    #[arg(long, value_name = "URL")]
    pub(crate) jaeger: Option<String>,

    /// Where a running Jaeger takes spans by gRPC; its pages are then expected on port 16686 of
    /// the same host, if --jaeger does not say otherwise.
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true
    )]
    pub(crate) otlp_endpoint: Option<String>,

    /// Draws the traces in the terminal, even where a Jaeger could be had.
    #[arg(long, conflicts_with_all = ["jaeger", "check"])]
    pub(crate) no_jaeger: bool,

    /// Does not wait: takes pictures of Jaeger's pages with Chromium, for the documentation, into
    /// this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["check", "no_jaeger"])]
    pub(crate) screenshots: Option<PathBuf>,

    /// With the pictures: writes the blocks of this page of the documentation from the same run, so
    /// that what stands beside a picture is of what it shows. May be given several times.
    #[arg(long = "page", value_name = "FILE", requires = "screenshots")]
    pub(crate) pages: Vec<PathBuf>,

    /// Installs Debian's package of PostgreSQL if there is no other way; asked for only as root.
    #[arg(long)]
    pub(crate) yes: bool,
}

impl Options {
    /// Whether there is nothing to do without a Jaeger.
    pub(crate) fn needs_jaeger(&self) -> bool {
        self.check || self.screenshots.is_some()
    }

    /// A Jaeger that runs already: where its pages are, and where it takes spans.
    pub(crate) fn running_jaeger(&self) -> Option<(String, String)> {
        match (&self.jaeger, &self.otlp_endpoint) {
            (Some(pages), Some(spans)) => Some((pages.clone(), spans.clone())),
            (Some(pages), None) => Some((pages.clone(), with_port(pages, 4317)?)),
            (None, Some(spans)) => Some((with_port(spans, 16686)?, spans.clone())),
            (None, None) => None,
        }
    }
}

fn with_port(url: &str, port: u16) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let scheme = url.scheme_str().unwrap_or("http");
    Some(format!("{scheme}://{}:{port}", url.host()?))
}
