//! For `crate::fuzzing`: what Vault answers.

use std::time::Duration;

use reqwest::StatusCode;
use zeroize::Zeroizing;

use super::{
    super::{
        fuzzing::{place, printed},
        https::Answer,
    },
    KvVersion, Reply, api, kv,
    login::granted,
};

/// A secret, printed.
pub fn vault_records(version: KvVersion, answer: &[u8]) -> Result<Vec<String>, String> {
    kv::records(version, answer, &place()?)
        .map(printed)
        .map_err(|unavailable| unavailable.to_string())
}

/// What is mounted.
pub fn mount(answer: &[u8]) -> Result<KvVersion, String> {
    kv::version(answer).map_err(|unavailable| unavailable.to_string())
}

/// For how long a login's token is good, and how long until it is renewed.
pub fn login(answer: &[u8]) -> Result<Option<(Duration, Duration)>, String> {
    let token = granted(answer).map_err(|unavailable| unavailable.to_string())?;
    Ok(token
        .life
        .map(|life| (life.ttl, life.due().duration_since(life.since))))
}

/// What is said of an answer that is not the one that was asked for.
pub fn reply(status: StatusCode, body: &[u8]) -> String {
    let body = Zeroizing::new(body.to_vec());
    match api::reply(Answer { status, body }) {
        Ok(Reply::Good(_)) => String::new(),
        Ok(Reply::Absent(said) | Reply::Denied(said)) => said,
        Err(unavailable) => unavailable.to_string(),
    }
}
