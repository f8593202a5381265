//! A MariaDB of one's own, whose users log in by `mysql_native_password`.

mod installation;

use std::{path::PathBuf, time::Duration};

use tokio::io::AsyncReadExt;

use crate::{
    Authority, Error, Process, Result, Stop,
    files::{self, Copy},
    free_port,
};
use installation::{Installation, LOG_FILE_SIZE};

/// A running server. It stops, and its folder goes, when the value is dropped.
pub struct MariaDb {
    // Stops before its folder goes: fields are dropped in order.
    server: Process,
    folder: tempfile::TempDir,
    port: u16,
}

/// What a server is to be. From [`MariaDb::builder`].
pub struct Builder {
    authority: Authority,
    statements: String,
}

impl MariaDb {
    /// Defaults: TLS with a fresh authority, and nobody who can log in.
    pub fn builder() -> Builder {
        Builder {
            authority: Authority::default(),
            // A fresh server knows an administrator without a password.
            statements: "DELETE FROM mysql.global_priv;\nFLUSH PRIVILEGES;\n".to_owned(),
        }
    }

    /// 127.0.0.1 by name: what the certificate says, together with the address itself.
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority of its certificate, as a file.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Builder {
    /// Adds a user who has a password and may log in from this machine, with TLS or without.
    pub fn user(self, name: &str, password: &str) -> Self {
        self.with(name, password, "NONE")
    }

    /// Adds one who may log in with TLS only.
    pub fn tls_user(self, name: &str, password: &str) -> Self {
        self.with(name, password, "SSL")
    }

    /// Adds what an administrator runs, a statement on one line.
    #[must_use]
    pub fn statement(mut self, statement: &str) -> Self {
        self.statements.push_str(statement);
        self.statements.push('\n');
        self
    }

    fn with(mut self, name: &str, password: &str, require: &str) -> Self {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let (name, password) = (quoted(name), quoted(password));
        self.statements.push_str(&format!(
            "CREATE USER {name}@'127.0.0.1' IDENTIFIED VIA mysql_native_password \
             USING PASSWORD({password}) REQUIRE {require};\n"
        ));
        self
    }

    /// Makes the server and starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not on the machine and could not be fetched.
    pub async fn start(self) -> Result<MariaDb> {
        let installation = Installation::find().await?;
        let template = installation.data().await?;
        let folder = files::folder_of(None)?;
        let (data, statements) = (folder.path().join("data"), folder.path().join("users.sql"));
        files::copy_tree(&template, &data, Copy::Content)
            .map_err(|error| Error::failed(template.display(), error))?;
        files::write_private(&statements, &self.statements)?;
        self.authority.write(folder.path().join("ca.crt"))?;
        let localhost = self.authority.localhost();
        let (certificate, key) = localhost.write(folder.path(), "server")?;
        let port = free_port();
        let mut command = installation.server();
        command
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--performance-schema=OFF",
                "--innodb-buffer-pool-size=16M",
                "--innodb-flush-log-at-trx-commit=0",
                LOG_FILE_SIZE,
            ])
            .arg(format!("--port={port}"))
            .current_dir(folder.path());
        for (name, path) in [
            ("datadir", &data),
            ("tmpdir", &data),
            ("socket", &folder.path().join("socket")),
            ("pid-file", &folder.path().join("pid")),
            ("ssl-cert", &certificate),
            ("ssl-key", &key),
            ("init-file", &statements),
        ] {
            command.arg(format!("--{name}={}", path.display()));
        }
        let mut server = Process::start(
            "mariadbd",
            &mut command,
            Stop::Terminate,
            &folder.path().join("server.log"),
            Some(folder.path()),
        )?;
        // It greets nobody before it has read the statements.
        server
            .until(Duration::from_secs(60), async || greets(port).await)
            .await?;
        Ok(MariaDb {
            server,
            folder,
            port,
        })
    }
}

async fn greets(port: u16) -> bool {
    let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else {
        return false;
    };
    let greeting = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
    matches!(greeting, Ok(Ok(_)))
}
