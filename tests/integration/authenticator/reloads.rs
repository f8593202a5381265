//! What is exchanged while it serves: certificates, authorities of clients, keys of sessions.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use approzium::authenticator::{
    Authenticator, LocalSecrets, Running, ServerTls, SessionKeys, dev::DevSts,
};
use approzium_peers::certificates::{Authority, Signature};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;

use super::{
    client::{Client, channel, showing, signer_of, start, tls},
    process::{Process, command, record, until, write_private},
};

/// `approzium serve` of production, with its files in a folder.
struct Service {
    process: Process,
    folder: TempDir,
    address: String,
}

impl Service {
    async fn start(authority: &Authority, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = authority
            .localhost()
            .write(folder.path(), "server")
            .unwrap();
        write_private(&folder.path().join("secrets.yaml"), &record("app", ""));
        let mut command = command(&["--grpc-port=0", "--http-port=0", "--log-format=json"]);
        command
            .env("APPROZIUM_TLS_CERT_PATH", chain)
            .env("APPROZIUM_TLS_KEY_PATH", key)
            .env(
                "APPROZIUM_LOCAL_SECRETS_PATH",
                folder.path().join("secrets.yaml"),
            );
        for (variable, text) in more {
            let path = folder.path().join(variable);
            write_private(&path, text);
            command.env(variable, path);
        }
        let process = Process::start(command);
        let serving = process.line("serving", |line| line["message"] == "serving");
        let address = serving.await["grpc"].as_str().unwrap().to_owned();
        Service {
            process,
            folder,
            address,
        }
    }

    fn exchange(&self, authority: &Authority) {
        let server = authority.localhost();
        server.write(self.folder.path(), "server").unwrap();
    }

    /// A connection of its own; none if the handshake fails.
    async fn client(&self, tls: rustls::ClientConfig) -> Option<Client> {
        let client = Client::over(channel(&self.address, tls).await.ok()?);
        // By TLS 1.3 a client learns of the server's verdict on its certificate later.
        client.challenge().await.ok()?;
        Some(client)
    }

    fn complaints(&self) -> Vec<Value> {
        self.process.lines(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("is not good"))
        })
    }
}

fn trusting(authority: &Authority) -> rustls::ClientConfig {
    tls(authority.pem().as_bytes())
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_changes_nothing() {
    let [old, new] = [(); 2].map(|()| Authority::new(Signature::EcdsaP256Sha256));
    let service = Service::start(&old, &[]).await;
    let before = service.client(trusting(&old)).await.unwrap();
    assert!(service.client(trusting(&new)).await.is_none());

    service.exchange(&new);
    let connected = async || service.client(trusting(&new)).await;
    until("the new certificate", connected).await;
    assert!(service.client(trusting(&old)).await.is_none());
    assert_eq!(before.challenge().await.unwrap().nonce.len(), 32);

    // A key that is not that of the certificate.
    let key = service.folder.path().join("server.key");
    std::fs::write(&key, &old.localhost().key_pem).unwrap();
    let complaint = until("a complaint", async || service.complaints().pop()).await;
    assert_eq!(complaint["level"], "ERROR");
    assert_eq!(complaint["file"], "tls");
    let problem = complaint["problem"].as_str().unwrap();
    assert!(problem.contains("tls_key_path"), "{problem}");
    assert!(service.client(trusting(&new)).await.is_some());

    service.exchange(&old);
    until("the old one again", async || {
        service.client(trusting(&old)).await
    })
    .await;
    assert_eq!(service.complaints().len(), 1);
    assert_eq!(before.challenge().await.unwrap().nonce.len(), 32);
}

#[tokio::test]
async fn a_certificate_that_has_ended_replaces_no_good_one_and_its_end_is_said() {
    let authority = Authority::new(Signature::EcdsaP256Sha256);
    let service = Service::start(&authority, &[]).await;
    let until_then = |end| {
        let server = authority.server_until(&["localhost", "127.0.0.1"], end);
        server.write(service.folder.path(), "server").unwrap();
    };
    until_then(SystemTime::now() - Duration::from_secs(60));
    let complaint = until("a complaint", async || service.complaints().pop()).await;
    let problem = complaint["problem"].as_str().unwrap();
    assert!(
        problem.contains("tls_cert_path: it is expired"),
        "{problem}"
    );
    assert!(service.client(trusting(&authority)).await.is_some());

    until_then(SystemTime::now() + Duration::from_secs(6));
    let not_ready = service.process.line("its end", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("not ready: applications refuse the certificate")
    });
    let not_ready = not_ready.await;
    assert_eq!(not_ready["level"], "ERROR");
    assert_eq!(not_ready["certificate"], "expired");
    service.exchange(&authority);
    let again = "the certificate is valid again";
    service
        .process
        .line(again, |line| line["message"] == again)
        .await;
    assert!(service.client(trusting(&authority)).await.is_some());
}

