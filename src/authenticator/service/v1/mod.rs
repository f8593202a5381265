//! The service `approzium.authenticator.protos.Authenticator`, which the original's SDKs call.
//!
//! One request brings a presigned proof and a challenge, one response the answer. The order is that
//! of v2: form, identity, record, answer; and so are bounds, refusals, audit lines and metrics.
//!
//! What v1 cannot have: a proof that is good once, and for this Authenticator alone (see
//! [`replay`](crate::authenticator::replay)); channel binding; a client that cannot play the
//! database, since the server's signature is in the answer; a word on how the login ended.

mod challenge;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::tracing::Instrument as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, metadata::MetadataValue};

use self::challenge::{Asked, Caller, Challenge};
use super::{REQUEST_ID, Shared, begin, refusal::Refusal};
use crate::{
    authenticator::{
        audit::{Audit, Decision, Reason},
        limits::OncePer,
        listener::Peer,
        metrics::{Ending, Phase},
        replay::{ReplayStore, holder, keep_for},
        secrets::{Method, Record, RecordKey, Sign},
    },
    identity::{
        Principal, Rejection, VerifiedIdentity,
        aws::{PresignedLimits, PresignedProof},
    },
    opentelemetry::server::ServerSpan,
    proto::v1::{
        Mysqlsha1HashRequest, Mysqlsha1Response, Pgmd5HashRequest, Pgmd5Response,
        Pgsha256HashRequest, Pgsha256Response, authenticator_server::Authenticator,
    },
    wire::scram::{Limits, ServerFirst},
};

/// What the calls of v1 share, beside what they share with v2's.
pub(crate) struct V1 {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: PresignedLimits,
    pub(crate) proofs: Arc<dyn ReplayStore>,
    /// Of which records a password was answered with lately that no salt belongs to.
    pub(crate) unsalted: OncePer<RecordKey>,
}

impl V1 {
    /// While a record that was read may be given: at the most.
    pub(crate) const LATELY: Duration = Duration::from_secs(60);
}

/// The service.
#[derive(Clone)]
pub(crate) struct V1Service(pub(crate) Arc<V1>);

#[tonic::async_trait]
impl Authenticator for V1Service {
    async fn get_pgmd5_hash(
        &self,
        request: Request<Pgmd5HashRequest>,
    ) -> Result<Response<Pgmd5Response>, Status> {
        self.call(
            "approzium.authenticator.protos.Authenticator/GetPGMD5Hash",
            request,
            |answer, requestid| Pgmd5Response {
                hash: answer.text,
                requestid,
            },
        )
        .await
    }

    async fn get_pgsha256_hash(
        &self,
        request: Request<Pgsha256HashRequest>,
    ) -> Result<Response<Pgsha256Response>, Status> {
        self.call(
            "approzium.authenticator.protos.Authenticator/GetPGSHA256Hash",
            request,
            |answer, requestid| Pgsha256Response {
                cproof: answer.text,
                sproof: answer.server_signature,
                requestid,
            },
        )
        .await
    }

    async fn get_mysqlsha1_hash(
        &self,
        request: Request<Mysqlsha1HashRequest>,
    ) -> Result<Response<Mysqlsha1Response>, Status> {
        self.call(
            "approzium.authenticator.protos.Authenticator/GetMYSQLSHA1Hash",
            request,
            |answer, requestid| Mysqlsha1Response {
                hash: answer.bytes,
                requestid,
            },
        )
        .await
    }
}

/// What is answered; which part of it, the method says.
#[derive(Default)]
struct Answer {
    text: String,
    server_signature: String,
    bytes: Vec<u8>,
}

impl V1Service {
    async fn call<Q: Asked, A>(
        &self,
        name: &'static str,
        request: Request<Q>,
        write: impl FnOnce(Answer, String) -> A,
    ) -> Result<Response<A>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let (peer, place, audit, span) = begin(&self.0.shared, name, &extensions, &metadata)?;
        let request_id = audit.request_id.clone();
        let call = Call {
            v1: self.0.clone(),
            peer,
            audit,
            span,
            _place: place,
        };
        let logged = ::tracing::info_span!("request", %request_id);
        // A task of its own: it is counted and told of even if the client goes away meanwhile.
        let answer = tokio::spawn(call.run(message).instrument(logged))
            .await
            .map_err(|_| Status::internal("internal error"))??;
        let mut response = Response::new(write(answer, request_id.clone()));
        if let Ok(id) = MetadataValue::try_from(&request_id) {
            response.metadata_mut().insert(REQUEST_ID, id);
        }
        Ok(response)
    }
}

