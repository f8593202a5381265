//! What a query's telemetry costs here, over the driver alone, beside what `sqlx-otel` costs over
//! sqlx alone: `SELECT 1` on the same server, in one run and in turns.
//!
//! ```text
//! cargo run --release --manifest-path benches/sqlx/Cargo.toml --target-dir target
//! ```
//!
//! Both statements are prepared, so that a query is one round trip; sqlx keeps them by itself. All
//! sides run in a task, as an application's requests do. Each side is as it comes: ours with 12
//! attributes of attribution, the operation, and the sanitised text; sqlx-otel with the text and no
//! annotation. Each has providers of its own generation of OpenTelemetry, whose spans and metrics go
//! nowhere, in batches. Printed are microseconds and the ratios (the goal is that ours is the
//! smaller). `APPROZIUM_BENCH_SECONDS` sets how long it takes; the default is 20.

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

use std::time::{Duration, Instant};

use approzium::{opentelemetry::instrument, postgres};
use approzium_peers::Postgres;
use common::Turns;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use sqlx_otel::PoolBuilder;

/// Queries in a turn of one side.
const TURN: u32 = 1024;

const TEXT: &str = "SELECT 1";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    providers::ours::install();
    providers::of_sqlx::install();
    let server = common::server().await;

    // What a session of the server's costs depends on where it happens to run: each turn has one of
    // its own.
    let turns: Turns<4> = Turns::take_timed(common::running_time(), async |side| {
        let turn = match side {
            0 => tokio::spawn(driver(common::bare(&server).await)),
            1 => tokio::spawn(wrapper(common::wrapped(&server).await)),
            2 => tokio::spawn(sqlx_alone(pool(&server).await)),
            _ => tokio::spawn(sqlx_otel(PoolBuilder::from(pool(&server).await).build())),
        };
        turn.await.unwrap()
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

/// A pool of one connection: no pool is measured.
async fn pool(server: &Postgres) -> PgPool {
    let url = format!(
        "postgres://app@localhost:{}/postgres?sslmode=disable",
        server.port()
    );
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(1);
    pool.connect_with(options).await.unwrap()
}

/// The turn of a side. Its first query, for which sqlx has yet to prepare the statement, is not
/// measured.
macro_rules! turn {
    ($query:expr) => {{
        $query.await.unwrap();
        let begun = Instant::now();
        for _ in 0..TURN {
            $query.await.unwrap();
        }
        begun.elapsed()
    }};
}

async fn driver(client: tokio_postgres::Client) -> Duration {
    let statement = client.prepare(TEXT).await.unwrap();
    turn!(client.query_one(&statement, &[]))
}

async fn wrapper(client: postgres::Client) -> Duration {
    instrument();
    let statement = client.prepare(TEXT).await.unwrap();
    turn!(client.query_one(&statement, &[]))
}

async fn sqlx_alone(pool: PgPool) -> Duration {
    let mut connection = pool.acquire().await.unwrap();
    turn!(sqlx::query(TEXT).fetch_one(&mut *connection))
}

async fn sqlx_otel(pool: sqlx_otel::Pool<sqlx::Postgres>) -> Duration {
    let mut connection = pool.acquire().await.unwrap();
    turn!(sqlx::query(TEXT).fetch_one(&mut connection))
}
