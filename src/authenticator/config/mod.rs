//! What `approzium serve` is told: flags over environment over file over defaults.
//!
//! The file has sections; the other sources use the keys alone.
//!
//! ```yaml
//! listener: {host: 0.0.0.0, http_port: 6000, grpc_port: 6001, drain_timeout: 20s}
//! logging: {log_level: info, log_format: json}
//! tls: {tls_cert_path: /etc/approzium/cert.pem, tls_key_path: /etc/approzium/key.pem}
//! secrets: {local_secrets_path: /etc/approzium/secrets.yaml}
//! session: {audiences: [approzium.internal], session_lifetime: 15m}
//! limits: {max_iterations: 100000}
//! ```
//!
//! Every key has a flag (`--grpc-port`), but for those of secrets, and a variable
//! (`APPROZIUM_GRPC_PORT`): `approzium serve --help` lists them. A key that is not known is an error, as is a value that is not understood;
//! the error names the key and where it was given.

mod file;
mod flags;
mod layers;
mod secrets;
mod settings;

use std::{ffi::OsString, path::PathBuf, time::Duration};

pub use self::flags::Arguments;
pub(crate) use self::{layers::Layers, secrets::Manager};
#[cfg(feature = "redis")]
use super::RedisReplays;
use super::{Limits, MAX_SESSION_LIFETIME, logging, logging::LogFormat};
use crate::{
    Result,
    error::printable,
    identity::aws::{PresignedLimits, Region},
};

/// What is to be served, and how.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) host: String,
    pub(crate) http_port: u16,
    pub(crate) grpc_port: u16,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_timeout: Duration,
    /// None: the v1 API is off.
    pub(crate) v1_api: Option<PresignedLimits>,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
    pub(crate) audit_log_path: Option<PathBuf>,
    pub(crate) disable_tls: bool,
    pub(crate) tls_cert_path: Option<PathBuf>,
    pub(crate) tls_key_path: Option<PathBuf>,
    pub(crate) client_ca_path: Option<PathBuf>,
    pub(crate) secrets_manager: Option<Manager>,
    pub(crate) local_secrets_path: Option<PathBuf>,
    pub(crate) audiences: Vec<String>,
    pub(crate) session_lifetime: Duration,
    pub(crate) session_key_path: Option<PathBuf>,
    pub(crate) sts_regions: Vec<&'static Region>,
    pub(crate) sts_fips: bool,
    pub(crate) limits: Limits,
    pub(crate) check: bool,
    /// `--check` does not ask STS.
    pub(crate) without_sts: bool,
    /// The region whose STS `--check` asks, where `sts_regions` names none.
    pub(crate) aws_region: Option<String>,
    pub(crate) dev: bool,
    #[cfg(feature = "dev")]
    pub(crate) dev_dir: Option<PathBuf>,
    pub(crate) layers: Layers,
}

