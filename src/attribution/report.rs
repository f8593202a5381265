//! What was found: attributes, place, identity, and what each probe has to say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::opentelemetry::{Array, KeyValue, Value};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use super::{
    findings::{Found, fit},
    keys,
};
use crate::identity::Arn;

/// What a process runs on, as far as it could be found.
///
/// Serialised, it is an object with `iam`, `attributes`, `span_attributes`, `probes` and
/// `took_seconds`.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    pub(super) found: Found,
    pub(super) iam: Option<Iam>,
    pub(super) probes: Vec<Probe>,
    pub(super) took: Duration,
}

/// The IAM identity as which a process acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Iam {
    pub(super) arn: String,
    pub(super) account: String,
    pub(super) role: Option<String>,
    pub(super) session: Option<String>,
    pub(super) verified: bool,
}

/// The most specific thing that a process is known to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A Kubernetes pod.
    Kubernetes {
        /// The pod's namespace, if it is known.
        namespace: Option<String>,
        /// The pod's name.
        pod: String,
    },
    /// An ECS task.
    Ecs {
        /// The last segment of the task's ARN.
        task_id: String,
    },
    /// An EC2 instance.
    Ec2 {
        /// The instance's id, `i-…`.
        instance_id: String,
    },
}

/// What one probe has to say.
#[derive(Clone, Debug)]
pub struct Probe {
    pub(super) name: &'static str,
    pub(super) found: Vec<&'static str>,
    pub(super) why_not: Option<String>,
    pub(super) took: Duration,
}

impl Attribution {
    /// Everything that was found, under the names of OpenTelemetry's semantic conventions, and
    /// under [`approzium.…`](keys) what they have no name for. Sorted by key.
    pub fn attributes(&self) -> Vec<KeyValue> {
        self.found
            .iter()
            .map(|(key, value)| KeyValue::new(*key, value.clone()))
            .collect()
    }

    /// The [place](Place) as it stands on each query's span, at most two keys:
    /// `approzium.k8s.namespace.name` and `approzium.k8s.pod.name`, or `approzium.ecs.task.id`, or
    /// `approzium.ec2.instance_id`.
    ///
    /// The identity is not among them: it belongs to a connection, and the connection knows the
    /// verified one.
    pub fn span_attributes(&self) -> Vec<KeyValue> {
        // Every span gets a copy: these count references.
        let shared = |key, value: String| KeyValue::new(key, Value::from(Arc::<str>::from(value)));
        match self.place() {
            Some(Place::Kubernetes { namespace, pod }) => namespace
                .map(|namespace| shared(keys::SPAN_K8S_NAMESPACE_NAME, namespace))
                .into_iter()
                .chain([shared(keys::SPAN_K8S_POD_NAME, pod)])
                .collect(),
            Some(Place::Ecs { task_id }) => vec![shared(keys::SPAN_ECS_TASK_ID, task_id)],
            Some(Place::Ec2 { instance_id }) => {
                vec![shared(keys::SPAN_EC2_INSTANCE_ID, instance_id)]
            }
            None => Vec::new(),
        }
    }

    /// The [attributes](Self::attributes) as a resource, with the schema URL of the conventions and
    /// nothing else: merge it into the application's own.
    ///
    /// ```
    /// # async fn example() {
    /// let attribution = approzium::attribution::current().await;
    /// let resource = opentelemetry_sdk::Resource::builder()
    ///     .with_service_name("checkout")
    ///     .with_attributes(attribution.attributes())
    ///     .build();
    /// # }
    /// ```
    #[cfg(feature = "resource")]
    #[cfg_attr(docsrs, doc(cfg(feature = "resource")))]
    pub fn resource(&self) -> opentelemetry_sdk::Resource {
        opentelemetry_sdk::Resource::builder_empty()
            .with_schema_url(self.attributes(), keys::SCHEMA_URL)
            .build()
    }

    /// The most specific thing that the process is known to run on: a pod before a task before an
    /// instance.
    pub fn place(&self) -> Option<Place> {
        let owned = |key| self.text(key).map(str::to_owned);
        if let Some(pod) = owned(keys::K8S_POD_NAME) {
            let namespace = owned(keys::K8S_NAMESPACE_NAME);
            return Some(Place::Kubernetes { namespace, pod });
        }
        if let Some(task_id) = owned(keys::AWS_ECS_TASK_ID) {
            return Some(Place::Ecs { task_id });
        }
        let instance_id = self.ec2_instance_id()?.to_owned();
        Some(Place::Ec2 { instance_id })
    }

    /// The IAM identity, if it is known.
    pub fn iam(&self) -> Option<&Iam> {
        self.iam.as_ref()
    }

