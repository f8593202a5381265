//! Who may use which record. Asked only about identities that are verified.

use std::{sync::Arc, time::Instant};

use super::{
    limits::{Limits, OncePer},
    lookups::Lookups,
    metrics::{Ending, Metrics},
    secrets::{
        Admission, Freshness, REREAD_INTERVAL, Record, RecordKey, Secrets, Sign, Unavailable,
    },
};
use crate::identity::VerifiedIdentity;

/// Why nobody is let in. For the audit log; callers cannot tell the first three apart, and neither
/// from them what is no record.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    NoRecord,
    NotOnRecord,
    OtherUserId,
    Unavailable(Unavailable),
    /// It was not looked whether there is a record.
    TooManyLookups,
}

/// Looks records up and compares identities with them.
pub(crate) struct Authorizer {
    secrets: Arc<dyn Secrets>,
    rereads: OncePer<RecordKey>,
    lookups: Lookups,
    metrics: Arc<Metrics>,
}

impl Authorizer {
    pub(crate) fn new(secrets: Arc<dyn Secrets>, metrics: Arc<Metrics>) -> Self {
        Authorizer {
            secrets,
            rereads: OncePer::new(REREAD_INTERVAL),
            lookups: Lookups::new(),
            metrics,
        }
    }

    /// The record by which `identity` may log in: of several of the same name, the first that
    /// admits it.
    pub(crate) async fn authorize(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        limits: &Limits,
    ) -> Result<Arc<Record>, Refused> {
        let per_second = limits.lookups_per_second_per_account;
        if !self.lookups.allow(identity, key, per_second) {
            return Err(Refused::TooManyLookups);
        }
        let began = Instant::now();
        let decided = self
            .secrets
            .records(identity, key, Freshness::Usual)
            .await
            .map_err(Refused::Unavailable)
            .and_then(|records| decide(&records, identity));
        if decided.is_ok() {
            self.lookups.admitted(identity, key);
        }
        let ending = match &decided {
            Ok(_) => Ending::Ok,
            Err(Refused::Unavailable(_)) => Ending::Failed,
            Err(_) => Ending::Denied,
        };
        self.metrics.authorization(ending, began.elapsed());
        decided
    }

    /// As [`authorize`](Self::authorize), once more, for somebody who took his time since: the
    /// record by which he may log in now.
    pub(crate) async fn still(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
    ) -> Result<Arc<Record>, Refused> {
        let records = self.secrets.records(identity, key, Freshness::Usual).await;
        decide(&records.map_err(Refused::Unavailable)?, identity)
    }

    /// As [`authorize`](Self::authorize), from a record that is read again now for a sign against
    /// `record`; `None` if it was read again a moment ago, or already for a database's refusal of
    /// this very version.
    pub(crate) async fn reread(
        &self,
        identity: &VerifiedIdentity,
        record: &Arc<Record>,
        sign: Sign,
    ) -> Option<Result<Arc<Record>, Refused>> {
        let key = &record.key;
        let allow = || self.rereads.allow(key.clone(), Instant::now());
        let is_reread = match sign {
            // Clients can make up salts and retries: what comes too soon is no sign.
            Sign::UnseenSalt | Sign::Retried => allow() && self.secrets.suspect(record, sign),
            // A version is refused once: what comes too soon still counts against it.
            Sign::Refused => self.secrets.suspect(record, sign) && allow(),
        };
        if !is_reread {
            return None;
        }
        ::tracing::info!(dbhost = ?key.host(), dbuser = ?key.user(), "reading a record again");
        let mut records = self.secrets.records(identity, key, Freshness::Reread).await;
        if records.is_err() && sign != Sign::Refused {
            // Then it keeps nobody out: what is kept is good for its time.
            records = self.secrets.records(identity, key, Freshness::Usual).await;
        }
        Some(
            records
                .map_err(Refused::Unavailable)
                .and_then(|records| decide(&records, identity)),
        )
    }
}

