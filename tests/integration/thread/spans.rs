//! What a real Jaeger knows of applications that ran.

use std::collections::{BTreeMap, BTreeSet};

use approzium_peers::{
    Authenticator, Jaeger, eventually,
    jaeger::{Query, Span, Trace},
    peer,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    House, PASSWORD, PATIENCE,
    application::{
        CHECKOUT, INTRUDER, ORDERS, Pod, QUERIES, REPORT, REPORTING, SERVICE, SHELL, TASKS,
        TASKS_ON_ONE_CLIENT, VALUES,
    },
    attributes::{
        assert_exactly, assert_has, assert_resource_of, assert_resource_of_authenticator, iam_arn,
        of_attribution, of_server,
    },
};

/// Phases of a connect within a session.
const PHASES: [&str; 5] = ["challenge", "database", "dial", "startup", "tls"];
/// Phases of a connect that begins a session.
const FIRST_PHASES: [&str; 6] = ["challenge", "database", "dial", "session", "startup", "tls"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jaeger_shows_who_ran_what_where_and_who_let_them() {
    let jaeger = peer!(Jaeger::start());
    let house = peer!(House::open(jaeger.otlp_grpc()));
    tokio::join!(
        house.run(&CHECKOUT),
        house.run(&REPORTING),
        house.run(&INTRUDER)
    );

    let query = jaeger.query();
    let checkout = search(query, &CHECKOUT, [(ORDERS, 2), (TASKS_ON_ONE_CLIENT, 1)]).await;
    let [report] = &search(query, &REPORTING, [(REPORT, 2)]).await[..] else {
        panic!("more than one report");
    };
    let [shell] = &search(query, &INTRUDER, [(SHELL, 2)]).await[..] else {
        panic!("more than one shell");
    };
    let [orders, everything] = &checkout[..] else {
        panic!("other traces than two");
    };

    first_connect(&house, &CHECKOUT, orders);
    queries(&house, &CHECKOUT, orders);
    failures(orders);
    first_connect(&house, &REPORTING, report);
    parents(everything);
    denial(&house, shell);
    for trace in [orders, everything, report, shell] {
        no_secret(&house, query, trace).await;
    }
    nobody_elses(query).await;
}

/// The traces of a pod by the tags that one would type, complete, in the order of `roots`: the
/// names of their roots, and how often the Authenticator was called.
pub(super) async fn search<const N: usize>(
    query: &Query,
    pod: &Pod,
    roots: [(&str, usize); N],
) -> Vec<Trace> {
    let tags = [
        ("approzium.iam_role", pod.role),
        ("approzium.k8s.pod.name", pod.name),
    ];
    eventually("the traces of a pod", PATIENCE, async || {
        let found = query.traces(SERVICE, &tags).await.unwrap();
        assert!(found.len() <= N, "{found:#?}");
        let complete = roots.iter().map(|(root, calls)| {
            let mut traces = found.iter();
            let complete = |trace: &&Trace| is_complete(trace, root, *calls);
            traces.find(complete).cloned()
        });
        complete.collect()
    })
    .await
}

/// Two processes send their spans, and each span comes after its children.
fn is_complete(trace: &Trace, root: &str, calls: usize) -> bool {
    let ids: BTreeSet<&str> = trace.spans.iter().map(|span| span.id.as_str()).collect();
    let mut parents = trace.spans.iter().filter_map(|span| span.parent.as_deref());
    let called = |span: &&Span| {
        span.service == Authenticator::SERVICE && span.tag("span.kind") == Some("server")
    };
    trace.named(root).next().is_some()
        && trace.spans.iter().filter(called).count() == calls
        && parents.all(|parent| ids.contains(parent))
}

fn only_child<'a>(trace: &'a Trace, parent: &'a Span) -> &'a Span {
    let children: Vec<&Span> = trace.children(parent).collect();
    match children[..] {
        [child] => child,
        _ => panic!(
            "{} below {} in\n{}",
            children.len(),
            parent.name,
            trace.tree()
        ),
    }
}

#[track_caller]
fn assert_fine(span: &Span, kind: &str) {
    assert!(!span.failed(), "{span:#?}");
    assert_eq!(span.tag("span.kind"), Some(kind), "{span:#?}");
}

/// The request in the application, the connect in it, its phases, and in two of these what the
/// Authenticator did.
fn first_connect(house: &House, pod: &Pod, trace: &Trace) {
    let connect = trace.only("connect localhost");
    let request = trace.spans.iter().find(|span| span.parent.is_none());
    let request = request.unwrap();
    assert_fine(request, "server");
    assert_eq!(connect.parent.as_deref(), Some(request.id.as_str()));
    assert_fine(connect, "client");
    assert_resource_of(connect, pod);
    let request_id = connect.tag("approzium.request_id").unwrap();
    let mut expected = of_server(house);
    expected.extend(of_attribution(house, pod, request_id));
    expected.push(("approzium.num_connections", "1".to_owned()));
    assert_exactly(connect, &expected);

    let mut phases: Vec<&str> = trace
        .children(connect)
        .map(|span| span.name.as_str())
        .collect();
    phases.sort_unstable();
    assert_eq!(phases, FIRST_PHASES, "{}", trace.tree());
    for phase in ["database", "dial", "startup", "tls"].map(|phase| trace.only(phase)) {
        assert!(trace.children(phase).next().is_none(), "{}", trace.tree());
        assert_exactly(phase, &[]);
    }

    let session = trace.only("session");
    let create = only_child(trace, session);
    let sts = only_child(trace, create);
    assert_eq!(create.name, "approzium.authenticator/CreateSession");
    assert_eq!(sts.name, "sts");
    let create_id = create.tag("approzium.request_id").unwrap();
    assert_call(create, pod, "CreateSession", create_id);

    let challenge = trace.only("challenge");
    let authenticate = only_child(trace, challenge);
    assert_eq!(authenticate.name, "approzium.authenticator/Authenticate");
    let steps: Vec<&Span> = trace.children(authenticate).collect();
    let names: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["compute", "secret"].into(), "{}", trace.tree());
    assert_call(authenticate, pod, "Authenticate", request_id);
    assert_ne!(create_id, request_id);

    for span in [session, challenge] {
        assert_fine(span, "client");
        assert_exactly(span, &[]);
    }
    for step in steps.into_iter().chain([sts]) {
        assert_fine(step, "internal");
        assert_resource_of_authenticator(step);
        assert_exactly(step, &[]);
    }
    // The same number stands in the audit log.
    let log = house.authenticator.log();
    for id in [create_id, request_id] {
        assert!(log.contains(id), "{id} is not in\n{log}");
    }
}

