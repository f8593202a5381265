//! `approzium serve --check`: each thing that is not good is named, and nothing listens.

mod collector;

use std::{
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use approzium_peers::{
    Authority,
    certificates::{Certificate, Signature},
};

use super::process::{PASSWORD, command, failing, limited, record, write_private};
use crate::NO_SUCH_HOST;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(Signature::EcdsaP256Sha256);
        authority
            .localhost()
            .write(folder.path(), "server")
            .unwrap();
        authority.localhost().write(folder.path(), "other").unwrap();
        let files = Files(folder);
        files.dated("expired", 2001, 2002);
        files.dated("future", 2999, 3000);
        let mut itself = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        itself.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        files.signed_by_itself("itself", itself);
        let nameless = authority.server(&["*.example"]);
        nameless.write(files.path(), "nameless").unwrap();
        files.private("good.yaml", &record("app", ""));
        files.private("bad.yaml", &format!("- password: {PASSWORD}\n"));
        files.private("short.keys", "c2hvcnQ=\n");
        files.private("unknown.yaml", "listener: {grpc_prot: 1}\n");
        files
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn private(&self, name: &str, text: &str) {
        write_private(&self.path().join(name), text);
    }

    /// A certificate that is valid from the beginning of one year to that of another.
    fn dated(&self, name: &str, from: i32, until: i32) {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        self.signed_by_itself(name, params);
    }

    fn signed_by_itself(&self, name: &str, params: rcgen::CertificateParams) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let certificate = Certificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
        };
        certificate.write(self.path(), name).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&["--check", "--without-sts"]);
        command.args(arguments).current_dir(self.path());
        command
    }
}

fn said(output: &Output) -> String {
    let said = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
    assert!(!said.contains(PASSWORD), "{said}");
    said
}

const GOOD: [&str; 3] = [
    "--tls-cert-path=server.crt",
    "--tls-key-path=server.key",
    "--local-secrets-path=good.yaml",
];

#[test]
fn what_is_good_is_said_and_nothing_listens() {
    let files = Files::new();
    // Ports that are taken harm nobody who does not listen.
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, http] = taken.each_ref().map(|one| one.local_addr().unwrap().port());
    let mut command = files.command(&GOOD);
    command.arg(format!("--grpc-port={port}"));
    command.arg(format!("--http-port={http}"));
    command.arg("--audit-log-path=audit.log");
    let output = failing(command);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "ok       certificate   it fits its key, and is valid until ",
        &format!("ok       addresses     applications at 127.0.0.1:{port}"),
        "ok       open files    ",
        "ok       names         127.0.0.1, ",
        "-        session keys  ",
        "ok       records       ",
        "ok       audit log     it can be written",
        "-        STS           --without-sts",
        "-        collector     no OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!files.path().join("audit.log").exists(), "it makes nothing");
}

/// It is a choice, and one to be reminded of.
#[test]
fn the_originals_api_is_worth_a_warning() {
    let files = Files::new();
    let mut command = files.command(&GOOD);
    command.args(["--v1-api", "--grpc-port=0", "--http-port=0"]);
    let output = failing(command);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning  v1 API        v1_api: "), "{said}");
}

