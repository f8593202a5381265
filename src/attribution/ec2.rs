//! EC2: the identity document and what else the instance metadata service tells.

use serde::Deserialize;

use super::{dmi::Verdict, findings::Findings, imds::Imds, keys, machine::Machine};

/// The signed document's content; all of it is text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument {
    account_id: Option<String>,
    architecture: Option<String>,
    availability_zone: Option<String>,
    image_id: Option<String>,
    instance_id: Option<String>,
    instance_type: Option<String>,
    region: Option<String>,
}

pub(super) async fn probe(
    machine: &Machine,
    imds: &Imds,
    findings: &Findings,
) -> Result<(), String> {
    let fargate = machine.variable("AWS_EXECUTION_ENV").as_deref() == Some("AWS_ECS_FARGATE");
    let verdict = machine.verdict().await;
    // Fargate's machine is an instance too, but not one of the task's owner.
    let is_ec2 = matches!(verdict, Verdict::Ec2 { .. }) && !fargate;
    if let (true, Verdict::Ec2 { instance_id }) = (is_ec2, verdict) {
        findings.put(keys::CLOUD_PROVIDER, "aws");
        findings.put(keys::CLOUD_PLATFORM, "aws_ec2");
        findings.put_some(keys::HOST_ID, instance_id.as_deref());
    }
    let speaks_v2 = imds.open().await?;
    let document = identity_document(imds, findings).await;
    // Other clouds answer at the same address with some of the same paths.
    if document.is_err() && !speaks_v2 && !is_ec2 {
        return document;
    }
    let rest = tokio::join!(
        text(imds, findings, keys::HOST_NAME, "hostname"),
        text(imds, findings, keys::EC2_PUBLIC_HOSTNAME, "public-hostname"),
        text(imds, findings, keys::EC2_PUBLIC_IPV4, "public-ipv4"),
        text(imds, findings, keys::HOST_ID, "instance-id"),
        eks_cluster(machine, imds, findings),
    );
    document
        .and(rest.0)
        .and(rest.1)
        .and(rest.2)
        .and(rest.3)
        .and(rest.4)
}

async fn identity_document(imds: &Imds, findings: &Findings) -> Result<(), String> {
    let body = imds
        .get("/latest/dynamic/instance-identity/document")
        .await?
        .ok_or("the metadata service has no instance identity document")?;
    take_document(&body, findings)
}

pub(super) fn take_document(body: &[u8], findings: &Findings) -> Result<(), String> {
    let document: IdentityDocument = serde_json::from_slice(body)
        .map_err(|error| format!("the instance identity document cannot be read: {error}"))?;
    findings.put(keys::CLOUD_PROVIDER, "aws");
    findings.put(keys::CLOUD_PLATFORM, "aws_ec2");
    findings.put_some(keys::CLOUD_ACCOUNT_ID, document.account_id);
    findings.put_some(keys::CLOUD_AVAILABILITY_ZONE, document.availability_zone);
    findings.put_some(keys::CLOUD_REGION, document.region);
    findings.put_some(keys::HOST_ARCH, document.architecture.map(architecture));
    findings.put_some(keys::HOST_ID, document.instance_id);
    findings.put_some(keys::HOST_IMAGE_ID, document.image_id);
    findings.put_some(keys::HOST_TYPE, document.instance_type);
    Ok(())
}

async fn text(
    imds: &Imds,
    findings: &Findings,
    key: &'static str,
    name: &str,
) -> Result<(), String> {
    let value = imds.text(&format!("/latest/meta-data/{name}")).await?;
    findings.put_some(key, value);
    Ok(())
}

/// The cluster of a node's instance, where the instance's tags may be read from its metadata.
async fn eks_cluster(machine: &Machine, imds: &Imds, findings: &Findings) -> Result<(), String> {
    if !machine.is_kubernetes().await {
        return Ok(());
    }
    let path = "/latest/meta-data/tags/instance/aws:eks:cluster-name";
    findings.put_some(keys::K8S_CLUSTER_NAME, imds.text(path).await?);
    Ok(())
}

/// AWS's names of architectures in the conventions' words.
fn architecture(name: String) -> String {
    match name.as_str() {
        "x86_64" | "x86_64_mac" => "amd64".to_owned(),
        "arm64_mac" => "arm64".to_owned(),
        "i386" => "x86".to_owned(),
        _ => name,
    }
}
