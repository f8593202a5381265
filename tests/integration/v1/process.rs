//! `approzium serve`, told to serve the original's API.

use approzium_peers::{Jaeger, peer};

use super::{
    client::{Client, rfc_7677, who},
    presigned::Presigned,
};
use crate::authenticator::{
    client::{channel, credentials, tls},
    process::{Dev, record, until},
};

const TRACE: &str = "2cf7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-2cf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

#[tokio::test]
async fn a_setting_turns_it_on_and_its_calls_are_part_of_their_callers_trace() {
    let jaeger = peer!(Jaeger::start());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger.otlp_grpc()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("APPROZIUM_V1_MAX_EXPIRES", "60m"),
    ];
    let dev = Dev::start_within(&record("user", ""), &["--v1-api"], &variables).await;
    dev.process
        .line("a warning", |line| {
            line["level"] == "WARN" && line.to_string().contains("the v1 API is on")
        })
        .await;
    // What Python's boto3 signs, its hour included.
    let presigned = Presigned {
        origin: dev.variable("AWS_ENDPOINT_URL_STS").to_owned(),
        expires: 3600,
        ..Presigned::for_region("us-east-1")
    };
    let url = presigned.url(&credentials(&dev, "checkout"));
    let address = dev.variable("APPROZIUM_ADDRESS");
    let client = Client::over(channel(address, tls(&dev.authority())).await.unwrap());
    let request = rfc_7677(&who(&url, CHECKOUT, "user"));
    let answer = client.traced(request, TRACEPARENT).await.unwrap();
    assert_eq!(
        dev.reason(&answer.requestid, "allowed").await,
        "scram_answered"
    );

    let query = jaeger.query();
    let trace = until("the trace", async || {
        let trace = query.trace(TRACE).await.unwrap()?;
        (trace.spans.len() >= 4).then_some(trace)
    })
    .await;
    let call = trace.only("approzium.authenticator/GetPGSHA256Hash");
    assert_eq!(call.parent.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(
        call.tag("rpc.method"),
        Some("approzium.authenticator.protos.Authenticator/GetPGSHA256Hash")
    );
    assert_eq!(
        call.tag("approzium.request_id"),
        Some(answer.requestid.as_str())
    );
    let mut steps: Vec<_> = trace
        .children(call)
        .map(|span| span.name.as_str())
        .collect();
    steps.sort_unstable();
    assert_eq!(steps, ["compute", "secret", "sts"]);
    for span in &trace.spans {
        for text in span.tags.values() {
            assert!(
                !text.contains(&answer.cproof) && !text.contains("X-Amz"),
                "{text}"
            );
        }
    }
}
