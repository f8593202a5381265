use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::*;
use crate::client::{
    AuthClientBuilder,
    testing::{Behaviour, Server, client},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM form.
fn leaf(authority: &Authority, name: &str, change: fn(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn server_config(leaf: &(String, String), clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(leaf.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(leaf.1.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn trusting(server: &Server, authority: &Authority) -> AuthClientBuilder {
    client(&server.address().to_string()).tls(TlsConfig::new().roots_pem(authority.pem()))
}

async fn failure(builder: AuthClientBuilder) -> Error {
    builder.build().unwrap().authenticate().await.unwrap_err()
}

fn assert_says(error: &Error, words: &[&str]) {
    let shown = error.to_string();
    assert_eq!(error.hop(), Hop::Authenticator, "{shown}");
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing in: {shown}");
    }
}

#[tokio::test]
async fn verifies_the_certificate_against_the_address_that_is_dialled() {
    let ca = authority();
    let good = leaf(&ca, "127.0.0.1", |_| ());
    let server = Server::start_tls(&Behaviour::good(), server_config(&good, None));
    trusting(&server, &ca)
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap();

    let error = failure(trusting(&server, &authority())).await;
    assert_says(&error, &["trusts", "APPROZIUM_CA", "roots_file"]);
    assert!(error.is_configuration());

    let named = client(&format!("localhost:{}", server.address().port()))
        .tls(TlsConfig::new().roots_pem(ca.pem()));
    assert_says(
        &failure(named).await,
        &["not for `localhost` but for", "127.0.0.1"],
    );

    let old = leaf(&ca, "127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let server = Server::start_tls(&Behaviour::good(), server_config(&old, None));
    assert_says(&failure(trusting(&server, &ca)).await, &["expired"]);

    // As `openssl req -x509` makes it, trusted itself.
    let mut own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap();
    let shown = (own.pem(), own.key().serialize_pem());
    let server = Server::start_tls(&Behaviour::good(), server_config(&shown, None));
    let error = failure(trusting(&server, &own)).await;
    assert_says(
        &error,
        &["CA's own certificate (CA:TRUE)", "have that CA sign one"],
    );
    assert!(!error.to_string().contains("OtherError"), "{error}");
}

#[tokio::test]
async fn shows_its_own_certificate_where_one_is_wanted() {
    let ca = authority();
    let good = leaf(&ca, "127.0.0.1", |_| ());
    let server = Server::start_tls(&Behaviour::good(), server_config(&good, Some(&ca)));
    let tls = || TlsConfig::new().roots_pem(ca.pem());

    let error = failure(trusting(&server, &ca)).await;
    assert_says(&error, &["certificate", "client_certificate_files"]);

    let (chain, key) = leaf(&authority(), "stranger", |_| ());
    let stranger = trusting(&server, &ca).tls(tls().client_certificate_pem(chain, key));
    assert_says(
        &failure(stranger).await,
        &["certificate", "client_certificate_files"],
    );

    let (chain, key) = leaf(&ca, "application", |_| ());
    let known = trusting(&server, &ca).tls(tls().client_certificate_pem(chain, key));
    known.build().unwrap().authenticate().await.unwrap();
}

#[tokio::test]
async fn tells_plaintext_from_tls_and_grpc_from_http() {
    let ca = authority();
    let plaintext = Server::start(&Behaviour::good());
    assert_says(
        &failure(trusting(&plaintext, &ca)).await,
        &["does not speak TLS", "http://"],
    );

    let good = leaf(&ca, "127.0.0.1", |_| ());
    let tls = Server::start_tls(&Behaviour::good(), server_config(&good, None));
    assert_says(&failure(tls.client()).await, &["does it expect TLS"]);

    let mut http1 = server_config(&good, None);
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = Server::start_tls(&Behaviour::good(), http1);
    assert_says(
        &failure(trusting(&http1, &ca)).await,
        &["not HTTP/2", "6001"],
    );
}

#[tokio::test]
async fn nothing_there_and_nothing_said() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let error = failure(client(&format!("http://{address}"))).await;
    assert_says(&error, &["nothing listens there", "running"]);
    assert!(error.is_retryable());

    // Accepts, in its backlog, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let tls = TlsConfig::new().roots_pem(authority().pem());
    let hasty = client(&address)
        .tls(tls)
        .connect_timeout(Duration::from_millis(200));
    let error = failure(hasty).await;
    assert_says(&error, &["TLS handshake took more than"]);
    assert!(error.is_timeout());
}

#[tokio::test]
async fn a_failure_to_connect_is_shared_by_all_who_wait() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let tls = TlsConfig::new().roots_pem(authority().pem());
    let client = client(&address)
        .tls(tls)
        .connect_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let began = Instant::now();
    let failures = futures_util::future::join_all((0..50).map(|_| client.authenticate())).await;
    assert!(failures.iter().all(Result::is_err));
    // One after the other they would have taken fifty times as long.
    assert!(began.elapsed() < Duration::from_millis(300) * 25);
}
