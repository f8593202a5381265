//! `approzium secret`: what it takes, and what it prints.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Command, Output, Stdio},
    time::Duration,
};

use approzium_peers::eventually;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::process::PASSWORD;

const SOON: Duration = Duration::from_secs(60);

fn secret(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
    command
        .arg("secret")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const GOOD: [&str; 6] = [
    "--dbhost",
    "db.internal",
    "--dbuser",
    "s'h\"o: p",
    "--iam-arn",
    "arn:aws:iam::123456789012:role/checkout",
];

fn given(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    // Whoever refuses its arguments reads nothing.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

/// What it makes of a password, or of one that nobody ever sees, for the role `checkout`.
pub(crate) fn made(arguments: &[&str], password: Option<&str>) -> Value {
    let role = "arn:aws:iam::000000000000:role/checkout";
    let mut command = secret(arguments);
    command.args(["--format", "json", "--iam-arn", role]);
    if password.is_none() {
        command.arg("--generate");
    }
    let output = given(command, password.unwrap_or_default().as_bytes());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn it_prints_a_record_under_its_alter_role() {
    let output = given(secret(&GOOD), format!("{PASSWORD}\r\n").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let (first, rest) = text.split_once('\n').unwrap();
    let begins = "# ALTER ROLE \"s'h\"\"o: p\" PASSWORD 'SCRAM-SHA-256$4096:";
    assert!(first.starts_with(begins), "{first}");
    assert!(first.ends_with("';"), "{first}");
    let begins = "- dbhost: db.internal\n  dbport: 5432\n  dbuser: ";
    assert!(rest.starts_with(begins), "{rest}");
    for key in ["salt: ", "client_key: ", "server_key: ", "iam_arns:\n"] {
        assert_eq!(rest.matches(key).count(), 1, "{rest}");
    }
    // Another salt each time, and so other keys.
    let again = given(secret(&GOOD), format!("{PASSWORD}\n").as_bytes());
    assert_ne!(again.stdout, text.as_bytes());
}

/// As MySQL makes them, whose account keeps the digest of the first one's digest.
#[test]
fn mysql_s_records_hold_the_digests_of_the_first_stage() {
    let sha1 = Sha1::digest(PASSWORD);
    let (native, caching) = (
        BASE64_STANDARD.encode(sha1),
        BASE64_STANDARD.encode(Sha256::digest(PASSWORD)),
    );
    let kept: String = Sha1::digest(sha1)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let account = ["--dbhost", "db.internal", "--dbuser", "o'b`c"];
    let by = |methods: &[&str]| made(&[&account[..], methods].concat(), Some(PASSWORD));
    let iam_arns = ["arn:aws:iam::000000000000:role/checkout"];

    let alter_user = |host| {
        format!("ALTER USER `o'b``c`@{host} IDENTIFIED WITH mysql_native_password AS '*{kept}';")
    };
    assert_eq!(
        by(&["--method", "mysql_native_password"]),
        json!({
            "record": {"o'b`c": {
                "mysql_native_password": native,
                "iam_arns": iam_arns,
                "methods": ["mysql_native_password"],
            }},
            "authentication_string": format!("*{kept}"),
            "alter_user": alter_user("`%`"),
        })
    );
    let there = by(&["--method=mysql_native_password", "--account-host=10.0.%"]);
    assert_eq!(there["alter_user"], alter_user("`10.0.%`"));
    assert_eq!(
        by(&["--method", "caching_sha2_password"]),
        json!({"record": {"o'b`c": {
            "caching_sha2_password": caching,
            "iam_arns": iam_arns,
            "methods": ["caching_sha2_password"],
        }}})
    );
    let both = by(&[
        "--method=caching_sha2_password",
        "--method=mysql_native_password",
    ]);
    let record = &both["record"]["o'b`c"];
    assert_eq!(record["mysql_native_password"], native);
    assert_eq!(record["caching_sha2_password"], caching);
    assert_eq!(both["alter_user"], alter_user("`%`"));

    let good = &GOOD[..];
    for (method, begins) in [
        (
            "mysql_native_password",
            "# ALTER USER `s'h\"o: p`@`%` IDENTIFIED WITH",
        ),
        (
            "caching_sha2_password",
            "# MySQL is told the password itself: ",
        ),
    ] {
        let command = secret(&[good, &["--method", method]].concat());
        let text = String::from_utf8(given(command, PASSWORD.as_bytes()).stdout).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with(begins), "{first}");
        let begins = "- dbhost: db.internal\n  dbport: 3306\n";
        assert!(rest.starts_with(begins), "{rest}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let (native, caching) = (
        "--method=mysql_native_password",
        "--method=caching_sha2_password",
    );
    for (more, says) in [
        (&["--method=scram-sha-256", native][..], "one database"),
        (&["--method=scram-sha-256", caching], "one database"),
        (&[native, "--iterations=5000"], "--iterations"),
        (&["--iterations=4095"], "4096 to 100000"),
        (&["--iterations=100001"], "4096 to 100000"),
        (&["--iterations=4294967295"], "4096 to 100000"),
        (&["--account-host=%"], "--account-host"),
        (&[caching, "--account-host=%"], "--account-host"),
        (&[native, "--account-host=a\nb"], "--account-host"),
        (&[caching, "--generate"], "--generate"),
        (&["--method=md5"], "--method"),
    ] {
        let output = given(secret(&[&GOOD[..], more].concat()), b"hunter2\n");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {error}");
        assert!(error.contains(says), "{more:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_no_password_or_no_record_is_refused_and_never_shown() {
    let long = "x".repeat(4_097);
    for (input, says) in [
        ("", "there is no password"),
        ("\n", "there is no password"),
        ("canary\nhunter2\n", "one line"),
        ("canary\u{0}hunter2", "one line"),
        (&long, "longer"),
    ] {
        let output = given(secret(&GOOD), input.as_bytes());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains("xx"),
            "{error}"
        );
        assert!(output.stdout.is_empty());
    }
    for (at, value) in [(1, ""), (3, "a\nb"), (5, "*"), (5, "arn:aws:iam::1:root*")] {
        let mut arguments = GOOD;
        arguments[at] = value;
        let output = given(secret(&arguments), b"hunter2\n");
        assert_eq!(output.status.code(), Some(2), "{value}");
    }
    // There is no argument for it.
    let output = given(secret(&[&GOOD[..], &["--password=x"]].concat()), b"");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_terminal_shows_nothing_of_what_is_typed() {
    for (again, succeeds) in [(PASSWORD, true), ("another", false)] {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let prompts = folder.path().join("prompts");
        let mut command = secret(&GOOD);
        command
            .stdin(side.try_clone().unwrap())
            .stderr(File::create(&prompts).unwrap());
        let child = command.spawn().unwrap();
        let mut terminal = File::from(terminal);
        for (prompt, typed) in [("Password: ", PASSWORD), ("again: ", again)] {
            eventually(prompt, SOON, async || {
                let shown = std::fs::read_to_string(&prompts).unwrap();
                shown.ends_with(prompt).then_some(())
            })
            .await;
            writeln!(terminal, "{typed}").unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.success(), succeeds);
        assert_eq!(output.stdout.is_empty(), !succeeds);

        // It shows things again once it was asked.
        writeln!(terminal, "marker").unwrap();
        let mut shown = String::new();
        while !shown.contains("marker") {
            let mut piece = [0; 64];
            let length = terminal.read(&mut piece).unwrap();
            shown += std::str::from_utf8(&piece[..length]).unwrap();
        }
        assert!(
            !shown.contains("hunter2") && !shown.contains("another"),
            "{shown}"
        );
        drop(side);
    }
}
