//! The span of a connect, and its phases.
//!
//! ```text
//! connect db.example                          ConnectSpan
//! ├─ dial                                     Phase::Dial
//! ├─ tls                                      Phase::Tls
//! ├─ session      → the Authenticator         Phase::Session
//! ├─ challenge    → the Authenticator         Phase::Challenge
//! └─ database                                 Phase::Database
//! ```
//! While a phase [runs](PhaseSpan::run), its context is the current one, so that
//! [`inject`](super::propagation::inject) continues the trace inside the Authenticator.

use std::{
    borrow::Cow,
    future::Future,
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{FutureExt, SpanBuilder, SpanKind, Status, TraceContextExt},
};
use tokio::time::Instant;

use super::{
    attributes as key,
    connection::{
        ConnectionInfo, Identity, Server, connection_number, find_place, peer, place, place_known,
        shared,
    },
    instrumentation::{self, Instrumentation},
    metrics::{OpenConnection, Outcome},
    parent,
};
use crate::error::{Error, Kind};

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
    /// The session with the Authenticator, if there was none.
    Session,
    /// The Authenticator's answers to the database's challenge.
    Challenge,
    /// What the database does between a login and its first ReadyForQuery.
    Database,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Dial => "dial",
            Phase::Tls => "tls",
            Phase::Session => "session",
            Phase::Challenge => "challenge",
            Phase::Database => "database",
        }
    }

    /// Calls to the Authenticator have a span of kind SERVER on its side.
    fn kind(self) -> SpanKind {
        match self {
            Phase::Session | Phase::Challenge => SpanKind::Client,
            Phase::Dial | Phase::Tls | Phase::Database => SpanKind::Internal,
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
            info.opened(OpenConnection::new(instruments, server, created, waited));
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

/// A span that ends exactly once.
#[derive(Debug)]
struct OpenSpan {
    instrumentation: Arc<Instrumentation>,
    /// None: the whole connect.
    phase: Option<Phase>,
    began: Instant,
    context: Context,
    /// What became known since the start, written at the end: a second attempt, or a second
    /// address, knows better, and the SDK would keep both.
    late: Mutex<Vec<KeyValue>>,
    ended: AtomicBool,
}

impl OpenSpan {
    fn start(
        instrumentation: Arc<Instrumentation>,
        phase: Option<Phase>,
        builder: SpanBuilder,
        parent: &Context,
    ) -> Self {
        let span = instrumentation.begin(builder, parent);
        OpenSpan {
            instrumentation,
            phase,
            began: Instant::now(),
            context: parent.with_span(span),
            late: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        for attribute in attributes {
            match late.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => *known = attribute,
                None => late.push(attribute),
            }
        }
    }

    /// Adds the place, which may have become known since the start.
    fn locate(&self) {
        self.set(place().unwrap_or_default().iter().cloned());
    }

    fn end(&self) {
        self.end_as(Outcome::Ok, Status::Unset);
    }

    fn fail(&self, error: &Error) {
        self.set([
            KeyValue::new(key::ERROR_TYPE, error_type(error)),
            KeyValue::new(key::HOP, error.hop().as_str()),
        ]);
        let sqlstate = error.sqlstate();
        self.set(sqlstate.map(|sqlstate| shared(key::DB_RESPONSE_STATUS_CODE, sqlstate)));
        let request_id = error.request_id();
        self.set(request_id.map(|request_id| shared(key::REQUEST_ID, request_id)));
        self.end_as(Outcome::Error, Status::error(error.to_string()));
    }

    fn end_as(&self, outcome: Outcome, status: Status) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(phase) = self.phase {
            let instruments = self.instrumentation.instruments();
            instruments.phase(phase.name(), outcome, self.began.elapsed());
        }
        let late = mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let span = self.context.span();
        span.set_attributes(late);
        span.set_status(status);
        span.end();
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Acquire) {
            self.set([KeyValue::new(key::ERROR_TYPE, key::CANCELLED)]);
            self.end_as(Outcome::Cancelled, Status::error(key::CANCELLED));
        }
    }
}