impl Config {
    /// Reads every source. `variable` looks an environment variable up.
    pub(crate) fn load(
        arguments: &Arguments,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let layers = Layers::collect(&arguments.0, variable)?;
        let session_lifetime = layers.duration("session_lifetime", MAX_SESSION_LIFETIME)?;
        if session_lifetime > MAX_SESSION_LIFETIME {
            return Err(layers.error("session_lifetime", "a session lasts at most 15m"));
        }
        let log_level = layers.text("log_level").unwrap_or("info").to_owned();
        logging::filter(&log_level).map_err(|problem| layers.error("log_level", problem))?;
        let (http_port, grpc_port) = ports(&layers)?;
        Ok(Config {
            host: layers.text("host").unwrap_or("127.0.0.1").to_owned(),
            http_port,
            grpc_port,
            drain_delay: drain_delay(&layers)?,
            drain_timeout: layers.duration("drain_timeout", Duration::from_secs(20))?,
            v1_api: v1_api(&layers)?,
            log_level,
            log_format: layers.get("log_format", log_format)?.unwrap_or_default(),
            audit_log_path: layers.path("audit_log_path"),
            disable_tls: layers.switch("disable_tls")?,
            tls_cert_path: layers.path("tls_cert_path"),
            tls_key_path: layers.path("tls_key_path"),
            client_ca_path: layers.path("client_ca_path"),
            secrets_manager: Manager::read(&layers)?,
            local_secrets_path: layers.path("local_secrets_path"),
            audiences: layers.list("audiences")?,
            session_lifetime,
            session_key_path: layers.path("session_key_path"),
            sts_regions: sts_regions(&layers)?,
            sts_fips: layers.switch("sts_fips")?,
            limits: limits(&layers)?,
            check: layers.switch("check")?,
            without_sts: without_sts(&layers)?,
            aws_region: layers.text("aws_region").map(str::to_owned),
            dev: layers.switch("dev")?,
            #[cfg(feature = "dev")]
            dev_dir: layers.path("dev_dir"),
            layers,
        })
    }
}

/// Both are of one host, so that they can never be one. Of 0 each gets a free one.
fn ports(layers: &Layers) -> Result<(u16, u16)> {
    let http = layers.number("http_port", 6000)?;
    let grpc = layers.number("grpc_port", 6001)?;
    if http == grpc && http != 0 {
        let (key, other) = match layers.origin("http_port") {
            Some(_) => ("http_port", "grpc_port"),
            None => ("grpc_port", "http_port"),
        };
        let problem = format!("{http} is {other}'s, too: give each one of its own");
        return Err(layers.error(key, problem));
    }
    Ok((http, grpc))
}

/// Nobody sends applications to one of development, and who ends it waits.
fn drain_delay(layers: &Layers) -> Result<Duration> {
    let default = if layers.switch("dev")? { 0 } else { 2 };
    layers.duration("drain_delay", Duration::from_secs(default))
}

/// None: all.
fn sts_regions(layers: &Layers) -> Result<Vec<&'static Region>> {
    const KEY: &str = "sts_regions";
    let fips = layers.switch("sts_fips")?;
    let find = |name: &String| {
        let wrong = |what: &str| layers.error(KEY, format!("\"{}\" {what}", printable(name)));
        let region = Region::find(name).ok_or_else(|| wrong("is no region of AWS's"))?;
        if fips && region.sts_fips_host().is_none() {
            return Err(wrong("has no FIPS endpoint of STS, and sts_fips is on"));
        }
        Ok(region)
    };
    layers.list(KEY)?.iter().map(find).collect()
}

fn without_sts(layers: &Layers) -> Result<bool> {
    let without = layers.switch("without_sts")?;
    if without && !layers.switch("check")? {
        return Err(layers.error("without_sts", "it is for --check alone"));
    }
    Ok(without)
}

fn v1_api(layers: &Layers) -> Result<Option<PresignedLimits>> {
    const PYTHONS: Duration = Duration::from_secs(3600);
    const KEY: &str = "v1_max_expires";
    let default = PresignedLimits::default();
    let max_expires = layers.duration(KEY, default.max_expires)?;
    if max_expires > PYTHONS {
        return Err(layers.error(KEY, "it is at most 60m"));
    }
    if layers.switch("v1_api")? {
        return Ok(Some(PresignedLimits { max_expires }));
    }
    // A setting that is not heeded is worse than none.
    let others = [KEY].into_iter().chain(REPLAY_STORE);
    match others.into_iter().find(|key| layers.origin(key).is_some()) {
        Some(key) => Err(layers.error(key, "it is of the v1 API, and v1_api is off")),
        None => Ok(None),
    }
}

/// Its address, and what else it has to be told.
const REPLAY_STORE: [&str; 3] = [
    "v1_replay_store",
    "v1_replay_store_password_path",
    "v1_replay_store_ca_path",
];

