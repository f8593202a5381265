//! Jaeger's pages in a real browser: what was searched for is listed, a trace shows both sides of a
//! connect, and the links on a span's tags lead where they say.

use approzium::opentelemetry::otlp;
use approzium_peers::{
    Authenticator, Chromium, Error, Jaeger, eventually,
    jaeger::{
        Trace,
        pages::{Listed, Pages, Row, Tag},
    },
    peer,
};
use opentelemetry::{KeyValue, trace::Tracer};

use super::{
    House, PATIENCE,
    application::{CHECKOUT, ORDERS, Pod, REPORT, REPORTING, SERVICE, TASKS_ON_ONE_CLIENT},
    spans::search,
};

/// Another pod under the role of checkout.
const NEIGHBOUR: Pod = Pod {
    application: "reporting",
    role: CHECKOUT.role,
    name: "checkout-6d9f7c5b8-9zzvk",
    uid: "4f506172-8394-4a5b-86c7-d8e9f0a1b2c3",
};

const AUTHENTICATE: &str = "approzium.authenticator/Authenticate";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_who_ran_what_and_its_links_lead_there() {
    let jaeger = peer!(Jaeger::start());
    let mut chromium = peer!(Chromium::start());
    if !jaeger.has_ui() {
        let missing = "this Jaeger has no pages: cargo could not fetch them";
        return approzium_peers::skip(&Error::Missing(missing.into()));
    }
    let house = peer!(House::open(jaeger.otlp_grpc()));
    tokio::join!(
        house.run(&CHECKOUT),
        house.run(&NEIGHBOUR),
        house.run(&REPORTING)
    );
    let query = jaeger.query();
    let own = search(query, &CHECKOUT, [(ORDERS, 2), (TASKS_ON_ONE_CLIENT, 1)]).await;
    let neighbours = search(query, &NEIGHBOUR, [(REPORT, 2)]).await;
    search(query, &REPORTING, [(REPORT, 2)]).await;
    let [orders, everything] = &own[..] else {
        panic!("other traces than two");
    };
    let mut pages = Pages::new(&mut chromium);

    let of_both = |role, pod| {
        let tags = [
            ("approzium.iam_role", role),
            ("approzium.k8s.pod.name", pod),
        ];
        query.search_link(SERVICE, &tags)
    };
    let link = of_both(CHECKOUT.role, CHECKOUT.name);
    let listed = pages.search(&link).await.unwrap();
    assert_lists(&listed, &[orders, everything]);
    let of_orders = listed.iter().find(|item| item.link.ends_with(&orders.id));
    let of_orders = of_orders.unwrap();
    assert_eq!(of_orders.name, format!("{SERVICE}: {ORDERS}"));
    let nobody = of_both(REPORTING.role, CHECKOUT.name);
    assert_lists(&pages.search(&nobody).await.unwrap(), &[]);

    let rows = pages.trace(&of_orders.link).await.unwrap();
    both_sides(&rows);

    let select = only(&rows, "SELECT orders");
    let tags = pages.tags(&select.span).await.unwrap();
    let request = value(&tags, "approzium.request_id").to_owned();
    let authenticate = only(&rows, AUTHENTICATE);
    let of_authenticator = pages.tags(&authenticate.span).await.unwrap();
    assert_eq!(value(&of_authenticator, "approzium.request_id"), request);
    let by_role = format!("Everything of {SERVICE} under the role {}", CHECKOUT.role);
    let arn = value(&tags, "approzium.iam_arn");
    let by_arn = format!("Everything of {SERVICE} as {arn}");
    let by_pod = format!("Everything of the pod {}", CHECKOUT.name);
    let by_request = format!("Everything that request {request} let in");
    for (tags, key, promise, leads_to) in [
        (
            &tags,
            "approzium.iam_role",
            by_role,
            &[orders, everything, &neighbours[0]][..],
        ),
        (
            &tags,
            "approzium.iam_arn",
            by_arn,
            &[orders, everything, &neighbours[0]],
        ),
        (
            &tags,
            "approzium.k8s.pod.name",
            by_pod,
            &[orders, everything],
        ),
        (&tags, "approzium.request_id", by_request.clone(), &[orders]),
        (
            &of_authenticator,
            "approzium.request_id",
            by_request,
            &[orders],
        ),
    ] {
        let (said, link) = tag(tags, key).link.as_ref().expect("a link");
        assert_eq!(said, &promise);
        assert_lists(&pages.search(link).await.unwrap(), leads_to);
    }
    elsewhere(&jaeger, &mut pages).await;
}

