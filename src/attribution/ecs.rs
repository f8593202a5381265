//! ECS: the task metadata endpoint, version 4.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use super::{findings::Findings, http::Endpoint, keys, machine::Machine};
use crate::identity::Arn;

/// What the root of the endpoint tells of this container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(rename = "ContainerARN")]
    container_arn: Option<String>,
    docker_id: Option<String>,
    docker_name: Option<String>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    log_driver: Option<String>,
    log_options: Option<LogOptions>,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LogOptions {
    #[serde(rename = "awslogs-group")]
    group: Option<String>,
    #[serde(rename = "awslogs-region")]
    region: Option<String>,
    #[serde(rename = "awslogs-stream")]
    stream: Option<String>,
}

/// What `/task` tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    availability_zone: Option<String>,
    cluster: Option<String>,
    family: Option<String>,
    launch_type: Option<String>,
    revision: Option<String>,
    #[serde(rename = "TaskARN")]
    task_arn: Option<String>,
}

pub(super) async fn probe(
    machine: &Machine,
    findings: &Findings,
    cap: Duration,
) -> Result<(), String> {
    const ADDRESS: &str = "ECS_CONTAINER_METADATA_URI_V4";
    let address = machine
        .variable(ADDRESS)
        .ok_or_else(|| format!("not asked: {ADDRESS} is not set"))?;
    let endpoint = Endpoint::parse(&address).map_err(|why| format!("{ADDRESS}: {why}"))?;
    findings.put(keys::CLOUD_PROVIDER, "aws");
    findings.put(keys::CLOUD_PLATFORM, "aws_ecs");
    let container = async {
        take_container(&document(&endpoint, "", cap).await?, findings);
        Ok(())
    };
    let task = async {
        take_task(&document(&endpoint, "/task", cap).await?, findings);
        Ok(())
    };
    let (container, task) = tokio::join!(container, task);
    container.and(task)
}

async fn document<D: DeserializeOwned>(
    endpoint: &Endpoint,
    path: &str,
    cap: Duration,
) -> Result<D, String> {
    let answer = endpoint
        .get(path, &[], cap)
        .await
        .map_err(|failure| format!("{endpoint}{path}: {failure}"))?;
    if answer.status != StatusCode::OK {
        return Err(format!("{endpoint}{path} answered {}", answer.status));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{endpoint}{path} cannot be read: {error}"))
}

pub(super) fn take_container(container: &Container, findings: &Findings) {
    findings.put_some(
        keys::AWS_ECS_CONTAINER_ARN,
        container.container_arn.as_ref(),
    );
    findings.put_some(keys::CLOUD_RESOURCE_ID, container.container_arn.as_ref());
    findings.put_some(keys::CONTAINER_ID, container.docker_id.as_ref());
    let name = container.docker_name.as_ref().or(container.name.as_ref());
    findings.put_some(keys::CONTAINER_NAME, name);
    findings.put_some(keys::CONTAINER_IMAGE_ID, container.image_id.as_ref());
    if let Some(image) = &container.image {
        let (name, tag) = image_name_and_tag(image);
        findings.put(keys::CONTAINER_IMAGE_NAME, name);
        if let Some(tag) = tag {
            findings.put_array(keys::CONTAINER_IMAGE_TAGS, tag);
        }
    }
    if container.log_driver.as_deref() == Some("awslogs") {
        take_logs(container, findings);
    }
}

/// The log group and stream: the documents name them, and leave their ARNs to be put together.
fn take_logs(container: &Container, findings: &Findings) {
    let Some(LogOptions {
        group: Some(group),
        region,
        stream,
    }) = &container.log_options
    else {
        return;
    };
    findings.put_array(keys::AWS_LOG_GROUP_NAMES, group);
    if let Some(stream) = stream {
        findings.put_array(keys::AWS_LOG_STREAM_NAMES, stream);
    }
    let Some(arn) = container.container_arn.as_deref().and_then(parse) else {
        return;
    };
    let (partition, account) = (arn.partition(), arn.account());
    let region = region.as_deref().unwrap_or(arn.region());
    let group = format!("arn:{partition}:logs:{region}:{account}:log-group:{group}");
    if let Some(stream) = stream {
        findings.put_array(
            keys::AWS_LOG_STREAM_ARNS,
            format!("{group}:log-stream:{stream}"),
        );
    }
    findings.put_array(keys::AWS_LOG_GROUP_ARNS, group);
}

pub(super) fn take_task(task: &Task, findings: &Findings) {
    findings.put_some(keys::AWS_ECS_TASK_ARN, task.task_arn.as_ref());
    findings.put_some(keys::AWS_ECS_TASK_FAMILY, task.family.as_ref());
    findings.put_some(keys::AWS_ECS_TASK_REVISION, task.revision.as_ref());
    findings.put_some(
        keys::CLOUD_AVAILABILITY_ZONE,
        task.availability_zone.as_ref(),
    );
    let launch_type = task.launch_type.as_ref().map(|it| it.to_ascii_lowercase());
    findings.put_some(keys::AWS_ECS_LAUNCHTYPE, launch_type);
    let arn = task.task_arn.as_deref().and_then(parse);
    if let Some(arn) = &arn {
        findings.put(keys::CLOUD_REGION, arn.region());
        findings.put(keys::CLOUD_ACCOUNT_ID, arn.account());
        findings.put_some(keys::AWS_ECS_TASK_ID, arn.resource().rsplit('/').next());
    }
    // The cluster is named by its ARN on Fargate, and by its short name on instances.
    let cluster_arn = match (task.cluster.as_deref(), arn) {
        (Some(cluster), _) if cluster.starts_with("arn:") => Some(cluster.to_owned()),
        (Some(cluster), Some(arn)) => Some(format!(
            "arn:{}:ecs:{}:{}:cluster/{cluster}",
            arn.partition(),
            arn.region(),
            arn.account()
        )),
        _ => None,
    };
    findings.put_some(keys::AWS_ECS_CLUSTER_ARN, cluster_arn);
}

fn parse(arn: &str) -> Option<Arn> {
    Arn::parse(arn).ok()
}

/// `registry:5000/team/app:1.2@sha256:…` apart: `registry:5000/team/app` and `1.2`.
fn image_name_and_tag(image: &str) -> (&str, Option<&str>) {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        // What names neither tag nor digest means the tag `latest`.
        _ => (named, digest.is_none().then_some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        let table = [
            ("nginx", "nginx", Some("latest")),
            ("nginx:1.27", "nginx", Some("1.27")),
            ("localhost:5000/app", "localhost:5000/app", Some("latest")),
            ("localhost:5000/a/app:2", "localhost:5000/a/app", Some("2")),
            ("app@sha256:ab", "app", None),
            ("r.example/app:3@sha256:ab", "r.example/app", Some("3")),
        ];
        for (image, name, tag) in table {
            assert_eq!(image_name_and_tag(image), (name, tag), "{image}");
        }
    }
}
