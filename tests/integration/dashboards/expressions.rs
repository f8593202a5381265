//! What dashboards and alerts ask, asked of a real Prometheus and a real Jaeger that watch
//! applications at work.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use approzium_peers::{Authenticator, Prometheus, jaeger::Query, peer};

use super::{
    Stack,
    boards::{Board, Target, boards, metrics_of},
    read,
    rules::rules,
    shop::Shop,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Panels in which there is nothing while all is well: nobody goes away, no bound is reached.
const MAY_BE_EMPTY: [&str; 2] = [r#"decision="failed""#, r#"reason=~"too_many_.+""#];

/// They are there only where client certificates are demanded, or where the secrets manager takes a
/// token that ends. Nothing here has either.
const MAY_BE_UNKNOWN: [&str; 3] = [
    "approzium_client_ca_expiry_timestamp_seconds",
    "approzium_secrets_token_expiry_timestamp_seconds",
    "approzium_secrets_token_lifetime_seconds",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_emitted_and_every_question_is_answered() {
    let stack = peer!(Stack::start());
    let shop = peer!(Shop::open(&stack.jaeger));
    let job = authenticators_job(&shop.house.authenticator);
    stack.configure(&job).await.unwrap();
    let boards = boards();

    let prometheus = &stack.prometheus;
    let mut named = named(&boards);
    for unknown in MAY_BE_UNKNOWN {
        assert!(named.remove(unknown), "{unknown}");
    }
    assert!(!named.is_empty());
    nothing_left("metrics that nobody emits", async || {
        let known: BTreeSet<_> = prometheus.names().await.unwrap().into_iter().collect();
        named.difference(&known).cloned().collect()
    })
    .await;

    nothing_left("questions to Prometheus without an answer", async || {
        unanswered(prometheus, &questions(&boards), &MAY_BE_EMPTY).await
    })
    .await;
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        prometheus.query(expression).await.unwrap();
    }

    let jaeger = stack.jaeger.query();
    nothing_left("searches of Jaeger that find nothing", async || {
        let mut left = BTreeSet::new();
        for board in &boards {
            for target in board.targets("jaeger") {
                if search(jaeger, board, &target).await == 0 {
                    left.insert(format!("{target:?}"));
                }
            }
        }
        left
    })
    .await;
}

/// The job of the README, for this Authenticator.
fn authenticators_job(authenticator: &Authenticator) -> String {
    let readme = read("README.md");
    let job = readme
        .split("```")
        .find_map(|block| block.strip_prefix("yaml\n"))
        .filter(|block| block.contains("job_name: approzium-authenticator"))
        .expect("a job in the README");
    job.replace("authenticator.example:6000", &authenticator.http_address())
        .replace(
            "/etc/prometheus/authenticator-ca.pem",
            &authenticator.ca_path().display().to_string(),
        )
}

/// Every metric that a dashboard or a rule names.
fn named(boards: &[Board]) -> BTreeSet<String> {
    let rules = rules();
    let of_rules = rules.iter().map(|rule| rule["expr"].as_str().unwrap());
    let of_boards = questions(boards);
    let of_boards = of_boards.iter().map(|(_, expression, _)| &**expression);
    of_rules.chain(of_boards).flat_map(metrics_of).collect()
}

/// Where it is asked, what, and which labels the answer is to have.
pub(super) fn questions(boards: &[Board]) -> Vec<(String, String, Vec<String>)> {
    let mut questions = Vec::new();
    for board in boards {
        for target in board.targets("prometheus") {
            let labels = target.legend().into_iter().map(str::to_owned).collect();
            let expression = board.filled_in(target.expression());
            questions.push((target.place, expression, labels));
        }
        for values in board.label_values() {
            let inner = values
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'));
            let (metric, label) = inner.unwrap().rsplit_once(", ").unwrap();
            questions.push((
                format!("{}: a variable", board.file),
                board.filled_in(&format!("count by ({label}) ({metric})")),
                vec![label.to_owned()],
            ));
        }
    }
    questions
}

/// Those that find nothing, or not the labels that they are about.
pub(super) async fn unanswered(
    prometheus: &Prometheus,
    questions: &[(String, String, Vec<String>)],
    may_be_empty: &[&str],
) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    for (place, expression, labels) in questions {
        let samples = prometheus.query(expression).await;
        let samples = samples.unwrap_or_else(|error| panic!("{place}: {error}"));
        let labelled = samples.iter().any(|sample| {
            let is_there =
                |label: &String| sample.labels.get(label).is_some_and(|it| !it.is_empty());
            labels.iter().all(is_there)
        });
        if !labelled && !may_be_empty.iter().any(|part| expression.contains(part)) {
            left.insert(format!("{place}: {expression} {labels:?}: {samples:?}"));
        }
    }
    left
}

/// How many traces Grafana would list.
async fn search(jaeger: &Query, board: &Board, target: &Target) -> usize {
    let service = board.filled_in(target.json["service"].as_str().unwrap());
    let tags = board.filled_in(target.json["tags"].as_str().unwrap_or_default());
    let tags: Vec<(&str, &str)> = tags
        .split_whitespace()
        .map(|tag| {
            let (key, value) = tag.split_once('=').unwrap();
            (key, value.trim_matches('"'))
        })
        .collect();
    jaeger.traces(&service, &tags).await.unwrap().len()
}

/// Asks until nothing is left, or panics with what is.
pub(super) async fn nothing_left(what: &str, mut left: impl AsyncFnMut() -> BTreeSet<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = left().await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {left:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
