//! `approzium serve --check` reaches the secrets manager, as `serve` is set to.

use std::time::Duration;

use approzium_peers::{Moto, OpenBao, eventually, moto::ACCOUNT, peer};
use serde_json::json;

use super::{PASSWORD, aws::least_policy, secret, vault::openbao};
use crate::authenticator::process::{command, failing};

const PATIENCE: Duration = Duration::from_secs(30);

/// What it says of the records.
fn records(flags: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = command(&["--check", "--without-sts", "--disable-tls"]);
    command.args(flags).envs(variables.iter().copied());
    let output = failing(command);
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.contains(" records "));
    let error = String::from_utf8_lossy(&output.stderr);
    line.unwrap_or_else(|| panic!("{said}{error}")).to_owned()
}

#[tokio::test]
async fn vault_is_asked_and_its_trouble_is_named() {
    let bao = peer!(openbao());
    let url = bao.url();
    let flags = ["--secrets-manager=vault"];
    let look = |token: &str| records(&flags, &[("VAULT_ADDR", &url), ("VAULT_TOKEN", token)]);
    assert!(look(OpenBao::ROOT).starts_with("ok"));
    let refused = look("hvs.other");
    assert!(refused.starts_with("FAILED") && refused.contains("secrets_refused"));
    assert!(!refused.contains("hvs.other"), "{refused}");
    bao.seal().await.unwrap();
    let sealed = look(OpenBao::ROOT);
    assert!(sealed.starts_with("FAILED") && sealed.contains("secrets_sealed"));
}

/// The policies of `docs/secrets.md`, of which one names databases one by one: readiness is asked for
/// under a name of its own.
#[tokio::test]
async fn the_policies_of_the_manual_let_readiness_ask() {
    let bao = peer!(openbao());
    let url = bao.url();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/secrets.md");
    let page = std::fs::read_to_string(page).unwrap();
    let policies: Vec<&str> = page
        .split("```")
        .filter_map(|block| block.strip_prefix("hcl\n"))
        .collect();
    let [all, named] = policies[..] else {
        panic!("{policies:?}")
    };
    let without = named.replace("readiness", "other");
    for version in [1, 2] {
        if version == 2 {
            let upgraded = json!({"options": {"version": "2"}});
            bao.post("sys/mounts/approzium/tune", &upgraded)
                .await
                .unwrap();
        }
        for (policy, good) in [(all, true), (named, true), (without.as_str(), false)] {
            let policy = json!({"policy": policy});
            bao.post("sys/policies/acl/manual", &policy).await.unwrap();
            let token = bao.token("manual", "1h", &json!({})).await.unwrap();
            let variables = [("VAULT_ADDR", url.as_str()), ("VAULT_TOKEN", &token)];
            let found = eventually("it is upgraded", PATIENCE, async || {
                let found = records(&["--secrets-manager=vault"], &variables);
                (!found.contains("secrets_unavailable")).then_some(found)
            })
            .await;
            assert_eq!(found.starts_with("ok"), good, "{version}: {found}");
            assert_eq!(found.contains("readiness"), !good, "{version}: {found}");
        }
    }
}

/// The role alone may read secrets, and the user may do nothing but assume it.
#[tokio::test]
async fn aws_is_asked_as_the_assumed_role() {
    let moto = peer!(Moto::start());
    let user = moto.user("approzium").await.unwrap();
    let assume = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}],
    });
    moto.allow("approzium", &assume).await.unwrap();
    for role in ["reader", "other"] {
        moto.assumed_role(ACCOUNT, "/", role, "x").await.unwrap();
    }
    moto.allow_role("reader", &least_policy()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = moto
        .authority()
        .write(folder.path().join("ca.pem"))
        .unwrap();
    let variables = [
        ("AWS_ACCESS_KEY_ID", user.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &user.secret_access_key),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL_STS", &moto.url()),
        ("SSL_CERT_FILE", ca.to_str().unwrap()),
        ("APPROZIUM_ASM_ENDPOINT", &moto.url()),
        ("APPROZIUM_SECRETS_TIMEOUT", "9s"),
    ];
    let look = |role: &str| {
        let role = format!("--assume-aws-role=arn:aws:iam::{ACCOUNT}:role/{role}");
        records(&["--secrets-manager=asm", &role], &variables)
    };
    let found = look("reader");
    assert!(found.starts_with("ok"), "{found}");
    let found = look("other");
    assert!(
        found.starts_with("FAILED") && found.contains("secrets_refused"),
        "{found}"
    );
}

#[test]
fn every_file_that_is_mounted_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("--kubernetes-secrets-path={}", folder.path().display());
    let look = || records(&["--secrets-manager=kubernetes", &path], &[]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let empty = look();
    assert!(
        empty.starts_with("FAILED") && empty.contains("mount the Secret here"),
        "{empty}"
    );
    write("db_5432", &secret("app", PASSWORD).to_string());
    let found = look();
    assert!(found.starts_with("ok") && found.contains("1"), "{found}");
    write("other_5432", PASSWORD);
    let found = look();
    assert!(
        found.starts_with("FAILED") && found.contains("other_5432: "),
        "{found}"
    );
    assert!(!found.contains(PASSWORD), "{found}");
}
