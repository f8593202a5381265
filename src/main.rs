//! The `approzium` command.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test that fails should fail loudly"
    )
)]

mod cli;

use std::{alloc::System, process::ExitCode};

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that it takes back. A record's password goes through buffers that are not
/// ours: the file's parser, strings that grow.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Database connections without passwords, and every query in Jaeger with who ran it
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    Attribution(cli::attribution::Arguments),
    Check(cli::check::Arguments),
    Secret(cli::secret::Arguments),
    /// Run the Authenticator: verify identities, keep passwords, answer databases' challenges
    Serve(cli::serve::Arguments),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Attribution(arguments) => cli::attribution::run(&arguments),
        Command::Check(arguments) => cli::check::run(&arguments),
        Command::Secret(arguments) => cli::secret::run(&arguments),
        Command::Serve(arguments) => cli::serve::run(&arguments),
    }
}
