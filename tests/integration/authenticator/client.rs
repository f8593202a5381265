//! A client of the protocol that can also do everything wrong.

mod connection;
mod handshake;
mod refusal;
mod session;

use std::time::SystemTime;

use approzium::identity::aws::Signer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    metadata::{KeyAndValueRef, MetadataMap, MetadataValue},
    transport::Channel,
};

pub(crate) use connection::{channel, channel_from, showing, tls};
pub(crate) use handshake::{Handshake, both, challenge, start};
pub(crate) use refusal::{Refusal, Told, request_id};
pub(crate) use session::{Challenge, credentials, credentials_in, sign, signer, signer_of};

use super::process::Dev;
use v2::{
    authenticate_request::Message as Request, authenticator_client::AuthenticatorClient,
    create_session_response,
};

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
