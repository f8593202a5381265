//! The description of a client.

use std::{env, sync::Arc, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;
use tokio_util::task::TaskTracker;

use super::{
    AuthClient, Inner,
    address::Address,
    dial::Dialer,
    lane::Lanes,
    session::Sessions,
    tls::{CA_VARIABLE, TlsConfig},
};
use crate::{
    error::{Error, Result, printable},
    identity::aws::{Signer, SignerBuilder, is_audience},
    opentelemetry::Instrumentation,
};

/// Where the Authenticator is, if the application says nothing of it.
const ADDRESS_VARIABLE: &str = "APPROZIUM_ADDRESS";

const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The description of an [`AuthClient`]: see [`AuthClient::builder`].
#[derive(Clone, Debug)]
pub struct AuthClientBuilder {
    address: String,
    tls: Option<TlsConfig>,
    disable_tls: bool,
    identity: SignerBuilder,
    audience: Option<String>,
    connect_timeout: Duration,
    session_timeout: Duration,
    handshake_timeout: Duration,
    attribution: bool,
    instrumentation: Option<Arc<Instrumentation>>,
}

impl AuthClientBuilder {
    pub(super) fn new(address: impl Into<String>) -> Self {
        AuthClientBuilder {
            address: address.into(),
            tls: None,
            disable_tls: false,
            identity: Signer::builder(),
            audience: None,
            connect_timeout: Duration::from_secs(5),
            session_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            attribution: true,
            instrumentation: None,
        }
    }

    pub(super) fn from_env() -> Result<Self> {
        match env::var(ADDRESS_VARIABLE) {
            Ok(address) if !address.is_empty() => Ok(Self::new(address)),
            _ => Err(Error::configuration("no Authenticator is named").with_help(format!(
                "set {ADDRESS_VARIABLE} to its `host:port`, or make an AuthClient and hand it to \
                 approzium::set_default_auth_client"
            ))),
        }
    }

    /// How the connection to the Authenticator is secured.
    /// Default: [`TlsConfig::new`], the system's roots or those of `APPROZIUM_CA`.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks plaintext to the Authenticator, as an address that begins with `http://` does.
    ///
    /// Whoever can read the session could log in as this application, so this is for loopback
    /// addresses alone: with any other host, [`build`](Self::build) is an error.
    pub fn disable_tls(mut self) -> Self {
        self.disable_tls = true;
        self
    }

    /// An IAM role to assume first, by its ARN (`arn:aws:iam::123456789012:role/checkout`): it is
    /// then the identity. Needs the feature `aws-config`. Default: none.
    pub fn iam_role(mut self, arn: impl Into<String>) -> Self {
        self.identity = self.identity.iam_role(arn);
        self
    }

    /// Where the AWS credentials come from. They are asked for once a session.
    /// Default: the AWS SDK's chain, with the feature `aws-config`; without it one must be given.
    pub fn credentials_provider(mut self, provider: SharedCredentialsProvider) -> Self {
        self.identity = self.identity.credentials_provider(provider);
        self
    }

    /// The AWS region whose STS confirms the identity.
    /// Default: `AWS_REGION`, then `AWS_DEFAULT_REGION`, then that of the profile.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.identity = self.identity.region(region);
        self
    }

    /// The id by which the Authenticator knows itself: 1–128 characters of `[A-Za-z0-9._:-]`.
    ///
    /// It is signed with the proof of identity, which therefore is worth nothing to any other
    /// Authenticator; it is never taken from the Authenticator itself. An Authenticator answers to
    /// the ids that it is configured with.
    /// Default: the host of the address, without its port, in lower case.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How long dialling the Authenticator may take: name, TCP and TLS. An Authenticator that has
    /// answered before and is away is tried again for as long. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the proof of identity may take: dialling, finding credentials, and the
    /// Authenticator's question to STS. Default: 15 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long the Authenticator may take over one answer of a login: reading the record,
    /// computing the response. Default: 10 s. The time of the whole login is the driver's setting.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Whether the Authenticator's audit log is told what this application runs on
    /// ([`attribution`](crate::attribution)), as far as it is known by then. Default: yes.
    pub fn attribution(mut self, tell: bool) -> Self {
        self.attribution = tell;
        self
    }

    /// What the connections that are made through this client report, whatever
    /// [`instrument`](crate::opentelemetry::instrument) says to the others: for libraries, and for
    /// tests that run beside each other. Default: as all others.
    ///
    /// ```
    /// use approzium::{AuthClient, opentelemetry::Instrumentation};
    ///
    /// # fn main() -> approzium::Result<()> {
    /// # let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
    /// let client = AuthClient::builder("authenticator.internal:6001")
    ///     .instrumentation(Instrumentation::new().tracer_provider(provider))
    ///     .build()?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn instrumentation(mut self, instrumentation: Instrumentation) -> Self {
        self.instrumentation = Some(Arc::new(instrumentation));
        self
    }

    /// Makes the client. Nothing is dialled yet, and no runtime is needed.
    ///
    /// # Errors
    /// [`is_configuration`](Error::is_configuration), naming the setting: an address that is none,
    /// plaintext to another machine, files of [`TlsConfig`] that cannot be read, an audience with
    /// other characters, a timeout of zero or of more than a day.
    pub fn build(self) -> Result<AuthClient> {
        let address = Address::parse(&self.address)?;
        let tls = self.tls_to(&address)?;
        let audience = match self.audience {
            Some(audience) => audience,
            None => address.host().to_owned(),
        };
        if !is_audience(&audience) {
            return Err(Error::configuration(format!(
                "the audience `{}` is not 1 to 128 characters of [A-Za-z0-9._:-]",
                printable(&audience)
            ))
            .with_help("name one of the ids that the Authenticator answers to"));
        }
        for (name, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("session_timeout", self.session_timeout),
            ("handshake_timeout", self.handshake_timeout),
        ] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return Err(Error::configuration(format!(
                    "{name} is {timeout:?}: more than nothing and at most a day is allowed"
                )));
            }
        }
        let shown = address.to_string();
        let lanes = Arc::new(Lanes::new(Dialer::new(address, tls, self.connect_timeout)));
        let sessions = Sessions::new(
            Arc::clone(&lanes),
            self.identity,
            audience,
            self.session_timeout,
            self.instrumentation.clone(),
        );
        Ok(AuthClient(Arc::new(Inner {
            address: shown,
            lanes,
            sessions: Arc::new(sessions),
            handshake_timeout: self.handshake_timeout,
            attribution: self.attribution,
            instrumentation: self.instrumentation,
            connections: 0.into(),
            farewells: TaskTracker::new(),
        })))
    }

    /// The TLS to speak with `address`, its files read once so that mistakes show early; `None`
    /// for plaintext.
    fn tls_to(&self, address: &Address) -> Result<Option<TlsConfig>> {
        if self.disable_tls || address.is_plaintext() {
            if self.tls.is_some() {
                return Err(Error::configuration(
                    "both TLS and plaintext are asked for: disable_tls or http:// beside tls",
                ));
            }
            if !address.may_be_loopback() {
                return Err(Error::configuration(format!(
                    "plaintext to {address}: TLS can be left out on loopback alone"
                ))
                .with_help("leave out disable_tls and http://"));
            }
            return Ok(None);
        }
        let mut tls = self.tls.clone().unwrap_or_default();
        if !tls.has_roots()
            && let Some(path) = env::var_os(CA_VARIABLE).filter(|path| !path.is_empty())
        {
            tls = tls.roots_file(path);
        }
        tls.client_config()?;
        Ok(Some(tls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_runtime() {
        let client = AuthClient::builder("127.0.0.1:6001")
            .disable_tls()
            .build()
            .unwrap();
        assert_eq!(client.authenticator_address(), "127.0.0.1:6001");
    }

    #[test]
    fn plaintext_stays_on_this_machine() {
        for address in [
            "http://10.0.0.1:6001",
            "http://authenticator",
            "http://[::]:1",
        ] {
            let error = AuthClient::new(address).expect_err(address);
            assert!(error.is_configuration(), "{error}");
            assert!(error.to_string().contains("loopback"), "{error}");
        }
        for address in [
            "http://localhost:6001",
            "http://[::1]:6001",
            "http://127.8.8.8",
        ] {
            AuthClient::new(address).unwrap();
        }
        let both = AuthClient::builder("http://localhost").tls(TlsConfig::new());
        assert!(both.build().unwrap_err().is_configuration());
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        let local = || AuthClient::builder("http://localhost");
        for (builder, expected) in [
            (AuthClient::builder("a b"), "address"),
            (local().audience("a b"), "audience"),
            (local().audience(""), "audience"),
            (local().connect_timeout(Duration::ZERO), "connect_timeout"),
            (local().session_timeout(Duration::MAX), "session_timeout"),
            (
                AuthClient::builder("localhost").tls(TlsConfig::new().roots_file("/no/such.pem")),
                "/no/such.pem",
            ),
        ] {
            let error = builder.build().expect_err(expected);
            assert!(error.is_configuration());
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
