use std::time::{Duration, SystemTime};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};

use super::*;
use crate::identity::{
    Rejection,
    aws::{Audiences, AwsProof, CheckedProof, Signer, Skew, Verifier},
};

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

async fn start() -> DevSts {
    DevSts::start(LOOPBACK.into()).await.unwrap()
}

/// A signed request, to be spoilt.
struct Request {
    headers: Vec<(String, String)>,
    body: String,
    path: &'static str,
}

impl Request {
    fn signed(sts: &DevSts, keys: &Credentials, body: &str, at: SystemTime) -> Self {
        Request::signed_for(sts, keys, body, at, "sts")
    }

    fn signed_for(
        sts: &DevSts,
        keys: &Credentials,
        body: &str,
        at: SystemTime,
        service: &str,
    ) -> Self {
        let identity = keys.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name(service)
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let request = SignableRequest::new(
            "POST",
            format!("{}/", sts.endpoint()),
            [form, ("x-spaced", "a  b")].into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut headers: Vec<(String, String)> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.push((form.0.into(), form.1.into()));
        headers.push(("x-spaced".into(), "a  b".into()));
        Request {
            headers,
            body: body.to_owned(),
            path: "/",
        }
    }

    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(known, _)| known == name);
        &mut found.unwrap().1
    }

    async fn send(self, sts: &DevSts) -> (u16, String) {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(approzium_peers::certificates::client_configuration(&[]))
            .no_proxy()
            .build()
            .unwrap();
        let mut request = client
            .post(format!("{}{}", sts.endpoint(), self.path))
            .body(self.body);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

fn keys_of(sts: &DevSts, name: &str) -> Credentials {
    sts.identity(name).unwrap().credentials()
}

#[tokio::test]
async fn knows_its_identities() {
    let sts = start().await;
    for identity in sts.identities() {
        let request = Request::signed(&sts, &identity.credentials(), WHO, SystemTime::now());
        let (status, body) = request.send(&sts).await;
        assert_eq!(status, 200, "{body}");
        assert!(
            body.contains(&format!("<Arn>{}</Arn>", identity.arn())),
            "{body}"
        );
        assert_eq!(identity.principal().account(), "000000000000");
    }
    assert!(sts.identities().len() >= 2);
}

#[tokio::test]
async fn refuses_as_sts_does() {
    let sts = start().await;
    let keys = keys_of(&sts, "checkout");
    let with = |secret: &str, token: Option<&str>| {
        let token = token.map(str::to_owned);
        Credentials::new(keys.access_key_id(), secret, token, None, "test")
    };
    let (secret, token) = (keys.secret_access_key(), keys.session_token());
    let unknown = Credentials::new("ASIAAAAAAAAAAAAAAAAA", secret, None, None, "test");
    let now = SystemTime::now();
    let past = now - Duration::from_secs(6 * 60);
    let future = now + Duration::from_secs(6 * 60);

    let who = |keys: &Credentials, at| Request::signed(&sts, keys, WHO, at);
    let spoilt = |spoil: fn(&mut Request)| {
        let mut request = who(&keys, now);
        spoil(&mut request);
        request
    };
    for (name, request, status, code) in [
        (
            "wrong secret",
            who(&with("x", token), now),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "wrong token",
            who(&with(secret, Some("x")), now),
            403,
            "InvalidClientTokenId",
        ),
        (
            "no token",
            who(&with(secret, None), now),
            403,
            "InvalidClientTokenId",
        ),
        (
            "unknown key",
            who(&unknown, now),
            403,
            "InvalidClientTokenId",
        ),
        ("past", who(&keys, past), 403, "SignatureDoesNotMatch"),
        ("future", who(&keys, future), 403, "SignatureDoesNotMatch"),
        (
            "another service",
            Request::signed_for(&sts, &keys, WHO, now, "iam"),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "another body",
            spoilt(|request| request.body.push_str("&x=y")),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "another signed header",
            spoilt(|request| *request.header("x-spaced") = "b".into()),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "another region",
            spoilt(|request| {
                let header = request.header("authorization");
                *header = header.replace("eu-central-1", "us-east-1");
            }),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "unsigned x-amz- header",
            spoilt(|request| request.headers.push(("x-amz-extra".into(), "1".into()))),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "no host signed",
            spoilt(|request| {
                let header = request.header("authorization");
                *header = header.replace("host;", "");
            }),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "two signatures",
            spoilt(|request| request.header("authorization").push_str(", Signature=0")),
            400,
            "IncompleteSignature",
        ),
        (
            "another algorithm",
            spoilt(|request| {
                let header = request.header("authorization");
                *header = header.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1");
            }),
            400,
            "IncompleteSignature",
        ),
        (
            "no signature",
            spoilt(|request| request.headers.retain(|(name, _)| name != "authorization")),
            403,
            "MissingAuthenticationToken",
        ),
        (
            "query",
            spoilt(|request| request.path = "/?Action=GetCallerIdentity"),
            400,
            "InvalidAction",
        ),
        (
            "another action",
            Request::signed(
                &sts,
                &keys,
                "Action=GetSessionToken&Version=2011-06-15",
                now,
            ),
            400,
            "InvalidAction",
        ),
        (
            "a parameter twice",
            Request::signed(&sts, &keys, &format!("{WHO}&Action=AssumeRole"), now),
            400,
            "ValidationError",
        ),
    ] {
        let (answered, body) = request.send(&sts).await;
        assert_eq!(answered, status, "{name}: {body}");
        assert!(
            body.contains(&format!("<Code>{code}</Code>")),
            "{name}: {body}"
        );
    }
}

#[tokio::test]
async fn only_the_developer_assumes_roles() {
    let sts = start().await;
    let assume = |role: &str, session: &str, seconds: &str| {
        format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::{role}\
             &RoleSessionName={session}&DurationSeconds={seconds}"
        )
    };
    for (caller, role, session, seconds, expected) in [
        (
            "developer",
            "000000000000:role/checkout",
            "pod-7f",
            "900",
            "AssumeRoleResult",
        ),
        (
            "developer",
            "000000000000:role/a/intruder",
            "pod-7f",
            "900",
            "AssumeRoleResult",
        ),
        (
            "intruder",
            "000000000000:role/checkout",
            "pod-7f",
            "900",
            "AccessDenied",
        ),
        (
            "checkout",
            "000000000000:role/checkout",
            "pod-7f",
            "900",
            "AccessDenied",
        ),
        (
            "developer",
            "000000000000:role/other",
            "pod-7f",
            "900",
            "AccessDenied",
        ),
        (
            "developer",
            "123456789012:role/checkout",
            "pod-7f",
            "900",
            "AccessDenied",
        ),
        (
            "developer",
            "000000000000:user/developer",
            "pod-7f",
            "900",
            "AccessDenied",
        ),
        (
            "developer",
            "000000000000:role/checkout",
            "x",
            "900",
            "ValidationError",
        ),
        (
            "developer",
            "000000000000:role/checkout",
            "a%3Cb",
            "900",
            "ValidationError",
        ),
        (
            "developer",
            "000000000000:role/checkout",
            "pod-7f",
            "899",
            "ValidationError",
        ),
        (
            "developer",
            "000000000000:role/checkout",
            "pod-7f",
            "9000000",
            "ValidationError",
        ),
    ] {
        let body = assume(role, session, seconds);
        let request = Request::signed(&sts, &keys_of(&sts, caller), &body, SystemTime::now());
        let (_, answer) = request.send(&sts).await;
        assert!(
            answer.contains(&format!("<{expected}>"))
                || answer.contains(&format!("<Code>{expected}<")),
            "{caller} {body}: {answer}"
        );
    }
}

