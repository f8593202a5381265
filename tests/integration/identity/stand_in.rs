//! The stand-in STS, as the AWS SDK finds it.

use approzium::authenticator::dev::DevSts;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sts::{Client, Config, config::BehaviorVersion, config::Region};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

#[tokio::test]
async fn the_sdk_learns_who_it_is_and_assumes_roles() {
    let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    for identity in sts.identities() {
        let client = client(&sts, identity.credentials());
        let who = client.get_caller_identity().send().await.unwrap();
        assert_eq!(who.arn(), Some(identity.arn()));
        assert_eq!(who.user_id(), Some(identity.user_id()));
        assert_eq!(who.account(), Some("000000000000"));
    }

    let developer = client(&sts, sts.identity("developer").unwrap().credentials());
    let assumed = developer
        .assume_role()
        .role_arn("arn:aws:iam::000000000000:role/checkout")
        .role_session_name("pod-7f")
        .send()
        .await
        .unwrap();
    let keys = assumed.credentials().unwrap();
    let keys = Credentials::new(
        keys.access_key_id(),
        keys.secret_access_key(),
        Some(keys.session_token().to_owned()),
        Some((*keys.expiration()).try_into().unwrap()),
        "test",
    );
    let who = client(&sts, keys)
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    let arn = "arn:aws:sts::000000000000:assumed-role/checkout/pod-7f";
    assert_eq!(who.arn(), Some(arn));
}

#[tokio::test]
async fn the_sdk_understands_its_refusals() {
    let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let known = sts.identity("checkout").unwrap().credentials();
    let token = known.session_token().map(str::to_owned);
    let wrong = Credentials::new(known.access_key_id(), "wrong", token, None, "test");
    let error = client(&sts, wrong)
        .get_caller_identity()
        .send()
        .await
        .unwrap_err();
    let error = aws_sdk_sts::Error::from(error);
    let code = aws_sdk_sts::error::ProvideErrorMetadata::code(&error);
    assert_eq!(code, Some("SignatureDoesNotMatch"));
}

fn client(sts: &DevSts, credentials: Credentials) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(sts.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .build();
    Client::from_conf(config)
}
