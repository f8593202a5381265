//! From hop to hop.

use std::time::Duration;

use tokio::time::Instant;

use super::{Checked, Diagnosis, Outcome, Step};
use crate::{
    AuthClient, Result,
    client::{Outcome as LoginOutcome, Target},
    error::printable,
    postgres::{
        Config,
        probe::{Protection, Server, Socket, servers},
    },
};

/// How long the Authenticator may take to note that the login went well.
const FAREWELL: Duration = Duration::from_secs(5);

/// Walks from an application to its Authenticator, and, if one is named, to its database.
///
/// Where the database's configuration names several servers, each is looked at; the login is one, as
/// an application would make it. Each step takes no longer than the client's or the connection's
/// timeouts allow. Nothing is remembered but the client's session.
///
/// # Errors
/// [`is_configuration`](crate::Error::is_configuration), if the database's settings contradict each
/// other: there is no way to be walked.
pub async fn diagnose(auth: &AuthClient, database: Option<&Config>) -> Result<Diagnosis> {
    let servers = database.map(servers).transpose()?;
    let mut walk = Walk {
        auth,
        diagnosis: Diagnosis::default(),
    };
    let has_session = walk.authenticator().await;
    if let (Some(config), Some(servers)) = (database, servers) {
        walk.database(config, &servers, has_session).await;
    }
    Ok(walk.diagnosis)
}

struct Walk<'a> {
    auth: &'a AuthClient,
    diagnosis: Diagnosis,
}

