//! For `crate::fuzzing`: what Secrets Manager answers.

use reqwest::StatusCode;
use zeroize::Zeroizing;

use super::{
    super::{
        fuzzing::{place, printed},
        https::Answer,
    },
    answer::{read, records},
};

/// A secret, printed; none, if it says that there is none.
pub fn aws_secret(status: StatusCode, body: &[u8]) -> Result<Option<Vec<String>>, String> {
    let name = "approzium/db.internal@5432";
    let body = Zeroizing::new(body.to_vec());
    let secret = read(&Answer { status, body }, name);
    let Some(text) = secret.map_err(|(unavailable, _)| unavailable.to_string())? else {
        return Ok(None);
    };
    let records = records(&text, &place()?, name);
    let records = records.map_err(|unavailable| unavailable.to_string())?;
    Ok(Some(printed(records)))
}
