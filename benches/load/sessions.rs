//! Sessions, as many applications would make them.

use std::time::SystemTime;

use approzium::identity::aws::Signer;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{
    CONNECTIONS, SESSIONS,
    process::Server,
    v2::{
        AwsProof, CreateSessionRequest, SessionProof, authenticator_client::AuthenticatorClient,
        create_session_request::Message, create_session_response, session_proof,
    },
};

/// In the making at a time.
const AT_ONCE: usize = 200;

/// The tokens of all of them, made over these connections.
pub(crate) async fn make(server: &Server, channels: &[Channel]) -> Vec<String> {
    let signer = Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(server.credentials()))
        .region("us-east-1")
        .build()
        .await
        .unwrap();
    let signer = &signer;
    stream::iter(0..SESSIONS)
        .map(async |number| session(channels[number % CONNECTIONS].clone(), signer).await)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

pub(crate) async fn session(channel: Channel, signer: &Signer) -> String {
    let (sender, receiver) = mpsc::channel(1);
    let mut client = AuthenticatorClient::new(channel);
    let response = client.create_session(ReceiverStream::new(receiver)).await;
    let mut answers = response.unwrap().into_inner();
    let challenge = answers.message().await.unwrap().unwrap();
    let Some(create_session_response::Message::Challenge(challenge)) = challenge.message else {
        panic!("no challenge");
    };
    let now = SystemTime::now();
    let (proof, _) = signer
        .sign(&challenge.nonce, "127.0.0.1", now)
        .await
        .unwrap();
    let proof = SessionProof {
        proof: Some(session_proof::Proof::Aws(AwsProof {
            access_key_id: proof.access_key_id,
            amz_date: proof.amz_date,
            region: proof.region,
            security_token: proof.security_token,
            audience: proof.audience,
            signature: proof.signature,
        })),
        client_version: "bench/1".to_owned(),
    };
    let message = Some(Message::Proof(proof));
    sender.send(CreateSessionRequest { message }).await.unwrap();
    match answers.message().await.unwrap().unwrap().message {
        Some(create_session_response::Message::Grant(grant)) => grant.session_token,
        other => panic!("{other:?}"),
    }
}
