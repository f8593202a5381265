//! Spans of connects, with an exporter into memory.

use ::opentelemetry::trace::Status;
use tonic::metadata::MetadataMap;

use super::*;
use crate::{
    error::{Hop, Kind},
    opentelemetry::{
        propagation::{extract, inject},
        testing::{Recorder, attribute},
        uninstrument,
    },
};

/// Other tests of this process may make spans too: each has a server of its own here.
fn server(host: &'static str) -> Server<'static> {
    Server {
        host,
        port: 5432,
        peer: None,
        database: "shop",
        schema: None,
    }
}

#[tokio::test]
async fn a_phase_continues_its_trace_in_what_it_calls() {
    let recorder = Recorder::start();
    let connect = ConnectSpan::start(&server("one.example"), None);
    let mut metadata = MetadataMap::new();
    let call = async {
        inject(&Context::current(), &mut metadata);
        Ok(())
    };
    connect.phase(Phase::Session).run(call).await.unwrap();
    connect.identify(&Identity {
        authenticated: true,
        iam_arn: Some("arn:aws:sts::123456789012:assumed-role/checkout/i"),
        request_id: Some("7e"),
        ..Identity::default()
    });
    // The database said no, and a second attempt was let in by another request.
    connect.identify(&Identity {
        request_id: Some("7f"),
        ..Identity::default()
    });
    connect.finish();
    drop(connect);

    let connect = recorder.only("connect one.example");
    let session = recorder.child(&connect);
    assert_eq!(session.name, "session");
    assert_eq!(session.span_kind, SpanKind::Client);
    let called = extract(&metadata).unwrap();
    assert_eq!(called.trace_id(), connect.span_context.trace_id());
    assert_eq!(called.span_id(), session.span_context.span_id());
    assert_eq!(connect.status, Status::Unset);
    for (key, expected) in [
        ("db.namespace", "shop"),
        ("approzium.iam_role", "checkout"),
        ("approzium.request_id", "7f"),
    ] {
        assert_eq!(attribute(&connect, key).as_deref(), Some(expected), "{key}");
        let keys = connect
            .attributes
            .iter()
            .filter(|one| one.key.as_str() == key);
        assert_eq!(keys.count(), 1, "{key}");
    }
}

#[tokio::test]
async fn a_failure_is_told_once_on_the_phase_and_on_the_connect() {
    let recorder = Recorder::start();
    let connect = ConnectSpan::start(&server("two.example"), None);
    let denied = || {
        Error::new(Kind::PermissionDenied, Hop::Handshake, "permission denied")
            .with_request_id("7f")
    };
    let result = connect
        .phase(Phase::Challenge)
        .run(async { Err::<(), _>(denied()) })
        .await;
    connect.fail(&result.unwrap_err());
    connect.finish();
    drop(connect);
    let connect = recorder.only("connect two.example");
    for span in [recorder.child(&connect), connect] {
        for (key, expected) in [
            ("error.type", "permission_denied"),
            ("approzium.hop", "handshake through the Authenticator"),
            ("approzium.request_id", "7f"),
        ] {
            assert_eq!(attribute(&span, key).as_deref(), Some(expected), "{span:?}");
        }
        assert_eq!(span.status, Status::error(denied().to_string()));
    }
}

#[tokio::test]
async fn what_is_dropped_was_cancelled() {
    let recorder = Recorder::start();
    let connect = ConnectSpan::start(&server("three.example"), None);
    drop(connect.phase(Phase::Tls));
    drop(connect);
    let connect = recorder.only("connect three.example");
    for span in [recorder.child(&connect), connect] {
        assert_eq!(attribute(&span, "error.type").as_deref(), Some("cancelled"));
    }
}

#[tokio::test]
async fn while_not_instrumented_there_is_nothing() {
    let recorder = Recorder::start();
    uninstrument();
    let connect = ConnectSpan::start(&server("four.example"), None);
    let mut metadata = MetadataMap::new();
    inject(&connect.phase(Phase::Session).context(), &mut metadata);
    let phase = connect.phase(Phase::Dial).run(async { Ok(5) });
    assert_eq!(phase.await.unwrap(), 5);
    connect.finish();
    assert!(recorder.named("connect four.example").is_empty() && metadata.is_empty());
}
