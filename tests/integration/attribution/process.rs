//! Attribution of a whole process: its own environment, STS, and what hangs.

use std::{process::Stdio, sync::Arc, time::Duration};

use approzium::{
    attribution::{Collector, DEFAULT_BUDGET, current, known},
    authenticator::dev::DevSts,
};
use approzium_peers::{MiniStack, Moto, moto, peer};
use serde_json::Value;
use tokio::{process::Command, time::Instant};

use super::{nowhere, servers::BlackHole, why_not};

/// Runs `approzium attribution` in nothing but this environment.
async fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
    command
        .arg("attribution")
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if !variables
        .iter()
        .any(|(name, _)| *name == "AWS_EC2_METADATA_SERVICE_ENDPOINT")
    {
        command.env("AWS_EC2_METADATA_DISABLED", "true");
    }
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// With a budget that only a hang reaches.
async fn json(variables: &[(&str, &str)]) -> Value {
    json_within(&["--budget", "60s"], variables).await
}

async fn json_within(budget: &[&str], variables: &[(&str, &str)]) -> Value {
    let printed = printed(&[&["--json"], budget].concat(), variables).await;
    serde_json::from_str(&printed).unwrap()
}

fn probe<'a>(attribution: &'a Value, name: &str) -> &'a Value {
    let probes = attribution["probes"].as_array().unwrap();
    probes.iter().find(|probe| probe["name"] == name).unwrap()
}

#[tokio::test]
async fn sts_says_who_acts() {
    let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    sts.write_credentials_file(&file).unwrap();
    let endpoint = sts.endpoint();
    let mut variables = vec![
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
    ];
    for identity in sts.identities() {
        variables.push(("AWS_PROFILE", identity.name()));
        let shown = json(&variables).await;
        variables.pop();
        let iam = &shown["iam"];
        assert_eq!(iam["arn"], identity.arn(), "{shown:#}");
        assert_eq!(iam["account"], "000000000000");
        assert_eq!(iam["verified"], false);
        assert_eq!(shown["attributes"]["approzium.iam_arn"], identity.arn());
        assert_eq!(probe(&shown, "iam")["why_not"], Value::Null);
        let is_role = identity.arn().contains(":assumed-role/");
        let role = is_role.then_some(identity.name());
        assert_eq!(iam["role"].as_str(), role);
        assert_eq!(iam["session"].is_string(), is_role);
    }

    let wrong = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
    ];
    let shown = json(&wrong).await;
    assert_eq!(shown["iam"], Value::Null);
    let why = probe(&shown, "iam")["why_not"].as_str().unwrap();
    assert!(why.contains("InvalidClientTokenId"), "{why}");
}

#[tokio::test]
async fn sts_is_asked_over_tls() {
    let sts = peer!(Moto::start());
    let credentials = sts
        .assumed_role(moto::ACCOUNT, "/team/", "web", "web-1")
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, sts.authority().pem()).unwrap();
    let shown = json(&[
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        (
            "AWS_SESSION_TOKEN",
            credentials.session_token.as_deref().unwrap(),
        ),
    ])
    .await;
    assert_eq!(shown["iam"]["arn"], credentials.arn, "{shown:#}");
    assert_eq!(shown["iam"]["role"], "web");
    assert_eq!(shown["iam"]["session"], "web-1");
}

#[tokio::test]
async fn the_command_shows_an_instance_as_a_table_and_as_json() {
    let metadata = peer!(MiniStack::start());
    let url = metadata.url();
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("K8S_POD_NAME", "checkout-7"),
        ("K8S_NAMESPACE_NAME", "shop"),
    ];
    let shown = json(&variables).await;
    let instance_id = shown["attributes"]["host.id"].as_str().unwrap();
    assert!(instance_id.starts_with("i-"), "{shown:#}");
    assert_eq!(
        shown["span_attributes"]["approzium.k8s.pod.name"],
        "checkout-7"
    );
    // The instance's own credentials, its own region, asked at STS.
    assert_eq!(shown["iam"]["account"], "000000000000", "{shown:#}");
    for name in ["iam", "ec2", "ecs", "kubernetes", "container"] {
        assert!(probe(&shown, name)["took_seconds"].is_f64(), "{shown:#}");
    }

    let table = printed(&["--budget", "60s"], &variables).await;
    for part in [
        "pod checkout-7 in namespace shop",
        instance_id,
        "aws_ec2",
        "not asked: ECS_CONTAINER_METADATA_URI_V4 is not set",
        "approzium.k8s.namespace.name",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
}

