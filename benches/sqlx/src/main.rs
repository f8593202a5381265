//! What a query's telemetry costs here, over the driver alone, beside what `sqlx-otel` costs over
//! sqlx alone: on the same server, in one run and in turns.
//!
//! ```text
//! cargo run --release --manifest-path benches/sqlx/Cargo.toml --target-dir target
//! ```
//!
//! Three comparisons, each of like with like:
//! - `SELECT 1` prepared once: a query is one round trip. sqlx keeps its statements by itself.
//! - `SELECT 1` prepared for each query, which is two.
//! - 10,000 rows at once, prepared once.
//!
//! All sides run in a task, as an application's requests do. Each side is as it comes: ours with 12
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

/// What is compared.
#[derive(Clone, Copy)]
struct Comparison {
    name: &'static str,
    text: &'static str,
    rows: usize,
    /// Whether the statement is prepared once, and not for each query.
    kept: bool,
    /// Queries in a turn of one side.
    turn: u32,
}

const COMPARISONS: [Comparison; 3] = [
    Comparison {
        name: "SELECT 1, prepared once",
        text: "SELECT 1",
        rows: 1,
        kept: true,
        turn: 1024,
    },
    Comparison {
        name: "SELECT 1, prepared for each query",
        text: "SELECT 1",
        rows: 1,
        kept: false,
        turn: 512,
    },
    Comparison {
        name: "10,000 rows",
        text: "SELECT n, n::text FROM generate_series(1, 10000) AS n",
        rows: 10_000,
        kept: true,
        turn: 16,
    },
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    providers::ours::install();
    providers::of_sqlx::install();
    let server = common::server().await;
    let each = common::running_time() / u32::try_from(COMPARISONS.len()).unwrap();
    for comparison in COMPARISONS {
        compare(comparison, &server, each).await;
    }
    // That there was something to measure.
    println!(
        "spans: approzium {}, sqlx-otel {}",
        providers::ours::spans(),
        providers::of_sqlx::spans()
    );
}

async fn compare(this: Comparison, server: &Postgres, running: Duration) {
    // What a session of the server's costs depends on where it happens to run: each turn has one of
    // its own.
    let turns: Turns<4> = Turns::take_timed(running, async |side| {
        let turn = match side {
            0 => tokio::spawn(driver(this, common::bare(server).await)),
            1 => tokio::spawn(wrapper(this, common::wrapped(server).await)),
            2 => tokio::spawn(sqlx_alone(this, pool(server).await)),
            _ => tokio::spawn(sqlx_otel(
                this,
                PoolBuilder::from(pool(server).await).build(),
            )),
        };
        turn.await.unwrap()
    })
    .await;

    println!("{}, {} turns of {}:", this.name, turns.count(), this.turn);
    for (name, bare, spanned) in [
        ("tokio-postgres, approzium", 0, 1),
        ("sqlx, sqlx-otel", 2, 3),
    ] {
        println!(
            "{name:<26} bare {:>7.2} µs, instrumented {:>7.2} µs, {:+.2} µs, ratio {:.3}",
            turns.microseconds(bare, this.turn),
            turns.microseconds(spanned, this.turn),
            turns.difference(spanned, bare, this.turn),
            turns.ratio(spanned, bare),
        );
    }
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
    ($comparison:expr, $query:expr) => {{
        assert_eq!($query.await.unwrap().len(), $comparison.rows);
        let begun = Instant::now();
        for _ in 0..$comparison.turn {
            assert_eq!($query.await.unwrap().len(), $comparison.rows);
        }
        begun.elapsed()
    }};
}

/// The turn of a client, the driver's or ours.
macro_rules! turn_of_client {
    ($comparison:expr, $client:expr) => {
        match $comparison.kept {
            true => {
                let statement = $client.prepare($comparison.text).await.unwrap();
                turn!($comparison, $client.query(&statement, &[]))
            }
            false => turn!($comparison, $client.query($comparison.text, &[])),
        }
    };
}

async fn driver(this: Comparison, client: tokio_postgres::Client) -> Duration {
    turn_of_client!(this, client)
}

async fn wrapper(this: Comparison, client: postgres::Client) -> Duration {
    instrument();
    turn_of_client!(this, client)
}

async fn sqlx_alone(this: Comparison, pool: PgPool) -> Duration {
    let mut connection = pool.acquire().await.unwrap();
    let query = || sqlx::query(this.text).persistent(this.kept);
    turn!(this, query().fetch_all(&mut *connection))
}

async fn sqlx_otel(this: Comparison, pool: sqlx_otel::Pool<sqlx::Postgres>) -> Duration {
    let mut connection = pool.acquire().await.unwrap();
    let query = || sqlx::query(this.text).persistent(this.kept);
    turn!(this, query().fetch_all(&mut connection))
}
