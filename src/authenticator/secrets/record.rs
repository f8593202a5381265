//! What is on file for one database user: what challenges are answered with, who may use it, and how.

use std::{collections::BTreeSet, fmt};

use super::Credential;
use crate::identity::{Principal, VerifiedIdentity};

/// The name under which records are filed. Host names compare without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    host: String,
    port: u16,
    user: String,
}

impl RecordKey {
    pub(crate) fn new(host: &str, port: u16, user: &str) -> Self {
        RecordKey {
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
            user: user.to_owned(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: RecordKey,
    pub(crate) credential: Credential,
    pub(crate) principals: Vec<Principal>,
    /// If not empty: the unique ids (`AROA…`, `AIDA…`) that may use it, so that a role deleted and
    /// made again is another one.
    pub(crate) user_ids: Vec<String>,
    pub(crate) policy: Policy,
}

/// Whether an identity may use a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Allowed,
    /// No principal of the record is this identity.
    NotOnRecord,
    /// The name is right, and the unique id is another one's.
    OtherUserId,
}

impl Record {
    pub(crate) fn admits(&self, identity: &VerifiedIdentity) -> Admission {
        if !self
            .principals
            .iter()
            .any(|principal| principal.matches(&identity.principal))
        {
            return Admission::NotOnRecord;
        }
        if self.user_ids.is_empty() || self.user_ids.iter().any(|id| id == identity.unique_id()) {
            Admission::Allowed
        } else {
            Admission::OtherUserId
        }
    }

    /// Whose an answer is, where answers are so many for each: whoever stands on the record. Where that
    /// is a whole account it is the account, in which roles are made in no time.
    pub(crate) fn counted_as(&self, principal: &Principal) -> Principal {
        match self.principals.contains(principal) {
            true => principal.clone(),
            false => principal.whole_account(),
        }
    }

    /// Whether both answer challenges alike: they are one version of a record. What is compared is
    /// the manager's: its time tells a peer nothing.
    pub(crate) fn answers_like(&self, other: &Record) -> bool {
        self.key == other.key && self.credential.answers_like(&other.credential)
    }
}

/// How a record may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) methods: BTreeSet<Method>,
    pub(crate) pinned_salt: Option<Vec<u8>>,
    pub(crate) pinned_iterations: Option<u32>,
    /// `tls-server-end-point` values (RFC 5929) of the databases that this record is meant for.
    pub(crate) pinned_certificates: Vec<Vec<u8>>,
    pub(crate) channel_binding: ChannelBindingPolicy,
}

impl Policy {
    /// Only SCRAM-SHA-256-PLUS will do.
    pub(crate) fn demands_channel_binding(&self) -> bool {
        self.channel_binding == ChannelBindingPolicy::Require
            || !self.pinned_certificates.is_empty()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            methods: [Method::ScramSha256Plus, Method::ScramSha256].into(),
            pinned_salt: None,
            pinned_iterations: None,
            pinned_certificates: Vec::new(),
            channel_binding: ChannelBindingPolicy::Prefer,
        }
    }
}

/// A way of answering a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub(crate) enum Method {
    /// PostgreSQL's MD5: its hash is as good as the password, and its salts are four bytes.
    #[serde(rename = "md5")]
    Md5,
    /// MySQL's, of the v1 API: with what the server keeps, one answer is as good as the password.
    #[serde(rename = "mysql_native_password")]
    MysqlNativePassword,
    /// MySQL's, for which there is no API yet: records can be written for it.
    #[serde(rename = "caching_sha2_password")]
    CachingSha2Password,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-256-plus")]
    ScramSha256Plus,
}

impl Method {
    /// As in `pg_hba.conf` and in records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Method::Md5 => "md5",
            Method::MysqlNativePassword => "mysql_native_password",
            Method::CachingSha2Password => "caching_sha2_password",
            Method::ScramSha256 => "scram-sha-256",
            Method::ScramSha256Plus => "scram-sha-256-plus",
        }
    }

    pub(super) fn is_scram(self) -> bool {
        matches!(self, Method::ScramSha256 | Method::ScramSha256Plus)
    }

    pub(super) fn is_of_mysql(self) -> bool {
        matches!(
            self,
            Method::MysqlNativePassword | Method::CachingSha2Password
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// libpq's `channel_binding`, on the side of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelBindingPolicy {
    #[default]
    Prefer,
    Require,
}

#[cfg(test)]
mod tests {
    use crate::{authenticator::secrets::records, identity::Principal};

    #[test]
    fn who_is_let_in_with_his_whole_account_is_counted_with_it() {
        let yaml = b"- {dbhost: db, dbport: 5432, dbuser: app, password: one,
            iam_arn: 'arn:aws:iam::123456789012:role/team/checkout', iam_accounts: ['123456789012']}";
        let record = records(yaml).unwrap().remove(0);
        let role = |name| Principal::parse(&format!("arn:aws:iam::123456789012:role/{name}"));
        let (checkout, made, again) = (role("checkout"), role("made"), role("again"));
        let counted = |principal: Result<Principal, _>| record.counted_as(&principal.unwrap());
        assert_eq!(counted(checkout.clone()), checkout.unwrap());
        let account = counted(made);
        assert_eq!(account, Principal::parse_account("123456789012").unwrap());
        assert_eq!(counted(again), account);
    }
}
