//! Vault's API, by OpenBao.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use approzium::authenticator::{KvVersion, VaultLogin, VaultSecrets, VaultSecretsBuilder};
use approzium_peers::{OpenBao, peer};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{self, AsyncWriteExt},
    net::TcpListener,
};

use super::{Code, HOSTILE, Login, PASSWORD, Service, no_record, refused, secret};
use crate::authenticator::process::{until, write_private};

pub(super) const RECORD: &str = "approzium/db.example:5432";

/// Asks for every login: nothing is kept.
pub(super) const NOW: Duration = Duration::from_millis(1);

/// With a KV engine of version 1 at `approzium`, a record, and a policy by which all are read.
pub(super) async fn openbao() -> approzium_peers::Result<OpenBao> {
    let bao = OpenBao::start().await?;
    bao.mount_kv("approzium", 1).await?;
    bao.policy("approzium", "approzium/*").await?;
    bao.post(RECORD, &secret("app", PASSWORD)).await?;
    Ok(bao)
}

pub(super) fn at(bao: &OpenBao) -> VaultSecretsBuilder {
    VaultSecrets::builder(bao.url()).ttl(NOW)
}

async fn with_token(bao: &OpenBao) -> VaultSecretsBuilder {
    let token = bao.token("approzium", "1h", &json!({})).await.unwrap();
    at(bao).login(VaultLogin::token(token))
}

pub(super) fn denied() -> Login {
    refused(Code::Internal, "secrets_refused")
}

#[tokio::test]
async fn records_are_found_in_kv_engines_of_both_versions() {
    let bao = peer!(openbao());
    bao.mount_kv("team/two", 2).await.unwrap();
    bao.policy("two", "team/two/data/db/*").await.unwrap();
    let wrapped = json!({"data": secret("app", PASSWORD)});
    let path = "team/two/data/db/db.example/5432";
    bao.post(path, &wrapped).await.unwrap();

    let token = bao.token("two", "1h", &json!({})).await.unwrap();
    let two = || {
        at(&bao)
            .login(VaultLogin::token(&token))
            .mount("team/two")
            .path("db/{host}/{port}")
    };
    for vault in [
        with_token(&bao).await,
        with_token(&bao).await.kv_version(KvVersion::One),
        two(),
        two().kv_version(KvVersion::Two),
    ] {
        let service = Service::start(vault.build().unwrap()).await;
        assert_eq!(service.login("app").await, Login::Accepted);
        assert_eq!(
            service.login_at("DB.example.", "app").await,
            Login::Accepted
        );
        assert_eq!(service.login("other").await, no_record());
        assert_eq!(service.login_at("db2.example", "app").await, no_record());
    }

    // Version 2 keeps what was deleted, and says so.
    let service = Service::start(two().build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    bao.ask(Method::DELETE, path, &json!({})).await.unwrap();
    assert_eq!(service.login("app").await, no_record());
    // A version that is not the engine's is not taken for an engine without records.
    let wrong = with_token(&bao).await.kv_version(KvVersion::Two);
    let service = Service::start(wrong.build().unwrap()).await;
    assert_eq!(service.login("app").await, no_record());
    let wrong = two().kv_version(KvVersion::One);
    let service = Service::start(wrong.build().unwrap()).await;
    assert_eq!(service.login("app").await, denied());
}

#[tokio::test]
async fn no_host_of_a_clients_reaches_another_path() {
    let bao = peer!(openbao());
    // What a host that is taken for a path would find.
    for path in ["sys/mounts", "db.example"] {
        let path = format!("approzium/{path}:5432");
        bao.post(&path, &secret("app", PASSWORD)).await.unwrap();
    }
    let vault = at(&bao).login(VaultLogin::token(OpenBao::ROOT));
    let service = Service::start(vault.build().unwrap()).await;
    for host in HOSTILE {
        assert_eq!(service.login_at(host, "app").await, no_record(), "{host}");
    }
    assert_eq!(service.login("app").await, Login::Accepted);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let bao = peer!(openbao());
    let token = bao.token("approzium", "3s", &json!({})).await.unwrap();
    let vault = at(&bao).login(VaultLogin::token(&token)).build().unwrap();
    let service = Service::start(vault).await;
    // Twice: the second time is by the life that the first renewal granted.
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let renewal = until("a renewal", async || {
            let known = bao
                .post("auth/token/lookup", &json!({"token": token}))
                .await;
            let at = known.unwrap()["data"]["last_renewal_time"].as_i64()?;
            (!seen.contains(&at)).then_some(at)
        });
        seen.push(renewal.await);
    }
    assert_eq!(service.login("app").await, Login::Accepted);
}

