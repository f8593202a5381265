//! An Authenticator that behaves as badly as a test asks for.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use futures_util::{Stream, StreamExt, stream};
use tokio::{runtime::Runtime, time::Instant};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{AuthClient, AuthClientBuilder, Target};
use crate::proto::v2::{
    self, authenticate_request::Message as Ask, authenticate_response::Message as Answer,
    authenticator_server::AuthenticatorServer, create_session_response::Message as SessionAnswer,
};

pub(super) const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";
pub(super) const REQUEST_ID: &str = "7f0c2a51-0000-4000-8000-000000000001";

/// What an Authenticator does next.
pub(super) enum Reply<T> {
    Say(T),
    Fail(Status),
    /// Says nothing and keeps the stream.
    Hang,
    /// Ends the stream in good order.
    End,
}

type Script<In, Out> = Arc<dyn Fn(In) -> Reply<Out> + Send + Sync>;

/// The behaviour, changeable while it runs, and what was seen.
#[derive(Clone)]
pub(super) struct Behaviour(Arc<Inner>);

struct Inner {
    challenge: Mutex<Script<(), v2::SessionChallenge>>,
    proof: Mutex<Script<v2::SessionProof, v2::SessionGrant>>,
    handshake: Mutex<Script<Ask, Answer>>,
    sessions: AtomicUsize,
    seen: Mutex<Vec<Ask>>,
    traces: Mutex<Vec<Option<String>>>,
}

impl Behaviour {
    /// Grants `token-1`, `token-2`, … for a quarter of an hour and accepts every login.
    pub(super) fn good() -> Self {
        Behaviour(Arc::new(Inner {
            challenge: Mutex::new(Arc::new(|()| Reply::Say(challenge()))),
            proof: Mutex::new(Arc::new(|_| Reply::Say(grant()))),
            handshake: Mutex::new(Arc::new(answer)),
            sessions: AtomicUsize::new(0),
            seen: Mutex::default(),
            traces: Mutex::default(),
        }))
    }

    pub(super) fn on_challenge(
        &self,
        script: impl Fn(()) -> Reply<v2::SessionChallenge> + Send + Sync + 'static,
    ) {
        *self.0.challenge.lock().unwrap() = Arc::new(script);
    }

    pub(super) fn on_proof(
        &self,
        script: impl Fn(v2::SessionProof) -> Reply<v2::SessionGrant> + Send + Sync + 'static,
    ) {
        *self.0.proof.lock().unwrap() = Arc::new(script);
    }

    pub(super) fn on_handshake(
        &self,
        script: impl Fn(Ask) -> Reply<Answer> + Send + Sync + 'static,
    ) {
        *self.0.handshake.lock().unwrap() = Arc::new(script);
    }

    /// How many sessions were asked for.
    pub(super) fn sessions(&self) -> usize {
        self.0.sessions.load(Ordering::SeqCst)
    }

    /// Every message of every handshake.
    pub(super) fn seen(&self) -> Vec<Ask> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(super) fn outcomes(&self) -> Vec<v2::outcome::Result> {
        let outcome = |ask| match ask {
            Ask::Outcome(outcome) => outcome.result,
            _ => None,
        };
        self.seen().into_iter().filter_map(outcome).collect()
    }

    /// The `traceparent` of each call.
    pub(super) fn traces(&self) -> Vec<Option<String>> {
        self.0.traces.lock().unwrap().clone()
    }

    fn trace<T>(&self, request: &Request<T>) {
        let value = request.metadata().get("traceparent");
        let value = value.map(|value| value.to_str().unwrap().to_owned());
        self.0.traces.lock().unwrap().push(value);
    }
}

pub(super) fn challenge() -> v2::SessionChallenge {
    v2::SessionChallenge {
        nonce: vec![7; 32],
        server_time: Some(SystemTime::now().into()),
    }
}

pub(super) fn grant() -> v2::SessionGrant {
    v2::SessionGrant {
        session_token: String::new(),
        lifetime: Some(prost_types::Duration {
            seconds: 900,
            nanos: 0,
        }),
        iam_arn: ARN.to_owned(),
        user_id: "AROAEXAMPLE:pod-7f".to_owned(),
        request_id: REQUEST_ID.to_owned(),
    }
}

pub(super) fn client_first(mechanism: &str, message: &[u8]) -> v2::ScramClientFirst {
    v2::ScramClientFirst {
        mechanism: mechanism.to_owned(),
        message: message.to_vec(),
    }
}

