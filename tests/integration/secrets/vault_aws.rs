//! Vault's AWS method. OpenBao has none: before it stands one that does what Vault does with such a
//! login, which is to send the signed request to STS as it is.

use std::{sync::Arc, time::Duration};

use approzium::authenticator::{VaultLogin, VaultSecrets};
use approzium_peers::{
    Moto, OpenBao,
    certificates::client_configuration,
    moto::{ACCOUNT, Credentials, sts_host},
    peer,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{Login, Service, no_record, vault};

const REGION: &str = "eu-central-1";

/// What this Vault calls itself.
const SERVER_ID: &str = "vault.example";

#[tokio::test]
async fn a_role_of_aws_logs_in_with_a_request_that_sts_confirms() {
    let bao = peer!(vault::openbao());
    let moto = peer!(Moto::start());
    let role = moto
        .assumed_role(ACCOUNT, "/", "authenticator", "pod-7f")
        .await
        .unwrap();
    let front = Front::start(bao, moto, &role.arn).await;

    let service = front.service(&role, SERVER_ID).await;
    assert_eq!(service.login("app").await, Login::Accepted);
    assert_eq!(service.login("other").await, no_record());

    let user = front.moto().user("mallory").await.unwrap();
    let stolen = Credentials {
        session_token: None,
        ..role.clone()
    };
    for (who, server_id) in [(&user, SERVER_ID), (&stolen, SERVER_ID), (&role, "another")] {
        let service = front.service(who, server_id).await;
        assert_eq!(service.login("app").await, vault::denied(), "{server_id}");
    }
}

/// The one before OpenBao.
struct Front {
    url: String,
    inside: Arc<Inside>,
    _server: AbortOnDropHandle<()>,
}

struct Inside {
    bao: OpenBao,
    moto: Moto,
    /// Who may log in.
    arn: String,
    http: reqwest::Client,
}

impl Front {
    async fn start(bao: OpenBao, moto: Moto, arn: &str) -> Self {
        let tls = client_configuration(&[moto.authority().der()]);
        let inside = Arc::new(Inside {
            http: reqwest::Client::builder()
                .no_proxy()
                .tls_backend_preconfigured(tls)
                .resolve(&sts_host(REGION), moto.address())
                .timeout(Duration::from_secs(30))
                .build()
                .unwrap(),
            bao,
            moto,
            arn: arn.to_owned(),
        });
        let router = Router::new()
            .route("/v1/auth/aws/login", post(log_in))
            .fallback(pass_on)
            .with_state(Arc::clone(&inside));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Front {
            url,
            inside,
            _server: AbortOnDropHandle::new(server),
        }
    }

    fn moto(&self) -> &Moto {
        &self.inside.moto
    }

    async fn service(&self, who: &Credentials, server_id: &str) -> Service {
        let credentials = aws_credential_types::Credentials::from_keys(
            &who.access_key_id,
            &who.secret_access_key,
            who.session_token.clone(),
        );
        let login = VaultLogin::aws("approzium")
            .aws_region(REGION)
            .aws_credentials(SharedCredentialsProvider::new(credentials))
            .aws_server_id(server_id);
        let vault = VaultSecrets::builder(&self.url).login(login);
        Service::start(vault.build().unwrap()).await
    }
}

/// As Vault's own method: the server's id must be signed, and STS names the caller.
async fn log_in(State(inside): State<Arc<Inside>>, login: Bytes) -> Response {
    let login = serde_json::from_slice(&login).unwrap();
    match inside.identity(&login).await {
        Some(document) if document.contains(&format!("<Arn>{}</Arn>", inside.arn)) => {
            let token = inside.bao.token("approzium", "1h", &json!({})).await;
            Json(json!({"auth": {
                "client_token": token.unwrap(),
                "lease_duration": 3600,
                "renewable": true,
            }}))
            .into_response()
        }
        _ => (
            StatusCode::BAD_REQUEST,
            Json(json!({"errors": ["error making upstream request"]})),
        )
            .into_response(),
    }
}

impl Inside {
    /// What STS answers to the request that came with a login.
    async fn identity(&self, login: &Value) -> Option<String> {
        assert_eq!(login["role"], "approzium");
        assert_eq!(login["iam_http_request_method"], "POST");
        let decoded = |key: &str| {
            let decoded = STANDARD.decode(login[key].as_str().unwrap()).unwrap();
            String::from_utf8(decoded).unwrap()
        };
        let headers: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap();
        let header = |name: &str| {
            let mut headers = headers.as_object().unwrap().iter();
            let (_, value) = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            value[0].as_str()
        };
        let signed = header("authorization")?.contains("x-vault-aws-iam-server-id");
        if !signed || header("x-vault-aws-iam-server-id") != Some(SERVER_ID) {
            return None;
        }
        // In place of the port, which is no part of what is signed.
        let port = self.moto.address().port();
        let url = format!("https://{}:{port}/", sts_host(REGION));
        assert_eq!(
            decoded("iam_request_url"),
            format!("https://{}/", sts_host(REGION))
        );
        let mut request = self.http.post(url).body(decoded("iam_request_body"));
        for (name, value) in headers.as_object().unwrap() {
            request = request.header(name, value[0].as_str().unwrap());
        }
        let answer = request.send().await.unwrap();
        let good = answer.status().is_success();
        let document = answer.text().await.unwrap();
        good.then_some(document)
    }
}

/// Everything else is OpenBao's.
async fn pass_on(
    State(inside): State<Arc<Inside>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let url = format!("{}{uri}", inside.bao.url());
    let mut request = inside.http.request(method, url).body(body);
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-vault"))
    {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, Body::from(answer.bytes().await.unwrap())).into_response()
}
