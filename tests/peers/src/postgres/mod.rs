//! A PostgreSQL cluster of one's own.
//!
//! The binaries are the machine's, else those of a pinned npm package; the server never runs as
//! root. The superuser `postgres` logs in through a socket in a folder that only its owner (and
//! root) can enter; everybody else follows the test's [`Rule`]s.

mod binaries;
mod rules;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::{NoTls, SimpleQueryMessage};

pub use binaries::Binaries;
pub use rules::{Method, Rule};

use crate::{
    Authority, Certificate, Error, Process, Result, Stop,
    files::{self, Copy, User},
    free_port,
};

/// A running cluster. It stops, and its folder goes, when the value is dropped.
pub struct Postgres {
    // Stops before its folder goes: fields are dropped in order.
    server: Option<Process>,
    folder: tempfile::TempDir,
    binaries: Binaries,
    user: Option<User>,
    port: u16,
    authority: Option<Authority>,
    certificate: Option<Certificate>,
}

/// What a cluster is to be. From [`Postgres::builder`].
pub struct Builder {
    version: Option<u32>,
    binaries: Option<Binaries>,
    tls: Option<(Authority, Option<Certificate>)>,
    rules: Vec<Rule>,
    parameters: Vec<(String, String)>,
}

impl Postgres {
    /// Defaults: any version, TLS with a fresh authority, and no rule, so that nobody but the
    /// superuser can log in.
    pub fn builder() -> Builder {
        Builder {
            version: None,
            binaries: None,
            tls: Some((Authority::default(), None)),
            rules: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// 127.0.0.1 by name: what the certificate says, together with the address itself.
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// The TCP port, which names the Unix socket too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, for `host=` in a connection string.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The major version.
    pub fn version(&self) -> u32 {
        self.binaries.major()
    }

    /// Who issued the server's certificate, and whose client certificates the server accepts.
    ///
    /// # Panics
    /// If the cluster was built without TLS.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a cluster with TLS")
    }

    /// The server's certificate.
    ///
    /// # Panics
    /// If the cluster was built without TLS.
    pub fn certificate(&self) -> &Certificate {
        self.certificate.as_ref().expect("a cluster with TLS")
    }

    /// The authority's certificate as a file, for `sslrootcert=`.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs statements as the superuser in the database `postgres`; returns the rows of all.
    pub async fn sql(&self, statements: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.sql_in("postgres", statements).await
    }

    /// As [`sql`](Self::sql), in another database.
    pub async fn sql_in(
        &self,
        database: &str,
        statements: &str,
    ) -> Result<Vec<Vec<Option<String>>>> {
        let failed = |error: tokio_postgres::Error| {
            let said = error.as_db_error().map(ToString::to_string);
            Error::failed(statements, said.unwrap_or_else(|| error.to_string()))
        };
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(self.socket_folder())
            .port(self.port)
            .user("postgres")
            .dbname(database)
            .connect(NoTls)
            .await
            .map_err(failed)?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(statements).await.map_err(failed);
        drop(client);
        connection
            .await
            .map_err(|error| Error::failed(statements, error))?
            .map_err(failed)?;
        let rows = messages?.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Makes a role that can log in, or gives it another password. `stored` says in which form the
    /// server keeps it: [`Method::Md5`] or [`Method::ScramSha256`].
    pub async fn role(&self, name: &str, password: &str, stored: Method) -> Result<()> {
        let password = password.replace('\'', "''");
        let known = self
            .sql(&format!("SELECT 1 FROM pg_roles WHERE rolname = '{name}'"))
            .await?;
        let verb = if known.is_empty() { "CREATE" } else { "ALTER" };
        self.sql(&format!(
            "SET password_encryption = '{stored}'; {verb} ROLE \"{name}\" LOGIN PASSWORD '{password}'"
        ))
        .await?;
        Ok(())
    }

    /// Replaces the rules by which clients log in, at once.
    pub async fn set_rules(&self, rules: &[Rule]) -> Result<()> {
        self.write_rules(rules)?;
        let reloads = self.log().matches("received SIGHUP").count();
        self.sql("SELECT pg_reload_conf()").await?;
        // The postmaster reads the file before it forks for the next connection, once it has
        // handled the signal: its own word in the log is the only sign of that.
        crate::eventually("a reload", Duration::from_secs(10), async || {
            (self.log().matches("received SIGHUP").count() > reloads).then_some(())
        })
        .await;
        Ok(())
    }

    /// Stops the server and keeps its data.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts a stopped server on its old port, or restarts a running one.
    pub async fn restart(&mut self) -> Result<()> {
        self.server = None;
        self.launch().await
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write_rules(&self, rules: &[Rule]) -> Result<()> {
        let path = self.data().join("pg_hba.conf");
        files::write(&path, rules::file(rules))?;
        files::give(&path, self.user).map_err(|error| Error::failed(path.display(), error))
    }

    async fn launch(&mut self) -> Result<()> {
        let mut command = self
            .binaries
            .command("postgres", self.user, self.folder.path());
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()]);
        let mut server = Process::start(
            "postgres",
            &mut command,
            Stop::Quit,
            &self.log_path(),
            Some(self.folder.path()),
        )?;
        let answers = async || self.sql("SELECT 1").await.is_ok();
        server.until(Duration::from_secs(60), answers).await?;
        self.server = Some(server);
        Ok(())
    }
}

impl Builder {
    /// This major version and no other.
    pub fn version(mut self, major: u32) -> Self {
        self.version = Some(major);
        self
    }

