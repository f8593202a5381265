//! For tests: a Vault that says what no real one can be made to say at a given moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, http::StatusCode, http::Uri};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{KvVersion, Vault, VaultLogin, VaultSecrets};

pub(super) const LOGIN: &str = "/v1/auth/kubernetes/login";

pub(super) struct Scripted {
    pub(super) vault: Vault,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    _folder: TempDir,
    _server: AbortOnDropHandle<()>,
}

impl Scripted {
    /// Logins it lets in; to all else it says this, by the path and how often that was asked
    /// before.
    pub(super) async fn start(
        says: impl Fn(&str, usize) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
        let counted = asked.clone();
        let answer = move |uri: Uri| {
            let path = uri.path().to_owned();
            let mut counted = counted.lock().unwrap();
            let before = counted.entry(path.clone()).or_default();
            let (status, body) = match &*path {
                LOGIN => (200, granted(*before, 3600)),
                path => says(path, *before),
            };
            *before += 1;
            let status = StatusCode::from_u16(status).unwrap();
            async move { (status, Json(body)) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let folder = tempfile::tempdir().unwrap();
        let jwt = folder.path().join("jwt");
        std::fs::write(&jwt, "x").unwrap();
        let login = VaultLogin::kubernetes("approzium").jwt_path(jwt);
        let secrets = VaultSecrets::builder(address)
            .login(login)
            .kv_version(KvVersion::One);
        Scripted {
            vault: secrets.build().unwrap().vault,
            asked,
            _folder: folder,
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(path).copied().unwrap_or_default()
    }
}

/// An answer to a login, or to a renewal.
pub(super) fn granted(number: usize, seconds: u64) -> Value {
    json!({"auth": {
        "client_token": format!("hvs.{number}"),
        "lease_duration": seconds,
        "renewable": true,
    }})
}
