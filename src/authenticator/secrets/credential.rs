//! What a record answers challenges with: a password, or digests that hold none.

mod digests;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use digests::Digests;
pub(super) use digests::{Encoded, Given, ScramList};

use super::{Method, Policy};
use crate::{
    secret::Secret,
    wire::{md5, mysql_native, scram::Keys},
};

/// What a record knows of a database user.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Answers every challenge.
    Password(Arc<Secret>),
    /// Answer what they are of. There is no way back from them to a password.
    Digests(Digests),
}

impl Credential {
    /// Exactly one of the two.
    pub(super) fn new(password: Option<String>, given: Given) -> Result<Self, String> {
        match (password, given.is_nothing()) {
            (Some(password), true) if !password.is_empty() => {
                Ok(Credential::Password(Arc::new(password.into())))
            }
            (Some(_), true) => Err("password must not be empty".into()),
            (None, false) => given.digests().map(Credential::Digests),
            (Some(password), false) => {
                drop(Secret::from(password));
                Err("digests stand in the place of password: a record has one of them".into())
            }
            (None, true) => Err("password or digests of one (scram_sha_256, \
                                 mysql_native_password, caching_sha2_password) must say what \
                                 challenges are answered with"
                .into()),
        }
    }

    pub(crate) fn password(&self) -> Option<&Arc<Secret>> {
        match self {
            Credential::Password(password) => Some(password),
            Credential::Digests(_) => None,
        }
    }

    /// What answers PostgreSQL's MD5.
    pub(crate) fn md5_response(&self, user: &str, salt: [u8; 4]) -> Option<String> {
        let password = self.password()?;
        Some(md5::response(user, password.expose_secret(), salt))
    }

    /// What answers MySQL's `mysql_native_password`.
    pub(crate) fn mysql_native_response(
        &self,
        scramble: &[u8; mysql_native::LENGTH],
    ) -> Option<[u8; mysql_native::LENGTH]> {
        match self {
            Credential::Password(password) => {
                Some(mysql_native::response(password.expose_secret(), scramble))
            }
            Credential::Digests(digests) => {
                let stage1 = digests.mysql_native_password.as_ref()?;
                Some(stage1.response(scramble))
            }
        }
    }

    /// Whether it answers every challenge as another one does.
    pub(super) fn answers_like(&self, other: &Credential) -> bool {
        match (self, other) {
            (Credential::Password(one), Credential::Password(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (Credential::Digests(one), Credential::Digests(other)) => one.answer_like(other),
            _ => false,
        }
    }

    /// A policy that these digests can never meet is a mistake.
    pub(super) fn consistent_with(&self, policy: &Policy) -> Result<(), String> {
        let Credential::Digests(digests) = self else {
            return Ok(());
        };
        for method in &policy.methods {
            if !digests.answer(*method) {
                return Err(format!(
                    "methods: {method} is answered from {}, which the record does not hold",
                    needed_for(*method)
                ));
            }
        }
        let meets = |keys: &Arc<Keys>| {
            let salt = policy.pinned_salt.as_deref().unwrap_or(keys.salt());
            let iterations = policy.pinned_iterations.unwrap_or(keys.iterations());
            keys.fit(salt, iterations)
        };
        if !digests.scram_sha_256.iter().all(meets) {
            return Err("pinned_salt and pinned_iterations are not those of scram_sha_256".into());
        }
        Ok(())
    }
}

/// What a record has to hold.
fn needed_for(method: Method) -> &'static str {
    match method {
        Method::Md5 => "the password itself",
        Method::ScramSha256 | Method::ScramSha256Plus => {
            "scram_sha_256 (and SCRAM is what a record without methods lists)"
        }
        Method::MysqlNativePassword => "the digest mysql_native_password",
        Method::CachingSha2Password => "the digest caching_sha2_password",
    }
}
