//! A client of the protocol that can also do everything wrong.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use approzium::{
    identity::aws::Signer,
    wire::scram::{self, Keys},
};
use approzium_peers::Certificate;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio::{net::TcpSocket, sync::mpsc};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    metadata::{KeyAndValueRef, MetadataMap, MetadataValue},
    transport::Channel,
};

use super::process::{Dev, PASSWORD};

/// The protocol, compiled for the tests.
#[allow(unreachable_pub, unused_qualifications, clippy::all)]
pub(crate) mod v2 {
    tonic::include_proto!("approzium.v2");

    /// What holds a secret is named, no more.
    macro_rules! named {
        ($($message:ty),+) => {$(
            impl std::fmt::Debug for $message {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(stringify!($message))
                }
            }
        )+};
    }
    named!(AwsProof, HandshakeStart, Md5Response, ScramClientFinal);
    named!(SessionGrant, outcome::Succeeded);
}

use v2::{
    AuthenticateRequest, AuthenticateResponse, CreateSessionRequest, CreateSessionResponse,
    authenticate_request::Message as Request, authenticate_response::Message as Answer,
    authenticator_client::AuthenticatorClient, create_session_request, create_session_response,
    session_proof,
};

/// A TLS client that trusts these authorities (PEM).
pub(crate) fn tls(authorities: &[u8]) -> rustls::ClientConfig {
    let authorities: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(authorities)
        .map(|der| der.unwrap().to_vec())
        .collect();
    approzium_peers::certificates::client_configuration(&authorities)
}

/// The same, with a certificate to show.
pub(crate) fn showing(mut tls: rustls::ClientConfig, own: &Certificate) -> rustls::ClientConfig {
    let chain = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = tls.crypto_provider().clone();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![chain], key);
    tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    tls
}

/// A channel by TLS to 127.0.0.1.
pub(crate) async fn channel(
    address: &str,
    tls: rustls::ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    channel_from(Ipv4Addr::UNSPECIFIED, address, tls).await
}

/// As [`channel`], from another address of this machine.
pub(crate) async fn channel_from(
    source: Ipv4Addr,
    address: &str,
    mut tls: rustls::ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let address: SocketAddr = address.parse().unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind((source, 0).into())?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://authenticator");
    endpoint.connect_with_connector(dial).await
}

#[derive(Clone)]
pub(crate) struct Client {
    client: AuthenticatorClient<Channel>,
    traceparent: Option<&'static str>,
}

impl Client {
    pub(crate) async fn connect(dev: &Dev) -> Self {
        let tls = tls(&dev.authority());
        let channel = channel(dev.variable("APPROZIUM_ADDRESS"), tls).await;
        Client::over(channel.unwrap())
    }

    pub(crate) fn over(channel: Channel) -> Self {
        Client {
            client: AuthenticatorClient::new(channel),
            traceparent: None,
        }
    }

    /// The same client, whose calls are part of a trace.
    pub(crate) fn traced(&self, traceparent: &'static str) -> Self {
        Client {
            traceparent: Some(traceparent),
            ..self.clone()
        }
    }