#[tokio::test]
async fn the_end_of_a_token_is_shown_where_it_has_one() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let begun = now();
    let token = bao.token("approzium", "2h", &json!({})).await.unwrap();
    // What was granted for two hours has one left.
    let renewed = json!({"token": token, "increment": "1h"});
    bao.post("auth/token/renew", &renewed).await.unwrap();
    write_private(&file, &token);
    let vault = at(&bao).login(VaultLogin::token_file(&file));
    let service = Service::start(vault.build().unwrap()).await;
    let shown = async |what: &str| {
        let series = format!("approzium_secrets_token_{what}_seconds");
        service.house.metric(&series).await
    };
    let hour = Duration::from_secs(60 * 60);
    let expiry = shown("expiry_timestamp").await;
    // Vault tells whole seconds that are left, and a metric whole seconds.
    let earliest = begun + hour - Duration::from_secs(2);
    assert!(earliest.as_secs_f64() <= expiry, "{expiry} {begun:?}");
    assert!(expiry <= (now() + hour).as_secs_f64(), "{expiry}");
    assert_eq!(shown("lifetime").await, (2 * hour).as_secs_f64());

    write_private(&file, OpenBao::ROOT);
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(shown("expiry_timestamp").await, 0.0);
    assert_eq!(shown("lifetime").await, 0.0);
}

#[tokio::test]
async fn a_token_that_ended_is_refused_and_another_in_the_file_is_used() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = async || bao.token("approzium", "1h", &json!({})).await.unwrap();
    let first = token().await;
    write_private(&file, &format!("{first}\n"));
    let vault = at(&bao).login(VaultLogin::token_file(&file));
    let service = Service::start(vault.build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);

    // Rotated while it is good: nobody notices.
    write_private(&file, &token().await);
    assert_eq!(service.login("app").await, Login::Accepted);
    revoke(&bao, &first).await;
    assert_eq!(service.login("app").await, Login::Accepted);

    let last = token().await;
    write_private(&file, &last);
    revoke(&bao, &last).await;
    assert_eq!(service.login("app").await, denied());
    write_private(&file, &token().await);
    until("a login by another token", async || {
        (service.login("app").await == Login::Accepted).then_some(())
    })
    .await;

    // A token that others can read is not used; the one before it is not used instead.
    write_private(&file, &token().await);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, open).unwrap();
    let unreadable = refused(Code::Unavailable, "secrets_unavailable");
    assert_eq!(service.login("app").await, unreadable);
}

async fn revoke(bao: &OpenBao, token: &str) {
    let token = json!({"token": token});
    bao.post("auth/token/revoke", &token).await.unwrap();
}

#[tokio::test]
async fn an_approle_logs_in_anew_when_its_token_is_withdrawn() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let secret_id = folder.path().join("secret-id");
    let role_id = app_role(&bao, "", &secret_id).await;
    let login = VaultLogin::app_role(role_id, &secret_id).mount("machines");
    let vault = at(&bao).login(login).build().unwrap();
    let service = Service::start(vault).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    for _ in 0..2 {
        bao.post("sys/leases/revoke-force/auth/machines", &json!({}))
            .await
            .unwrap();
        assert_eq!(service.login("app").await, Login::Accepted);
    }
    // Its token is good, and the policy is not: nobody logs in for that.
    bao.policy("approzium", "elsewhere/*").await.unwrap();
    assert_eq!(service.login("app").await, denied());

    write_private(&secret_id, "no-such-id");
    bao.post("sys/leases/revoke-force/auth/machines", &json!({}))
        .await
        .unwrap();
    assert_eq!(service.login("app").await, denied());
}

