//! One replica: the Authenticator in a process of its own, which comes back where it was.
//!
//! The program asks the STS of AWS and no other. What serves here is the library, in a process of
//! these tests', with the STS that they have.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use approzium::{
    authenticator::{
        Authenticator, Limits, LocalSecrets, SecretsManager, ServerTls, SessionKeys, VaultLogin,
        VaultSecrets,
    },
    identity::aws::StsVerifier,
};
use approzium_peers::{OpenBao, Process, Stop, eventually, free_port};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::signal::unix::{SignalKind, signal};

use crate::authenticator::process::{https, write_private};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The file that says where the records are, if not beside it.
pub(super) const MANAGER: &str = "openbao";

/// The variables that tell the process of a replica what it is.
const FOLDER: &str = "APPROZIUM_REPLICA_FOLDER";
const NUMBER: &str = "APPROZIUM_REPLICA_NUMBER";
const PORTS: [&str; 3] = [
    "APPROZIUM_REPLICA_GRPC_PORT",
    "APPROZIUM_REPLICA_HTTP_PORT",
    "APPROZIUM_REPLICA_STS_PORT",
];

pub(super) struct Replica {
    process: Process,
    folder: PathBuf,
    number: usize,
    pub(super) grpc_port: u16,
    pub(super) http_port: u16,
    sts_port: u16,
}

impl Replica {
    /// One that serves by the files of a folder, which it shares with others.
    pub(super) async fn start(folder: &Path, number: usize, sts: SocketAddr) -> Self {
        write_keys(folder, number, &["old"]);
        let [grpc_port, http_port] = [free_port(), free_port()];
        let mut replica = Replica {
            process: spawn(folder, number, [grpc_port, http_port, sts.port()]),
            folder: folder.to_owned(),
            number,
            grpc_port,
            http_port,
            sts_port: sts.port(),
        };
        replica.serves().await;
        replica
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop, and waits until it has, all logins under way ended.
    pub(super) async fn drain(&mut self) {
        self.process.signal(Stop::Terminate);
        let status = self.process.finish(PATIENCE).await.unwrap();
        assert!(status.success(), "{}", self.process.log());
    }

    /// Starts it again where it was.
    pub(super) async fn start_again(&mut self) {
        let ports = [self.grpc_port, self.http_port, self.sts_port];
        self.process = spawn(&self.folder, self.number, ports);
        self.serves().await;
    }

    async fn serves(&mut self) {
        let (grpc, http) = (self.grpc_port, self.http_port);
        let listens = async || {
            let connected = async |port| tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected(grpc).await.is_ok() && connected(http).await.is_ok()
        };
        self.process.until(PATIENCE, listens).await.unwrap();
    }

    /// Gives it these keys, and waits until it has them.
    pub(super) async fn exchange_keys(&self, names: &[&str]) {
        let exchanged = "approzium_reloads_total{file=\"session_keys\",result=\"ok\"}";
        let before = self.metric(exchanged).await;
        write_keys(&self.folder, self.number, names);
        eventually("the keys are exchanged", PATIENCE, async || {
            (self.metric(exchanged).await > before).then_some(())
        })
        .await;
    }

    /// Logins that ended well.
    pub(super) async fn logins(&self) -> f64 {
        // By SCRAM that is proved.
        self.outcomes("login_verified").await + self.outcomes("login_reported").await
    }

    /// Logins that the database refused.
    pub(super) async fn refused(&self) -> f64 {
        self.outcomes("login_refused").await
    }

    async fn outcomes(&self, reason: &str) -> f64 {
        let series = "approzium_decisions_total{decision=\"outcome\",reason=";
        self.metric(&format!("{series}\"{reason}\"}}")).await
    }

    async fn metric(&self, series: &str) -> f64 {
        let authority = std::fs::read(self.folder.join("ca.pem")).unwrap();
        let url = format!("https://127.0.0.1:{}/v1/metrics/prometheus", self.http_port);
        let answer = https(&authority).get(url).send().await.unwrap();
        let text = answer.text().await.unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
            .unwrap_or(0.0)
    }
}

/// Keys as their names make them, replaced at once.
fn write_keys(folder: &Path, number: usize, names: &[&str]) {
    let key = |name: &&str| BASE64_STANDARD.encode(name.repeat(32)) + "\n";
    let draft = folder.join(format!("session.keys.{number}.draft"));
    write_private(&draft, &names.iter().map(key).collect::<String>());
    std::fs::rename(draft, keys(folder, number)).unwrap();
}

fn keys(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("session.keys.{number}"))
}

fn spawn(folder: &Path, number: usize, ports: [u16; 3]) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = format!("{}::serves_until_asked_to_stop", module_path!());
    // Without the name of the binary.
    let test = test.split_once("::").unwrap().1;
    command
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .env(NUMBER, number.to_string());
    for (variable, port) in PORTS.iter().zip(ports) {
        command.env(variable, port.to_string());
    }
    let log = folder.join(format!("replica.{number}.log"));
    Process::start("a replica", &mut command, Stop::Terminate, &log, None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the processes that the other tests start"]
async fn serves_until_asked_to_stop() {
    let mut asked = signal(SignalKind::terminate()).unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    let [grpc, http, sts] = PORTS.map(|variable| {
        let port: u16 = std::env::var(variable).unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    });
    let authority = CertificateDer::from_pem_file(folder.join("sts.pem")).unwrap();
    let verifier = StsVerifier::builder()
        .dial(sts)
        .add_root_certificate(authority);
    let mut limits = Limits::default();
    limits.md5_per_second_per_principal = 10_000;
    let running = Authenticator::builder()
        .grpc_address(grpc)
        .http_address(http)
        .tls(ServerTls::open(&folder.join("tls.crt"), &folder.join("tls.key")).unwrap())
        .verifier(verifier.build().unwrap())
        .secrets(secrets(&folder))
        .limits(limits)
        .session_keys(SessionKeys::open(&keys(&folder, number)).unwrap())
        .start()
        .await
        .unwrap();
    asked.recv().await;
    assert!(running.shutdown().await, "logins were under way to the end");
}

/// In the folder it says that they are in OpenBao, by its address, or there they are.
fn secrets(folder: &Path) -> SecretsManager {
    let Ok(url) = std::fs::read_to_string(folder.join(MANAGER)) else {
        return LocalSecrets::open(folder.join("secrets.yaml"))
            .unwrap()
            .into();
    };
    let vault = VaultSecrets::builder(url).login(VaultLogin::token(OpenBao::ROOT));
    // As long as can be: only signs make it read them again.
    let vault = vault.ttl(Duration::from_secs(60));
    vault.build().unwrap().into()
}
