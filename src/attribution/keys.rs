//! The keys of attribution: OpenTelemetry's semantic conventions 1.42 where they have a name,
//! `approzium.` and the original's key where they have none.

/// The schema of the conventions that these keys come from.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

macro_rules! keys {
    ($($(#[$doc:meta])+ $name:ident = $key:literal;)+) => {
        $($(#[$doc])+ pub const $name: &str = $key;)+

        /// Every one of them.
        #[cfg(feature = "authenticator")]
        pub(crate) const ALL: &[&str] = &[$($key),+];
    };
}

keys! {
    /// The ARN of the ECS cluster.
    AWS_ECS_CLUSTER_ARN = "aws.ecs.cluster.arn";
    /// The ARN of the ECS container.
    AWS_ECS_CONTAINER_ARN = "aws.ecs.container.arn";
    /// `ec2`, `fargate` or `external`.
    AWS_ECS_LAUNCHTYPE = "aws.ecs.launchtype";
    /// The ARN of the ECS task.
    AWS_ECS_TASK_ARN = "aws.ecs.task.arn";
    /// The family of the ECS task definition.
    AWS_ECS_TASK_FAMILY = "aws.ecs.task.family";
    /// The id of the ECS task: the last segment of its ARN.
    AWS_ECS_TASK_ID = "aws.ecs.task.id";
    /// The revision of the ECS task definition.
    AWS_ECS_TASK_REVISION = "aws.ecs.task.revision";
    /// The ARN of the EKS cluster.
    AWS_EKS_CLUSTER_ARN = "aws.eks.cluster.arn";
    /// The ARNs of the CloudWatch log groups (an array).
    AWS_LOG_GROUP_ARNS = "aws.log.group.arns";
    /// The names of the CloudWatch log groups (an array).
    AWS_LOG_GROUP_NAMES = "aws.log.group.names";
    /// The ARNs of the CloudWatch log streams (an array).
    AWS_LOG_STREAM_ARNS = "aws.log.stream.arns";
    /// The names of the CloudWatch log streams (an array).
    AWS_LOG_STREAM_NAMES = "aws.log.stream.names";
    /// The AWS account in which the workload runs.
    CLOUD_ACCOUNT_ID = "cloud.account.id";
    /// The availability zone.
    CLOUD_AVAILABILITY_ZONE = "cloud.availability_zone";
    /// `aws_ec2`, `aws_ecs`, `aws_eks`.
    CLOUD_PLATFORM = "cloud.platform";
    /// `aws`.
    CLOUD_PROVIDER = "cloud.provider";
    /// The region.
    CLOUD_REGION = "cloud.region";
    /// The ARN of the container under ECS.
    CLOUD_RESOURCE_ID = "cloud.resource_id";
    /// The container's id in its runtime.
    CONTAINER_ID = "container.id";
    /// The runtime's id of the image.
    CONTAINER_IMAGE_ID = "container.image.id";
    /// The image, without tag and digest.
    CONTAINER_IMAGE_NAME = "container.image.name";
    /// The tags of the image (an array).
    CONTAINER_IMAGE_TAGS = "container.image.tags";
    /// The container's name in its runtime.
    CONTAINER_NAME = "container.name";
    /// The CPU's architecture, `amd64` or `arm64`.
    HOST_ARCH = "host.arch";
    /// The id of the EC2 instance.
    HOST_ID = "host.id";
    /// The id of the machine image.
    HOST_IMAGE_ID = "host.image.id";
    /// The host's name.
    HOST_NAME = "host.name";
    /// The instance type.
    HOST_TYPE = "host.type";
    /// The cluster's name.
    K8S_CLUSTER_NAME = "k8s.cluster.name";
    /// The container's name in its pod.
    K8S_CONTAINER_NAME = "k8s.container.name";
    /// The deployment's name.
    K8S_DEPLOYMENT_NAME = "k8s.deployment.name";
    /// The namespace.
    K8S_NAMESPACE_NAME = "k8s.namespace.name";
    /// The node's name.
    K8S_NODE_NAME = "k8s.node.name";
    /// The pod's name.
    K8S_POD_NAME = "k8s.pod.name";
    /// The pod's UID.
    K8S_POD_UID = "k8s.pod.uid";
    /// The ARN as which the application acts. The conventions have no name for it.
    IAM_ARN = "approzium.iam_arn";
    /// The account of that ARN, which need not be the one in which the workload runs.
    IAM_ACCOUNT = "approzium.iam_account";
    /// The role's name, if it is a role.
    IAM_ROLE = "approzium.iam_role";
    /// The role session's name, if it is one.
    IAM_SESSION = "approzium.iam_session";
    /// The EC2 instance's public host name. The conventions have no name for it.
    EC2_PUBLIC_HOSTNAME = "approzium.ec2.public_hostname";
    /// The EC2 instance's public IPv4 address. The conventions have no name for it.
    EC2_PUBLIC_IPV4 = "approzium.ec2.public_ipv4";
    /// The EC2 instance, on a query's span.
    SPAN_EC2_INSTANCE_ID = "approzium.ec2.instance_id";
    /// The ECS task, on a query's span.
    SPAN_ECS_TASK_ID = "approzium.ecs.task.id";
    /// The Kubernetes namespace, on a query's span.
    SPAN_K8S_NAMESPACE_NAME = "approzium.k8s.namespace.name";
    /// The Kubernetes pod, on a query's span.
    SPAN_K8S_POD_NAME = "approzium.k8s.pod.name";
}
