//! Which hop of a connect fails, and why.
//!
//! ```text
//! authenticator-name ▶ -dial ▶ -tls ─┐
//!                       credentials ─┴▶ session ▶ record ─┐
//! database-name ▶ -dial ▶ -tls ───────────────────────────┴▶ login
//! ```
//! [`diagnose`] walks the hops of a connect one by one and goes on where it can: what hangs on a hop
//! that failed is not tried, everything else is. `approzium check` prints it.
//!
//! ```no_run
//! # async fn example() -> approzium::Result<()> {
//! use approzium::{AuthClient, diagnosis::diagnose};
//!
//! let config = "host=db.internal user=shop dbname=shop".parse()?;
//! let diagnosis = diagnose(&AuthClient::from_env()?, Some(&config)).await?;
//! if let Some((step, error)) = diagnosis.failure() {
//!     eprintln!("{step}: {error}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The session is a real one, and so is the login. The record is asked for by a login of its own,
//! which is given up: in the Authenticator's audit log its reason is `client_cancelled`.

mod report;
mod walk;

use std::{fmt, time::Duration};

pub use walk::diagnose;

use crate::Error;

/// One hop of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The Authenticator's name means an address.
    AuthenticatorName,
    /// Something listens there.
    AuthenticatorDial,
    /// It shows a certificate that is good for its name, accepts this client's if it wants one, and
    /// speaks HTTP/2.
    AuthenticatorTls,
    /// There are cloud credentials, and a region.
    Credentials,
    /// The Authenticator accepts the proof of identity that is made of them.
    Session,
    /// There is a record of the database's host, port and user, and it names the identity.
    Record,
    /// The database's name means an address.
    DatabaseName,
    /// Something listens there.
    DatabaseDial,
    /// It shows a certificate as `sslmode` wants it.
    DatabaseTls,
    /// It lets the user in by the Authenticator's answer.
    Login,
}

impl Step {
    /// The step in one word, as `approzium check` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::AuthenticatorName => "authenticator-name",
            Step::AuthenticatorDial => "authenticator-dial",
            Step::AuthenticatorTls => "authenticator-tls",
            Step::Credentials => "credentials",
            Step::Session => "session",
            Step::Record => "record",
            Step::DatabaseName => "database-name",
            Step::DatabaseDial => "database-dial",
            Step::DatabaseTls => "database-tls",
            Step::Login => "login",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one [`Step`].
#[derive(Clone, Debug)]
pub struct Checked {
    step: Step,
    server: String,
    took: Duration,
    outcome: Outcome,
}

/// How a [`Step`] ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is good; what was found.
    Good(String),
    /// It failed.
    Failed(Error),
    /// It was not tried: another step failed, without which it makes no sense.
    NotTried(Step),
    /// There is nothing to be tried; why.
    NotNeeded(&'static str),
}

impl Checked {
    /// Which step it was.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Of which server, `host:port`: several may be named.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// What was found on the way. `Display` is a line for each step; it is also one JSON object, by
/// `serde`.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    steps: Vec<Checked>,
}

impl Diagnosis {
    /// Every step, in the order in which it was looked at.
    pub fn steps(&self) -> &[Checked] {
        &self.steps
    }

    /// The first step that failed, and why; none if an application can connect.
    pub fn failure(&self) -> Option<(Step, &Error)> {
        self.steps
            .iter()
            .find_map(|checked| match &checked.outcome {
                Outcome::Failed(error) => Some((checked.step, error)),
                _ => None,
            })
    }
}
