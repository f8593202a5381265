//! What of a login is the database's time: all but that of the Authenticator's answer.

use crate::{
    Error, Hop,
    opentelemetry::{ConnectSpan, Phase, PhaseSpan},
};

/// The database's turns in a login. Dropped, the phase under way was cancelled.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    connect: &'a ConnectSpan,
    /// None while the Authenticator is waited for.
    phase: Option<PhaseSpan>,
}

impl<'a> Turn<'a> {
    /// The StartupMessage is sent.
    pub(super) fn startup(connect: &'a ConnectSpan) -> Self {
        Turn {
            connect,
            phase: Some(connect.phase(Phase::Startup)),
        }
    }

    /// The database has challenged, and the Authenticator is asked.
    pub(super) fn challenged(&mut self) {
        if let Some(startup) = self.phase.take() {
            startup.finish();
        }
    }

    /// The database has its answer, or asked for none.
    pub(super) fn answered(&mut self) {
        self.challenged();
        self.phase = Some(self.connect.phase(Phase::Database));
    }

    /// The login is done, or failed.
    pub(super) fn over(self, failed: Option<&Error>) {
        let Some(error) = failed else {
            return self.phase.into_iter().for_each(PhaseSpan::finish);
        };
        // Where the Authenticator failed, the database was only given up.
        if matches!(error.hop(), Hop::DatabaseConnection | Hop::DatabaseLogin) {
            let phase = self.phase;
            phase
                .unwrap_or_else(|| self.connect.phase(Phase::Database))
                .fail(error);
        }
    }
}
