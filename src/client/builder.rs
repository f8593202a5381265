use std::{sync::Arc, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;

use super::{AuthClient, Inner, TlsConfig};
use crate::error::{Error, Result};

/// The description of an [`AuthClient`].
#[derive(Clone, Debug)]
pub struct AuthClientBuilder {
    address: String,
    tls: Option<TlsConfig>,
    disable_tls: bool,
    iam_role: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    region: Option<String>,
    audience: Option<String>,
    connect_timeout: Duration,
    session_timeout: Duration,
    handshake_timeout: Duration,
    attribution: bool,
}

impl AuthClientBuilder {
    pub(super) fn new(address: impl Into<String>) -> Self {
        AuthClientBuilder {
            address: address.into(),
            tls: None,
            disable_tls: false,
            iam_role: None,
            credentials: None,
            region: None,
            audience: None,
            connect_timeout: Duration::from_secs(5),
            session_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            attribution: true,
        }
    }

    pub(super) fn from_env() -> Result<Self> {
        let address = std::env::var("APPROZIUM_ADDRESS")
            .map_err(|_| Error::configuration("APPROZIUM_ADDRESS is not set"))?;
        Ok(Self::new(address))
    }

    /// How the connection to the Authenticator is secured.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks plaintext to the Authenticator: allowed for loopback addresses alone.
    pub fn disable_tls(mut self) -> Self {
        self.disable_tls = true;
        self
    }

    /// The IAM role to assume before proving an identity (`arn:aws:iam::…:role/…`).
    pub fn iam_role(mut self, arn: impl Into<String>) -> Self {
        self.iam_role = Some(arn.into());
        self
    }

    /// Where the AWS credentials come from.
    pub fn credentials_provider(mut self, provider: SharedCredentialsProvider) -> Self {
        self.credentials = Some(provider);
        self
    }

    /// The AWS region whose STS vouches for the identity.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The name by which the Authenticator knows itself. Default: the name that is dialled.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How long dialling the Authenticator may take, TLS included. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the proof of identity may take. Default: 15 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long the Authenticator may take over one answer of a handshake. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Whether the Authenticator's audit log is told what this application runs on.
    /// Default: true.
    pub fn attribution(mut self, send: bool) -> Self {
        self.attribution = send;
        self
    }

    /// Makes the client. Nothing is dialled yet, and no runtime is needed.
    ///
    /// # Errors
    /// [`is_configuration`](Error::is_configuration), naming the setting.
    pub fn build(self) -> Result<AuthClient> {
        Ok(AuthClient(Arc::new(Inner {
            address: self.address,
            connections: 0.into(),
        })))
    }
}
