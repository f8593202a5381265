//! What `sslmode` lets through.

use approzium::Hop;
use approzium_peers::{Authority, Certificate, Postgres, peer};

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
