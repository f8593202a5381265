//! What the environment may decide, and what it may not. Each case runs in a process of its own,
//! since variables are a process's.

use std::{collections::HashMap, process::Output, time::Duration};

use approzium::{
    authenticator::dev::DevSts,
    identity::aws::{AwsProof, Signer, SignerBuilder},
};
use tokio::{net::TcpListener, process::Command};

use super::{
    AUDIENCE, NONCE, ask,
    hostile_sts::{Behaviour, Sts, answer, document},
    sign,
};

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// Set where a test's child runs: by itself it would go by the environment of whoever tests.
const CHILD: &str = "APPROZIUM_TEST_CHILD";
const ARN: &str = "arn:aws:iam::123456789012:user/ann";

#[tokio::test]
async fn the_verifier_is_deaf_to_proxies_and_endpoint_urls() {
    let trap = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let variables = [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
        "all_proxy",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
    ];
    let child = child("asks_the_regional_sts")
        .envs(variables.map(|name| (name, &url)))
        .output();
    let output = tokio::select! {
        output = child => output.unwrap(),
        _ = trap.accept() => panic!("the trap was connected to"),
    };
    let said = said(&output);
    assert_eq!(said.get("arn").map(String::as_str), Some(ARN), "{output:?}");
}

#[tokio::test]
#[ignore = "runs in the process that the test above starts"]
async fn asks_the_regional_sts() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let good = answer(200, "text/xml", &document(ARN, "123456789012"));
    let sts = Sts::start(Behaviour::Answer(good)).await;
    let keys = aws_credential_types::Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "x", None);
    let proof = sign(keys, "us-east-1", std::time::SystemTime::now()).await;
    let identity = ask(&sts.builder().build().unwrap(), &proof).await.unwrap();
    say("arn", &identity.arn);
}

#[tokio::test]
async fn a_trap_would_be_seen() {
    // The control of the first test: a client that does listen to the environment is caught.
    let trap = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let child = child("asks_through_a_proxy")
        .env("HTTPS_PROXY", &url)
        .output();
    tokio::select! {
        output = child => panic!("the trap was not connected to: {output:?}"),
        accepted = tokio::time::timeout(Duration::from_secs(30), trap.accept()) => {
            accepted.unwrap().unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "runs in the process that the test above starts"]
async fn asks_through_a_proxy() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(approzium_peers::certificates::client_configuration(&[]))
        .build()
        .unwrap();
    let _ = client.get("https://sts.invalid/").send().await;
}

#[tokio::test]
async fn the_sdks_chain_and_an_assumed_role_sign_proofs() {
    let sts = DevSts::start(LOOPBACK.into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    sts.write_credentials_file(&credentials).unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[profile checkout]\nregion = eu-west-1\n").unwrap();

    for (name, variables, region, arn) in [
        (
            "a profile",
            &[("AWS_PROFILE", "checkout")][..],
            "eu-west-1",
            "arn:aws:sts::000000000000:assumed-role/checkout/dev",
        ),
        (
            "a role that is assumed",
            &[
                ("AWS_PROFILE", "developer"),
                ("AWS_REGION", "ap-southeast-2"),
                ("TEST_IAM_ROLE", "arn:aws:iam::000000000000:role/reporting"),
                ("HOSTNAME", "pod-7f"),
            ],
            "ap-southeast-2",
            "arn:aws:sts::000000000000:assumed-role/reporting/approzium-pod-7f",
        ),
    ] {
        let output = child("signs_as_the_environment_says")
            .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
            .env("AWS_CONFIG_FILE", &config)
            .env("AWS_ENDPOINT_URL_STS", sts.endpoint())
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        let said = said(&output);
        let part = |name: &str| {
            said.get(name)
                .cloned()
                .unwrap_or_else(|| panic!("{name} was not said: {output:?}"))
        };
        let proof = AwsProof {
            access_key_id: part("access_key_id"),
            amz_date: part("amz_date"),
            region: part("region"),
            security_token: part("security_token"),
            audience: part("audience"),
            signature: part("signature"),
        };
        assert_eq!(proof.region, region, "{name}");
        let identity = ask(&sts.verifier(), &proof).await.unwrap();
        assert_eq!(identity.arn, arn, "{name}");
    }
}

#[tokio::test]
#[ignore = "runs in the processes that the test above starts"]
async fn signs_as_the_environment_says() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let signer = builder().build().await.unwrap();
    let now = std::time::SystemTime::now();
    let (proof, expires_at) = signer.sign(&NONCE, AUDIENCE, now).await.unwrap();
    let assumed = std::env::var_os("TEST_IAM_ROLE").is_some();
    assert_eq!(expires_at.is_some(), assumed, "only assumed roles expire");
    say("access_key_id", &proof.access_key_id);
    say("amz_date", &proof.amz_date);
    say("region", &proof.region);
    say("security_token", &proof.security_token);
    say("audience", &proof.audience);
    say("signature", &proof.signature);
}

#[tokio::test]
async fn without_region_or_credentials_the_error_says_what_to_do() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for (variables, expected) in [
        (&[][..], "no AWS region is known"),
        (&[("AWS_REGION", "eu-central-1")], "no provider has any"),
        (&[("AWS_REGION", "middle-earth-1")], "is no AWS region"),
    ] {
        let output = child("fails_as_the_environment_says")
            .env("AWS_SHARED_CREDENTIALS_FILE", empty.path())
            .env("AWS_CONFIG_FILE", empty.path())
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        let said = said(&output);
        let error = said.get("error").map(String::as_str).unwrap_or_default();
        assert!(error.contains(expected), "{variables:?}: {output:?}");
        assert!(error.contains("AWS_"), "help is missing: {error}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_named_with_the_reason() {
    let sts = DevSts::start(LOOPBACK.into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    sts.write_credentials_file(&credentials).unwrap();
    let output = child("fails_as_the_environment_says")
        .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
        .env("AWS_ENDPOINT_URL_STS", sts.endpoint())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_PROFILE", "intruder")
        .env("TEST_IAM_ROLE", "arn:aws:iam::000000000000:role/checkout")
        .output()
        .await
        .unwrap();
    let said = said(&output);
    let error = said.get("error").map(String::as_str).unwrap_or_default();
    for expected in ["role/checkout", "AccessDenied", "trust policy"] {
        assert!(error.contains(expected), "{expected}: {output:?}");
    }
}

#[tokio::test]
#[ignore = "runs in the processes that the tests above start"]
async fn fails_as_the_environment_says() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let now = std::time::SystemTime::now();
    let failure = match builder().build().await {
        Err(error) => error,
        Ok(signer) => signer.sign(&NONCE, AUDIENCE, now).await.unwrap_err(),
    };
    say("error", &failure.to_string());
}

fn builder() -> SignerBuilder {
    match std::env::var("TEST_IAM_ROLE") {
        Ok(role) => Signer::builder().iam_role(role),
        Err(_) => Signer::builder(),
    }
}

/// One ignored test of this module, in a process with nothing of AWS in its environment.
fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--ignored", "--nocapture"])
        .arg(format!("identity::environment::{test}"))
        .env_clear()
        .env(CHILD, "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
        .kill_on_drop(true);
    command
}

fn say(name: &str, value: &str) {
    eprintln!("SAID {name}={value}");
}

fn said(output: &Output) -> HashMap<String, String> {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| line.strip_prefix("SAID ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
