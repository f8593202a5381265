//! `Authenticate`: one login at one database, one proof.
//!
//! Identity first, then the record, then the challenge. After the proof there is only the client's
//! word on how the login ended; where it brings the database's own signature, the keys are kept.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    Call,
    mechanism::{choose, client_first_messages, method},
    refusal::Refusal,
};
use crate::{
    authenticator::{
        audit::{Decision, Reason},
        keys::Held,
        metrics::{Ending, Phase},
        secrets::{Method, Record, Sign},
        target::{Target, attribution},
        token::Session,
    },
    proto::v2::{
        AuthenticateRequest, AuthenticateResponse, HandshakeAccepted, HandshakeStart, Md5Challenge,
        Md5Response, Outcome, ScramClientFinal, ScramServerFirst,
        authenticate_request::Message as Request, authenticate_response::Message as Answer,
        outcome,
    },
    wire::scram::{ClientFinal, ClientFirst, Limits, NONCE_LENGTH},
};

/// The SQLSTATE of a password that is not, or no longer, the right one.
const INVALID_PASSWORD: &str = "28P01";

type HandshakeCall = Call<AuthenticateRequest, AuthenticateResponse>;

pub(super) async fn run(mut call: Box<HandshakeCall>) {
    let metrics = call.shared.metrics.clone();
    let began = Instant::now();
    metrics.request_began();
    match call.answer().await {
        Ok(answered) => {
            metrics.request_ended(Phase::Handshake, Ending::Ok, began.elapsed());
            metrics.handshake(call.audit.method, Ending::Ok, began.elapsed());
            let span = std::mem::take(&mut call.span);
            span.finish();
            call.outcome(Box::new(answered)).await;
        }
        Err(refusal) => {
            call.refuse(&refusal).await;
            metrics.request_ended(Phase::Handshake, refusal.ending(), began.elapsed());
            metrics.handshake(call.audit.method, refusal.ending(), began.elapsed());
            call.span.fail(refusal.reason().as_str());
        }
    }
    metrics.stream_ended();
}

/// A proof was given.
struct Answered {
    session: Session,
    /// What it was begun with: not the record of the proof, if that changed meanwhile.
    begun_with: Arc<Record>,
    record: Arc<Record>,
    proof: Proof,
}

enum Proof {
    Scram {
        client_final: ClientFinal,
        held: Held,
    },
    Md5,
}

impl HandshakeCall {
    async fn answer(&mut self) -> Result<Answered, Refusal> {
        self.shared.is_seldom_from(&self.peer)?;
        let limits = self.shared.limits.clone();
        let start = match self
            .message(limits.handshake_timeout, Reason::StartTimeout)
            .await?
        {
            Request::Start(start) => start,
            _ => return Err(unexpected("a start")),
        };
        let session = self.identify(&start)?;
        self.shared.is_seldom_for(&session.identity.principal)?;
        let target = Target::parse(&start)?;
        self.audit.attribution = attribution(&start)?;
        self.audit.target = Some(target.clone());
        // The token in it has said whose it is: it is not kept for as long as the client takes.
        let after_refusal = start.after_refusal;
        drop(start);
        let shared = self.shared.clone();
        // What takes long here is the client: what is not waited for then is boxed, so that a call
        // which is open is small.
        let key = target.key();
        let authorized = shared.authorized(&mut self.span, &session.identity, &key);
        let mut record = Box::pin(authorized).await?;
        if after_refusal {
            record = Box::pin(self.anew(&session, record)).await?;
        }
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(|error| Refusal::internal(&error.to_string()))?;
        self.reply(Answer::Accepted(HandshakeAccepted {
            request_id: self.audit.request_id.clone(),
            iam_arn: session.identity.arn.clone(),
            scram_client_first: client_first_messages(&record.policy, nonce),
        }))
        .await?;

        match self
            .message(limits.challenge_timeout, Reason::ChallengeTimeout)
            .await?
        {
            Request::ScramServerFirst(first) => {
                Box::pin(self.scram(first, nonce, session, record)).await
            }
            Request::Md5Challenge(challenge) => {
                Box::pin(self.md5(&challenge, session, record)).await
            }
            Request::Outcome(_) => Err(Refusal::cancelled()),
            _ => Err(unexpected("a challenge")),
        }
    }

