//! The transport under a session: TLS as `sslmode` and `sslnegotiation` say.
//!
//! The handshake is this library's own, not a connector crate's, because SCRAM's channel binding
//! needs the server's certificate.

mod client_config;
mod kept;
mod transport;
mod verifier;

use std::sync::Arc;

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_postgres::config::SslNegotiation;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) use self::transport::Transport;
use super::config::{Config, SslMode};
use crate::{
    Error, Hop, Result, certificate,
    error::{Kind, printable},
    wire::postgres::{SSL_REQUEST, SslResponse},
};

/// The protocol's name in ALPN, which direct TLS demands (PostgreSQL's protocol, 54.2.11).
const ALPN: &[u8] = b"postgresql";

/// How connections of one [`Config`] come to their transport. The certificate files were read.
#[derive(Clone, Debug)]
pub(super) struct TlsPolicy {
    negotiation: SslNegotiation,
    /// Plaintext is accepted where the server says that it has no TLS.
    optional: bool,
    /// None: no TLS.
    config: Option<Arc<ClientConfig>>,
}

impl TlsPolicy {
    /// Reads the certificate files, so it blocks for as long as the disk does.
    pub(super) fn read(config: &Config) -> Result<Self> {
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(kept::read(config)?),
        };
        Ok(Self::with(config, tls))
    }

    /// Without reading, if the certificate files are as they were when they were last read.
    pub(super) fn unchanged(config: &Config) -> Option<Self> {
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(kept::unchanged(config)?),
        };
        Some(Self::with(config, tls))
    }

    fn with(config: &Config, tls: Option<Arc<ClientConfig>>) -> Self {
        TlsPolicy {
            negotiation: config.get_ssl_negotiation(),
            optional: config.get_ssl_mode() == SslMode::Prefer,
            config: tls,
        }
    }

    /// Unix sockets have no TLS (libpq ignores `sslmode` for them too).
    pub(super) fn none() -> Self {
        TlsPolicy {
            negotiation: SslNegotiation::Postgres,
            optional: false,
            config: None,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.config.is_none()
    }

    /// Brings a fresh connection to the point at which the session's first packet may be sent.
    pub(super) async fn negotiate<S>(&self, mut stream: S, host: &str) -> Result<Transport<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = &self.config else {
            return Ok(Transport::Plain(stream));
        };
        if self.negotiation == SslNegotiation::Postgres && !request_tls(&mut stream).await? {
            if self.optional {
                ::tracing::debug!(host = ?printable(host), "the database has no TLS: going on without");
                return Ok(Transport::Plain(stream));
            }
            return Err(unfit("the database has no TLS").with_help(
                "turn it on there, or say sslmode=prefer or disable if the network is trusted",
            ));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::configuration(format!(
                "{} cannot be verified as a host name",
                printable(host)
            ))
            .with_source(error)
        })?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(|error| handshake_failed(error, host, self.negotiation))?;
        self.check_alpn(&stream)?;
        Ok(Transport::Tls(Box::new(stream)))
    }

    /// A server that starts TLS at once must have agreed to speak PostgreSQL in it, so that no
    /// other protocol's server can be put in its place.
    fn check_alpn<S>(&self, stream: &TlsStream<S>) -> Result<()> {
        let agreed = stream.get_ref().1.alpn_protocol() == Some(ALPN);
        if self.negotiation == SslNegotiation::Direct && !agreed {
            return Err(unfit("the server did not agree on the protocol (ALPN)")
                .with_help("sslnegotiation=direct needs PostgreSQL 17 or later"));
        }
        Ok(())
    }
}

/// Asks for TLS; true if the server has it.
///
/// Exactly one byte is read. What a man in the middle puts behind it meets the TLS handshake, and
/// not the session (CVE-2021-23222). What the server says instead of a byte came without TLS, so
/// it is not shown (CVE-2024-10977).
async fn request_tls<S>(stream: &mut S) -> Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |error| failure("the database hung up on the request for TLS").with_source(error);
    stream.write_all(&SSL_REQUEST).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    match SslResponse::parse(stream.read_u8().await.map_err(lost)?) {
        Ok(SslResponse::Accepted) => Ok(true),
        Ok(SslResponse::Refused) => Ok(false),
        Ok(SslResponse::Error) => Err(failure(
            "the database answered the request for TLS with an error",
        )
        .with_help("its log says which; the text came in the clear and is not shown")),
        Err(error) => {
            Err(unfit("the answer to the request for TLS is not PostgreSQL's").with_source(error))
        }
    }
}

fn handshake_failed(error: std::io::Error, host: &str, negotiation: SslNegotiation) -> Error {
    use rustls::{CertificateError, Error as Tls};
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>());
    let (message, help) = match tls {
        Some(Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => (
            format!("the certificate is not for {}", printable(host)),
            "connect by a name that its subjectAltName holds; sslmode=verify-ca checks no name",
        ),
        // A bad signature: an authority of the same name, but not the same.
        Some(Tls::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => (
            "the certificate is of an authority that is not trusted".to_owned(),
            "name the database's authority with sslrootcert=/path/ca.pem",
        ),
        Some(Tls::InvalidCertificate(reason)) => match certificate::fault(reason) {
            Some((what, _)) => (
                format!("the certificate {what}"),
                "have one made for the server by a CA; a certificate that the server made for itself \
                 is taken where sslrootcert names that very one",
            ),
            None => (
                format!("the certificate is not good: {reason}"),
                "see sslmode and sslrootcert",
            ),
        },
        _ if negotiation == SslNegotiation::Direct => (
            "the TLS handshake failed".to_owned(),
            "sslnegotiation=direct needs PostgreSQL 17 or later; the server's log may say more",
        ),
        _ => (
            "the TLS handshake failed".to_owned(),
            "the server's log may say more; it may want a client certificate (sslcert, sslkey)",
        ),
    };
    let kind = match tls {
        Some(_) => Kind::Protocol,
        None => Kind::Unavailable,
    };
    Error::new(kind, Hop::DatabaseConnection, message)
        .with_help(help)
        .with_source(error)
}

/// Another attempt would not change it.
fn unfit(message: &'static str) -> Error {
    Error::new(Kind::Protocol, Hop::DatabaseConnection, message)
}

fn failure(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Unavailable, Hop::DatabaseConnection, message)
}
