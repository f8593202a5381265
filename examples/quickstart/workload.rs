//! The shop: one process for each pod, as a cluster would run them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use approzium_peers::{Authenticator, Error, Postgres, Process, Result, Stop};

use crate::database;

/// A pod, and the IAM role that it runs under.
pub(crate) struct Pod {
    pub(crate) role: &'static str,
    pub(crate) name: &'static str,
    /// What it does; also its service's name in Jaeger.
    pub(crate) service: &'static str,
}

/// The namespace of all pods.
pub(crate) const NAMESPACE: &str = "shop";

pub(crate) const CHECKOUT: Pod = Pod {
    role: "checkout",
    name: "checkout-6d9f7c5b8-x2vqp",
    service: "checkout",
};

/// The one whose report takes everybody's time.
pub(crate) const REPORTING: Pod = Pod {
    role: "reporting",
    name: "reporting-54c8d7f9b-k7m2t",
    service: "reporting",
};

/// Somebody's shell, under a role that no record names.
pub(crate) const INTRUDER: Pod = Pod {
    role: "intruder",
    name: "debug-shell",
    service: "debug-shell",
};

/// Something that a pod did, and its trace.
pub(crate) struct Step {
    pub(crate) pod: &'static Pod,
    pub(crate) name: String,
    pub(crate) trace: String,
}

/// What all pods have in common.
pub(crate) struct Cluster<'a> {
    pub(crate) postgres: &'a Postgres,
    pub(crate) authenticator: &'a Authenticator,
    pub(crate) otlp_endpoint: &'a str,
    /// For their logs.
    pub(crate) folder: &'a Path,
}

impl Cluster<'_> {
    /// Runs all pods at once to their ends.
    pub(crate) async fn run(&self) -> Result<Vec<Step>> {
        let mut running = Vec::new();
        for pod in [&CHECKOUT, &REPORTING, &INTRUDER] {
            let mut command = self.command(pod, &crate::program("examples/shop")?);
            command.arg(pod.service);
            let log = self.log_path(pod);
            let process = Process::start(pod.name, &mut command, Stop::Terminate, &log, None)?;
            running.push((pod, process));
        }
        let mut steps = Vec::new();
        for (pod, mut process) in running {
            let status = process.finish(Duration::from_secs(60)).await?;
            let log = process.log();
            if !status.success() {
                return Err(Error::Failed(format!("{}: {status}\n{log}", pod.name)));
            }
            steps.extend(log.lines().filter_map(|line| step(pod, line)));
        }
        Ok(steps)
    }

    /// What a pod has logged.
    pub(crate) fn log(&self, pod: &Pod) -> Result<String> {
        let path = self.log_path(pod);
        std::fs::read_to_string(&path)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
    }

    fn log_path(&self, pod: &Pod) -> PathBuf {
        self.folder.join(format!("{}.log", pod.name))
    }

    /// A program as it would run in a pod.
    pub(crate) fn command(&self, pod: &Pod, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("DATABASE_URL", database_url(self.postgres))
            .env("OTEL_SERVICE_NAME", pod.service)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.otlp_endpoint);
        self.authenticator.lend_environment(&mut command);
        command
            .env("AWS_PROFILE", pod.role)
            // What a pod's manifest hands to it by the downward API.
            .env("K8S_NAMESPACE_NAME", NAMESPACE)
            .env("K8S_POD_NAME", pod.name);
        command
    }
}

/// There is no password in it, and none in the environment.
fn database_url(postgres: &Postgres) -> String {
    format!(
        "host={} port={} user={} dbname={} sslmode=verify-full sslrootcert={}",
        postgres.host(),
        postgres.port(),
        database::USER,
        database::DATABASE,
        postgres.ca_path().display()
    )
}

/// A line `trace <32 hexadecimal digits> <step>`.
fn step(pod: &'static Pod, line: &str) -> Option<Step> {
    let (trace, name) = line.strip_prefix("trace ")?.split_once(' ')?;
    Some(Step {
        pod,
        name: name.to_owned(),
        trace: trace.to_owned(),
    })
}
