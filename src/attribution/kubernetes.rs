//! Kubernetes: the environment first, then what the kubelet left in the pod's file system.

use super::{
    findings::{Findings, fit},
    keys,
    machine::Machine,
};

/// Where the service account's namespace stands, unless the pod has no service account mounted.
pub(super) const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What names an attribute in the environment.
struct Source {
    key: &'static str,
    /// Say what they mean, anywhere.
    explicit: &'static [&'static str],
    /// Mean it only inside Kubernetes.
    inside: &'static [&'static str],
}

const SOURCES: [Source; 7] = [
    Source {
        key: keys::K8S_POD_NAME,
        explicit: &["K8S_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME"],
        inside: &["POD_NAME", "MY_POD_NAME"],
    },
    Source {
        key: keys::K8S_NAMESPACE_NAME,
        explicit: &["K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "K8S_POD_NAMESPACE"],
        inside: &["POD_NAMESPACE", "MY_POD_NAMESPACE", "NAMESPACE"],
    },
    Source {
        key: keys::K8S_POD_UID,
        explicit: &["K8S_POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID"],
        inside: &["POD_UID", "MY_POD_UID"],
    },
    Source {
        key: keys::K8S_NODE_NAME,
        explicit: &["K8S_NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME"],
        inside: &["NODE_NAME", "MY_NODE_NAME"],
    },
    Source {
        key: keys::K8S_CONTAINER_NAME,
        explicit: &["K8S_CONTAINER_NAME"],
        inside: &["CONTAINER_NAME"],
    },
    Source {
        key: keys::K8S_DEPLOYMENT_NAME,
        explicit: &["K8S_DEPLOYMENT_NAME"],
        inside: &[],
    },
    Source {
        key: keys::K8S_CLUSTER_NAME,
        explicit: &["K8S_CLUSTER_NAME"],
        inside: &["EKS_CLUSTER_NAME", "CLUSTER_NAME"],
    },
];

pub(super) async fn probe(machine: &Machine, findings: &Findings) -> Result<(), String> {
    let inside = machine.is_kubernetes().await;
    let resource = machine.variable("OTEL_RESOURCE_ATTRIBUTES");
    for source in &SOURCES {
        let said = resource
            .as_deref()
            .and_then(|resource| resource_attribute(resource, source.key))
            .or_else(|| machine.first_variable(source.explicit))
            .or_else(|| machine.first_variable(source.inside).filter(|_| inside));
        findings.put_some(source.key, said);
    }
    if inside {
        take_from_files(machine, findings).await;
        take_eks(machine, findings);
    }
    match (findings.contains(keys::K8S_POD_NAME), inside) {
        (true, _) => Ok(()),
        (false, true) => {
            Err("the pod's name is not known: set K8S_POD_NAME from the downward API".to_owned())
        }
        (false, false) => Err("this is no Kubernetes pod".to_owned()),
    }
}

async fn take_from_files(machine: &Machine, findings: &Findings) {
    if let Some(namespace) = machine.read(NAMESPACE_FILE).await {
        findings.put_if_absent(keys::K8S_NAMESPACE_NAME, namespace);
    }
    let traces = machine.traces().await;
    if let Some(uid) = &traces.pod_uid {
        findings.put_if_absent(keys::K8S_POD_UID, uid);
    }
    if let Some(name) = &traces.container_name {
        findings.put_if_absent(keys::K8S_CONTAINER_NAME, name);
    }
    if !findings.contains(keys::K8S_POD_NAME) {
        findings.put_some(keys::K8S_POD_NAME, host_name(machine).await);
    }
}

/// The host's name where it is the pod's: not with the node's network, where it is the node's, and
/// not where the pod's name is longer than a host's may be (63 characters), where it was cut.
async fn host_name(machine: &Machine) -> Option<String> {
    let hosts = machine.read("etc/hosts").await.unwrap_or_default();
    if hosts.starts_with("# Kubernetes-managed hosts file (host network)") {
        return None;
    }
    let name = match machine.variable("HOSTNAME") {
        Some(name) => name,
        None => machine.read("etc/hostname").await?,
    };
    Some(name).filter(|name| name.trim().len() < 63)
}

/// EKS shows in where it puts the tokens for IAM, for service accounts and for pod identities.
fn take_eks(machine: &Machine, findings: &Findings) {
    let signs = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/eks.amazonaws.com/"),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "/pods.eks.amazonaws.com/",
        ),
    ];
    let is_eks = signs.iter().any(|(variable, sign)| {
        machine
            .variable(variable)
            .is_some_and(|path| path.contains(sign))
    });
    if is_eks {
        findings.put(keys::CLOUD_PROVIDER, "aws");
        findings.put(keys::CLOUD_PLATFORM, "aws_eks");
        findings.put_some(keys::CLOUD_REGION, machine.variable("AWS_REGION"));
    }
}

/// One key of `OTEL_RESOURCE_ATTRIBUTES`: `key=value,key=value`, values percent-encoded.
pub(crate) fn resource_attribute(list: &str, key: &str) -> Option<String> {
    let value = list.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == key).then_some(value.trim())
    })?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.as_bytes();
    while let [first, rest @ ..] = bytes {
        let escaped = match (first, rest) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                bytes = rest.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                bytes = rest;
            }
        }
    }
    let decoded = String::from_utf8(decoded).ok()?;
    fit(&decoded).map(str::to_owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_attributes_are_read_as_the_specification_writes_them() {
        let list = "service.name=checkout, k8s.pod.name = checkout-7 ,k8s.node.name=a%2Cb%3dc%,x";
        let read = |key| resource_attribute(list, key);
        assert_eq!(read("k8s.pod.name").as_deref(), Some("checkout-7"));
        assert_eq!(read("k8s.node.name").as_deref(), Some("a,b=c%"));
        assert_eq!(read("k8s.pod.uid"), None);
        assert_eq!(
            resource_attribute("k8s.pod.name=a%0ab", "k8s.pod.name"),
            None
        );
        assert_eq!(resource_attribute("k8s.pod.name=%ff", "k8s.pod.name"), None);
    }
}
