//! AWS Secrets Manager, by moto, which checks signatures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use approzium::authenticator::{AwsSecrets, AwsSecretsBuilder};
use approzium_peers::{Moto, moto::Credentials, peer};
use aws_credential_types::{
    credential_fn::provide_credentials_fn,
    provider::{
        self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
    },
};
use serde_json::Value;
use tokio::sync::Notify;

use super::{Code, HOSTILE, Login, PASSWORD, Service, no_record, refused, secret};
use crate::authenticator::process::until;

const NAME: &str = "approzium/db.example@5432";

fn at(moto: &Moto, credentials: &Credentials, folder: &tempfile::TempDir) -> AwsSecretsBuilder {
    let ca = moto
        .authority()
        .write(folder.path().join("ca.pem"))
        .unwrap();
    let provider = aws_credential_types::Credentials::from_keys(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
    );
    AwsSecrets::builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .region("eu-central-1")
        .endpoint(moto.url())
        .ca_path(ca)
        .timeout(Duration::from_secs(9))
        .ttl(Duration::from_millis(1))
}

/// A record, and who may read it.
async fn reader_of_a_record(moto: &Moto) -> Credentials {
    let user = moto.user("approzium").await.unwrap();
    moto.allow("approzium", &least_policy()).await.unwrap();
    let record = secret("app", PASSWORD).to_string();
    moto.secret("eu-central-1", NAME, &record).await.unwrap();
    user
}

#[tokio::test]
async fn records_are_secrets_named_after_their_database() {
    let moto = peer!(Moto::start());
    let user = reader_of_a_record(&moto).await;
    let folder = tempfile::tempdir().unwrap();

    let secrets = at(&moto, &user, &folder).build().await.unwrap();
    let service = Service::start(secrets).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(
        service.login_at("DB.example.", "app").await,
        Login::Accepted
    );
    assert_eq!(service.login("other").await, no_record());
    assert_eq!(service.login_at("db2.example", "app").await, no_record());
    // Its names have no colon.
    assert_eq!(service.login_at("2001:db8::7", "app").await, no_record());
    for host in HOSTILE {
        assert_eq!(service.login_at(host, "app").await, no_record(), "{host}");
    }

    moto.secret("eu-central-1", NAME, PASSWORD).await.unwrap();
    let malformed = refused(Code::PermissionDenied, "secrets_malformed");
    assert_eq!(service.login("app").await, malformed);
    let shown = service
        .log
        .lines(|line| line.to_string().contains(PASSWORD));
    assert!(shown.is_empty(), "{shown:?}");
}

/// The policy of `docs/secrets.md`, but for the resource: moto sees only what is done.
pub(super) fn least_policy() -> Value {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/secrets.md");
    let page = std::fs::read_to_string(page).unwrap();
    let policy = page
        .split("```")
        .filter_map(|block| block.strip_prefix("json"))
        .find(|block| block.contains("secretsmanager:GetSecretValue"));
    let mut policy: Value = serde_json::from_str(policy.unwrap()).unwrap();
    let resource = &mut policy["Statement"][0]["Resource"];
    assert!(resource.as_str().unwrap().ends_with(":secret:approzium/*"));
    *resource = "*".into();
    policy
}

#[tokio::test]
async fn who_may_not_read_them_is_told_apart() {
    let moto = peer!(Moto::start());
    let user = moto.user("approzium").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let record = secret("app", PASSWORD).to_string();
    moto.secret("eu-central-1", NAME, &record).await.unwrap();
    let wrong = Credentials {
        secret_access_key: "x".repeat(40),
        ..user.clone()
    };
    // A user whom no policy allows anything, and somebody who is not that user.
    for credentials in [&user, &wrong] {
        let secrets = at(&moto, credentials, &folder).build().await.unwrap();
        let service = Service::start(secrets).await;
        let denied = refused(Code::Internal, "secrets_refused");
        assert_eq!(service.login("app").await, denied);
    }
}

/// Provides credentials at the second question and not before it is let.
#[derive(Debug)]
struct Halting {
    credentials: aws_credential_types::Credentials,
    asked: Arc<AtomicUsize>,
    release: Arc<Notify>,
}

impl Halting {
    async fn provide(&self) -> provider::Result {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(CredentialsError::provider_error("503 Service Unavailable"));
        }
        self.release.notified().await;
        Ok(self.credentials.clone())
    }
}

impl ProvideCredentials for Halting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

#[tokio::test]
async fn credentials_that_are_late_are_not_asked_for_anew() {
    let moto = peer!(Moto::start());
    let user = reader_of_a_record(&moto).await;
    let folder = tempfile::tempdir().unwrap();
    let (asked, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let halting = Halting {
        credentials: aws_credential_types::Credentials::from_keys(
            &user.access_key_id,
            &user.secret_access_key,
            user.session_token.clone(),
        ),
        asked: asked.clone(),
        release: release.clone(),
    };
    let secrets = at(&moto, &user, &folder)
        .credentials_provider(SharedCredentialsProvider::new(halting))
        .timeout(Duration::from_secs(1));
    // What is asked at the start has the failure.
    let service = Service::start(secrets.build().await.unwrap()).await;
    let slow = refused(Code::Unavailable, "secrets_slow");
    assert_eq!(service.login("app").await, slow);
    release.notify_one();
    until("credentials", async || {
        (service.login("app").await == Login::Accepted).then_some(())
    })
    .await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_credential_service_in_trouble_is_no_refusal() {
    let moto = peer!(Moto::start());
    let user = moto.user("approzium").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (failure, expected) in [
        (
            CredentialsError::provider_timed_out as fn(Duration) -> CredentialsError,
            refused(Code::Unavailable, "secrets_slow"),
        ),
        (
            |_| CredentialsError::provider_error("503 Service Unavailable"),
            refused(Code::Unavailable, "secrets_unavailable"),
        ),
        (
            |_| CredentialsError::invalid_configuration("no such profile"),
            refused(Code::Internal, "secrets_refused"),
        ),
    ] {
        let provider =
            provide_credentials_fn(move || async move { Err(failure(Duration::from_secs(1))) });
        let secrets = at(&moto, &user, &folder)
            .credentials_provider(SharedCredentialsProvider::new(provider));
        let service = Service::start(secrets.build().await.unwrap()).await;
        assert_eq!(service.login("app").await, expected);
    }
}