    /// The client was refused what another replica may have answered, to which it then said so: this
    /// one has heard of nothing yet.
    async fn anew(&self, session: &Session, record: Arc<Record>) -> Result<Arc<Record>, Refusal> {
        let authorizer = &self.shared.authorizer;
        let reread = authorizer.reread(&session.identity, &record, Sign::Retried);
        match reread.await {
            Some(reread) => Ok(reread?),
            None => Ok(record),
        }
    }

    fn identify(&mut self, start: &HandshakeStart) -> Result<Session, Refusal> {
        let session = self.shared.tokens.verify(
            &start.session_token,
            self.peer.certificate.as_ref(),
            SystemTime::now(),
        )?;
        self.audit.belongs_to(&session);
        self.span.identified(&session.identity.arn);
        self.peer.is_known();
        Ok(session)
    }

    /// By the offer the mechanism is chosen again here: what the client made of it, and sent to the
    /// database, is not asked. If that was another message, the database refuses the `c=`.
    async fn scram(
        &mut self,
        first: ScramServerFirst,
        nonce: [u8; NONCE_LENGTH],
        session: Session,
        begun_with: Arc<Record>,
    ) -> Result<Answered, Refusal> {
        let offer = first.offer.ok_or_else(|| {
            Refusal::invalid(
                "a SCRAM challenge comes with the database's offer",
                Reason::MalformedChallenge,
            )
        })?;
        let (mechanism, channel_binding) = choose(&begun_with.policy, offer)?;
        self.audit.method = Some(method(mechanism));
        let limits = &self.shared.limits;
        let bounds = Limits {
            iterations: limits.min_iterations..=limits.max_iterations,
            ..Limits::default()
        };
        let server_first =
            ClientFirst::new(channel_binding, nonce).server_first(&first.message, &bounds)?;
        let shared = self.shared.clone();
        let (salt, iterations) = (server_first.salt(), server_first.iterations());
        let (record, held) = shared
            .keys_for(
                &mut self.span,
                &session.identity,
                &begun_with,
                salt,
                iterations,
            )
            .await?;
        let client_final = server_first.client_final(&held.keys)?;
        let message = Answer::ScramClientFinal(ScramClientFinal {
            message: client_final.message().to_vec(),
            server_signature_sha256: client_final.server_signature_digest().to_vec(),
        });
        let answer = AuthenticateResponse {
            message: Some(message),
        };
        self.allow(answer, Reason::ScramAnswered, Some(mechanism.as_str()))
            .await?;
        Ok(Answered {
            session,
            begun_with,
            record,
            proof: Proof::Scram { client_final, held },
        })
    }

    async fn md5(
        &mut self,
        challenge: &Md5Challenge,
        session: Session,
        begun_with: Arc<Record>,
    ) -> Result<Answered, Refusal> {
        self.audit.method = Some(Method::Md5);
        let authorizer = &self.shared.authorizer;
        let record = authorizer.still(&session.identity, &begun_with.key).await?;
        let salt: [u8; 4] = challenge.salt.as_slice().try_into().map_err(|_| {
            Refusal::invalid("an MD5 salt has four bytes", Reason::MalformedChallenge)
        })?;
        let principal = &session.identity.principal;
        let user = record.key.user();
        let password = self
            .shared
            .seldom(&record, Method::Md5, principal, |credential| {
                credential.md5_response(user, salt)
            })?;
        let message = Answer::Md5Response(Md5Response { password });
        let answer = AuthenticateResponse {
            message: Some(message),
        };
        self.allow(answer, Reason::Md5Answered, None).await?;
        Ok(Answered {
            session,
            begun_with,
            record,
            proof: Proof::Md5,
        })
    }

