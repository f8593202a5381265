//! EC2: tokens, the fallback to version 1, and whom the machine's firmware keeps from asking.

use std::{fs, time::Duration};

use approzium::attribution::{Attribution, Place, keys};
use approzium_peers::{MiniStack, peer};
use axum::http::{HeaderMap, Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    expected, fixture, nowhere,
    servers::{BlackHole, Recorded},
    texts, why_not,
};

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

#[tokio::test]
async fn an_instance_that_demands_tokens_is_read() {
    let metadata = peer!(MiniStack::start());
    // It does demand them.
    let address = metadata.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /latest/meta-data/hostname HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let attribution = nowhere()
        .environment([(ENDPOINT, metadata.url())])
        .build()
        .collect()
        .await;
    let instance_id = attribution.ec2_instance_id().unwrap_or_default().to_owned();
    assert!(instance_id.starts_with("i-"), "{attribution:?}");
    let role = "arn:aws:iam::000000000000:role/ministack-instance-role";
    assert_eq!(
        texts(attribution.attributes()),
        expected([
            ("approzium.ec2.public_hostname", "ministack.local"),
            ("approzium.ec2.public_ipv4", "127.0.0.1"),
            ("approzium.iam_account", "000000000000"),
            ("approzium.iam_arn", role),
            ("approzium.iam_role", "ministack-instance-role"),
            ("cloud.account.id", "000000000000"),
            ("cloud.availability_zone", "us-east-1a"),
            ("cloud.platform", "aws_ec2"),
            ("cloud.provider", "aws"),
            ("cloud.region", "us-east-1"),
            ("host.arch", "amd64"),
            ("host.id", &instance_id),
            ("host.image.id", "ami-ministack"),
            ("host.name", "ministack.local"),
            ("host.type", "t3.micro"),
        ])
    );
    assert_eq!(
        texts(attribution.span_attributes()),
        expected([("approzium.ec2.instance_id", &instance_id)])
    );
    assert_eq!(attribution.place(), Some(Place::Ec2 { instance_id }));
    assert_eq!(attribution.ec2_public_hostname(), Some("ministack.local"));
    assert_eq!(attribution.ec2_public_ipv4(), Some("127.0.0.1"));
    assert_eq!(why_not(&attribution, "ec2"), "");

    let resource = attribution.resource();
    assert_eq!(resource.schema_url(), Some(keys::SCHEMA_URL));
    assert_eq!(resource.len(), attribution.attributes().len());
}

/// A recorded instance: `refusal` answers the request for a token.
async fn instance(refusal: Option<StatusCode>) -> Recorded {
    let document = fs::read_to_string(fixture("ec2/document.json")).unwrap();
    Recorded::serve(move |method: &Method, path: &str, headers: &HeaderMap| {
        if method == Method::PUT {
            return match refusal {
                Some(status) => (status, String::new()),
                None => (StatusCode::OK, "a-token".to_owned()),
            };
        }
        let token = headers.get("x-aws-ec2-metadata-token");
        assert_eq!(token.is_some(), refusal.is_none());
        let answer = match path {
            "/latest/dynamic/instance-identity/document" => document.as_str(),
            "/latest/meta-data/hostname" => "ip-10-158-112-84.us-west-2.compute.internal",
            "/latest/meta-data/public-hostname" => "evil\u{1b}[2J.example",
            "/latest/meta-data/instance-id" => "i-1234567890abcdef0",
            "/latest/meta-data/tags/instance/aws:eks:cluster-name" => "prod",
            _ => return (StatusCode::NOT_FOUND, "Not Found".to_owned()),
        };
        (StatusCode::OK, answer.to_owned())
    })
    .await
}

async fn collected(instance: &Recorded, more: &[(&str, &str)]) -> Attribution {
    let variables = [(ENDPOINT, instance.url())];
    nowhere()
        .environment(variables.into_iter().chain(more.iter().copied()))
        .build()
        .collect()
        .await
}

#[tokio::test]
async fn a_service_without_tokens_is_asked_by_version_1() {
    for status in [403, 404, 405] {
        let status = StatusCode::from_u16(status).unwrap();
        let instance = instance(Some(status)).await;
        let attribution = collected(&instance, &[]).await;
        assert_eq!(attribution.ec2_instance_id(), Some("i-1234567890abcdef0"));
        assert_eq!(attribution.text(keys::HOST_TYPE), Some("t2.micro"));
        // The control characters kept it out.
        assert_eq!(attribution.ec2_public_hostname(), None);

        let forbidden = instance_that_is_forbidden_version_1(status).await;
        assert!(forbidden.attributes().is_empty(), "{forbidden:?}");
        assert!(why_not(&forbidden, "ec2").contains("AWS_EC2_METADATA_V1_DISABLED"));
    }
}

