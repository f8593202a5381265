//! What the observer costs a query: `SELECT 1` through the genuine client of a connection that is
//! observed, instrumented and not, over the same on a connection of the driver alone, in one run and
//! in turns.
//!
//! The statement is prepared, so that a query is one round trip. The wrapper, which announces its
//! queries to the observer, is there for comparison. Spans have 12 attributes of attribution and go
//! nowhere, in batches. Printed are microseconds and ratios. `APPROZIUM_BENCH_SECONDS` sets how long
//! it takes; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

mod common;

use approzium::opentelemetry::{instrument, uninstrument};
use common::Turns;

/// Queries in a turn of one side.
const TURN: u32 = 1024;

const SIDES: [&str; 4] = [
    "the driver alone",
    "observed, not instrumented",
    "observed, instrumented",
    "the wrapper, instrumented",
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = common::server().await;
    common::spans_in_batches();
    let alone = common::bare(&server).await;
    let wrapper = common::wrapped(&server).await;
    let genuine: &tokio_postgres::Client = &wrapper;
    let of_alone = alone.prepare("SELECT 1").await.unwrap();
    instrument(); // So that the text is known.
    let of_wrapper = wrapper.prepare("SELECT 1").await.unwrap();

    let turns: Turns<4> = Turns::take(common::running_time(), async |side| {
        if side < 2 {
            uninstrument();
        } else {
            instrument();
        }
        for _ in 0..TURN {
            let row = match side {
                0 => alone.query_one(&of_alone, &[]).await,
                1 | 2 => genuine.query_one(&of_wrapper, &[]).await,
                _ => wrapper.query_one(&of_wrapper, &[]).await,
            };
            row.unwrap();
        }
    })
    .await;

    println!("SELECT 1, prepared, {} turns of {TURN}:", turns.count());
    for (side, name) in SIDES.iter().enumerate() {
        println!(
            "{name:<28} {:>8.2} µs, {:>+6.2} µs, ratio {:.3}",
            turns.microseconds(side, TURN),
            turns.difference(side, 0, TURN),
            turns.ratio(side, 0)
        );
    }
}
