//! The same queries with spans and without, in turns.

use std::time::{Duration, Instant};

use approzium::{
    opentelemetry::{instrument, uninstrument},
    postgres::Client,
};
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
pub(super) async fn run(fixture: &Fixture, turns: usize) -> u64 {
    let client = fixture.connect().await;
    let (mut bare, mut spanned) = (Vec::new(), Vec::new());
    for turn_number in 0..turns {
        // Neither always comes after the other.
        if turn_number % 2 == 0 {
            bare.push(without_spans(&client).await);
            spanned.push(with_spans(&client).await);
        } else {
            spanned.push(with_spans(&client).await);
            bare.push(without_spans(&client).await);
        }
    }
    // What a debug build's spans cost is not the question: a wait for the collector would be
    // hundreds of times as long.
    let (bare, spanned) = (median(bare), median(spanned));
    assert!(spanned < 5 * bare, "{spanned:?} instead of {bare:?}");
    turns as u64 * (QUERIES as u64 + 1)
}

async fn without_spans(client: &Client) -> Duration {
    uninstrument();
    turn(client).await
}

async fn with_spans(client: &Client) -> Duration {
    instrument();
    turn(client).await
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
