//! The alert rules, by promtool.

use std::{collections::BTreeSet, path::Path};

use approzium_peers::{peer, prometheus::promtool};
use serde_yaml_ng::Value;

use super::{folder, read};

#[tokio::test]
async fn promtool_finds_the_rules_and_the_configuration_good() {
    peer!(promtool(
        folder(),
        &["check", "rules", "--lint=all", "alerts.yml"]
    ));
    let configuration = ["check", "config", "--lint=all", "prometheus.yml"];
    promtool(folder(), &configuration).await.unwrap();
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_not_before() {
    for file in tests() {
        peer!(promtool(folder(), &["test", "rules", &file]));
    }
    let tests: String = tests().iter().map(|file| read(file)).collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let fires = format!("{{alertname=\"{name}\"");
        assert!(tests.contains(&fires), "{name} fires in no test");
    }
}

#[test]
fn each_alert_has_a_runbook_that_leads_to_the_documentation() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let annotation = |key: &str| {
            let text = alert["annotations"][key].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} has no {key}");
            text
        };
        for key in [
            "summary",
            "symptom",
            "first_look",
            "likely_causes",
            "action",
        ] {
            annotation(key);
        }
        let (page, section) = annotation("docs").split_once('#').unwrap();
        let text = std::fs::read_to_string(repository.join(page)).unwrap();
        let sections: BTreeSet<String> = text.lines().filter_map(anchor).collect();
        assert!(
            sections.contains(section),
            "{name}: {page}#{section} of {sections:?}"
        );
        let severity = alert["labels"]["severity"].as_str();
        assert!(
            matches!(severity, Some("page" | "ticket")),
            "{name}: {severity:?}"
        );
    }
}

/// Where a headline of Markdown is found.
fn anchor(line: &str) -> Option<String> {
    let headline = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = headline
        .chars()
        .filter(|one| one.is_alphanumeric() || " -_".contains(*one));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

fn tests() -> Vec<String> {
    let files = std::fs::read_dir(folder().join("tests")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("tests/{name}")).collect()
}

fn alerts() -> Vec<Value> {
    let rules = rules().into_iter();
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

/// Every rule, recordings among them.
pub(super) fn rules() -> Vec<Value> {
    let file: Value = serde_yaml_ng::from_str(&read("alerts.yml")).unwrap();
    let groups = file["groups"].as_sequence().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap());
    rules.cloned().collect()
}
