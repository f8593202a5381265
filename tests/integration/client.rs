//! Sessions with the real Authenticator, over TLS: how they begin, go on, and are refused.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use approzium::{
    AuthClient, Hop, TlsConfig,
    authenticator::{
        Authenticator, AuthenticatorBuilder, LocalSecrets, Running, ServerTls, dev::DevSts,
    },
    client::AuthClientBuilder,
    identity::{
        Rejection, VerifiedIdentity,
        aws::{CheckedProof, Verifier},
    },
    postgres,
};
use approzium_peers::{Authority, Method, Postgres, Rule, eventually, free_port, peer};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use futures_util::future::join_all;

const SOON: Duration = Duration::from_secs(30);
const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

/// Everything that outlives an Authenticator.
struct House {
    address: SocketAddr,
    authority: Authority,
    sts: DevSts,
    verified: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

/// Counts what STS would have been asked.
struct Counting {
    verifier: Box<dyn Verifier>,
    verified: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Verifier for Counting {
    async fn verify(&self, proof: &CheckedProof) -> Result<VerifiedIdentity, Rejection> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        self.verifier.verify(proof).await
    }
}

impl House {
    async fn new() -> Self {
        let house = House {
            address: ([127, 0, 0, 1], free_port()).into(),
            authority: Authority::default(),
            sts: DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap(),
            verified: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        };
        house.record("[]");
        house
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets.yaml")
    }

    fn record(&self, text: &str) {
        std::fs::write(self.secrets(), text).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.secrets(), private).unwrap();
    }

    fn tls(&self) -> ServerTls {
        let certificate = self.authority.localhost();
        let (chain, key) = (certificate.certificate_pem, certificate.key_pem);
        ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    fn authenticator(&self) -> AuthenticatorBuilder {
        let counting = Counting {
            verifier: Box::new(self.sts.verifier()),
            verified: Arc::clone(&self.verified),
        };
        Authenticator::builder()
            .grpc_address(self.address)
            .http_address(None)
            .tls(self.tls())
            .verifier(counting)
            .secrets(LocalSecrets::open(self.secrets()).unwrap())
            .drain_timeout(SOON)
    }

    /// Starts one at the address where the last one was.
    async fn start(&self, builder: impl Fn() -> AuthenticatorBuilder) -> Running {
        eventually("the port is free again", SOON, async || {
            builder().start().await.ok()
        })
        .await
    }

    fn client(&self) -> AuthClientBuilder {
        let checkout = self.sts.identity("checkout").unwrap();
        self.client_with(checkout.credentials())
    }

    fn client_with(&self, credentials: Credentials) -> AuthClientBuilder {
        AuthClient::builder(self.address.to_string())
            .tls(TlsConfig::new().roots_pem(self.authority.pem()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region("eu-central-1")
            .attribution(false)
    }

    fn verified(&self) -> usize {
        self.verified.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_proof_serves_all() {
    let house = House::new().await;
    let _running = house.start(|| house.authenticator()).await;
    let client = house.client().build().unwrap();
    let sessions = join_all((0..100).map(|_| client.authenticate())).await;
    assert!(sessions.iter().all(Result::is_ok), "{sessions:?}");
    assert_eq!(house.verified(), 1);

    let info = client.attribution_info();
    assert_eq!(info.iam_arn.as_deref(), Some(CHECKOUT));
    assert_eq!(info.iam_role.as_deref(), Some("checkout"));
    assert!(info.authenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_while_it_lasts() {
    let house = House::new().await;
    let lifetime = Duration::from_secs(3);
    let _running = house
        .start(|| house.authenticator().session_lifetime(lifetime))
        .await;
    let client = house.client().build().unwrap();
    eventually("the third session", SOON, async || {
        client.authenticate().await.unwrap();
        (house.verified() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_go_on_when_the_authenticator_was_restarted() {
    let server = peer!(
        Postgres::builder()
            .rule(Rule::host_ssl("app", Method::ScramSha256))
            .start()
    );
    server
        .role("app", "canary", Method::ScramSha256)
        .await
        .unwrap();
    let house = House::new().await;
    house.record(&format!(
        "- {{dbhost: localhost, dbport: {}, dbuser: app, password: canary, \
         iam_arn: 'arn:aws:iam::000000000000:role/checkout'}}",
        server.port()
    ));
    let client = house.client().build().unwrap();
    let string = format!(
        "host=localhost port={} user=app dbname=postgres sslrootcert={}",
        server.port(),
        server.ca_path().display()
    );
    let log_in = async || {
        let connected = postgres::connect_with(&string, &client).await.unwrap();
        connected.simple_query("SELECT 1").await.unwrap();
    };

    let running = house.start(|| house.authenticator()).await;
    log_in().await;
    assert_eq!(house.verified(), 1);

    // In good order. The new one has keys of its own: the session is made anew.
    assert!(running.shutdown().await);
    let running = house.start(|| house.authenticator()).await;
    log_in().await;
    assert_eq!(house.verified(), 2);

    // All of a sudden, and back only after logins have begun to wait for it.
    drop(running);
    let (_running, ..) = tokio::join!(
        house.start(|| house.authenticator()),
        log_in(),
        log_in(),
        log_in()
    );
    assert_eq!(house.verified(), 3);
    assert_eq!(client.num_connections(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_are_not_good_are_refused_alike() {
    let house = House::new().await;
    let _running = house.start(|| house.authenticator()).await;
    let good = house.sts.identity("checkout").unwrap().credentials();
    let token = good.session_token().map(str::to_owned);
    let with = |id: &str, secret: &str, token| {
        house.client_with(Credentials::new(id, secret, token, None, "test"))
    };
    let (id, secret) = (good.access_key_id(), good.secret_access_key());

    let mut texts = Vec::new();
    for (client, asked) in [
        (with(id, "another secret", token.clone()), 1),
        (with("AKIAIOSFODNN7EXAMPLE", secret, token), 2),
        (with(id, secret, Some("anothertoken".to_owned())), 3),
        (with(id, secret, None), 4),
        // For somebody else: refused before STS is asked.
        (house.client().audience("another.example"), 4),
    ] {
        let error = client.build().unwrap().authenticate().await.unwrap_err();
        assert!(error.is_unauthenticated(), "{error}");
        assert_eq!(error.hop(), Hop::Session);
        assert_eq!(house.verified(), asked, "{error}");
        let request_id = error.request_id().expect("the audit log has it").to_owned();
        texts.push(error.to_string().replace(&request_id, "…"));
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    house
        .client()
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_show_a_certificate_where_one_is_demanded() {
    let house = House::new().await;
    let demanding = || {
        let tls = house.tls().with_client_ca(house.authority.pem().as_bytes());
        house.authenticator().tls(tls.unwrap())
    };
    let _running = house.start(demanding).await;
    let error = house
        .client()
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap_err();
    assert_eq!(error.hop(), Hop::Authenticator);
    assert!(
        error.to_string().contains("client_certificate_files"),
        "{error}"
    );
    assert_eq!(house.verified(), 0);

    let own = house.authority.client("checkout");
    let tls = TlsConfig::new()
        .roots_pem(house.authority.pem())
        .client_certificate_pem(own.certificate_pem, own.key_pem);
    house
        .client()
        .tls(tls)
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap();
}
