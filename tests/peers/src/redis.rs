//! A Redis that keeps everything in memory.

use std::{path::PathBuf, process::Command, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{Authority, Error, Process, Result, Stop, debian, files, free_port};

/// A running Redis. It stops when the value is dropped.
pub struct Redis {
    // Stops before its folder goes: fields are dropped in order.
    server: Option<Process>,
    folder: tempfile::TempDir,
    authority: Authority,
    ports: [u16; 2],
}

impl Redis {
    /// What it asks of everybody.
    pub const PASSWORD: &str = "redis-canary-hunter2";

    /// Starts one, by TLS and in plaintext: the machine's, or that of the Debian package, which is
    /// unpacked into the cache.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not on the machine and could not be fetched.
    pub async fn start() -> Result<Self> {
        let folder = files::folder_of(None)?;
        let authority = Authority::default();
        authority.localhost().write(folder.path(), "server")?;
        authority.write(folder.path().join("ca.pem"))?;
        files::write_private(&folder.path().join("password"), Redis::PASSWORD)?;
        let mut redis = Redis {
            server: None,
            folder,
            authority,
            ports: [free_port(), free_port()],
        };
        redis.start_again().await?;
        Ok(redis)
    }

    /// Starts it where it was, with nothing in it.
    pub async fn start_again(&mut self) -> Result<()> {
        let [plain, tls] = self.ports;
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let configuration = file("redis.conf");
        // Not by arguments, which everybody on the machine can read.
        let text = format!(
            "bind 127.0.0.1\nport {plain}\ntls-port {tls}\ntls-cert-file {}\ntls-key-file {}\n\
             tls-ca-cert-file {}\ntls-auth-clients no\nrequirepass {}\nsave \"\"\ndir {}\n",
            file("server.crt"),
            file("server.key"),
            file("ca.pem"),
            Redis::PASSWORD,
            self.folder.path().display()
        );
        files::write_private(configuration.as_ref(), text)?;
        let mut command = command().await?;
        command.arg(configuration);
        let log = self.folder.path().join("redis.log");
        let folder = Some(self.folder.path());
        let mut server = Process::start("Redis", &mut command, Stop::Terminate, &log, folder)?;
        let listens = async || ping(plain).await.is_ok();
        server.until(Duration::from_secs(60), listens).await?;
        self.server = Some(server);
        Ok(())
    }

    /// Starts it again with a certificate of another authority.
    pub async fn certified_by(&mut self, authority: Authority) -> Result<()> {
        self.stop();
        authority.localhost().write(self.folder.path(), "server")?;
        authority.write(self.ca_path())?;
        self.authority = authority;
        self.start_again().await
    }

    /// Asks everybody for another password from now on, until it is started again. Whoever has a
    /// connection loses it.
    pub async fn exchange_password(&self, password: &str) -> Result<()> {
        let failed = |error: std::io::Error| Error::failed("Redis", error);
        let [plain, _] = self.ports;
        let stream = TcpStream::connect(("127.0.0.1", plain)).await;
        let mut stream = BufReader::new(stream.map_err(failed)?);
        for command in [
            format!("AUTH {}", Redis::PASSWORD),
            format!("CONFIG SET requirepass {password}"),
            "CLIENT KILL TYPE normal SKIPME yes".to_owned(),
        ] {
            let line = format!("{command}\r\n");
            stream.write_all(line.as_bytes()).await.map_err(failed)?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await.map_err(failed)?;
            if answer.starts_with('-') {
                return Err(Error::failed("Redis", answer));
            }
        }
        Ok(())
    }

    /// Ends it. Its value can start it again.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// In plaintext: `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.ports[0])
    }

    /// By TLS: `rediss://127.0.0.1:<port>`.
    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.ports[1])
    }

    /// Who issued its certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority's certificate as a file.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The password as a file.
    pub fn password_path(&self) -> PathBuf {
        self.folder.path().join("password")
    }
}

/// It asks for the password, so that it is there.
async fn ping(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    match &answer {
        b"-NOAUTH" => Ok(()),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

async fn command() -> Result<Command> {
    if let Some(program) = files::on_path("redis-server") {
        return Ok(Command::new(program));
    }
    let missing = |why: &dyn std::fmt::Display| {
        Error::Missing(format!(
            "Redis is not on this machine and could not be fetched; install it (Debian: \
             redis-server): {why}"
        ))
    };
    let folder = debian::unpacked("redis-debian", &["redis-server", "redis-tools"])
        .await
        .map_err(|error| missing(&error))?;
    let base = folder.join("usr");
    let mut command = Command::new(base.join("bin/redis-server"));
    if let Some(libraries) = debian::libraries(&base) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    Ok(command)
}
