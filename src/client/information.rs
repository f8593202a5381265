use serde::Serialize;

use super::AuthClient;

/// What is known about a client: see [`AuthClient::attribution_info`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttributionInfo {
    /// `host:port` of the Authenticator.
    pub authenticator_address: String,
    /// The verified identity; absent until the Authenticator verified it.
    pub iam_arn: Option<String>,
    /// Whether the Authenticator verified the identity.
    pub authenticated: bool,
    /// The open database connections.
    pub num_connections: u64,
}

impl AttributionInfo {
    pub(super) fn of(client: &AuthClient) -> Self {
        let iam_arn = client.iam_arn();
        AttributionInfo {
            authenticator_address: client.authenticator_address().to_owned(),
            authenticated: iam_arn.is_some(),
            iam_arn,
            num_connections: client.num_connections(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
