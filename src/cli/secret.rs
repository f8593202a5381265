//! `approzium secret`: a record that holds no password, and what the database is given in its place.

mod made;
mod password;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use approzium::{authenticator::harden, identity::Principal, wire::scram::Limits};
use clap::ValueEnum;
use serde::Serialize;

use made::Made;
use password::Source;

/// Make a record that holds no password, and the ALTER ROLE that gives the database its verifier
///
/// The record holds SCRAM digests of the password, for one salt and iteration count. The verifier is
/// of the same: PostgreSQL keeps it as it is, so that the password itself is told to nobody. Until
/// the database has it, the record answers none of its challenges: to rotate without a login that
/// fails, put the new digests beside the old ones first (scram_sha_256 may be a list), then run the
/// ALTER ROLE, then take the old ones off. Whoever has the record can log in as the Authenticator
/// does, so keep it as you would a password.
///
/// For mysql_native_password there is an ALTER USER, which MySQL and MariaDB take. There is none for
/// caching_sha2_password: MySQL keeps a salted SHA-crypt of the password, which is not made here.
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

    /// The database's port, if it is not 5432, or MySQL's 3306
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    dbport: Option<u16>,

    /// The database's user
    #[arg(long, value_name = "USER", value_parser = name)]
    dbuser: String,

    /// Who may use it: the ARN of a role or a user; once for each
    #[arg(long = "iam-arn", value_name = "ARN", required = true, value_parser = principal)]
    iam_arns: Vec<String>,

    /// What the database asks for; once for each
    #[arg(
        long = "method",
        value_name = "METHOD",
        value_enum,
        default_value = "scram-sha-256"
    )]
    methods: Vec<Method>,

    /// Iterations of SCRAM's key derivation, if more than 4096; at most 100000, as an Authenticator
    /// answers them
    #[arg(long, value_name = "NUMBER", value_parser = iterations)]
    iterations: Option<u32>,

    /// The host of MySQL's account, if it is not %
    #[arg(long, value_name = "HOST", value_parser = name)]
    account_host: Option<String>,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// As records call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
enum Method {
    /// PostgreSQL's, with channel binding and without
    #[value(name = "scram-sha-256")]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// MySQL's and MariaDB's, by SHA-1
    #[value(name = "mysql_native_password")]
    #[serde(rename = "mysql_native_password")]
    MysqlNativePassword,
    /// MySQL's, by SHA-256, of which the Authenticator answers none yet
    #[value(name = "caching_sha2_password")]
    #[serde(rename = "caching_sha2_password")]
    CachingSha2Password,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// An entry of the local file, under its statement as a comment
    #[default]
    Yaml,
    /// An object: `record`, as secrets managers keep it, `verifier` and `alter_role`, or
    /// `authentication_string` and `alter_user`
    Json,
}

/// Prints nothing unless all of it was made.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // Before there is a password.
    harden();
    let (problem, code) = if let Err(problem) = arguments.agree() {
        (problem.to_owned(), ExitCode::from(2))
    } else if let Err(error) = make(arguments) {
        (error.to_string(), ExitCode::FAILURE)
    } else {
        return ExitCode::SUCCESS;
    };
    // Whoever closed standard error does not want to know.
    writeln!(io::stderr(), "approzium: {problem}").ok();
    code
}

impl Arguments {
    fn is_for(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    fn dbport(&self) -> u16 {
        let usual = if self.is_for(Method::ScramSha256) {
            5432
        } else {
            3306
        };
        self.dbport.unwrap_or(usual)
    }

    fn agree(&self) -> Result<(), &'static str> {
        let is_of_mysql = |method: &Method| *method != Method::ScramSha256;
        if self.is_for(Method::ScramSha256) {
            if self.methods.iter().any(is_of_mysql) {
                return Err(
                    "--method: scram-sha-256 is PostgreSQL's, and the others are MySQL's: a record \
                     is of one database",
                );
            }
        } else if self.iterations.is_some() {
            return Err("--iterations: only scram-sha-256 has any");
        }
        if self.account_host.is_some() && !self.is_for(Method::MysqlNativePassword) {
            return Err("--account-host is for the ALTER USER of mysql_native_password");
        }
        if self.generate && self.is_for(Method::CachingSha2Password) {
            return Err(
                "--generate: for caching_sha2_password MySQL has to be told the password itself, \
                 which then nobody knows",
            );
        }
        Ok(())
    }
}

fn make(arguments: &Arguments) -> io::Result<()> {
    let source = if arguments.generate {
        Source::Random
    } else {
        Source::Input
    };
    let made = Made::of(&source.password()?, arguments)?;
    let text = match arguments.format {
        Format::Yaml => made.yaml()?,
        Format::Json => made.json()?,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a line of SQL or of a record can hold, and the Authenticator takes from applications.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("it is empty or holds control characters");
    }
    Ok(text.to_owned())
}

/// More than an Authenticator answers would keep this program busy, too.
fn iterations(text: &str) -> Result<u32, String> {
    let allowed = Limits::default().iterations;
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("it is not from {} to {}", allowed.start(), allowed.end()))
}

fn principal(text: &str) -> Result<String, String> {
    Principal::parse(text).map_err(|reason| reason.to_string())?;
    Ok(text.to_owned())
}