impl Config {
    /// Where replicas share who used a proof of the v1 API first. Nobody is asked yet.
    #[cfg(feature = "redis")]
    pub(crate) fn v1_replay_store(&self) -> Result<Option<RedisReplays>> {
        let [address, password, ca] = REPLAY_STORE;
        let Some(url) = self.layers.text(address) else {
            return match [password, ca]
                .into_iter()
                .find(|key| self.layers.origin(key).is_some())
            {
                Some(key) => Err(self
                    .layers
                    .error(key, "it is of a v1_replay_store, and there is none")),
                None => Ok(None),
            };
        };
        let mut replays = RedisReplays::builder(url);
        if let Some(path) = self.layers.path(password) {
            replays = replays.password_file(path);
        }
        if let Some(path) = self.layers.path(ca) {
            replays = replays.ca_file(path);
        }
        replays.build().map(Some)
    }

    #[cfg(not(feature = "redis"))]
    pub(crate) fn v1_replay_store(&self) -> Result<Option<std::convert::Infallible>> {
        match REPLAY_STORE
            .into_iter()
            .find(|key| self.layers.origin(key).is_some())
        {
            Some(key) => Err(self.layers.error(key, "this build leaves it out")),
            None => Ok(None),
        }
    }
}

fn limits(layers: &Layers) -> Result<Limits> {
    let default = Limits::default();
    let limits = Limits {
        connections: layers.number("max_connections", default.connections)?,
        connections_per_address: layers.number(
            "max_connections_per_address",
            default.connections_per_address,
        )?,
        unauthenticated: layers.number("max_unauthenticated", default.unauthenticated)?,
        unauthenticated_per_address: layers.number(
            "max_unauthenticated_per_address",
            default.unauthenticated_per_address,
        )?,
        sts_calls_per_second: layers
            .number("sts_calls_per_second", default.sts_calls_per_second)?,
        sts_calls_per_second_per_address: layers.number(
            "sts_calls_per_second_per_address",
            default.sts_calls_per_second_per_address,
        )?,
        derivations_per_principal: layers.number(
            "derivations_per_principal",
            default.derivations_per_principal,
        )?,
        md5_per_second_per_principal: layers.number(
            "md5_per_second_per_principal",
            default.md5_per_second_per_principal,
        )?,
        handshakes_per_second_per_principal: layers.number(
            "handshakes_per_second_per_principal",
            default.handshakes_per_second_per_principal,
        )?,
        handshakes_per_second_per_address: layers.number(
            "handshakes_per_second_per_address",
            default.handshakes_per_second_per_address,
        )?,
        lookups_per_second_per_account: layers.number(
            "lookups_per_second_per_account",
            default.lookups_per_second_per_account,
        )?,
        min_iterations: layers.number("min_iterations", default.min_iterations)?,
        max_iterations: layers.number("max_iterations", default.max_iterations)?,
        handshake_timeout: layers.duration("handshake_timeout", default.handshake_timeout)?,
        proof_timeout: default.proof_timeout,
        challenge_timeout: layers.duration("challenge_timeout", default.challenge_timeout)?,
    };
    for key in [
        "max_connections",
        "max_connections_per_address",
        "max_unauthenticated",
        "max_unauthenticated_per_address",
        "sts_calls_per_second",
        "sts_calls_per_second_per_address",
        "derivations_per_principal",
        "md5_per_second_per_principal",
        "handshakes_per_second_per_principal",
        "handshakes_per_second_per_address",
        "lookups_per_second_per_account",
        "min_iterations",
    ] {
        if layers.number(key, 1_u64)? == 0 {
            return Err(layers.error(key, "it must be at least 1"));
        }
    }
    if limits.min_iterations > limits.max_iterations {
        return Err(layers.error("min_iterations", "it is more than max_iterations"));
    }
    Ok(limits)
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("\"{}\" is neither text nor json", printable(text))),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::load;
