//! A handshake, message by message, with the part of the database.

use approzium::wire::scram::{self, Keys};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::{Status, Streaming, metadata::MetadataMap};

use super::{
    refusal::{Refusal, Told, comparable, request_id},
    v2::{
        self, AuthenticateRequest, AuthenticateResponse, authenticate_request::Message as Request,
        authenticate_response::Message as Answer,
    },
};
use crate::authenticator::process::PASSWORD;

pub(crate) struct Handshake {
    pub(crate) sender: mpsc::Sender<AuthenticateRequest>,
    pub(super) headers: MetadataMap,
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
