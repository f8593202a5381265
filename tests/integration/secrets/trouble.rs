//! The token of the Authenticator ends, and the secrets manager is sealed, while applications
//! connect.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use approzium::authenticator::VaultLogin;
use approzium_peers::{OpenBao, eventually, peer};
use reqwest::Method;
use serde_json::json;

use super::{
    stage::Stage,
    vault::{app_role, at, openbao},
};
use crate::load::Load;

const PATIENCE: Duration = Duration::from_secs(60);

/// A token can be renewed once, for as long, and then for less than half of it.
const TTL: Duration = Duration::from_secs(3);
const MAX_TTL: Duration = Duration::from_secs(5);

/// By an AppRole whose tokens do not live long.
async fn short_lived(bao: &OpenBao, folder: &Path) -> VaultLogin {
    let secret_id = folder.join("secret-id");
    let role_id = app_role(bao, "", &secret_id).await;
    let (ttl, max_ttl) = (TTL.as_secs(), MAX_TTL.as_secs());
    let lives = json!({"token_ttl": ttl, "token_max_ttl": max_ttl});
    let role = "auth/machines/role/approzium";
    bao.post(role, &lives).await.unwrap();
    VaultLogin::app_role(role_id, &secret_id).mount("machines")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_vault_s_tokens_end_is_noticed_by_nobody() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let others = accessors(&bao).await;
    let vault = at(&bao).login(short_lived(&bao, folder.path()).await);
    let stage = peer!(Stage::set(bao, vault));
    let load = Load::start(&stage.applications(), &stage.string("app"));
    let (mut seen, mut renewed) = (Vec::new(), false);
    eventually("the ends of two tokens", PATIENCE, async || {
        let living = accessors(&stage.bao).await;
        for accessor in &living {
            if !others.contains(accessor) && !seen.contains(accessor) {
                seen.push(accessor.clone());
            }
            renewed |= was_renewed(&stage.bao, accessor).await;
        }
        let ended = seen.iter().filter(|accessor| !living.contains(accessor));
        (ended.count() >= 2 && renewed).then_some(())
    })
    .await;
    load.more().await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
}

pub(super) async fn accessors(bao: &OpenBao) -> Vec<String> {
    let path = "auth/token/accessors?list=true";
    let answer = bao.ask(Method::GET, path, &json!({})).await.unwrap();
    serde_json::from_value(answer["data"]["keys"].clone()).unwrap()
}

async fn was_renewed(bao: &OpenBao, accessor: &str) -> bool {
    let body = json!({"accessor": accessor});
    let found = bao.post("auth/token/lookup-accessor", &body).await;
    // It may have ended meanwhile.
    found.is_ok_and(|found| found["data"]["last_renewal"].is_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_is_noticed_by_nobody_whose_record_is_known() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let login = short_lived(&bao, folder.path()).await;
    let vault = at(&bao).login(login).ttl(Duration::from_secs(60));
    let stage = peer!(Stage::set(bao, vault));
    let load = Load::start(&stage.applications(), &stage.string("app"));
    load.more().await;
    stage.bao.seal().await.unwrap();
    load.more().await;
    stage.bao.unseal().await.unwrap();
    load.more().await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
}

/// The token ends while it is sealed, so that another is needed then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_is_named_while_it_lasts_and_fails_nobody_after() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let vault = at(&bao).login(short_lived(&bao, folder.path()).await);
    let stage = peer!(Stage::set(bao, vault));
    let load = Load::of_the_patient(&stage.applications(), &stage.string("app"));
    load.more().await;
    stage.bao.seal().await.unwrap();
    let sealed = Instant::now();
    load.many_fail_after(sealed + MAX_TTL).await;
    let unsealing = Instant::now();
    stage.bao.unseal().await.unwrap();
    let unsealed = Instant::now();
    load.more().await;
    load.more().await;
    let failures = stage.failures();
    for heard in load.end().await {
        assert!(heard.error.is_retryable(), "{heard:?}");
        assert!(heard.began <= unsealed, "{heard:?}");
        let reason = &failures[heard.error.request_id().unwrap()];
        if heard.began >= sealed && heard.ended <= unsealing {
            assert_eq!(reason, "secrets_sealed");
        }
    }
}
