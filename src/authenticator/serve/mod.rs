//! `approzium serve`.

mod check;
#[cfg(feature = "dev")]
mod dev;
mod telemetry;

use std::{env, net::SocketAddr, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use super::config::Arguments;
use super::{
    AuditLog, Authenticator, AuthenticatorBuilder, Running, ServerTls, SessionKeys, config::Config,
    hardening, logging, open_files,
};
use crate::{
    Error, Result,
    identity::aws::{StsVerifier, StsVerifierBuilder},
};

/// Runs until SIGTERM or SIGINT, and then until logins under way have ended, for a while.
///
/// What is wrong at the start goes to standard error in one line that names the setting. The exit
/// code is 2 where the settings cannot be right, and 1 where they may be, and what they name is not
/// as yet: a port that is taken, a file that is not there or not good, a name that is not resolved.
/// Everything later is in the log.
///
/// With `--check` it only sees whether all that serving takes is good, a line for each on standard
/// output, and listens nowhere. The exit code is 0 if all is good and 1 if something is not; 2 means
/// that the settings themselves cannot be understood.
pub fn run(arguments: &Arguments) -> ExitCode {
    let code = match configured(arguments) {
        Ok(code) => code,
        Err(error) => {
            logging::say(&format!("approzium serve: {error}\n"));
            // Whoever starts services may try again by it.
            if error.is_configuration() && !error.is_retryable() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    };
    logging::flush();
    code
}

fn configured(arguments: &Arguments) -> Result<ExitCode> {
    // Before any secret is read: settings may hold one.
    let unprotected = hardening::unreported();
    let config = Config::load(arguments, &|name| env::var_os(name))?;
    let filter = logging::filter(&config.log_level)
        .map_err(|problem| config.layers.error("log_level", problem))?;
    logging::init(filter, config.log_format)
        .map_err(|error| Error::configuration("no log").with_source(error).unready())?;
    hardening::report(&unprotected);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Error::configuration("no runtime")
            .with_source(error)
            .unready()
    })?;
    let ended = match config.check {
        true => Ok(runtime.block_on(check::check(&config))),
        false => runtime.block_on(serve(&config)).map(|()| ExitCode::SUCCESS),
    };
    // A thread that waits for a file system that hangs would be waited for.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config) -> Result<()> {
    if let Err(problem) = open_files::suffice(&config.limits) {
        ::tracing::warn!("{problem}");
    }
    let telemetry = telemetry::start().await?;
    // First of all, so that no signal is lost that comes while the servers start.
    let asked = Asked::listen()?;
    let audit_log = audit_log(config)?;
    if config.dev {
        #[cfg(feature = "dev")]
        dev::serve(config, audit_log, asked, telemetry).await?;
        #[cfg(not(feature = "dev"))]
        return Err(no_dev(config));
    } else {
        let running = production(config)
            .await?
            .audit_log(audit_log)
            .start()
            .await?;
        until_asked(running, asked, telemetry).await;
    }
    Ok(())
}

#[cfg(not(feature = "dev"))]
fn no_dev(config: &Config) -> Error {
    config
        .layers
        .error("dev", "this build leaves development mode out")
}

async fn production(config: &Config) -> Result<AuthenticatorBuilder> {
    let mut builder = common(config)
        .await?
        .secrets(config.secrets().await?)
        .verifier(verifier(config).build()?);
    builder = match tls(config)? {
        Some(tls) => builder.tls(tls),
        None => builder.disable_tls(),
    };
    if let Some(keys) = session_keys(config)? {
        builder = builder.session_keys(keys);
    }
    Ok(builder)
}

/// The audit lines' own stream, opened anew on SIGHUP.
///
/// Where there is none, SIGHUP is heard as well: unheard, it would end the process, and it is what
/// many send to whatever has a new certificate.
fn audit_log(config: &Config) -> Result<Option<AuditLog>> {
    let path = config.audit_log_path.as_ref();
    let log = path.map(AuditLog::open).transpose();
    let log = log.map_err(Error::unready)?;
    let mut hangup = listen(SignalKind::hangup())?;
    let reopened = log.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            ::tracing::info!("SIGHUP: what is read again is so by itself, when its file changes");
            let Some(log) = reopened.clone() else {
                continue;
            };
            // A disk that hangs keeps who asks it waiting. Who hangs up again is heard meanwhile.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = log.reopen() {
                    ::tracing::error!(%error, "the audit log stays where it was");
                }
            });
        }
    });
    Ok(log)
}

