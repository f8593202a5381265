//! An STS that answers what it should not.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use approzium::identity::aws::{AwsProof, StsVerifier, StsVerifierBuilder};
use approzium_peers::{Authority, Certificate};
use rustls_pki_types::pem::PemObject;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{ask, sign};

const HOST: &str = "sts.us-east-1.amazonaws.com";
const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";

#[tokio::test]
async fn what_sts_is_sent_is_the_one_request() {
    let sts = Sts::answering(answer(200, "text/xml", &document(ARN, "123456789012"))).await;
    let proof = proof().await;
    let identity = ask(&sts.verifier(), &proof).await.unwrap();
    assert_eq!(identity.arn, ARN);

    let requests = sts.requests();
    let [request] = requests.as_slice() else {
        panic!("one proof, one request: {requests:?}");
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST / HTTP/1.1");
    lines.sort_unstable();
    let AwsProof {
        access_key_id,
        amz_date,
        security_token,
        audience,
        signature,
        ..
    } = &proof;
    let date = &amz_date[..8];
    assert_eq!(
        lines,
        [
            "accept: text/xml",
            &format!(
                "authorization: AWS4-HMAC-SHA256 \
                 Credential={access_key_id}/{date}/us-east-1/sts/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;\
                 x-approzium-audience;x-approzium-nonce, Signature={signature}"
            ),
            "content-length: 43",
            "content-type: application/x-www-form-urlencoded; charset=utf-8",
            &format!("host: {HOST}"),
            &format!("x-amz-date: {amz_date}"),
            &format!("x-amz-security-token: {security_token}"),
            &format!("x-approzium-audience: {audience}"),
            &format!("x-approzium-nonce: {}", "5a".repeat(32)),
        ]
    );
    assert_eq!(body, "Action=GetCallerIdentity&Version=2011-06-15");
}

#[tokio::test]
async fn no_other_answer_is_taken_for_an_identity() {
    let good = document(ARN, "123456789012");
    let json = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Arn":"x"}}}"#;
    let huge = format!("{good}{}", " ".repeat(64 * 1024));
    let stand_in = document(
        "arn:aws:sts::000000000000:assumed-role/checkout/dev",
        "000000000000",
    );
    let china = document(&ARN.replace("arn:aws:", "arn:aws-cn:"), "123456789012");
    let throttling = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";
    for (name, answer, reason) in [
        (
            "too long",
            answer(200, "text/xml", &huge),
            "sts_unexpected_answer",
        ),
        (
            "too long, in chunks",
            chunked(&good, 5000),
            "sts_unexpected_answer",
        ),
        (
            "JSON",
            answer(200, "application/json", json),
            "sts_unexpected_answer",
        ),
        (
            "JSON said to be XML",
            answer(200, "text/xml", json),
            "sts_unexpected_answer",
        ),
        (
            "XML said to be JSON",
            answer(200, "application/json", &good),
            "sts_unexpected_answer",
        ),
        (
            "JSON that holds XML",
            answer(200, "text/xml", &format!("{{\"a\":\"{good}\"}}")),
            "sts_unexpected_answer",
        ),
        (
            "XML, then JSON",
            answer(200, "text/xml", &format!("{good}{json}")),
            "sts_unexpected_answer",
        ),
        (
            "two documents",
            answer(200, "text/xml", &format!("{good}{good}")),
            "sts_unexpected_answer",
        ),
        (
            "a comment after it",
            answer(200, "text/xml", &format!("{good}<!-- x -->")),
            "sts_unexpected_answer",
        ),
        ("no type", answer(200, "", &good), "sts_unexpected_answer"),
        (
            "another success",
            answer(201, "text/xml", &good),
            "sts_unexpected_answer",
        ),
        (
            "identity in a refusal",
            answer(403, "text/xml", &good),
            "sts_refused",
        ),
        (
            "stand-in's account",
            answer(200, "text/xml", &stand_in),
            "account_refused",
        ),
        (
            "another partition",
            answer(200, "text/xml", &china),
            "account_refused",
        ),
        (
            "throttling",
            answer(400, "text/xml", throttling),
            "sts_throttled",
        ),
        (
            "throttling, by status",
            answer(429, "text/html", ""),
            "sts_throttled",
        ),
        ("failure", answer(500, "text/html", ""), "sts_unavailable"),
        (
            "maintenance",
            answer(503, "text/html", ""),
            "sts_unavailable",
        ),
        ("no answer", String::new(), "sts_unavailable"),
        ("half an answer", good[..40].to_owned(), "sts_unavailable"),
        (
            "half a body",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{good}"),
            "sts_unavailable",
        ),
    ] {
        let sts = Sts::answering(answer).await;
        let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
        assert_eq!(rejection.reason(), reason, "{name}: {rejection}");
        let throttled = reason == "sts_throttled";
        assert_eq!(rejection.is_throttled(), throttled, "{name}");
        assert_eq!(
            rejection.is_retryable(),
            throttled || reason == "sts_unavailable",
            "{name}"
        );
        assert_eq!(sts.requests().len(), 1, "{name}: asked once, never again");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let authority = Authority::default();
    let certificate = authority.server(&[HOST]);
    let good = answer(200, "text/xml", &document(ARN, "123456789012"));
    let elsewhere = Sts::with_certificate(Behaviour::Answer(good), &authority, &certificate).await;
    let redirect = Behaviour::Answer(redirect(elsewhere.address));
    let sts = Sts::with_certificate(redirect, &authority, &certificate).await;
    let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
    assert_eq!(rejection.reason(), "sts_unexpected_answer");
    assert_eq!((sts.requests().len(), elsewhere.requests().len()), (1, 0));
}

#[tokio::test]
async fn an_sts_that_is_slow_ends_in_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 500\r\n\r\n";
    for (name, behaviour) in [
        ("never answers", Behaviour::Stall(String::new())),
        ("stops after its head", Behaviour::Stall(head.into())),
        ("a byte at a time", Behaviour::Drip(head.into())),
    ] {
        let sts = Sts::start(behaviour).await;
        let verifier = sts
            .builder()
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let proof = proof().await;
        let verdict = ask(&verifier, &proof);
        let verdict = tokio::time::timeout(Duration::from_secs(20), verdict).await;
        let rejection = verdict
            .expect("the deadline is the verifier's own")
            .unwrap_err();
        assert_eq!(rejection.reason(), "sts_unavailable", "{name}: {rejection}");
    }
}

#[tokio::test]
async fn only_the_right_name_from_a_trusted_authority_is_asked() {
    let authority = Authority::default();
    let stranger = Authority::default();
    let good = || Behaviour::Answer(answer(200, "text/xml", &document(ARN, "123456789012")));
    for (name, certificate) in [
        (
            "another name",
            authority.server(&["sts.us-east-2.amazonaws.com"]),
        ),
        (
            "the address that was dialled",
            authority.server(&["127.0.0.1"]),
        ),
        ("another authority", stranger.server(&[HOST])),
    ] {
        let sts = Sts::with_certificate(good(), &authority, &certificate).await;
        let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
        assert_eq!(rejection.reason(), "sts_unavailable", "{name}: {rejection}");
        assert_eq!(
            sts.requests().len(),
            0,
            "{name}: nothing of the proof was sent"
        );
    }
}

#[tokio::test]
async fn calls_at_once_are_bounded() {
    // One call: none other comes, however long it is waited for. Two: the second does come.
    for (bound, wait) in [
        (1, Duration::from_millis(200)),
        (2, Duration::from_secs(20)),
    ] {
        let good = answer(200, "text/xml", &document(ARN, "123456789012"));
        let sts = Sts::start(Behaviour::Together(good, wait)).await;
        let verifier = Arc::new(sts.builder().max_concurrent_calls(bound).build().unwrap());
        let proof = proof().await;
        let calls = (0..4).map(|_| {
            let (verifier, proof) = (Arc::clone(&verifier), proof.clone());
            async move { ask(&*verifier, &proof).await.unwrap() }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(sts.seen.at_once_at_most.load(Ordering::SeqCst), bound);
    }
}

async fn proof() -> AwsProof {
    let keys = aws_credential_types::Credentials::new(
        "ASIAIOSFODNN7EXAMPLE",
        "secret",
        Some("token".into()),
        None,
        "test",
    );
    sign(keys, "us-east-1", SystemTime::now()).await
}

pub(super) fn document(arn: &str, account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AROAX:pod-7f</UserId>\
         <Account>{account}</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    )
}

pub(super) fn answer(status: u16, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: SocketAddr) -> String {
    format!(
        "HTTP/1.1 307 x\r\nlocation: https://{HOST}:{}/\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n",
        to.port()
    )
}

/// A body of the document and then `more` chunks of 16 spaces, without a length.
fn chunked(document: &str, more: usize) -> String {
    format!(
        "HTTP/1.1 200 x\r\ncontent-type: text/xml\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{document}\r\n{}0\r\n\r\n",
        document.len(),
        format!("10\r\n{}\r\n", " ".repeat(16)).repeat(more)
    )
}

pub(super) enum Behaviour {
    /// Answers each request with these bytes, and closes.
    Answer(String),
    /// Begins so, and then does nothing.
    Stall(String),
    /// Begins so, and then sends a space now and then.
    Drip(String),
    /// Answers when a second request is there too, or has not come for so long.
    Together(String, Duration),
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    at_once_at_most: AtomicUsize,
}

pub(super) struct Sts {
    address: SocketAddr,
    authority_der: Vec<u8>,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sts {
    async fn answering(answer: String) -> Self {
        Sts::start(Behaviour::Answer(answer)).await
    }

    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let authority = Authority::default();
        let certificate = authority.server(&[HOST]);
        Sts::with_certificate(behaviour, &authority, &certificate).await
    }

    async fn with_certificate(
        behaviour: Behaviour,
        authority: &Authority,
        certificate: &Certificate,
    ) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes());
        let config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.certificate_der.clone().into()],
                key.unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let behaviour = Arc::new(behaviour);
        let server = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, seen, behaviour) =
                        (acceptor.clone(), Arc::clone(&seen), Arc::clone(&behaviour));
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            behave(&behaviour, stream, &seen).await;
                        }
                    });
                }
            }
        });
        Sts {
            address,
            authority_der: authority.der(),
            seen,
            server,
        }
    }

    pub(super) fn builder(&self) -> StsVerifierBuilder {
        StsVerifier::builder()
            .dial(self.address)
            .add_root_certificate(self.authority_der.clone().into())
    }

    fn verifier(&self) -> StsVerifier {
        self.builder().build().unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn behave(behaviour: &Behaviour, mut stream: TlsStream<TcpStream>, seen: &Seen) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    seen.requests.lock().unwrap().push(request);
    let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    seen.at_once_at_most.fetch_max(at_once, Ordering::SeqCst);
    // A client that is gone is no failure here.
    match behaviour {
        Behaviour::Answer(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Behaviour::Stall(beginning) => {
            let _ = stream.write_all(beginning.as_bytes()).await;
            let _ = stream.read_u8().await;
        }
        Behaviour::Drip(beginning) => {
            let _ = stream.write_all(beginning.as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::Together(answer, wait) => {
            let _ = tokio::time::timeout(*wait, a_second_request(seen)).await;
            seen.at_once.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }
}

async fn a_second_request(seen: &Seen) {
    while seen.at_once_at_most.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Head and body, by its content-length.
async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
