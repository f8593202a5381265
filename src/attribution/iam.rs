//! The IAM identity, as far as it can be known without an Authenticator.
//!
//! The sources stand in the order in which the AWS SDKs look for credentials, so that the first
//! that knows names whom the application will act as. STS knows best and overrides them all; it is
//! asked only with the feature `aws-config`.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{findings::Findings, http::Endpoint, imds::Imds, keys, machine::Machine};
use crate::identity::Arn;

/// Where an ECS task's role credentials are.
pub(super) const ECS_CREDENTIALS: &str = "http://169.254.170.2";

pub(super) struct Sources<'a> {
    pub(super) machine: &'a Machine,
    pub(super) imds: &'a Imds,
    pub(super) ecs_credentials: &'a str,
    pub(super) cap: Duration,
    #[cfg(feature = "aws-config")]
    pub(super) budget: Duration,
}

pub(super) async fn probe(sources: &Sources<'_>, findings: &Findings) -> Result<(), String> {
    let (role, caller) = tokio::join!(
        async {
            let arn = role(sources).await?;
            // STS may have answered already.
            findings.put_if_absent(keys::IAM_ARN, arn);
            Ok::<_, String>(())
        },
        async {
            let arn = caller(sources).await?;
            findings.put(keys::IAM_ARN, arn);
            Ok::<_, String>(())
        }
    );
    match (role, caller) {
        (_, Ok(())) => Ok(()),
        // What the environment tells is no verification, so STS's silence is worth a word.
        (Ok(()), Err(why)) => Err(format!("not confirmed by STS: {why}")),
        (Err(no_role), Err(no_caller)) => Err(format!("{no_role}; STS: {no_caller}")),
    }
}

/// The role that the environment hands to this process.
async fn role(sources: &Sources<'_>) -> Result<String, String> {
    let machine = sources.machine;
    if machine.variable("AWS_ACCESS_KEY_ID").is_some() {
        return Err("only STS knows whose AWS_ACCESS_KEY_ID is".to_owned());
    }
    if machine.variable("AWS_PROFILE").is_some() {
        return Err("only STS knows whose AWS_PROFILE is".to_owned());
    }
    let token_file = machine.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    if let (Some(role), Some(_)) = (machine.variable("AWS_ROLE_ARN"), token_file) {
        let session = machine.variable("AWS_ROLE_SESSION_NAME");
        let assumed = session.and_then(|session| assumed_role(&role, &session));
        return Ok(assumed.unwrap_or(role));
    }
    if let Some(path) = machine.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return ecs_role(sources, &path).await;
    }
    if machine
        .variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .is_some()
    {
        return Err("only STS knows the role of AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned());
    }
    instance_role(sources.imds).await
}

/// The role of an ECS task stands beside its credentials, which are not looked at.
async fn ecs_role(sources: &Sources<'_>, path: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Credentials {
        #[serde(rename = "RoleArn")]
        role_arn: Option<String>,
    }

    let endpoint = Endpoint::parse(sources.ecs_credentials)?;
    let path = path.trim();
    if !path.starts_with('/') {
        return Err("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /".to_owned());
    }
    let answer = endpoint
        .get(path, &[], sources.cap)
        .await
        .map_err(|failure| format!("the task's credentials at {endpoint}: {failure}"))?;
    if answer.status != StatusCode::OK {
        let status = answer.status;
        return Err(format!("the task's credentials at {endpoint}: {status}"));
    }
    let body = Zeroizing::new(answer.body.to_vec());
    // Serde's errors may quote what they read: it is not shown.
    serde_json::from_slice::<Credentials>(&body)
        .ok()
        .and_then(|credentials| credentials.role_arn)
        .ok_or_else(|| "the task's credentials name no role".to_owned())
}

/// The role in the instance's profile. Its path is not to be had, and role names are unique in an
/// account.
async fn instance_role(imds: &Imds) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "InstanceProfileArn")]
        instance_profile_arn: String,
    }

    if let Some(why) = imds.why_not() {
        return Err(format!(
            "no role in the environment, and the instance is {why}"
        ));
    }
    let (info, role) = tokio::join!(
        imds.get("/latest/meta-data/iam/info"),
        imds.text("/latest/meta-data/iam/security-credentials/"),
    );
    let (Some(info), Some(role)) = (info?, role?) else {
        return Err("the instance has no profile".to_owned());
    };
    let info: Info = serde_json::from_slice(&info)
        .map_err(|error| format!("the instance's profile cannot be read: {error}"))?;
    let profile = Arn::parse(&info.instance_profile_arn)
        .map_err(|error| format!("the name of the instance's profile is no ARN: {error}"))?;
    let (partition, account) = (profile.partition(), profile.account());
    Ok(format!("arn:{partition}:iam::{account}:role/{role}"))
}

#[cfg(feature = "aws-config")]
async fn caller(sources: &Sources<'_>) -> Result<String, String> {
    if !sources.machine.is_own_environment() {
        return Err("not asked: the environment is not the process's own".to_owned());
    }
    super::sts::caller_arn(sources.imds, sources.budget).await
}

#[cfg(not(feature = "aws-config"))]
async fn caller(_: &Sources<'_>) -> Result<String, String> {
    Err("not asked: built without the feature `aws-config`".to_owned())
}

/// The ARN of a role's session, as GetCallerIdentity would say it: without the role's path.
fn assumed_role(role_arn: &str, session: &str) -> Option<String> {
    let role = Arn::parse(role_arn).ok()?;
    let (partition, account, name) = (role.partition(), role.account(), role.role_name()?);
    Some(format!(
        "arn:{partition}:sts::{account}:assumed-role/{name}/{session}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_a_role_with_a_path_loses_the_path() {
        assert_eq!(
            assumed_role("arn:aws:iam::111122223333:role/team/web", "s1").as_deref(),
            Some("arn:aws:sts::111122223333:assumed-role/web/s1")
        );
        assert_eq!(assumed_role("arn:aws:iam::111122223333:user/x", "s"), None);
    }
}
