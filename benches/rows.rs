//! What a span costs a query of 10,000 rows: through the wrapper while instrumented, over the same on
//! a connection of the driver alone, in one run and in turns.
//!
//! The statement is prepared. Rows come at once (`query`) and one by one (`query_raw`), and the spans
//! say how many they were. Spans have 12 attributes of attribution and go nowhere, in batches.
//! Printed are milliseconds and the ratios (the goal is at most 1.05). `APPROZIUM_BENCH_SECONDS` sets
//! how long it takes; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

mod common;

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use approzium::opentelemetry::{Instrumentation, instrument_with};
use common::Turns;
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;

/// Queries in a turn of one side.
const TURN: u32 = 16;

const ROWS: usize = 10_000;
const TEXT: &str = "SELECT n, n::text FROM generate_series(1, 10000) AS n";

const NO_VALUES: [&(dyn ToSql + Sync); 0] = [];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = common::server().await;
    common::spans_in_batches();
    instrument_with(Instrumentation::new().returned_rows(true));
    let half = common::running_time() / 2;
    // What a session of the server's costs depends on where it happens to run: each turn has one of
    // its own.
    let at_once: Turns<2> = Turns::take_timed(half, async |side| match side {
        0 => {
            let alone = common::bare(&server).await;
            let statement = alone.prepare(TEXT).await.unwrap();
            let query = async || alone.query(&statement, &[]).await.unwrap().len();
            time(query).await
        }
        _ => {
            let wrapper = common::wrapped(&server).await;
            let statement = wrapper.prepare(TEXT).await.unwrap();
            let query = async || wrapper.query(&statement, &[]).await.unwrap().len();
            time(query).await
        }
    })
    .await;
    let one_by_one: Turns<2> = Turns::take_timed(half, async |side| match side {
        0 => {
            let alone = common::bare(&server).await;
            let statement = alone.prepare(TEXT).await.unwrap();
            let query = async || count(alone.query_raw(&statement, NO_VALUES).await.unwrap()).await;
            time(query).await
        }
        _ => {
            let wrapper = common::wrapped(&server).await;
            let statement = wrapper.prepare(TEXT).await.unwrap();
            let query =
                async || count(wrapper.query_raw(&statement, NO_VALUES).await.unwrap()).await;
            time(query).await
        }
    })
    .await;

    println!("{ROWS} rows, turns of {TURN}:");
    for (name, turns) in [("at once", at_once), ("one by one", one_by_one)] {
        println!(
            "{name:<12} bare {:.3} ms, instrumented {:.3} ms, ratio {:.3} in the median turn of {}",
            turns.microseconds(0, TURN) / 1e3,
            turns.microseconds(1, TURN) / 1e3,
            turns.ratio(1, 0),
            turns.count()
        );
    }
}

async fn time(query: impl AsyncFn() -> usize) -> Duration {
    assert_eq!(query().await, ROWS);
    let begun = Instant::now();
    for _ in 0..TURN {
        assert_eq!(query().await, ROWS);
    }
    begun.elapsed()
}

async fn count<E: std::fmt::Debug>(
    rows: impl futures_util::Stream<Item = Result<tokio_postgres::Row, E>>,
) -> usize {
    let mut rows = pin!(rows);
    let mut count = 0;
    while rows.try_next().await.unwrap().is_some() {
        count += 1;
    }
    count
}
