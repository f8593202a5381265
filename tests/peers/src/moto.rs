//! AWS's STS and IAM, with real signature checks: moto's server over TLS.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use crate::{
    Authority, Error, Process, Result, Stop, certificates::client_configuration, files, free_port,
    python,
};

const VERSION: &str = "5.2.5";
const REQUIREMENTS: &str = include_str!("../moto/requirements.txt");

/// The account in which users and roles are made unless an ARN says another.
pub const ACCOUNT: &str = "123456789012";

/// The regions for whose STS the certificate is good.
pub const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-central-1",
    "eu-west-1",
    "ap-southeast-2",
    "us-gov-west-1",
    "cn-north-1",
];

/// How a GetCallerIdentity begins in moto's recording: `Action=GetCallerIdentity` in base64.
const GET_CALLER_IDENTITY: &str = "QWN0aW9uPUdldENhbGxlcklkZW50aXR5";

/// A running moto that checks every signature. It stops when the value is dropped.
pub struct Moto {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    folder: tempfile::TempDir,
    port: u16,
    authority: Authority,
    http: reqwest::Client,
}

/// Credentials as moto gave them out.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AKIA…` of a user, `ASIA…` of an assumed role.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of an assumed role only.
    pub session_token: Option<String>,
    /// What GetCallerIdentity says of them.
    pub arn: String,
}

/// The Python of the environment that holds moto, and AWS's SDK with it.
pub(crate) async fn python() -> Result<PathBuf> {
    let name = format!("moto-{VERSION}");
    python::environment(&name, "AWS's STS for tests", REQUIREMENTS).await
}

