//! The two servers, each in a process of its own, and what they cost.

use std::{
    env, fs,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use approzium_peers::{Authority, Process, Stop, free_port};
use aws_credential_types::Credentials;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, pki_types::CertificateDer, pki_types::ServerName, pki_types::pem::PemObject,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::{CONNECTIONS, echo, storm};

pub(crate) const ROLE: &str = "checkout";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The user of the one record whose keys are warm.
pub(crate) const USER: &str = "app";

/// What one application cannot have by default, for it is to be thousands here.
const LIMITS: [(&str, &str); 8] = [
    ("max-connections-per-address", "10000"),
    ("max-unauthenticated", "10000"),
    ("max-unauthenticated-per-address", "10000"),
    ("sts-calls-per-second", "1000000"),
    ("sts-calls-per-second-per-address", "1000000"),
    ("handshakes-per-second-per-principal", "1000000"),
    ("handshakes-per-second-per-address", "1000000"),
    ("derivations-per-principal", "10000"),
];

pub(crate) struct Server {
    process: Process,
    folder: tempfile::TempDir,
    port: u16,
    pub(crate) http_port: u16,
    authorities: Vec<Vec<u8>>,
}

impl Server {
    pub(crate) async fn echo(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = authority.localhost();
        let (certificate, key) = server.write(folder.path(), "server").unwrap();
        let port = free_port();
        let mut command = Command::new(env::current_exe().unwrap());
        let command = command
            .args([echo::ARGUMENT, &port.to_string()])
            .args([certificate, key]);
        let authorities = vec![authority.der()];
        Server::start("the echo", command, folder, [port, port], authorities).await
    }

    pub(crate) async fn authenticator() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dev = folder.path().join("dev");
        fs::create_dir(&dev).unwrap();
        let users = storm::users().chain([USER.to_owned()]);
        let records = users.map(|user| {
            format!(
                "- {{dbhost: db.example, dbport: 5432, dbuser: {user}, password: {PASSWORD}, \
                 iam_arn: 'arn:aws:iam::000000000000:role/{ROLE}'}}\n"
            )
        });
        let path = dev.join("secrets.yaml");
        fs::write(&path, records.collect::<String>()).unwrap();
        // As it is most of the time: what has just been changed is read again and again.
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
        let [port, http_port] = [free_port(), free_port()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
        command
            .args(["serve", "--dev", "--log-format=json", "--dev-dir"])
            .arg(&dev)
            .arg(format!("--grpc-port={port}"))
            .arg(format!("--http-port={http_port}"))
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true");
        for (limit, value) in LIMITS {
            command.arg(format!("--{limit}={value}"));
        }
        let mut server =
            Server::start("approzium", &mut command, folder, [port, http_port], vec![]).await;
        let ca = CertificateDer::from_pem_file(dev.join("ca.pem")).unwrap();
        server.authorities = vec![ca.to_vec()];
        server
    }

    async fn start(
        name: &str,
        command: &mut Command,
        folder: tempfile::TempDir,
        [port, http_port]: [u16; 2],
        authorities: Vec<Vec<u8>>,
    ) -> Self {
        let log = folder.path().join("log");
        let path = Some(folder.path());
        let mut process = Process::start(name, command, Stop::Terminate, &log, path).unwrap();
        let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        let within = Duration::from_secs(60);
        process.until(within, listens).await.unwrap();
        Server {
            process,
            folder,
            port,
            http_port,
            authorities,
        }
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Channel {
        let mut tls = self.tls();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (connector, port) = (TlsConnector::from(std::sync::Arc::new(tls)), self.port);
        let dial = tower::service_fn(move |_: http::Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from("127.0.0.1").unwrap();
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://server");
        endpoint.connect_with_connector(dial).await.unwrap()
    }

    /// As many as applications are to share.
    pub(crate) async fn connections(&self) -> Vec<Channel> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(self.connect().await);
        }
        channels
    }

    /// What trusts it.
    pub(crate) fn tls(&self) -> ClientConfig {
        approzium_peers::certificates::client_configuration(&self.authorities)
    }

    /// The keys of the role that may log in.
    pub(crate) fn credentials(&self) -> Credentials {
        let text = fs::read_to_string(self.folder.path().join("dev/credentials")).unwrap();
        let (_, profile) = text.split_once(&format!("[{ROLE}]")).unwrap();
        let value = |key: &str| {
            let mut lines = profile.lines().filter_map(|line| line.split_once('='));
            let (_, value) = lines.find(|(name, _)| name.trim() == key).unwrap();
            value.trim().to_owned()
        };
        Credentials::new(
            value("aws_access_key_id"),
            value("aws_secret_access_key"),
            Some(value("aws_session_token")),
            None,
            "development",
        )
    }

    /// Resident now, in megabytes.
    pub(crate) fn resident(&self) -> f64 {
        self.megabytes("VmRSS:")
    }

    /// The most that ever was.
    pub(crate) fn resident_at_most(&self) -> f64 {
        self.megabytes("VmHWM:")
    }

    fn megabytes(&self, name: &str) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }

    /// What it has used of the processors.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // proc_pid_stat(5): the 14th and the 15th of all.
        let ticks: u64 = [11, 12]
            .map(|field: usize| fields[field].parse::<u64>().unwrap())
            .iter()
            .sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.process.id());
        fs::read_to_string(Path::new(&path)).unwrap()
    }
}

/// How long something took, in seconds.
pub(crate) async fn timed(work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}
