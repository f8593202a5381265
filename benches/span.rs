//! What a query's span costs: with 12 attributes of attribution and those of its query, over a span
//! of the tracer's own that has a name and a kind, in one run and in turns.
//!
//! Spans go nowhere as soon as they end, on both sides. Each begins below a span of its task, as a
//! query's does, and the provider is the global one. A prepared statement's text is known, any other
//! is looked through each time. Printed are microseconds (the goal is at most 1.5 over the tracer's
//! own), the same where the sampler takes nothing, and what is left of it when nothing is
//! instrumented, without a subscriber of `tracing` and with one. `APPROZIUM_BENCH_SECONDS` sets how
//! long it takes; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

mod common;

use std::{hint::black_box, time::Duration};

use approzium::{
    opentelemetry::{instrument, uninstrument},
    postgres::Client,
};
use common::Turns;
use opentelemetry::{
    Context, global,
    trace::{FutureExt, Span as _, SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor},
};

/// Spans in a turn of one side.
const TURN: u32 = 20_000;

const TEXT: &str = "SELECT id, note FROM orders WHERE customer = $1";
const TABLE: &str =
    "CREATE TABLE orders (id int, note text, customer int); GRANT SELECT ON orders TO app";
const NAME: &str = "SELECT orders";

#[derive(Debug)]
struct Nowhere;

impl SpanProcessor for Nowhere {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = common::server().await;
    server.sql(TABLE).await.unwrap();
    let client = common::wrapped(&server).await;
    let fourth = common::running_time() / 4;

    let sampled = spans(&client, Sampler::AlwaysOn, fourth).await;
    println!("sampled, {} turns of {TURN} spans:", sampled.count());
    print(&sampled);
    let unsampled = spans(&client, Sampler::AlwaysOff, fourth).await;
    println!("sampled out, {} turns of {TURN} spans:", unsampled.count());
    print(&unsampled);

    uninstrument();
    println!("not instrumented:");
    println!("  no subscriber {:.4} µs", off(&client, fourth).await);
    // It is told of queries that fail, so that all have to be known.
    tracing_subscriber::fmt().with_writer(std::io::sink).init();
    println!("  lines at INFO {:.4} µs", off(&client, fourth).await);
}

async fn off(client: &Client, running: Duration) -> f64 {
    let turns: Turns<1> = Turns::take(running, async |_| {
        for _ in 0..TURN {
            client.__span(black_box(TEXT));
        }
    })
    .await;
    turns.microseconds(0, TURN)
}

async fn spans(client: &Client, sampler: Sampler, running: Duration) -> Turns<3> {
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_span_processor(Nowhere)
        .build();
    global::set_tracer_provider(provider);
    instrument();
    let prepared = client.prepare(TEXT).await.unwrap();
    let parent = global::tracer("bench").start("request");
    let turns = Turns::take(running, async |side| {
        for _ in 0..TURN {
            match side {
                0 => own(black_box(NAME)),
                1 => client.__span(black_box(&prepared)),
                _ => client.__span(black_box(TEXT)),
            }
        }
    });
    turns.with_context(Context::new().with_span(parent)).await
}

fn own(name: &'static str) {
    let tracer = global::tracer("bench");
    let mut span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Client)
        .start(&tracer);
    span.end();
}

fn print(turns: &Turns<3>) {
    let sides = ["the tracer's own", "a prepared statement's", "a text's"];
    for (side, name) in sides.iter().enumerate() {
        println!(
            "  {name:<24} {:.3} µs, {:+.3} µs",
            turns.microseconds(side, TURN),
            turns.difference(side, 0, TURN)
        );
    }
}
