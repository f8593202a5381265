//! The container around this process, by what the kernel shows it of itself.

use super::{findings::Findings, keys, machine::Machine};

pub(super) use super::cgroup::Traces;

pub(super) async fn traces(machine: &Machine) -> Traces {
    let (cgroup, mountinfo) = tokio::join!(
        machine.read("proc/self/cgroup"),
        machine.read("proc/self/mountinfo"),
    );
    let in_pod = machine.variable("KUBERNETES_SERVICE_HOST").is_some();
    Traces::read(
        &cgroup.unwrap_or_default(),
        &mountinfo.unwrap_or_default(),
        in_pod,
    )
}

pub(super) async fn probe(machine: &Machine, findings: &Findings) -> Result<(), String> {
    let traces = machine.traces().await;
    findings.put_some(keys::CONTAINER_ID, traces.container_id.as_deref());
    match (&traces.container_id, traces.is_pod()) {
        (Some(_), _) => Ok(()),
        (None, true) => Err("the pod's cgroup namespace hides the container's id".to_owned()),
        (None, false) => Err("neither cgroups nor mounts name a container".to_owned()),
    }
}
