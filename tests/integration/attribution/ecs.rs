//! ECS: the recorded documents of task metadata v4, and the role beside a task's credentials.

use std::fs;

use approzium::attribution::{Place, keys};
use approzium_peers::{MiniStack, peer};
use axum::http::StatusCode;

use super::{expected, fixture, nowhere, servers::Recorded, texts, why_not};

const ADDRESS: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Serves `ecs/<name>-container.json` at the root and `ecs/<name>-task.json` below it.
async fn agent(name: &str) -> Recorded {
    let document = |what: &str| fs::read_to_string(fixture(&format!("ecs/{name}-{what}.json")));
    let (container, task) = (document("container").unwrap(), document("task").unwrap());
    Recorded::serve(move |_, path, _| match path {
        "/v4/5f4c" => (StatusCode::OK, container.clone()),
        "/v4/5f4c/task" => (StatusCode::OK, task.clone()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    })
    .await
}

#[tokio::test]
async fn a_task_on_an_instance_is_read() {
    let agent = agent("instance").await;
    let attribution = nowhere()
        .environment([(ADDRESS, format!("{}/v4/5f4c", agent.url())), disabled()])
        .build()
        .collect()
        .await;
    let container =
        "arn:aws:ecs:us-west-2:111122223333:container/0206b271-b33f-47ab-86c6-a0ba208a70a9";
    let group = "arn:aws:logs:us-west-2:111122223333:log-group:/ecs/metadata";
    let stream = "ecs/curl/8f03e41243824aea923aca126495f665";
    assert_eq!(
        texts(attribution.attributes()),
        expected([
            (
                "aws.ecs.cluster.arn",
                "arn:aws:ecs:us-west-2:111122223333:cluster/default"
            ),
            ("aws.ecs.container.arn", container),
            ("aws.ecs.launchtype", "ec2"),
            (
                "aws.ecs.task.arn",
                "arn:aws:ecs:us-west-2:111122223333:task/default/8f03e41243824aea923aca126495f665"
            ),
            ("aws.ecs.task.family", "curltest"),
            ("aws.ecs.task.id", "8f03e41243824aea923aca126495f665"),
            ("aws.ecs.task.revision", "24"),
            ("aws.log.group.arns", &format!("[\"{group}\"]")),
            ("aws.log.group.names", "[\"/ecs/metadata\"]"),
            (
                "aws.log.stream.arns",
                &format!("[\"{group}:log-stream:{stream}\"]")
            ),
            ("aws.log.stream.names", &format!("[\"{stream}\"]")),
            ("cloud.account.id", "111122223333"),
            ("cloud.availability_zone", "us-west-2d"),
            ("cloud.platform", "aws_ecs"),
            ("cloud.provider", "aws"),
            ("cloud.region", "us-west-2"),
            ("cloud.resource_id", container),
            (
                "container.id",
                "ea32192c8553fbff06c9340478a2ff089b2bb5646fb718b4ee206641c9086d66"
            ),
            (
                "container.image.id",
                "sha256:d691691e9652791a60114e67b365688d20d19940dde7c4736ea30e660d8d3553"
            ),
            (
                "container.image.name",
                "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest"
            ),
            ("container.image.tags", "[\"latest\"]"),
            (
                "container.name",
                "ecs-curltest-24-curl-cca48e8dcadd97805600"
            ),
        ])
    );
    let task_id = "8f03e41243824aea923aca126495f665";
    assert_eq!(
        texts(attribution.span_attributes()),
        expected([("approzium.ecs.task.id", task_id)])
    );
    assert_eq!(why_not(&attribution, "ecs"), "");
}

#[tokio::test]
async fn a_task_on_fargate_is_read() {
    let agent = agent("fargate").await;
    let attribution = nowhere()
        .environment([
            (ADDRESS, format!("{}/v4/5f4c/", agent.url())),
            ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE".to_owned()),
        ])
        .build()
        .collect()
        .await;
    let text = |key| attribution.text(key);
    assert_eq!(
        text(keys::AWS_ECS_CLUSTER_ARN),
        Some("arn:aws:ecs:us-west-2:111122223333:cluster/default")
    );
    assert_eq!(text(keys::AWS_ECS_LAUNCHTYPE), Some("fargate"));
    assert_eq!(
        text(keys::CONTAINER_ID),
        Some("cd189a933e5849daa93386466019ab50-2495160603")
    );
    // Named by its digest alone, it has no tag.
    let attributes = texts(attribution.attributes());
    assert!(!attributes.contains_key(keys::CONTAINER_IMAGE_TAGS));
    let task_id = "cd189a933e5849daa93386466019ab50".to_owned();
    assert_eq!(attribution.place(), Some(Place::Ecs { task_id }));
}

#[tokio::test]
async fn half_of_the_documents_is_better_than_none() {
    let agent = agent("fargate").await;
    // Below this path there is no task.
    let broken = Recorded::serve(|_, path, _| match path {
        "/v4" => (
            StatusCode::OK,
            r#"{"DockerId":"abc","Name":"web"}"#.to_owned(),
        ),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    })
    .await;
    let attribution = nowhere()
        .environment([(ADDRESS, format!("{}/v4", broken.url())), disabled()])
        .build()
        .collect()
        .await;
    assert_eq!(attribution.text(keys::CONTAINER_NAME), Some("web"));
    assert!(why_not(&attribution, "ecs").contains("/v4/task answered 500"));

    let nothing = nowhere()
        .environment([(ADDRESS, format!("{}/elsewhere", agent.url())), disabled()])
        .build()
        .collect()
        .await;
    assert!(why_not(&nothing, "ecs").contains("404"));
}

#[tokio::test]
async fn the_role_of_a_task_stands_beside_its_credentials() {
    let credentials = peer!(MiniStack::start());
    let attribution = nowhere()
        .environment([
            disabled(),
            (
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "/v2/credentials/5f4c".to_owned(),
            ),
        ])
        .ecs_credentials_address(credentials.url())
        .build()
        .collect()
        .await;
    let iam = attribution.iam().unwrap();
    assert_eq!(
        iam.arn(),
        "arn:aws:iam::000000000000:role/ministack-ecs-task-role"
    );
    assert_eq!(iam.role(), Some("ministack-ecs-task-role"));
    assert!(!iam.is_verified());
    let shown = format!(
        "{attribution:?}{}",
        serde_json::to_string(&attribution).unwrap()
    );
    for secret in ["AccessKeyId", "SecretAccessKey", "ASIA"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn disabled() -> (&'static str, String) {
    ("AWS_EC2_METADATA_DISABLED", "true".to_owned())
}
