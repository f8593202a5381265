//! Kubernetes and containers: what the environment says, and what file trees show.

use approzium::attribution::Attribution;

use super::{expected, fixture, nowhere, texts, why_not};

const CONTAINER: &str = "2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c";
const POD: &str = "8f4c1a52-0b6d-4f0e-9a55-3d1d6c1f7e21";
const DISABLED: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const INSIDE: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");

async fn tree(path: &str, variables: &[(&str, &str)]) -> Attribution {
    nowhere()
        .root(fixture(path))
        .environment(variables.iter().copied().chain([DISABLED]))
        .build()
        .collect()
        .await
}

#[tokio::test]
async fn every_runtime_s_pods_are_recognised() {
    // Without the kubelet's own mounts the container's name in its pod is not to be had.
    let table = [
        ("docker-cgroup-v1", Some(CONTAINER), Some("checkout")),
        ("containerd-cgroup-v1", Some(CONTAINER), Some("checkout")),
        ("containerd-cgroup-v2", Some(CONTAINER), Some("checkout")),
        ("containerd-mountinfo", Some(CONTAINER), None),
        ("crio-cgroup-v2", Some(CONTAINER), Some("checkout")),
        ("kind", Some(CONTAINER), None),
        // The sandbox's id, which others report here, is not this container's.
        ("containerd-cgroup-v2-private", None, Some("checkout")),
        ("crio-cgroup-v2-private", None, Some("checkout")),
    ];
    for (case, container_id, container_name) in table {
        let host = ("HOSTNAME", "checkout-5d8c7b9f4-x2v7q");
        for inside in [Some(INSIDE), None] {
            let variables: Vec<_> = inside.into_iter().chain([host]).collect();
            let attribution = tree(&format!("kubernetes/{case}"), &variables).await;
            let mut whole = expected([
                ("k8s.namespace.name", "shop"),
                ("k8s.pod.name", "checkout-5d8c7b9f4-x2v7q"),
                ("k8s.pod.uid", POD),
            ]);
            let more = [
                ("container.id", container_id),
                ("k8s.container.name", container_name),
            ];
            for (key, value) in more {
                let value = value.map(|value| (key.to_owned(), value.to_owned()));
                whole.extend(value);
            }
            assert_eq!(texts(attribution.attributes()), whole, "{case}");
            assert_eq!(
                texts(attribution.span_attributes()),
                expected([
                    ("approzium.k8s.namespace.name", "shop"),
                    ("approzium.k8s.pod.name", "checkout-5d8c7b9f4-x2v7q"),
                ]),
                "{case}"
            );
            let hidden = why_not(&attribution, "container").contains("hides");
            assert_eq!(hidden, container_id.is_none(), "{case}");
        }
    }
}

#[tokio::test]
async fn with_the_node_s_network_the_host_s_name_is_not_the_pod_s() {
    let host = ("HOSTNAME", "ip-10-0-0-7.eu-west-1.compute.internal");
    let attribution = tree("kubernetes/host-network", &[INSIDE, host]).await;
    assert_eq!(attribution.text("k8s.pod.name"), None);
    assert_eq!(attribution.text("k8s.pod.uid"), Some(POD));
    assert!(why_not(&attribution, "kubernetes").contains("K8S_POD_NAME"));

    // A host's name has 63 characters at most: this one may have lost its end.
    let cut = "x".repeat(63);
    let attribution = tree("kubernetes/kind", &[INSIDE, ("HOSTNAME", &cut)]).await;
    assert_eq!(attribution.text("k8s.pod.name"), None);
}