#[tokio::test]
async fn links_into_jaeger_name_the_service_and_the_pod() {
    let pod = ("K8S_POD_NAME", "checkout-7");
    let arguments = ["--budget", "60s", "--jaeger", "http://localhost:16686/"];
    let link = "http://localhost:16686/search?service=shop\
                &tags=%7B%22approzium.k8s.pod.name%22%3A%22checkout-7%22%7D";
    for (named, variable) in [
        (&["--service", "shop"][..], ("OTEL_SERVICE_NAME", "other")),
        (&[], ("OTEL_SERVICE_NAME", "shop")),
        (&[], ("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=shop")),
    ] {
        let table = printed(&[&arguments, named].concat(), &[pod, variable]).await;
        assert!(table.contains(link), "{table}");
    }
    let nameless = printed(&arguments, &[pod]).await;
    assert!(nameless.contains("add --service NAME"), "{nameless}");
    assert!(!nameless.contains("/search?"), "{nameless}");
}

#[tokio::test]
async fn a_process_ends_though_nobody_answers_it() {
    let hole = BlackHole::open().await;
    let url = hole.url();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", url),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url),
        ("ECS_CONTAINER_METADATA_URI_V4", url),
        ("K8S_POD_NAME", "checkout-7"),
    ];
    let shown = json_within(&[], &variables).await;
    assert!(hole.connections() >= 3, "{shown:#}");
    assert_eq!(shown["iam"], Value::Null);
    assert_eq!(shown["attributes"]["k8s.pod.name"], "checkout-7");
    // Relative to the budget, with room for a machine that is busy with something else.
    let took = Duration::from_secs_f64(shown["took_seconds"].as_f64().unwrap());
    assert!(took < 4 * DEFAULT_BUDGET, "{took:?}");
    for name in ["iam", "ec2", "ecs"] {
        assert!(probe(&shown, name)["why_not"].is_string(), "{shown:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_ends_within_the_budget() {
    let hole = BlackHole::open().await;
    let begun = Instant::now();
    let attribution = nowhere()
        .budget(DEFAULT_BUDGET)
        .environment([
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", hole.url()),
            ("ECS_CONTAINER_METADATA_URI_V4", hole.url()),
            (
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "/v2/credentials/5f4c",
            ),
            ("K8S_POD_NAME", "checkout-7"),
        ])
        .ecs_credentials_address(hole.url())
        .build()
        .collect()
        .await;
    assert!(begun.elapsed() <= DEFAULT_BUDGET, "{:?}", begun.elapsed());
    assert!(DEFAULT_BUDGET < Duration::from_secs(1));
    assert_eq!(attribution.text("k8s.pod.name"), Some("checkout-7"));
    assert!(attribution.took() <= DEFAULT_BUDGET);
    for name in ["iam", "ec2", "ecs"] {
        let why = why_not(&attribution, name);
        assert!(why.contains("no answer within"), "{name}: {why}");
    }
}

#[tokio::test]
async fn a_process_collects_once() {
    // The collection of a process reads the process's own environment: this one has its own.
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "attribution::process::in_a_process_of_its_own",
        ])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("K8S_POD_NAME", "alone")
        .env_remove("ECS_CONTAINER_METADATA_URI_V4")
        .env_remove("AWS_REGION")
        .env_remove("AWS_DEFAULT_REGION")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{output:?}"
    );
}

#[tokio::test]
#[ignore = "a_process_collects_once runs it, with an environment of its own"]
async fn in_a_process_of_its_own() {
    assert!(known().is_none());
    // From any task: the collection is `Send`.
    let task = tokio::spawn(current());
    let (first, second) = (current().await, task.await.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&first, &known().unwrap()));
    assert_eq!(first.text("k8s.pod.name"), Some("alone"));
    let again = Collector::builder().build().collect().await;
    assert_eq!(again.text("k8s.pod.name"), Some("alone"));
}
