//! What the calls of both APIs do alike: each step timed, counted and bounded.

use std::{sync::Arc, time::Instant};

use super::{Shared, mechanism::check_pins, refusal::Refusal};
use crate::{
    authenticator::{
        audit::Reason,
        keys::Held,
        secrets::{Credential, Method, Record, RecordKey, Sign},
    },
    identity::{Principal, VerifiedIdentity},
    opentelemetry::server::ServerSpan,
};

impl Shared {
    /// The record by which an identity may log in.
    pub(super) async fn authorized(
        &self,
        span: &mut ServerSpan,
        identity: &VerifiedIdentity,
        key: &RecordKey,
    ) -> Result<Arc<Record>, Refusal> {
        span.step(
            "secret",
            |refusal: &Refusal| refusal.reason().as_str(),
            async {
                let authorized = self.authorizer.authorize(identity, key, &self.limits).await;
                authorized.map_err(Refusal::from)
            },
        )
        .await
    }

    /// The answer by a method of which each one that is collected is worth something: if the record
    /// allows the method, and this identity has not had too many.
    pub(super) fn seldom<A>(
        &self,
        record: &Record,
        method: Method,
        principal: &Principal,
        answer: impl FnOnce(&Credential) -> Option<A>,
    ) -> Result<A, Refusal> {
        let (not_allowed, too_many, reason) = match method {
            Method::MysqlNativePassword => (
                "the record does not allow mysql_native_password",
                "too many mysql_native_password logins",
                Reason::TooManyMysqlNativeAnswers,
            ),
            _ => (
                "the record does not allow MD5",
                "too many MD5 logins",
                Reason::TooManyMd5Answers,
            ),
        };
        let allowed = record.policy.methods.contains(&method);
        let answer = allowed.then(|| answer(&record.credential)).flatten();
        let answer =
            answer.ok_or_else(|| Refusal::policy(not_allowed, Reason::MethodNotOnRecord))?;
        let counted_as = record.counted_as(principal);
        if !self.md5_answers.allow(counted_as, Instant::now()) {
            return Err(Refusal::exhausted(too_many, reason));
        }
        Ok(answer)
    }

    /// The keys for a challenge, if the record is still what the mechanism was chosen by: minutes
    /// may have passed. A salt other than the confirmed one is a sign that the password was
    /// changed: then the record is read again first, and decided on again.
    pub(super) async fn keys_for(
        &self,
        span: &mut ServerSpan,
        identity: &VerifiedIdentity,
        chosen_by: &Record,
        salt: &[u8],
        iterations: u32,
    ) -> Result<(Arc<Record>, Held), Refusal> {
        let mut record = self.authorizer.still(identity, &chosen_by.key).await?;
        if self.keys.looks_rotated(&record, salt, iterations)
            && let Some(reread) = self
                .authorizer
                .reread(identity, &record, Sign::UnseenSalt)
                .await
        {
            record = reread?;
        }
        if record.policy != chosen_by.policy {
            return Err(Refusal::changed());
        }
        check_pins(&record.policy, salt, iterations)?;
        let held = span
            .step(
                "compute",
                |refusal: &Refusal| refusal.reason().as_str(),
                async {
                    let counted_as = record.counted_as(&identity.principal);
                    let keys = self.keys.keys(&record, &counted_as, salt, iterations).await;
                    keys.map_err(Refusal::from)
                },
            )
            .await?;
        Ok((record, held))
    }
}
