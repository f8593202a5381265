//! What a query's telemetry costs here, over the driver alone, beside what `sqlx-otel` costs over
//! sqlx alone: `SELECT 1` on the same server, in one run and in turns.
//!
//! ```text
//! cargo run --release --manifest-path benches/sqlx/Cargo.toml --target-dir target
//! ```
//!
//! Both statements are prepared, so that a query is one round trip; sqlx keeps them by itself. Each
//! side is as it comes: ours with 12 attributes of attribution, the operation, and the sanitised
//! text; sqlx-otel with the text and no annotation. Each has providers of its own generation of
//! OpenTelemetry, whose spans and metrics go nowhere, in batches. Printed are microseconds and the
//! ratios (the goal is that ours is the smaller). `APPROZIUM_BENCH_SECONDS` sets how long it takes;
//! the default is 20.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

#[path = "../../common/mod.rs"]
mod common;
mod providers;

use approzium::opentelemetry::{instrument, uninstrument};
use common::Turns;
use sqlx::{ConnectOptions, postgres::PgPoolOptions};
use sqlx_otel::PoolBuilder;

/// Queries in a turn of one side.
const TURN: u32 = 1024;

const TEXT: &str = "SELECT 1";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    providers::ours::install();
    providers::of_sqlx::install();
    let server = common::server().await;

    let alone = common::bare(&server).await;
    let wrapper = common::wrapped(&server).await;
    instrument(); // So that the text is known.
    let of_alone = alone.prepare(TEXT).await.unwrap();
    let of_wrapper = wrapper.prepare(TEXT).await.unwrap();

    let options: sqlx::postgres::PgConnectOptions = format!(
        "postgres://app@localhost:{}/postgres?sslmode=disable",
        server.port()
    )
    .parse()
    .unwrap();
    let pool = PgPoolOptions::new()
        .connect_with(options.disable_statement_logging())
        .await
        .unwrap();
    // One connection each, so that no pool is measured.
    let mut sqlx_alone = pool.acquire().await.unwrap();
    let with_otel = PoolBuilder::from(pool).build();
    let mut sqlx_otel = with_otel.acquire().await.unwrap();

    let turns: Turns<4> = Turns::take(common::running_time(), async |side| {
        if side == 1 {
            instrument();
        } else {
            uninstrument();
        }
        for _ in 0..TURN {
            match side {
                0 => drop(alone.query_one(&of_alone, &[]).await.unwrap()),
                1 => drop(wrapper.query_one(&of_wrapper, &[]).await.unwrap()),
                2 => drop(sqlx::query(TEXT).fetch_one(&mut *sqlx_alone).await.unwrap()),
                _ => drop(sqlx::query(TEXT).fetch_one(&mut sqlx_otel).await.unwrap()),
            }
        }
    })
    .await;

    println!("SELECT 1, prepared, {} turns of {TURN}:", turns.count());
    for (name, bare, spanned) in [
        ("tokio-postgres, approzium", 0, 1),
        ("sqlx, sqlx-otel", 2, 3),
    ] {
        println!(
            "{name:<26} bare {:>7.2} µs, instrumented {:>7.2} µs, {:+.2} µs, ratio {:.3}",
            turns.microseconds(bare, TURN),
            turns.microseconds(spanned, TURN),
            turns.difference(spanned, bare, TURN),
            turns.ratio(spanned, bare),
        );
    }
    // That there was something to measure.
    println!(
        "spans: approzium {}, sqlx-otel {}",
        providers::ours::spans(),
        providers::of_sqlx::spans()
    );
}
