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

use std::time::{Duration, Instant};

use approzium::{
    opentelemetry::{instrument, uninstrument},
    postgres,
};
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
    let turns: Turns<4> = Turns::take_timed(common::running_time(), async |side| {
        // What a session of the server's costs depends on where it happens to run: each turn has
        // one of its own.
        if side == 0 {
            let alone = common::bare(&server).await;
            return time(&alone).await;
        }
        let wrapper = common::wrapped(&server).await;
        if side == 1 {
            uninstrument();
        } else {
            instrument();
        }
        match side {
            1 | 2 => time(&wrapper).await,
            _ => time_wrapper(&wrapper).await,
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

async fn time(client: &tokio_postgres::Client) -> Duration {
    let statement = client.prepare("SELECT 1").await.unwrap();
    client.query_one(&statement, &[]).await.unwrap();
    let begun = Instant::now();
    for _ in 0..TURN {
        client.query_one(&statement, &[]).await.unwrap();
    }
    begun.elapsed()
}

async fn time_wrapper(client: &postgres::Client) -> Duration {
    let statement = client.prepare("SELECT 1").await.unwrap();
    client.query_one(&statement, &[]).await.unwrap();
    let begun = Instant::now();
    for _ in 0..TURN {
        client.query_one(&statement, &[]).await.unwrap();
    }
    begun.elapsed()
}
