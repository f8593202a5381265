//! `CreateSession`: a nonce, a proof that signs it, a token.
//!
//! The nonce lives in this stream alone, so it is good once without being stored. The call is open
//! to strangers and costs a question to STS: it is bounded per address and in all, at a time and
//! each second.

use std::time::{Instant, SystemTime};

use time::OffsetDateTime;

use super::{Call, refusal::Refusal};
use crate::{
    authenticator::{
        audit::Reason,
        limits::MAX_PROOF_TIMEOUT,
        metrics::{Ending, Phase},
        token::Session,
    },
    identity::{Rejection, aws::CheckedProof},
    proto::v2::{
        CreateSessionRequest, CreateSessionResponse, SessionChallenge, SessionGrant, SessionProof,
        create_session_request, create_session_response, session_proof,
    },
};

/// Longer version strings are cut.
const MAX_CLIENT_VERSION: usize = 100;

type SessionCall = Call<CreateSessionRequest, CreateSessionResponse>;

pub(super) async fn run(mut call: Box<SessionCall>) {
    let metrics = call.shared.metrics.clone();
    let began = Instant::now();
    metrics.request_began();
    let ending = match call.grant().await {
        Ok(()) => {
            call.span.finish();
            Ending::Ok
        }
        Err(refusal) => {
            call.refuse(&refusal).await;
            call.span.fail(refusal.reason().as_str());
            refusal.ending()
        }
    };
    metrics.request_ended(Phase::Session, ending, began.elapsed());
    metrics.stream_ended();
}

impl SessionCall {
    async fn grant(&mut self) -> Result<(), Refusal> {
        let shared = self.shared.clone();
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| Refusal::internal(&error.to_string()))?;
        self.challenge(&nonce).await?;
        let proof = self.proof().await?;
        let _place = shared.place_of_session(&self.peer)?;

        let checked = match proof.proof {
            Some(session_proof::Proof::Aws(proof)) => CheckedProof::parse(
                &proof,
                &nonce,
                &shared.audiences,
                OffsetDateTime::now_utc(),
                &shared.skew,
            )?,
            None => {
                return Err(Refusal::invalid(
                    "the proof is of no known kind",
                    Reason::MalformedMessage,
                ));
            }
        };
        let verify = || shared.verifier.verify(&checked);
        let asked = shared
            .sts_calls
            .ask(checked.region(), (&self.peer).into(), verify);
        let identity = self.span.step("sts", Rejection::reason, asked).await?;
        self.span.identified(&identity.arn);
        self.peer.is_known();

        let session = Session {
            identity,
            request_id: self.audit.request_id.clone(),
        };
        self.audit.identity = Some(session.identity.clone());
        let now = SystemTime::now();
        let session_token = shared
            .tokens
            .grant(&session, self.peer.certificate.as_ref(), now)
            .ok_or_else(|| Refusal::internal("no session key"))?;
        let grant = SessionGrant {
            session_token,
            lifetime: prost_types::Duration::try_from(shared.tokens.lifetime()).ok(),
            iam_arn: session.identity.arn,
            user_id: session.identity.user_id,
            request_id: session.request_id,
        };
        let granted = CreateSessionResponse {
            message: Some(create_session_response::Message::Grant(grant)),
        };
        self.allow(granted, Reason::SessionGranted, None).await
    }

    async fn challenge(&mut self, nonce: &[u8]) -> Result<(), Refusal> {
        let challenge = SessionChallenge {
            nonce: nonce.to_vec(),
            server_time: Some(SystemTime::now().into()),
        };
        self.send(CreateSessionResponse {
            message: Some(create_session_response::Message::Challenge(challenge)),
        })
        .await
    }

    async fn proof(&mut self) -> Result<SessionProof, Refusal> {
        let within = self.shared.limits.proof_timeout.min(MAX_PROOF_TIMEOUT);
        let message = self
            .next(within, Reason::ProofTimeout)
            .await?
            .ok_or_else(Refusal::client_gone)?
            .message;
        let Some(create_session_request::Message::Proof(proof)) = message else {
            return Err(Refusal::invalid(
                "a proof was expected",
                Reason::UnexpectedMessage,
            ));
        };
        if proof.client_version.chars().any(char::is_control) {
            return Err(Refusal::invalid(
                "the client's version has control characters",
                Reason::MalformedMessage,
            ));
        }
        self.audit.client_version = proof
            .client_version
            .chars()
            .take(MAX_CLIENT_VERSION)
            .collect();
        Ok(proof)
    }
}