impl Walk<'_> {
    /// Whether there is a session.
    async fn authenticator(&mut self) -> bool {
        let auth = self.auth;
        let here = auth.authenticator_address();
        let addresses = self
            .take(Step::AuthenticatorName, here, async {
                let addresses = auth.resolve().await?;
                let shown: Vec<_> = addresses.iter().map(|one| one.ip().to_string()).collect();
                Ok((shown.join(", "), addresses))
            })
            .await;
        let socket = match addresses {
            Some(addresses) => {
                let dial = async {
                    let socket = auth.reach(&addresses).await?;
                    let peer = socket.peer_addr();
                    let at = peer.map_or_else(|_| "connected".into(), |peer| peer.to_string());
                    Ok((at, socket))
                };
                self.take(Step::AuthenticatorDial, here, dial).await
            }
            None => self.leave(Step::AuthenticatorDial, here, Step::AuthenticatorName),
        };
        let secured = match socket {
            Some(socket) => {
                let secure = async {
                    let found = match auth.secure(socket).await? {
                        true => "its certificate is good for its name",
                        false => "plaintext, on loopback",
                    };
                    Ok((found.to_owned(), ()))
                };
                self.take(Step::AuthenticatorTls, here, secure).await
            }
            None => {
                let because = self.failed(&[Step::AuthenticatorName, Step::AuthenticatorDial]);
                self.leave(Step::AuthenticatorTls, here, because)
            }
        };
        let credentials = self
            .take(Step::Credentials, here, async {
                let region = auth.rehearse().await?;
                Ok((format!("for the STS of {}", region.name()), ()))
            })
            .await;
        let session = match secured.and(credentials) {
            Some(()) => {
                let prove = async {
                    auth.authenticate().await?;
                    Ok((auth.iam_arn().unwrap_or_default(), ()))
                };
                self.take(Step::Session, here, prove).await
            }
            None => {
                let because = self.failed(&[
                    Step::AuthenticatorName,
                    Step::AuthenticatorDial,
                    Step::AuthenticatorTls,
                    Step::Credentials,
                ]);
                self.leave(Step::Session, here, because)
            }
        };
        session.is_some()
    }

    async fn database(&mut self, config: &Config, servers: &[Server<'_>], has_session: bool) {
        let mut reached = false;
        for server in servers {
            let admitted = self.record(config, server, has_session).await;
            reached |= self.server(server).await && admitted;
        }
        let names: Vec<_> = servers.iter().map(Server::name).collect();
        let names = names.join(", ");
        if !reached && let Some((step, _)) = self.diagnosis.failure() {
            self.leave::<()>(Step::Login, &names, step);
            return;
        }
        let auth = self.auth;
        let login = async {
            let (client, connection) = config.connect_parts(auth).await?;
            let connection = tokio::spawn(connection);
            // One that ends as it should leaves no complaint in the database's log.
            drop(client);
            let _ = connection.await;
            auth.outcomes_noted(FAREWELL).await;
            let user = config.get_user().unwrap_or("the system's user");
            Ok((format!("{} is let in", printable(user)), ()))
        };
        self.take(Step::Login, &names, login).await;
    }

    /// Whether a login may be tried.
    async fn record(&mut self, config: &Config, server: &Server<'_>, has_session: bool) -> bool {
        let name = server.name();
        let why = match config.get_user() {
            None => "the connection names no user: the login tells",
            Some(_) if config.get_require_auth().none() => {
                "the database may ask for nothing: the login tells"
            }
            Some(_) if !has_session => {
                let because = self.failed(&[
                    Step::AuthenticatorName,
                    Step::AuthenticatorDial,
                    Step::AuthenticatorTls,
                    Step::Credentials,
                    Step::Session,
                ]);
                self.leave::<()>(Step::Record, &name, because);
                return false;
            }
            Some(user) => {
                let target = Target {
                    host: server.host().to_owned(),
                    port: server.port(),
                    user: user.to_owned(),
                    database: config.get_dbname().unwrap_or(user).to_owned(),
                    after_refusal: false,
                };
                let auth = self.auth;
                let ask = async {
                    let until = Instant::now() + config.get_connect_timeout();
                    let handshake = auth.handshake(target, until).await?;
                    let found = format!("accepted, as request {}", handshake.request_id());
                    handshake.outcome_noted(LoginOutcome::Cancelled).await;
                    Ok((found, ()))
                };
                return self.take(Step::Record, &name, ask).await.is_some();
            }
        };
        let now = Instant::now();
        self.note(Step::Record, &name, now, Outcome::NotNeeded(why));
        has_session
    }

    /// Whether it can be spoken to.
    async fn server(&mut self, server: &Server<'_>) -> bool {
        let name = server.name();
        let addresses = self
            .take(Step::DatabaseName, &name, async {
                let addresses = server.look_up().await?;
                Ok((addresses.to_string(), addresses))
            })
            .await;
        let Some(addresses) = addresses else {
            self.leave::<()>(Step::DatabaseDial, &name, Step::DatabaseName);
            self.leave::<()>(Step::DatabaseTls, &name, Step::DatabaseName);
            return false;
        };
        let dial = async {
            let socket = server.dial(&addresses).await?;
            let at = match &socket {
                Socket::Tcp(_, address) => address.to_string(),
                Socket::Unix => addresses.to_string(),
            };
            Ok((at, socket))
        };
        let Some(socket) = self.take(Step::DatabaseDial, &name, dial).await else {
            self.leave::<()>(Step::DatabaseTls, &name, Step::DatabaseDial);
            return false;
        };
        let secure = async {
            let found = match server.secure(socket).await? {
                Protection::Tls => "as sslmode wants it",
                Protection::Plaintext => "plaintext, as sslmode allows",
                Protection::Unix => "none: a Unix socket",
            };
            Ok((found.to_owned(), ()))
        };
        self.take(Step::DatabaseTls, &name, secure).await.is_some()
    }

    /// Takes one step: what it brings, if it is good.
    async fn take<T>(
        &mut self,
        step: Step,
        server: &str,
        work: impl Future<Output = Result<(String, T)>>,
    ) -> Option<T> {
        let begun = Instant::now();
        let (outcome, brought) = match work.await {
            Ok((found, brought)) => (Outcome::Good(found), Some(brought)),
            Err(error) => (Outcome::Failed(error), None),
        };
        self.note(step, server, begun, outcome);
        brought
    }

    /// A step that makes no sense after another has failed.
    fn leave<T>(&mut self, step: Step, server: &str, because: Step) -> Option<T> {
        self.note(step, server, Instant::now(), Outcome::NotTried(because));
        None
    }

    fn note(&mut self, step: Step, server: &str, begun: Instant, outcome: Outcome) {
        self.diagnosis.steps.push(Checked {
            step,
            server: server.to_owned(),
            took: begun.elapsed(),
            outcome,
        });
    }

    /// The first of these that failed.
    fn failed(&self, of: &[Step]) -> Step {
        let failed = self.diagnosis.steps.iter().find(|checked| {
            of.contains(&checked.step) && matches!(checked.outcome, Outcome::Failed(_))
        });
        failed.map_or(Step::Session, |checked| checked.step)
    }
}
