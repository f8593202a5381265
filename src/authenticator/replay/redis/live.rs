//! The connection of the moment, and what it is made with.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ::redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use arc_swap::ArcSwapOption;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::PATIENCE;
use crate::{
    Error, Result,
    authenticator::{limits::locked, secrets::private},
    error::printable,
};

const MAX_PASSWORD_FILE: u64 = 4 << 10;

/// Where it is, and which files say how it is reached.
pub(super) struct Address {
    pub(super) information: ConnectionInfo,
    pub(super) password_path: Option<PathBuf>,
    pub(super) ca_path: Option<PathBuf>,
}

/// What stands in these files.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    password: Option<Zeroizing<String>>,
    ca: Option<Vec<u8>>,
}

pub(super) struct Live {
    client: Client,
    /// Made when it is first needed. It is made anew by itself where it breaks, and by us where Redis
    /// would not have it, which it would remember for ever, or has fallen silent: of a host that is
    /// gone nobody hears that its connections are.
    connection: Mutex<Option<Arc<ConnectionManager>>>,
    pub(super) files: Files,
    /// The last that was answered, until this one is: a password is seldom exchanged in the file
    /// and in Redis in one moment.
    pub(super) before: ArcSwapOption<Live>,
}

impl Address {
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = [&self.password_path, &self.ca_path];
        files.into_iter().flatten().cloned().collect()
    }

    pub(super) fn read(&self) -> Result<Files> {
        let password = self.password_path.as_ref().map(|path| {
            password(path).map_err(|problem| {
                let path = path.display();
                Error::configuration(format!("v1_replay_store_password_path: {path}: {problem}"))
                    .unready()
            })
        });
        let ca = self.ca_path.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| {
                let path = path.display();
                Error::configuration(format!("v1_replay_store_ca_path: {path}: {error}")).unready()
            })
        });
        Ok(Files {
            password: password.transpose()?,
            ca: ca.transpose()?,
        })
    }
}

impl Live {
    /// Nobody is asked yet.
    pub(super) fn of(address: &Address, files: Files) -> Result<Self> {
        let mut information = address.information.clone();
        if let Some(password) = &files.password {
            let settings = information.redis_settings().clone();
            information = information.set_redis_settings(settings.set_password(&**password));
        }
        let client = match files.ca.clone() {
            Some(root_cert) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(root_cert),
                };
                Client::build_with_tls(information, certificates)
            }
            None => Client::open(information),
        };
        let client = client.map_err(|error| {
            let problem = printable(&error.to_string());
            Error::configuration(format!("v1_replay_store: {problem}"))
        })?;
        Ok(Live {
            client,
            connection: Mutex::default(),
            files,
            before: ArcSwapOption::empty(),
        })
    }

    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Option<String>> {
        let deadline = Instant::now() + PATIENCE;
        let answer = self.ask_alone(command, deadline).await;
        let Some(before) = self.before.load_full() else {
            return answer;
        };
        match answer {
            // Of another authority nobody asks the one before: it would be trusted for ever.
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                let answer = before.ask_alone(command, deadline).await;
                answer.map_err(|_| error)
            }
            Ok(answer) => {
                self.before.store(None);
                Ok(answer)
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_alone(&self, command: &Cmd, deadline: Instant) -> RedisResult<Option<String>> {
        let connection = self.connection()?;
        let mut asked = ConnectionManager::clone(&connection);
        let answer = timeout_at(deadline, command.query_async(&mut asked));
        let answer = answer.await.unwrap_or_else(|_| Err(silence()));
        if answer
            .as_ref()
            .is_err_and(|error: &RedisError| error.is_timeout() || !error.is_io_error())
        {
            let mut current = locked(&self.connection);
            current.take_if(|current| Arc::ptr_eq(current, &connection));
        }
        answer
    }

    fn connection(&self) -> RedisResult<Arc<ConnectionManager>> {
        let mut current = locked(&self.connection);
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = Arc::new(self.client.get_connection_manager_lazy(bounds())?);
        Ok(current.insert(connection).clone())
    }

    /// Itself, or the one before where that is still needed.
    pub(super) fn last_good(self: &Arc<Self>) -> Arc<Live> {
        self.before.load_full().unwrap_or_else(|| self.clone())
    }
}

fn silence() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time").into()
}

/// Whoever waits for a connection that cannot be had is told so, and the next one dials again.
fn bounds() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
}

fn password(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = private(path, MAX_PASSWORD_FILE)?;
    let text = str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("it is empty".to_owned()),
        password => Ok(password.to_owned().into()),
    }
}
