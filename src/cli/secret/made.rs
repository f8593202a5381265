//! What is made of a password: a record, and what the database is told in its place.

use std::{collections::BTreeMap, io};

use approzium::wire::{caching_sha2, mysql_native, scram::Keys};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::{Arguments, Method};

/// PostgreSQL's own.
const SALT_LENGTH: usize = 16;

/// PostgreSQL's own.
const ITERATIONS: u32 = 4_096;

/// Stands where a statement would.
const NO_STATEMENT: &str = "MySQL is told the password itself: for caching_sha2_password it keeps a \
    salted SHA-crypt of it, which is not made here";

pub(super) struct Made<'a> {
    arguments: &'a Arguments,
    record: Record<'a>,
    statement: Option<Statement>,
}

/// What the database is told, and what of it it keeps.
#[derive(Serialize)]
#[serde(untagged)]
enum Statement {
    Postgres {
        verifier: String,
        alter_role: String,
    },
    Mysql {
        authentication_string: String,
        alter_user: String,
    },
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scram_sha_256: Option<ScramDigests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mysql_native_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caching_sha2_password: Option<String>,
    iam_arns: &'a [String],
    /// Those that a record without it does not list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<Method>,
}

#[derive(Serialize)]
struct ScramDigests {
    salt: String,
    iterations: u32,
    client_key: String,
    server_key: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    dbhost: &'a str,
    dbport: u16,
    dbuser: &'a str,
    #[serde(flatten)]
    record: Record<'a>,
}

#[derive(Serialize)]
struct Document<'a> {
    record: BTreeMap<&'a str, Record<'a>>,
    #[serde(flatten)]
    statement: Option<Statement>,
}

impl<'a> Made<'a> {
    pub(super) fn of(password: &[u8], arguments: &'a Arguments) -> io::Result<Self> {
        let mut record = Record {
            scram_sha_256: None,
            mysql_native_password: None,
            caching_sha2_password: None,
            iam_arns: &arguments.iam_arns,
            methods: Vec::new(),
        };
        let mut statement = None;
        if arguments.is_for(Method::ScramSha256) {
            let mut salt = [0; SALT_LENGTH];
            getrandom::fill(&mut salt)?;
            let iterations = arguments.iterations.unwrap_or(ITERATIONS);
            let keys = Keys::derive(password, &salt, iterations);
            record.scram_sha_256 = Some(ScramDigests::of(&keys));
            statement = Some(Statement::alter_role(&arguments.dbuser, &keys));
        }
        if arguments.is_for(Method::MysqlNativePassword) {
            let digest = mysql_native::Stage1::of(password);
            record.mysql_native_password = Some(BASE64_STANDARD.encode(digest.as_bytes()));
            record.methods.push(Method::MysqlNativePassword);
            let host = arguments.account_host.as_deref().unwrap_or("%");
            statement = Some(Statement::alter_user(&arguments.dbuser, host, &digest));
        }
        if arguments.is_for(Method::CachingSha2Password) {
            let digest = caching_sha2::Stage1::of(password);
            record.caching_sha2_password = Some(BASE64_STANDARD.encode(digest.as_bytes()));
            record.methods.push(Method::CachingSha2Password);
        }
        Ok(Made {
            arguments,
            record,
            statement,
        })
    }

    pub(super) fn yaml(self) -> io::Result<String> {
        let arguments = self.arguments;
        let mut text = String::new();
        if let Some(statement) = &self.statement {
            text += &format!("# {}\n", statement.text());
        }
        if arguments.is_for(Method::CachingSha2Password) {
            text += &format!("# {NO_STATEMENT}\n");
        }
        let entry = Entry {
            dbhost: &arguments.dbhost,
            dbport: arguments.dbport(),
            dbuser: &arguments.dbuser,
            record: self.record,
        };
        text += &serde_yaml_ng::to_string(&[entry]).map_err(io::Error::other)?;
        Ok(text)
    }

    pub(super) fn json(self) -> io::Result<String> {
        let document = Document {
            record: [(self.arguments.dbuser.as_str(), self.record)].into(),
            statement: self.statement,
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}

impl Statement {
    fn alter_role(user: &str, keys: &Keys) -> Self {
        let verifier = keys.verifier();
        let user = quoted('"', user);
        Statement::Postgres {
            alter_role: format!("ALTER ROLE {user} PASSWORD '{verifier}';"),
            verifier,
        }
    }

    /// In words that MySQL and MariaDB have in common. What stands in backquotes means the same
    /// whatever the `sql_mode`.
    fn alter_user(user: &str, host: &str, digest: &mysql_native::Stage1) -> Self {
        let authentication_string = digest.authentication_string();
        let (user, host) = (quoted('`', user), quoted('`', host));
        Statement::Mysql {
            alter_user: format!(
                "ALTER USER {user}@{host} IDENTIFIED WITH mysql_native_password AS \
                 '{authentication_string}';"
            ),
            authentication_string,
        }
    }

    fn text(&self) -> &str {
        match self {
            Statement::Postgres { alter_role, .. } => alter_role,
            Statement::Mysql { alter_user, .. } => alter_user,
        }
    }
}

fn quoted(quote: char, name: &str) -> String {
    let name = name.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{name}{quote}")
}

impl ScramDigests {
    fn of(keys: &Keys) -> Self {
        ScramDigests {
            salt: BASE64_STANDARD.encode(keys.salt()),
            iterations: keys.iterations(),
            client_key: BASE64_STANDARD.encode(keys.client_key()),
            server_key: BASE64_STANDARD.encode(keys.server_key()),
        }
    }
}
