//! The span of a connect, and its phases.
//!
//! ```text
//! connect db.example                          ConnectSpan
//! ├─ dial                                     Phase::Dial
//! ├─ tls                                      Phase::Tls
//! ├─ startup                                  Phase::Startup
//! ├─ session      → the Authenticator         Phase::Session
//! ├─ challenge    → the Authenticator         Phase::Challenge
//! └─ database                                 Phase::Database
//! ```
//! While a phase [runs](PhaseSpan::run), its context is the current one, so that
//! [`inject`](super::propagation::inject) continues the trace inside the Authenticator.

mod open_span;
#[cfg(test)]
mod tests;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use ::opentelemetry::{
    Context,
    trace::{FutureExt, SpanBuilder, SpanKind},
};
use tokio::time::Instant;

use self::open_span::OpenSpan;
use super::{
    connection::{
        ConnectionInfo, Identity, Server, connection_number, find_place, peer, place_known,
    },
    instrumentation::{self, Instrumentation},
    metrics::OpenConnection,
    parent,
};
use crate::error::Error;

/// The span of one connect: nothing at all while not instrumented.
///
/// Clones are handles of the same span. When the last one goes without [`finish`](Self::finish) or
/// [`fail`](Self::fail), the connect was cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectSpan(Option<Arc<OpenSpan>>);

/// A part of a connect that takes its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The network connection to the database.
    Dial,
    /// Its TLS handshake.
    Tls,
    /// What the database does between the StartupMessage and its challenge.
    Startup,
    /// The session with the Authenticator, if there was none.
    Session,
    /// The Authenticator's answers to the database's challenge.
    Challenge,
    /// What the database does between the answer to its challenge and its first ReadyForQuery.
    Database,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Dial => "dial",
            Phase::Tls => "tls",
            Phase::Startup => "startup",
            Phase::Session => "session",
            Phase::Challenge => "challenge",
            Phase::Database => "database",
        }
    }

    /// Calls to the Authenticator have a span of kind SERVER on its side.
    fn kind(self) -> SpanKind {
        match self {
            Phase::Session | Phase::Challenge => SpanKind::Client,
            Phase::Dial | Phase::Tls | Phase::Startup | Phase::Database => SpanKind::Internal,
        }
    }
}

impl ConnectSpan {
    /// Begins a connect. To be called where the connect's future is first polled: the caller's span
    /// of that moment is the parent. `own` is the client's own instrumentation.
    pub(crate) fn start(server: &Server<'_>, own: Option<&Arc<Instrumentation>>) -> Self {
        let Some(instrumentation) = instrumentation::effective(own) else {
            return ConnectSpan(None);
        };
        find_place();
        let builder = SpanBuilder::from_name(format!("connect {}", server.host))
            .with_kind(SpanKind::Client)
            .with_attributes(server.attributes());
        let span = OpenSpan::start(instrumentation, None, builder, &parent());
        ConnectSpan(Some(Arc::new(span)))
    }

    /// Begins a phase. Phases may overlap.
    pub(crate) fn phase(&self, phase: Phase) -> PhaseSpan {
        PhaseSpan(self.0.as_ref().map(|connect| {
            let builder = SpanBuilder::from_name(phase.name()).with_kind(phase.kind());
            let instrumentation = Arc::clone(&connect.instrumentation);
            OpenSpan::start(instrumentation, Some(phase), builder, &connect.context)
        }))
    }

    /// Waits, if there is a span, until it can say where it comes from, and the connection's first
    /// query too.
    pub(crate) async fn place_known(&self, deadline: Instant) {
        if self.0.is_some() {
            place_known(deadline).await;
        }
    }

    /// Who connected, as soon as the Authenticator said so.
    pub(crate) fn identify(&self, identity: &Identity<'_>) {
        if let Some(span) = &self.0 {
            span.set(identity.attributes());
        }
    }

    /// The number that the connection has among its client's.
    pub(crate) fn counted(&self, number: u64) {
        if let Some(span) = &self.0 {
            span.set([connection_number(number)]);
        }
    }

    /// The connection is there, and open until the last who holds `info` is gone; `waited` is the
    /// time since the application asked for it.
    pub(crate) fn opened(&self, info: &ConnectionInfo, server: &Server<'_>, waited: Duration) {
        if let Some(span) = &self.0 {
            let instruments = span.instrumentation.instruments();
            let created = span.began.elapsed();
            let waited = Some(waited);
            info.opened(OpenConnection::new(instruments, server, created, waited));
        }
    }

    /// As [`opened`](Self::opened), for a connection that the driver made by itself: TLS and login
    /// took `created`, and how long the application waited is not known.
    pub(crate) fn logged_in(&self, info: &ConnectionInfo, server: &Server<'_>, created: Duration) {
        if let Some(span) = &self.0 {
            let instruments = span.instrumentation.instruments();
            info.opened(OpenConnection::new(instruments, server, created, None));
        }
    }

    /// The address that is being dialled; with several, the last one stays.
    pub(crate) fn dialled(&self, address: SocketAddr) {
        if let Some(span) = &self.0 {
            span.set(peer(address));
        }
    }

    /// The connection is ready.
    pub(crate) fn finish(&self) {
        if let Some(span) = &self.0 {
            span.locate();
            span.end();
        }
    }

    /// The connect failed, with what it returns to the application.
    pub(crate) fn fail(&self, error: &Error) {
        if let Some(span) = &self.0 {
            span.instrumentation.instruments().denial(error);
            span.locate();
            span.fail(error);
        }
    }
}

/// The span of a phase. Dropped before its end, it was cancelled.
#[derive(Debug)]
pub(crate) struct PhaseSpan(Option<OpenSpan>);

impl PhaseSpan {
    /// Runs a phase that is one future, with the phase's context as the current one.
    pub(crate) async fn run<T>(
        self,
        phase: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(span) = self.0 else {
            return phase.await;
        };
        let result = phase.with_context(span.context.clone()).await;
        match &result {
            Ok(_) => span.end(),
            Err(error) => span.fail(error),
        }
        result
    }

    /// The phase's context, for a call that another task makes.
    pub(crate) fn context(&self) -> Context {
        match &self.0 {
            Some(span) => span.context.clone(),
            None => Context::current(),
        }
    }

    /// The phase is over.
    pub(crate) fn finish(self) {
        if let Some(span) = &self.0 {
            span.end();
        }
    }

    /// The phase failed.
    pub(crate) fn fail(self, error: &Error) {
        if let Some(span) = &self.0 {
            span.fail(error);
        }
    }
}
