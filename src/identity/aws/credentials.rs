//! Where credentials and region come from.

use aws_credential_types::provider::SharedCredentialsProvider;

use super::{Region, SignerBuilder};
use crate::{
    Error, Hop, Result,
    error::{Kind, printable},
};

/// The provider and the region that a builder asks for.
pub(crate) async fn resolve(
    builder: SignerBuilder,
) -> Result<(SharedCredentialsProvider, &'static Region)> {
    let SignerBuilder {
        credentials,
        region,
        iam_role,
        session_name,
        ..
    } = builder;
    let region = match region.or_else(|| region_of_environment(|name| std::env::var(name).ok())) {
        Some(region) => Some(region),
        None => sdk::region_of_profile().await,
    };
    let region = known_region(region)?;
    let credentials = match credentials {
        Some(credentials) => credentials,
        None => sdk::default_chain(region).await?,
    };
    match iam_role {
        None => Ok((credentials, region)),
        Some(role) => {
            let session_name = match session_name {
                Some(name) => name,
                None => default_session_name(std::env::var("HOSTNAME").ok()),
            };
            let assumed = sdk::assume_role(credentials, region, &role, &session_name).await?;
            Ok((assumed, region))
        }
    }
}

fn region_of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
}

/// What to do where no region is known.
pub(crate) const NAME_A_REGION: &str =
    "set AWS_REGION, or the region of the profile, or the builder's";

fn known_region(name: Option<String>) -> Result<&'static Region> {
    let Some(name) = name else {
        return Err(Error::new(
            Kind::Credentials,
            Hop::Credentials,
            "no AWS region is known, and with it no STS to confirm the identity",
        )
        .with_help(NAME_A_REGION));
    };
    Region::find(&name).ok_or_else(|| {
        Error::new(
            Kind::Credentials,
            Hop::Credentials,
            format!("\"{}\" is no AWS region", printable(&name)),
        )
        .with_help("set AWS_REGION to one like eu-central-1; newer regions need a newer version")
    })
}

/// `approzium-<host>`, fit for a session's name.
fn default_session_name(host: Option<String>) -> String {
    let host: String = host
        .unwrap_or_default()
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "_.-".contains(*character))
        .take(64 - "approzium-".len())
        .collect();
    if host.is_empty() {
        format!("approzium-{}", std::process::id())
    } else {
        format!("approzium-{host}")
    }
}

#[cfg(feature = "aws-config")]
mod sdk {
    use aws_config::{
        BehaviorVersion, ConfigLoader, SdkConfig, meta::region::ProvideRegion,
        profile::ProfileFileRegionProvider, sts::AssumeRoleProvider,
    };
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

    use crate::{
        Error, Hop, Result,
        error::{Kind, printable},
        identity::{Principal, aws::Region},
    };

    pub(super) async fn region_of_profile() -> Option<String> {
        let region = ProfileFileRegionProvider::new().region().await?;
        Some(region.as_ref().to_owned())
    }

    /// The AWS SDK's chain: environment, profiles, web identity, ECS, EC2.
    pub(super) async fn default_chain(region: &Region) -> Result<SharedCredentialsProvider> {
        loader(region)
            .load()
            .await
            .credentials_provider()
            .ok_or_else(|| {
                Error::new(
                    Kind::Credentials,
                    Hop::Credentials,
                    "the AWS SDK found no provider of credentials",
                )
            })
    }

    pub(super) async fn assume_role(
        base: SharedCredentialsProvider,
        region: &Region,
        role_arn: &str,
        session_name: &str,
    ) -> Result<SharedCredentialsProvider> {
        if !matches!(Principal::parse(role_arn), Ok(Principal::Role { .. })) {
            return Err(Error::configuration(format!(
                "the IAM role \"{}\" is not the ARN of a role",
                printable(role_arn)
            ))
            .with_help("write arn:aws:iam::ACCOUNT:role/NAME"));
        }
        let config: SdkConfig = loader(region).no_credentials().load().await;
        let provider = AssumeRoleProvider::builder(role_arn)
            .session_name(session_name)
            .configure(&config)
            .build_from_provider(base)
            .await;
        Ok(SharedCredentialsProvider::new(provider))
    }

    /// The SDK with this package's one TLS library.
    fn loader(region: &Region) -> ConfigLoader {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        aws_config::defaults(BehaviorVersion::latest())
            .region(aws_config::Region::new(region.name()))
            .http_client(http)
    }
}

#[cfg(not(feature = "aws-config"))]
mod sdk {
    use aws_credential_types::provider::SharedCredentialsProvider;

    use crate::{Error, Result, identity::aws::Region};

    pub(super) async fn region_of_profile() -> Option<String> {
        None
    }

    pub(super) async fn default_chain(_: &Region) -> Result<SharedCredentialsProvider> {
        Err(
            Error::configuration("no provider of AWS credentials was given").with_help(
                "give one, or enable approzium's feature `aws-config` for the AWS SDK's chain",
            ),
        )
    }

    pub(super) async fn assume_role(
        _: SharedCredentialsProvider,
        _: &Region,
        _: &str,
        _: &str,
    ) -> Result<SharedCredentialsProvider> {
        Err(
            Error::configuration("a role to assume was given").with_help(
                "enable approzium's feature `aws-config`, or give a provider that assumes it",
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_s_region_in_the_sdks_order() {
        let environment = |set: &'static [(&'static str, &'static str)]| {
            region_of_environment(|name| {
                set.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(environment(&[]), None);
        assert_eq!(
            environment(&[
                ("AWS_DEFAULT_REGION", "us-west-2"),
                ("AWS_REGION", "eu-west-1")
            ]),
            Some("eu-west-1".into())
        );
        assert_eq!(
            environment(&[("AWS_DEFAULT_REGION", "us-west-2"), ("AWS_REGION", "")]),
            Some("us-west-2".into())
        );
    }

    #[test]
    fn an_unknown_region_is_an_error_that_says_what_to_do() {
        let error = known_region(None).unwrap_err();
        assert_eq!(error.hop(), Hop::Credentials);
        assert!(error.help().unwrap().contains("AWS_REGION"));
        let error = known_region(Some("us-east-1\n".into())).unwrap_err();
        assert!(error.is_credentials() && !error.to_string().contains('\n'));
    }

    #[test]
    fn session_names_are_recognisable_and_legal() {
        assert_eq!(
            default_session_name(Some("pod 7f/é".into())),
            "approzium-pod7f"
        );
        assert_eq!(default_session_name(Some("x".repeat(200))).len(), 64);
        assert!(default_session_name(None).starts_with("approzium-"));
    }
}
