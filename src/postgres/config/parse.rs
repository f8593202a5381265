//! Connection strings: the driver's keys to the driver, libpq's others to us.

use std::{path::PathBuf, str::FromStr};

use tokio_postgres::config::{ChannelBinding, SslNegotiation};

use super::{Config, RootCertificates, SslMode, parameters};
use crate::{Error, Result, error::printable};

impl FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut config = Config::new();
        let mut rest = String::new();
        for (key, value) in parameters::parse(text)? {
            if !config.take(&key, &value)? {
                parameters::append(&mut rest, &key, &value);
            }
        }
        config.driver = rest.parse().map_err(|error: tokio_postgres::Error| {
            // The driver's error names the key, never a value.
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Error::configuration(format!("the connection string: {}", printable(&reason)))
        })?;
        Ok(config)
    }
}

impl Config {
    /// Takes what is not the driver's; false if it is.
    fn take(&mut self, key: &str, value: &str) -> Result<bool> {
        let path = || (!value.is_empty()).then(|| PathBuf::from(value));
        match key {
            "password" => return Err(parameters::password_refused()),
            "passfile" => {
                return Err(
                    Error::configuration("passfile: a password file is never read").with_help(
                        "take it out: the Authenticator answers the database's challenge",
                    ),
                );
            }
            "sslmode" => self.ssl_mode = ssl_mode(value)?,
            "sslrootcert" => {
                self.ssl_root_cert = match value {
                    "" => RootCertificates::Default,
                    "system" => RootCertificates::System,
                    file => RootCertificates::File(file.into()),
                }
            }
            "sslcert" => self.ssl_cert = path(),
            "sslkey" => self.ssl_key = path(),
            "sslnegotiation" => {
                self.ssl_negotiation = match value {
                    "" | "postgres" => SslNegotiation::Postgres,
                    "direct" => SslNegotiation::Direct,
                    _ => return Err(invalid("sslnegotiation", "postgres or direct")),
                }
            }
            "channel_binding" => {
                self.channel_binding = match value {
                    "disable" => ChannelBinding::Disable,
                    "" | "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(invalid("channel_binding", "disable, prefer or require")),
                }
            }
            "fallback_application_name" => {
                self.fallback_application_name = Some(value.to_owned());
            }
            "require_auth" => self.require_auth = value.parse()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn ssl_mode(value: &str) -> Result<SslMode> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "" | "verify-full" => Ok(SslMode::VerifyFull),
        "allow" => Err(Error::configuration(
            "sslmode=allow is not supported: it tries plaintext first",
        )
        .with_help("use verify-full, or prefer if the server may have no TLS")),
        _ => Err(invalid(
            "sslmode",
            "disable, prefer, require, verify-ca or verify-full",
        )),
    }
}

fn invalid(key: &str, allowed: &str) -> Error {
    Error::configuration(format!("{key}: the value must be {allowed}"))
}
