//! The task definition: by AWS's model of it, and by `approzium serve` itself.

use std::path::Path;

use approzium_peers::{deployment::aws_request, peer};
use serde_json::{Value, json};

use super::{Etc, known_variables, read, repository};

const FILE: &str = "deploy/ecs/task-definition.json";

pub(super) fn definition() -> Value {
    serde_json::from_str(&read(FILE)).unwrap()
}

#[tokio::test]
async fn aws_finds_it_good() {
    let judge = async |file: &Path| aws_request("ecs", "RegisterTaskDefinition", file).await;
    peer!(judge(&repository(FILE)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("task.json");
    let mut mistaken = definition();
    mistaken["containerDefinitions"][0]["readOnlyRootFilesystem"] = json!(true);
    std::fs::write(&file, mistaken.to_string()).unwrap();
    assert!(judge(&file).await.is_err());
}

#[test]
fn approzium_serves_by_its_variables() {
    let container = definition()["containerDefinitions"][0].clone();
    let known = known_variables();
    let mut variables = Vec::new();
    for variable in container["environment"].as_array().unwrap() {
        let (name, value) = (&variable["name"], &variable["value"]);
        let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
        assert!(known.iter().any(|known| known == name), "{name}");
        variables.push((name.to_owned(), value.to_owned()));
    }
    let etc = Etc::new("tls.crt", "tls.key", "secrets.yaml", "session.keys");
    etc.serves(None, &variables);
}

#[test]
fn a_task_can_do_little() {
    let container = definition()["containerDefinitions"][0].clone();
    assert_eq!(container["readonlyRootFilesystem"], true);
    assert_eq!(container["user"], "65532:65532");
    assert_eq!(
        container["linuxParameters"]["capabilities"],
        json!({"drop": ["ALL"]})
    );
}
