//! The proof of identity: once for all connections, renewed while it is still good.
//!
//! A session is made when the first connection wants one. Everyone who comes meanwhile waits for
//! the same proof, and hears of the same failure. After two thirds of its lifetime the next
//! connection has it renewed behind its back. A failure is remembered for a while, so that an
//! application that tries again and again costs STS nothing.

mod clock;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use ::opentelemetry::Context;
pub(super) use exchange::is_identity;
use exchange::{Exchange, Failure};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    backoff::Backoff,
    lane::{Lanes, lock},
    retries::Retries,
};
use crate::{
    error::{Error, Hop, Kind, Result},
    identity::aws::{Region, Signer, SignerBuilder},
    opentelemetry::{Instrumentation, identity as process, metrics},
    secret::Secret,
};

/// A proof is begun anew so often, if connections break under it.
const RETRIES: usize = 1;

/// A verified identity, and the token that stands for it.
#[derive(Debug)]
pub(super) struct Session {
    token: Secret,
    iam_arn: String,
    renew_at: Instant,
    expires_at: Instant,
    /// A handshake was begun with it: the token is good.
    accepted: AtomicBool,
}

impl Session {
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    pub(super) fn accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

/// The session of a client, and how to make another.
pub(super) struct Sessions {
    lanes: Arc<Lanes>,
    identity: SignerBuilder,
    signer: OnceCell<Signer>,
    audience: String,
    timeout: Duration,
    instrumentation: Option<Arc<Instrumentation>>,
    /// What the session says about who this process is.
    process: process::Client,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Option<Arc<Session>>,
    /// As last verified: it outlives its session.
    iam_arn: Option<String>,
    /// What to tell those who come before the next attempt may be made.
    failure: Option<Error>,
    backoff: Backoff,
}

impl Sessions {
    pub(super) fn new(
        lanes: Arc<Lanes>,
        identity: SignerBuilder,
        audience: String,
        timeout: Duration,
        instrumentation: Option<Arc<Instrumentation>>,
    ) -> Self {
        Sessions {
            lanes,
            identity,
            signer: OnceCell::new(),
            audience,
            timeout,
            instrumentation,
            process: process::Client::new(),
            state: Mutex::new(State {
                current: None,
                iam_arn: None,
                failure: None,
                backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(10)),
            }),
        }
    }

    pub(super) fn iam_arn(&self) -> Option<String> {
        lock(&self.state).iam_arn.clone()
    }

    /// This is the session of the default client from now on.
    pub(super) fn is_default(&self) {
        self.process.is_default();
    }

    /// Whether there is one that is still good.
    pub(super) fn has_one(&self) -> bool {
        self.current().is_some()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The session, made or renewed if need be.
    pub(super) async fn session(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Session>> {
        if let Some(session) = self.current() {
            if Instant::now() >= session.renew_at && self.waits_until().is_none() {
                let trace = Context::current();
                let sessions = Arc::clone(self);
                let lane = self.lanes.lane();
                lane.proving.start(|| sessions.prove(trace));
            }
            return Ok(session);
        }
        if let Some((not_before, failure)) = self.waits_until()
            && (!failure.is_retryable() || not_before >= deadline)
        {
            return Err(failure);
        }
        let trace = Context::current();
        let sessions = Arc::clone(self);
        let lane = self.lanes.lane();
        let proving = lane.proving.run(|| sessions.prove(trace));
        timeout_at(deadline, proving).await.map_err(|_| {
            Error::new(
                Kind::Timeout,
                Hop::Session,
                "the connect's time was over before the Authenticator had verified the identity",
            )
        })?
    }

    /// The Authenticator does not accept this one: the next one is to be made.
    pub(super) fn discard(&self, session: &Arc<Session>, refusal: &Error) {
        let mut state = lock(&self.state);
        let is_current = state
            .current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session));
        if !is_current {
            return;
        }
        state.current = None;
        if !session.accepted.load(Ordering::Relaxed) {
            // Granted and never accepted: another one will hardly fare better.
            state.failed(refusal);
        }
    }

    fn current(&self) -> Option<Arc<Session>> {
        lock(&self.state)
            .current
            .clone()
            .filter(|session| Instant::now() < session.expires_at)
    }

    fn waits_until(&self) -> Option<(Instant, Error)> {
        let state = lock(&self.state);
        Some((state.backoff.not_before()?, state.failure.clone()?))
    }

    async fn prove(self: Arc<Self>, trace: Context) -> Result<Arc<Session>> {
        if let Some((not_before, _)) = self.waits_until() {
            sleep_until(not_before).await;
        }
        let result = self.attempt(&trace).await;
        metrics::session_renewal(self.instrumentation.as_ref(), &result);
        let mut state = lock(&self.state);
        match result {
            Ok(session) => {
                state.iam_arn = Some(session.iam_arn.clone());
                self.process.verified(&session.iam_arn);
                ::tracing::debug!(iam_arn = ?session.iam_arn, "the Authenticator verified the identity");
                state.backoff.succeeded();
                state.failure = None;
                state.current = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                ::tracing::debug!(%error, "no session with the Authenticator");
                // What was not reached was not burdened; dialling has a backoff of its own.
                if error.hop() != Hop::Authenticator {
                    state.failed(&error);
                }
                Err(error)
            }
        }
    }

    async fn attempt(&self, trace: &Context) -> Result<Arc<Session>> {
        let deadline = Instant::now() + self.timeout;
        let mut retries = Retries::new(&self.lanes, RETRIES);
        loop {
            let connection = within(
                deadline,
                self.timed_out(Hop::Authenticator, "connecting"),
                self.lanes.connection(),
            )
            .await??;
            let exchange = Exchange {
                sessions: self,
                connection: &connection,
                deadline,
            };
            match exchange.run(trace).await {
                Ok(session) => return Ok(Arc::new(session)),
                Err(Failure::Lost(lost)) => retries.another(lost)?,
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn signer(&self) -> Result<&Signer> {
        self.signer
            .get_or_try_init(|| self.identity.clone().build())
            .await
    }

    /// Signs a proof that is shown to nobody; the region whose STS would be asked.
    pub(super) async fn rehearse(&self) -> Result<&'static Region> {
        let deadline = Instant::now() + self.timeout;
        let late = self.timed_out(Hop::Credentials, "finding the credentials");
        within(deadline, late, async {
            let signer = self.signer().await?;
            signer
                .sign(&[0; 32], &self.audience, SystemTime::now())
                .await?;
            Ok(signer.region())
        })
        .await?
    }

    fn timed_out(&self, hop: Hop, step: &str) -> Error {
        let timeout = self.timeout;
        Error::new(
            Kind::Timeout,
            hop,
            format!("{step} took more than the session's {timeout:?}"),
        )
    }
}

impl State {
    fn failed(&mut self, error: &Error) {
        self.backoff.failed();
        self.failure = Some(error.clone());
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("audience", &self.audience)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

async fn within<T>(deadline: Instant, late: Error, work: impl Future<Output = T>) -> Result<T> {
    timeout_at(deadline, work).await.map_err(|_| late)
}

#[cfg(all(test, feature = "authenticator"))]
mod tests;
