//! What is measured of the Authenticator's part in a connect.

use approzium::opentelemetry::Instrumentation;
use approzium_peers::peer;

use super::{Authenticator, PASSWORD, config, server, string, verified};
use crate::opentelemetry::meters::Meters;

#[tokio::test(flavor = "multi_thread")]
async fn proofs_phases_and_denials_are_counted_and_name_nobody() {
    let server = peer!(server(15));
    let meters = Meters::start();
    let authenticator = Authenticator::start().await;
    // Of its own: what other tests of this process do meanwhile is not measured here.
    let own = Instrumentation::new().meter_provider(meters.provider.clone());
    let auth = authenticator.client_told_of_by(own);
    authenticator.record(server.port(), "app", PASSWORD);
    let text = string(&server, "app", &verified(&server));
    let client = config(&text).connect_with(&auth).await.unwrap();
    client.query("SELECT 1", &[]).await.unwrap();
    let nobody_s = string(&server, "old", &verified(&server));
    let denied = config(&nobody_s).connect_with(&auth).await.unwrap_err();
    assert!(denied.is_permission_denied(), "{denied}");

    for (metric, label, counted, zeros) in [
        ("approzium.session.renewals", "approzium.outcome", "ok", 1),
        (
            "approzium.denials",
            "approzium.reason",
            "permission_denied",
            4,
        ),
    ] {
        let points = meters.named(metric);
        let (zero, more): (Vec<_>, Vec<_>) = points.iter().partition(|point| point.sum == 0.0);
        let [only] = &more[..] else {
            panic!("{more:?}");
        };
        assert_eq!((only.label(label), only.sum), (Some(counted), 1.0));
        assert_eq!(zero.len(), zeros, "{metric}");
    }
    let phases = meters.named("approzium.connect.phase.duration");
    for outcome in ["ok", "error"] {
        let challenge = phases.iter().find(|point| {
            point.label("approzium.phase") == Some("challenge")
                && point.label("approzium.outcome") == Some(outcome)
        });
        assert_eq!(
            challenge.and_then(|point| point.count),
            Some(1),
            "{outcome}"
        );
    }

    let arn = auth.iam_arn().unwrap();
    let request = denied.request_id().unwrap();
    for point in meters.points() {
        for value in point.labels.values() {
            let names_somebody = [arn.as_str(), "checkout", request]
                .iter()
                .any(|identity| value.contains(identity));
            assert!(!names_somebody, "{point:?}");
        }
    }
}
