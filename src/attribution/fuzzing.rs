//! For `crate::fuzzing`: what was found in files and documents, as it would be shown.

use super::{
    cgroup::Traces,
    ec2, ecs,
    findings::{Findings, Found},
    kubernetes,
};

/// Id of the container, UID of the pod, name of the container in it.
pub fn container(cgroup: &str, mountinfo: &str, in_pod: bool) -> [Option<String>; 3] {
    let traces = Traces::read(cgroup, mountinfo, in_pod);
    [traces.container_id, traces.pod_uid, traces.container_name]
}

/// Of the documents of a container and its task.
pub fn ecs(container: &[u8], task: &[u8]) -> Found {
    let findings = Findings::default();
    if let Ok(container) = serde_json::from_slice(container) {
        ecs::take_container(&container, &findings);
    }
    if let Ok(task) = serde_json::from_slice(task) {
        ecs::take_task(&task, &findings);
    }
    findings.take()
}

/// Of an identity document.
pub fn ec2(document: &[u8]) -> Found {
    let findings = Findings::default();
    let _ = ec2::take_document(document, &findings);
    findings.take()
}

/// Of `OTEL_RESOURCE_ATTRIBUTES`.
pub fn resource_attribute(list: &str, key: &str) -> Option<String> {
    kubernetes::resource_attribute(list, key)
}