    /// How the login ended, by the client's word.
    async fn outcome(&mut self, answered: Box<Answered>) {
        let within = self.shared.limits.challenge_timeout;
        let result = match self.message(within, Reason::LoginUnknown).await {
            Ok(Request::Outcome(Outcome { result })) => result,
            Ok(_) => {
                // One proof a stream: whoever asks for another is told, and the login stays open.
                self.refuse(&unexpected("the outcome")).await;
                return;
            }
            Err(_) => None,
        };
        let (reason, detail) = match result {
            None => (Reason::LoginUnknown, None),
            Some(outcome::Result::Cancelled(_)) => (Reason::LoginCancelled, None),
            Some(outcome::Result::Succeeded(succeeded)) => {
                (self.confirm(&answered, &succeeded.server_signature), None)
            }
            Some(outcome::Result::Refused(refused)) => {
                let sqlstate = sqlstate(refused.sqlstate);
                if sqlstate.as_deref() == Some(INVALID_PASSWORD) {
                    Box::pin(self.read_again(&answered)).await;
                }
                (Reason::LoginRefused, sqlstate)
            }
        };
        self.audit
            .decide(
                &self.shared.metrics,
                Decision::Outcome,
                reason,
                detail.as_deref(),
            )
            .await;
    }

    fn confirm(&self, answered: &Answered, server_signature: &[u8]) -> Reason {
        let Proof::Scram {
            client_final, held, ..
        } = &answered.proof
        else {
            return Reason::LoginReported;
        };
        if !client_final.server_signature().matches(server_signature) {
            return Reason::LoginUnproved;
        }
        self.shared.keys.confirm(&answered.record, held);
        Reason::LoginVerified
    }

    /// The record's password is not the database's: somebody rotated it, perhaps.
    async fn read_again(&self, answered: &Answered) {
        if self.was_challenged_before(answered) {
            return;
        }
        let identity = &answered.session.identity;
        let authorizer = &self.shared.authorizer;
        let reread = authorizer.reread(identity, &answered.record, Sign::Refused);
        if let Some(Err(refused)) = reread.await {
            ::tracing::warn!(?refused, "reading a record again failed");
        }
    }

    /// Whether the database may have made its challenge before it was given the password of the
    /// record that the proof is of. In each rotation some logins are under way, and what they are
    /// refused is the old password: that is no sign against the new one.
    fn was_challenged_before(&self, answered: &Answered) -> bool {
        let Answered {
            begun_with, record, ..
        } = answered;
        let asked_for_another = match &answered.proof {
            Proof::Scram { held, .. } => self.shared.keys.asked_for_another(record, held),
            Proof::Md5 => false,
        };
        asked_for_another || !begun_with.answers_like(record)
    }

    async fn message(
        &mut self,
        within: std::time::Duration,
        late: Reason,
    ) -> Result<Request, Refusal> {
        self.next(within, late)
            .await?
            .ok_or_else(Refusal::client_gone)?
            .message
            .ok_or_else(|| Refusal::invalid("an empty message", Reason::MalformedMessage))
    }

    async fn reply(&mut self, message: Answer) -> Result<(), Refusal> {
        self.send(AuthenticateResponse {
            message: Some(message),
        })
        .await
    }
}

fn unexpected(expected: &str) -> Refusal {
    Refusal::invalid(
        format!("{expected} was expected"),
        Reason::UnexpectedMessage,
    )
}

/// Five capital letters and digits, or nothing.
fn sqlstate(text: String) -> Option<String> {
    let well_formed = text.len() == 5
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    well_formed.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_is_five_capital_letters_and_digits() {
        for (text, good) in [
            ("28P01", true),
            ("00000", true),
            ("28p01", false),
            ("28P0", false),
            ("28P01\n", false),
            ("", false),
        ] {
            assert_eq!(sqlstate(text.to_owned()).is_some(), good, "{text:?}");
        }
    }
}
