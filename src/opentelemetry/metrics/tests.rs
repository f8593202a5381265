//! What is measured, with exporters into memory.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use ::opentelemetry::global;

use super::*;
use crate::{
    error::{Error, Hop, Kind},
    opentelemetry::{
        ConnectSpan, ConnectionInfo, Failure, Identity, Phase, QuerySpan, Server, instrument_with,
        sql::{Description, describe},
        testing::{Meters, Recorder},
        uninstrument,
    },
};

fn server() -> Server<'static> {
    Server {
        host: "db.example",
        port: 5433,
        peer: Some(([10, 0, 0, 7], 5433).into()),
        database: "shop",
        schema: None,
    }
}

/// A connection whose operations are measured here alone.
fn connection(meters: &Meters) -> (Arc<Instrumentation>, Arc<ConnectionInfo>) {
    let own = Arc::new(Instrumentation::new().meter_provider(meters.provider.clone()));
    let identity = Identity {
        authenticated: true,
        iam_arn: Some("arn:aws:sts::123456789012:assumed-role/checkout/i-0abc"),
        authenticator_address: Some("authenticator.example:6000"),
        request_id: Some("7f"),
        num_connections: Some(3),
    };
    let connection = ConnectionInfo::postgresql(&server(), &identity, Some(Arc::clone(&own)));
    (own, connection)
}

fn run(connection: &Arc<ConnectionInfo>, text: &str, result: Result<u64, Failure>) {
    let span = QuerySpan::start(connection, || describe(text));
    match result {
        Ok(rows) => {
            span.rows(rows);
            span.finish();
        }
        Err(failure) => span.fail(|| failure),
    }
}

fn said(code: &str) -> Failure {
    Failure {
        error_type: code.to_owned().into(),
        status_code: Some(code.to_owned()),
        description: "ERROR".into(),
    }
}

/// The labels of every operation of that connection.
const SERVER: [(&str, &str); 4] = [
    ("db.system.name", "postgresql"),
    ("db.namespace", "shop"),
    ("server.address", "db.example"),
    ("server.port", "5433"),
];

#[tokio::test]
async fn the_list_names_what_is_measured_and_nothing_else() {
    let meters = Meters::start();
    let (own, info) = connection(&meters);
    let connect = ConnectSpan::start(&server(), Some(&own));
    drop(connect.phase(Phase::Dial));
    connect.opened(&info, &server(), Duration::from_secs(2));
    connect.fail(&Error::new(Kind::PermissionDenied, Hop::Handshake, "no"));
    session_renewal(Some(&own), &Result::Ok(()));
    run(&info, "SELECT", Ok(1));
    drop(QuerySpan::start_observed(
        &info,
        &Arc::default(),
        None,
        Instant::now(),
    ));
    drop(info);
    let measured: BTreeSet<_> = meters.points().into_iter().map(|one| one.name).collect();
    let listed: BTreeSet<_> = METRICS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(measured, listed);
    assert_eq!(listed.len(), METRICS.len(), "a name stands twice");
}

#[tokio::test]
async fn an_operation_is_labelled_as_the_conventions_ask_and_never_with_who_ran_it() {
    let meters = Meters::start();
    let (_, info) = connection(&meters);
    run(&info, "SELECT note FROM orders WHERE id = $1", Ok(42));
    let duration = meters.only("db.client.operation.duration");
    let labels = [
        &SERVER[..],
        &[
            ("db.operation.name", "SELECT"),
            ("db.collection.name", "orders"),
        ],
    ]
    .concat();
    duration.assert_labels(&labels);
    assert_eq!((duration.unit.as_str(), duration.count), ("s", Some(1)));
    let advised = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    assert_eq!(duration.bounds, advised);
    let rows = meters.only("db.client.response.returned_rows");
    rows.assert_labels(&labels);
    assert_eq!((rows.unit.as_str(), rows.sum), ("{row}", 42.0));
}

#[tokio::test]
async fn an_error_is_a_sqlstate_or_a_word_of_ours() {
    let meters = Meters::start();
    let (_, info) = connection(&meters);
    run(&info, "SELECT", Err(said("42P01")));
    // Nothing that a database makes up becomes a label.
    run(&info, "SELECT", Err(said("canary'; value")));
    drop(QuerySpan::start(&info, || describe("SELECT")));
    let errors: BTreeSet<_> = meters
        .named("db.client.operation.duration")
        .into_iter()
        .map(|point| {
            let label = |key: &str| point.labels.get(key).cloned();
            (label("error.type"), label("db.response.status_code"))
        })
        .collect();
    let word = |word: &str| Some(word.to_owned());
    let expected = [
        (word("42P01"), word("42P01")),
        (word("_OTHER"), None),
        (word("cancelled"), None),
    ];
    assert_eq!(errors, expected.into());
}

#[tokio::test]
async fn however_many_tables_there_are_the_labels_stay_few() {
    let meters = Meters::start();
    let (_, info) = connection(&meters);
    for table in 0..2_000 {
        run(&info, &format!("SELECT * FROM tenant_{table}"), Ok(0));
        run(&info, &format!("verb_{table} x"), Ok(0));
    }
    // Each of the tables and operations that are told apart, and the rest together.
    let points = meters.named("db.client.operation.duration").len();
    assert!((2..=256 + 64 + 2).contains(&points), "{points}");
}

