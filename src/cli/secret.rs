//! `approzium secret`: a record that holds no password, and the verifier that the database is given.

mod password;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use approzium::{authenticator::harden, identity::Principal, wire::scram::Keys};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::ValueEnum;
use serde::Serialize;

use password::Source;

/// PostgreSQL's own.
const SALT_LENGTH: usize = 16;

/// Make a record that holds no password, and the ALTER ROLE that gives the database its verifier
///
/// The record holds SCRAM digests of the password, for one salt and iteration count. The verifier is
/// of the same: PostgreSQL keeps it as it is, so that the password itself is told to nobody. Until
/// the database has it, the record answers none of its challenges: to rotate without a login that
/// fails, put the new digests beside the old ones first (scram_sha_256 may be a list), then run the
/// ALTER ROLE, then take the old ones off. Whoever has the record can log in as the Authenticator
/// does, so keep it as you would a password.
///
/// The password is one line of standard input, or is asked for on a terminal, without echo.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Make a password of 32 random bytes, which nobody ever sees
    #[arg(long)]
    generate: bool,

    /// The database's host, as applications' connection strings say it
    #[arg(long, value_name = "HOST", value_parser = name)]
    dbhost: String,

    /// The database's port
    #[arg(long, value_name = "PORT", default_value_t = 5432, value_parser = clap::value_parser!(u16).range(1..))]
    dbport: u16,

    /// The database's user
    #[arg(long, value_name = "USER", value_parser = name)]
    dbuser: String,

    /// Who may use it: the ARN of a role or a user; once for each
    #[arg(long = "iam-arn", value_name = "ARN", required = true, value_parser = principal)]
    iam_arns: Vec<String>,

    /// Iterations of the key derivation
    #[arg(long, value_name = "NUMBER", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(4_096..))]
    iterations: u32,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// An entry of the local file, under the ALTER ROLE as a comment
    #[default]
    Yaml,
    /// An object: `record`, as secrets managers keep it, `verifier`, `alter_role`
    Json,
}

/// Prints nothing unless all of it was made.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // Before there is a password.
    harden();
    let printed = keys(arguments).and_then(|keys| print(arguments, &keys));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed standard error does not want to know.
            writeln!(io::stderr(), "approzium: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn keys(arguments: &Arguments) -> io::Result<Keys> {
    let source = if arguments.generate {
        Source::Random
    } else {
        Source::Input
    };
    let password = source.password()?;
    let mut salt = [0; SALT_LENGTH];
    getrandom::fill(&mut salt)?;
    Ok(Keys::derive(&password, &salt, arguments.iterations))
}

fn print(arguments: &Arguments, keys: &Keys) -> io::Result<()> {
    let verifier = keys.verifier();
    let user = arguments.dbuser.replace('"', "\"\"");
    let alter_role = format!("ALTER ROLE \"{user}\" PASSWORD '{verifier}';");
    let record = Record {
        scram_sha_256: Digests::of(keys),
        iam_arns: &arguments.iam_arns,
    };
    let text = match arguments.format {
        Format::Yaml => {
            let entry = Entry {
                dbhost: &arguments.dbhost,
                dbport: arguments.dbport,
                dbuser: &arguments.dbuser,
                record,
            };
            let entries = serde_yaml_ng::to_string(&[entry]).map_err(io::Error::other)?;
            format!("# {alter_role}\n{entries}")
        }
        Format::Json => {
            let made = Made {
                record: [(arguments.dbuser.as_str(), record)].into(),
                verifier,
                alter_role,
            };
            serde_json::to_string_pretty(&made)? + "\n"
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[derive(Serialize)]
struct Made<'a> {
    record: BTreeMap<&'a str, Record<'a>>,
    verifier: String,
    alter_role: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    dbhost: &'a str,
    dbport: u16,
    dbuser: &'a str,
    #[serde(flatten)]
    record: Record<'a>,
}

#[derive(Serialize)]
struct Record<'a> {
    scram_sha_256: Digests,
    iam_arns: &'a [String],
}

#[derive(Serialize)]
struct Digests {
    salt: String,
    iterations: u32,
    client_key: String,
    server_key: String,
}

impl Digests {
    fn of(keys: &Keys) -> Self {
        Digests {
            salt: BASE64_STANDARD.encode(keys.salt()),
            iterations: keys.iterations(),
            client_key: BASE64_STANDARD.encode(keys.client_key()),
            server_key: BASE64_STANDARD.encode(keys.server_key()),
        }
    }
}

/// What a line of SQL or of a record can hold, and the Authenticator takes from applications.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("it is empty or holds control characters");
    }
    Ok(text.to_owned())
}

fn principal(text: &str) -> Result<String, String> {
    Principal::parse(text).map_err(|reason| reason.to_string())?;
    Ok(text.to_owned())
}