async fn proof_of(credentials: Credentials) -> AwsProof {
    let signer = Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .build()
        .await
        .unwrap();
    signer
        .sign(&[7; 32], "dev", SystemTime::now())
        .await
        .unwrap()
        .0
}

async fn verify(verifier: &DevVerifier, proof: &AwsProof) -> Result<VerifiedIdentity, Rejection> {
    let now = OffsetDateTime::now_utc();
    let audiences = Audiences::new(["dev", "other"]).unwrap();
    let checked = CheckedProof::parse(proof, &[7; 32], &audiences, now, &Skew::default())?;
    verifier.verify(&checked).await
}

#[tokio::test]
async fn verifies_the_proofs_that_its_keys_sign() {
    let sts = start().await;
    let verifier = sts.verifier();
    for identity in sts.identities() {
        let proof = proof_of(identity.credentials()).await;
        let verified = verify(&verifier, &proof).await.unwrap();
        assert_eq!(verified.arn, identity.arn());
        assert_eq!(verified.user_id, identity.user_id());
    }
    // Another run's keys are not known.
    let other = start().await;
    let proof = proof_of(keys_of(&other, "checkout")).await;
    assert_eq!(verify(&verifier, &proof).await, Err(Rejection::Credentials));
}

#[tokio::test]
async fn refuses_proofs_that_were_changed() {
    type Change = fn(&mut AwsProof);
    let sts = start().await;
    let verifier = sts.verifier();
    let changes: &[(&str, Change, Rejection)] = &[
        (
            "region",
            |p| p.region = "us-east-1".into(),
            Rejection::Signature,
        ),
        (
            "audience",
            |p| p.audience = "other".into(),
            Rejection::Signature,
        ),
        (
            "signature",
            |p| p.signature = "0".repeat(64),
            Rejection::Signature,
        ),
        (
            "token",
            |p| p.security_token.push('x'),
            Rejection::Credentials,
        ),
        (
            "no token",
            |p| p.security_token.clear(),
            Rejection::Credentials,
        ),
        (
            "key",
            |p| p.access_key_id = "ASIAAAAAAAAAAAAAAAAA".into(),
            Rejection::Credentials,
        ),
    ];
    for (name, change, expected) in changes {
        let mut proof = proof_of(keys_of(&sts, "checkout")).await;
        change(&mut proof);
        assert_eq!(
            verify(&verifier, &proof).await.as_ref(),
            Err(expected),
            "{name}"
        );
    }
}

