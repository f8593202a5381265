//! `approzium serve --check` reaches the secrets manager, as `serve` is set to.

use approzium_peers::{Moto, OpenBao, moto::ACCOUNT, peer};
use serde_json::json;

use super::{PASSWORD, aws::least_policy, secret, vault::openbao};
use crate::authenticator::process::{command, failing};

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