    /// These binaries, whatever their version.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// No TLS at all: the server answers `N` to an SSLRequest.
    pub fn without_tls(mut self) -> Self {
        self.tls = None;
        self
    }

    /// A server certificate for `localhost` from this authority, which clients' certificates must
    /// come from too.
    pub fn authority(mut self, authority: Authority) -> Self {
        self.tls = Some((authority, None));
        self
    }

    /// This authority, and this certificate for the server.
    pub fn certificate(mut self, authority: Authority, certificate: Certificate) -> Self {
        self.tls = Some((authority, Some(certificate)));
        self
    }

    /// Adds a rule after those before it; the first that matches a connection decides.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// A line of postgresql.conf.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the cluster and starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] if this version is not on the machine and could not be installed.
    pub async fn start(self) -> Result<Postgres> {
        let user = User::unprivileged();
        let folder = files::folder_of(user)?;
        let binaries = match self.binaries {
            Some(binaries) => binaries,
            None => Binaries::find(self.version).await?,
        };
        let template = binaries.cluster(user).await?;
        let binaries = binaries.reachable_by(user, folder.path())?;
        let (authority, certificate) = match self.tls {
            Some((authority, certificate)) => {
                let certificate = certificate.unwrap_or_else(|| authority.localhost());
                (Some(authority), Some(certificate))
            }
            None => (None, None),
        };
        let mut postgres = Postgres {
            server: None,
            folder,
            binaries,
            user,
            port: free_port(),
            authority,
            certificate,
        };
        let laid_out = files::copy_tree(&template, &postgres.data(), Copy::Content);
        laid_out.map_err(|error| Error::failed(template.display(), error))?;
        postgres.write_tls()?;
        postgres.write_rules(&self.rules)?;
        postgres.write_configuration(&self.parameters)?;
        files::give(&postgres.data(), user)
            .map_err(|error| Error::failed(postgres.data().display(), error))?;
        postgres.launch().await?;
        Ok(postgres)
    }
}

impl Postgres {
    fn write_tls(&self) -> Result<()> {
        if let (Some(authority), Some(certificate)) = (&self.authority, &self.certificate) {
            authority.write(self.ca_path())?;
            certificate.write(&self.data(), "server")?;
        }
        Ok(())
    }

    fn write_configuration(&self, parameters: &[(String, String)]) -> Result<()> {
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = '{}'\n\
             fsync = off\n\
             shared_buffers = 16MB\n\
             max_connections = 300\n\
             log_connections = on\n",
            self.folder.path().display()
        );
        if self.authority.is_some() {
            lines.push_str(&format!(
                "ssl = on\n\
                 ssl_cert_file = 'server.crt'\n\
                 ssl_key_file = 'server.key'\n\
                 ssl_ca_file = '{}'\n",
                self.ca_path().display()
            ));
        }
        for (name, value) in parameters {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        files::write(&self.data().join("postgresql.conf"), lines)
    }
}
