//! Where Vault is: behind a certificate of an authority of its own, and in a namespace.

use approzium::authenticator::{KvVersion, VaultLogin, VaultSecrets};
use approzium_peers::{Authority, OpenBao, peer};
use serde_json::json;

use super::{
    Code, Login, PASSWORD, Service, no_record, refused, secret,
    vault::{NOW, app_role, at, denied, openbao},
};
use crate::authenticator::process::until;

#[tokio::test]
async fn only_vault_s_own_authority_vouches_for_it() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger.crt");
    let stranger = Authority::default().write(stranger).unwrap();
    let vault = || {
        let token = VaultLogin::token(OpenBao::ROOT);
        VaultSecrets::builder(bao.tls_url()).login(token)
    };
    let unavailable = refused(Code::Unavailable, "secrets_unavailable");
    for (vault, expected) in [
        (vault().ca_path(bao.ca_path()), Login::Accepted),
        (vault().ca_path(stranger), unavailable.clone()),
        // The system's authorities do not know it either.
        (vault(), unavailable),
    ] {
        let shown = format!("{vault:?}");
        let service = Service::start(vault.build().unwrap()).await;
        assert_eq!(service.login("app").await, expected, "{shown}");
    }
}

#[tokio::test]
async fn authorities_are_exchanged_while_it_serves() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    std::fs::copy(bao.ca_path(), &file).unwrap();
    let vault = VaultSecrets::builder(bao.tls_url())
        .login(VaultLogin::token(OpenBao::ROOT))
        .ca_path(&file)
        .ttl(NOW);
    let service = Service::start(vault.build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    let exchanged = async |pem: &str, result: &str| {
        let series =
            format!("approzium_reloads_total{{file=\"secrets_manager_ca\",result=\"{result}\"}}");
        let before = service.house.metric(&series).await;
        std::fs::write(&file, pem).unwrap();
        until("it is read again", async || {
            (service.house.metric(&series).await > before).then_some(())
        })
        .await;
    };

    let renewed = Authority::default();
    bao.certified_by(&renewed).unwrap();
    exchanged(&renewed.pem(), "ok").await;
    until("a login", async || {
        (service.login("app").await == Login::Accepted).then_some(())
    })
    .await;
    // What is not good changes nothing.
    exchanged("no certificate", "failed").await;
    assert_eq!(service.login("app").await, Login::Accepted);
    // Nobody is trusted for having been.
    exchanged(&Authority::default().pem(), "ok").await;
    let unavailable = refused(Code::Unavailable, "secrets_unavailable");
    assert_eq!(service.login("app").await, unavailable);
}

#[tokio::test]
async fn an_engine_that_was_upgraded_is_asked_by_its_new_version() {
    let bao = peer!(openbao());
    let login = || VaultLogin::token(OpenBao::ROOT);
    let service = Service::start(at(&bao).login(login()).build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    let upgraded = json!({"options": {"version": "2"}});
    bao.post("sys/mounts/approzium/tune", &upgraded)
        .await
        .unwrap();
    until("a login", async || {
        let found = service.login("app").await;
        let upgrading = refused(Code::Unavailable, "secrets_unavailable");
        assert!([Login::Accepted, upgrading].contains(&found), "{found:?}");
        (found == Login::Accepted).then_some(())
    })
    .await;
    assert_eq!(service.login_at("db2.example", "app").await, no_record());
    // Who says which version it is, is not asked again.
    let said = at(&bao).login(login()).kv_version(KvVersion::One);
    let service = Service::start(said.build().unwrap()).await;
    assert_eq!(service.login("app").await, denied());
}

#[tokio::test]
async fn login_and_secrets_are_those_of_the_namespace() {
    let bao = peer!(openbao());
    bao.post("sys/namespaces/team", &json!({})).await.unwrap();
    let kv = json!({"type": "kv", "options": {"version": "1"}});
    bao.post("team/sys/mounts/approzium", &kv).await.unwrap();
    let record = secret("theirs", PASSWORD);
    let path = "team/approzium/db.example:5432";
    bao.post(path, &record).await.unwrap();
    let policy = json!({"policy": "path \"approzium/*\" { capabilities = [\"read\"] }"});
    let path = "team/sys/policies/acl/approzium";
    bao.post(path, &policy).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let secret_id = folder.path().join("secret-id");
    let role_id = app_role(&bao, "team/", &secret_id).await;
    let vault = || at(&bao).login(VaultLogin::app_role(&role_id, &secret_id).mount("machines"));

    // The one outside has the same path, and the user `app`.
    let service = Service::start(vault().namespace("team").build().unwrap()).await;
    assert_eq!(service.login("theirs").await, Login::Accepted);
    assert_eq!(service.login("app").await, no_record());
    let outside = at(&bao).login(VaultLogin::token(OpenBao::ROOT));
    let service = Service::start(outside.build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(service.login("theirs").await, no_record());

    // Nobody outside knows its roles.
    let service = Service::start(vault().build().unwrap()).await;
    assert_eq!(service.login("theirs").await, denied());
    let service = Service::start(vault().namespace("other").build().unwrap()).await;
    assert_eq!(service.login("theirs").await, denied());
}
