//! `approzium serve --check`: all that serving takes, but for the serving.
//!
//! Everything is looked at, whatever is found wrong before: whoever repairs one thing wants to know
//! of the next. Nothing listens, and nobody is answered.

mod sts;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::http::Uri;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{address, common, session_keys, telemetry, tls, verifier};
use crate::{
    Error, Result,
    authenticator::{
        AuditLog, SecretsManager, ServerTls, audit::Reason, config::Config, open_files,
    },
    error::printable,
};

/// A certificate that is good for less is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What was found of one thing.
enum Finding {
    Good(String),
    /// Good as yet.
    Doubtful(String),
    Bad(String),
    /// There is nothing to be looked at; why.
    Unchecked(&'static str),
}

use Finding::{Bad, Doubtful, Good, Unchecked};

/// Looks at everything, says what it found, and whether all of it is good.
pub(super) async fn check(config: &Config) -> ExitCode {
    let findings = if config.dev {
        development(config).await
    } else {
        production(config).await
    };
    match write(&mut io::stdout().lock(), &findings) {
        // Whoever closed standard output wants the exit code alone.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ if findings.iter().any(|(_, found)| matches!(found, Bad(_))) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

type Findings = Vec<(&'static str, Finding)>;

async fn production(config: &Config) -> Findings {
    let tls = tls(config);
    let certificate = match &tls {
        Ok(Some(tls)) => certificate(tls),
        Ok(None) => Unchecked("plaintext, on loopback alone"),
        Err(error) => bad(error),
    };
    // The rest is looked at as if the certificate were good.
    let tls = tls.ok().flatten();
    let mut findings = vec![
        ("certificate", certificate),
        ("addresses", addresses(config).await),
        ("open files", open_files(config)),
        ("names", names(config, tls).await),
        ("session keys", shared_keys(config)),
        ("records", records(config).await),
        ("audit log", audit_log(config)),
        ("STS", sts::sts(config, verifier(config)).await),
        ("collector", collector().await),
    ];
    if config.v1_api.is_some() {
        let problem = "v1_api: it is on, and its proofs of identity can be replayed";
        findings.push(("v1 API", Doubtful(problem.to_owned())));
        findings.push(("v1 replays", replays(config).await));
    }
    findings
}

#[cfg(feature = "redis")]
async fn replays(config: &Config) -> Finding {
    match config.v1_replay_store() {
        Ok(Some(store)) => match store.reach().await {
            Ok(()) => Good("their Redis remembers them".to_owned()),
            Err(unavailable) => Bad(format!("v1_replay_store: {unavailable}")),
        },
        Ok(None) => Unchecked(ALONE),
        Err(error) => bad(&error),
    }
}

#[cfg(not(feature = "redis"))]
async fn replays(config: &Config) -> Finding {
    match config.v1_replay_store() {
        Ok(_) => Unchecked(ALONE),
        Err(error) => bad(&error),
    }
}

const ALONE: &str = "no v1_replay_store: each replica remembers its own alone";

/// A secrets manager is asked; files are read.
async fn records(config: &Config) -> Finding {
    let SecretsManager(secrets) = match config.secrets().await {
        Ok(manager) => manager,
        Err(error) => return bad(&error),
    };
    match secrets.examine().await {
        Ok(found) => Good(found),
        Err(unavailable) => {
            let reason = Reason::from(unavailable.trouble).as_str();
            let detail = printable(&unavailable.to_string());
            Bad(format!("secrets_manager: {reason}: {detail}"))
        }
    }
}

#[cfg(feature = "dev")]
async fn development(config: &Config) -> Findings {
    use super::dev;

    vec![
        (
            "development",
            judged(dev::refuse_production(config).map(|()| "nothing of production is near".into())),
        ),
        ("addresses", addresses(config).await),
        ("open files", open_files(config)),
        (
            "records",
            match &config.local_secrets_path {
                Some(path) => judged(dev::records(path).map(|_| "they can be read".to_owned())),
                None => Unchecked("they are made when it serves"),
            },
        ),
        ("audit log", audit_log(config)),
        (
            "STS",
            judged(
                dev::stand_in()
                    .await
                    .map(|_| "the stand-in begins".to_owned()),
            ),
        ),
        ("collector", collector().await),
    ]
}

#[cfg(not(feature = "dev"))]
async fn development(config: &Config) -> Findings {
    vec![("development", bad(&super::no_dev(config)))]
}

fn certificate(tls: &ServerTls) -> Finding {
    if let Err(error) = tls.fits() {
        return bad(&error);
    }
    if let Some(problem) = tls.exposed_key() {
        return Bad(problem);
    }
    let Some((from, until)) = tls.validity() else {
        return Bad("tls_cert_path: a certificate of the chain cannot be read".to_owned());
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let (begins, ends) = (date(from), date(until));
    if now < from {
        return Bad(format!("tls_cert_path: it is not valid before {begins}"));
    }
    if now > until {
        return Bad(format!("tls_cert_path: it has expired, on {ends}"));
    }
    if let Some(problem) = tls.unfit() {
        return Bad(problem);
    }
    if until - now < SOON.as_secs() {
        return Doubtful(format!("it fits its key, and expires soon: {ends}"));
    }
    Good(format!("it fits its key, and is valid until {ends}"))
}

async fn addresses(config: &Config) -> Finding {
    let found = async {
        let grpc = address(config, config.grpc_port).await?;
        let http = address(config, config.http_port).await?;
        Ok(format!("applications at {grpc}, operators at {http}"))
    };
    judged(found.await)
}

/// It serves with fewer, until there are as many connections.
fn open_files(config: &Config) -> Finding {
    match open_files::suffice(&config.limits) {
        Ok(found) => Good(found),
        Err(problem) => Doubtful(problem),
    }
}

async fn names(config: &Config, tls: Option<ServerTls>) -> Finding {
    let found = async {
        let mut builder = common(config).await?;
        builder = match tls {
            Some(tls) => builder.tls(tls),
            None if config.disable_tls => builder.disable_tls(),
            None => builder,
        };
        builder.reached_by()
    };
    judged(found.await.map(|names| names.join(", ")))
}

fn shared_keys(config: &Config) -> Finding {
    match session_keys(config) {
        Ok(Some(_)) => Good("they can be read".to_owned()),
        Ok(None) => Unchecked("no session_key_path: replicas do not know each other's sessions"),
        Err(error) => bad(&error),
    }
}

fn audit_log(config: &Config) -> Finding {
    match &config.audit_log_path {
        Some(path) => judged(AuditLog::try_open(path).map(|()| "it can be written".to_owned())),
        None => Unchecked("no audit_log_path: its lines are in the log"),
    }
}

/// It serves without one: what cannot be reached is no more than a warning. One that cannot be sent
/// to as it is asked ends it.
async fn collector() -> Finding {
    let collectors = telemetry::collectors();
    if collectors.is_empty() {
        return Unchecked("no OTEL_EXPORTER_OTLP_ENDPOINT: no spans or metrics are sent");
    }
    let mut named = Vec::new();
    for (variable, url) in collectors {
        let Ok(uri) = url.parse::<Uri>() else {
            return Bad(format!("{variable}: it is no URL"));
        };
        named.push((variable, uri));
    }
    if let Err(error) = telemetry::examine() {
        return bad(&error);
    }
    let mut reached = Vec::new();
    for (variable, uri) in named {
        // No password is shown that may stand before the host.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let at = printable(authority.rsplit('@').next().unwrap_or_default());
        match telemetry::dial(&uri).await {
            Ok(()) => reached.push(at),
            Err(error) => return Doubtful(format!("{variable}: {at}: {error}")),
        }
    }
    Good(format!("something listens at {}", reached.join(", ")))
}

fn judged(found: Result<String>) -> Finding {
    match found {
        Ok(found) => Good(found),
        Err(error) => bad(&error),
    }
}

fn bad(error: &Error) -> Finding {
    Bad(error.to_string())
}

fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| "a date of no calendar".to_owned())
}

fn write(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    for (thing, finding) in findings {
        let (verdict, said) = match finding {
            Good(said) => ("ok", said.as_str()),
            Doubtful(said) => ("warning", said.as_str()),
            Bad(said) => ("FAILED", said.as_str()),
            Unchecked(why) => ("-", *why),
        };
        writeln!(out, "{verdict:<9}{thing:<14}{said}")?;
    }
    out.flush()
}
