//! `approzium secret`: what it takes, and what it prints.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Command, Output, Stdio},
    time::Duration,
};

use approzium_peers::eventually;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

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
