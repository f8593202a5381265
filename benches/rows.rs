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

use std::pin::pin;

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
    let alone = common::bare(&server).await;
    let wrapper = common::wrapped(&server).await;
    let of_alone = alone.prepare(TEXT).await.unwrap();
    let of_wrapper = wrapper.prepare(TEXT).await.unwrap();

    let at_once: Turns<2> = Turns::take(common::running_time() / 2, async |side| {
        for _ in 0..TURN {
            let rows = match side {
                0 => alone.query(&of_alone, &[]).await,
                _ => wrapper.query(&of_wrapper, &[]).await,
            };
            assert_eq!(rows.unwrap().len(), ROWS);
        }
    })
    .await;
    let one_by_one: Turns<2> = Turns::take(common::running_time() / 2, async |side| {
        for _ in 0..TURN {
            let rows = match side {
                0 => {
                    let rows = alone.query_raw(&of_alone, NO_VALUES).await.unwrap();
                    count(rows).await
                }
                _ => {
                    let rows = wrapper.query_raw(&of_wrapper, NO_VALUES).await.unwrap();
                    count(rows).await
                }
            };
            assert_eq!(rows, ROWS);
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
