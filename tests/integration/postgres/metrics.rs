//! What is measured of the Authenticator's part in a connect.

use approzium::opentelemetry::{Instrumentation, instrument_with, uninstrument};
use approzium_peers::peer;

use super::{Authenticator, PASSWORD, connect, server, string, verified};
use crate::opentelemetry::{exclusively, meters::Meters};

#[tokio::test(flavor = "multi_thread")]
async fn proofs_phases_and_denials_are_counted_and_name_nobody() {
    let _process = exclusively().await;
    let server = peer!(server(15));
    let meters = Meters::start();
    instrument_with(Instrumentation::new().meter_provider(meters.provider.clone()));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let text = string(&server, "app", &verified(&server));
    let client = connect(&authenticator, &text).await.unwrap();
    client.query("SELECT 1", &[]).await.unwrap();
    let nobody_s = string(&server, "old", &verified(&server));
    let denied = connect(&authenticator, &nobody_s).await.unwrap_err();
    uninstrument();
    assert!(denied.is_permission_denied(), "{denied}");

    let renewals = meters.only("approzium.session.renewals");
    assert_eq!(
        (renewals.label("approzium.outcome"), renewals.sum),
        (Some("ok"), 1.0)
    );
    let denials = meters.only("approzium.denials");
    let reason = denials.label("approzium.reason");
    assert_eq!((reason, denials.sum), (Some("permission_denied"), 1.0));
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

    let arn = authenticator.client().iam_arn().unwrap();
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
