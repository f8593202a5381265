//! All probes at once, under one budget.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ::opentelemetry::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    container, ec2, ecs,
    findings::{Findings, fit},
    iam,
    imds::Imds,
    keys, kubernetes,
    machine::Machine,
    report::{Attribution, Probe},
};
use crate::identity::aws::Region;

/// How long a collection takes at most, by default: 900 ms.
pub const DEFAULT_BUDGET: Duration = Duration::from_millis(900);

/// An hour, so that no arithmetic with instants can overflow.
const LONGEST_BUDGET: Duration = Duration::from_secs(3600);

/// How attribution is collected; the default is what [`collect`](super::collect) uses.
///
/// ```
/// # async fn example() {
/// use std::time::Duration;
/// use approzium::attribution::Collector;
///
/// let attribution = Collector::builder()
///     .budget(Duration::from_millis(300))
///     .build()
///     .collect()
///     .await;
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Collector {
    settings: CollectorBuilder,
}

/// Builds a [`Collector`].
#[derive(Clone, Debug)]
pub struct CollectorBuilder {
    budget: Duration,
    variables: Option<BTreeMap<String, String>>,
    root: PathBuf,
    metadata_address: Option<String>,
    ecs_credentials_address: String,
    verified_iam_arn: Option<String>,
}

impl Default for CollectorBuilder {
    fn default() -> Self {
        CollectorBuilder {
            budget: DEFAULT_BUDGET,
            variables: None,
            root: PathBuf::from("/"),
            metadata_address: None,
            ecs_credentials_address: iam::ECS_CREDENTIALS.to_owned(),
            verified_iam_arn: None,
        }
    }
}

impl CollectorBuilder {
    /// How long the whole collection may take, an hour at most; [`DEFAULT_BUDGET`] if it is not set.
    ///
    /// Each single request to a metadata service gets a quarter of it.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget.min(LONGEST_BUDGET);
        self
    }

    /// The environment variables to read instead of the process's own. STS is not asked then: the
    /// AWS SDK would read the process's own.
    #[must_use]
    pub fn environment<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.variables = Some(variables.map(|(k, v)| (k.into(), v.into())).collect());
        self
    }

    /// The folder to read instead of `/`: its `proc`, `sys`, `var` and `etc`.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Where the instance metadata service is, instead of `http://169.254.169.254`.
    ///
    /// Unlike `AWS_EC2_METADATA_SERVICE_ENDPOINT` it does not say that there is one: a machine that
    /// shows that it is no EC2 instance still asks nobody.
    #[must_use]
    pub fn metadata_address(mut self, address: impl Into<String>) -> Self {
        self.metadata_address = Some(address.into());
        self
    }

    /// Where an ECS task gets its credentials, instead of `http://169.254.170.2`.
    #[must_use]
    pub fn ecs_credentials_address(mut self, address: impl Into<String>) -> Self {
        self.ecs_credentials_address = address.into();
        self
    }

    /// The ARN that an Authenticator verified: nobody else is asked then.
    #[must_use]
    pub fn verified_iam_arn(mut self, arn: impl Into<String>) -> Self {
        self.verified_iam_arn = Some(arn.into());
        self
    }

    /// The collector.
    pub fn build(self) -> Collector {
        Collector { settings: self }
    }
}

impl Collector {
    /// A builder with the defaults.
    pub fn builder() -> CollectorBuilder {
        CollectorBuilder::default()
    }

    /// Collects: ends within the budget, and never fails.
    pub async fn collect(&self) -> Attribution {
        self.collect_telling(|_| ()).await
    }

    /// The same, and tells as soon as it is known what there is but the identity, which may have
    /// to wait for STS.
    pub(super) async fn collect_telling(&self, tell: impl FnOnce(&Attribution)) -> Attribution {
        // The AWS SDK's futures are large, and may come on top of a deep stack of the caller's.
        Box::pin(self.run_probes(tell)).await
    }

    async fn run_probes(&self, tell: impl FnOnce(&Attribution)) -> Attribution {
        let settings = &self.settings;
        let watch = Watch {
            begun: Instant::now(),
            budget: settings.budget,
        };
        let cap = settings.budget / 4;
        let machine = Machine::new(settings.variables.clone(), settings.root.clone());
        // Reads a few small files; they come first because two probes share what they decide.
        let address = settings.metadata_address.as_deref();
        let imds = timeout_at(watch.deadline(), Imds::new(&machine, address, cap))
            .await
            .unwrap_or_else(|_| Imds::unasked(watch.ran_out()));
        let sources = iam::Sources {
            machine: &machine,
            imds: &imds,
            ecs_credentials: &settings.ecs_credentials_address,
            cap,
            #[cfg(feature = "aws-config")]
            budget: settings.budget,
        };
        let found: [Findings; 5] = Default::default();
        let [by_iam, by_ec2, by_ecs, by_kubernetes, by_container] = &found;
        let iam = async {
            match &settings.verified_iam_arn {
                Some(arn) => {
                    by_iam.put(keys::IAM_ARN, arn);
                    Ok(())
                }
                None => iam::probe(&sources, by_iam).await,
            }
        };
        let others = async {
            let probes = tokio::join!(
                watch.over("ec2", by_ec2, ec2::probe(&machine, &imds, by_ec2)),
                watch.over("ecs", by_ecs, ecs::probe(&machine, by_ecs, cap)),
                watch.over(
                    "kubernetes",
                    by_kubernetes,
                    kubernetes::probe(&machine, by_kubernetes)
                ),
                watch.over(
                    "container",
                    by_container,
                    container::probe(&machine, by_container)
                ),
            );
            let mut attribution = Attribution::default();
            let from_ec2 = by_ec2.take();
            let is_eks_node = from_ec2.contains_key(keys::K8S_CLUSTER_NAME);
            // The more specific comes later and wins: a task's account over its instance's.
            for found in [
                by_container.take(),
                from_ec2,
                by_ecs.take(),
                by_kubernetes.take(),
            ] {
                attribution.found.extend(found);
            }
            if is_eks_node {
                attribution.put(keys::CLOUD_PLATFORM, "aws_eks");
            }
            if let Some(arn) = eks_cluster_arn(&attribution) {
                attribution.put(keys::AWS_EKS_CLUSTER_ARN, &arn);
            }
            tell(&attribution);
            (attribution, probes)
        };
        let (iam, (mut attribution, probes)) = tokio::join!(watch.over("iam", by_iam, iam), others);
        let (ec2, ecs, kubernetes, container) = probes;
        attribution.probes = vec![iam, ec2, ecs, kubernetes, container];
        if let Some(Value::String(arn)) = by_iam.take().get(keys::IAM_ARN) {
            attribution.set_iam_arn(arn.as_str(), settings.verified_iam_arn.is_some());
        }
        attribution.took = watch.begun.elapsed();
        attribution
    }
}