/// It serves on: who made the file so has to be told, and not the applications.
#[tokio::test]
async fn a_key_that_others_can_reach_is_a_warning() {
    let [old, new] = [(); 2].map(|()| Authority::new(Signature::EcdsaP256Sha256));
    let service = Service::start(&old, &[]).await;
    let warned = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.starts_with("tls_key_path: ")
    };
    assert!(service.process.lines(warned).is_empty());
    let key = service.folder.path().join("server.key");
    std::fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap();
    service.exchange(&new);
    let line = service.process.line("a warning", warned).await;
    assert!(line["message"].to_string().contains("0644"), "{line}");
    assert!(service.client(trusting(&new)).await.is_some());
}

#[tokio::test]
async fn new_authorities_of_clients_are_asked_of_new_connections() {
    const CLIENT_CA: &str = "APPROZIUM_CLIENT_CA_PATH";
    let server = Authority::new(Signature::EcdsaP256Sha256);
    let [old, new] = [(); 2].map(|()| Authority::new(Signature::EcdsaP256Sha256));
    let service = Service::start(&server, &[(CLIENT_CA, &old.pem())]).await;
    let of = |authority: &Authority| showing(trusting(&server), &authority.client("app"));
    let before = service.client(of(&old)).await.unwrap();
    assert!(service.client(of(&new)).await.is_none());

    std::fs::write(service.folder.path().join(CLIENT_CA), new.pem()).unwrap();
    until("the new authority", async || service.client(of(&new)).await).await;
    assert!(service.client(of(&old)).await.is_none());
    assert_eq!(before.challenge().await.unwrap().nonce.len(), 32);
}

/// An Authenticator that somebody can prove who he is to without AWS, with keys from a file.
struct Granting {
    running: Running,
    _sts: DevSts,
    signer: approzium::identity::aws::Signer,
    authority: Authority,
}

impl Granting {
    async fn start(folder: &Path, keys: &Path) -> Self {
        let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let authority = Authority::new(Signature::EcdsaP256Sha256);
        let server = authority.localhost();
        let (chain, key) = (server.certificate_pem, server.key_pem);
        let records = folder.join("records.yaml");
        write_private(&records, &record("app", ""));
        let running = Authenticator::builder()
            .tls(ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
            .verifier(sts.verifier())
            .secrets(LocalSecrets::open(records).unwrap())
            .session_keys(SessionKeys::open(keys).unwrap())
            .start()
            .await
            .unwrap();
        let signer = signer_of(sts.identity("checkout").unwrap().credentials()).await;
        Granting {
            running,
            _sts: sts,
            signer,
            authority,
        }
    }

    async fn token(&self) -> String {
        let address = self.running.grpc_addr().to_string();
        let channel = channel(&address, trusting(&self.authority)).await.unwrap();
        Client::over(channel)
            .session(&self.signer)
            .await
            .session_token
    }
}

async fn accepts(client: &Client, token: &str) -> bool {
    match client.start(start(token, "app")).await.answer().await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
            false
        }
    }
}

/// Two replicas with a file each, and one that grants, by the steps that the manual names.
#[tokio::test]
async fn keys_of_sessions_are_exchanged_without_ending_one() {
    const KEYS: &str = "APPROZIUM_SESSION_KEY_PATH";
    let [old, new] = [[1; 32], [2; 32]].map(|key| BASE64_STANDARD.encode(key) + "\n");
    let authority = Authority::new(Signature::EcdsaP256Sha256);
    let replicas = [
        Service::start(&authority, &[(KEYS, &old)]).await,
        Service::start(&authority, &[(KEYS, &old)]).await,
    ];
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("keys");
    write_private(&own, &old);
    let granting = Granting::start(folder.path(), &own).await;
    let next = folder.path().join("next");
    write_private(&next, &new);
    let by_new = Granting::start(folder.path(), &next).await.token().await;
    let by_old = granting.token().await;
    let mut clients = Vec::new();
    for replica in &replicas {
        clients.push(replica.client(trusting(&authority)).await.unwrap());
    }
    for client in &clients {
        assert!(accepts(client, &by_old).await);
        assert!(!accepts(client, &by_new).await);
    }

    // The new key second, at one replica after the other.
    for (replica, client) in replicas.iter().zip(&clients) {
        write_private(&replica.folder.path().join(KEYS), &format!("{old}{new}"));
        let accepted = async || accepts(client, &by_new).await.then_some(());
        until("the new key", accepted).await;
        assert!(accepts(client, &by_old).await);
    }

    // And then first: what is granted from now on is of the new key.
    write_private(&own, &format!("{new}{old}"));
    write_private(&replicas[0].folder.path().join(KEYS), &new);
    let refused = async || (!accepts(&clients[0], &by_old).await).then_some(());
    until("the old key is gone", refused).await;
    until("a token of the new key", async || {
        accepts(&clients[0], &granting.token().await)
            .await
            .then_some(())
    })
    .await;
    assert!(accepts(&clients[1], &by_old).await);

    // A typing error ends nobody's session.
    write_private(&replicas[0].folder.path().join(KEYS), "no key\n");
    let complaint = until("a complaint", async || replicas[0].complaints().pop()).await;
    assert_eq!(complaint["file"], "session_keys");
    assert!(accepts(&clients[0], &by_new).await);
}
