//! The labels that dashboards read from log lines are there, as Loki's `| json` makes them.

use std::{collections::BTreeSet, time::Duration};

use approzium::{
    opentelemetry::{Instrumentation, instrument_with},
    tracing::attributed,
};
use approzium_peers::peer;
use serde_json::{Map, Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, fmt,
    layer::{Context, SubscriberExt},
    registry,
    util::SubscriberInitExt,
};

use super::boards::boards;
use crate::{
    authenticator::{
        client::{Client, request_id, start},
        process::{Dev, record},
    },
    thread::{House, application::CHECKOUT},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_applications_have_the_labels_of_who_runs_what() {
    let house = peer!(House::open(None));
    let application = "dashboards::logs::writes_lines";
    let written = house.run_test(application, &CHECKOUT).await;
    let lines = written
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "approzium::query");
    assert_labelled("who-runs-what.json", lines.collect());
}

#[tokio::test]
#[ignore = "an application: lines_of_applications_have_the_labels_of_who_runs_what runs it"]
async fn writes_lines() {
    let lines = fmt::layer()
        .json()
        .map_event_format(attributed)
        .with_writer(std::io::stderr);
    let filter = EnvFilter::new("info,approzium::query=debug");
    registry().with(filter).with(lines).with(Names).init();
    // Every query is slow.
    instrument_with(Instrumentation::new().slow_query(Duration::ZERO));
    let database = std::env::var("DATABASE").unwrap();
    let client = approzium::postgres::connect(&database).await.unwrap();
    let orders = client.query("SELECT note FROM orders", &[]).await;
    orders.unwrap();
    let nowhere = client.query("SELECT note FROM nowhere", &[]).await;
    nowhere.unwrap_err();
}

/// Writes each event once more, with all the fields that it could have: a pod has neither a task's id
/// nor an instance's.
struct Names;

impl<S: Subscriber> Layer<S> for Names {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let names = metadata
            .fields()
            .iter()
            .map(|field| field.name().to_owned());
        let fields: Map<_, _> = names.map(|name| (name, Value::Null)).collect();
        eprintln!(
            "{}",
            json!({ "target": metadata.target(), "fields": fields })
        );
    }
}

/// One pod, task or instance that is slow is seen among the others, wherever applications run.
#[test]
fn logs_are_told_apart_by_role_and_by_each_kind_of_place() {
    const ROLE: &str = "fields_approzium_iam_role";
    const PLACES: [&str; 3] = [
        "fields_approzium_k8s_pod_name",
        "fields_approzium_ecs_task_id",
        "fields_approzium_ec2_instance_id",
    ];
    let boards = boards();
    let board = boards.iter().find(|one| one.file == "who-runs-what.json");
    let targets = board.unwrap().targets("loki");
    let asked = |title: &str| {
        let of_panel = |target: &&super::boards::Target| target.place.contains(title);
        labels_of(targets.iter().find(of_panel).unwrap().expression())
    };
    assert!(asked("95th percentile by role").contains(ROLE));
    for title in [
        "95th percentile by place",
        "Slow queries by role, place and table",
    ] {
        for place in PLACES {
            assert!(asked(title).contains(place), "{title}: {place}");
        }
    }
}

#[tokio::test]
async fn lines_of_the_authenticator_have_the_labels_of_its_health() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let intruder = client.token(&dev, "intruder").await;
    let denied = client.start(start(&intruder, "app")).await.refusal().await;
    let line = dev.audit(&request_id(&denied), "denied").await;
    assert_labelled("authenticator.json", vec![line]);
}

#[track_caller]
fn assert_labelled(board: &str, lines: Vec<Value>) {
    let mut known = BTreeSet::new();
    for line in &lines {
        labels_of_line("", line, &mut known);
    }
    let boards = boards();
    let board = boards.iter().find(|one| one.file == board).unwrap();
    let targets = board.targets("loki");
    assert!(!targets.is_empty());
    for target in targets {
        let asked = labels_of(target.expression());
        assert!(asked.contains("target"), "{target:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{}: {unknown:?} of {known:?}",
            target.place
        );
    }
}

/// What `| json` makes of a line: nested keys are joined, and nothing but letters stays.
fn labels_of_line(prefix: &str, value: &Value, labels: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(object) => {
            for (key, value) in object {
                let key = key.replace(|one: char| !one.is_ascii_alphanumeric(), "_");
                let separator = if prefix.is_empty() { "" } else { "_" };
                labels_of_line(&format!("{prefix}{separator}{key}"), value, labels);
            }
        }
        None => {
            labels.insert(prefix.to_owned());
        }
    }
}

/// The labels that an expression of LogQL names.
fn labels_of(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 10] = [
        "by",
        "count_over_time",
        "json",
        "or",
        "quantile_over_time",
        "rate",
        "sum",
        "topk",
        "unwrap",
        "and",
    ];
    let unquoted: String = expression
        .split('"')
        .step_by(2)
        .collect::<Vec<_>>()
        .join(" ");
    unquoted
        .split(|one: char| !(one.is_ascii_alphanumeric() || "_$.".contains(one)))
        .filter(|word| word.starts_with(|one: char| one.is_ascii_lowercase()))
        .filter(|word| !WORDS.contains(word))
        .map(str::to_owned)
        .collect()
}
