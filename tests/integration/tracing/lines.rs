//! `attributed`: every line.

use approzium::tracing::attributed;
use approzium_peers::peer;
use opentelemetry::{
    Context, SpanId, TraceId,
    trace::{FutureExt, SpanContext, TraceContextExt, TraceFlags, TraceState, TracerProvider as _},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing::{
    Dispatch, Instrument, Subscriber, instrument::WithSubscriber, level_filters::LevelFilter,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer, Registry, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use super::{
    assert_attributed, attribution, connect,
    output::{Output, ours},
    run,
};
use crate::thread::House;

#[tokio::test]
async fn every_line_says_who_where_and_in_which_trace() {
    let house = peer!(House::open(None));
    for application in [
        "tracing::lines::in_json",
        "tracing::lines::in_text",
        "tracing::lines::with_tracing_opentelemetry",
    ] {
        run(&house, application).await;
    }
}

#[tokio::test]
#[ignore = "an application: every_line_says_who_where_and_in_which_trace runs it"]
async fn in_json() {
    let client = connect().await;
    for flat in [false, true] {
        let output = Output::default();
        let lines = fmt::layer()
            .json()
            .flatten_event(flat)
            .map_event_format(attributed)
            .with_writer(output.writer());
        async {
            events();
            let request = tracing::info_span!("request", path = "/orders");
            let query = client.query_one("SELECT $1::int4", &[&7]);
            query.instrument(request).await.unwrap();
            async { tracing::info!("in a trace") }
                .with_context(Context::new().with_remote_span_context(remote()))
                .await;
        }
        .with_subscriber(registry().with(ours()).with(lines))
        .await;

        for message in ["outside", "inside", "in a trace"] {
            assert_attributed(&output.object(message));
        }
        assert_eq!(output.object("outside")["trace_id"], Value::Null);
        let inside = output.object("inside");
        let order = if flat {
            &inside["order"]
        } else {
            &inside["fields"]["order"]
        };
        assert_eq!(
            (order, &inside["span"]["path"]),
            (&7.into(), &"/orders".into())
        );
        assert_has_ids(&output.object("in a trace"), &remote());

        // What the event says itself holds, and its connection says more than the process.
        let own = output.object("its own");
        assert_eq!(own["approzium.iam_role"], "another");
        assert_eq!(own["trace_id"], "its own");
        let query = output.object("query");
        assert_attributed(&query);
        assert_eq!(query["approzium.authenticated"], true);
        assert!(query["approzium.request_id"].is_string(), "{query}");
        assert_eq!(query["span"]["path"], "/orders");
    }
}

/// What the stock formats write, with something at the end.
#[tokio::test]
#[ignore = "an application: every_line_says_who_where_and_in_which_trace runs it"]
async fn in_text() {
    connect().await;
    let fields: Vec<_> = attribution();
    for ansi in [false, true] {
        let format = || fmt::layer().without_time().with_ansi(ansi);
        let [key, equals] = match ansi {
            false => ["", "="],
            true => ["\u{1b}[3m", "\u{1b}[0m\u{1b}[2m=\u{1b}[0m"],
        };
        let at_the_end: String = fields
            .iter()
            .map(|(name, value)| format!(" {key}{name}{equals}{value:?}"))
            .collect();
        for (stock, ours) in [
            (
                written(|to| format().with_writer(to)),
                written(|to| format().with_writer(to).map_event_format(attributed)),
            ),
            (
                written(|to| format().compact().with_writer(to)),
                written(|to| {
                    format()
                        .compact()
                        .with_writer(to)
                        .map_event_format(attributed)
                }),
            ),
        ] {
            let stock: Vec<_> = stock.lines().take(2).collect();
            let ours: Vec<_> = ours.lines().take(2).collect();
            assert_eq!(
                ours,
                stock
                    .iter()
                    .map(|line| format!("{line}{at_the_end}"))
                    .collect::<Vec<_>>()
            );
        }

        for lines in [
            written_in_a_trace(|to| format().with_writer(to).map_event_format(attributed)),
            written_in_a_trace(|to| {
                format()
                    .compact()
                    .with_writer(to)
                    .map_event_format(attributed)
            }),
        ] {
            let ids = [
                ("trace_id", remote().trace_id().to_string()),
                ("span_id", remote().span_id().to_string()),
            ];
            let ids = ids.map(|(name, id)| format!(" {key}{name}{equals}{id:?}"));
            let at_the_end = format!("{at_the_end}{}", ids.concat());
            for line in lines.lines().take(2) {
                assert!(line.ends_with(&at_the_end), "{line} without {at_the_end}");
            }
        }

        let [by, key, colon] = match ansi {
            false => ["by", "", ": "],
            true => ["\u{1b}[2;3mby\u{1b}[0m", "\u{1b}[1m", "\u{1b}[0m: "],
        };
        let listed: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{key}{name}{colon}{value:?}"))
            .collect();
        let by = format!("\n    {by} {}", listed.join(", "));
        let stock = written(|to| format().pretty().with_writer(to));
        let ours = written(|to| {
            format()
                .pretty()
                .with_writer(to)
                .map_event_format(attributed)
        });
        let stock: Vec<_> = stock.split("\n\n").take(2).collect();
        let ours: Vec<_> = ours.split("\n\n").take(2).collect();
        assert_eq!(
            ours,
            stock
                .iter()
                .map(|lines| format!("{lines}{by}"))
                .collect::<Vec<_>>()
        );
    }
}

/// Its spans' ids, whether it activates them for OpenTelemetry or not.
#[tokio::test]
#[ignore = "an application: every_line_says_who_where_and_in_which_trace runs it"]
async fn with_tracing_opentelemetry() {
    let provider = SdkTracerProvider::builder().build();
    let subscriber = |activation, output: &Output| {
        let lines = fmt::layer()
            .json()
            .map_event_format(attributed)
            .with_writer(output.writer());
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("application"))
            .with_context_activation(activation);
        // The lines' own filter hides the spans.
        let lines = lines.with_filter(LevelFilter::WARN);
        Dispatch::new(registry().with(ours()).with(spans).with(lines))
    };
    let check = |output: &Output| {
        let request = tracing::info_span!("request");
        request.in_scope(|| tracing::warn!("inside"));
        let context = request.context();
        assert_has_ids(&output.object("inside"), context.span().span_context());
        request
    };
    let output = Output::default();
    tracing::dispatcher::with_default(&subscriber(true, &output), || drop(check(&output)));
    let output = Output::default();
    subscriber(false, &output).init();
    let context = check(&output).context();
    let request = tracing::info_span!("request");
    tracing::warn!(parent: &request, "given to it");
    let of_line = output.object("given to it");
    assert_has_ids(&of_line, request.context().span().span_context());
    assert_ne!(
        of_line["trace_id"],
        *context.span().span_context().trace_id().to_string()
    );
}

#[track_caller]
fn assert_has_ids(line: &Value, span: &SpanContext) {
    assert!(span.is_valid());
    assert_eq!(line["trace_id"], *span.trace_id().to_string(), "{line}");
    assert_eq!(line["span_id"], *span.span_id().to_string(), "{line}");
}

fn remote() -> SpanContext {
    let ids = (TraceId::from(0x4bf9_2f35), SpanId::from(0x00f0_67aa));
    SpanContext::new(
        ids.0,
        ids.1,
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// The two without anything of its own come first.
fn events() {
    tracing::info!("outside");
    let request = tracing::info_span!("request", path = "/orders");
    request.in_scope(|| tracing::warn!(order = 7, "inside"));
    tracing::info!(
        trace_id = "its own",
        "approzium.iam_role" = "another",
        "its own"
    );
}

/// The same within a trace.
fn written_in_a_trace<L: Layer<Registry> + Send + Sync>(
    layer: impl FnOnce(Box<dyn Fn() -> Output + Send + Sync>) -> L,
) -> String
where
    tracing_subscriber::layer::Layered<L, Registry>: Subscriber + Send + Sync,
{
    let _trace = Context::new().with_remote_span_context(remote()).attach();
    written(layer)
}

/// What a layer writes of the events.
fn written<L: Layer<Registry> + Send + Sync>(
    layer: impl FnOnce(Box<dyn Fn() -> Output + Send + Sync>) -> L,
) -> String
where
    tracing_subscriber::layer::Layered<L, Registry>: Subscriber + Send + Sync,
{
    let output = Output::default();
    let subscriber = registry().with(layer(Box::new(output.writer())));
    tracing::subscriber::with_default(subscriber, events);
    output.text()
}
