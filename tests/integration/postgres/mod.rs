//! Logins at real PostgreSQL servers of two versions, and at servers that mean harm.

mod application_name;
mod authenticator;
mod cancel;
mod connector;
mod digests;
mod hostile;
mod hosts;
mod interrupted;
mod matrix;
mod metrics;
mod refusals;
mod spans;
mod tls;

use approzium::{
    Result,
    postgres::{Client, Config},
};
use approzium_peers::{Method, Postgres, Rule};

use authenticator::Authenticator;

const PASSWORD: &str = "correct horse battery staple";

/// A server with a role of each kind: `app` (SCRAM), `old` (MD5), `open` (trust), `mutual` (cert)
/// and `clear` (the password itself).
async fn server(version: u32) -> approzium_peers::Result<Postgres> {
    prepared(Postgres::builder().version(version)).await
}

async fn prepared(
    builder: approzium_peers::postgres::Builder,
) -> approzium_peers::Result<Postgres> {
    let server = builder
        .rule(Rule::host("app", Method::ScramSha256))
        .rule(Rule::host("old", Method::Md5))
        .rule(Rule::host("open", Method::Trust))
        .rule(Rule::host_ssl("mutual", Method::Cert))
        .rule(Rule::host("clear", Method::Password))
        .rule(Rule::host("absent", Method::ScramSha256))
        .rule(Rule::local("app", Method::ScramSha256))
        .start()
        .await?;
    for (role, stored) in [
        ("app", Method::ScramSha256),
        ("old", Method::Md5),
        ("open", Method::ScramSha256),
        ("mutual", Method::ScramSha256),
        ("clear", Method::ScramSha256),
    ] {
        server.role(role, PASSWORD, stored).await?;
    }
    Ok(server)
}

/// A connection string for this server and user, and more settings.
fn string(server: &Postgres, user: &str, more: &str) -> String {
    format!(
        "host={} port={} user={user} dbname=postgres {more}",
        server.host(),
        server.port()
    )
}

/// `sslrootcert` of this server, with full verification.
fn verified(server: &Postgres) -> String {
    format!(
        "sslmode=verify-full sslrootcert='{}'",
        server.ca_path().display()
    )
}

fn config(text: &str) -> Config {
    text.parse().unwrap()
}

async fn connect(authenticator: &Authenticator, text: &str) -> Result<Client> {
    config(text).connect_with(authenticator.client()).await
}

/// Who the session is, and whether it runs over TLS.
async fn who(client: &Client) -> (String, bool) {
    let row = client
        .query_one(
            "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    (row.get(0), row.get(1))
}