impl Moto {
    /// Installs moto into the cache if it is not there, and starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] without Python.
    pub async fn start() -> Result<Self> {
        let python = python().await?;
        let folder = files::folder_of(None)?;
        let authority = Authority::default();
        let names = REGIONS.map(sts_host);
        let names: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .chain(["localhost", "127.0.0.1"])
            .collect();
        let (certificate, key) = authority.server(&names).write(folder.path(), "server")?;
        let port = free_port();
        let mut command = Command::new(python);
        command
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-s",
                "-c",
            ])
            .arg(certificate)
            .arg("-k")
            .arg(key)
            .env("MOTO_ENABLE_RECORDING", "1")
            .env("MOTO_RECORDER_FILEPATH", folder.path().join("recording"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(folder.path());
        let mut server = Process::start(
            "moto",
            &mut command,
            Stop::Terminate,
            &folder.path().join("moto.log"),
            Some(folder.path()),
        )?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(client_configuration(&[authority.der()]))
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Error::failed("an HTTP client", error))?;
        let page = format!("https://127.0.0.1:{port}/moto-api/data.json");
        let answers = async || http.get(&page).send().await.is_ok();
        server.until(Duration::from_secs(60), answers).await?;
        let moto = Moto {
            _server: server,
            folder,
            port,
            authority,
            http,
        };
        moto.check_signatures(true).await?;
        Ok(moto)
    }

    /// Where it listens, whatever the `Host`.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `https://127.0.0.1:<port>`, as an endpoint URL for an SDK that trusts the authority.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Who issued its certificate, which is good for the STS of all [`REGIONS`], `localhost` and
    /// 127.0.0.1.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A new user of [`ACCOUNT`] with an access key.
    pub async fn user(&self, name: &str) -> Result<Credentials> {
        self.check_signatures(false).await?;
        let made = self.make_user(name).await;
        self.check_signatures(true).await?;
        made
    }

    /// Gives a user a policy, in place of the one before. Without one, it may do nothing but ask who
    /// it is.
    pub async fn allow(&self, user: &str, policy: &serde_json::Value) -> Result<()> {
        self.put_policy("PutUserPolicy", "UserName", user, policy)
            .await
    }

    /// The same for a role.
    pub async fn allow_role(&self, role: &str, policy: &serde_json::Value) -> Result<()> {
        self.put_policy("PutRolePolicy", "RoleName", role, policy)
            .await
    }

    async fn put_policy(
        &self,
        action: &str,
        kind: &str,
        name: &str,
        policy: &serde_json::Value,
    ) -> Result<()> {
        self.check_signatures(false).await?;
        let policy = policy.to_string();
        let parameters = [
            ("Action", action),
            (kind, name),
            ("PolicyName", "tests"),
            ("PolicyDocument", &policy),
        ];
        let given = self.call("iam", &parameters).await;
        self.check_signatures(true).await?;
        given.map(drop)
    }

    /// A new role, assumed under a session name. `path` is `/` or `/team/`; an account other than
    /// [`ACCOUNT`] is allowed.
    pub async fn assumed_role(
        &self,
        account: &str,
        path: &str,
        role: &str,
        session: &str,
    ) -> Result<Credentials> {
        self.check_signatures(false).await?;
        let made = self.make_assumed_role(account, path, role, session).await;
        self.check_signatures(true).await?;
        made
    }

    /// Puts a secret of [`ACCOUNT`] in place of whatever has its name.
    pub async fn secret(&self, region: &str, name: &str, text: &str) -> Result<()> {
        self.check_signatures(false).await?;
        let create = serde_json::json!({"Name": name, "SecretString": text});
        let put = serde_json::json!({"SecretId": name, "SecretString": text});
        let made = match self.secrets_manager(region, "CreateSecret", &create).await {
            Ok(()) => Ok(()),
            Err(_) => self.secrets_manager(region, "PutSecretValue", &put).await,
        };
        self.check_signatures(true).await?;
        made
    }

    async fn secrets_manager(
        &self,
        region: &str,
        action: &str,
        body: &serde_json::Value,
    ) -> Result<()> {
        let request = self
            .http
            .post(format!("{}/", self.url()))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{action}"))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/{region}/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"),
            )
            .body(body.to_string());
        answer(action, request).await.map(drop)
    }

    /// How often GetCallerIdentity was asked so far, by anyone.
    pub fn identity_requests(&self) -> usize {
        let recording = self.folder.path().join("recording");
        let recording = std::fs::read_to_string(recording).unwrap_or_default();
        recording
            .lines()
            .filter(|request| request.contains(GET_CALLER_IDENTITY))
            .count()
    }

    async fn make_user(&self, name: &str) -> Result<Credentials> {
        self.call("iam", &[("Action", "CreateUser"), ("UserName", name)])
            .await?;
        let key = self
            .call("iam", &[("Action", "CreateAccessKey"), ("UserName", name)])
            .await?;
        Ok(Credentials {
            access_key_id: element(&key, "AccessKeyId")?,
            secret_access_key: element(&key, "SecretAccessKey")?,
            session_token: None,
            arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        })
    }

    async fn make_assumed_role(
        &self,
        account: &str,
        path: &str,
        role: &str,
        session: &str,
    ) -> Result<Credentials> {
        if account == ACCOUNT {
            let anyone = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
            self.call(
                "iam",
                &[
                    ("Action", "CreateRole"),
                    ("RoleName", role),
                    ("Path", path),
                    ("AssumeRolePolicyDocument", anyone),
                ],
            )
            .await?;
        }
        let arn = format!("arn:aws:iam::{account}:role{path}{role}");
        let parameters = [
            ("Action", "AssumeRole"),
            ("RoleArn", &arn),
            ("RoleSessionName", session),
        ];
        let assumed = self.call("sts", &parameters).await?;
        Ok(Credentials {
            access_key_id: element(&assumed, "AccessKeyId")?,
            secret_access_key: element(&assumed, "SecretAccessKey")?,
            session_token: Some(element(&assumed, "SessionToken")?),
            arn: element(&assumed, "Arn")?,
        })
    }

    /// An unsigned request, while signatures are not checked. The header only tells the service.
    async fn call(&self, service: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let url = reqwest::Url::parse_with_params(&self.url(), parameters)
            .map_err(|error| Error::failed("a URL", error))?;
        let version = if service == "iam" {
            "2010-05-08"
        } else {
            "2011-06-15"
        };
        let body = format!("{}&Version={version}", url.query().unwrap_or_default());
        let request = self
            .http
            .post(format!("{}/", self.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"),
            )
            .body(body);
        answer(service, request).await
    }

    /// moto lets a number of requests pass before it begins to check.
    async fn check_signatures(&self, check: bool) -> Result<()> {
        let unchecked = if check { "0" } else { "inf" };
        let request = self
            .http
            .post(format!("{}/moto-api/reset-auth", self.url()))
            .header("content-type", "application/octet-stream")
            .body(unchecked);
        answer("reset-auth", request).await.map(drop)
    }
}

/// The regional endpoint of STS.
pub fn sts_host(region: &str) -> String {
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("sts.{region}.{suffix}")
}

async fn answer(what: &str, request: reqwest::RequestBuilder) -> Result<String> {
    let failed = |error: reqwest::Error| Error::failed(what, error);
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = response.text().await.map_err(failed)?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(Error::failed(what, format!("{status}: {body}")))
    }
}

/// The text of the first element of that name.
fn element(xml: &str, name: &str) -> Result<String> {
    xml.split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map(|(text, _)| text.trim().to_owned())
        .ok_or_else(|| Error::failed(name, format!("not in {xml}")))
}
