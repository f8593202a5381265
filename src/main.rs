//! The `approzium` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Database connections without passwords, and every query in Jaeger with who ran it
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    Attribution(cli::attribution::Arguments),
    /// Run the Authenticator: verify identities, keep passwords, answer databases' challenges
    Serve(cli::serve::Arguments),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Attribution(arguments) => cli::attribution::run(arguments),
        Command::Serve(arguments) => cli::serve::run(&arguments),
    }
}
