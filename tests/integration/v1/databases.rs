//! Logins at real databases, also while their passwords are changed.

use std::time::Duration;

use approzium::{
    authenticator::{SecretsManager, VaultLogin, VaultSecrets},
    identity::aws::PresignedLimits,
};
use approzium_peers::{Method, OpenBao, Postgres, Result, Rule, peer};
use serde_json::json;

use super::{
    answers::v1,
    client::{Client, PasswordRequest, who},
    login::log_in,
    presigned::Presigned,
};
use crate::{
    authenticator::process::PASSWORD,
    rejections::{House, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const SECOND: &str = "canary-second";

/// A user of each method, and the name that its record says of the one server.
const USERS: [(&str, Method, &str, &str); 2] = [
    ("app", Method::ScramSha256, "scram-sha-256", "127.0.0.1"),
    ("old", Method::Md5, "md5", "localhost"),
];

async fn server() -> Result<Postgres> {
    let mut server = Postgres::builder().version(15);
    for (user, method, ..) in USERS {
        server = server.rule(Rule::host(user, method));
    }
    let server = server.start().await?;
    set(&server, PASSWORD).await?;
    Ok(server)
}

/// The password of both, in the database.
async fn set(server: &Postgres, password: &str) -> Result<()> {
    for (user, method, ..) in USERS {
        server.role(user, password, method).await?;
    }
    Ok(())
}

#[tokio::test]
async fn postgresql_accepts_what_is_answered() {
    let server = peer!(server());
    let sts = dev_sts().await;
    let records = USERS.map(|(user, _, method, host)| {
        format!(
            "- {{dbhost: {host}, dbport: {}, dbuser: {user}, password: {PASSWORD}, \
             iam_arn: 'arn:aws:iam::000000000000:role/checkout', methods: [{method}]}}\n",
            server.port()
        )
    });
    let house = v1(&sts, &records.concat()).await;
    let client = Client::of(&house).await;
    let url = Presigned::for_stand_in(&sts).url(&sts.identity("checkout").unwrap().credentials());
    for (user, _, _, host) in USERS {
        let who = at(host, &server, &who(&url, CHECKOUT, user));
        log_in(&server, &client, &who).await.unwrap();
    }
}

/// v1 says nothing of how a login ended. What is kept of a record would be good for a minute.
#[tokio::test]
async fn a_password_that_was_changed_is_refused_once_at_most() {
    let server = peer!(server());
    let bao = peer!(OpenBao::start());
    bao.mount_kv("approzium", 1).await.unwrap();
    let file = async |password: &str| {
        for (user, _, method, host) in USERS {
            let role = "arn:aws:iam::000000000000:role/checkout";
            let record = json!({"password": password, "iam_arns": [role], "methods": [method]});
            let path = format!("approzium/{host}:{}", server.port());
            bao.post(&path, &json!({user: record})).await.unwrap();
        }
    };
    file(PASSWORD).await;
    let sts = dev_sts().await;
    let vault = VaultSecrets::builder(bao.url()).login(VaultLogin::token(OpenBao::ROOT));
    let vault = vault.ttl(Duration::from_secs(60)).build().unwrap();
    let house = House::start_with(sts.verifier(), "[]", |builder, _| {
        let builder = builder.v1_api(PresignedLimits::default());
        builder.secrets(SecretsManager::from(vault))
    })
    .await;
    let client = Client::of(&house).await;
    let url = Presigned::for_stand_in(&sts).url(&sts.identity("checkout").unwrap().credentials());
    let log_in = async |number: usize| {
        let (user, _, _, host) = USERS[number];
        let who = at(host, &server, &who(&url, CHECKOUT, user));
        log_in(&server, &client, &who).await
    };
    for number in [0, 1] {
        log_in(number).await.unwrap();
    }
    file(SECOND).await;
    set(&server, SECOND).await.unwrap();
    // Another salt tells of it; MD5 has none of the password's.
    log_in(0).await.unwrap();
    let first = log_in(1).await;
    assert!(
        first.is_ok() || first == Err("28P01".to_owned()),
        "{first:?}"
    );
    log_in(1).await.unwrap();
}

fn at(host: &str, server: &Postgres, who: &PasswordRequest) -> PasswordRequest {
    PasswordRequest {
        dbhost: host.into(),
        dbport: server.port().to_string(),
        ..who.clone()
    }
}