/// What a good Authenticator says in a handshake, with made-up cryptography.
pub(super) fn answer(ask: Ask) -> Reply<Answer> {
    Reply::Say(match ask {
        Ask::Start(_) => Answer::Accepted(v2::HandshakeAccepted {
            request_id: REQUEST_ID.to_owned(),
            iam_arn: ARN.to_owned(),
            scram_client_first: vec![
                client_first("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
                client_first("SCRAM-SHA-256", b"y,,n=,r=abc"),
                client_first("SCRAM-SHA-256", b"n,,n=,r=abc"),
            ],
        }),
        Ask::ScramServerFirst(_) => Answer::ScramClientFinal(v2::ScramClientFinal {
            message: b"c=biws,r=abcdef,p=cHJvb2Y=".to_vec(),
            server_signature_sha256: vec![9; 32],
        }),
        Ask::Md5Challenge(_) => Answer::Md5Response(v2::Md5Response {
            password: "md5d576ce99165615bb3f4331154ca6660c".to_owned(),
        }),
        Ask::Outcome(_) => return Reply::End,
    })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v2::authenticator_server::Authenticator for Behaviour {
    type CreateSessionStream = Answers<v2::CreateSessionResponse>;
    type AuthenticateStream = Answers<v2::AuthenticateResponse>;

    async fn create_session(
        &self,
        request: Request<Streaming<v2::CreateSessionRequest>>,
    ) -> Result<Response<Self::CreateSessionStream>, Status> {
        self.trace(&request);
        let number = self.0.sessions.fetch_add(1, Ordering::SeqCst) + 1;
        let behaviour = self.clone();
        let requests = request.into_inner();
        let challenge = self.0.challenge.lock().unwrap().clone();
        let challenge = challenge(());
        let ends = matches!(challenge, Reply::End);
        let first = say(challenge, |challenge| v2::CreateSessionResponse {
            message: Some(SessionAnswer::Challenge(challenge)),
        });
        let second = requests.take(usize::from(!ends)).flat_map(move |request| {
            let Ok(v2::CreateSessionRequest {
                message: Some(v2::create_session_request::Message::Proof(proof)),
            }) = request
            else {
                return say(Reply::Fail(Status::invalid_argument("no proof")), |()| {
                    v2::CreateSessionResponse::default()
                });
            };
            let script = behaviour.0.proof.lock().unwrap().clone();
            say(script(proof), move |mut grant: v2::SessionGrant| {
                if grant.session_token.is_empty() {
                    grant.session_token = format!("token-{number}");
                }
                v2::CreateSessionResponse {
                    message: Some(SessionAnswer::Grant(grant)),
                }
            })
        });
        Ok(Response::new(Box::pin(first.chain(second))))
    }

    async fn authenticate(
        &self,
        request: Request<Streaming<v2::AuthenticateRequest>>,
    ) -> Result<Response<Self::AuthenticateStream>, Status> {
        self.trace(&request);
        let behaviour = self.clone();
        let replies = request.into_inner().map(move |request| {
            let Ok(v2::AuthenticateRequest { message: Some(ask) }) = request else {
                return Reply::End;
            };
            behaviour.0.seen.lock().unwrap().push(ask.clone());
            let script = behaviour.0.handshake.lock().unwrap().clone();
            script(ask)
        });
        let answers = replies
            .take_while(|reply| std::future::ready(!matches!(reply, Reply::End)))
            .flat_map(|reply| {
                say(reply, |answer| v2::AuthenticateResponse {
                    message: Some(answer),
                })
            });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn say<T: Send + 'static, U: Send + 'static>(
    reply: Reply<T>,
    map: impl FnOnce(T) -> U,
) -> Answers<U> {
    match reply {
        Reply::Say(value) => Box::pin(stream::iter([Ok(map(value))])),
        Reply::Fail(status) => Box::pin(stream::iter([Err(status)])),
        Reply::Hang => Box::pin(stream::pending()),
        Reply::End => Box::pin(stream::empty()),
    }
}

/// A status with a request id, as the Authenticator's have.
pub(super) fn status(code: Code, message: &str) -> Status {
    let mut status = Status::new(code, message);
    status
        .metadata_mut()
        .insert("x-approzium-request-id", REQUEST_ID.parse().unwrap());
    status
}

/// A port that was free a moment ago may be that of somebody's connection for another.
fn bound(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            bound => return bound.unwrap(),
        }
    }
}

/// A running Authenticator. Dropped, it is gone with all its connections, as if killed.
pub(super) struct Server {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    pub(super) fn start(behaviour: &Behaviour) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), behaviour, None)
    }

    pub(super) fn start_tls(behaviour: &Behaviour, tls: rustls::ServerConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), behaviour, Some(tls))
    }

    pub(super) fn start_at(
        address: SocketAddr,
        behaviour: &Behaviour,
        tls: Option<rustls::ServerConfig>,
    ) -> Self {
        let listener = bound(address);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let router = tonic::transport::Server::builder()
            .add_service(AuthenticatorServer::new(behaviour.clone()));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let sockets = tokio_stream::wrappers::TcpListenerStream::new(listener);
            match tls {
                None => router.serve_with_incoming(sockets).await,
                Some(config) => {
                    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
                    let streams = sockets.filter_map(move |socket| {
                        let acceptor = acceptor.clone();
                        async move {
                            acceptor
                                .accept(socket.ok()?)
                                .await
                                .ok()
                                .map(Ok::<_, std::io::Error>)
                        }
                    });
                    router.serve_with_incoming(streams).await
                }
            }
        });
        Server {
            address,
            runtime: Some(runtime),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it, over plaintext.
    pub(super) fn client(&self) -> AuthClientBuilder {
        client(&format!("http://{}", self.address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Stands between, and can forget connections without telling anybody.
pub(super) struct Middlebox {
    pub(super) address: SocketAddr,
    forgotten: tokio::sync::watch::Sender<usize>,
}

impl Middlebox {
    pub(super) async fn start(to: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (forgotten, forgets) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut forgets = forgets.clone();
                forgets.mark_unchanged();
                tokio::spawn(async move {
                    let mut there = tokio::net::TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        Ok(()) = forgets.changed() => {
                            // Open on both sides, and nothing passes.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Middlebox { address, forgotten }
    }

    pub(super) fn forget_connections(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

/// A client with credentials of its own.
pub(super) fn client(address: &str) -> AuthClientBuilder {
    let keys = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "a secret of the tests", None);
    AuthClient::builder(address)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .region("eu-central-1")
        .attribution(false)
}

pub(super) fn target() -> Target {
    Target {
        host: "db.example".to_owned(),
        port: 5432,
        user: "app".to_owned(),
        database: "shop".to_owned(),
        after_refusal: false,
    }
}

/// Long after every test has ended well.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Waits until it is so.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