fn decide(records: &[Arc<Record>], identity: &VerifiedIdentity) -> Result<Arc<Record>, Refused> {
    let mut refused = Refused::NoRecord;
    for record in records {
        match record.admits(identity) {
            Admission::Allowed => return Ok(record.clone()),
            Admission::OtherUserId => refused = Refused::OtherUserId,
            Admission::NotOnRecord => {
                if matches!(refused, Refused::NoRecord) {
                    refused = Refused::NotOnRecord;
                }
            }
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::records;

    fn identity(account: &str, role: &str, id: &str) -> VerifiedIdentity {
        let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/pod-1");
        VerifiedIdentity::new(&arn, &format!("{id}:pod-1")).unwrap()
    }

    fn two_records() -> Vec<Arc<Record>> {
        records(
            b"
- {dbhost: db, dbport: 5432, dbuser: app, password: one,
   iam_arn: 'arn:aws:iam::123456789012:role/team/checkout', user_ids: [AROAFIRST]}
- {dbhost: db, dbport: 5432, dbuser: app, password: two,
   iam_arns: ['arn:aws:iam::123456789012:role/reporting']}
",
        )
        .unwrap()
    }

    #[test]
    fn the_first_record_that_admits_is_used() {
        let records = two_records();
        let password = |identity| {
            let record = decide(&records, &identity)?;
            let password = record.credential.password().unwrap();
            Ok::<_, Refused>(password.expose_secret().to_owned())
        };
        let checkout = password(identity("123456789012", "checkout", "AROAFIRST"));
        assert_eq!(checkout.unwrap(), b"one");
        let reporting = password(identity("123456789012", "reporting", "AROAANY"));
        assert_eq!(reporting.unwrap(), b"two");
    }

    /// What the file would hold.
    struct Held(Vec<Arc<Record>>);

    #[tonic::async_trait]
    impl Secrets for Held {
        async fn records(
            &self,
            _: &VerifiedIdentity,
            key: &RecordKey,
            _: Freshness,
        ) -> Result<Vec<Arc<Record>>, Unavailable> {
            let records = self.0.iter().filter(|record| record.key == *key);
            Ok(records.cloned().collect())
        }

        async fn ready(&self) -> Result<(), Unavailable> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_is_on_a_record_is_let_in_while_others_of_the_account_name_too_much() {
        let secrets = Arc::new(Held(two_records()));
        let authorizer = Authorizer::new(secrets, Arc::default());
        let limits = Limits {
            lookups_per_second_per_account: 1,
            ..Limits::default()
        };
        let key = RecordKey::new("db", 5432, "app");
        let checkout = identity("123456789012", "checkout", "AROAFIRST");
        let intruder = identity("123456789012", "intruder", "AROAOTHER");
        let authorize = async |identity: &VerifiedIdentity, key: &RecordKey| {
            authorizer.authorize(identity, key, &limits).await
        };
        assert!(authorize(&checkout, &key).await.is_ok());
        let asked = authorize(&intruder, &key).await;
        assert!(matches!(asked, Err(Refused::NotOnRecord)), "{asked:?}");
        for n in 0..10 {
            let guess = RecordKey::new(&format!("guessed-{n}"), 5432, "app");
            authorize(&intruder, &guess).await.unwrap_err();
        }

        authorizer.lookups.forget_what_was_named();
        assert!(authorize(&checkout, &key).await.is_ok());
        // Whom no record admits has no more than the bound, at this place, too.
        let asked = authorize(&intruder, &key).await;
        assert!(matches!(asked, Err(Refused::TooManyLookups)), "{asked:?}");
    }

    #[test]
    fn others_are_refused_and_the_log_can_say_why() {
        let records = two_records();
        assert!(matches!(
            decide(&[], &identity("123456789012", "checkout", "AROAFIRST")),
            Err(Refused::NoRecord)
        ));
        assert!(matches!(
            decide(&records, &identity("210987654321", "checkout", "AROAFIRST")),
            Err(Refused::NotOnRecord)
        ));
        assert!(matches!(
            decide(
                &records,
                &identity("123456789012", "checkout", "AROASECOND")
            ),
            Err(Refused::OtherUserId)
        ));
    }
}