/// Spans as of tasks of ECS and instances of EC2, neither of which runs here.
async fn elsewhere(jaeger: &Jaeger, pages: &mut Pages<'_>) {
    const SERVICE: &str = "elsewhere";
    const PLACES: [(&str, &str); 2] = [
        ("approzium.ecs.task.id", "Everything of the task"),
        ("approzium.ec2.instance_id", "Everything of the instance"),
    ];
    let pipeline = otlp::pipeline()
        .service_name(SERVICE)
        .endpoint(jaeger.otlp_grpc());
    let pipeline = pipeline.build().await.unwrap();
    let tracer = pipeline.tracer("test");
    for (key, _) in PLACES {
        for place in ["a1", "b2"] {
            let span = tracer.span_builder("SELECT orders");
            let span = span.with_attributes([KeyValue::new(key, place)]);
            span.start(&tracer);
        }
    }
    pipeline.shutdown(PATIENCE).await.unwrap();
    let query = jaeger.query();
    for (key, promise) in PLACES {
        let of_one = [(key, "a1")];
        let traces = eventually("the trace", PATIENCE, async || {
            let traces = query.traces(SERVICE, &of_one).await.unwrap();
            (!traces.is_empty()).then_some(traces)
        })
        .await;
        let expected: Vec<&Trace> = traces.iter().collect();
        assert_eq!(expected.len(), 1);
        let listed = pages.search(&query.search_link(SERVICE, &of_one)).await;
        let listed = listed.unwrap();
        assert_lists(&listed, &expected);
        let rows = pages.trace(&listed[0].link).await.unwrap();
        let tags = pages
            .tags(&only(&rows, "SELECT orders").span)
            .await
            .unwrap();
        let (said, link) = tag(&tags, key).link.as_ref().expect("a link");
        assert_eq!(*said, format!("{promise} a1"));
        assert_lists(&pages.search(link).await.unwrap(), &expected);
    }
}

/// The application's request, its connect, and in that what the Authenticator did, each drawn
/// inside what it belongs to.
fn both_sides(rows: &[Row]) {
    let path = |name| {
        let mut path = vec![only(rows, name)];
        while let Some(parent) = path.last().and_then(|row| row.parent.as_ref()) {
            let above = rows.iter().find(|row| &row.span == parent);
            path.push(above.expect("its parent is drawn"));
        }
        let said = path.iter().rev();
        said.map(|row| (row.service.as_str(), row.name.as_str()))
            .collect::<Vec<_>>()
    };
    let application = |name| (SERVICE, name);
    let authenticator = |name| (Authenticator::SERVICE, name);
    let connect = [application(ORDERS), application("connect localhost")];
    for (call, within, step) in [
        (AUTHENTICATE, "challenge", "compute"),
        ("approzium.authenticator/CreateSession", "session", "sts"),
    ] {
        let inside = [
            application(within),
            authenticator(call),
            authenticator(step),
        ];
        assert_eq!(path(step), [&connect[..], &inside].concat(), "{rows:#?}");
    }
}

#[track_caller]
fn assert_lists(listed: &[Listed], traces: &[&Trace]) {
    let mut links: Vec<&str> = listed.iter().map(|item| item.link.as_str()).collect();
    let mut expected: Vec<&str> = traces.iter().map(|trace| trace.id.as_str()).collect();
    links.sort_unstable();
    expected.sort_unstable();
    let same = links.len() == expected.len()
        && links
            .iter()
            .zip(&expected)
            .all(|(link, id)| link.ends_with(&format!("/trace/{id}")));
    assert!(same, "{listed:#?} instead of {expected:#?}");
}

#[track_caller]
fn only<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let found: Vec<&Row> = rows.iter().filter(|row| row.name == name).collect();
    match found[..] {
        [row] => row,
        _ => panic!("{} rows of {name} in {rows:#?}", found.len()),
    }
}

#[track_caller]
fn tag<'a>(tags: &'a [Tag], key: &str) -> &'a Tag {
    let found = tags.iter().find(|tag| tag.key == key);
    found.unwrap_or_else(|| panic!("no {key} in {tags:#?}"))
}

#[track_caller]
fn value<'a>(tags: &'a [Tag], key: &str) -> &'a str {
    &tag(tags, key).value
}