#[tokio::test]
async fn sessions_end() {
    let sts = start().await;
    let over = OffsetDateTime::now_utc() - time::Duration::SECOND;
    let ended = sts
        .directory
        .assume("checkout", "pod-7f", Some(over))
        .unwrap();
    let proof = proof_of(ended.credentials()).await;
    let verdict = verify(&sts.verifier(), &proof).await;
    assert_eq!(verdict, Err(Rejection::Credentials));
    let request = Request::signed(&sts, &ended.credentials(), WHO, SystemTime::now());
    let (_, body) = request.send(&sts).await;
    assert!(body.contains("<Code>ExpiredToken</Code>"), "{body}");
}

#[tokio::test]
async fn answers_on_loopback_only() {
    let error = DevSts::start(([0, 0, 0, 0], 0).into()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_credentials_file_is_its_owner_s_alone_and_never_overwritten() {
    let sts = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    sts.write_credentials_file(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for identity in sts.identities() {
        let keys = identity.credentials();
        assert!(text.contains(&format!("[{}]\n", identity.name())));
        assert!(text.contains(keys.secret_access_key()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = sts.write_credentials_file(&path).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn prints_no_keys() {
    let sts = start().await;
    let shown = format!("{sts:?} {:?}", sts.verifier());
    for identity in sts.identities() {
        let keys = identity.credentials();
        assert!(shown.contains(identity.arn()));
        assert!(!shown.contains(keys.secret_access_key()));
        assert!(
            keys.session_token()
                .is_none_or(|token| !shown.contains(token))
        );
    }
}
