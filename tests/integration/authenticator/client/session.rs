//! A session: the challenge, and the proof that answers it.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use approzium::identity::aws::Signer;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::v2::{
    self, CreateSessionRequest, CreateSessionResponse, create_session_request,
    create_session_response, session_proof,
};
use crate::authenticator::process::Dev;

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

/// The keys of one profile of the credentials file.
pub(crate) fn credentials(dev: &Dev, profile: &str) -> Credentials {
    credentials_in(
        Path::new(dev.variable("AWS_SHARED_CREDENTIALS_FILE")),
        profile,
    )
}

/// Those of a file.
pub(crate) fn credentials_in(file: &Path, profile: &str) -> Credentials {
    let text = std::fs::read_to_string(file).unwrap();
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
