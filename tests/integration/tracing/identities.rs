//! Which identity lines name where a process has several.

use std::time::Duration;

use approzium::{AuthClient, set_default_auth_client, tracing::attributed};
use approzium_peers::{eventually, peer};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use serde_json::Value;
use tracing_subscriber::{fmt, layer::SubscriberExt, registry};

use super::{output::Output, run};
use crate::thread::{House, application::CHECKOUT};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn lines_name_the_default_client_or_what_all_have_in_common() {
    let house = peer!(House::open(None));
    run(&house, "tracing::identities::several").await;
}

#[tokio::test]
#[ignore = "an application: the test above runs it"]
async fn several() {
    assert_eq!(role(), Value::Null);
    let [checkout, same, reporting] = ["checkout", "checkout", "reporting"].map(client);
    for client in [&checkout, &same] {
        client.authenticate().await.unwrap();
        assert_eq!(role(), "checkout");
    }
    reporting.authenticate().await.unwrap();
    assert_eq!(role(), Value::Null, "one of two would be a guess");

    set_default_auth_client(reporting.clone());
    assert_eq!(role(), "reporting");
    set_default_auth_client(client("checkout"));
    assert_eq!(role(), Value::Null, "it is not verified yet");
    approzium::default_auth_client()
        .unwrap()
        .authenticate()
        .await
        .unwrap();
    assert_eq!(role(), "checkout");

    // Of a client that is gone nothing comes any more.
    set_default_auth_client(client("checkout"));
    assert_eq!(role(), Value::Null, "it is not verified yet");
    drop(reporting);
    assert_eq!(role(), "checkout");
}

/// As that of a migration, which ends before it is known what the process runs on.
#[tokio::test]
async fn lines_name_the_place_though_the_first_runtime_was_short() {
    let house = peer!(House::open(None));
    run(&house, "tracing::identities::two_runtimes").await;
}

#[test]
#[ignore = "an application: the test above runs it"]
fn two_runtimes() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap()
    };
    let pod = || said("approzium.k8s.pod.name");
    // What is begun here is never polled.
    runtime().block_on(async { assert_eq!(pod(), Value::Null) });
    runtime().block_on(eventually("the pod", PATIENCE, async || {
        (pod() == CHECKOUT.name).then_some(())
    }));
}

fn client(profile: &str) -> AuthClient {
    let file = std::env::var("AWS_SHARED_CREDENTIALS_FILE").unwrap();
    let file = std::fs::read_to_string(file).unwrap();
    let section = file.split('[').find_map(|section| {
        let (name, section) = section.split_once(']')?;
        (name == profile).then_some(section)
    });
    let value = |key: &str| {
        let lines = section.unwrap().lines();
        let mut settings = lines.filter_map(|line| line.split_once('='));
        let found = settings.find(|(name, _)| name.trim() == key);
        found.map(|(_, value)| value.trim().to_owned())
    };
    let credentials = Credentials::new(
        value("aws_access_key_id").unwrap(),
        value("aws_secret_access_key").unwrap(),
        value("aws_session_token"),
        None,
        "the file",
    );
    AuthClient::builder(std::env::var("APPROZIUM_ADDRESS").unwrap())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
        .unwrap()
}

fn role() -> Value {
    said("approzium.iam_role")
}

/// What a line of this moment says.
fn said(key: &str) -> Value {
    let output = Output::default();
    let lines = fmt::layer().json().map_event_format(attributed);
    let lines = lines.with_writer(output.writer());
    tracing::subscriber::with_default(registry().with(lines), || tracing::info!("now"));
    output.object("now")[key].clone()
}