#[tokio::test]
async fn a_connection_is_open_until_nobody_has_it() {
    let meters = Meters::start();
    let (own, info) = connection(&meters);
    let connect = ConnectSpan::start(&server(), Some(&own));
    connect.opened(&info, &server(), Duration::from_secs(2));
    connect.finish();
    let pool = ("db.client.connection.pool.name", "db.example:5433/shop");
    let count = meters.only("db.client.connection.count");
    count.assert_labels(&[pool, ("db.client.connection.state", "used")]);
    assert_eq!(count.sum, 1.0);
    let waited = meters.only("db.client.connection.wait_time");
    waited.assert_labels(&[pool]);
    assert_eq!(waited.sum, 2.0);
    let created = meters.only("db.client.connection.create_time");
    assert!(created.sum < waited.sum && created.count == Some(1));

    let query = QuerySpan::start(&info, || describe("SELECT"));
    drop(info);
    assert_eq!(meters.only("db.client.connection.count").sum, 1.0);
    query.finish();
    assert_eq!(meters.only("db.client.connection.count").sum, 0.0);
    assert_eq!(meters.only("db.client.connection.use_time").count, Some(1));
}

#[tokio::test]
async fn phases_and_denials_have_labels_of_closed_lists() {
    let meters = Meters::start();
    let (own, _) = connection(&meters);
    let denied = || Error::new(Kind::PermissionDenied, Hop::Handshake, "x").with_request_id("7f");
    let connect = ConnectSpan::start(&server(), Some(&own));
    connect.phase(Phase::Dial).finish();
    let challenge = connect.phase(Phase::Challenge);
    challenge
        .run(async { Err::<(), _>(denied()) })
        .await
        .unwrap_err();
    drop(connect.phase(Phase::Database));
    connect.fail(&denied());
    let unreachable = Error::new(Kind::Unavailable, Hop::DatabaseConnection, "x");
    ConnectSpan::start(&server(), Some(&own)).fail(&unreachable);

    let ended: BTreeSet<_> = meters
        .named("approzium.connect.phase.duration")
        .into_iter()
        .map(|point| point.labels.into_values().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = ["cancelled database", "error challenge", "ok dial"];
    assert_eq!(ended, expected.map(str::to_owned).into());
    assert_eq!(
        denials(&meters),
        [
            ("client_policy", 0.0),
            ("permission_denied", 1.0),
            ("policy", 0.0),
            ("resource_exhausted", 0.0),
            ("unauthenticated", 0.0),
        ]
    );
}

/// All of them, those that there never were as zeros.
fn denials(meters: &Meters) -> Vec<(&'static str, f64)> {
    let mut denials: Vec<_> = meters
        .named("approzium.denials")
        .into_iter()
        .map(|point| {
            let reason = point.labels["approzium.reason"].clone();
            (&*reason.leak(), point.sum)
        })
        .collect();
    denials.sort_by_key(|(reason, _)| *reason);
    denials
}

/// Who looks for the reason of a denial looks in the Authenticator's audit log, where there is no
/// line of what was refused before it was asked.
#[tokio::test]
async fn what_is_refused_here_is_told_apart_from_what_the_authenticator_denies() {
    let meters = Meters::start();
    let (own, _) = connection(&meters);
    for hop in [Hop::Handshake, Hop::DatabaseLogin] {
        let connect = ConnectSpan::start(&server(), Some(&own));
        connect.fail(&Error::new(Kind::Policy, hop, "x"));
    }
    let mut counted = denials(&meters);
    counted.retain(|(_, count)| *count > 0.0);
    assert_eq!(counted, [("client_policy", 1.0), ("policy", 1.0)]);
}

/// Quantiles of what is in the last bucket are its beginning.
#[tokio::test(start_paused = true)]
async fn a_connection_may_live_for_days() {
    let meters = Meters::start();
    let (own, info) = connection(&meters);
    let connect = ConnectSpan::start(&server(), Some(&own));
    connect.opened(&info, &server(), Duration::ZERO);
    let day = Duration::from_secs(24 * 60 * 60);
    tokio::time::advance(2 * day).await;
    drop(info);
    let lived = meters.only("db.client.connection.use_time");
    assert_eq!(lived.sum, 2.0 * day.as_secs_f64());
    assert!(
        lived.bounds.iter().any(|bound| *bound > lived.sum),
        "{lived:?}"
    );
}

#[test]
fn a_meter_provider_that_is_installed_later_is_used_from_then_on() {
    let recorder = Recorder::start();
    let info = ConnectionInfo::postgresql(&server(), &Identity::default(), None);
    let description: Arc<Description> = Arc::new(describe("SELECT FROM later_installed"));
    let run = || QuerySpan::start(&info, || Arc::clone(&description)).finish();
    run();
    let mine = |meters: &Meters| {
        let mut points = meters.named("db.client.operation.duration");
        let later = Some("later_installed");
        points.retain(|one| one.labels.get("db.collection.name").map(String::as_str) == later);
        points.iter().filter_map(|one| one.count).sum::<u64>()
    };
    let (first, second) = (Meters::start(), Meters::start());
    global::set_meter_provider(first.provider.clone());
    run();
    global::set_meter_provider(second.provider.clone());
    run();
    run();
    instrument_with(Instrumentation::new().meter_provider(first.provider.clone()));
    run();
    uninstrument();
    run();
    assert_eq!((mine(&first), mine(&second)), (2, 2));
    drop(recorder);
}
