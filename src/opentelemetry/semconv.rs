//! The conventions' older names, for dashboards that still ask for them.
//!
//! `OTEL_SEMCONV_STABILITY_OPT_IN=database/dup` gives spans both, as the conventions'
//! [migration guide](https://opentelemetry.io/docs/specs/semconv/non-normative/db-migration/)
//! describes it. Metrics have their stable names only.

use std::{env, sync::LazyLock};

use ::opentelemetry::{KeyValue, StringValue, Value};

use super::attributes as key;

const VARIABLE: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";

/// Of 1.24, the last version before the names changed; those of the network are of 1.20.
const OLD_NAMES: [(&str, &str); 7] = [
    (key::DB_SYSTEM_NAME, "db.system"),
    (key::DB_NAMESPACE, "db.name"),
    (key::DB_OPERATION_NAME, "db.operation"),
    (key::DB_COLLECTION_NAME, "db.sql.table"),
    (key::DB_QUERY_TEXT, "db.statement"),
    (key::SERVER_ADDRESS, "net.peer.name"),
    (key::SERVER_PORT, "net.peer.port"),
];

/// Whether spans are to have the old names besides: read once.
pub(super) fn wants_old_names() -> bool {
    static WANTED: LazyLock<bool> =
        LazyLock::new(|| env::var(VARIABLE).is_ok_and(|value| opts_in(&value)));
    *WANTED
}

/// Of the list's values, `database` changes nothing: the stable names are the default.
fn opts_in(value: &str) -> bool {
    value.split(',').any(|one| one.trim() == "database/dup")
}

/// Says everything once more by its old name.
pub(super) fn add_old_names(attributes: &mut Vec<KeyValue>) {
    for index in 0..attributes.len() {
        let Some(attribute) = attributes.get(index) else {
            return;
        };
        let old = OLD_NAMES
            .iter()
            .find(|(new, _)| *new == attribute.key.as_str())
            .map(|(new, old)| KeyValue::new(*old, old_value(new, &attribute.value)));
        attributes.extend(old);
    }
}

/// A namespace may have a schema, which a name of a database had not.
fn old_value(new: &str, value: &Value) -> Value {
    match value {
        Value::String(namespace) if new == key::DB_NAMESPACE => {
            match namespace.as_str().split_once('|') {
                Some((database, _)) => Value::String(StringValue::from(database.to_owned())),
                None => value.clone(),
            }
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_the_conventions_say() {
        for wanted in [
            "database/dup",
            "http, database/dup",
            "database,database/dup",
        ] {
            assert!(opts_in(wanted), "{wanted}");
        }
        for other in ["", "database", "http/dup", "database/duplicate"] {
            assert!(!opts_in(other), "{other}");
        }
    }

    #[test]
    fn a_name_of_a_database_has_no_schema() {
        let mut attributes = vec![
            KeyValue::new(key::DB_NAMESPACE, "shop|sales"),
            KeyValue::new(key::IAM_ROLE, "checkout"),
            KeyValue::new(key::SERVER_PORT, 5433),
        ];
        let stable = attributes.clone();
        add_old_names(&mut attributes);
        let (new, old) = attributes.split_at(3);
        assert_eq!(new, stable);
        let expected = [
            KeyValue::new("db.name", "shop"),
            KeyValue::new("net.peer.port", 5433),
        ];
        assert_eq!(old, expected);
    }
}
