//! `approzium serve --dev`: what it makes, and what it does not stand beside.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::authenticator::{
    client::Client,
    process::{Dev, Process, command, environment, failing, record, until},
};

#[test]
fn it_does_not_stand_beside_production() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "tls: {tls_cert_path: /etc/cert.pem}\n").unwrap();
    let file = format!("--config={}", file.display());
    for (arguments, variables, names) in [
        (&["--host=0.0.0.0"][..], &[][..], "host"),
        (&["--host=192.0.2.1"], &[], "host"),
        (&["--host=::"], &[], "host"),
        (&["--host=db.example"], &[], "host"),
        (&[], &[("APPROZIUM_HOST", "0.0.0.0")], "APPROZIUM_HOST"),
        (&["--secrets-manager=vault"], &[], "secrets_manager"),
        (&["--secrets-manager=asm"], &[], "secrets_manager"),
        (
            &[],
            &[("APPROZIUM_SECRETS_MANAGER", "vault")],
            "APPROZIUM_SECRETS_MANAGER",
        ),
        (&["--tls-cert-path=/etc/cert.pem"], &[], "tls_cert_path"),
        (&["--tls-key-path=/etc/key.pem"], &[], "tls_key_path"),
        (
            &[],
            &[("APPROZIUM_TLS_CERT_PATH", "/etc/cert.pem")],
            "APPROZIUM_TLS_CERT_PATH",
        ),
        (&[file.as_str()], &[], "tls_cert_path"),
        (&["--client-ca-path=/etc/ca.pem"], &[], "client_ca_path"),
        (&["--session-key-path=/etc/key"], &[], "session_key_path"),
        (&["--disable-tls"], &[], "disable_tls"),
        (&["--sts-fips"], &[], "sts_fips"),
        (&["--sts-regions=us-east-1"], &[], "sts_regions"),
        (&["--vault-token-path=/etc/token"], &[], "vault_token_path"),
        (
            &["--assume-aws-role=arn:aws:iam::1:role/x"],
            &[],
            "assume_aws_role",
        ),
        (
            &[],
            &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")],
            "KUBERNETES_SERVICE_HOST",
        ),
        (
            &[],
            &[("ECS_CONTAINER_METADATA_URI", "http://x")],
            "ECS_CONTAINER_METADATA_URI",
        ),
        (
            &[],
            &[("ECS_CONTAINER_METADATA_URI_V4", "http://x")],
            "ECS_CONTAINER_METADATA_URI_V4",
        ),
        (
            &[],
            &[("AWS_LAMBDA_FUNCTION_NAME", "f")],
            "AWS_LAMBDA_FUNCTION_NAME",
        ),
        (
            &[],
            &[("AWS_LAMBDA_RUNTIME_API", "x")],
            "AWS_LAMBDA_RUNTIME_API",
        ),
    ] {
        let made = folder.path().join("made");
        let mut command = command(&["--dev", "--grpc-port=0", "--http-port=0"]);
        command.arg("--dev-dir").arg(&made);
        command.args(arguments);
        command.envs(variables.iter().copied());
        let output = failing(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?} {variables:?}: {said}"
        );
        assert!(said.contains(names), "{arguments:?} {variables:?}: {said}");
        assert!(!made.exists(), "nothing is made for whoever is refused");
    }
}

#[tokio::test]
async fn it_makes_everything_that_an_application_needs() {
    let dev = Dev::start(&record("app", "")).await;
    for name in [
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL_STS",
        "APPROZIUM_ADDRESS",
        "APPROZIUM_CA",
    ] {
        assert!(!dev.variable(name).is_empty(), "{name}");
    }
    for name in ["AWS_ENDPOINT_URL_STS", "APPROZIUM_ADDRESS"] {
        assert!(dev.variable(name).contains("127.0.0.1:"), "{name}");
        assert!(!dev.variable(name).ends_with(":0"), "{name}");
    }
    for file in std::fs::read_dir(dev.folder.path()).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "secrets.yaml" {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }
    until("the banner", async || {
        let banner = dev.process.out().join("\n");
        banner.contains("DEVELOPMENT MODE").then_some(())
    })
    .await;

    let client = Client::connect(&dev).await;
    let mut tokens = BTreeSet::new();
    for profile in ["checkout", "reporting", "intruder", "developer"] {
        tokens.insert(client.token(&dev, profile).await);
    }
    assert_eq!(tokens.len(), 4);
}

#[tokio::test]
async fn each_start_has_keys_of_its_own() {
    let (first, second) = tokio::join!(Dev::start(""), Dev::start(""));
    let read = |dev: &Dev, name: &str| std::fs::read_to_string(dev.variable(name)).unwrap();
    for name in ["AWS_SHARED_CREDENTIALS_FILE", "APPROZIUM_CA"] {
        assert_ne!(read(&first, name), read(&second, name));
    }
}

#[tokio::test]
async fn its_own_folder_is_printed_and_goes_with_it() {
    let mut process = Process::start(command(&["--dev", "--grpc-port=0", "--http-port=0"]));
    let folder = until("the folder", async || {
        let out = process.out();
        let line = out
            .iter()
            .find_map(|line| line.trim().strip_prefix("folder"));
        line.map(|path| PathBuf::from(path.trim()))
    })
    .await;
    let environment = environment(&folder).await;
    assert!(Path::new(&environment["APPROZIUM_CA"]).starts_with(&folder));
    let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    assert!(folder.join("secrets.yaml").exists());
    process.terminate();
    assert!(process.ended().await.success());
    assert!(!folder.exists());
}
