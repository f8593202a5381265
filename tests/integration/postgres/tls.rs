//! What `sslmode` lets through.

use std::sync::Arc;

use approzium::Hop;
use approzium_peers::{Authority, Certificate, Postgres, peer};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

use super::{Authenticator, PASSWORD, connect, prepared, who};

#[tokio::test(flavor = "multi_thread")]
async fn names_and_authorities_are_verified_as_far_as_asked() {
    let authority = Authority::default();
    let certificate = authority.server(&["db.internal"]);
    let server = peer!(prepared(
        Postgres::builder()
            .version(15)
            .certificate(authority, certificate)
    ));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::default()
        .write(folder.path().join("other.pem"))
        .unwrap();
    let (own, other) = (
        server.ca_path().display().to_string(),
        other.display().to_string(),
    );

    for (host, more, refusal) in [
        ("db.internal", format!("sslrootcert={own}"), None),
        (
            "localhost",
            format!("sslrootcert={own}"),
            Some("not for localhost"),
        ),
        (
            "127.0.0.1",
            format!("sslrootcert={own}"),
            Some("not for 127.0.0.1"),
        ),
        (
            "localhost",
            format!("sslmode=verify-ca sslrootcert={own}"),
            None,
        ),
        (
            "localhost",
            format!("sslmode=verify-ca sslrootcert={other}"),
            Some("authority"),
        ),
        (
            "localhost",
            format!("sslmode=require sslrootcert={other}"),
            Some("authority"),
        ),
        (
            "localhost",
            format!("sslmode=prefer sslrootcert={other}"),
            Some("authority"),
        ),
        ("localhost", "sslmode=require".into(), None),
        ("localhost", "sslmode=prefer".into(), None),
        (
            "db.internal",
            "sslmode=verify-full sslrootcert=system".into(),
            Some("authority"),
        ),
        (
            "db.internal",
            "sslmode=verify-full sslrootcert=/no/such".into(),
            Some("sslrootcert"),
        ),
    ] {
        let text = format!(
            "host={host} hostaddr=127.0.0.1 port={} user=app dbname=postgres {more}",
            server.port()
        );
        match (connect(&authenticator, &text).await, refusal) {
            (Ok(client), None) => assert!(who(&client).await.1, "{text}"),
            (Err(error), Some(reason)) => {
                assert!(error.to_string().contains(reason), "{text}: {error}");
            }
            (result, _) => panic!("{text}: {result:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_its_own_authority_can_be_named() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    let certificate = Certificate {
        certificate_pem: own.pem(),
        key_pem: key.serialize_pem(),
        certificate_der: own.der().to_vec(),
    };
    let server = peer!(prepared(
        Postgres::builder()
            .version(15)
            .certificate(Authority::default(), certificate)
    ));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    std::fs::write(&path, own.pem()).unwrap();
    for (host, works) in [("localhost", true), ("127.0.0.1", false)] {
        let text = format!(
            "host={host} port={} user=app dbname=postgres channel_binding=require sslrootcert='{}'",
            server.port(),
            path.display()
        );
        let result = connect(&authenticator, &text).await;
        assert_eq!(result.is_ok(), works, "{result:?}");
    }
    // PostgreSQL's manual makes them so: whoever names another authority hears what it is.
    let other = Authority::default().write(folder.path().join("ca.pem"));
    let text = format!(
        "host=localhost port={} user=app dbname=postgres sslrootcert='{}'",
        server.port(),
        other.unwrap().display()
    );
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert_eq!(error.hop(), Hop::DatabaseConnection, "{error}");
    let said = error.to_string();
    assert!(said.contains("is a CA's own certificate"), "{said}");
    assert!(said.contains("names that very one"), "{said}");
}

/// Another protocol's server with a good certificate, or a PostgreSQL behind something that
/// terminates TLS.
#[tokio::test(flavor = "multi_thread")]
async fn direct_tls_is_agreed_on_by_name() {
    let authority = Authority::default();
    let certificate = authority.localhost();
    let folder = tempfile::tempdir().unwrap();
    let own = authority.write(folder.path().join("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.certificate_der.into()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            // The first byte would be that of a StartupMessage.
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        }
    });
    let authenticator = Authenticator::start().await;
    authenticator.record(port, "app", PASSWORD);
    let text = format!(
        "host=127.0.0.1 port={port} user=app sslnegotiation=direct sslrootcert='{}'",
        own.display()
    );
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.to_string().contains("ALPN"), "{error}");
    assert!(!error.is_retryable());
    server.abort();
    assert!(!server.await.is_err_and(|ended| ended.is_panic()));
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_for_those_who_accept_it() {
    let server = peer!(prepared(Postgres::builder().version(15).without_tls()));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let text = |more: &str| {
        format!(
            "host=localhost port={} user=app dbname=postgres {more}",
            server.port()
        )
    };
    for mode in ["disable", "prefer"] {
        let client = connect(&authenticator, &text(&format!("sslmode={mode}")))
            .await
            .unwrap();
        assert!(!who(&client).await.1);
    }
    for mode in ["require", "verify-full"] {
        let error = connect(&authenticator, &text(&format!("sslmode={mode}")))
            .await
            .unwrap_err();
        assert_eq!(error.hop(), Hop::DatabaseConnection);
        assert!(error.to_string().contains("has no TLS"), "{error}");
    }
    let bound = text("sslmode=prefer channel_binding=require");
    let error = connect(&authenticator, &bound).await.unwrap_err();
    assert!(
        error.is_policy() && error.to_string().contains("needs TLS"),
        "{error}"
    );
}