    fn call<T: Send + 'static>(
        &self,
        messages: mpsc::Receiver<T>,
    ) -> tonic::Request<ReceiverStream<T>> {
        let mut request = tonic::Request::new(ReceiverStream::new(messages));
        if let Some(traceparent) = self.traceparent {
            let traceparent = MetadataValue::from_static(traceparent);
            request.metadata_mut().insert("traceparent", traceparent);
        }
        request
    }

    /// Opens a session stream and takes the challenge.
    pub(crate) async fn challenge(&self) -> Result<Challenge, Status> {
        let (sender, receiver) = mpsc::channel(4);
        let mut client = self.client.clone();
        let response = client.create_session(self.call(receiver)).await?;
        let mut answers = response.into_inner();
        let Some(create_session_response::Message::Challenge(challenge)) =
            answers.message().await?.unwrap().message
        else {
            panic!("no challenge");
        };
        Ok(Challenge {
            nonce: challenge.nonce,
            sender,
            answers,
        })
    }

    /// A session for one of the identities of development mode.
    pub(crate) async fn session(&self, signer: &Signer) -> v2::SessionGrant {
        let challenge = self.challenge().await.unwrap();
        let proof = sign(signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        challenge.prove(proof).await.unwrap()
    }

    pub(crate) async fn token(&self, dev: &Dev, profile: &str) -> String {
        self.session(&signer(dev, profile).await)
            .await
            .session_token
    }

    /// Opens a handshake stream and sends the start.
    pub(crate) async fn start(&self, start: v2::HandshakeStart) -> Handshake {
        let handshake = self.silent().await.unwrap();
        handshake.send(Request::Start(start)).await;
        handshake
    }

    /// Opens a handshake stream and says nothing.
    pub(crate) async fn silent(&self) -> Result<Handshake, Status> {
        self.silent_with(MetadataMap::new()).await
    }

    /// As [`silent`](Self::silent), with headers of one's own.
    pub(crate) async fn silent_with(&self, headers: MetadataMap) -> Result<Handshake, Status> {
        let (sender, receiver) = mpsc::channel(8);
        let mut request = self.call(receiver);
        for header in headers.iter() {
            if let KeyAndValueRef::Ascii(name, value) = header {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        let response = self.client.clone().authenticate(request).await?;
        Ok(Handshake {
            sender,
            headers: response.metadata().clone(),
            client_first: Vec::new(),
            answers: response.into_inner(),
        })
    }

    /// As [`start`](Self::start), for a record of these tests; accepted.
    pub(crate) async fn accepted(&self, token: &str, user: &str) -> (Handshake, String) {
        let mut handshake = self.start(start(token, user)).await;
        let accepted = handshake.acceptance().await;
        (handshake, accepted.request_id)
    }
}

pub(crate) struct Challenge {
    pub(crate) nonce: Vec<u8>,
    pub(crate) sender: mpsc::Sender<CreateSessionRequest>,
    pub(crate) answers: Streaming<CreateSessionResponse>,
}

impl Challenge {
    pub(crate) async fn prove(self, proof: v2::AwsProof) -> Result<v2::SessionGrant, Status> {
        self.prove_as("test/1", proof).await
    }

    /// As [`prove`](Self::prove), for a client that says it is of this version.
    pub(crate) async fn prove_as(
        mut self,
        version: &str,
        proof: v2::AwsProof,
    ) -> Result<v2::SessionGrant, Status> {
        let proof = v2::SessionProof {
            proof: Some(session_proof::Proof::Aws(proof)),
            client_version: version.into(),
        };
        let message = Some(create_session_request::Message::Proof(proof));
        self.sender
            .send(CreateSessionRequest { message })
            .await
            .unwrap();
        match self.answers.message().await?.unwrap().message {
            Some(create_session_response::Message::Grant(grant)) => Ok(grant),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Handshake {
    pub(crate) sender: mpsc::Sender<AuthenticateRequest>,
    headers: MetadataMap,
    /// The client-first-messages that were given.
    pub(crate) client_first: Vec<v2::ScramClientFirst>,
    pub(crate) answers: Streaming<AuthenticateResponse>,
}

impl Handshake {
    pub(crate) async fn send(&self, message: Request) {
        let message = Some(message);
        // A stream that ended says why to who reads it.
        self.sender.send(AuthenticateRequest { message }).await.ok();
    }

    pub(crate) async fn acceptance(&mut self) -> v2::HandshakeAccepted {
        let Answer::Accepted(accepted) = self.answer().await.unwrap() else {
            panic!("not accepted");
        };
        self.client_first.clone_from(&accepted.scram_client_first);
        accepted
    }

    pub(crate) async fn answer(&mut self) -> Result<Answer, Status> {
        Ok(self.answers.message().await?.unwrap().message.unwrap())
    }

    pub(crate) async fn ask(&mut self, message: Request) -> Result<Answer, Status> {
        self.send(message).await;
        self.answer().await
    }

    /// Why the stream ends.
    pub(crate) async fn refusal(&mut self) -> Status {
        match self.answers.message().await {
            Err(status) => status,
            Ok(message) => panic!("{message:?}"),
        }
    }

    /// Everything that is said to the end of a stream that is refused.
    pub(crate) async fn told(mut self) -> Told {
        let mut messages = 0;
        let status = loop {
            match self.answers.message().await {
                Ok(Some(_)) => messages += 1,
                Ok(None) => panic!("it ended well"),
                Err(status) => break status,
            }
        };
        Told {
            request_id: request_id(&status),
            headers: comparable(&self.headers),
            messages,
            status: Refusal::from(&status),
        }
    }

    /// The client-first-message-bare: the same in all that were given. Empty, if there are none.
    fn bare(&self) -> String {
        let bares = self.client_first.iter().map(|first| {
            let text = std::str::from_utf8(&first.message).unwrap();
            let (header, bare) = text.split_once(",,").unwrap();
            assert!(!header.contains(','), "{text}");
            bare
        });
        let mut bares: Vec<&str> = bares.collect();
        bares.dedup();
        assert!(bares.len() <= 1, "{bares:?}");
        bares.first().copied().unwrap_or_default().to_owned()
    }

    /// The server-first-message of a database that got one of the client-first-messages.
    pub(crate) fn server_first(&self, salt: &[u8], iterations: u32) -> String {
        let bare = self.bare();
        let nonce = bare.strip_prefix("n=,r=").unwrap_or_default();
        let salt = BASE64_STANDARD.encode(salt);
        format!("r={nonce}theirs,s={salt},i={iterations}")
    }

    /// Plays a whole SCRAM exchange with a database that knows the password.
    pub(crate) async fn scram(
        &mut self,
        offer: v2::ScramOffer,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Vec<u8>, Status> {
        let proved = self.prove(offer, salt, iterations).await?;
        Ok(proved.server_signature)
    }

    /// As [`scram`](Self::scram), with what the proof was bound to.
    pub(crate) async fn prove(
        &mut self,
        offer: v2::ScramOffer,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Proved, Status> {
        let bare = self.bare();
        let server_first = self.server_first(salt, iterations);
        let challenge = challenge(offer, server_first.as_bytes());
        let last = match self.ask(challenge).await? {
            Answer::ScramClientFinal(last) => last,
            other => panic!("{other:?}"),
        };
        let text = String::from_utf8(last.message).unwrap();
        let (without_proof, proof) = text.split_once(",p=").unwrap();
        let (cbind_input, _) = without_proof.split_once(",r=").unwrap();
        let cbind_input = cbind_input.strip_prefix("c=").unwrap();
        let exchange = format!("{bare},{server_first},{without_proof}");

        let keys = Keys::derive(PASSWORD.as_bytes(), salt, iterations);
        let signature = hmac(keys.stored_key(), &exchange);
        let proof = BASE64_STANDARD.decode(proof).unwrap();
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(client_key, keys.client_key(), "the proof is not good");
        let server_signature = hmac(keys.server_key(), &exchange);
        let digest = Sha256::digest(&server_signature);
        assert_eq!(last.server_signature_sha256, digest.as_slice());
        let server_final = format!("v={}", BASE64_STANDARD.encode(&server_signature));
        let verified =
            scram::verify_server_final(server_final.as_bytes(), &last.server_signature_sha256);
        assert_eq!(verified.unwrap(), server_signature);
        Ok(Proved {
            cbind_input: BASE64_STANDARD.decode(cbind_input).unwrap(),
            server_signature,
        })
    }

    pub(crate) async fn outcome(mut self, result: v2::outcome::Result) {
        let outcome = v2::Outcome {
            result: Some(result),
        };
        self.send(Request::Outcome(outcome)).await;
        let end = self.answers.message().await.unwrap();
        assert!(end.is_none(), "{end:?}");
    }
}

/// A proof that a database took.
pub(crate) struct Proved {
    /// The contents of `c=`: gs2 header and channel-binding data.
    pub(crate) cbind_input: Vec<u8>,
    pub(crate) server_signature: Vec<u8>,
}

/// The database's offer and its server-first-message, brought to the Authenticator.
pub(crate) fn challenge(offer: v2::ScramOffer, server_first: &[u8]) -> Request {
    Request::ScramServerFirst(v2::ScramServerFirst {
        message: server_first.to_vec(),
        offer: Some(offer),
    })
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A start that is well-formed.
pub(crate) fn start(token: &str, user: &str) -> v2::HandshakeStart {
    v2::HandshakeStart {
        session_token: token.into(),
        system: v2::DatabaseSystem::Postgresql.into(),
        host: "db.example".into(),
        port: 5432,
        user: user.into(),
        database: "shop".into(),
        ..v2::HandshakeStart::default()
    }
}

/// What a PostgreSQL with TLS offers, seen by a client that can bind.
pub(crate) fn both(hash: &[u8]) -> v2::ScramOffer {
    v2::ScramOffer {
        mechanisms: vec!["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()],
        tls: true,
        tls_server_end_point: hash.to_vec(),
        require_channel_binding: false,
    }
}

/// The keys of one profile of the credentials file.
pub(crate) fn credentials(dev: &Dev, profile: &str) -> Credentials {
    let text = std::fs::read_to_string(dev.variable("AWS_SHARED_CREDENTIALS_FILE")).unwrap();
    let keys: BTreeMap<&str, &str> = text
        .lines()
        .skip_while(|line| *line != format!("[{profile}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    Credentials::new(
        keys["aws_access_key_id"],
        keys["aws_secret_access_key"],
        keys.get("aws_session_token").map(|&token| token.to_owned()),
        None,
        "test",
    )
}

pub(crate) async fn signer(dev: &Dev, profile: &str) -> Signer {
    signer_of(credentials(dev, profile)).await
}

pub(crate) async fn signer_of(credentials: Credentials) -> Signer {
    Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("us-east-1")
        .build()
        .await
        .unwrap()
}

pub(crate) async fn sign(
    signer: &Signer,
    nonce: &[u8],
    audience: &str,
    now: SystemTime,
) -> v2::AwsProof {
    let (proof, _) = signer.sign(nonce, audience, now).await.unwrap();
    v2::AwsProof {
        access_key_id: proof.access_key_id,
        amz_date: proof.amz_date,
        region: proof.region,
        security_token: proof.security_token,
        audience: proof.audience,
        signature: proof.signature,
    }
}

/// The request id that a refusal carries.
pub(crate) fn request_id(status: &Status) -> String {
    let id = status.metadata().get("x-approzium-request-id");
    id.expect("a request id").to_str().unwrap().to_owned()
}

/// What a call that was refused told its caller, from the first byte to the last.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) request_id: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) messages: usize,
    pub(crate) status: Refusal,
}

/// A status in all its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        Refusal {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            trailers: comparable(status.metadata()),
        }
    }
}

/// All metadata, with what differs from call to call cut down to its length.
fn comparable(metadata: &MetadataMap) -> Vec<(String, Vec<u8>)> {
    let headers = metadata.clone().into_headers();
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = match name.as_str() {
                "x-approzium-request-id" | "date" => vec![b'x'; value.len()],
                _ => value.as_bytes().to_vec(),
            };
            (name.to_string(), value)
        })
        .collect();
    all.sort();
    all
}
