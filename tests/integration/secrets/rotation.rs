//! The database's password is changed, in the database and in the secrets manager, while
//! applications connect.

use std::time::Duration;

use approzium::authenticator::VaultLogin;
use approzium_peers::{OpenBao, peer};
use serde_json::json;

use super::{
    Login, PASSWORD, Service, secret,
    stage::Stage,
    vault::{RECORD, at, openbao},
};
use crate::{
    authenticator::client::{
        Handshake, both, challenge,
        v2::{Md5Challenge, authenticate_request::Message as Request, outcome},
    },
    load::{Load, TASKS},
};

const SECOND: &str = "canary-second";

/// A stage whose Authenticator keeps for so long what it read.
async fn with_ttl(ttl: Duration) -> approzium_peers::Result<Stage> {
    let bao = openbao().await?;
    let vault = at(&bao).login(VaultLogin::token(OpenBao::ROOT)).ttl(ttl);
    Stage::set(bao, vault).await
}

/// The one retry is the client's own, so that its application sees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_application_has_an_error_beyond_one_retry() {
    let stage = peer!(with_ttl(Duration::from_secs(60)));
    let applications = stage.applications();
    let load = Load::start(&applications, &stage.string("app"));
    load.more().await;
    stage.file(SECOND).await;
    stage.alter(SECOND).await;
    load.more().await;
    let errors = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
    let (refused, most) = (stage.refused().await, applications.len() * TASKS);
    assert!(refused <= most, "{refused} stale answers");
}

/// Nothing tells the Authenticator of a rotation before the database refuses: no key was confirmed
/// yet. Then one refusal is enough.
#[tokio::test]
async fn no_stale_answer_is_given_twice() {
    let stage = peer!(with_ttl(Duration::from_secs(60)));
    // Somebody asks, and does not log in: the record is kept, and nothing is confirmed.
    let absent = stage.connect_as("nobody").await.unwrap_err();
    assert!(absent.is_permission_denied(), "{absent}");
    stage.file(SECOND).await;
    stage.alter(SECOND).await;
    stage.connect().await.unwrap();
    let refusals = || async { (stage.refused().await == 1).then_some(()) };
    approzium_peers::eventually("one refusal", Duration::from_secs(30), refusals).await;
    stage.connect().await.unwrap();
    assert_eq!(stage.refused().await, 1);
}

/// The database is changed before the secrets manager: until that follows, nobody can know better.
#[tokio::test]
async fn a_password_that_comes_late_is_found_all_the_same() {
    let stage = peer!(with_ttl(Duration::from_secs(5)));
    stage.alter(SECOND).await;
    let error = stage.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
    // It was read again for that, and had not changed: it is not read again for more refusals of the
    // same password, and is good for its usual time.
    stage.file(SECOND).await;
    approzium_peers::eventually("a good answer", Duration::from_secs(30), async || {
        stage.connect().await.ok()
    })
    .await;
}

/// The database made their challenges before it was given the new password, with which they are
/// answered: it refuses them, and nobody else is kept waiting for that.
#[tokio::test]
async fn logins_that_were_under_way_say_nothing_against_the_new_password() {
    let (old, new) = (b"the salt of before", b"the salt from then on");
    let bao = peer!(openbao());
    let record = |password: &str| {
        let mut record = secret("app", password);
        record["app"]["methods"] = json!(["md5", "scram-sha-256"]);
        record
    };
    bao.post(RECORD, &record(PASSWORD)).await.unwrap();
    let login = VaultLogin::token(OpenBao::ROOT);
    let vault = at(&bao).login(login).ttl(Duration::from_secs(60));
    let service = Service::start(vault.build().unwrap()).await;
    let begin = async || service.client.accepted(&service.token, "app").await.0;
    let asked = |login: &Handshake, salt: &[u8]| {
        challenge(both(&[]), login.server_first(salt, 4096).as_bytes())
    };
    let refused = |login: Handshake| {
        login.outcome(outcome::Result::Refused(outcome::Refused {
            sqlstate: "28P01".into(),
        }))
    };

    let mut before = begin().await;
    let server_signature = before.scram(both(&[]), old, 4096).await.unwrap();
    let succeeded = outcome::Succeeded { server_signature };
    before.outcome(outcome::Result::Succeeded(succeeded)).await;
    let mut by_md5 = begin().await;

    bao.post(RECORD, &record(SECOND)).await.unwrap();
    let mut after = begin().await;
    after.ask(asked(&after, new)).await.unwrap();
    let salt = b"salt".to_vec();
    let md5 = Request::Md5Challenge(Md5Challenge { salt });
    by_md5.ask(md5).await.unwrap();
    refused(by_md5).await;
    let mut late = begin().await;
    late.ask(asked(&late, old)).await.unwrap();
    refused(late).await;
    assert_eq!(service.login("app").await, Login::Accepted);
}
