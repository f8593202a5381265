//! Where Jaeger's program and its pages come from.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result, cache, capture, docker, files};

/// The Go module's version and the release that it is.
const VERSION: &str = "1.76.0";
const IMAGE: &str = "jaegertracing/jaeger:2.13.0";
/// The crate that carries a build of the pages, in its folder `jaeger-ui/build`.
const UI_CRATE: (&str, &str) = ("otlp-embedded", "0.0.2");

const GO_MODULE: [(&str, &str); 2] = [
    ("go.mod", include_str!("../../jaeger/go.mod")),
    ("go.sum", include_str!("../../jaeger/go.sum")),
];

/// A Jaeger that can be started.
pub struct Installation {
    program: Program,
    ui: Option<PathBuf>,
}

enum Program {
    Local(PathBuf),
    Docker,
}

impl Installation {
    /// On `PATH` or in the cache, else Docker's image, else built from its Go module.
    ///
    /// # Errors
    /// [`Error::Missing`], saying what to install.
    pub async fn find() -> Result<Self> {
        if let Some(installed) = Installation::on_machine().await {
            return Ok(installed);
        }
        if docker::is_available().await {
            return Ok(Installation {
                program: Program::Docker,
                ui: None,
            });
        }
        Installation::build().await
    }

    /// The one on `PATH` or in the cache.
    pub async fn on_machine() -> Option<Self> {
        let cached = || Some(cache::folder().ok()?.join(name()).join("jaeger"));
        let program = files::on_path("jaeger")
            .or_else(cached)
            .filter(|program| files::is_executable(program))?;
        let ui = pages().await.ok();
        Some(Installation {
            program: Program::Local(program),
            ui,
        })
    }

    /// Built from its Go module, with its checksums verified, into the cache. It takes minutes.
    pub async fn build() -> Result<Self> {
        if files::on_path("go").is_none() {
            return Err(Error::Missing(
                "Jaeger is not on this machine; install it, or start Docker, or install Go 1.24 or \
                 newer, by which it is built once"
                    .into(),
            ));
        }
        eprintln!(
            "Building Jaeger from its Go module, once: about 4 minutes on 2 cores, 3.4 GB of Go's caches"
        );
        let place = cache::provide(&name(), async |draft: &Path| {
            let source = files::folder_of(None)?;
            for (name, content) in GO_MODULE {
                files::write(&source.path().join(name), content)?;
            }
            let mut go = tokio::process::Command::new("go");
            go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arg(draft.join("jaeger"))
                .arg("github.com/jaegertracing/jaeger/cmd/jaeger")
                .current_dir(source.path());
            capture(&mut go).await.map(drop)
        })
        .await?;
        Ok(Installation {
            program: Program::Local(place.join("jaeger")),
            ui: pages().await.ok(),
        })
    }

    /// The folder of the pages, for a program that has none inside.
    pub(super) fn ui(&self) -> Option<&Path> {
        self.ui.as_deref()
    }

    pub(super) fn has_ui(&self) -> bool {
        self.ui.is_some() || matches!(self.program, Program::Docker)
    }

    /// Its configuration is `jaeger.yaml` in the folder, its settings are the environment's.
    pub(super) fn command(&self, folder: &Path) -> Command {
        let configuration = folder.join("jaeger.yaml");
        let program = match &self.program {
            Program::Local(program) => program,
            Program::Docker => {
                // The host's network, so that it too listens on loopback alone.
                let mut command = Command::new("docker");
                command.args(["run", "--rm", "--network", "host"]);
                command.args(["--user", &docker::current_user(), "-v"]);
                command.arg(format!("{0}:{0}:ro", folder.display()));
                for name in [
                    "OTLP_GRPC",
                    "OTLP_HTTP",
                    "QUERY_HTTP",
                    "QUERY_GRPC",
                    "JAEGER_UI_CONFIG",
                    "PROMETHEUS",
                    "METRICS_HTTP",
                    "SPAN_METRICS_INTERVAL",
                ] {
                    command.args(["-e", name]);
                }
                command
                    .args(["-e", "JAEGER_UI=", IMAGE, "--config"])
                    .arg(configuration);
                return command;
            }
        };
        let mut command = Command::new(program);
        command.arg("--config").arg(configuration);
        command
    }
}

fn name() -> String {
    format!("jaeger-{VERSION}")
}

/// Jaeger's pages, which the Go module does not contain.
async fn pages() -> Result<PathBuf> {
    let (krate, version) = UI_CRATE;
    cache::provide(
        &format!("jaeger-ui-{krate}-{version}"),
        async |draft: &Path| {
            let folder = files::folder_of(None)?;
            std::fs::create_dir(folder.path().join("src"))
                .map_err(|error| Error::failed("a folder", error))?;
            files::write(&folder.path().join("src/lib.rs"), "")?;
            files::write(
                &folder.path().join("Cargo.toml"),
                format!(
                    "[package]\nname = \"pages\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
                 [dependencies]\n{krate} = \"={version}\"\n[workspace]\n"
                ),
            )?;
            let mut metadata = tokio::process::Command::new(
                std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            );
            metadata
                .args(["metadata", "--quiet", "--format-version", "1"])
                .current_dir(folder.path());
            let said = capture(&mut metadata).await?;
            let metadata: serde_json::Value = serde_json::from_str(&said)
                .map_err(|error| Error::failed("cargo metadata", error))?;
            let manifest = metadata["packages"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|package| package["name"] == krate)
                .and_then(|package| package["manifest_path"].as_str())
                .ok_or_else(|| Error::failed("cargo metadata", "the crate is not in it"))?;
            let pages = Path::new(manifest)
                .with_file_name("jaeger-ui")
                .join("build");
            files::copy_tree(&pages, draft, files::Copy::Content)
                .map_err(|error| Error::failed(pages.display(), error))
        },
    )
    .await
}
