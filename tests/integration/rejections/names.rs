//! The names that an Authenticator answers to where none are configured.

use approzium::{AuthClient, TlsConfig, client::AuthClientBuilder};
use aws_credential_types::provider::SharedCredentialsProvider;

use super::{House, Log, dev_sts, server_tls};

#[tokio::test]
async fn the_names_of_the_certificate_are_answered_to_as_they_are_dialled() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let longest = format!("{0}.{0}.{0}.Example", "x".repeat(60));
    let names = [
        "LocalHost",
        "Authenticator.Example",
        "*.Wild.Example",
        &longest,
        "127.0.0.1",
        "::1",
    ];
    let house = House::start_with(sts.verifier(), "", |builder, own| {
        builder.tls(server_tls(own, &names))
    })
    .await;
    let port = house.running.grpc_addr().port();
    let credentials = sts.identity("checkout").unwrap().credentials();
    let client = |host: &str| -> AuthClientBuilder {
        AuthClient::builder(format!("{host}:{port}"))
            .tls(TlsConfig::new().roots_pem(house.authority.pem()))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .region("eu-central-1")
            .attribution(false)
    };

    for dialled in ["localhost", "LOCALHOST", "LocalHost", "127.0.0.1"] {
        let session = client(dialled).build().unwrap().authenticate().await;
        session.unwrap_or_else(|error| panic!("{dialled}: {error}"));
    }
    for (audience, taken) in [
        ("authenticator.example", true),
        ("::1", true),
        ("127.0.0.1", true),
        // Any name would do for a wildcard, and so no name is known by it.
        ("a.wild.example", false),
        ("wild.example", false),
        ("another.example", false),
        ("127.0.0.2", false),
    ] {
        let client = client("localhost").audience(audience).build().unwrap();
        let session = client.authenticate().await;
        assert_eq!(session.is_ok(), taken, "{audience}: {session:?}");
        if let Err(error) = session {
            let id = error.request_id().unwrap();
            assert_eq!(log.reason(id, "denied").await, "audience_mismatch");
        }
    }
}

#[tokio::test]
async fn configured_names_are_the_only_ones() {
    let sts = dev_sts().await;
    let house = House::start_with(sts.verifier(), "", |builder, _| {
        builder.audiences(["authenticator.internal"])
    })
    .await;
    let credentials = sts.identity("checkout").unwrap().credentials();
    let client = AuthClient::builder(house.address())
        .tls(TlsConfig::new().roots_pem(house.authority.pem()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .attribution(false);
    let error = client.clone().build().unwrap().authenticate().await;
    assert!(error.unwrap_err().is_unauthenticated());
    let named = client.audience("authenticator.internal").build().unwrap();
    named.authenticate().await.unwrap();
}
