//! What becomes of Vault's tokens that are denied, and of those that end.

use approzium::authenticator::VaultLogin;
use approzium_peers::{OpenBao, peer};
use serde_json::json;

use super::{
    Login, Service,
    trouble::accessors,
    vault::{RECORD, app_role, at, denied, openbao},
};
use crate::authenticator::process::until;

#[tokio::test]
async fn nobody_logs_in_anew_for_what_a_policy_does_not_allow() {
    let bao = peer!(openbao());
    let folder = tempfile::tempdir().unwrap();
    let secret_id = folder.path().join("secret-id");
    let role_id = app_role(&bao, "", &secret_id).await;
    // Its tokens may not look themselves up.
    let bare = json!({"token_no_default_policy": true});
    bao.post("auth/machines/role/approzium", &bare)
        .await
        .unwrap();
    bao.policy("approzium", RECORD).await.unwrap();
    let login = VaultLogin::app_role(role_id, &secret_id).mount("machines");
    let service = Service::start(at(&bao).login(login).build().unwrap()).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    let refused_everywhere = async || {
        for number in 0..4 {
            let host = format!("db{number}.example");
            assert_eq!(service.login_at(&host, "app").await, denied());
        }
    };

    let logins = accessors(&bao).await;
    refused_everywhere().await;
    assert_eq!(accessors(&bao).await, logins);
    // Once it is withdrawn, and once more at once: each time the token was good.
    for _ in 0..2 {
        withdraw(&bao).await;
        assert_eq!(service.login("app").await, Login::Accepted);
    }
    // Nothing proves any more that its token is good, and no login's is better.
    bao.policy("approzium", "elsewhere/*").await.unwrap();
    let logins = accessors(&bao).await.len();
    refused_everywhere().await;
    assert_eq!(accessors(&bao).await.len(), logins + 1);
}

async fn withdraw(bao: &OpenBao) {
    let path = "sys/leases/revoke-force/auth/machines";
    bao.post(path, &json!({})).await.unwrap();
}

#[tokio::test]
async fn that_a_given_token_ends_is_shown_until_and_after_it_does() {
    let bao = peer!(openbao());
    // Each renewal gives what is left.
    let ends = json!({"explicit_max_ttl": "7s"});
    let token = bao.token("approzium", "7s", &ends).await.unwrap();
    let vault = at(&bao).login(VaultLogin::token(token));
    let service = Service::start(vault.build().unwrap()).await;
    let shown = async |what: &str| {
        let series = format!("approzium_secrets_token_{what}_seconds");
        service.house.metric(&series).await
    };
    until("its end", async || {
        assert_eq!(shown("lifetime").await, 7.0);
        (service.login("app").await == denied()).then_some(())
    })
    .await;
    assert_eq!(shown("lifetime").await, 7.0);
    assert!(shown("expiry_timestamp").await > 0.0);
    let told = service.log.lines(|line| {
        line.to_string()
            .contains("Vault renews the token for less and less")
    });
    assert_eq!(told.len(), 1, "{told:?}");
}