/// One call under way.
struct Call {
    v1: Arc<V1>,
    peer: Peer,
    audit: Audit,
    span: ServerSpan,
    _place: OwnedSemaphorePermit,
}

impl Call {
    async fn run(mut self, asked: impl Asked) -> Result<Answer, Status> {
        let metrics = self.v1.shared.metrics.clone();
        let began = Instant::now();
        metrics.request_began();
        let answered = self.answer(asked).await;
        let (ending, result) = match answered {
            Ok((answer, reason)) => {
                self.audit
                    .decide(&metrics, Decision::Allowed, reason, None)
                    .await;
                self.span.finish();
                (Ending::Ok, Ok(answer))
            }
            Err(refusal) => {
                self.audit
                    .decide(
                        &metrics,
                        refusal.decision(),
                        refusal.reason(),
                        refusal.detail(),
                    )
                    .await;
                self.span.fail(refusal.reason().as_str());
                let status = refusal.status(&self.audit.request_id);
                (refusal.ending(), Err(status))
            }
        };
        metrics.request_ended(Phase::HandshakeV1, ending, began.elapsed());
        metrics.handshake(self.audit.method, ending, began.elapsed());
        metrics.stream_ended();
        result
    }

    async fn answer(&mut self, mut asked: impl Asked) -> Result<(Answer, Reason), Refusal> {
        let shared = self.v1.shared.clone();
        shared.is_seldom_from(&self.peer)?;
        let caller = Caller::read(asked.who())?;
        self.audit.client_version = caller.client.to_owned();
        self.audit.target = Some(caller.target.clone());
        let limits = &shared.limits;
        let challenge = asked.challenge(&Limits {
            iterations: limits.min_iterations..=limits.max_iterations,
            ..Limits::default()
        })?;
        self.audit.method = Some(challenge.method());

        let identity = self.identify(&caller).await?;
        shared.is_seldom_for(&identity.principal)?;
        let key = caller.target.key();
        let mut record = shared.authorized(&mut self.span, &identity, &key).await?;
        if !matches!(challenge, Challenge::Scram(_)) {
            record = self.perhaps_anew(&identity, record).await?;
        }
        let principal = &identity.principal;
        match challenge {
            Challenge::Md5(salt) => {
                let response = shared.seldom(&record, Method::Md5, principal, |credential| {
                    credential.md5_response(record.key.user(), salt)
                })?;
                let answer = Answer {
                    text: response.strip_prefix("md5").unwrap_or_default().to_owned(),
                    ..Answer::default()
                };
                Ok((answer, Reason::Md5Answered))
            }
            Challenge::MysqlNative(salt) => {
                let method = Method::MysqlNativePassword;
                let response = shared.seldom(&record, method, principal, |credential| {
                    credential.mysql_native_response(&salt)
                })?;
                let answer = Answer {
                    bytes: response.to_vec(),
                    ..Answer::default()
                };
                Ok((answer, Reason::MysqlNativeAnswered))
            }
            Challenge::Scram(exchange) => self.scram(exchange, &identity, &record).await,
        }
    }

    /// Whose proof it is: verified, as claimed, and brought by who brought it first.
    async fn identify(&mut self, caller: &Caller) -> Result<VerifiedIdentity, Refusal> {
        let v1 = self.v1.clone();
        let shared = &v1.shared;
        let _place = shared.place_of_session(&self.peer)?;
        let proof = PresignedProof::parse(
            &caller.proof.signed_get_caller_identity,
            caller.method,
            shared.verifier.presigned_origin(),
            &v1.limits,
            OffsetDateTime::now_utc(),
        )?;
        let verify = || shared.verifier.verify_presigned(&proof);
        let asked = shared
            .sts_calls
            .ask(proof.region(), (&self.peer).into(), verify);
        let identity = self.span.step("sts", Rejection::reason, asked).await?;
        self.span.identified(&identity.arn);
        self.audit.identity = Some(identity.clone());
        // STS may have taken its time: once a proof is over, nobody can be told to be its first.
        let keep_for = keep_for(proof.remaining(OffsetDateTime::now_utc()));
        let keep_for = keep_for.ok_or(Rejection::Expired)?;
        let claimed = is_claimed(&identity, &caller.proof.claimed_iam_arn);
        shared.metrics.claim(claimed);
        if !claimed {
            return Err(Refusal::identity(Reason::ClaimedArnMismatch));
        }
        let held = v1
            .proofs
            .is_held_by(&proof.digest(), &holder(&self.peer), keep_for)
            .await?;
        if !held {
            return Err(Refusal::identity(Reason::ProofReplayed));
        }
        self.peer.is_known();
        Ok(identity)
    }

