//! Logins, with the parts of the application and of its database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use approzium::wire::scram::Keys;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{
    process::{PASSWORD, USER},
    v2::{
        AuthenticateRequest, DatabaseSystem, HandshakeStart, Outcome, ScramOffer, ScramServerFirst,
        authenticate_request::Message as Request, authenticate_response::Message as Answer,
        authenticator_client::AuthenticatorClient, outcome,
    },
};

const SALT: &[u8] = b"sixteen bytes ok";
pub(crate) const ITERATIONS: u32 = 4_096;

/// One of so many answers is verified down to its proof.
const SAMPLE: usize = 100;

/// Connections to one server, and sessions to use on them.
pub(crate) struct Load {
    channels: Vec<Channel>,
    tokens: Arc<Vec<String>>,
    database: Arc<Database>,
    next: Arc<AtomicUsize>,
}

impl Load {
    /// An echo's answers are not looked at.
    pub(crate) fn new(channels: Vec<Channel>, tokens: Arc<Vec<String>>, verify: bool) -> Self {
        Load {
            channels,
            tokens,
            database: Arc::new(Database::new(USER, SALT, verify)),
            next: Arc::default(),
        }
    }

    /// So many logins, `open` of them at a time; how long each had to wait for its proof.
    pub(crate) async fn run(&self, logins: usize, open: usize) -> Vec<Duration> {
        let end = self.next.load(Ordering::Relaxed) + logins;
        let mut tasks = JoinSet::new();
        for _ in 0..open {
            let (channels, tokens) = (self.channels.clone(), Arc::clone(&self.tokens));
            let (database, next) = (Arc::clone(&self.database), Arc::clone(&self.next));
            tasks.spawn(async move {
                let mut waited = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return waited;
                    }
                    let channel = channels[number % channels.len()].clone();
                    let token = tokens[number % tokens.len()].clone();
                    waited.push(log_in(channel, token, &database, number).await);
                }
            });
        }
        let waited = tasks.join_all().await;
        self.next.store(end, Ordering::Relaxed);
        waited.into_iter().flatten().collect()
    }
}

/// What a database knows of one user.
pub(crate) struct Database {
    user: String,
    salt: String,
    keys: Keys,
    verify: bool,
}

impl Database {
    pub(crate) fn new(user: &str, salt: &[u8], verify: bool) -> Self {
        Database {
            user: user.to_owned(),
            salt: BASE64_STANDARD.encode(salt),
            keys: Keys::derive(PASSWORD.as_bytes(), salt, ITERATIONS),
            verify,
        }
    }
}

/// One login to its end; how long its proof took.
pub(crate) async fn log_in(
    channel: Channel,
    token: String,
    database: &Database,
    number: usize,
) -> Duration {
    let begun = Instant::now();
    let (sender, receiver) = mpsc::channel(3);
    let send = |message: Request| {
        let message = Some(message);
        sender.try_send(AuthenticateRequest { message }).unwrap();
    };
    send(Request::Start(HandshakeStart {
        session_token: token,
        system: DatabaseSystem::Postgresql.into(),
        host: "db.example".to_owned(),
        port: 5432,
        user: database.user.clone(),
        database: "shop".to_owned(),
        ..HandshakeStart::default()
    }));
    let mut client = AuthenticatorClient::new(channel);
    let answers = client.authenticate(ReceiverStream::new(receiver)).await;
    let mut answers = answers.unwrap().into_inner();
    let Some(Answer::Accepted(accepted)) = answers.message().await.unwrap().unwrap().message else {
        panic!("not accepted");
    };
    let first = &accepted.scram_client_first.last().unwrap().message;
    let bare = std::str::from_utf8(first)
        .unwrap()
        .strip_prefix("n,,")
        .unwrap();
    let nonce = bare.strip_prefix("n=,r=").unwrap();
    let server_first = format!("r={nonce}theirs,s={},i={ITERATIONS}", database.salt);
    send(Request::ScramServerFirst(ScramServerFirst {
        message: server_first.clone().into(),
        offer: Some(ScramOffer {
            mechanisms: vec!["SCRAM-SHA-256".to_owned()],
            tls: true,
            ..ScramOffer::default()
        }),
    }));
    let answer = answers.message().await.unwrap().unwrap();
    let Some(Answer::ScramClientFinal(last)) = answer.message else {
        panic!("no proof");
    };
    let waited = begun.elapsed();

    let text = String::from_utf8(last.message).unwrap();
    let (without_proof, proof) = text.split_once(",p=").unwrap();
    let exchange = format!("{bare},{server_first},{without_proof}");
    let signature = hmac(database.keys.server_key(), &exchange);
    if database.verify {
        let digest = Sha256::digest(&signature);
        assert_eq!(last.server_signature_sha256, digest.as_slice());
    }
    if database.verify && number.is_multiple_of(SAMPLE) {
        let proof = BASE64_STANDARD.decode(proof).unwrap();
        let mask = hmac(database.keys.stored_key(), &exchange);
        let client_key: Vec<u8> = proof.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(
            client_key,
            database.keys.client_key(),
            "the proof is not good"
        );
    }
    send(Request::Outcome(Outcome {
        result: Some(outcome::Result::Succeeded(outcome::Succeeded {
            server_signature: signature,
        })),
    }));
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
    waited
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
