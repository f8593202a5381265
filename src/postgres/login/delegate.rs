//! Whom the database's challenge is handed to.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::opentelemetry::trace::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    AuthClient, Error, Hop, Result,
    client::{Handshake, Target},
    error::Kind,
    opentelemetry::{ConnectSpan, ConnectionInfo, Identity, Phase, PhaseSpan, Server},
    postgres::config::schema,
    wire::postgres::StartupMessage,
};

/// The Authenticator, and the names by which it knows the database.
#[derive(Debug)]
pub(in crate::postgres) struct Delegate {
    auth: AuthClient,
    host: String,
    port: u16,
    deadline: Instant,
    after_refusal: bool,
    /// Opened before the database asked.
    ahead: Option<(Target, AbortOnDropHandle<Result<Opened>>)>,
    report: Arc<OnceLock<Report>>,
}

/// A handshake that waits for the database's challenge, and the phase of the connect that it is.
pub(super) type Opened = (Handshake, PhaseSpan);

/// What the Authenticator said of the login.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct Report {
    pub(in crate::postgres) request_id: String,
    pub(in crate::postgres) iam_arn: String,
}

impl Delegate {
    pub(in crate::postgres) fn new(
        auth: AuthClient,
        host: String,
        port: u16,
        deadline: Instant,
    ) -> Self {
        Delegate {
            auth,
            host,
            port,
            deadline,
            after_refusal: false,
            ahead: None,
            report: Arc::default(),
        }
    }

    /// The database has just refused the answer for such a connection: the Authenticator is told.
    pub(in crate::postgres) fn after_refusal(mut self, refused: bool) -> Self {
        self.after_refusal = refused;
        self
    }

    /// Opens the handshake now, so that it is there when the database asks.
    ///
    /// Dropping the delegate gives it up.
    pub(in crate::postgres) fn open_ahead(
        mut self,
        user: &str,
        database: &str,
        span: &ConnectSpan,
    ) -> Self {
        let target = Target {
            host: self.host.clone(),
            port: self.port,
            user: user.to_owned(),
            database: database.to_owned(),
            after_refusal: self.after_refusal,
        };
        let (auth, deadline) = (self.auth.clone(), self.deadline);
        let (span, wanted) = (span.clone(), target.clone());
        let opening = async move { open(&auth, wanted, deadline, &span).await };
        self.ahead = Some((target, AbortOnDropHandle::new(tokio::spawn(opening))));
        self
    }

    /// Where the login's report appears once the Authenticator has accepted it.
    pub(in crate::postgres) fn report(&self) -> Arc<OnceLock<Report>> {
        Arc::clone(&self.report)
    }

    pub(super) fn auth(&self) -> &AuthClient {
        &self.auth
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whom and what the spans of a connection name that the driver makes by itself.
    pub(super) fn subject(&self, startup: &StartupMessage) -> Subject {
        let user = startup.parameter("user").unwrap_or_default();
        Subject {
            auth: self.auth.clone(),
            host: self.host.clone(),
            port: self.port,
            database: startup.parameter("database").unwrap_or(user).to_owned(),
            schema: startup.parameter("options").and_then(schema),
            report: self.report(),
        }
    }

    pub(super) async fn open(
        mut self,
        startup: &StartupMessage,
        span: &ConnectSpan,
    ) -> Result<Opened> {
        let user = startup
            .parameter("user")
            .ok_or_else(|| Error::configuration("the database user is missing, or is not UTF-8"))?;
        let target = Target {
            host: self.host,
            port: self.port,
            user: user.to_owned(),
            database: startup.parameter("database").unwrap_or(user).to_owned(),
            after_refusal: self.after_refusal,
        };
        let ahead = self.ahead.take();
        let opening = async {
            match ahead {
                Some((opened, handshake)) if opened == target => {
                    handshake.await.unwrap_or_else(|_| {
                        Err(Error::new(
                            Kind::Cancelled,
                            Hop::Handshake,
                            "the handshake was given up",
                        ))
                    })
                }
                _ => open(&self.auth, target, self.deadline, span).await,
            }
        };
        let (handshake, phase) = within(self.deadline, opening).await?;
        let report = Report {
            request_id: handshake.request_id().to_owned(),
            iam_arn: handshake.iam_arn().to_owned(),
        };
        span.identify(&Identity {
            authenticated: true,
            iam_arn: Some(&report.iam_arn),
            authenticator_address: Some(self.auth.authenticator_address()),
            request_id: Some(&report.request_id),
            num_connections: None,
        });
        // A login opens one handshake, so that it is empty.
        let _ = self.report.set(report);
        Ok((handshake, phase))
    }
}

/// Whom and what the spans of a connection name.
pub(super) struct Subject {
    auth: AuthClient,
    host: String,
    port: u16,
    database: String,
    schema: Option<String>,
    report: Arc<OnceLock<Report>>,
}

impl Subject {
    /// The span of the connect.
    pub(super) fn start_span(&self) -> ConnectSpan {
        ConnectSpan::start(&self.server(), self.auth.instrumentation())
    }

    /// The connection, as it was let in; its TLS and its login took `created`.
    pub(super) fn connected(&self, span: &ConnectSpan, created: Duration) -> Arc<ConnectionInfo> {
        let number = self.auth.count_connection();
        span.counted(number);
        let report = self.report.get();
        let identity = Report::identity(report, &self.auth, number);
        let own = self.auth.instrumentation().cloned();
        let server = self.server();
        let connection = ConnectionInfo::postgresql(&server, &identity, own);
        span.logged_in(&connection, &server, created);
        connection
    }

    fn server(&self) -> Server<'_> {
        Server {
            host: &self.host,
            port: self.port,
            peer: None,
            database: &self.database,
            schema: self.schema.as_deref(),
        }
    }
}

impl Report {
    /// Who connected, if the Authenticator was asked at all.
    pub(in crate::postgres) fn identity<'a>(
        report: Option<&'a Self>,
        auth: &'a AuthClient,
        number: u64,
    ) -> Identity<'a> {
        Identity {
            authenticated: report.is_some(),
            iam_arn: report.map(|report| report.iam_arn.as_str()),
            authenticator_address: report.map(|_| auth.authenticator_address()),
            request_id: report.map(|report| report.request_id.as_str()),
            num_connections: Some(number),
        }
    }
}

/// The session, if there is none yet, and in it the handshake.
async fn open(
    auth: &AuthClient,
    target: Target,
    deadline: Instant,
    span: &ConnectSpan,
) -> Result<Opened> {
    if !auth.has_session() {
        let session = auth.session(deadline);
        span.phase(Phase::Session).run(session).await?;
    }
    let phase = span.phase(Phase::Challenge);
    let handshake = auth.handshake(target, deadline);
    match handshake.with_context(phase.context()).await {
        Ok(handshake) => Ok((handshake, phase)),
        Err(error) => {
            // Who was denied, so that a search for the role finds this too.
            span.identify(&Identity {
                authenticated: false,
                iam_arn: auth.iam_arn().as_deref(),
                authenticator_address: Some(auth.authenticator_address()),
                request_id: None,
                num_connections: None,
            });
            phase.fail(&error);
            Err(error)
        }
    }
}

/// Waits for the Authenticator, no longer than the connect may last.
pub(super) async fn within<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout_at(deadline, answer).await.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Timeout,
            Hop::Handshake,
            "the Authenticator did not answer within the connect's time",
        )
        .with_help("connect_timeout is the time for a whole connect"))
    })
}
