//! The same queries with spans and without, in turns.

use std::time::{Duration, Instant};

use approzium::{
    AuthClient,
    opentelemetry::{Instrumentation, otlp::Pipeline},
    postgres::{self, Client},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio_postgres::{error::SqlState, types::Type};

use crate::opentelemetry::fixture::Fixture;

/// Turns whose spans the queue of the batches holds.
pub(super) const FEW: usize = 10;

/// Turns whose spans are too many for it.
pub(super) const MANY: usize = 40;

/// Queries of a turn that succeed; one more fails.
const QUERIES: i32 = 100;

/// Runs them, and returns how many spans were made. Neither what they say nor how long they take
/// may differ.
///
/// The spans are of one client alone: what other tests do meanwhile in this process makes none.
pub(super) async fn run(fixture: &Fixture, pipeline: &Pipeline, turns: usize) -> u64 {
    let without = fixture.connect().await;
    let connecting = {
        let _counted = connect(fixture, &fixture.provider).await;
        fixture.spans().len() as u64
    };
    assert!(connecting > 0);
    let with = connect(fixture, pipeline.tracer_provider()).await;
    let (mut bare, mut spanned) = (Vec::new(), Vec::new());
    for turn_number in 0..turns {
        // Neither always comes after the other.
        if turn_number % 2 == 0 {
            bare.push(turn(&without).await);
            spanned.push(turn(&with).await);
        } else {
            spanned.push(turn(&with).await);
            bare.push(turn(&without).await);
        }
    }
    // What a debug build's spans cost is not the question: a wait for the collector would be
    // hundreds of times as long.
    let (bare, spanned) = (median(bare), median(spanned));
    assert!(spanned < 5 * bare, "{spanned:?} instead of {bare:?}");
    connecting + turns as u64 * (QUERIES as u64 + 1)
}

/// A client whose spans go there, those of its connect included.
async fn connect(fixture: &Fixture, provider: &SdkTracerProvider) -> Client {
    let instrumentation = Instrumentation::new().tracer_provider(provider.clone());
    let client = AuthClient::builder("localhost:1")
        .instrumentation(instrumentation)
        .build()
        .unwrap();
    postgres::connect_with(&fixture.config(), &client)
        .await
        .unwrap()
}

async fn turn(client: &Client) -> Duration {
    let begun = Instant::now();
    for n in 0..QUERIES {
        let row = client
            .query_typed_one("SELECT $1", &[(&n, Type::INT4)])
            .await;
        assert_eq!(row.unwrap().get::<_, i32>(0), n);
    }
    let missing = client.query_typed("SELECT * FROM nowhere", &[]).await;
    assert_eq!(
        missing.unwrap_err().code(),
        Some(&SqlState::UNDEFINED_TABLE)
    );
    begun.elapsed()
}

fn median(mut turns: Vec<Duration>) -> Duration {
    turns.sort();
    turns[turns.len() / 2]
}
