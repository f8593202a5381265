//! For `crate::fuzzing`: records as they stand in files and in answers, printed.

use std::sync::Arc;

use super::{
    Record, RecordKey,
    parse::{Users, records},
    place::Place,
};
pub use super::{
    aws::fuzzing::aws_secret,
    vault::fuzzing::{login, mount, reply, vault_records},
};

/// A local file.
pub fn yaml_records(yaml: &[u8]) -> Result<Vec<String>, String> {
    records(yaml).map(printed)
}

/// A secrets manager's document.
pub fn json_records(json: &[u8]) -> Result<Vec<String>, String> {
    let users: Users =
        serde_json::from_slice(json).map_err(|error| super::parse::not_json(&error))?;
    users.records(&place()?).map(printed)
}

pub(super) fn place() -> Result<Place, String> {
    Place::of(&RecordKey::new("db.internal", 5432, "shop")).ok_or_else(|| "no place".to_owned())
}

pub(super) fn printed(records: Vec<Arc<Record>>) -> Vec<String> {
    let printed = records.iter().map(|record| format!("{record:#?}"));
    printed.collect()
}