impl Attribution {
    fn put(&mut self, key: &'static str, value: &str) {
        if let Some(value) = fit(value) {
            self.found.insert(key, Value::from(value.to_owned()));
        }
    }
}

fn eks_cluster_arn(attribution: &Attribution) -> Option<String> {
    if attribution.text(keys::CLOUD_PLATFORM) != Some("aws_eks") {
        return None;
    }
    let region = attribution.text(keys::CLOUD_REGION)?;
    let account = attribution.text(keys::CLOUD_ACCOUNT_ID)?;
    let cluster = attribution.text(keys::K8S_CLUSTER_NAME)?;
    let partition = Region::find(region)?.partition();
    Some(format!(
        "arn:{partition}:eks:{region}:{account}:cluster/{cluster}"
    ))
}

/// The clock of one collection.
#[derive(Clone, Copy)]
struct Watch {
    begun: Instant,
    budget: Duration,
}

impl Watch {
    fn deadline(self) -> Instant {
        self.begun + self.budget
    }

    fn ran_out(self) -> String {
        format!("the budget of {:?} ran out", self.budget)
    }

    /// Runs a probe until it ends or the budget does; what it found until then stays found.
    async fn over(
        self,
        name: &'static str,
        findings: &Findings,
        probe: impl Future<Output = Result<(), String>>,
    ) -> Probe {
        let begun = Instant::now();
        let why_not = match timeout_at(self.deadline(), probe).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(self.ran_out()),
        };
        Probe {
            name,
            found: findings.keys(),
            why_not,
            took: begun.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};

    #[tokio::test(start_paused = true)]
    async fn what_was_found_before_the_budget_ran_out_stays_found() {
        let watch = Watch {
            begun: Instant::now(),
            budget: Duration::from_millis(300),
        };
        let findings = Findings::default();
        let probe = watch
            .over("ec2", &findings, async {
                findings.put(keys::HOST_ID, "i-0abc");
                std::future::pending().await
            })
            .await;
        assert_eq!(probe.found(), [keys::HOST_ID]);
        assert_eq!(probe.why_not(), Some("the budget of 300ms ran out"));
        assert_eq!(watch.begun.elapsed().as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn no_budget_at_all_finds_nothing_and_fails_nothing() {
        let attribution = Collector::builder()
            .budget(Duration::ZERO)
            .environment([("AWS_EC2_METADATA_DISABLED", "true")])
            .build()
            .collect()
            .await;
        assert_eq!(attribution.probes().len(), 5);
        assert_eq!(
            CollectorBuilder::default().budget(Duration::MAX).budget,
            LONGEST_BUDGET
        );
    }

    #[tokio::test]
    async fn the_place_is_told_while_who_it_is_is_still_asked() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let collector = Collector::builder()
            .budget(Duration::from_secs(40))
            .root("/nonexistent")
            .environment([
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/credentials"),
                ("K8S_POD_NAME", "checkout-7"),
            ])
            .ecs_credentials_address(format!("http://{address}"))
            .build();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let collecting = collector.collect_telling(|found| {
            sender.send(found.place()).unwrap();
        });
        let told = tokio::select! {
            biased;
            place = receiver => place.unwrap(),
            _ = collecting => panic!("it was told at the end"),
        };
        let expected = Place::Kubernetes {
            namespace: None,
            pod: "checkout-7".to_owned(),
        };
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn the_collection_is_light_on_the_stack() {
        let size = size_of_val(&Collector::default().collect());
        assert!(size < 1024, "{size} bytes");
    }

    #[tokio::test]
    async fn a_verified_identity_asks_nobody_and_wins() {
        let arn = "arn:aws:sts::111122223333:assumed-role/checkout/pod-7";
        let attribution = Collector::builder()
            .root("/nonexistent")
            .environment([
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_ROLE_ARN", "arn:aws:iam::444455556666:role/other"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ])
            .verified_iam_arn(arn)
            .build()
            .collect()
            .await;
        let iam = attribution.iam().unwrap();
        assert_eq!((iam.arn(), iam.account()), (arn, "111122223333"));
        assert_eq!(
            (iam.role(), iam.session()),
            (Some("checkout"), Some("pod-7"))
        );
        assert!(iam.is_verified());
        assert_eq!(attribution.text(keys::IAM_ROLE), Some("checkout"));
        assert!(attribution.claims().is_empty());
    }
}
