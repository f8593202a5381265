//! What a connect without a password costs: through a warm `AuthClient`, over a connect with a
//! password by the same driver, to the same PostgreSQL with TLS and SCRAM, in one run and in turns.
//!
//! The Authenticator is `approzium serve --dev` in a process of its own. Printed are the ratio (the
//! goal is at most 1.0: the keys that the Authenticator holds spare the application its PBKDF2),
//! and the phases of a connect. `APPROZIUM_BENCH_CONNECTS` sets how many connects of each kind are
//! measured; the default is 500.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

mod password;

use std::{
    collections::BTreeMap,
    env,
    path::Path,
    time::{Duration, Instant},
};

use approzium::{
    AuthClient, TlsConfig,
    opentelemetry::{instrument, uninstrument},
    postgres::Config,
};
use approzium_peers::{Authenticator, Method, Postgres, Record, Rule};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use opentelemetry::global;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use password::Password;

const USER: &str = "app";
const PASSWORD: &str = "correct horse battery staple";
const ROLE: &str = "checkout";

/// Both sides warm up for so long.
const WARM_UP: usize = 20;

/// The other side's leftovers, a backend that ends and an outcome that is noted, are not measured.
const PAUSE: Duration = Duration::from_millis(3);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let connects = env::var("APPROZIUM_BENCH_CONNECTS");
    let connects = connects.map_or(500, |number| number.parse().expect("a number of connects"));
    let server = Postgres::builder()
        .rule(Rule::host_ssl(USER, Method::ScramSha256))
        .start()
        .await
        .expect("a PostgreSQL");
    let role = server.role(USER, PASSWORD, Method::ScramSha256).await;
    role.expect("a role");
    let record = Record {
        host: server.host(),
        port: server.port(),
        user: USER,
        password: PASSWORD,
        roles: &[ROLE],
    };
    let program = Path::new(env!("CARGO_BIN_EXE_approzium"));
    let authenticator = Authenticator::start(program, &[record], None)
        .await
        .expect("an Authenticator");

    let with_password = Password::new(&server, USER, PASSWORD);
    let without = Without::new(&server, &authenticator);
    // In a task of the runtime's, as an application's requests are.
    let benched = tokio::spawn(bench(with_password, without, connects));
    benched.await.unwrap();
}

async fn bench(with_password: Password, without: Without, connects: usize) {
    let (mut passwords, mut withouts) = (Vec::new(), Vec::new());
    for turn in 0..WARM_UP + connects {
        // Neither always comes after the other.
        let (of_password, of_without) = if turn % 2 == 0 {
            let first = time_password(&with_password).await;
            (first, without.time().await)
        } else {
            let first = without.time().await;
            (time_password(&with_password).await, first)
        };
        if turn >= WARM_UP {
            passwords.push(of_password);
            withouts.push(of_without);
        }
    }
    let phases = phases(&without, connects.div_ceil(5)).await;

    let ratios = withouts.iter().zip(&passwords);
    let ratios = ratios.map(|(without, password)| without.as_secs_f64() / password.as_secs_f64());
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    passwords.sort();
    withouts.sort();
    println!("{connects} connects of each kind, in turns:");
    println!("                 with a password  without  ratio");
    // The lower one is what is left of it on a machine that is busy with something else.
    for (name, rank) in [("lower quartile", connects / 4), ("median", connects / 2)] {
        let (with, without) = (passwords[rank], withouts[rank]);
        println!(
            "  {name:<15}{:>15}  {:>7}  {:.3}",
            milliseconds(with),
            milliseconds(without),
            without.as_secs_f64() / with.as_secs_f64()
        );
    }
    let ratio = ratios[ratios.len() / 2];
    println!("  median of the turns' own ratios: {ratio:.3}");
    println!("phases, instrumented (they overlap):");
    for (phase, took) in phases {
        println!("  {phase:<20} {}", milliseconds(took));
    }
}

async fn time_password(password: &Password) -> Duration {
    let begun = Instant::now();
    let (client, connection) = password.connect().await;
    let ended = tokio::spawn(connection);
    let took = begun.elapsed();
    drop(client);
    ended.await.unwrap().unwrap();
    tokio::time::sleep(PAUSE).await;
    took
}

/// All that an application without a password keeps between its connects.
struct Without {
    config: Config,
    auth: AuthClient,
}

impl Without {
    fn new(server: &Postgres, authenticator: &Authenticator) -> Self {
        let config = format!(
            "host={} port={} user={USER} dbname=postgres channel_binding=require sslrootcert={}",
            server.host(),
            server.port(),
            server.ca_path().display()
        );
        let keys = authenticator.credentials(ROLE).expect("an identity");
        let credentials = Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            keys.session_token,
            None,
            "development",
        );
        let auth = AuthClient::builder(authenticator.address())
            .tls(TlsConfig::new().roots_file(authenticator.ca_path()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region("us-east-1")
            .build();
        Without {
            config: config.parse().expect("a connection string"),
            auth: auth.expect("a client"),
        }
    }

    async fn time(&self) -> Duration {
        let begun = Instant::now();
        let connected = self.config.connect_parts(&self.auth).await;
        let (client, connection) = connected.expect("a login without a password");
        let ended = tokio::spawn(connection);
        let took = begun.elapsed();
        drop(client);
        ended.await.unwrap().unwrap();
        tokio::time::sleep(PAUSE).await;
        took
    }
}

/// The median of each phase of a connect, and of the whole.
async fn phases(without: &Without, connects: usize) -> BTreeMap<String, Duration> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_tracer_provider(provider);
    instrument();
    for _ in 0..connects {
        without.time().await;
    }
    uninstrument();
    let mut phases: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for span in exporter.get_finished_spans().unwrap() {
        let took = span.end_time.duration_since(span.start_time).unwrap();
        phases.entry(span.name.into_owned()).or_default().push(took);
    }
    let medians = phases
        .into_iter()
        .map(|(phase, mut all)| (phase, median(&mut all)));
    medians.collect()
}

fn median(all: &mut [Duration]) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
