//! The login with a signed GetCallerIdentity: <https://developer.hashicorp.com/vault/docs/auth/aws>.

use std::time::SystemTime;

use ::http::HeaderValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::{Trouble, Unavailable};
use crate::{
    Error,
    identity::aws::{CheckedProof, Signer, SignerBuilder},
};

/// Who logs in, and with which credentials.
#[derive(Clone)]
pub(super) struct AwsLogin {
    pub(super) mount: String,
    role: String,
    pub(super) server_id: Option<String>,
    pub(super) signer: SignerBuilder,
}

/// Signed, it binds the request to the one Vault that calls itself so.
const SERVER_ID: &str = "x-vault-aws-iam-server-id";

impl AwsLogin {
    pub(super) fn new(role: String) -> Self {
        AwsLogin {
            mount: "aws".to_owned(),
            role,
            server_id: None,
            signer: Signer::builder(),
        }
    }

    /// Whether the server's id, if there is one, can be sent.
    pub(super) fn names_a_server(&self) -> bool {
        let id = self.server_id.as_deref();
        id.is_none_or(|id| !id.is_empty() && HeaderValue::from_str(id).is_ok())
    }

    /// The request to STS, which Vault sends on as it is.
    pub(super) async fn body(&self) -> Result<Value, Unavailable> {
        let signer = self.signer.clone().build().await.map_err(unsigned)?;
        let server_id = self.server_id.as_deref().map(|id| (SERVER_ID, id));
        let more: Vec<_> = server_id.into_iter().collect();
        let request = signer
            .sign_request(&more, SystemTime::now())
            .await
            .map_err(unsigned)?;
        let headers: Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!([value.as_str()])))
            .collect();
        let headers = Zeroizing::new(Value::Object(headers).to_string());
        Ok(json!({
            "role": self.role,
            "iam_http_request_method": "POST",
            "iam_request_url": STANDARD.encode(&request.url),
            "iam_request_body": STANDARD.encode(CheckedProof::BODY),
            "iam_request_headers": STANDARD.encode(headers.as_bytes()),
        }))
    }
}

fn unsigned(error: Error) -> Unavailable {
    let trouble = match error.is_retryable() {
        true => Trouble::Unreachable,
        false => Trouble::Refused,
    };
    Unavailable::new(trouble, format!("nothing to log in with: {error}"))
}