    /// The same with the ARN that an Authenticator verified, which wins over whatever was found.
    ///
    /// Anything that is not an ARN changes nothing.
    #[must_use]
    pub fn with_verified_iam_arn(mut self, arn: &str) -> Self {
        self.set_iam_arn(arn, true);
        self
    }

    pub(super) fn set_iam_arn(&mut self, arn: &str, verified: bool) {
        let Some(arn) = fit(arn).and_then(|arn| Arn::parse(arn).ok()) else {
            return;
        };
        let iam = Iam {
            account: arn.account().to_owned(),
            role: arn.role_name().map(str::to_owned),
            session: arn.session_name().map(str::to_owned),
            arn: arn.as_str().to_owned(),
            verified,
        };
        let parts = [
            (keys::IAM_ARN, Some(&iam.arn)),
            (keys::IAM_ACCOUNT, Some(&iam.account)),
            (keys::IAM_ROLE, iam.role.as_ref()),
            (keys::IAM_SESSION, iam.session.as_ref()),
        ];
        for (key, value) in parts {
            match value.and_then(|value| fit(value)) {
                Some(value) => self.found.insert(key, Value::from(value.to_owned())),
                None => self.found.remove(key),
            };
        }
        self.iam = Some(iam);
    }

    /// What each probe found, how long it took, or why not: `iam`, `ec2`, `ecs`, `kubernetes`,
    /// `container`.
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// How long the whole collection took: the probes run at the same time.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// One attribute that is a single text, by its [key](keys).
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.found.get(key)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The id of the EC2 instance: `ec2.instance_id` of the original's `attribution_info`.
    pub fn ec2_instance_id(&self) -> Option<&str> {
        // `host.id` is only ever filled from EC2.
        self.text(keys::HOST_ID)
    }

    /// The EC2 instance's public host name: `ec2.public_hostname` of the original's
    /// `attribution_info`.
    pub fn ec2_public_hostname(&self) -> Option<&str> {
        self.text(keys::EC2_PUBLIC_HOSTNAME)
    }

    /// The EC2 instance's public IPv4 address: `ec2.public_ipv4` of the original's
    /// `attribution_info`.
    pub fn ec2_public_ipv4(&self) -> Option<&str> {
        self.text(keys::EC2_PUBLIC_IPV4)
    }

    /// What the application tells the Authenticator, unverified, for its audit log: the single
    /// texts among the [attributes](Self::attributes), without the identity, which the
    /// Authenticator verifies itself. At most 64 keys and 256 bytes a value.
    pub fn claims(&self) -> BTreeMap<String, String> {
        self.found
            .iter()
            .filter(|(key, _)| !key.starts_with("approzium.iam_"))
            .filter_map(|(key, value)| match value {
                Value::String(text) => Some(((*key).to_owned(), text.as_str().to_owned())),
                _ => None,
            })
            .take(64)
            .collect()
    }
}

impl Iam {
    /// The whole ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The account's id, 12 digits.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The role's name, without its path, if it is a role.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The role session's name, if it is one.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether an Authenticator verified it; otherwise it is what the environment, the metadata
    /// or STS told this process.
    pub fn is_verified(&self) -> bool {
        self.verified
    }
}

impl Probe {
    /// `iam`, `ec2`, `ecs`, `kubernetes` or `container`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The [keys] that it found.
    pub fn found(&self) -> &[&'static str] {
        &self.found
    }

    /// Why it found nothing, or not all: one line.
    pub fn why_not(&self) -> Option<&str> {
        self.why_not.as_deref()
    }

    /// How long it took, until it ended or the budget did.
    pub fn took(&self) -> Duration {
        self.took
    }
}

impl Serialize for Attribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Attribution", 5)?;
        object.serialize_field("iam", &self.iam)?;
        object.serialize_field("attributes", &Attributes(&self.attributes()))?;
        object.serialize_field("span_attributes", &Attributes(&self.span_attributes()))?;
        object.serialize_field("probes", &self.probes)?;
        object.serialize_field("took_seconds", &self.took.as_secs_f64())?;
        object.end()
    }
}

impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Probe", 4)?;
        object.serialize_field("name", self.name)?;
        object.serialize_field("found", &self.found)?;
        object.serialize_field("why_not", &self.why_not)?;
        object.serialize_field("took_seconds", &self.took.as_secs_f64())?;
        object.end()
    }
}

struct Attributes<'a>(&'a [KeyValue]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for KeyValue { key, value, .. } in self.0 {
            match value {
                Value::Array(Array::String(texts)) => {
                    let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
                    map.serialize_entry(key.as_str(), &texts)?;
                }
                other => map.serialize_entry(key.as_str(), &other.as_str())?,
            }
        }
        map.end()
    }
}
