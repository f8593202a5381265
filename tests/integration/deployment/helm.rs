//! The chart: by Helm, by the schemas of Kubernetes, and by `approzium serve` itself.

use std::collections::BTreeMap;

use approzium_peers::{deployment::Judges, free_port, peer};
use serde_json::{Value, json};

use super::{Etc, known_variables, repository};
use crate::authenticator::process::{Dev, record};

/// The oldest Kubernetes that the chart asks for, and a later one.
const VERSIONS: [&str; 2] = ["1.30", "1.34"];

const CHART: &str = "deploy/helm/approzium";

pub(super) async fn rendered(judges: &Judges, values: &Value) -> BTreeMap<String, String> {
    let chart = repository(CHART);
    judges.helm(&chart, values, VERSIONS[0]).await.unwrap()
}

/// `approzium.yaml`, as a pod sees it.
pub(super) fn mounted(files: &BTreeMap<String, String>) -> String {
    let config = object(files, "ConfigMap");
    let text = config["data"]["approzium.yaml"].as_str();
    text.unwrap().to_owned()
}

/// One object, by its kind.
pub(super) fn object(files: &BTreeMap<String, String>, kind: &str) -> Value {
    let objects = files.values().flat_map(|text| text.split("\n---\n"));
    objects
        .filter_map(|text| serde_yaml_ng::from_str::<Value>(text).ok())
        .find(|object| object["kind"] == kind)
        .unwrap_or_else(|| panic!("no {kind}"))
}

