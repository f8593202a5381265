//! A collector of spans and metrics: whether it is there, and whether it can be sent to as it is
//! asked.

use std::net::TcpListener;

use super::{Files, GOOD, said};
use crate::authenticator::process::{PASSWORD, command, failing};

/// It serves without a collector, and not with one that cannot be.
#[test]
fn a_collector_is_dialled() {
    let files = Files::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let url = format!("http://user:{PASSWORD}@{address}");
    let look = |variable: &str, url: &str, code: i32| {
        let mut command = files.command(&GOOD);
        command.args(["--grpc-port=0", "--http-port=0"]);
        let output = failing({
            command.env(variable, url);
            command
        });
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let line = said.lines().find(|line| line.contains(" collector "));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ] {
        let reached = look(variable, &url, 0);
        assert!(
            reached.starts_with("ok ") && reached.contains(&address),
            "{reached}"
        );
        let none = look(variable, "http://a collector", 1);
        assert!(
            none.starts_with("FAILED ") && none.contains(variable),
            "{none}"
        );
    }
    drop(taken);
    let away = look("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url, 0);
    assert!(
        away.starts_with("warning ") && away.contains(&address),
        "{away}"
    );
}

/// `serve` would not start, whoever listens there.
#[test]
fn a_collector_that_cannot_be_sent_to_as_it_is_asked_fails_both() {
    let files = Files::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", taken.local_addr().unwrap());
    let ports = ["--grpc-port=0", "--http-port=0"];
    for (variable, value, says, code) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/protobuf",
            "this pipeline speaks grpc alone",
            2,
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/no/such/file",
            "/no/such/file: No such file",
            1,
        ),
    ] {
        for mode in [&GOOD[..], &["--dev"]] {
            let serving = || {
                let mut serving = command(mode);
                serving.args(ports).current_dir(files.path());
                serving
                    .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
                    .env(variable, value);
                serving
            };
            let output = failing(serving());
            assert_eq!(output.status.code(), Some(code), "{mode:?}: {variable}");
            assert!(said(&output).contains(says), "{}", said(&output));

            let mut checking = serving();
            checking.args(["--check", "--without-sts"]);
            let output = failing(checking);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            let line = said.lines().find(|line| line.contains(" collector "));
            let line = line.unwrap_or_else(|| panic!("{said}"));
            assert!(line.starts_with("FAILED ") && line.contains(says), "{line}");
        }
    }
}