    /// v1 has no word for a refused password, and by these methods the database's challenge shows
    /// nothing of a new one: a login that follows another may be its retry.
    async fn perhaps_anew(
        &self,
        identity: &VerifiedIdentity,
        record: Arc<Record>,
    ) -> Result<Arc<Record>, Refusal> {
        if self.v1.unsalted.allow(record.key.clone(), Instant::now()) {
            return Ok(record);
        }
        let authorizer = &self.v1.shared.authorizer;
        match authorizer.reread(identity, &record, Sign::Retried).await {
            Some(reread) => Ok(reread?),
            None => Ok(record),
        }
    }

    /// The client has begun the exchange without channel binding, so a record that demands it is
    /// not for v1.
    async fn scram(
        &mut self,
        exchange: ServerFirst,
        identity: &VerifiedIdentity,
        record: &Record,
    ) -> Result<(Answer, Reason), Refusal> {
        let shared = self.v1.shared.clone();
        let policy = &record.policy;
        if !policy.methods.contains(&Method::ScramSha256) {
            return Err(Refusal::policy(
                "the record does not allow SCRAM-SHA-256",
                Reason::MethodNotOnRecord,
            ));
        }
        if policy.demands_channel_binding() {
            return Err(Refusal::policy(
                "the record demands channel binding, which this API does not have",
                Reason::ChannelBindingImpossible,
            ));
        }
        let (salt, iterations) = (exchange.salt(), exchange.iterations());
        let (_, held) = shared
            .keys_for(&mut self.span, identity, record, salt, iterations)
            .await?;
        let last = exchange.client_final(&held.keys)?;
        let answer = Answer {
            text: last.proof().to_owned(),
            server_signature: BASE64_STANDARD.encode(last.server_signature().expose_secret()),
            ..Answer::default()
        };
        Ok((answer, Reason::ScramAnswered))
    }
}

/// Whether a client knows who it is: by the ARN that STS stated, or by that of the role which it
/// assumed.
fn is_claimed(identity: &VerifiedIdentity, claimed: &str) -> bool {
    claimed == identity.arn
        || Principal::parse(claimed)
            .is_ok_and(|role| role.role_name().is_some() && role.matches(&identity.principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_the_stated_arn_or_that_of_its_role() {
        let checkout = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";
        let ann = "arn:aws:iam::123456789012:user/ann";
        for (verified, claimed, matches) in [
            (checkout, checkout, true),
            (checkout, "arn:aws:iam::123456789012:role/checkout", true),
            (
                checkout,
                "arn:aws:iam::123456789012:role/team/checkout",
                true,
            ),
            (
                checkout,
                "arn:aws:sts::123456789012:assumed-role/checkout/pod-8",
                false,
            ),
            (checkout, "arn:aws:iam::123456789012:role/reporting", false),
            (checkout, "arn:aws:iam::210987654321:role/checkout", false),
            (
                checkout,
                "arn:aws-cn:iam::123456789012:role/checkout",
                false,
            ),
            (checkout, "arn:aws:iam::123456789012:user/checkout", false),
            (checkout, "", false),
            (ann, ann, true),
            (ann, "arn:aws:iam::123456789012:user/bob", false),
        ] {
            let identity = VerifiedIdentity::new(verified, "AROAEXAMPLE:pod-7f").unwrap();
            assert_eq!(
                is_claimed(&identity, claimed),
                matches,
                "{verified} {claimed}"
            );
        }
    }
}
