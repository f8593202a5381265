//! {instrumented or not} × {no attribution on lines, `layer()`, `attributed`} × {no
//! tracing-opentelemetry, its default, contexts that are not activated, filters per layer}: a query
//! is one span below its caller's where it is to be one, and none where not.
//!
//! Subscriber, provider and switch belong to a process, so each case is one: this very program,
//! started again.

mod application;
mod case;
mod lines;

use std::{env, path::Path, process::Command, time::Duration};

use approzium_peers::{Method, Postgres, Process, Rule, Stop, peer};
use futures_util::{StreamExt, stream};

use case::Case;

const PATIENCE: Duration = Duration::from_secs(120);

/// Cases that run at the same time.
const AT_ONCE: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_one_span_below_its_caller_whatever_is_installed_besides() {
    let postgres = peer!(
        Postgres::builder()
            .without_tls()
            .rule(Rule::host("app", Method::Trust))
            .start()
    );
    postgres.sql("CREATE ROLE app LOGIN").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let failed: Vec<String> = stream::iter(Case::all())
        .map(|case| run(case, &postgres, folder.path()))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |failed| failed)
        .collect()
        .await;
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// What the case's process wrote, if it failed.
async fn run(case: Case, postgres: &Postgres, folder: &Path) -> Option<String> {
    let database = format!(
        "host=localhost port={} user=app dbname=postgres sslmode=disable require_auth=none",
        postgres.port()
    );
    let name = case.to_string();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", application::TEST])
        .env("K8S_POD_NAME", application::POD)
        .env(application::CASE, &name)
        .env(application::DATABASE, database);
    let log = folder.join(format!("{name}.log"));
    let mut process = Process::start("case", &mut command, Stop::Terminate, &log, None).unwrap();
    let ended = process.finish(PATIENCE).await;
    let said = process.log();
    let passed = ended.is_ok_and(|status| status.success()) && said.contains("1 passed");
    (!passed).then(|| format!("{name}: {said}"))
}