#[tokio::test]
async fn the_downward_api_is_believed_before_files() {
    let variables = [
        INSIDE,
        ("POD_NAME", "checkout-7"),
        ("POD_NAMESPACE", "tests"),
        ("POD_UID", "00000000-0000-0000-0000-000000000007"),
        ("NODE_NAME", "node-1"),
        ("K8S_DEPLOYMENT_NAME", "checkout"),
        ("CLUSTER_NAME", "blue"),
        ("HOSTNAME", "something-else"),
    ];
    let attribution = tree("kubernetes/kind", &variables).await;
    assert_eq!(
        texts(attribution.attributes()),
        expected([
            ("container.id", CONTAINER),
            ("k8s.cluster.name", "blue"),
            ("k8s.deployment.name", "checkout"),
            ("k8s.namespace.name", "tests"),
            ("k8s.node.name", "node-1"),
            ("k8s.pod.name", "checkout-7"),
            ("k8s.pod.uid", "00000000-0000-0000-0000-000000000007"),
        ])
    );
    let more_explicit = [
        &variables[..],
        &[
            ("K8S_POD_NAME", "explicit"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "a=b,k8s.namespace.name=by%2Dotel",
            ),
        ],
    ]
    .concat();
    let attribution = tree("kubernetes/kind", &more_explicit).await;
    assert_eq!(attribution.text("k8s.pod.name"), Some("explicit"));
    assert_eq!(attribution.text("k8s.namespace.name"), Some("by-otel"));
}

#[tokio::test]
async fn outside_of_kubernetes_only_names_that_can_mean_nothing_else_count() {
    let ambiguous = [
        ("POD_NAME", "a"),
        ("NAMESPACE", "b"),
        ("HOSTNAME", "laptop"),
        ("NODE_NAME", "c"),
        ("CONTAINER_NAME", "d"),
        ("CLUSTER_NAME", "e"),
    ];
    let attribution = tree("container/bare", &ambiguous).await;
    assert!(attribution.attributes().is_empty(), "{attribution:?}");
    assert_eq!(
        why_not(&attribution, "kubernetes"),
        "this is no Kubernetes pod"
    );

    let explicit = [
        ("K8S_POD_NAME", "checkout-7"),
        ("K8S_NAMESPACE_NAME", "shop"),
    ];
    let attribution = tree("container/bare", &explicit).await;
    assert_eq!(
        texts(attribution.span_attributes()),
        expected([
            ("approzium.k8s.namespace.name", "shop"),
            ("approzium.k8s.pod.name", "checkout-7"),
        ])
    );
}

#[tokio::test]
async fn eks_shows_in_its_tokens_and_their_role_is_known() {
    let token = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    let variables = [
        INSIDE,
        ("HOSTNAME", "web-1"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/team/web"),
        ("AWS_ROLE_SESSION_NAME", "web-1"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let attribution = tree("kubernetes/containerd-cgroup-v2", &variables).await;
    assert_eq!(attribution.text("cloud.platform"), Some("aws_eks"));
    assert_eq!(attribution.text("cloud.region"), Some("eu-west-1"));
    let iam = attribution.iam().unwrap();
    assert_eq!(
        iam.arn(),
        "arn:aws:sts::111122223333:assumed-role/web/web-1"
    );
    assert_eq!((iam.role(), iam.session()), (Some("web"), Some("web-1")));
    assert_eq!(iam.account(), "111122223333");
    // The SDKs would use keys before roles, and so whose they are is anyone's guess.
    let keys = [&variables[..], &[("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")]].concat();
    let attribution = tree("kubernetes/containerd-cgroup-v2", &keys).await;
    assert_eq!(attribution.iam(), None);
}

#[tokio::test]
async fn containers_outside_of_kubernetes_have_their_id() {
    for case in [
        "docker-cgroup-v1",
        "docker-cgroup-v2-private",
        "podman-cgroup-v2-private",
        "systemd-docker",
    ] {
        let attribution = tree(&format!("container/{case}"), &[]).await;
        assert_eq!(
            texts(attribution.attributes()),
            expected([("container.id", CONTAINER)]),
            "{case}"
        );
        assert_eq!(attribution.place(), None);
    }
}
