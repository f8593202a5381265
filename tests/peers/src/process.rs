//! A child process that does not outlive its owner.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result};

/// How a program is asked to stop.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT: PostgreSQL's immediate shutdown.
    Quit,
}

impl Stop {
    fn signal(self) -> Signal {
        match self {
            Stop::Terminate => Signal::TERM,
            Stop::Interrupt => Signal::INT,
            Stop::Quit => Signal::QUIT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Stop::Terminate => "TERM",
            Stop::Interrupt => "INT",
            Stop::Quit => "QUIT",
        }
    }
}

/// A running program whose output goes to a file.
///
/// Dropping it stops it by its process id. When its owner dies without dropping it — a signal, an
/// abort, a value in a `static` — a small shell beside it, which waits for the end of a pipe that
/// only the owner holds, stops it instead and removes its folder.
pub struct Process {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
    stop: Stop,
}

/// `$1` signal, `$2` process id, `$3` folder or nothing.
const GUARD: &str = r#"trap '' INT TERM HUP QUIT
read -r end
kill -"$1" "$2" 2>/dev/null
tries=0
while kill -0 "$2" 2>/dev/null && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -KILL "$2" 2>/dev/null
[ -z "$3" ] || rm -rf "$3""#;

impl Process {
    /// Starts a program.
    ///
    /// `log` receives both its streams. `folder`, if there is one, is removed by the guard when
    /// the owner dies; an owner that lives removes it itself.
    pub fn start(
        name: &str,
        command: &mut Command,
        stop: Stop,
        log: &Path,
        folder: Option<&Path>,
    ) -> Result<Self> {
        let file = open_log(name, log)?;
        let other = file.try_clone().map_err(|error| not_started(name, error))?;
        command.stdin(Stdio::null()).stdout(other).stderr(file);
        Process::spawn(name, command, stop, log, folder)
    }

    /// Starts a program that is talked to, by its standard input and output; `log` receives its
    /// standard error.
    pub fn start_talking(
        name: &str,
        command: &mut Command,
        stop: Stop,
        log: &Path,
        folder: Option<&Path>,
    ) -> Result<(Self, ChildStdin, ChildStdout)> {
        let file = open_log(name, log)?;
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(name, pipes.stderr(file), stop, log, folder)?;
        let child = &mut process.child;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok((process, stdin, stdout)),
            _ => Err(not_started(name, "it has no pipes")),
        }
    }

    fn spawn(
        name: &str,
        command: &mut Command,
        stop: Stop,
        log: &Path,
        folder: Option<&Path>,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| not_started(name, error);
        let mut child = command.spawn().map_err(failed)?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, "approzium-guard", stop.name()])
            .arg(child.id().to_string())
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                child.kill().and_then(|()| child.wait()).map_err(failed)?;
                return Err(failed(error));
            }
        };
        Ok(Process {
            name: name.to_owned(),
            child,
            guard,
            log: log.to_owned(),
            stop,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the program is ready, or says why it never was.
    pub async fn until(
        &mut self,
        within: Duration,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            if ready().await {
                return Ok(());
            }
            let why = if let Some(status) = self.ended() {
                format!("ended with {status}")
            } else if Instant::now() > deadline {
                format!("is not ready after {within:?}")
            } else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            return Err(Error::Failed(format!(
                "{} {why}; its log:\n{}",
                self.name,
                self.log()
            )));
        }
    }

    /// Waits for the program to end by itself.
    pub async fn finish(&mut self, within: Duration) -> Result<std::process::ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let log = self.log();
                return Err(Error::Failed(format!(
                    "{} still runs after {within:?}; its log:\n{log}",
                    self.name
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Stop) {
        self.send(signal.signal());
    }

    /// SIGHUP, by which servers read their files again.
    pub fn hang_up(&self) {
        self.send(Signal::HUP);
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended in between; nothing else can have its id before we wait for it.
            kill_process(pid, signal).ok();
        }
    }

    /// Ends it without a word, as a machine does that fails.
    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }

    /// Stops it now: as it asks to be stopped, and after five seconds without mercy.
    pub fn stop(&mut self) {
        self.guard.kill().and_then(|()| self.guard.wait()).ok();
        if self.ended().is_some() {
            return;
        }
        self.signal(self.stop);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.ended().is_none() {
            if Instant::now() > deadline {
                self.child.kill().and_then(|()| self.child.wait()).ok();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("--- the end of {}'s log ---\n{tail}", self.name);
        }
    }
}

fn open_log(name: &str, log: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let opened = options.create(true).append(true).open(log);
    opened.map_err(|error| not_started(name, error))
}

fn not_started(name: &str, cause: impl std::fmt::Display) -> Error {
    Error::failed(format!("{name} cannot be started"), cause)
}

/// Polls until there is an answer; panics with `what` when there is none in time.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a program to its end and returns its standard output.
pub async fn capture(command: &mut tokio::process::Command) -> Result<String> {
    let output = succeeding(command).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program to its end, which is to be a good one.
pub(crate) async fn succeeding(command: &mut tokio::process::Command) -> Result<Output> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Error::failed(&name, error))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Failed(format!(
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}