/// Gives the role `approzium` of a namespace (`team/`, or none) its policy, and writes a secret id.
pub(super) async fn app_role(bao: &OpenBao, namespace: &str, secret_id: &Path) -> String {
    let method = format!("{namespace}sys/auth/machines");
    bao.post(&method, &json!({"type": "approle"}))
        .await
        .unwrap();
    let role = format!("{namespace}auth/machines/role/approzium");
    let policies = json!({"token_policies": ["approzium"], "token_ttl": "1h"});
    bao.post(&role, &policies).await.unwrap();
    let made = bao.post(&format!("{role}/secret-id"), &json!({})).await;
    let made = made.unwrap();
    write_private(secret_id, made["data"]["secret_id"].as_str().unwrap());
    let path = format!("{role}/role-id");
    let id = bao.ask(Method::GET, &path, &json!({})).await.unwrap();
    id["data"]["role_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_seal_is_told_apart_and_ends_with_it() {
    let bao = peer!(openbao());
    let service = Service::start(with_token(&bao).await.build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    bao.seal().await.unwrap();
    let sealed = refused(Code::Unavailable, "secrets_sealed");
    assert_eq!(service.login("app").await, sealed);
    assert_eq!(service.login_at("db2.example", "app").await, sealed);
    bao.unseal().await.unwrap();
    until("an unsealed login", async || {
        (service.login("app").await == Login::Accepted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_was_given_is_good_while_the_manager_is_sealed() {
    let bao = peer!(openbao());
    let vault = with_token(&bao).await.ttl(Duration::from_secs(60));
    let service = Service::start(vault.build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    bao.seal().await.unwrap();
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(service.login_again("app").await, Login::Accepted);
    let sealed = refused(Code::Unavailable, "secrets_sealed");
    assert_eq!(service.login_at("db2.example", "app").await, sealed);
}

#[tokio::test]
async fn a_policy_that_does_not_reach_is_not_an_absent_record() {
    let bao = peer!(openbao());
    bao.policy("elsewhere", "approzium/db2.example:5432")
        .await
        .unwrap();
    let token = bao.token("elsewhere", "1h", &json!({})).await.unwrap();
    let vault = at(&bao).login(VaultLogin::token(token)).build().unwrap();
    let service = Service::start(vault).await;
    assert_eq!(service.login("app").await, denied());
    assert_eq!(service.login_at("db2.example", "app").await, no_record());
    let nowhere = with_token(&bao).await.mount("nowhere");
    let service = Service::start(nowhere.build().unwrap()).await;
    assert_eq!(service.login("app").await, denied());
}

#[tokio::test]
async fn what_is_no_record_lets_nobody_in_and_is_not_shown() {
    let bao = peer!(openbao());
    let service = Service::start(with_token(&bao).await.build().unwrap()).await;
    for record in [
        json!({"app": PASSWORD}),
        json!({"app": {"password": PASSWORD}}),
        json!({"app": {"password": PASSWORD, "iam_arns": ["*"]}}),
        json!({"app": {"password": PASSWORD, "iam_arns": [], PASSWORD: 1}}),
    ] {
        bao.post(RECORD, &record).await.unwrap();
        let malformed = refused(Code::PermissionDenied, "secrets_malformed");
        assert_eq!(service.login("app").await, malformed, "{record}");
    }
    let shown = service
        .log
        .lines(|line| line.to_string().contains(PASSWORD));
    assert!(shown.is_empty(), "{shown:?}");
}

#[tokio::test]
async fn one_that_is_slow_or_away_or_points_elsewhere_is_no_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = format!("http://{}", elsewhere.local_addr().unwrap());
    let of = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let away = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        of(&gone)
    };
    let pointing = saying(&format!("307 Temporary Redirect\r\nlocation: {asked}/"), "").await;
    let broken = saying("500 Internal Server Error", "").await;
    let busy = saying("429 Too Many Requests", "").await;
    for (address, reason) in [
        (of(&silent), "secrets_slow"),
        (away, "secrets_unavailable"),
        (pointing, "secrets_unavailable"),
        (broken, "secrets_unavailable"),
        (busy, "secrets_throttled"),
    ] {
        let vault = VaultSecrets::builder(&address)
            .login(VaultLogin::token("hvs.x"))
            .kv_version(KvVersion::One)
            .timeout(Duration::from_millis(300));
        let service = Service::start(vault.build().unwrap()).await;
        let expected = refused(Code::Unavailable, reason);
        assert_eq!(service.login("app").await, expected, "{address}");
        let series =
            format!("approzium_decisions_total{{decision=\"failed\",reason=\"{reason}\"}}");
        assert_eq!(service.house.metric(&series).await, 1.0);
    }
    let followed = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(followed.is_err());
}

/// A server that says this to everything.
pub(super) async fn saying(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer.as_bytes()).await.ok();
            // Whoever closes with something left unread takes the answer back.
            io::copy(&mut stream, &mut io::sink()).await.ok();
        }
    });
    address
}