async fn instance_that_is_forbidden_version_1(status: StatusCode) -> Attribution {
    let instance = instance(Some(status)).await;
    let attribution = collected(&instance, &[("AWS_EC2_METADATA_V1_DISABLED", "true")]).await;
    assert_eq!(instance.requests(), ["PUT /latest/api/token"]);
    attribution
}

#[tokio::test]
async fn a_service_that_fails_is_not_asked_by_version_1() {
    for status in [400, 401, 429, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        let instance = instance(Some(status)).await;
        let attribution = collected(&instance, &[]).await;
        assert!(attribution.attributes().is_empty(), "{attribution:?}");
        assert_eq!(instance.requests(), ["PUT /latest/api/token"]);
        assert!(why_not(&attribution, "ec2").contains(status.as_str()));
    }
}

#[tokio::test]
async fn a_token_that_never_comes_back_means_version_1() {
    // The hop limit of an instance's metadata ends before a container: the token's answer is lost.
    let hole = BlackHole::open().await;
    let attribution = nowhere()
        .budget(Duration::from_millis(200))
        .environment([(ENDPOINT, hole.url())])
        .build()
        .collect()
        .await;
    assert!(hole.connections() >= 2, "version 1 was not tried");
    let forbidden = nowhere()
        .budget(Duration::from_millis(200))
        .environment([
            (ENDPOINT, hole.url()),
            ("AWS_EC2_METADATA_V1_DISABLED", "true"),
        ])
        .build()
        .collect()
        .await;
    assert!(attribution.attributes().is_empty());
    assert!(why_not(&forbidden, "ec2").contains("hop limit must be at least 2"));
}

#[tokio::test]
async fn a_node_of_eks_names_its_cluster() {
    let instance = instance(None).await;
    let attribution = collected(&instance, &[("KUBERNETES_SERVICE_HOST", "10.100.0.1")]).await;
    assert_eq!(attribution.text(keys::K8S_CLUSTER_NAME), Some("prod"));
    assert_eq!(attribution.text(keys::CLOUD_PLATFORM), Some("aws_eks"));
    assert_eq!(
        attribution.text(keys::AWS_EKS_CLUSTER_ARN),
        Some("arn:aws:eks:us-west-2:123456789012:cluster/prod")
    );
    // Outside of Kubernetes the tag is not asked for.
    let plain = collected(&instance, &[]).await;
    assert_eq!(plain.text(keys::CLOUD_PLATFORM), Some("aws_ec2"));
    assert_eq!(plain.text(keys::K8S_CLUSTER_NAME), None);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = Recorded::serve(|method, _, _| {
        let body = if method == Method::PUT {
            "t".to_owned()
        } else {
            "x".repeat(8 << 20)
        };
        (StatusCode::OK, body)
    })
    .await;
    let attribution = collected(&endless, &[]).await;
    assert!(attribution.attributes().is_empty());
    let why = why_not(&attribution, "ec2");
    assert!(why.contains("length limit exceeded"), "{why}");
}

#[tokio::test]
async fn a_machine_that_shows_that_it_is_no_instance_asks_nobody() {
    // vendor, hypervisor UUID, environment, whether the address may be asked
    let xen = "ec2e1916-9099-7caf-fd21-012345abcdef";
    let not_ec2 = "7c0e37a4-2b1a-4b0f-9d0c-1c2d3e4f5a6b";
    let disabled = ("AWS_EC2_METADATA_DISABLED", "TRUE");
    let lambda = ("AWS_LAMBDA_FUNCTION_NAME", "f");
    let fargate = ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE");
    let none = ("SOMETHING", "else");
    let table = [
        (Some("Amazon EC2"), None, none, true),
        (Some("Xen"), Some(xen), none, true),
        (None, None, none, true),
        (Some("Xen"), Some(not_ec2), none, false),
        (Some("QEMU"), None, none, false),
        (Some("Google"), None, none, false),
        (Some("Microsoft Corporation"), None, none, false),
        (Some("LENOVO"), None, none, false),
        (Some("Amazon EC2"), None, disabled, false),
        (Some("Amazon EC2"), None, lambda, false),
        (Some("Amazon EC2"), None, fargate, false),
    ];
    for (vendor, hypervisor, variable, asked) in table {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: Option<&str>| {
            let Some(text) = text else { return };
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        };
        write("sys/class/dmi/id/sys_vendor", vendor);
        write("sys/hypervisor/uuid", hypervisor);
        let hole = BlackHole::open().await;
        let attribution = nowhere()
            .budget(Duration::from_millis(200))
            .root(root.path())
            .environment([variable])
            .metadata_address(hole.url())
            .build()
            .collect()
            .await;
        let case = format!("{vendor:?} {hypervisor:?} {variable:?}: {attribution:?}");
        assert_eq!(hole.connections() > 0, asked, "{case}");
        assert_eq!(
            why_not(&attribution, "ec2").starts_with("not asked: "),
            !asked,
            "{case}"
        );
    }
}
