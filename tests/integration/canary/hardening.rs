//! What others of the same user see of the Authenticator's memory: nothing.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
    time::Duration,
};

use approzium_peers::{Process, Stop, eventually};

/// Whom root becomes, as to root everything is readable.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn the_authenticators_memory_belongs_to_nobody_but_root() {
    if !Path::new("/proc/self/mem").exists() {
        let missing = approzium_peers::Error::Missing("there is no /proc".to_owned());
        return approzium_peers::skip(&missing);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let we = fs::metadata(&home).unwrap().uid();
    let user = if we == 0 { NOBODY } else { we };
    let program = folder.path().join("approzium");
    let built = env!("CARGO_BIN_EXE_approzium");
    fs::hard_link(built, &program)
        .or_else(|_| fs::copy(built, &program).map(drop))
        .unwrap();
    if we == 0 {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let start = |name: &str, command: &mut Command| {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home);
        if we == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let log = folder.path().join(name);
        Process::start(
            name,
            command.current_dir(&home),
            Stop::Terminate,
            &log,
            None,
        )
        .unwrap()
    };

    let another = start("sleep", Command::new("sleep").arg("600"));
    eventually("sleep", Duration::from_secs(60), async || {
        (owner_of_memory(&another) == user).then_some(())
    })
    .await;

    let mut serve = Command::new(&program);
    serve.args(["serve", "--dev", "--grpc-port", "0", "--http-port", "0"]);
    serve.arg("--dev-dir").arg(home.join("dev"));
    let mut authenticator = start("authenticator", &mut serve);
    let env = home.join("dev/env");
    let within = Duration::from_secs(60);
    authenticator
        .until(within, async || env.exists())
        .await
        .unwrap();
    assert_eq!(owner_of_memory(&authenticator), 0);
    assert_eq!(core_limits(&authenticator), ["0", "0"]);
}

/// The kernel gives the files of a process that is not dumpable to root (proc(5)).
fn owner_of_memory(process: &Process) -> u32 {
    fs::metadata(format!("/proc/{}/mem", process.id()))
        .unwrap()
        .uid()
}

/// The soft and the hard limit.
fn core_limits(process: &Process) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words = core.unwrap().split_ascii_whitespace();
    words.take(2).map(str::to_owned).collect()
}
