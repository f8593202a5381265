//! The processes that are searched: this very program, started again.

use std::{
    env,
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use approzium::{
    Error,
    opentelemetry::{instrument, otlp},
    postgres,
};
use approzium_peers::{Process, Result, Stop};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(120);

/// Variables by which a process is told what it is, and where it says that it is there.
const PART: &str = "APPROZIUM_CANARY";
const FOLDER: &str = "APPROZIUM_CANARY_FOLDER";

/// What a process is.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Logs in through the Authenticator. Its folder has `databases` and `refused`: files of
    /// connection strings, one a line.
    Application,
    /// The control: logs in with the driver alone. Its folder has `database` and `password`.
    Driver,
    /// The other control: holds what its folder has in `planted`.
    Holder,
}

/// One of them, running. What it writes goes to `log` in its folder.
pub(super) struct Running {
    process: Process,
    ready: PathBuf,
}

impl Running {
    pub(super) fn start(
        part: Part,
        folder: &Path,
        files: &[(&str, &[u8])],
        variables: &[(String, String)],
    ) -> Result<Self> {
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["canary::process::process", "--exact", "--ignored"])
            .args(["--nocapture", "--quiet"])
            .env("RUST_LOG", "trace")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env(PART, part.name())
            .env(FOLDER, folder)
            .envs(variables.iter().cloned());
        Ok(Running {
            process: Process::start(
                part.name(),
                &mut command,
                Stop::Terminate,
                &folder.join("log"),
                None,
            )?,
            ready: folder.join("ready"),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has done everything, and keeps what it has.
    pub(super) async fn ready(&mut self) {
        let ready = async || self.ready.exists();
        self.process.until(PATIENCE, ready).await.unwrap();
    }

    /// Tells it to end, and returns what it wrote.
    pub(super) async fn end(mut self) -> String {
        self.process.signal(Stop::Terminate);
        let status = self.process.finish(PATIENCE).await.unwrap();
        let log = self.process.log();
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Application => "application",
            Part::Driver => "driver",
            Part::Holder => "holder",
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test starts it as a process of its own"]
async fn process() {
    let (Ok(part), Ok(folder)) = (env::var(PART), env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match part.as_str() {
        "application" => application(&folder).await,
        "driver" => driver(&folder).await,
        "holder" => holder(&folder).await,
        _ => panic!("{part}: there is no such part"),
    }
}

async fn application(folder: &Path) {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let pipeline = otlp::pipeline().build().await.unwrap();
    pipeline.set_global();
    instrument();

    let lines = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut clients = Vec::new();
    for database in lines("databases").lines() {
        // More than one, so that keys that the Authenticator kept are used too.
        for _ in 0..3 {
            clients.push(postgres::connect(database).await.unwrap());
        }
    }
    for database in lines("refused").lines() {
        let error = postgres::connect(database).await.unwrap_err();
        print(&error);
    }
    for client in &clients {
        query(client).await;
    }
    pipeline.flush(PATIENCE).await.unwrap();
    until_told(folder).await;

    for client in &clients {
        query(client).await;
    }
    drop(clients);
    pipeline.shutdown(PATIENCE).await.unwrap();
}

async fn query(client: &postgres::Client) {
    let row = client
        .query_one("SELECT current_user::text, $1::text", &[&"a parameter"])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(1), "a parameter");
    client
        .query("SELECT * FROM nowhere", &[])
        .await
        .unwrap_err();
}

/// In every way in which an error can be printed.
fn print(error: &Error) {
    eprintln!("refused: {error}\n{error:?}\n{error:#?}");
    tracing::error!(%error, ?error, "refused");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("caused by: {error}\n{error:?}\n{error:#?}");
        cause = error.source();
    }
}

async fn driver(folder: &Path) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut config: tokio_postgres::Config = read("database").parse().unwrap();
    config.password(read("password"));
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one("SELECT 1", &[]).await.unwrap();
    until_told(folder).await;
    client.query_one("SELECT 1", &[]).await.unwrap();
}

async fn holder(folder: &Path) {
    let planted = fs::read(folder.join("planted")).unwrap();
    until_told(folder).await;
    assert!(!planted.is_empty());
}

/// Says that it is ready, and waits for SIGTERM.
async fn until_told(folder: &Path) {
    let mut told = signal(SignalKind::terminate()).unwrap();
    fs::write(folder.join("ready"), "").unwrap();
    told.recv().await;
}
