//! Logins at real databases, also while their passwords are changed.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use approzium::{
    authenticator::{Limits, SecretsManager, VaultLogin, VaultSecrets, dev::DevSts},
    identity::aws::PresignedLimits,
};
use approzium_peers::{Method, OpenBao, Postgres, Result, Rule, eventually, peer};
use futures_util::future::join_all;
use serde_json::json;

use super::{
    answers::v1,
    client::{Client, PasswordRequest, who},
    login::{Refused, log_in},
    presigned::Presigned,
};
use crate::{
    authenticator::process::PASSWORD,
    rejections::{House, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const SECOND: &str = "canary-second";
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A server whose passwords OpenBao keeps, and an Authenticator that keeps what it read for a minute.
struct Rotating {
    server: Postgres,
    bao: OpenBao,
    client: Client,
    url: String,
    _house: House,
    _sts: DevSts,
}

impl Rotating {
    async fn start() -> Result<Self> {
        let (server, bao) = (server().await?, OpenBao::start().await?);
        bao.mount_kv("approzium", 1).await?;
        let sts = dev_sts().await;
        let vault = VaultSecrets::builder(bao.url()).login(VaultLogin::token(OpenBao::ROOT));
        let vault = vault.ttl(Duration::from_secs(60)).build().unwrap();
        let mut limits = Limits::default();
        limits.sts_calls_per_second = 10_000;
        limits.sts_calls_per_second_per_address = 10_000;
        let house = House::start_with(sts.verifier(), "[]", |builder, _| {
            let builder = builder.v1_api(PresignedLimits::default()).limits(limits);
            builder.secrets(SecretsManager::from(vault))
        })
        .await;
        let keys = sts.identity("checkout").unwrap().credentials();
        let rotating = Rotating {
            client: Client::of(&house).await,
            url: Presigned::for_stand_in(&sts).url(&keys),
            server,
            bao,
            _house: house,
            _sts: sts,
        };
        rotating.file(PASSWORD).await;
        Ok(rotating)
    }

    /// The password of both, in the secrets manager.
    async fn file(&self, password: &str) {
        for (user, _, method, host) in USERS {
            let role = "arn:aws:iam::000000000000:role/checkout";
            let record = json!({"password": password, "iam_arns": [role], "methods": [method]});
            let path = format!("approzium/{host}:{}", self.server.port());
            self.bao.post(&path, &json!({user: record})).await.unwrap();
        }
    }

    async fn rotate(&self) {
        self.file(SECOND).await;
        set(&self.server, SECOND).await.unwrap();
    }

    async fn log_in(&self, number: usize) -> std::result::Result<(), Refused> {
        let (user, _, _, host) = USERS[number];
        let who = at(host, &self.server, &who(&self.url, CHECKOUT, user));
        log_in(&self.server, &self.client, &who).await
    }
}

/// v1 says nothing of how a login ended.
#[tokio::test]
async fn a_password_that_was_changed_is_refused_once_at_most() {
    let rotating = peer!(Rotating::start());
    for number in [0, 1] {
        rotating.log_in(number).await.unwrap();
    }
    rotating.rotate().await;
    // Another salt tells of it; MD5 has none of the password's.
    rotating.log_in(0).await.unwrap();
    let first = rotating.log_in(1).await;
    assert!(
        first.is_ok() || first == Err("28P01".to_owned()),
        "{first:?}"
    );
    rotating.log_in(1).await.unwrap();
}

/// By SCRAM. Whoever was under way may be refused, and tries once more.
#[tokio::test]
async fn a_password_is_changed_under_load() {
    const TASKS: usize = 4;
    const MANY: usize = 20;
    let rotating = peer!(Rotating::start());
    let (done, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let task = async || {
        while !is_over.load(Ordering::SeqCst) {
            if rotating.log_in(0).await.is_err() {
                rotating.log_in(0).await.unwrap();
            }
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    let more = async || {
        let before = done.load(Ordering::SeqCst);
        eventually("more logins", PATIENCE, async || {
            (done.load(Ordering::SeqCst) >= before + MANY).then_some(())
        })
        .await;
    };
    let change = async {
        more().await;
        rotating.rotate().await;
        more().await;
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(join_all((0..TASKS).map(|_| task())), change);
}

fn at(host: &str, server: &Postgres, who: &PasswordRequest) -> PasswordRequest {
    PasswordRequest {
        dbhost: host.into(),
        dbport: server.port().to_string(),
        ..who.clone()
    }
}
