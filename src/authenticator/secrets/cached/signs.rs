//! Which versions of a record there is a sign against, and what is to be asked before they are
//! given again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use super::{Answer, Record, RecordKey};
use crate::{
    authenticator::{
        limits::locked,
        secrets::{Admission, REREAD_INTERVAL, Sign},
    },
    identity::VerifiedIdentity,
};

/// The signs against the records of one database.
#[derive(Default)]
pub(super) struct Signs(Mutex<HashMap<RecordKey, Signed>>);

#[derive(Default)]
struct Signed {
    /// When the record was read again last.
    reread: Option<Instant>,
    suspects: Vec<Suspect>,
}

/// A version, and the questions that were begun when there was a sign against it: answers to these
/// say nothing of it.
struct Suspect {
    record: Arc<Record>,
    refused: Option<u64>,
    /// Of the kinds that a client can make up as it likes.
    hinted: Option<u64>,
}

/// Whether an answer may be given to somebody who wants one of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// It has a version which there is a sign against since it was asked for.
    AskAgain,
    /// The same, and the record was read again a moment ago.
    Withheld,
}

impl Signs {
    /// Whether this sign is the first of its kind against this version.
    pub(super) fn note(&self, record: &Arc<Record>, sign: Sign, begun: u64) -> bool {
        let mut all = locked(&self.0);
        let suspects = &mut all.entry(record.key.clone()).or_default().suspects;
        let known = suspects
            .iter_mut()
            .position(|suspect| suspect.record.answers_like(record));
        let at = known.unwrap_or(suspects.len());
        if known.is_none() {
            suspects.push(Suspect {
                record: record.clone(),
                refused: None,
                hinted: None,
            });
        }
        let Some(suspect) = suspects.get_mut(at) else {
            return false;
        };
        match sign {
            Sign::UnseenSalt | Sign::Retried => {
                suspect.hinted = Some(begun);
                true
            }
            // What its answer said of this version holds: whoever it is told again asks no more.
            Sign::Refused if suspect.refused.is_some() => false,
            Sign::Refused => {
                suspect.refused = Some(begun);
                true
            }
        }
    }

    /// Of a record that does not admit an identity no version is kept from it: it would else learn by
    /// what it is told that there is one.
    pub(super) fn standing(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        answer: &Answer,
    ) -> Standing {
        let all = locked(&self.0);
        let Some(signed) = all.get(key) else {
            return Standing::Good;
        };
        let is_suspect = signed.suspects.iter().any(|suspect| {
            suspect.since() >= Some(answer.question) && answer.gives(&suspect.record, identity)
        });
        if !is_suspect {
            Standing::Good
        } else if signed.was_reread() {
            Standing::Withheld
        } else {
            Standing::AskAgain
        }
    }

    /// What an answer settles. `reread` is the record that it was asked for again for.
    pub(super) fn settle(&self, answer: &Answer, reread: Option<&RecordKey>) {
        let mut all = locked(&self.0);
        if answer.records.is_err() {
            // A salt or a retry is any client's word: that the manager does not answer is no reason to
            // keep all others out.
            for suspect in all.values_mut().flat_map(|signed| &mut signed.suspects) {
                suspect.hinted = None;
            }
        } else if let Some(key) = reread {
            all.entry(key.clone()).or_default().reread = Some(answer.asked);
        }
        all.retain(|_, signed| {
            signed.suspects.retain_mut(|suspect| {
                if answer.records.is_ok() {
                    suspect.hinted = suspect.hinted.filter(|since| *since >= answer.question);
                    let is_gone = !answer.has(&suspect.record);
                    suspect.refused = suspect
                        .refused
                        .filter(|since| *since >= answer.question || !is_gone);
                }
                suspect.since().is_some()
            });
            !signed.suspects.is_empty() || signed.was_reread()
        });
    }
}

impl Signed {
    fn was_reread(&self) -> bool {
        self.reread.is_some_and(|at| at.elapsed() < REREAD_INTERVAL)
    }
}

impl Suspect {
    fn since(&self) -> Option<u64> {
        self.refused.max(self.hinted)
    }
}

impl Answer {
    /// Whether it has this version of a record.
    pub(super) fn has(&self, record: &Record) -> bool {
        let records = self.records.as_deref().unwrap_or_default();
        records.iter().any(|one| one.answers_like(record))
    }

    /// Whether it has this version for this identity.
    fn gives(&self, record: &Record, identity: &VerifiedIdentity) -> bool {
        let records = self.records.as_deref().unwrap_or_default();
        records
            .iter()
            .any(|one| one.admits(identity) == Admission::Allowed && one.answers_like(record))
    }
}
