//! The Python SDK of the original, unmodified, as a client of the v1 API: it is what that API is for.

mod digests;
mod doors;
mod matrix;
mod refusals;

use std::{collections::BTreeMap, path::PathBuf};

use approzium_peers::{MariaDb, Method, Postgres, PythonSdk, Result, Rule};
use serde_json::{Value, json};

use crate::authenticator::process::PASSWORD;

/// Real servers, with users whose passwords no application knows.
struct Databases {
    postgres: Postgres,
    mariadb: MariaDb,
}

/// How an application reaches an Authenticator, and as whom.
struct Door {
    /// `address` and `tls`, as `logins.py` takes them.
    authenticator: Value,
    environment: BTreeMap<String, String>,
    /// What ends with it.
    _held: Box<dyn std::any::Any>,
}

impl Databases {
    async fn start() -> Result<Self> {
        let postgres = Postgres::builder()
            .version(15)
            .rule(Rule::host("old", Method::Md5))
            .rule(Rule::host("weak", Method::Md5))
            .rule(Rule::host("app", Method::ScramSha256))
            .rule(Rule::host("stranger", Method::ScramSha256))
            .start();
        let mariadb = MariaDb::builder()
            .user("shop", PASSWORD)
            .tls_user("secure", PASSWORD)
            .start();
        let (postgres, mariadb) = tokio::try_join!(postgres, mariadb)?;
        for (role, stored) in [
            ("old", Method::Md5),
            ("weak", Method::Md5),
            ("app", Method::ScramSha256),
            ("stranger", Method::ScramSha256),
        ] {
            postgres.role(role, PASSWORD, stored).await?;
        }
        Ok(Databases { postgres, mariadb })
    }

    /// The records of all users but `stranger`, for the role `checkout`. That of `weak` does not
    /// allow MD5, which is what its database asks for.
    fn records(&self) -> String {
        let (postgres, mariadb) = (self.postgres.port(), self.mariadb.port());
        [
            (postgres, "old", "md5"),
            (postgres, "weak", "scram-sha-256"),
            (postgres, "app", "scram-sha-256"),
            (mariadb, "shop", "mysql_native_password"),
            (mariadb, "secure", "mysql_native_password"),
        ]
        .map(|(port, user, method)| {
            format!(
                "- {{dbhost: localhost, dbport: {port}, dbuser: {user}, password: {PASSWORD}, \
                 methods: [{method}], iam_arns: ['arn:aws:iam::000000000000:role/checkout']}}\n"
            )
        })
        .concat()
    }

    /// A login at one of them.
    fn login(&self, driver: &str, user: &str, tls: bool) -> Value {
        let (port, ca) = match driver {
            "psycopg2" | "psycopg2.pool" | "asyncpg" => {
                (self.postgres.port(), self.postgres.ca_path())
            }
            _ => (self.mariadb.port(), self.mariadb.ca_path()),
        };
        login(driver, port, user, tls.then_some(ca))
    }
}

/// A login as `logins.py` takes it.
fn login(driver: &str, port: u16, user: &str, ca: Option<PathBuf>) -> Value {
    json!({"driver": driver, "host": "localhost", "port": port, "user": user, "ca": ca})
}

impl Door {
    /// What the application sees of each login.
    async fn try_all(&self, sdk: &PythonSdk, logins: Vec<Value>) -> Vec<Value> {
        let mut asked = self.authenticator.clone();
        asked["logins"] = logins.into();
        sdk.logins(&self.environment, &asked).await.unwrap()
    }

    /// As another of the identities of development mode.
    fn profile(mut self, name: &str) -> Self {
        self.environment.insert("AWS_PROFILE".into(), name.into());
        self
    }
}
