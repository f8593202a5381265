//! What an application runs on: IAM identity, EC2 instance, ECS task, Kubernetes pod.
//!
//! [`collect`] asks everything that may know, all at once and under one [budget](DEFAULT_BUDGET):
//! what has not answered by then is missing from the result, and nothing else happens. It never
//! fails, and each [`Probe`] says what it found, how long it took, or why it found nothing.
//!
//! ```
//! # async fn example() {
//! let attribution = approzium::attribution::current().await;
//! for probe in attribution.probes() {
//!     match probe.why_not() {
//!         Some(reason) => tracing::info!(probe = probe.name(), ?reason, "found nothing, or not all"),
//!         None => tracing::info!(probe = probe.name(), found = ?probe.found()),
//!     }
//! }
//! # }
//! ```
//!
//! | probe | asks | unless |
//! |---|---|---|
//! | `iam` | `AWS_ROLE_ARN`, the ECS task's credentials, the instance's profile, and with the feature `aws-config` STS (GetCallerIdentity, at `AWS_ENDPOINT_URL_STS` if that is set) | the caller already has a verified ARN |
//! | `ec2` | the instance metadata service, IMDSv2 and then v1, at `AWS_EC2_METADATA_SERVICE_ENDPOINT` if that is set | `AWS_EC2_METADATA_DISABLED`; Lambda; Fargate; or the machine itself shows that it is no EC2 |
//! | `ecs` | the task metadata endpoint, version 4 | `ECS_CONTAINER_METADATA_URI_V4` is not set |
//! | `kubernetes` | the environment, the service account, cgroups and mounts | |
//! | `container` | cgroups and mounts | |
//!
//! # What Kubernetes tells through the environment
//!
//! Kubernetes hands a pod its own name only if the manifest asks for it (the downward API). These
//! variables are read, the first that is set wins:
//!
//! | attribute | variables |
//! |---|---|
//! | any `k8s.*` | that key in `OTEL_RESOURCE_ATTRIBUTES` |
//! | `k8s.pod.name` | `K8S_POD_NAME`, `OTEL_RESOURCE_ATTRIBUTES_POD_NAME`; inside Kubernetes also `POD_NAME`, `MY_POD_NAME`, `HOSTNAME` |
//! | `k8s.namespace.name` | `K8S_NAMESPACE_NAME`, `K8S_NAMESPACE`, `K8S_POD_NAMESPACE`; inside Kubernetes also `POD_NAMESPACE`, `MY_POD_NAMESPACE`, `NAMESPACE`, then the service account's namespace |
//! | `k8s.pod.uid` | `K8S_POD_UID`, `OTEL_RESOURCE_ATTRIBUTES_POD_UID`; inside Kubernetes also `POD_UID`, `MY_POD_UID`, then cgroups and mounts |
//! | `k8s.node.name` | `K8S_NODE_NAME`, `OTEL_RESOURCE_ATTRIBUTES_NODE_NAME`; inside Kubernetes also `NODE_NAME`, `MY_NODE_NAME` |
//! | `k8s.container.name` | `K8S_CONTAINER_NAME`; inside Kubernetes also `CONTAINER_NAME`, then mounts |
//! | `k8s.deployment.name` | `K8S_DEPLOYMENT_NAME` |
//! | `k8s.cluster.name` | `K8S_CLUSTER_NAME`; inside Kubernetes also `EKS_CLUSTER_NAME`, `CLUSTER_NAME`, then the instance's tag `aws:eks:cluster-name` |

use std::sync::Arc;

use ::opentelemetry::KeyValue;
use tokio::sync::{OnceCell, SetOnce};

mod cgroup;
mod collector;
mod container;
mod dmi;
mod ec2;
mod ecs;
mod findings;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod http;
mod iam;
mod imds;
pub mod keys;
mod kubernetes;
mod machine;
mod report;
#[cfg(feature = "aws-config")]
mod sts;

pub(crate) use kubernetes::resource_attribute;

pub use collector::{Collector, CollectorBuilder, DEFAULT_BUDGET};
pub use report::{Attribution, Iam, Place, Probe};

/// Collects what this process runs on, within [`DEFAULT_BUDGET`].
///
/// Each call asks anew: [`current`] asks once per process.
pub async fn collect() -> Attribution {
    Collector::default().collect().await
}

static CURRENT: OnceCell<Arc<Attribution>> = OnceCell::const_new();

/// [`Attribution::span_attributes`] of it, which are known earlier.
static PLACE: SetOnce<Vec<KeyValue>> = SetOnce::const_new();

/// What this process runs on, collected once: whoever comes while that goes on waits for the same
/// collection, at most its [budget](DEFAULT_BUDGET).
pub async fn current() -> Arc<Attribution> {
    CURRENT
        // On the heap: an application's own futures would else hold, and name, all that is below.
        .get_or_init(|| async {
            let collector = Collector::default();
            let collecting = collector.collect_telling(|found| {
                // A collection that was given up may have told it before.
                let _ = PLACE.set(found.span_attributes());
            });
            Arc::new(Box::pin(collecting).await)
        })
        .await
        .clone()
}

/// What stands on each query's span of the [place](Place), if it is known by now.
pub(crate) fn place() -> Option<&'static [KeyValue]> {
    PLACE.get().map(Vec::as_slice)
}

/// Waits for the [`place`], and for nothing else of what is collected.
pub(crate) async fn place_known() {
    tokio::select! {
        _ = PLACE.wait() => {}
        _ = current() => {}
    }
}

/// What [`current`] has found, without waiting: nothing before it was first awaited to its end.
pub fn known() -> Option<Arc<Attribution>> {
    CURRENT.get().cloned()
}
