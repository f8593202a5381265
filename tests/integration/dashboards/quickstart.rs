//! The dashboard of applications, asked of a Prometheus that the quickstart has fed.

use std::{collections::BTreeSet, env, path::PathBuf, process::Command, time::Duration};

use approzium_peers::{Process, Stop, peer};

use super::{
    Stack,
    boards::{boards, metrics_of},
    expressions::{nothing_left, questions, unanswered},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_is_seen_in_who_runs_what() {
    let stack = peer!(Stack::start());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(quickstart());
    command
        .arg("--check")
        .args(["--jaeger", stack.jaeger.query_url()])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", stack.jaeger.otlp_grpc())
        .env("OTEL_METRICS_EXPORTER", "otlp");
    let log = folder.path().join("quickstart.log");
    let started = Process::start("quickstart", &mut command, Stop::Terminate, &log, None);
    let mut run = started.unwrap();
    let status = run.finish(Duration::from_secs(120)).await.unwrap();
    assert!(status.success(), "{}", run.log());

    let boards: Vec<_> = boards()
        .into_iter()
        .filter(|board| board.file == "who-runs-what.json")
        .collect();
    assert_eq!(boards.len(), 1);
    let questions = questions(&boards);
    let expressions = questions.iter().map(|(_, expression, _)| expression);
    let named: BTreeSet<_> = expressions.flat_map(|one| metrics_of(one)).collect();
    assert!(named.contains("db_client_operation_duration_seconds_bucket"));
    nothing_left("metrics that the quickstart does not make", async || {
        let known: BTreeSet<_> = stack
            .prometheus
            .names()
            .await
            .unwrap()
            .into_iter()
            .collect();
        named.difference(&known).cloned().collect()
    })
    .await;
    nothing_left("questions without an answer", async || {
        unanswered(&stack.prometheus, &questions, &[]).await
    })
    .await;
    let of_services = "count by (service_name) (db_client_operation_duration_seconds_count)";
    let by_job = "count by (job) (db_client_operation_duration_seconds_count)";
    let mut services = BTreeSet::new();
    for question in [of_services, by_job] {
        for sample in stack.prometheus.query(question).await.unwrap() {
            services.extend(sample.labels.into_values());
        }
    }
    for service in ["checkout", "reporting"] {
        assert!(services.contains(service), "{services:?}");
    }
}

/// Cargo builds the examples of a package before it runs all its tests.
fn quickstart() -> PathBuf {
    let program = env::current_exe().unwrap();
    let profile = program.ancestors().nth(2).unwrap();
    let quickstart = profile.join("examples/quickstart");
    assert!(
        quickstart.exists(),
        "no {}: cargo build --all-features --examples",
        quickstart.display()
    );
    quickstart
}
