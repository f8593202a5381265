//! What benches share: several sides of one thing, measured in one run and in turns, on one server.

#![allow(dead_code, reason = "each bench has its own use for it")]

use std::{
    env,
    ops::AsyncFnMut,
    sync::Arc,
    time::{Duration, Instant},
};

use approzium::{AuthClient, postgres};
use approzium_peers::{Method, Postgres, Rule};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tokio_postgres::NoTls;

/// As many attributes of attribution as a span can have. Their keys are constants, as here.
const ATTRIBUTION: [&str; 12] = [
    "approzium.attribution.0",
    "approzium.attribution.1",
    "approzium.attribution.2",
    "approzium.attribution.3",
    "approzium.attribution.4",
    "approzium.attribution.5",
    "approzium.attribution.6",
    "approzium.attribution.7",
    "approzium.attribution.8",
    "approzium.attribution.9",
    "approzium.attribution.10",
    "approzium.attribution.11",
];

/// Turns that warm all sides up, and are not counted.
const WARM_UP: usize = 4;

/// How long a bench runs: `APPROZIUM_BENCH_SECONDS`, by default 20.
pub(crate) fn running_time() -> Duration {
    let seconds = env::var("APPROZIUM_BENCH_SECONDS");
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(20))
}

/// How long each turn of each side took, in seconds.
pub(crate) struct Turns<const SIDES: usize>(Vec<[f64; SIDES]>);

impl<const SIDES: usize> Turns<SIDES> {
    /// Lets the sides take turns until the time is over. None always comes after the same other.
    pub(crate) async fn take(running: Duration, mut turn: impl AsyncFnMut(usize)) -> Self {
        Self::take_timed(running, async |side| {
            let begun = Instant::now();
            turn(side).await;
            begun.elapsed()
        })
        .await
    }

    /// As [`take`](Self::take), where a turn says itself how much of it counts.
    pub(crate) async fn take_timed(
        running: Duration,
        mut turn: impl AsyncFnMut(usize) -> Duration,
    ) -> Self {
        let mut turns = Vec::new();
        let end = Instant::now() + running;
        while turns.len() <= WARM_UP || Instant::now() < end {
            let mut seconds = [0.0; SIDES];
            for place in 0..SIDES {
                let side = match turns.len() % (2 * SIDES) {
                    forwards if forwards < SIDES => (forwards + place) % SIDES,
                    backwards => (backwards + SIDES - place) % SIDES,
                };
                seconds[side] = turn(side).await.as_secs_f64();
            }
            turns.push(seconds);
        }
        Turns(turns.split_off(WARM_UP))
    }

    /// How many turns each side had.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The median turn of a side, in microseconds, of which one of `operations` took so much.
    pub(crate) fn microseconds(&self, side: usize, operations: u32) -> f64 {
        median(self.0.iter().map(|turn| turn[side])) * 1e6 / f64::from(operations)
    }

    /// How much more one of `operations` costs at one side than at another, in microseconds: the
    /// median of the turns' differences.
    pub(crate) fn difference(&self, side: usize, over: usize, operations: u32) -> f64 {
        median(self.0.iter().map(|turn| turn[side] - turn[over])) * 1e6 / f64::from(operations)
    }

    /// One side over another: the median of the turns' ratios.
    pub(crate) fn ratio(&self, side: usize, over: usize) -> f64 {
        median(self.0.iter().map(|turn| turn[side] / turn[over]))
    }

    /// One side over another, all turns together.
    pub(crate) fn ratio_in_all(&self, side: usize, over: usize) -> f64 {
        let all = |side: usize| self.0.iter().map(|turn| turn[side]).sum::<f64>();
        all(side) / all(over)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A PostgreSQL that lets everybody in, without TLS, which would only hide what is measured.
pub(crate) async fn server() -> Postgres {
    let server = Postgres::builder()
        .without_tls()
        .rule(Rule::host("app", Method::Trust))
        .start()
        .await
        .expect("a PostgreSQL");
    server.sql("CREATE ROLE app LOGIN").await.unwrap();
    server
}

/// How everything connects to it.
pub(crate) fn config(server: &Postgres) -> String {
    format!(
        "host=localhost port={} user=app dbname=postgres sslmode=disable",
        server.port()
    )
}

/// The driver alone.
pub(crate) async fn bare(server: &Postgres) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&config(server), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// The wrapper. Where the database trusts, nobody asks the Authenticator: the attribution stands in
/// for its.
pub(crate) async fn wrapped(server: &Postgres) -> postgres::Client {
    let nobody = AuthClient::new("localhost:1").unwrap();
    let config = format!("{} require_auth=none", config(server));
    let client = postgres::connect_with(&config, &nobody).await.unwrap();
    let attribution = ATTRIBUTION.iter().map(|key| {
        let value: Arc<str> = format!("arn:aws:sts::123456789012:assumed-role/{key}").into();
        KeyValue::new(*key, value)
    });
    client.__with_attribution(attribution.collect())
}

/// Spans in batches of the SDK's defaults, which then go nowhere.
pub(crate) fn spans_in_batches() {
    #[derive(Debug)]
    struct Nowhere;

    impl SpanExporter for Nowhere {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Ok(())
        }
    }

    let provider = SdkTracerProvider::builder().with_batch_exporter(Nowhere);
    global::set_tracer_provider(provider.build());
}
