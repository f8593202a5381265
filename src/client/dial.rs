//! Reaching the Authenticator: name, TCP, TLS, and in words what went wrong.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{AlertDescription, CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    address::{Address, is_loopback},
    tls::{Asked, CA_VARIABLE, TlsConfig},
};
use crate::{
    certificate,
    error::{Error, Hop, Kind, Result, printable},
};

/// A connection to the Authenticator, TLS included.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What dialling brings.
pub(super) struct Dialled {
    pub(super) stream: Box<dyn Stream>,
    /// The Authenticator asked for a client certificate. Under TLS 1.3 it judges it later.
    pub(super) asked_for_certificate: bool,
}

/// How an Authenticator is dialled.
#[derive(Debug)]
pub(super) struct Dialer {
    address: Address,
    /// Absent: plaintext, to loopback addresses alone.
    tls: Option<TlsConfig>,
    timeout: Duration,
}

impl Dialer {
    pub(super) fn new(address: Address, tls: Option<TlsConfig>, timeout: Duration) -> Self {
        Dialer {
            address,
            tls,
            timeout,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn is_plaintext(&self) -> bool {
        self.tls.is_none()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) async fn dial(&self) -> Result<Dialled> {
        let deadline = Instant::now() + self.timeout;
        let addresses = self.resolve(deadline).await?;
        let socket = self.connect(&addresses, deadline).await?;
        // Small messages, each waited for: without it they are late, not wrong.
        let _ = socket.set_nodelay(true);
        self.secure(socket, deadline).await
    }

    pub(super) async fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>> {
        let (host, port) = (self.address.host(), self.address.port());
        let found = timeout_at(deadline, lookup_host((host, port)))
            .await
            .map_err(|_| self.timed_out("resolving its name"))?
            .map_err(|error| {
                self.unavailable("its name cannot be resolved")
                    .with_help("check the host in the address, and DNS")
                    .with_source(error)
            })?;
        let addresses: Vec<_> = found
            .filter(|found| self.tls.is_some() || is_loopback(found.ip()))
            .collect();
        if addresses.is_empty() {
            return Err(match self.tls {
                Some(_) => self.unavailable("its name has no address"),
                None => self.misconfigured(
                    "its name does not mean this machine, and plaintext goes nowhere else",
                    "use TLS",
                ),
            });
        }
        Ok(addresses)
    }

    /// Tries one address after the other, each with an equal share of what time is left, so that
    /// one black hole does not use it all up.
    pub(super) async fn connect(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream> {
        let mut failure = self.timed_out("connecting");
        for (index, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let now = Instant::now();
            let share = now + deadline.saturating_duration_since(now) / left;
            failure = match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => self.unreachable(error),
                Err(_) => self.timed_out("connecting"),
            };
        }
        Err(failure)
    }

    /// TLS, where it is not left out.
    pub(super) async fn secure(&self, socket: TcpStream, deadline: Instant) -> Result<Dialled> {
        let Some(tls) = self.tls.clone() else {
            return Ok(Dialled {
                stream: Box::new(socket),
                asked_for_certificate: false,
            });
        };
        let mut config = tokio::task::spawn_blocking(move || tls.client_config())
            .await
            .map_err(|error| {
                self.unavailable("the runtime shuts down")
                    .with_source(error)
            })??;
        let asked = Asked::watch(&mut config);
        let name = ServerName::try_from(self.address.host().to_owned()).map_err(|error| {
            self.misconfigured(
                "its name cannot stand in a certificate",
                "dial it by a DNS name or an IP address",
            )
            .with_source(error)
        })?;
        let stream = timeout_at(
            deadline,
            TlsConnector::from(Arc::new(config)).connect(name, socket),
        )
        .await
        .map_err(|_| {
            self.timed_out("the TLS handshake")
                .with_help("is this the Authenticator's gRPC port?")
        })?
        .map_err(|error| self.insecure(error))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(self.no_http2());
        }
        Ok(Dialled {
            stream: Box::new(stream),
            asked_for_certificate: asked.was_asked(),
        })
    }

    fn unreachable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => self
                .unavailable("nothing listens there (connection refused)")
                .with_help("is the Authenticator running, and is this its gRPC port?"),
            kind => self.unavailable(&format!("it cannot be reached ({kind})")),
        }
        .with_source(error)
    }

    fn insecure(&self, error: io::Error) -> Error {
        match rustls_error(&error) {
            Some(tls) => self.explain(tls),
            None => self
                .unavailable(&format!("the TLS handshake broke off ({})", error.kind()))
                .with_help("is this the Authenticator's gRPC port, and does it speak TLS?"),
        }
        .with_source(error)
    }

    /// What a TLS failure means, and what to do.
    pub(super) fn explain(&self, error: &rustls::Error) -> Error {
        match error {
            rustls::Error::InvalidCertificate(certificate) => self.explain_certificate(certificate),
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                self.no_http2()
            }
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => self.misconfigured(
                "it speaks neither TLS 1.2 nor TLS 1.3",
                "bring its TLS up to date",
            ),
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied),
            ) => self.misconfigured(
                &format!("it does not accept this client's certificate ({alert:?})"),
                "give one that it trusts, by TlsConfig::client_certificate_files",
            ),
            rustls::Error::InvalidMessage(_) => self.misconfigured(
                "it does not speak TLS",
                "is this its gRPC port? On loopback an Authenticator without TLS is reached by \
                 `http://` or disable_tls",
            ),
            other => self.unavailable(&format!("the TLS handshake failed ({other})")),
        }
    }

    fn explain_certificate(&self, error: &CertificateError) -> Error {
        const CHECK_CLOCK: &str = "renew it, if this machine's clock is right";
        let host = self.address.host();
        match error {
            // The latter: of a CA that has the same name and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => self.misconfigured(
                "its certificate comes from no CA that this client trusts",
                &format!("name its CA by {CA_VARIABLE} or TlsConfig::roots_file"),
            ),
            CertificateError::NotValidForName => self.misconfigured(
                &format!("its certificate is not for `{host}`"),
                "dial it by a name in its certificate",
            ),
            CertificateError::NotValidForNameContext { presented, .. } => self.misconfigured(
                &format!(
                    "its certificate is not for `{host}` but for: {}",
                    printable(&presented.join(", "))
                ),
                "dial it by a name in its certificate",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                self.misconfigured("its certificate has expired", CHECK_CLOCK)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                self.misconfigured("its certificate is not valid yet", CHECK_CLOCK)
            }
            other => match certificate::fault(other) {
                Some((what, help)) => self.misconfigured(&format!("its certificate {what}"), help),
                None => self.misconfigured(
                    &format!("its certificate is not good ({other})"),
                    &format!("give it a certificate of a CA that {CA_VARIABLE} names"),
                ),
            },
        }
    }

    fn no_http2(&self) -> Error {
        self.misconfigured(
            "it speaks TLS, but not HTTP/2",
            "is this its gRPC port (6001 by default), not its HTTP port?",
        )
    }

    /// Worth another attempt, with nothing changed.
    pub(super) fn unavailable(&self, what: &str) -> Error {
        self.error(Kind::Unavailable, what)
    }

    fn misconfigured(&self, what: &str, help: &str) -> Error {
        self.error(Kind::Configuration, what)
            .with_help(help.to_owned())
    }

    fn timed_out(&self, step: &str) -> Error {
        let timeout = self.timeout;
        self.error(Kind::Timeout, &format!("{step} took more than {timeout:?}"))
            .with_help("is there a firewall between?")
    }

    fn error(&self, kind: Kind, what: &str) -> Error {
        Error::new(
            kind,
            Hop::Authenticator,
            format!("{}: {what}", self.address),
        )
    }
}

/// The TLS failure inside an IO failure.
pub(super) fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(all(test, feature = "authenticator"))]
mod tests;
