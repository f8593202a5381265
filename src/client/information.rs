//! What is known about a client.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::AuthClient;
use crate::{
    attribution::{self, Attribution},
    identity::role_name,
};

/// What is known about a client, its identity and the place where it runs: see
/// [`AuthClient::attribution_info`].
///
/// The place is what [`attribution::current`] has found by now: nothing before it was first asked,
/// which the first connection does by itself unless
/// [told otherwise](super::AuthClientBuilder::attribution).
///
/// Serialized it is one flat object: the keys of the original Approzium in its order
/// (`authenticator_address`, `iam_arn`, `authenticated`, `num_connections`, and on EC2
/// `ec2.public_hostname`, `ec2.public_ipv4`, `ec2.instance_id`), then `iam_role`, then the
/// attributes of OpenTelemetry's conventions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttributionInfo {
    /// `host:port` of the Authenticator.
    pub authenticator_address: String,
    /// The identity as the Authenticator last verified it; `None` (null) before it has.
    pub iam_arn: Option<String>,
    /// Whether the Authenticator has verified the identity.
    pub authenticated: bool,
    /// How many database connections were made through this client.
    pub num_connections: u64,
    /// The EC2 instance's public host name.
    #[serde(
        rename = "ec2.public_hostname",
        skip_serializing_if = "Option::is_none"
    )]
    pub ec2_public_hostname: Option<String>,
    /// The EC2 instance's public IPv4 address.
    #[serde(rename = "ec2.public_ipv4", skip_serializing_if = "Option::is_none")]
    pub ec2_public_ipv4: Option<String>,
    /// The EC2 instance's id.
    #[serde(rename = "ec2.instance_id", skip_serializing_if = "Option::is_none")]
    pub ec2_instance_id: Option<String>,
    /// The name of the role in `iam_arn`, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam_role: Option<String>,
    /// What else is known of the place where the application runs, by the attributes' names.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, String>,
}

impl AttributionInfo {
    pub(super) fn of(client: &AuthClient) -> Self {
        let iam_arn = client.iam_arn();
        let iam_role = iam_arn.as_deref().and_then(role_name);
        let known = attribution::known();
        let known = known.as_deref();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        AttributionInfo {
            authenticator_address: client.authenticator_address().to_owned(),
            authenticated: iam_arn.is_some(),
            iam_arn,
            num_connections: client.num_connections(),
            ec2_public_hostname: owned(known.and_then(Attribution::ec2_public_hostname)),
            ec2_public_ipv4: owned(known.and_then(Attribution::ec2_public_ipv4)),
            ec2_instance_id: owned(known.and_then(Attribution::ec2_instance_id)),
            iam_role,
            attributes: known.map(Attribution::claims).unwrap_or_default(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        // Text and numbers under text keys: there is nothing that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the Authenticator's audit log is told, as far as it is known by now. What is not known is
/// asked for, for the next one's sake: a login waits for no metadata service.
pub(super) fn told_attribution() -> HashMap<String, String> {
    match attribution::known() {
        Some(known) => known.claims().into_iter().collect(),
        None => {
            // Collected once, however many ask.
            drop(tokio::spawn(attribution::current()));
            HashMap::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_s_keys_come_first() {
        let client = AuthClient::new("http://localhost:6001").unwrap();
        client.count_connection();
        let shown = client.attribution_info_json();
        assert!(
            shown.starts_with(
                r#"{"authenticator_address":"localhost:6001","iam_arn":null,"authenticated":false,"num_connections":1"#
            ),
            "{shown}"
        );
        let mut info = client.attribution_info();
        info.attributes.clear();
        info.ec2_instance_id = Some("i-0abc".to_owned());
        info.attributes
            .insert("host.id".to_owned(), "i-0abc".to_owned());
        assert!(
            info.to_json()
                .ends_with(r#""num_connections":1,"ec2.instance_id":"i-0abc","host.id":"i-0abc"}"#)
        );
    }

    #[test]
    fn the_role_is_the_name_in_the_arn() {
        assert_eq!(
            role_name("arn:aws:sts::123456789012:assumed-role/checkout/pod-7f").as_deref(),
            Some("checkout")
        );
        assert_eq!(role_name("arn:aws:iam::123456789012:user/ann"), None);
    }
}