fn verifier(config: &Config) -> StsVerifierBuilder {
    let verifier = StsVerifier::builder().fips(config.sts_fips);
    match config.sts_regions.as_slice() {
        [] => verifier,
        regions => verifier.regions(regions.iter().copied()),
    }
}

/// None: plaintext, which was asked for.
fn tls(config: &Config) -> Result<Option<ServerTls>> {
    if config.disable_tls {
        for key in ["tls_cert_path", "tls_key_path", "client_ca_path"] {
            if config.layers.origin(key).is_some() {
                return Err(config
                    .layers
                    .error(key, "it cannot stand beside disable_tls"));
            }
        }
        return Ok(None);
    }
    let help = "give tls_cert_path and tls_key_path, or disable_tls on a loopback address";
    let chain = config.tls_cert_path.as_ref();
    let key = config.tls_key_path.as_ref();
    let tls = ServerTls::open(
        chain.ok_or_else(|| missing("tls_cert_path", help))?,
        key.ok_or_else(|| missing("tls_key_path", help))?,
    );
    let tls = match &config.client_ca_path {
        Some(path) => tls.and_then(|tls| tls.open_client_ca(path)),
        None => tls,
    };
    tls.map(Some).map_err(Error::unready)
}

fn session_keys(config: &Config) -> Result<Option<SessionKeys>> {
    config
        .session_key_path
        .as_deref()
        .map(SessionKeys::open)
        .transpose()
        .map_err(Error::unready)
}

fn missing(key: &str, help: &'static str) -> Error {
    Error::configuration(format!("{key}: it is missing")).with_help(help)
}

/// What production and development have in common.
async fn common(config: &Config) -> Result<AuthenticatorBuilder> {
    let builder = Authenticator::builder()
        .grpc_address(address(config, config.grpc_port).await?)
        .http_address(address(config, config.http_port).await?)
        .session_lifetime(config.session_lifetime)
        .limits(config.limits.clone())
        .v1_api(config.v1_api)
        .meter_provider(&*opentelemetry::global::meter_provider())
        .drain_delay(config.drain_delay)
        .drain_timeout(config.drain_timeout);
    let builder = replays(config, builder)?;
    Ok(if config.audiences.is_empty() {
        builder.own_name(config.host.clone())
    } else {
        builder.audiences(config.audiences.iter().cloned())
    })
}

#[cfg(feature = "redis")]
fn replays(config: &Config, builder: AuthenticatorBuilder) -> Result<AuthenticatorBuilder> {
    Ok(match config.v1_replay_store()? {
        Some(store) => builder.v1_replay_store(store),
        None => builder,
    })
}

#[cfg(not(feature = "redis"))]
fn replays(config: &Config, builder: AuthenticatorBuilder) -> Result<AuthenticatorBuilder> {
    config.v1_replay_store().map(|_| builder)
}

async fn address(config: &Config, port: u16) -> Result<SocketAddr> {
    let address = tokio::net::lookup_host((config.host.as_str(), port))
        .await
        .map_err(|error| config.layers.error("host", error).unready())?
        .next()
        .ok_or_else(|| config.layers.error("host", "it has no address").unready())?;
    // What `localhost` means is the resolver's word.
    if config.dev && !address.ip().is_loopback() {
        return Err(config
            .layers
            .error("host", "development mode listens on loopback only"));
    }
    Ok(address)
}

/// Serves until asked to stop, and drains.
async fn until_asked(running: Running, asked: Asked, telemetry: telemetry::Telemetry) {
    ::tracing::info!(
        grpc = %running.grpc_addr(),
        http = running.http_addr().map(::tracing::field::display),
        version = env!("CARGO_PKG_VERSION"),
        "serving",
    );
    let signal = asked.wait().await;
    ::tracing::info!(signal, "draining");
    // They are read once more when telemetry ends.
    let _metrics = running.metrics();
    if running.shutdown().await {
        ::tracing::info!("stopped");
    } else {
        ::tracing::warn!("stopped with logins under way: drain_timeout is over");
    }
    telemetry.shutdown().await;
}

/// The signals by which a service is asked to stop.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
}

impl Asked {
    fn listen() -> Result<Self> {
        Ok(Asked {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| {
        Error::configuration("no signals")
            .with_source(error)
            .unready()
    })
}
