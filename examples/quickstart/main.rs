//! The whole of Approzium on one machine: see `scripts/quickstart --help`.
//!
//! ```text
//! shop (3 processes) ──▶ approzium serve --dev ──▶ secrets.yaml
//!      │      └───────────────┬───────────────▶ Jaeger
//!      └──▶ PostgreSQL (SCRAM over TLS)
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod check;
mod collector;
mod database;
mod links;
mod options;
mod page;
mod report;
mod screenshots;
mod traces;
mod workload;

use std::{path::PathBuf, process::ExitCode};

use approzium_peers::{Authenticator, Error, Record, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{links::Links, options::Options, report::Seen, traces::Traces, workload::Cluster};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Whatever is running when a signal comes is dropped, and with it every process.
    let result = tokio::select! {
        result = run(&options) => result,
        () = interrupted() => {
            eprintln!("\nStopped; everything is cleaned up.");
            return ExitCode::from(130);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            match error {
                Error::Missing(_) => ExitCode::from(MISSING),
                Error::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// A server that the quickstart shows cannot be had on this machine.
const MISSING: u8 = 3;

async fn run(options: &Options) -> Result<()> {
    let traces = Traces::start(options).await?;
    println!("traces      {}", traces.description());
    let password = random_password()?;
    let (postgres, description) = database::start(&password, options.yes).await?;
    println!("database    {description}, port {}", postgres.port());
    let folder = tempfile::tempdir().map_err(|error| Error::Failed(error.to_string()))?;
    let record = Record {
        host: postgres.host(),
        port: postgres.port(),
        user: database::USER,
        password: &password,
        roles: &[workload::CHECKOUT.role, workload::REPORTING.role],
    };
    let otlp_endpoint = traces.otlp_endpoint();
    let authenticator =
        Authenticator::start(&program("approzium")?, &[record], Some(&otlp_endpoint)).await?;
    println!(
        "identities  approzium serve --dev at {}",
        authenticator.address()
    );
    println!("shop        three pods, one database user, no password\n");
    let cluster = Cluster {
        postgres: &postgres,
        authenticator: &authenticator,
        otlp_endpoint: &otlp_endpoint,
        folder: folder.path(),
    };
    let steps = cluster.run().await?;
    let mut seen = Vec::new();
    for step in steps {
        let trace = traces.complete(&step).await?;
        seen.push(Seen { step, trace });
    }
    println!("{}", report::table(&seen));
    let Some(query) = traces.query() else {
        if options.needs_jaeger() {
            return Err(Error::Missing(traces.description()));
        }
        print!("{}", report::trees(&seen));
        println!("{}", report::audit(&seen, &authenticator.log()));
        println!("{}", traces.description());
        return Ok(());
    };
    let links = Links::all(&cluster, query.url()).await?;
    print!("{}", report::links(query, &links, &seen));
    println!("{}", report::audit(&seen, &authenticator.log()));
    if options.check {
        let wrong = check::check(query, &links, &seen).await;
        if wrong.is_empty() {
            println!(
                "check passed: Jaeger finds each pod's traces by its own links, and no other's"
            );
            return Ok(());
        }
        return Err(Error::Failed(wrong.join("\n")));
    }
    if !traces.has_pages() {
        println!("This Jaeger has no pages, only its API: cargo could not fetch them.");
    } else if let Some(pictures) = &options.screenshots {
        screenshots::take(query, &links, &seen, pictures).await?;
        let run = page::Run {
            seen: &seen,
            pod_log: &cluster.log(&workload::REPORTING)?,
            authenticator_log: &authenticator.log(),
            pictures,
        };
        return options
            .pages
            .iter()
            .try_for_each(|page| page::write(page, &run));
    }
    let audit_log = authenticator.log_path();
    println!("logs        {}", audit_log.display());
    println!("            {}/*.log", folder.path().display());
    println!("Ctrl-C ends everything.");
    std::future::pending().await
}

/// A program of this build, beside this one.
fn program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().map_err(|error| Error::Failed(error.to_string()))?;
    let build = here.ancestors().nth(2).map(|folder| folder.join(name));
    build
        .filter(|program| program.is_file())
        .ok_or_else(|| Error::Missing(format!("{name} is not built: run scripts/quickstart")))
}

/// Known to PostgreSQL and the Authenticator, and gone with them.
fn random_password() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn interrupted() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    if let (Ok(mut interrupt), Ok(mut terminate)) = signals {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
