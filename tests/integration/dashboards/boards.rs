//! Grafana's dashboards: what is in their files.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{folder, read};
use crate::thread::application::SERVICE;

/// A dashboard.
pub(super) struct Board {
    pub(super) file: String,
    json: Value,
}

/// What a panel asks.
#[derive(Debug)]
pub(super) struct Target {
    /// The dashboard, the panel.
    pub(super) place: String,
    /// The type of its data source.
    pub(super) source: String,
    pub(super) json: Value,
}

pub(super) fn boards() -> Vec<Board> {
    let files = std::fs::read_dir(folder().join("grafana")).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .map(|name| Board {
            json: serde_json::from_str(&read(&format!("grafana/{name}"))).unwrap(),
            file: name,
        })
        .collect()
}

impl Board {
    fn panels(&self) -> impl Iterator<Item = &Value> {
        array(&self.json["panels"])
    }

    fn variables(&self) -> impl Iterator<Item = &Value> {
        array(&self.json["templating"]["list"])
    }

    /// What the panels ask of data sources of this type.
    pub(super) fn targets(&self, source: &str) -> Vec<Target> {
        let targets = self.panels().flat_map(|panel| {
            array(&panel["targets"]).map(move |target| Target {
                place: format!("{}: {}", self.file, panel["title"]),
                source: text(&target["datasource"]["type"]).to_owned(),
                json: target.clone(),
            })
        });
        targets.filter(|target| target.source == source).collect()
    }

    /// An expression as Grafana sends it: everybody's metrics, and the texts that the dashboard
    /// begins with.
    pub(super) fn filled_in(&self, expression: &str) -> String {
        let mut filled = expression
            .replace("$__rate_interval", "30s")
            .replace("$__range", "5m");
        for variable in self.variables() {
            let value = match text(&variable["name"]) {
                "traced" => SERVICE,
                "error_type" => "42P01",
                _ if variable["type"] == "textbox" => text(&variable["query"]),
                _ if variable["type"] == "custom" => text(&variable["current"]["value"]),
                _ => ".+",
            };
            filled = filled.replace(&format!("${}", text(&variable["name"])), value);
        }
        filled
    }

    /// What its variables ask of Prometheus: `label_values(metric, label)`.
    pub(super) fn label_values(&self) -> Vec<String> {
        let queries = self
            .variables()
            .filter_map(|one| one["query"]["query"].as_str());
        queries.map(str::to_owned).collect()
    }
}

impl Target {
    /// The expression, in PromQL or LogQL.
    pub(super) fn expression(&self) -> &str {
        text(&self.json["expr"])
    }

    /// The labels that its legend shows.
    pub(super) fn legend(&self) -> Vec<&str> {
        let legend = self.json["legendFormat"].as_str().unwrap_or_default();
        legend
            .split("{{")
            .skip(1)
            .filter_map(|rest| rest.split_once("}}"))
            .map(|(label, _)| label)
            .collect()
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The metrics that an expression of PromQL names.
pub(super) fn metrics_of(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];
    const GROUPING: [&str; 6] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    let is_name = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':';
    let mut metrics = BTreeSet::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '{' => after(rest, '}'),
            '[' => after(rest, ']'),
            _ if is_name(first) => {
                let (name, more) =
                    rest.split_at(rest.find(|one| !is_name(one)).unwrap_or(rest.len()));
                let more = more.trim_start();
                let is_called = ["(", "by ", "by(", "without"]
                    .iter()
                    .any(|next| more.starts_with(next));
                let is_metric = !first.is_ascii_digit() && !is_called;
                if GROUPING.contains(&name) {
                    after(more, ')')
                } else {
                    if is_metric && !WORDS.contains(&name) {
                        metrics.insert(name.to_owned());
                    }
                    more
                }
            }
            _ => &rest[first.len_utf8()..],
        }
        .trim_start();
    }
    metrics
}

/// What follows the character, where it is not within quotes.
fn after(text: &str, end: char) -> &str {
    let mut quoted = false;
    for (at, one) in text.char_indices() {
        quoted ^= one == '"';
        if one == end && !quoted {
            return &text[at + one.len_utf8()..];
        }
    }
    ""
}

#[test]
fn the_metrics_of_an_expression() {
    for (expression, metrics) in [
        ("up == 0", &["up"][..]),
        (
            r#"sum by (job, le) (rate(a_total{x="}", y=~"b|c"}[5m])) / c:d"#,
            &["a_total", "c:d"],
        ),
        ("a unless on (job) b offset 15m or vector(0)", &["a", "b"]),
        (
            "histogram_quantile(0.95, sum(rate(e_bucket[1h])) by (le)) > 1e3",
            &["e_bucket"],
        ),
    ] {
        let expected = metrics.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(metrics_of(expression), expected, "{expression}");
    }
}

#[test]
fn a_dashboard_can_be_imported_anywhere_and_explains_each_panel() {
    for board in boards() {
        let json = &board.json;
        assert!(
            json["title"].is_string() && json["schemaVersion"].is_u64(),
            "{}",
            board.file
        );
        // Grafana gives them where it imports the file.
        assert!(
            json["id"].is_null() && json["uid"].is_null(),
            "{}",
            board.file
        );
        let variables: BTreeSet<&str> = board.variables().map(|one| text(&one["name"])).collect();
        let sources: BTreeSet<&str> = board
            .variables()
            .filter(|one| one["type"] == "datasource")
            .map(|one| text(&one["query"]))
            .collect();
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in board.panels() {
            let place = format!("{}: {}", board.file, panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64()),
                "{place}: its id is another's"
            );
            let position = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in position("x")..position("x") + position("w") {
                for y in position("y")..position("y") + position("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{place} covers another");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(
                description.len() > 40,
                "{place} does not say what to look for"
            );
            let mut references = BTreeSet::new();
            for target in array(&panel["targets"]) {
                assert!(references.insert(target["refId"].as_str()), "{place}");
                let source = &target["datasource"];
                assert_eq!(source, &panel["datasource"], "{place}");
                let kind = text(&source["type"]);
                assert!(sources.contains(kind), "{place}: {kind}");
                assert_eq!(source["uid"], format!("${{{kind}}}"), "{place}");
                for name in used(&target.to_string()) {
                    assert!(
                        variables.contains(name.as_str()) || name.starts_with("__"),
                        "{place}: ${name}"
                    );
                }
            }
            assert!(!references.is_empty(), "{place} asks nothing");
        }
    }
}

/// The names after `$` or in `${…}`.
fn used(text: &str) -> Vec<String> {
    let uses = text.split('$').skip(1);
    uses.map(|rest| {
        let rest = rest.trim_start_matches('{').chars();
        rest.take_while(|one| one.is_ascii_alphanumeric() || *one == '_')
            .collect()
    })
    .collect()
}
