//! `approzium check`: each hop made to fail, on real servers, and what it says of it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use approzium::{
    AuthClient, TlsConfig,
    authenticator::{self, LocalSecrets, ServerTls, dev::DevSts},
    diagnosis::{Step, diagnose},
};
use approzium_peers::{
    Authenticator, Authority, Method, Postgres, Record, Result, Rule, eventually, free_port, peer,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::Value;

use crate::{NO_SUCH_HOST, authenticator::process::write_private};

const PASSWORD: &str = "canary-correct-horse";
const SOON: Duration = Duration::from_secs(20);

/// A database, its Authenticator, and a port at which nothing listens.
struct World {
    database: Postgres,
    authenticator: Authenticator,
    nothing: u16,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Result<Self> {
        let database = Postgres::builder()
            .rule(Rule::host_ssl("app", Method::ScramSha256))
            .rule(Rule::host_ssl("rotated", Method::ScramSha256))
            .start()
            .await?;
        for role in ["app", "rotated"] {
            database.role(role, PASSWORD, Method::ScramSha256).await?;
        }
        let nothing = free_port();
        let record = |host, port, user, password| Record {
            host,
            port,
            user,
            password,
            roles: &["checkout"],
        };
        let port = database.port();
        let records = [
            record(database.host(), port, "app", PASSWORD),
            record(database.host(), port, "rotated", "canary-of-yesterday"),
            record("127.0.0.1", nothing, "app", PASSWORD),
            record(NO_SUCH_HOST, port, "app", PASSWORD),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_approzium"));
        let authenticator = Authenticator::start(program, &records, None).await?;
        Ok(World {
            database,
            authenticator,
            nothing,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// The application's connection string.
    fn string(&self, user: &str) -> String {
        self.string_at(self.database.host(), self.database.port(), user)
    }

    fn string_at(&self, host: &str, port: u16, user: &str) -> String {
        let ca = self.database.ca_path();
        format!(
            "host={host} port={port} user={user} dbname=postgres sslrootcert='{}'",
            ca.display()
        )
    }

    /// The authority of nobody here.
    fn stranger(&self) -> PathBuf {
        let path = self.folder.path().join("stranger.pem");
        Authority::default().write(path).unwrap()
    }

    /// In the environment of the role `checkout`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
        command.arg("check").args(arguments).env_clear();
        command.envs(self.authenticator.environment());
        // No name server is asked for the names that nobody has: resolv.conf(5).
        command.env("RES_OPTIONS", "attempts:0");
        command
    }

    fn json(&self, mut command: Command) -> Value {
        let output = command.arg("--json").output().unwrap();
        let said = said(&output);
        let found: Value = serde_json::from_slice(&output.stdout).expect(&said);
        let code = if found["ok"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{said}");
        found
    }
}

fn said(output: &Output) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("canary"), "{said}");
    said
}

/// The steps with this status.
fn with_status<'a>(found: &'a Value, status: &str) -> Vec<&'a str> {
    let steps = found["steps"].as_array().unwrap().iter();
    steps
        .filter(|step| step["status"] == status)
        .map(|step| step["step"].as_str().unwrap())
        .collect()
}

/// One step failed, by that name and for that reason; these others were not tried.
fn assert_failed(found: &Value, step: &str, says: &str, not_tried: &[&str]) -> Value {
    assert_eq!(found["failed"], step, "{found:#}");
    assert_eq!(with_status(found, "failed"), [step], "{found:#}");
    assert_eq!(with_status(found, "not_tried"), not_tried, "{found:#}");
    let steps = found["steps"].as_array().unwrap();
    let failed = steps.iter().find(|one| one["step"] == step).unwrap();
    let error = failed["error"].clone();
    let text = format!("{} {}", error["message"], error["help"]);
    assert!(text.contains(says), "{says}: {found:#}");
    error
}

const BEHIND_THE_SESSION: [&str; 3] = ["session", "record", "login"];

#[tokio::test(flavor = "multi_thread")]
async fn who_can_connect_is_told_so_and_leaves_nothing_behind() {
    let world = peer!(World::start());
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    collector.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let string = world.string("app");
    let mut command = world.command(&["--database", &string]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let output = command.output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let steps: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ok ")?.split_whitespace().next())
        .collect();
    assert_eq!(
        steps,
        [
            "authenticator-name",
            "authenticator-dial",
            "authenticator-tls",
            "credentials",
            "session",
            "record",
            "database-name",
            "database-dial",
            "database-tls",
            "login",
        ],
        "{text}"
    );
    assert!(text.contains("assumed-role/checkout/dev"), "{text}");
    assert!(text.ends_with("an application can connect\n"), "{text}");

    let exported = collector.accept();
    assert!(exported.is_err(), "it exports nothing: {exported:?}");
    // One login was given up when the record was known, the other was made and ended in order.
    for reason in ["client_cancelled", "login_verified"] {
        eventually(reason, SOON, async || {
            world.authenticator.log().contains(reason).then_some(())
        })
        .await;
    }
    let log = world.database.log();
    assert!(!log.contains("unexpected EOF"), "{log}");
    assert!(!log.contains("SSL error"), "{log}");
    // Without a database only the Authenticator is asked for.
    let found = world.json(world.command(&[]));
    assert_eq!(with_status(&found, "ok").len(), 5, "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_to_the_authenticator_is_named_when_it_fails() {
    let world = peer!(World::start());
    let string = world.string("app");
    let check = |arguments: &[&str]| {
        world.json(world.command(&[&["--database", &string], arguments].concat()))
    };
    let behind = |steps: &[&'static str]| [steps, &BEHIND_THE_SESSION].concat();

    let found = check(&["--authenticator=no.such.host.invalid:6001"]);
    let not_tried = behind(&["authenticator-dial", "authenticator-tls"]);
    assert_failed(
        &found,
        "authenticator-name",
        "cannot be resolved",
        &not_tried,
    );

    let nobody = format!("--authenticator=127.0.0.1:{}", world.nothing);
    let found = check(&[&nobody]);
    let not_tried = behind(&["authenticator-tls"]);
    let error = assert_failed(&found, "authenticator-dial", "nothing listens", &not_tried);
    assert_eq!(error["retryable"], true);

    let stranger = format!("--ca={}", world.stranger().display());
    let found = check(&[&stranger]);
    assert_failed(
        &found,
        "authenticator-tls",
        "no CA that",
        &BEHIND_THE_SESSION,
    );

    let database = format!("--authenticator=127.0.0.1:{}", world.database.port());
    let found = check(&[&database]);
    assert_eq!(found["failed"], "authenticator-tls", "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_prove_who_he_is_is_told_where_that_ends() {
    let world = peer!(World::start());
    let string = world.string("app");
    let check = |more: &[(&str, &str)], arguments: &[&str]| {
        let mut command = world.command(&["--database", &string]);
        command.args(arguments).envs(more.iter().copied());
        world.json(command)
    };
    let empty = world.folder.path().join("credentials");
    std::fs::write(&empty, "").unwrap();
    let nobody = ("AWS_SHARED_CREDENTIALS_FILE", empty.to_str().unwrap());
    let found = check(&[nobody], &[]);
    let error = assert_failed(&found, "credentials", "credentials", &BEHIND_THE_SESSION);
    assert_eq!(error["hop"], "cloud credentials");

    let forged = [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let found = check(&forged, &[]);
    let error = assert_failed(&found, "session", "did not accept", &["record", "login"]);
    let request = error["request_id"].as_str().unwrap();
    assert!(world.authenticator.log().contains(request));

    let found = check(&[], &["--audience=another.internal"]);
    assert_failed(&found, "session", "audience", &["record", "login"]);

    let found = check(&[("AWS_PROFILE", "intruder")], &[]);
    let error = assert_failed(&found, "record", "denies permission", &["login"]);
    let request = error["request_id"].as_str().unwrap();
    assert!(world.authenticator.log().contains(request));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_to_the_database_is_named_when_it_fails() {
    let world = peer!(World::start());
    let port = world.database.port();
    let check = |string: &str| world.json(world.command(&["--database", string]));

    let found = check(&world.string_at(NO_SUCH_HOST, port, "app"));
    let not_tried = ["database-dial", "database-tls", "login"];
    assert_failed(&found, "database-name", NO_SUCH_HOST, &not_tried);

    let found = check(&world.string_at("127.0.0.1", world.nothing, "app"));
    let not_tried = ["database-tls", "login"];
    assert_failed(&found, "database-dial", "refused", &not_tried);

    let stranger = world.stranger();
    let string = format!(
        "{} sslrootcert='{}'",
        world.string("app"),
        stranger.display()
    );
    let found = check(&string);
    assert_failed(&found, "database-tls", "authority", &["login"]);

    let found = check(&world.string("rotated"));
    let error = assert_failed(&found, "login", "password authentication failed", &[]);
    assert_eq!(error["sqlstate"], "28P01");
    let request = error["request_id"].as_str().unwrap();
    assert!(world.authenticator.log().contains(request));

    // Another server of the list is good, and an application would find it.
    let hosts = format!("127.0.0.1,{}", world.database.host());
    let ports = format!("{},{port}", world.nothing);
    let string = world.string("app");
    let (_, rest) = string.split_once(" user=").unwrap();
    let found = check(&format!("host={hosts} port={ports} user={rest}"));
    assert_eq!(found["failed"], "database-dial", "{found:#}");
    assert!(with_status(&found, "ok").contains(&"login"), "{found:#}");
}

/// Under TLS 1.3 a server judges its client's certificate when the client's handshake is over.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_to_show_is_told_so_of_tls() {
    let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("secrets.yaml");
    write_private(&records, "[]");
    let (authority, clients) = (Authority::default(), Authority::default());
    let server = authority.localhost();
    let tls = ServerTls::from_pem(server.certificate_pem.as_bytes(), server.key_pem.as_bytes());
    let tls = tls
        .unwrap()
        .with_client_ca(clients.pem().as_bytes())
        .unwrap();
    let running = authenticator::Authenticator::builder()
        .tls(tls)
        .verifier(sts.verifier())
        .secrets(LocalSecrets::open(&records).unwrap())
        .start()
        .await
        .unwrap();
    let check = async |tls: TlsConfig| {
        let credentials = sts.identity("checkout").unwrap().credentials();
        let client = AuthClient::builder(running.grpc_addr().to_string())
            .tls(tls.roots_pem(authority.pem()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region("eu-central-1")
            .build()
            .unwrap();
        diagnose(&client, None).await.unwrap()
    };
    let own = |authority: &Authority| {
        let own = authority.client("checkout");
        TlsConfig::new().client_certificate_pem(own.certificate_pem, own.key_pem)
    };
    let good = check(own(&clients)).await;
    assert!(good.failure().is_none(), "{good}");
    for tls in [TlsConfig::new(), own(&Authority::default())] {
        let found = check(tls).await;
        let (step, error) = found.failure().unwrap();
        assert_eq!(step, Step::AuthenticatorTls, "{found}");
        assert!(error.to_string().contains("certificate"), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_are_another_exit_code() {
    let world = peer!(World::start());
    for (arguments, says) in [
        (&["--authenticator=a b"][..], "address"),
        (&["--ca=/no/such.pem"], "/no/such.pem"),
        (&["--audience=a b"], "audience"),
        (&["--client-key=/no/such.key"], "--client-certificate"),
        (&["--database=host=a password=canary"], "password"),
        (&["--database=postgresql://a:canary@b/c"], "password"),
        (&["--database=host=a sslmode=sometimes"], "sslmode"),
        (
            &["--database=host=a sslmode=disable channel_binding=require"],
            "channel_binding",
        ),
    ] {
        let output = world.command(arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{said}");
    }
    let mut nowhere = world.command(&[]);
    let output = nowhere.env_remove("APPROZIUM_ADDRESS").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