/// `error.type`: the SQLSTATE if the database said no, else one word of a closed list.
fn error_type(error: &Error) -> Cow<'static, str> {
    Cow::Borrowed(match error.kind() {
        Kind::Configuration => "configuration",
        Kind::Credentials => "credentials",
        Kind::Unauthenticated => "unauthenticated",
        Kind::PermissionDenied => "permission_denied",
        Kind::Policy => "policy",
        Kind::ResourceExhausted => "resource_exhausted",
        Kind::Unavailable => "unavailable",
        Kind::Timeout => "timeout",
        Kind::Cancelled => key::CANCELLED,
        Kind::Protocol => "protocol",
        Kind::Database(sqlstate) => return Cow::Owned(sqlstate.clone()),
    })
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;
    use crate::{
        error::Hop,
        opentelemetry::{
            propagation::{extract, inject},
            testing::{Recorder, attribute},
            uninstrument,
        },
    };

    /// Other tests of this process may make spans too: each has a server of its own here.
    fn server(host: &'static str) -> Server<'static> {
        Server {
            host,
            port: 5432,
            peer: None,
            database: "shop",
            schema: None,
        }
    }

    #[tokio::test]
    async fn a_phase_continues_its_trace_in_what_it_calls() {
        let recorder = Recorder::start();
        let connect = ConnectSpan::start(&server("one.example"), None);
        let mut metadata = MetadataMap::new();
        let call = async {
            inject(&Context::current(), &mut metadata);
            Ok(())
        };
        connect.phase(Phase::Session).run(call).await.unwrap();
        connect.identify(&Identity {
            authenticated: true,
            iam_arn: Some("arn:aws:sts::123456789012:assumed-role/checkout/i"),
            request_id: Some("7e"),
            ..Identity::default()
        });
        // The database said no, and a second attempt was let in by another request.
        connect.identify(&Identity {
            request_id: Some("7f"),
            ..Identity::default()
        });
        connect.finish();
        drop(connect);

        let connect = recorder.only("connect one.example");
        let session = recorder.child(&connect);
        assert_eq!(session.name, "session");
        assert_eq!(session.span_kind, SpanKind::Client);
        let called = extract(&metadata).unwrap();
        assert_eq!(called.trace_id(), connect.span_context.trace_id());
        assert_eq!(called.span_id(), session.span_context.span_id());
        assert_eq!(connect.status, Status::Unset);
        for (key, expected) in [
            ("db.namespace", "shop"),
            ("approzium.iam_role", "checkout"),
            ("approzium.request_id", "7f"),
        ] {
            assert_eq!(attribute(&connect, key).as_deref(), Some(expected), "{key}");
            let keys = connect
                .attributes
                .iter()
                .filter(|one| one.key.as_str() == key);
            assert_eq!(keys.count(), 1, "{key}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_once_on_the_phase_and_on_the_connect() {
        let recorder = Recorder::start();
        let connect = ConnectSpan::start(&server("two.example"), None);
        let denied = || {
            Error::new(Kind::PermissionDenied, Hop::Handshake, "permission denied")
                .with_request_id("7f")
        };
        let result = connect
            .phase(Phase::Challenge)
            .run(async { Err::<(), _>(denied()) })
            .await;
        connect.fail(&result.unwrap_err());
        connect.finish();
        drop(connect);
        let connect = recorder.only("connect two.example");
        for span in [recorder.child(&connect), connect] {
            for (key, expected) in [
                ("error.type", "permission_denied"),
                ("approzium.hop", "handshake through the Authenticator"),
                ("approzium.request_id", "7f"),
            ] {
                assert_eq!(attribute(&span, key).as_deref(), Some(expected), "{span:?}");
            }
            assert_eq!(span.status, Status::error(denied().to_string()));
        }
    }

    #[tokio::test]
    async fn what_is_dropped_was_cancelled() {
        let recorder = Recorder::start();
        let connect = ConnectSpan::start(&server("three.example"), None);
        drop(connect.phase(Phase::Tls));
        drop(connect);
        let connect = recorder.only("connect three.example");
        for span in [recorder.child(&connect), connect] {
            assert_eq!(attribute(&span, "error.type").as_deref(), Some("cancelled"));
        }
    }

    #[tokio::test]
    async fn while_not_instrumented_there_is_nothing() {
        let recorder = Recorder::start();
        uninstrument();
        let connect = ConnectSpan::start(&server("four.example"), None);
        let mut metadata = MetadataMap::new();
        inject(&connect.phase(Phase::Session).context(), &mut metadata);
        let phase = connect.phase(Phase::Dial).run(async { Ok(5) });
        assert_eq!(phase.await.unwrap(), 5);
        connect.finish();
        assert!(recorder.named("connect four.example").is_empty() && metadata.is_empty());
    }
}
