//! What other libraries' database spans say in a real Jaeger.

use approzium_peers::{Jaeger, eventually, peer};

use super::{
    House, PATIENCE,
    application::{MIXED, NAMESPACE, NEIGHBOUR, SERVICE},
    attributes::{assert_has, iam_arn},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_say_who_this_process_is_and_where() {
    let jaeger = peer!(Jaeger::start());
    let house = peer!(House::open(jaeger.otlp_grpc()));
    house.run(&NEIGHBOUR).await;

    // By the tags of no span of ours.
    let tags = [
        ("approzium.iam_role", NEIGHBOUR.role),
        ("approzium.k8s.pod.name", NEIGHBOUR.name),
        ("db.system", "redis"),
    ];
    let trace = eventually("a trace", PATIENCE, async || {
        let found = jaeger.query().traces(SERVICE, &tags).await.unwrap();
        let complete = |trace: &approzium_peers::jaeger::Trace| trace.named(MIXED).next().is_some();
        found.into_iter().find(complete)
    })
    .await;
    let expected = [
        ("approzium.iam_arn", iam_arn(&NEIGHBOUR)),
        ("approzium.iam_role", NEIGHBOUR.role.to_owned()),
        ("approzium.k8s.namespace.name", NAMESPACE.to_owned()),
        ("approzium.k8s.pod.name", NEIGHBOUR.name.to_owned()),
    ];
    for name in ["GET cart", "SELECT carts"] {
        let span = trace.only(name);
        assert_has(span, &expected);
        // Of a connection that they do not run on.
        assert_eq!(span.tag("approzium.request_id"), None, "{span:#?}");
    }
    let call = trace.only("GET /prices");
    assert!(
        !call.tags.keys().any(|key| key.starts_with("approzium.")),
        "{call:#?}"
    );
    assert!(
        trace
            .only("SELECT pg_stat_activity")
            .tag("approzium.request_id")
            .is_some()
    );
}
