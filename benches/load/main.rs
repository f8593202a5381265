//! What load the Authenticator bears: 10,000 sessions over 64 connections, 1,000 handshakes open at
//! a time, SCRAM with warm keys, beside a plain tonic service that echoes messages of the same
//! number and size over the same TLS, in one run and in turns.
//!
//! The Authenticator is `approzium serve --dev` in a process of its own, which verifies proofs as it
//! would those of AWS and asks nobody; the echo is a process of its own too. The load comes from
//! this one, which plays applications and their databases, and has the same processors. Printed are
//! logins a second, the time to the answer, processor time and resident memory, and the ratio (the
//! goal is at least a third of the echo's rate, and at most 40 MB).
//!
//! Then 1,000 records with passwords and salts that nobody has seen come at once: how long health
//! checks take meanwhile says whether key derivations block anybody.
//!
//! On a machine with nothing else to do, on two cores:
//!
//! ```sh
//! taskset -c 0,1 cargo bench --all-features --bench load
//! ```
//! `APPROZIUM_BENCH_SECONDS` sets how long the turns take; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

#[path = "../common/mod.rs"]
mod common;
mod echo;
mod handshake;
mod health;
mod process;
mod sessions;
mod storm;

use std::{env, sync::Arc, time::Duration};

use approzium_peers::Authority;
use common::Turns;
use handshake::Load;
use process::Server;

const CONNECTIONS: usize = 64;
const SESSIONS: usize = 10_000;
const OPEN: usize = 1_000;
/// Logins in a turn of one side.
const TURN: usize = 4_000;

/// The protocol, compiled for this bench.
#[allow(
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated"
)]
mod v2 {
    tonic::include_proto!("approzium.v2");

    /// What holds a secret is named, no more.
    macro_rules! named {
        ($($message:ty),+) => {$(
            impl std::fmt::Debug for $message {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(stringify!($message))
                }
            }
        )+};
    }
    named!(AwsProof, HandshakeStart, Md5Response, ScramClientFinal);
    named!(SessionGrant, outcome::Succeeded);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match env::args().nth(1).as_deref() {
        Some(echo::ARGUMENT) => runtime.block_on(echo::serve()),
        _ => runtime.block_on(bench()),
    }
}

async fn bench() {
    let authority = Authority::default();
    let echo = Server::echo(&authority).await;
    let authenticator = Server::authenticator().await;
    let memory_idle = authenticator.resident();

    let channels = authenticator.connections().await;
    let tokens = Arc::new(sessions::make(&authenticator, &channels).await);
    let memory_sessions = authenticator.resident();
    println!("{SESSIONS} sessions over {CONNECTIONS} connections");
    let sides = [
        Load::new(channels, Arc::clone(&tokens), true),
        Load::new(echo.connections().await, tokens, false),
    ];
    let servers = [&authenticator, &echo];
    let (mut latencies, mut processor) = ([vec![], vec![]], [Duration::ZERO; 2]);
    let turns: Turns<2> = Turns::take(common::running_time(), async |side| {
        let before = servers[side].processor_time();
        latencies[side].extend(sides[side].run(TURN, OPEN).await);
        processor[side] += servers[side].processor_time() - before;
    })
    .await;

    println!(
        "{} turns of {TURN} logins, {OPEN} open at a time, SCRAM-SHA-256 with warm keys:",
        turns.count()
    );
    println!("                 a second   p50 ms   p99 ms   processor us a login");
    for (side, name) in ["Authenticator", "echo"].into_iter().enumerate() {
        let logins = latencies[side].len();
        let used = processor[side].as_secs_f64() * 1e6 / logins as f64;
        let [p50, p99] = percentiles(&mut latencies[side]);
        println!(
            "  {name:<13} {:>10.0} {p50:>8.1} {p99:>8.1} {used:>9.0}",
            1e6 / turns.microseconds(side, TURN as u32),
        );
    }
    println!(
        "  the Authenticator's rate over the echo's: {:.3}",
        turns.ratio(1, 0)
    );
    println!(
        "memory of the Authenticator: {memory_idle:.1} MB idle, {memory_sessions:.1} MB with the \
         sessions, {:.1} MB after the load, {:.1} MB at most; of the echo: {:.1} MB at most",
        authenticator.resident(),
        authenticator.resident_at_most(),
        echo.resident_at_most()
    );
    drop(sides);
    storm::run(&authenticator).await;
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(all: &mut [Duration]) -> [f64; 2] {
    all.sort();
    [all.len() / 2, all.len() * 99 / 100].map(|rank| all[rank].as_secs_f64() * 1e3)
}
