//! The Authenticator's part of a caller's trace, in a real Jaeger.

use approzium_peers::{Jaeger, peer};

use super::{
    client::{Client, both, start},
    process::{Dev, PASSWORD, record, until},
};

const SERVICE: &str = "approzium-authenticator";
const OURS: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const VICTIM: &str = "1bf7651916cd43dd8448eb211c80319c";
const FORGED: &str = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_callers_trace_goes_on_once_the_caller_is_known() {
    let jaeger = peer!(Jaeger::start());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger.otlp_grpc()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let dev = Dev::start_within(&record("app", ""), &[], &variables).await;
    let stranger = Client::connect(&dev).await;
    let client = stranger.traced(TRACEPARENT);
    let token = client.token(&dev, "checkout").await;
    let (mut handshake, id) = client.accepted(&token, "app").await;
    let salt = b"sixteen bytes ok";
    handshake.scram(both(&[7; 32]), salt, 4096).await.unwrap();
    // Known, and refused.
    client.start(start(&token, "nobody")).await.refusal().await;
    // Unknown: whose trace it claims to be part of is not touched.
    let stranger = stranger.traced(FORGED);
    stranger.start(start("forged", "app")).await.refusal().await;

    let query = jaeger.query();
    let trace = until("the trace", async || {
        let trace = query.trace(OURS).await.unwrap()?;
        (trace.spans.len() >= 7).then_some(trace)
    })
    .await;
    let session = trace.only("approzium.authenticator/CreateSession");
    assert_eq!(session.parent.as_deref(), Some(CALLER));
    assert_eq!(session.service, SERVICE);
    assert_eq!(session.tag("span.kind"), Some("server"));
    let of_session: Vec<_> = trace
        .children(session)
        .map(|span| span.name.as_str())
        .collect();
    assert_eq!(of_session, ["sts"]);

    let calls = || trace.named("approzium.authenticator/Authenticate");
    assert_eq!(calls().count(), 2, "{}", trace.tree());
    let good = calls().find(|span| !span.failed()).unwrap();
    let refused = calls().find(|span| span.failed()).unwrap();
    assert_eq!(good.tag("approzium.request_id"), Some(id.as_str()));
    let mut steps: Vec<_> = trace
        .children(good)
        .map(|span| span.name.as_str())
        .collect();
    steps.sort_unstable();
    assert_eq!(steps, ["compute", "secret"]);
    assert_eq!(refused.tag("error.type"), Some("no_record"));

    let tags = [("error.type", "token_forged")];
    let strangers = until("the stranger's trace", async || {
        let found = query.traces(SERVICE, &tags).await.unwrap();
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_ne!(strangers[0].id, VICTIM);
    assert!(query.trace(VICTIM).await.unwrap().is_none());

    for span in trace.spans.iter().chain(&strangers[0].spans) {
        for text in span.tags.values().chain(span.resource.values()) {
            assert!(!text.contains(PASSWORD) && !text.contains(&token), "{text}");
        }
    }
}
