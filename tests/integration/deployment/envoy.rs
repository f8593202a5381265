//! Envoy's configurations, which the tests of replicas serve by.

use serde_json::Value;

use super::read;

/// As many as there may be, when all of them meet a replica that has just stopped.
#[test]
fn no_login_fails_for_want_of_retries() {
    for (file, bounds) in [
        (
            "grpc.yaml",
            &[
                "max_connections",
                "max_pending_requests",
                "max_requests",
                "max_retries",
            ][..],
        ),
        ("tcp.yaml", &["max_connections", "max_pending_requests"]),
    ] {
        let envoy: Value = serde_yaml_ng::from_str(&read(&format!("deploy/envoy/{file}"))).unwrap();
        let cluster = &envoy["static_resources"]["clusters"][0];
        let thresholds = &cluster["circuit_breakers"]["thresholds"][0];
        for bound in bounds {
            assert_eq!(thresholds[bound], 10_000, "{file}: {bound}");
        }
    }
}
