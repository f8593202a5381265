//! Who we are, by AWS's own word: GetCallerIdentity with the application's credentials.
//!
//! This is the application looking at itself, so it follows the application's AWS settings,
//! `AWS_ENDPOINT_URL_STS` among them. Nothing is decided by the answer.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region,
    default_provider::credentials::DefaultCredentialsChain,
    ecs::EcsCredentialsProvider,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    meta::{credentials::CredentialsProviderChain, region::RegionProviderChain},
    profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider},
    provider_config::ProviderConfig,
    retry::RetryConfig,
    timeout::TimeoutConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures_util::future::BoxFuture;

use super::imds::Imds;
use crate::error::printable;

/// Boxed, so that no caller's future is as deep as the SDK's.
pub(super) fn caller_arn(imds: &Imds, budget: Duration) -> BoxFuture<'_, Result<String, String>> {
    Box::pin(ask(imds, budget))
}

async fn ask(imds: &Imds, budget: Duration) -> Result<String, String> {
    let region = region(imds).await?;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let credentials = credentials(imds, &region, &http).await;
    if let Err(error) = credentials.provide_credentials().await {
        // The reasons of every source are long, and may quote a source's answer: the kind is enough.
        return Err(format!("not asked: {}", printable(&error.to_string())));
    }
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(budget).build())
        .load()
        .await;
    let answer = aws_sdk_sts::Client::new(&config)
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| match error.code() {
            Some(code) => format!("GetCallerIdentity was answered with {}", printable(code)),
            None => printable(&DisplayErrorContext(&error).to_string()),
        })?;
    answer
        .arn
        .ok_or_else(|| "GetCallerIdentity was answered without an ARN".to_owned())
}

/// From the environment, the profile, or the instance where it may be asked: the SDK's own chain
/// would ask for the instance also where there is none.
async fn region(imds: &Imds) -> Result<Region, String> {
    let configured = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    if let Some(region) = configured.region().await {
        return Ok(region);
    }
    if imds.why_not().is_none()
        && let Some(region) = imds.text("/latest/meta-data/placement/region").await?
    {
        return Ok(Region::new(region));
    }
    Err("not asked: no region is configured".to_owned())
}

/// The SDK's default chain, without its last link where the instance is not to be asked.
async fn credentials(
    imds: &Imds,
    region: &Region,
    http: &SharedHttpClient,
) -> SharedCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(http.clone());
    if imds.why_not().is_none() {
        let chain = DefaultCredentialsChain::builder()
            .region(region.clone())
            .configure(config);
        return SharedCredentialsProvider::new(chain.build().await);
    }
    let profile = ProfileFileCredentialsProvider::builder().configure(&config);
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config);
    let ecs = EcsCredentialsProvider::builder().configure(&config);
    let chain = CredentialsProviderChain::first_try(
        "Environment",
        EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else("Profile", profile.build())
    .or_else("WebIdentityToken", web_identity.build())
    .or_else("EcsContainer", ecs.build());
    SharedCredentialsProvider::new(chain)
}
