use std::{collections::BTreeMap, io::Write as _};

use clap::{Args as _, Command, FromArgMatches as _};

use super::*;

pub(crate) fn load(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config> {
    let command = Arguments::augment_args(Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).unwrap();
    let arguments = Arguments::from_arg_matches(&matches).unwrap();
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::load(&arguments, &|name| variables.get(name).map(Into::into))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn defaults_are_the_originals() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.host, "127.0.0.1");
    assert_eq!((config.http_port, config.grpc_port), (6000, 6001));
    assert_eq!(config.log_level, "info");
    assert_eq!(config.log_format, LogFormat::Text);
    assert!(!config.disable_tls && !config.dev);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = file(
        "listener: {host: 10.0.0.1, grpc_port: 1, http_port: 4}\n\
         session: {audiences: [one, two]}\n",
    );
    let path = file.path().to_str().unwrap();
    let config = load(
        &["--config", path, "--grpc-port", "3"],
        &[
            ("APPROZIUM_GRPC_PORT", "2"),
            ("APPROZIUM_HTTP_PORT", "2"),
            ("APPROZIUM_HOST", ""),
        ],
    )
    .unwrap();
    assert_eq!(config.grpc_port, 3);
    assert_eq!(config.http_port, 2);
    assert_eq!(config.host, "10.0.0.1");
    assert_eq!(config.audiences, ["one", "two"]);
    let audiences = [("APPROZIUM_AUDIENCES", "three, four")];
    let config = load(&["--config", path], &audiences).unwrap();
    assert_eq!(config.audiences, ["three", "four"]);
}

#[test]
fn the_originals_api_is_off_and_its_proofs_say_a_quarter_of_an_hour_at_most() {
    assert_eq!(load(&[], &[]).unwrap().v1_api, None);
    let minutes = |minutes: u64| {
        Some(PresignedLimits {
            max_expires: Duration::from_secs(60 * minutes),
        })
    };
    assert_eq!(load(&["--v1-api"], &[]).unwrap().v1_api, minutes(15));
    let variables = [
        ("APPROZIUM_V1_API", "true"),
        ("APPROZIUM_V1_MAX_EXPIRES", "3600s"),
    ];
    assert_eq!(load(&[], &variables).unwrap().v1_api, minutes(60));
    for flags in [
        &["--v1-max-expires", "60m"][..],
        &["--v1-api", "--v1-max-expires", "61m"],
    ] {
        let text = load(flags, &[]).unwrap_err().to_string();
        assert!(text.contains("v1_max_expires (flag"), "{text}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn where_v1s_proofs_are_remembered_is_of_the_v1_api() {
    let store = "--v1-replay-store=redis://localhost";
    let password = "--v1-replay-store-password-path=/none";
    let text = load(&[store], &[]).unwrap_err().to_string();
    assert!(text.contains("v1_replay_store (flag"), "{text}");
    let asked = |flags: &[&str]| load(flags, &[]).unwrap().v1_replay_store();
    assert!(asked(&["--v1-api"]).unwrap().is_none());
    assert!(asked(&["--v1-api", store]).unwrap().is_some());
    for flags in [&["--v1-api", password][..], &["--v1-api", store, password]] {
        let text = asked(flags).unwrap_err().to_string();
        assert!(text.contains("v1_replay_store_password_path"), "{text}");
    }
}

#[test]
fn an_error_names_the_key_and_its_source() {
    let file = file("limits: {max_iterations: many}\n");
    let path = file.path().to_str().unwrap();
    for (flags, variables, key, says) in [
        (
            &["--grpc-port", "70000"][..],
            &[][..],
            "grpc_port",
            "flag --grpc-port",
        ),
        (
            &[],
            &[("APPROZIUM_HTTP_PORT", "x")],
            "http_port",
            "variable APPROZIUM_HTTP_PORT",
        ),
        (
            &[],
            &[("APPROZIUM_DISABLE_TLS", "yes")],
            "disable_tls",
            "neither",
        ),
        (&["--config", path], &[], "max_iterations", "section limits"),
        (&["--config", "/no/such"], &[], "config", "/no/such"),
        (&["--log-format", "xml"], &[], "log_format", "--log-format"),
        (&["--log-level", "a=b=c"], &[], "log_level", "--log-level"),
        (
            &["--session-lifetime", "16m"],
            &[],
            "session_lifetime",
            "15m",
        ),
        (
            &["--secrets-manager", "file"],
            &[],
            "secrets_manager",
            "local",
        ),
        (
            &["--max-connections", "0"],
            &[],
            "max_connections",
            "at least 1",
        ),
        (
            &["--sts-regions=us-east-1,mars-north-1"],
            &[],
            "sts_regions",
            "\"mars-north-1\" is no region",
        ),
        (
            &["--sts-regions=eu-central-1", "--sts-fips"],
            &[],
            "sts_regions",
            "FIPS",
        ),
        (&["--without-sts"], &[], "without_sts", "--check"),
        (
            &["--min-iterations", "200000"],
            &[],
            "min_iterations",
            "max_iterations",
        ),
    ] {
        let error = load(flags, variables).unwrap_err();
        assert!(error.is_configuration());
        let text = error.to_string();
        assert!(text.contains(key) && text.contains(says), "{text}");
    }
}

#[test]
fn the_ports_of_one_host_are_two() {
    for (flags, says) in [
        (
            &["--http-port=7000", "--grpc-port=7000"][..],
            "http_port (flag --http-port): 7000 is grpc_port's, too",
        ),
        (&["--grpc-port=6000"], "grpc_port (flag --grpc-port): 6000"),
        (&["--http-port=6001"], "http_port (flag --http-port): 6001"),
    ] {
        let error = load(flags, &[]).unwrap_err();
        assert!(error.is_configuration() && !error.is_retryable());
        assert!(error.to_string().contains(says), "{error}");
    }
    load(&["--http-port=0", "--grpc-port=0"], &[]).unwrap();
}

/// Whoever set it meant something: not to heed it could mean no client certificates.
#[cfg(unix)]
#[test]
fn a_variable_that_cannot_be_read_is_not_passed_over() {
    let garbled: OsString = std::os::unix::ffi::OsStringExt::from_vec(b"/etc/\xff.pem".to_vec());
    let error = Config::load(&Arguments::default(), &|name| {
        (name == "APPROZIUM_CLIENT_CA_PATH").then(|| garbled.clone())
    });
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("client_ca_path (variable APPROZIUM_CLIENT_CA_PATH)"),
        "{text}"
    );
}

/// The default is another list, and it would let in proofs for other names.
#[test]
fn a_list_without_items_is_a_mistake() {
    let file = file("session: {audiences: []}\n");
    let path = file.path().to_str().unwrap();
    for (flags, variables) in [
        (&["--config", path][..], &[][..]),
        (&["--audiences", " , "], &[]),
        (&[], &[("APPROZIUM_AUDIENCES", " ")]),
    ] {
        let text = load(flags, variables).unwrap_err().to_string();
        assert!(text.contains("audiences ("), "{text}");
    }
}