fn assert_call(span: &Span, pod: &Pod, method: &str, request_id: &str) {
    assert_fine(span, "server");
    assert_resource_of_authenticator(span);
    let method = format!("approzium.v2.Authenticator/{method}");
    let expected = [
        ("rpc.system.name", "grpc".to_owned()),
        ("rpc.method", method),
        ("approzium.request_id", request_id.to_owned()),
        ("approzium.iam_arn", iam_arn(pod)),
    ];
    assert_exactly(span, &expected);
}

/// Children of the request, with the conventions' attributes and those of the connection's
/// attribution, and nothing else.
fn queries(house: &House, pod: &Pod, trace: &Trace) {
    let request = trace.only(ORDERS);
    let connect = trace.only("connect localhost");
    let request_id = connect.tag("approzium.request_id").unwrap();
    let of_connection = {
        let mut attributes = of_server(house);
        attributes.extend(of_attribution(house, pod, request_id));
        attributes.push(("approzium.num_connections", "1".to_owned()));
        attributes
    };
    let failed = |sqlstate: &str, description: &str| {
        vec![
            ("error", "true".to_owned()),
            ("error.type", sqlstate.to_owned()),
            ("db.response.status_code", sqlstate.to_owned()),
            ("otel.status_code", "ERROR".to_owned()),
            ("otel.status_description", description.to_owned()),
        ]
    };
    let insert = "INSERT INTO orders (id, note) VALUES ($1, $2)";
    let taken = "ERROR 23505: duplicate key value violates unique constraint \"orders_pkey\"";
    let missing = "ERROR 42P01: relation \"loyalty\" does not exist";
    let cancelled = vec![
        ("error", "true".to_owned()),
        ("error.type", "cancelled".to_owned()),
        ("otel.status_code", "ERROR".to_owned()),
        ("otel.status_description", "cancelled".to_owned()),
    ];
    let expected = [
        ("PREPARE", Some("orders"), insert, vec![]),
        ("INSERT", Some("orders"), insert, vec![]),
        (
            "UPDATE",
            Some("orders"),
            "UPDATE orders SET note = ? WHERE id = ?",
            vec![],
        ),
        (
            "SELECT",
            Some("orders"),
            "SELECT note FROM orders WHERE id = $1",
            vec![],
        ),
        ("INSERT", Some("orders"), insert, failed("23505", taken)),
        (
            "SELECT",
            Some("loyalty"),
            "SELECT points FROM loyalty WHERE customer = $1",
            failed("42P01", missing),
        ),
        ("SELECT", None, "SELECT pg_sleep(?)", cancelled),
    ];
    let mut ran: Vec<&Span> = trace
        .children(request)
        .filter(|span| span.id != connect.id)
        .collect();
    ran.sort_by_key(|span| span.start);
    assert_eq!(ran.len(), expected.len(), "{}", trace.tree());
    for (span, (operation, table, text, result)) in ran.into_iter().zip(expected) {
        let name = table.map_or(operation.to_owned(), |table| format!("{operation} {table}"));
        assert_eq!(span.name, name);
        assert_eq!(span.tag("span.kind"), Some("client"));
        let mut attributes = of_connection.clone();
        attributes.push(("db.operation.name", operation.to_owned()));
        attributes.extend(table.map(|table| ("db.collection.name", table.to_owned())));
        attributes.push(("db.query.text", text.to_owned()));
        attributes.extend(result);
        assert_exactly(span, &attributes);
        assert_resource_of(span, pod);
    }
}

