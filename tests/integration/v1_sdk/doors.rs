//! How an Authenticator with the v1 API is reached: over TLS, in the clear, and with a certificate
//! of the application's own.

use std::path::Path;

use approzium::{
    authenticator::{Authenticator, AuthenticatorBuilder, LocalSecrets, ServerTls, dev::DevSts},
    identity::aws::PresignedLimits,
};
use approzium_peers::{Authority, Certificate};
use serde_json::{Value, json};

use super::Door;
use crate::{
    authenticator::process::{Dev, write_private},
    rejections::dev_sts,
};

/// The variables by which operators let the SDK in.
pub(super) const ON: [(&str, &str); 2] = [
    ("APPROZIUM_V1_API", "true"),
    // What Python's proofs say of themselves.
    ("APPROZIUM_V1_MAX_EXPIRES", "60m"),
];

/// `approzium serve --dev`, over TLS.
pub(super) async fn development(records: &str, variables: &[(&str, &str)]) -> (Door, Dev) {
    let dev = Dev::start_within(records, &[], variables).await;
    let folder = tempfile::tempdir().unwrap();
    // The SDK insists on one, whether anybody asks for it or not.
    let own = Authority::default().client("application");
    let ca = dev.variable("APPROZIUM_CA");
    let names = [
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_STS",
    ];
    let door = Door {
        authenticator: json!({
            "address": dev.variable("APPROZIUM_ADDRESS"),
            "tls": tls(Path::new(ca), &own, folder.path()),
        }),
        environment: names
            .map(|name| (name.to_owned(), dev.variable(name).to_owned()))
            .into(),
        _held: Box::new(folder),
    };
    (door, dev)
}

/// In the clear, as one behind a proxy.
pub(super) async fn in_the_clear(records: &str) -> Door {
    inside(records, |builder, _| (builder.disable_tls(), Value::Null)).await
}

/// Over TLS, where applications show certificates of an authority that the operator names.
pub(super) async fn with_certificates(records: &str) -> Door {
    inside(records, |builder, folder| {
        let authority = Authority::default();
        let ca = authority.write(folder.join("ca.pem")).unwrap();
        let Certificate {
            certificate_pem,
            key_pem,
            ..
        } = authority.localhost();
        let server = ServerTls::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes())
            .and_then(|tls| tls.with_client_ca(authority.pem().as_bytes()))
            .unwrap();
        let own = authority.client("application");
        (builder.tls(server), tls(&ca, &own, folder))
    })
    .await
}

/// In this process: development mode has TLS, and certificates of its own.
async fn inside(
    records: &str,
    reached: impl FnOnce(AuthenticatorBuilder, &Path) -> (AuthenticatorBuilder, Value),
) -> Door {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_private(&path("secrets.yaml"), records);
    let sts: DevSts = dev_sts().await;
    sts.write_credentials_file(&path("credentials")).unwrap();
    let builder = Authenticator::builder()
        .verifier(sts.verifier())
        .secrets(LocalSecrets::open(path("secrets.yaml")).unwrap())
        .v1_api(PresignedLimits {
            max_expires: std::time::Duration::from_secs(60 * 60),
        });
    let (builder, tls) = reached(builder, folder.path());
    let running = builder.start().await.unwrap();
    let credentials = path("credentials").display().to_string();
    let environment = [
        ("AWS_SHARED_CREDENTIALS_FILE", credentials),
        ("AWS_PROFILE", "checkout".into()),
        ("AWS_DEFAULT_REGION", "us-east-1".into()),
        ("AWS_ENDPOINT_URL_STS", sts.endpoint()),
    ];
    Door {
        authenticator: json!({"address": running.grpc_addr().to_string(), "tls": tls}),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        _held: Box::new((running, sts, folder)),
    }
}

/// The SDK's `TLSConfig`.
fn tls(ca: &Path, own: &Certificate, folder: &Path) -> Value {
    let (certificate, key) = own.write(folder, "application").unwrap();
    json!({"trusted_certs": ca, "client_cert": certificate, "client_key": key})
}