#[tokio::test]
async fn helm_and_kubernetes_find_it_good_however_it_is_configured() {
    let judges = peer!(Judges::install());
    let chart = repository(CHART);
    let more = json!({
        "autoscaling": {"enabled": false},
        "clientCa": {"secretName": "applications-ca"},
        "config": {"session": {"audiences": ["approzium.internal"]}},
        "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}],
        "image": {"repository": "registry.internal/approzium", "digest": format!("sha256:{}", "0".repeat(64))},
        "networkPolicy": {"applications": [], "egress": [{"to": [{"podSelector": {}}]}]},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "data"},
        "serviceAccount": {"create": false, "name": "other"},
        "volumeMounts": [{"name": "vault-ca", "mountPath": "/etc/approzium/vault", "readOnly": true}],
        "volumes": [{"name": "vault-ca", "configMap": {"name": "vault-ca"}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    });
    for version in VERSIONS {
        for values in [&json!({}), &more] {
            let files = judges.helm(&chart, values, version).await.unwrap();
            let manifests = files.iter().filter(|(name, _)| name.ends_with(".yaml"));
            let manifests: Vec<&str> = manifests.map(|(_, text)| text.as_str()).collect();
            let judged = judges.kubernetes(&manifests.join("\n---\n"), version).await;
            judged.unwrap_or_else(|error| panic!("{version} {values}: {error}"));
        }
    }
}

#[tokio::test]
async fn its_judges_find_mistakes() {
    let judges = peer!(Judges::install());
    let chart = repository(CHART);
    for values in [
        json!({"replica": 3}),
        json!({"tls": {"secretName": ""}}),
        json!({"records": {"secretName": "a", "key": "../b"}}),
        json!({"records": {"manager": "local", "secretName": ""}}),
        json!({"records": {"manager": "file"}}),
        json!({"config": {"logging": "info"}}),
        json!({"image": {"repository": "a", "digest": "sha256:0"}}),
        json!({"service": {"externalTrafficPolicy": "Global"}}),
        // A ConfigMap is no place for a secret.
        json!({"config": {"secrets": {"vault_token": "hvs.x"}}}),
        json!({"env": [{"name": "VAULT_TOKEN", "value": "hvs.x"}]}),
        json!({"config": {"secrets": {"vault_addr": {"url": "https://vault"}}}}),
    ] {
        let judged = judges.helm(&chart, &values, VERSIONS[0]).await;
        assert!(judged.is_err(), "{values}");
    }
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatum: {}\n";
    let judged = judges.kubernetes(unknown, VERSIONS[0]).await;
    let said = judged.unwrap_err().to_string();
    assert!(said.contains("datum"), "{said}");
}

#[tokio::test]
async fn approzium_serves_by_the_configuration_that_it_mounts() {
    let judges = peer!(Judges::install());
    let etc = Etc::new(
        "tls/tls.crt",
        "tls/tls.key",
        "records/secrets.yaml",
        "session/session.keys",
    );
    let values = json!({"records": {"manager": "local"}});
    let config = mounted(&rendered(&judges, &values).await);
    etc.serves(Some(&config), &[]);
    // A folder of records, as a Secret is mounted.
    let config = mounted(&rendered(&judges, &json!({})).await);
    let output = etc.check(Some(&config), &[]);
    assert_eq!(output.status.code(), Some(1), "no database's file is in it");
    let role = "arn:aws:iam::123456789012:role/shop";
    let shop = json!({"shop": {"password": "x", "iam_arns": [role]}});
    let file = etc.path().join("records/db.internal_5432");
    std::fs::write(file, shop.to_string()).unwrap();
    let output = etc.check(Some(&config), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::rename(etc.path().join("records"), etc.path().join("gone")).unwrap();
    let output = etc.check(Some(&config), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    std::fs::rename(etc.path().join("gone"), etc.path().join("records")).unwrap();
    // What the values say is heeded, but for what the chart mounts and the ports it names.
    let values = json!({"records": {"manager": "local"}, "config": {
        "listener": {"drain_timeout": "30s", "grpc_port": 7001},
        "limits": {"max_iterations": 50000},
    }});
    let config = mounted(&rendered(&judges, &values).await);
    let config: Value = serde_yaml_ng::from_str(&config).unwrap();
    assert_eq!(config["listener"]["drain_timeout"], "30s");
    assert_eq!(config["listener"]["grpc_port"], 6001);
    assert_eq!(config["limits"]["max_iterations"], 50000);
    let values = json!({"config": {"limits": {"max_iteration": 1}}});
    let config = mounted(&rendered(&judges, &values).await);
    let output = etc.check(Some(&config), &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_manager_elsewhere_needs_no_secret_here() {
    let judges = peer!(Judges::install());
    let etc = Etc::new(
        "tls/tls.crt",
        "tls/tls.key",
        "records/secrets.yaml",
        "session/session.keys",
    );
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let values = json!({
        "records": {"manager": "vault"},
        "config": {"secrets": {
            "vault_addr": nowhere,
            "vault_auth": "kubernetes",
            "vault_role": "approzium",
        }},
        "serviceAccount": {"mountToken": true},
        "env": [{"name": "VAULT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
    });
    let files = rendered(&judges, &values).await;
    let pod = object(&files, "Deployment")["spec"]["template"]["spec"].clone();
    assert!(!pod.to_string().contains("approzium-records"), "{pod}");
    assert_eq!(pod["automountServiceAccountToken"], true);
    // The settings are understood, and what they name is asked.
    let output = etc.check(Some(&mounted(&files)), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let failed: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("FAILED"))
        .collect();
    assert!(
        matches!(failed.as_slice(), [line] if line.contains("records")),
        "{said}"
    );
}

#[tokio::test]
async fn a_pod_can_do_little_and_is_asked_where_it_answers() {
    let judges = peer!(Judges::install());
    let files = rendered(&judges, &json!({})).await;
    let pod = object(&files, "Deployment")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(pod["securityContext"]["fsGroup"].is_u64());
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    for volume in pod["volumes"].as_array().unwrap() {
        if let Some(secret) = volume.get("secret") {
            // No others, and no group that writes, as `serve` demands.
            assert_eq!(secret["defaultMode"], 0o440, "{volume}");
        }
    }
    let serving = Dev::start(&record("app", "")).await;
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (&asked["port"], &asked["scheme"]),
            (&json!("http"), &json!("HTTPS"))
        );
        let (status, said) = serving.get(asked["path"].as_str().unwrap()).await;
        assert_eq!(status.as_u16(), 200, "{probe}: {said}");
    }
    // The same where applications show certificates, which the kubelet has none of.
    let values = json!({"clientCa": {"secretName": "applications-ca"}});
    let mutual = rendered(&judges, &values).await;
    let mutual = object(&mutual, "Deployment")["spec"]["template"]["spec"].clone();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(mutual["containers"][0][probe], container[probe]);
    }
}

#[tokio::test]
async fn nobody_is_let_in_by_a_list_of_nobody() {
    let judges = peer!(Judges::install());
    let values = json!({"networkPolicy": {"applications": [], "operators": []}});
    let files = rendered(&judges, &values).await;
    let policy = object(&files, "NetworkPolicy");
    assert_eq!(policy["spec"]["ingress"], Value::Null);
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let policy = object(&rendered(&judges, &json!({})).await, "NetworkPolicy");
    let ingress = policy["spec"]["ingress"].as_array().unwrap();
    assert_eq!(ingress.len(), 2);
    let egress = policy["spec"]["egress"].as_array().unwrap();
    let resolvers = &egress[0]["to"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!(resolvers["kubernetes.io/metadata.name"], "kube-system");
    let to = &egress[1]["to"][0]["ipBlock"];
    assert_eq!(to["except"], json!(["169.254.0.0/16"]));
    assert_eq!(egress.len(), 2);
}

/// What stands in the values as a comment, to be taken out of it.
#[tokio::test]
async fn what_runs_on_the_node_is_reached_where_the_values_say_so() {
    let judges = peer!(Judges::install());
    let values = super::read("deploy/helm/approzium/values.yaml");
    let lines = |after: &str| {
        let lines = values.lines().skip_while(|line| !line.contains(after));
        let example = lines.skip_while(|line| !line.starts_with("  #   - "));
        let example = example.take_while(|line| line.starts_with("  #   "));
        let example: Vec<&str> = example.map(|line| &line[6..]).collect();
        serde_yaml_ng::from_str::<Value>(&example.join("\n")).unwrap()
    };
    let dns = lines("NodeLocal DNSCache");
    let agent = lines("EKS Pod Identity");
    let told = json!({"networkPolicy": {"dns": dns, "egress": agent}});
    let files = rendered(&judges, &told).await;
    let policy = files
        .values()
        .find(|text| text.contains("kind: NetworkPolicy"));
    let judged = judges.kubernetes(policy.unwrap(), VERSIONS[0]).await;
    judged.unwrap();
    let egress = object(&files, "NetworkPolicy")["spec"]["egress"].clone();
    assert_eq!(egress[0]["to"], dns);
    assert_eq!(egress[0]["to"][0]["ipBlock"]["cidr"], "169.254.20.10/32");
    assert_eq!(egress[2], agent[0]);
    assert_eq!(egress[2]["to"][0]["ipBlock"]["cidr"], "169.254.170.23/32");
}

/// Limits for one address and the audit log go by the addresses that replicas see.
#[tokio::test]
async fn a_load_balancer_hides_no_address_unless_it_is_told_to() {
    let judges = peer!(Judges::install());
    for (service, policy) in [
        (json!({}), Value::Null),
        (json!({"type": "LoadBalancer"}), json!("Local")),
        (
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}),
            json!("Cluster"),
        ),
    ] {
        let files = rendered(&judges, &json!({ "service": service })).await;
        let service = object(&files, "Service");
        let judged = judges.kubernetes(&service.to_string(), VERSIONS[0]).await;
        judged.unwrap();
        assert_eq!(service["spec"]["externalTrafficPolicy"], policy);
    }
}

#[test]
fn its_variables_are_known() {
    let known = known_variables();
    let values = super::read("deploy/helm/approzium/values.yaml");
    for word in values.split(|one: char| !one.is_ascii_alphanumeric() && one != '_') {
        if word.starts_with("APPROZIUM_") {
            assert!(known.iter().any(|name| name == word), "{word}");
        }
    }
}