/// What failed is what is marked, and nothing else.
fn failures(trace: &Trace) {
    let failed: BTreeSet<&str> = trace
        .spans
        .iter()
        .filter(|span| span.failed())
        .map(|span| span.name.as_str())
        .collect();
    let expected = ["INSERT orders", "SELECT", "SELECT loyalty"];
    assert_eq!(failed, expected.into(), "{}", trace.tree());
}

/// 200 tasks on one client: each query is its own task's, by id.
fn parents(trace: &Trace) {
    let request = trace.only(TASKS_ON_ONE_CLIENT);
    let tasks: BTreeMap<&str, &Span> = trace
        .named("task")
        .map(|span| (span.tag("task").unwrap(), span))
        .collect();
    assert_eq!(tasks.len(), TASKS);
    let queries: Vec<&Span> = trace.named("SELECT").collect();
    assert_eq!(queries.len(), TASKS * QUERIES);
    for query in queries {
        let text = query.tag("db.query.text").unwrap();
        let task = text.split_whitespace().rev().nth(1).unwrap();
        let task = tasks[task];
        assert_eq!(query.parent.as_deref(), Some(task.id.as_str()), "{text}");
        assert_eq!(task.parent.as_deref(), Some(request.id.as_str()));
    }
    // The second connection was made within the session that there was.
    let connect = trace.only("connect localhost");
    let connected = [("approzium.num_connections", "2".to_owned())];
    assert_has(connect, &connected);
    let mut phases: Vec<&str> = trace
        .children(connect)
        .map(|span| span.name.as_str())
        .collect();
    phases.sort_unstable();
    assert_eq!(phases, PHASES, "{}", trace.tree());
}

/// Who was denied stands on the connect, with the request by which the audit log knows why.
fn denial(house: &House, trace: &Trace) {
    let connect = trace.only("connect localhost");
    let request_id = connect.tag("approzium.request_id").unwrap();
    let mut expected = of_attribution(house, &INTRUDER, request_id);
    expected.retain(|(key, _)| *key != "approzium.authenticated");
    expected.extend([
        ("approzium.authenticated", "false".to_owned()),
        (
            "approzium.hop",
            "handshake through the Authenticator".to_owned(),
        ),
        ("error", "true".to_owned()),
        ("error.type", "permission_denied".to_owned()),
        ("otel.status_code", "ERROR".to_owned()),
    ]);
    assert_has(connect, &expected);
    assert_resource_of(connect, &INTRUDER);
    let authenticate = only_child(trace, trace.only("challenge"));
    assert!(authenticate.failed() && trace.only("challenge").failed());
    // The database challenged, and had no further part in it.
    assert!(!trace.only("startup").failed());
    assert!(trace.named("database").next().is_none(), "{}", trace.tree());
    let called = [
        ("approzium.request_id", request_id.to_owned()),
        ("approzium.iam_arn", iam_arn(&INTRUDER)),
    ];
    assert_has(authenticate, &called);
    assert!(only_child(trace, authenticate).failed());
    assert!(house.authenticator.log().contains(request_id));
    // An application that is denied has no session of the database's to run a query in.
    assert!(trace.named("SELECT").next().is_none());
}

/// Neither the password in any form, nor a key or token of an identity, nor a value of a query.
async fn no_secret(house: &House, query: &Query, trace: &Trace) {
    let hexadecimal =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let mut secrets = vec![
        PASSWORD.to_owned(),
        STANDARD.encode(PASSWORD),
        hexadecimal(PASSWORD.as_bytes()),
    ];
    for pod in [CHECKOUT, REPORTING, INTRUDER] {
        let keys = house.authenticator.credentials(pod.role).unwrap();
        secrets.push(keys.secret_access_key);
        secrets.extend(keys.session_token);
    }
    secrets.extend(VALUES.map(str::to_owned));
    let json = query.trace_json(&trace.id).await.unwrap().unwrap();
    assert!(json.contains(&trace.spans[0].id), "{json}");
    for secret in secrets {
        assert!(!json.contains(&secret), "{secret} in {json}");
    }
}

/// Role and pod of different applications meet in no trace, though all are of one service.
async fn nobody_elses(query: &Query) {
    for (role, pod) in [
        (&CHECKOUT, &REPORTING),
        (&REPORTING, &CHECKOUT),
        (&INTRUDER, &CHECKOUT),
        (&CHECKOUT, &INTRUDER),
    ] {
        let tags = [
            ("approzium.iam_role", role.role),
            ("approzium.k8s.pod.name", pod.name),
        ];
        let found = query.traces(SERVICE, &tags).await.unwrap();
        assert!(found.is_empty(), "{tags:?} finds {found:#?}");
    }
}
