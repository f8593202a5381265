//! Every attribute that a span has to have, by kind of span.

use approzium_peers::{Authenticator, jaeger::Span};

use super::{DATABASE, House, application::Pod};

/// What is the same on a connect and on all queries of its connection: the conventions' required
/// and recommended attributes of the server.
pub(super) fn of_server(house: &House) -> Vec<(&'static str, String)> {
    let port = house.postgres.port().to_string();
    vec![
        ("db.system.name", "postgresql".to_owned()),
        ("db.namespace", DATABASE.to_owned()),
        ("server.address", house.postgres.host().to_owned()),
        ("server.port", port.clone()),
        ("network.peer.address", "127.0.0.1".to_owned()),
        ("network.peer.port", port),
    ]
}

/// Who, by whom verified, and where.
pub(super) fn of_attribution(
    house: &House,
    pod: &Pod,
    request_id: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("approzium.authenticated", "true".to_owned()),
        ("approzium.iam_arn", iam_arn(pod)),
        ("approzium.iam_role", pod.role.to_owned()),
        (
            "approzium.authenticator_address",
            house.authenticator.address().to_owned(),
        ),
        ("approzium.request_id", request_id.to_owned()),
        (
            "approzium.k8s.namespace.name",
            super::application::NAMESPACE.to_owned(),
        ),
        ("approzium.k8s.pod.name", pod.name.to_owned()),
    ]
}

pub(super) fn iam_arn(pod: &Pod) -> String {
    format!("arn:aws:sts::000000000000:assumed-role/{}/dev", pod.role)
}

/// What Jaeger itself adds to each span of this library.
pub(super) const OF_JAEGER: [&str; 3] = ["otel.scope.name", "otel.scope.version", "span.kind"];

/// The span has these attributes and, but for Jaeger's own, no others.
#[track_caller]
pub(super) fn assert_exactly(span: &Span, expected: &[(&str, String)]) {
    assert_has(span, expected);
    for key in span.tags.keys() {
        let known = OF_JAEGER.contains(&key.as_str())
            || expected.iter().any(|(expected, _)| expected == key);
        assert!(known, "{key} on {span:#?}");
    }
}

#[track_caller]
pub(super) fn assert_has(span: &Span, expected: &[(&str, String)]) {
    for (key, value) in expected {
        assert_eq!(span.tag(key), Some(value.as_str()), "{key} of {span:#?}");
    }
}

/// An application's resource: its own, and everything that attribution found, its namesakes for
/// searches by Jaeger's links among it.
#[track_caller]
pub(super) fn assert_resource_of(span: &Span, pod: &Pod) {
    let arn = iam_arn(pod);
    for (key, expected) in [
        ("approzium.service", super::application::SERVICE),
        ("service.version", "1.2.3"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("approzium.iam_arn", &arn),
        ("approzium.iam_account", "000000000000"),
        ("approzium.iam_role", pod.role),
        ("approzium.iam_session", "dev"),
        ("k8s.cluster.name", "eu"),
        ("k8s.namespace.name", super::application::NAMESPACE),
        ("k8s.pod.name", pod.name),
        ("k8s.pod.uid", pod.uid),
    ] {
        let found = span.resource.get(key).map(String::as_str);
        assert_eq!(found, Some(expected), "{key} of {:#?}", span.resource);
    }
    assert_eq!(span.service, super::application::SERVICE);
}

/// The Authenticator's process says nothing of whoever calls it in its resource.
#[track_caller]
pub(super) fn assert_resource_of_authenticator(span: &Span) {
    assert_eq!(span.service, Authenticator::SERVICE);
    let of_callers = |key: &&String| key.starts_with("k8s.") || key.starts_with("approzium.iam");
    assert!(
        !span.resource.keys().any(|key| of_callers(&key)),
        "{span:#?}"
    );
}