/// It serves nevertheless, until all of them are taken.
#[test]
fn too_few_files_for_as_many_connections_are_worth_a_warning() {
    let files = Files::new();
    let mut command = files.command(&GOOD);
    command.args(["--grpc-port=0", "--http-port=0"]);
    let output = failing(limited(&command, "-n 1000"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let warning = "warning  open files    max_connections: ";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn a_key_that_others_can_reach_is_none() {
    let files = Files::new();
    for (mode, good) in [
        (0o600, true),
        (0o440, true),
        (0o640, true),
        (0o644, false),
        (0o660, false),
        (0o604, false),
    ] {
        let mode_of_key = Permissions::from_mode(mode);
        std::fs::set_permissions(files.path().join("server.key"), mode_of_key).unwrap();
        let output = failing(files.command(&GOOD));
        let said = said(&output);
        assert_eq!(output.status.success(), good, "{mode:o}: {said}");
        let says =
            format!("FAILED   certificate   tls_key_path: server.key: its mode is {mode:04o}");
        assert_eq!(said.contains(&says), !good, "{says}: {said}");
    }
}

#[test]
fn what_is_not_good_is_named_beside_what_is() {
    let files = Files::new();
    let [cert, key, records] = GOOD;
    for (arguments, thing, says) in [
        (
            &[cert, "--tls-key-path=other.key", records][..],
            "certificate",
            "tls_key_path",
        ),
        (
            &[
                "--tls-cert-path=expired.crt",
                "--tls-key-path=expired.key",
                records,
            ],
            "certificate",
            "expired, on 2002-01-01",
        ),
        (
            &[
                "--tls-cert-path=future.crt",
                "--tls-key-path=future.key",
                records,
            ],
            "certificate",
            "not valid before 2999-01-01",
        ),
        (
            &[
                "--tls-cert-path=itself.crt",
                "--tls-key-path=itself.key",
                records,
            ],
            "certificate",
            "tls_cert_path: applications refuse it: it is a CA's own certificate",
        ),
        (&[records], "certificate", "tls_cert_path: it is missing"),
        (
            &[cert, key, records, "--client-ca-path=good.yaml"],
            "certificate",
            "client_ca_path",
        ),
        (&[cert, key], "records", "secrets_manager"),
        (
            &[cert, key, "--local-secrets-path=bad.yaml"],
            "records",
            "local_secrets_path",
        ),
        (
            &[cert, key, "--local-secrets-path=absent.yaml"],
            "records",
            "absent.yaml",
        ),
        (
            &[cert, key, records, "--session-key-path=short.keys"],
            "session keys",
            "session_key_path",
        ),
        (
            &[
                cert,
                key,
                records,
                "--audit-log-path=no/such/folder/audit.log",
            ],
            "audit log",
            "audit_log_path: no/such/folder/audit.log: ",
        ),
        (
            // The folder itself.
            &[cert, key, records, "--audit-log-path=."],
            "audit log",
            "audit_log_path: .: ",
        ),
        (
            &[cert, key, records, "--audiences=a b"],
            "names",
            "audience",
        ),
        (
            &[
                "--tls-cert-path=nameless.crt",
                "--tls-key-path=nameless.key",
                records,
                "--host=0.0.0.0",
            ],
            "names",
            "audiences: there are none",
        ),
        (
            &[cert, key, records, &format!("--host={NO_SUCH_HOST}")],
            "addresses",
            "host",
        ),
        (
            &[records, "--disable-tls", "--host=0.0.0.0"],
            "names",
            "loopback",
        ),
        (
            &[cert, key, records, "--aws-region=mars-north-1"],
            "STS",
            "mars-north-1",
        ),
    ] {
        let output = failing(files.command(arguments));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let failed: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("FAILED"))
            .collect();
        let line = failed.iter().find(|line| line.contains(thing));
        let line = line.unwrap_or_else(|| panic!("{arguments:?}: {said}"));
        assert!(line.contains(says), "{arguments:?}: {line}");
        // One thing is wrong, and the others are looked at all the same.
        assert!(said.lines().count() >= 7, "{said}");
    }
}

/// It would answer to nobody: no proof is for `0.0.0.0`, nor for a wildcard.
#[test]
fn without_a_name_that_can_be_dialled_it_does_not_begin() {
    let files = Files::new();
    for host in ["0.0.0.0", "::"] {
        let host = format!("--host={host}");
        let [cert, key] = [
            "--tls-cert-path=nameless.crt",
            "--tls-key-path=nameless.key",
        ];
        let mut command = command(&[cert, key, GOOD[2], &host]);
        command.current_dir(files.path());
        let output = failing(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("audiences") && said.contains("by which applications dial"),
            "{said}"
        );
    }
}

#[test]
fn settings_that_are_not_understood_are_another_exit_code() {
    let files = Files::new();
    for (argument, code) in [
        ("--config=unknown.yaml", 2),
        ("--grpc-port=many", 2),
        ("--grpc-port=6000", 2),
        ("--no-such-flag", 2),
        // It may come, and nothing is known of what it will say.
        ("--config=absent.yaml", 1),
    ] {
        let output = failing(files.command(&[argument]));
        assert_eq!(output.status.code(), Some(code), "{argument}");
    }
}

#[test]
fn development_mode_is_looked_at_as_what_it_is() {
    let files = Files::new();
    let made = files.path().join("made");
    let mut command = files.command(&["--dev", "--local-secrets-path=good.yaml", "--dev-dir"]);
    command.arg(&made);
    let output = failing(command);
    let said_of = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said_of}");
    assert!(
        said_of.contains("ok       STS           the stand-in"),
        "{said_of}"
    );
    assert!(!made.exists(), "it makes nothing");
    let output = failing(files.command(&["--dev", "--sts-fips"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("FAILED   development   "));
}
