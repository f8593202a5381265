//! Records in secrets managers: real ones, and what an Authenticator does when they are in trouble.

use approzium::authenticator::{SecretsManager, dev::DevSts};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    authenticator::{
        client::{Client, request_id, start, v2},
        process::{PASSWORD, until},
    },
    rejections::{House, Log, dev_signer, dev_sts},
};

mod aws;
mod check;
mod kubernetes;
mod rotation;
mod stage;
mod trouble;
mod vault;
mod vault_aws;
mod vault_place;
mod vault_token;

/// An Authenticator with its records in a secrets manager, and the role `checkout` before it.
struct Service {
    house: House,
    client: Client,
    token: String,
    log: Log,
    _recording: tracing::subscriber::DefaultGuard,
    _sts: DevSts,
}

/// What became of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    Accepted,
    /// What the caller is told, and what the audit log says.
    Refused(Code, String),
}

impl Service {
    async fn start(manager: impl Into<SecretsManager>) -> Self {
        let (log, recording) = Log::start();
        let sts = dev_sts().await;
        let manager = manager.into();
        let house =
            House::start_with(sts.verifier(), "[]", |builder, _| builder.secrets(manager)).await;
        let client = house.client().await;
        let signer = dev_signer(&sts, "checkout").await;
        let token = client.session(&signer).await.session_token;
        Service {
            house,
            client,
            token,
            log,
            _recording: recording,
            _sts: sts,
        }
    }

    /// Of a user at `db.example`, port 5432.
    async fn login(&self, user: &str) -> Login {
        self.login_at("db.example", user).await
    }

    async fn login_at(&self, host: &str, user: &str) -> Login {
        self.begun_by(v2::HandshakeStart {
            host: host.into(),
            ..start(&self.token, user)
        })
        .await
    }

    /// As [`login`](Self::login), once more after the database refused what was answered.
    async fn login_again(&self, user: &str) -> Login {
        self.begun_by(v2::HandshakeStart {
            host: "db.example".into(),
            after_refusal: true,
            ..start(&self.token, user)
        })
        .await
    }

    async fn begun_by(&self, start: v2::HandshakeStart) -> Login {
        let mut handshake = self.client.start(start).await;
        let status = match handshake.answer().await {
            Ok(v2::authenticate_response::Message::Accepted(_)) => return Login::Accepted,
            Ok(other) => panic!("{other:?}"),
            Err(status) => status,
        };
        let id = request_id(&status);
        let line = until("an audit line", async || {
            let mut lines = self
                .log
                .lines(|line| line["target"] == "approzium::audit" && line["request_id"] == id);
            lines.pop()
        })
        .await;
        let reason = line["reason"].as_str().unwrap().to_owned();
        let of_ours = reason.starts_with("secrets_");
        let decision = if of_ours { "failed" } else { "denied" };
        assert_eq!(line["decision"], decision, "{reason}");
        Login::Refused(status.code(), reason)
    }
}

fn refused(code: Code, reason: &str) -> Login {
    Login::Refused(code, reason.to_owned())
}

fn no_record() -> Login {
    refused(Code::PermissionDenied, "no_record")
}

/// A secret with one user, who is the role `checkout`.
fn secret(user: &str, password: &str) -> Value {
    let role = "arn:aws:iam::000000000000:role/checkout";
    json!({user: {"password": password, "iam_arns": [role]}})
}

/// Hosts that clients may name, and that no secrets manager is asked for.
const HOSTILE: [&str; 12] = [
    "../sys/mounts",
    "..",
    "a/../../sys",
    "db.example/",
    "db.example%2f",
    "db.example:5432/../x",
    "%2e%2e",
    "db.example?version=1",
    "db.example#",
    "/var/run/postgresql",
    "db example",
    "{host}",
];
