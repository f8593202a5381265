//! That whoever sends applications to a replica sees that it goes, before it takes no more of them.

use std::time::Duration;

use approzium_peers::{deployment::Judges, peer};
use serde_json::{Value, json};

use super::{ecs, helm, read};

/// How it ends, as one deployment has it.
struct Ending {
    delay: Duration,
    drain: Duration,
    /// Then its platform kills it.
    killed: Duration,
}

impl Ending {
    /// By a configuration file that names both times.
    fn of(config: &str, killed: &Value) -> Self {
        let config: Value = serde_yaml_ng::from_str(config).unwrap();
        let listener = &config["listener"];
        Ending {
            delay: seconds(&listener["drain_delay"]),
            drain: seconds(&listener["drain_timeout"]),
            killed: seconds(killed),
        }
    }

    fn is_seen(&self, by: Duration) {
        assert!(self.delay > by, "{:?} {by:?}", self.delay);
        assert!(self.killed > self.delay + self.drain, "{:?}", self.killed);
    }
}

/// `11s`, or a number of seconds.
fn seconds(value: &Value) -> Duration {
    let number = value.as_u64().or_else(|| {
        let text = value.as_str()?;
        text.strip_suffix('s')?.parse().ok()
    });
    Duration::from_secs(number.unwrap_or_else(|| panic!("{value} is no number of seconds")))
}

/// How long Envoy, by its two configurations, may go on sending applications to a replica that is not
/// ready.
fn envoy() -> Duration {
    let slowest = ["tcp", "grpc"].map(|name| {
        let config = read(&format!("deploy/envoy/{name}.yaml"));
        let config: Value = serde_yaml_ng::from_str(&config).unwrap();
        let check = &config["static_resources"]["clusters"][0]["health_checks"][0];
        let failures = check["unhealthy_threshold"].as_u64().unwrap();
        seconds(&check["interval"]) * u32::try_from(failures).unwrap()
    });
    slowest.into_iter().max().unwrap()
}

#[test]
fn of_a_host_envoy_sees_it() {
    let unit = read("deploy/systemd/approzium.service");
    let mut lines = unit.lines();
    let killed = lines.find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let killed: u64 = killed.unwrap().parse().unwrap();
    let config = read("deploy/systemd/approzium.yaml");
    Ending::of(&config, &json!(killed)).is_seen(envoy());
}

#[test]
fn of_a_task_envoy_and_a_load_balancer_see_it() {
    /// What docs/operating.md tells ECS: every five seconds, and two failures are enough.
    const TARGET_GROUP: Duration = Duration::from_secs(10);
    let said = "every five seconds, and that two failures are enough";
    assert!(read("docs/operating.md").contains(said));
    let container = ecs::definition()["containerDefinitions"][0].clone();
    let variable = |name: &str| {
        let mut variables = container["environment"].as_array().unwrap().iter();
        let variable = variables.find(|variable| variable["name"] == name);
        variable.expect(name)["value"].clone()
    };
    let ending = Ending {
        delay: seconds(&variable("APPROZIUM_DRAIN_DELAY")),
        drain: seconds(&variable("APPROZIUM_DRAIN_TIMEOUT")),
        killed: seconds(&container["stopTimeout"]),
    };
    ending.is_seen(envoy().max(TARGET_GROUP));
}

#[tokio::test]
async fn of_a_pod_envoy_and_the_kubelet_see_it() {
    let judges = peer!(Judges::install());
    let files = helm::rendered(&judges, &json!({})).await;
    let pod = helm::object(&files, "Deployment")["spec"]["template"]["spec"].clone();
    let probe = &pod["containers"][0]["readinessProbe"];
    let failures = probe["failureThreshold"].as_u64().unwrap();
    let kubelet = seconds(&probe["periodSeconds"]) * u32::try_from(failures).unwrap();
    let killed = &pod["terminationGracePeriodSeconds"];
    Ending::of(&helm::mounted(&files), killed).is_seen(envoy().max(kubelet));
}
