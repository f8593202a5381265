//! OpenTelemetry's variables that the exporters do not read by themselves.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options>

use std::{env, fs};

use base64::{Engine, engine::general_purpose::STANDARD};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{Error, Result};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// What is to be known of the way there; `endpoint` comes before the environment's. None: without
    /// TLS.
    ///
    /// # Errors
    /// If the environment wants another protocol than gRPC, or names a file that is not one of PEM.
    pub(super) fn tls(self, endpoint: Option<&str>) -> Result<Option<ClientTlsConfig>> {
        self.read(endpoint, &|name| env::var(name).ok())
    }

    fn read(
        self,
        endpoint: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<ClientTlsConfig>> {
        let setting = |suffix| self.setting(suffix, environment);
        if let Some((name, protocol)) = setting("PROTOCOL")
            && protocol != "grpc"
        {
            return Err(Error::configuration(format!(
                "{name} is {protocol:?}, and this pipeline speaks grpc alone"
            ))
            .with_help(format!(
                "set {name} to grpc, and the endpoint to the collector's port for it, usually 4317"
            )));
        }
        let environments = || setting("ENDPOINT").map(|(_, url)| url);
        let endpoint = endpoint.map(str::to_owned).or_else(environments);
        if endpoint.is_none_or(|url| url.starts_with("http://")) {
            return Ok(None);
        }
        let file = |suffix| setting(suffix).map(pem).transpose();
        let tls = match file("CERTIFICATE")? {
            Some(authority) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority))
            }
            None => native_roots(),
        };
        Ok(Some(
            match (file("CLIENT_CERTIFICATE")?, file("CLIENT_KEY")?) {
                (Some(certificate), Some(key)) => {
                    tls.identity(Identity::from_pem(certificate, key))
                }
                (None, None) => tls,
                _ => {
                    return Err(Error::configuration(
                    "of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and …_CLIENT_KEY one is set alone",
                )
                .with_help("set both, or neither"));
                }
            },
        ))
    }

    /// A variable of the signal's own, else that of all signals; and its name.
    fn setting(
        self,
        suffix: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(String, String)> {
        let own = match self {
            Signal::Traces => "TRACES_",
            Signal::Metrics => "METRICS_",
        };
        [own, ""].into_iter().find_map(|signal| {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}{suffix}");
            let value = environment(&name).filter(|value| !value.is_empty())?;
            Some((name, value))
        })
    }
}

fn pem((name, path): (String, String)) -> Result<Vec<u8>> {
    fs::read(&path).map_err(|error| {
        Error::configuration(format!(
            "the file of {name} cannot be read: {path}: {error}"
        ))
        .with_help("it is to be a file in PEM that this process may read")
        .with_source(error)
        .unready()
    })
}

/// The machine's roots, as the exporter takes them.
fn native_roots() -> ClientTlsConfig {
    let roots = rustls_native_certs::load_native_certs().certs;
    ClientTlsConfig::new().ca_certificates(roots.iter().map(|root| {
        Certificate::from_pem(format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(root)
        ))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        signal: Signal,
        endpoint: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Option<ClientTlsConfig>> {
        signal.read(endpoint, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_sent_without_tls_is_said_by_the_endpoint_that_counts() {
        const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a:4317");
        const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b:4317");
        let is_tls = |signal, endpoint, variables: &[_]| {
            read(signal, endpoint, variables).unwrap().is_some()
        };
        assert!(!is_tls(Signal::Traces, None, &[]), "localhost");
        assert!(is_tls(Signal::Traces, None, &[ALL, OWN]));
        assert!(!is_tls(Signal::Metrics, None, &[ALL, OWN]));
        assert!(!is_tls(Signal::Traces, Some("http://c:4317"), &[ALL]));
    }

    #[test]
    fn what_the_environment_wants_and_does_not_get_is_told() {
        let refused = |signal, variables: &[_]| {
            let error = read(signal, Some("https://a:4317"), variables).unwrap_err();
            assert!(error.is_configuration());
            format!("{error:#}")
        };
        let protocol = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
        let said = refused(Signal::Metrics, &protocol);
        assert!(
            said.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && said.contains("4317"),
            "{said}"
        );
        let own = [protocol[0], ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")];
        read(Signal::Traces, None, &own).unwrap();

        let absent = [("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem")];
        assert!(refused(Signal::Traces, &absent).contains("/nowhere/ca.pem"));
        let error = read(Signal::Traces, Some("https://a:4317"), &absent).unwrap_err();
        assert!(error.is_retryable(), "it may be there later: {error}");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let alone = [("OTEL_EXPORTER_OTLP_CLIENT_KEY", file)];
        assert!(refused(Signal::Traces, &alone).contains("one is set alone"));
    }
}
