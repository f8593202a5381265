//! What a secrets manager keeps for one database: its users, each with a record.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::Entry;
use crate::authenticator::secrets::{Record, place::Place};

/// `{"<dbuser>": {"password": …, "iam_arns": […]}}`, with the keys of the local file but for host,
/// port and user, which are names of it. In the document's order, and with whoever stands there
/// twice: which of the two is meant, nobody can say.
pub(crate) struct Users(Vec<(String, Entry)>);

impl Users {
    /// Files the records under their place.
    pub(crate) fn records(self, place: &Place) -> Result<Vec<Arc<Record>>, String> {
        let mut seen = HashSet::new();
        let users = self.0.into_iter().enumerate();
        users
            .map(|(index, (user, entry))| {
                let record = if user.is_empty() {
                    Err("a user must not be empty".to_owned())
                } else if !seen.insert(user.clone()) {
                    Err("its user has another one, further up".to_owned())
                } else if entry.dbhost.is_some() || entry.dbport.is_some() || entry.dbuser.is_some()
                {
                    Err("host, port and user are said by its name, not by its keys".to_owned())
                } else {
                    entry.into_record(place.key(&user))
                };
                record
                    .map(Arc::new)
                    .map_err(|problem| format!("record {}: {problem}", index + 1))
            })
            .collect()
    }
}

/// By hand, since a map of serde's keeps of two that have one name the last.
impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Users;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of users with their records")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Users, A::Error> {
                let mut users = Vec::new();
                while let Some(user) = map.next_entry()? {
                    users.push(user);
                }
                Ok(Users(users))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::RecordKey;

    #[test]
    fn who_stands_there_twice_lets_nobody_in() {
        let place = Place::of(&RecordKey::new("db", 5432, "")).unwrap();
        let record = |user: &str, password: &str| {
            let arn = "arn:aws:iam::123456789012:role/checkout";
            format!(r#""{user}": {{"password": "{password}", "iam_arn": "{arn}"}}"#)
        };
        let document = |users: &[String]| format!("{{{}}}", users.join(", "));
        let good = document(&[record("shop", "hunter2"), record("Shop", "hunter3")]);
        let twice = document(&[
            record("shop", "hunter2"),
            record("other", "hunter3"),
            record("\\u0073hop", "hunter4"),
        ]);
        let json = |text: &str| serde_json::from_str::<Users>(text).unwrap().records(&place);
        let yaml = |text: &str| {
            serde_yaml_ng::from_str::<Users>(text)
                .unwrap()
                .records(&place)
        };
        for read in [&json as &dyn Fn(&str) -> _, &yaml] {
            let records = read(&good).unwrap();
            let users: Vec<_> = records.iter().map(|record| record.key.user()).collect();
            assert_eq!(users, ["shop", "Shop"]);
            let error = read(&twice).unwrap_err();
            assert!(
                error.starts_with("record 3: its user has another"),
                "{error}"
            );
            assert!(
                !error.contains("hunter") && !error.contains("shop"),
                "{error}"
            );
        }
    }
}
