//! `approzium serve` as a process of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The password of every record of these tests. No log may show it.
pub(crate) const PASSWORD: &str = "canary-hunter2";

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The command, in an environment that holds nothing of the developer's.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
    command
        .arg("serve")
        .args(arguments)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// The same command, begun under another limit on open files: by `ulimit`'s own words.
pub(crate) fn limited(command: &Command, limit: &str) -> Command {
    let mut limited = Command::new("/bin/sh");
    limited
        .arg("-c")
        .arg(format!("ulimit {limit} && exec \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

/// Runs a command that is to fail, and ends it where it does not.
pub(crate) fn failing(mut command: Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it serves: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// A process that serves.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    out: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        let mut process = Self::start_unread(command);
        process.read();
        process
    }

    /// One whose log nobody reads as yet.
    pub(crate) fn start_unread(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Process {
            log: Arc::default(),
            out: collect(child.stdout.take().unwrap()),
            child,
        }
    }

    pub(crate) fn read(&mut self) {
        self.log = collect(self.child.stderr.take().unwrap());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn out(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// The lines of the log that are JSON objects and fit.
    pub(crate) fn lines(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line| fits(line))
            .collect()
    }

    pub(crate) async fn line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(what, async || self.lines(&fits).pop()).await
    }

    pub(crate) fn terminate(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn hang_up(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the process ends", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", self.log().join("\n"));
            return;
        }
        for line in self.log().iter().chain(&self.out()) {
            assert!(!line.contains(PASSWORD), "{line}");
        }
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let collected = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    collected
}

/// `approzium serve --dev` with records, ready.
pub(crate) struct Dev {
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Dev {
    pub(crate) async fn start(records: &str) -> Self {
        Self::start_with(records, &[]).await
    }

    pub(crate) async fn start_with(records: &str, more: &[&str]) -> Self {
        Self::start_within(records, more, &[]).await
    }

    /// With more flags and more variables.
    pub(crate) async fn start_within(
        records: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        Self::begin(records, more, variables, true).await
    }

    /// One whose log nobody reads as yet.
    pub(crate) async fn start_unread(records: &str, more: &[&str]) -> Self {
        Self::begin(records, more, &[], false).await
    }

    async fn begin(
        records: &str,
        more: &[&str],
        variables: &[(&str, &str)],
        is_read: bool,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        std::fs::write(folder.path().join("secrets.yaml"), records).unwrap();
        let mut arguments = vec![
            "--dev",
            "--dev-dir",
            &path,
            "--grpc-port=0",
            "--http-port=0",
        ];
        if !more.iter().any(|flag| flag.starts_with("--log-format")) {
            arguments.push("--log-format=json");
        }
        arguments.extend(more);
        let mut command = command(&arguments);
        command.envs(variables.iter().copied());
        let mut process = Process::start_unread(command);
        if is_read {
            process.read();
        }
        let environment = environment(folder.path()).await;
        Dev {
            process,
            folder,
            environment,
        }
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    pub(crate) fn authority(&self) -> Vec<u8> {
        std::fs::read(self.variable("APPROZIUM_CA")).unwrap()
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.folder.path().join("secrets.yaml")
    }

    /// The audit line of a request with this decision.
    pub(crate) async fn audit(&self, request_id: &str, decision: &str) -> Value {
        let what = format!("a line \"{decision}\" of {request_id}");
        self.process
            .line(&what, |line| {
                line["target"] == "approzium::audit"
                    && line["request_id"] == request_id
                    && line["decision"] == decision
            })
            .await
    }

    pub(crate) async fn reason(&self, request_id: &str, decision: &str) -> String {
        let line = self.audit(request_id, decision).await;
        line["reason"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/v1/metrics/prometheus").await.1
    }

    /// The value of one series; 0 where it has not begun.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
            .unwrap_or(0.0)
    }

    pub(crate) async fn get(&self, path: &str) -> (reqwest::StatusCode, String) {
        let url = format!("{}{path}", self.variable("APPROZIUM_HTTP_URL"));
        let response = https(&self.authority()).get(url).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}

/// An HTTP client that trusts these authorities (PEM).
pub(crate) fn https(authorities: &[u8]) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(super::client::tls(authorities))
        .build()
        .unwrap()
}

/// What the `env` file of development mode exports, once it is there.
pub(crate) async fn environment(folder: &Path) -> BTreeMap<String, String> {
    let file = folder.join("env");
    let text = until("the env file", async || std::fs::read_to_string(&file).ok()).await;
    text.lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect()
}

/// One record of the user `app` at `db:5432` for the role `checkout`, with more keys.
pub(crate) fn record(user: &str, more: &str) -> String {
    format!(
        "- {{dbhost: db.example, dbport: 5432, dbuser: {user}, password: {PASSWORD}, \
         iam_arns: ['arn:aws:iam::000000000000:role/checkout'] {more}}}\n"
    )
}

/// Writes a file that its owner alone can read.
pub(crate) fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).unwrap();
}
