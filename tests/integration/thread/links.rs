//! The links that `approzium attribution --jaeger` prints in a pod find that pod, and the searches
//! of docs/incident.md find what they say.

use std::{collections::BTreeSet, process::Command};

use approzium_peers::{
    Authenticator, Jaeger, eventually,
    jaeger::{Query, Trace},
    peer,
};
use serde_json::Value;

use super::{
    House, PATIENCE,
    application::{
        CHECKOUT, INTRUDER, ORDERS, Pod, REPORT, REPORTING, SERVICE, SHELL, TASKS_ON_ONE_CLIENT,
    },
    attributes::iam_arn,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_find_what_runs_here_and_nobody_elses() {
    let jaeger = peer!(Jaeger::start());
    let house = peer!(House::open(jaeger.otlp_grpc()));
    tokio::join!(
        house.run(&CHECKOUT),
        house.run(&REPORTING),
        house.run(&INTRUDER)
    );
    let query = jaeger.query();
    // Both are of one service: what tells them apart is who they are, and where.
    let checkout = links(&house, &CHECKOUT, query.url());
    let reporting = links(&house, &REPORTING, query.url());
    for (links, expected) in [
        (&checkout, [ORDERS, TASKS_ON_ONE_CLIENT].as_slice()),
        (&reporting, &[REPORT]),
    ] {
        assert_eq!(links["service"], SERVICE);
        let all = expected.iter().map(|root| (*root).to_owned()).collect();
        eventually("the traces of a pod", PATIENCE, async || {
            (found(query, &links["everything"]).await == all).then_some(())
        })
        .await;
    }
    // Both have everything by now, so that whoever is not found is not found by the link.
    let failed = found(query, &checkout["failed"]).await;
    assert_eq!(failed, [ORDERS.to_owned()].into());
    assert_eq!(found(query, &reporting["failed"]).await, BTreeSet::new());
    typed_searches(query).await;
}

/// What one types who has no link.
async fn typed_searches(query: &Query) {
    let arn = iam_arn(&INTRUDER);
    for (service, tag, expected) in [
        (SERVICE, ("db.collection.name", "loyalty"), &[ORDERS][..]),
        (SERVICE, ("error.type", "42P01"), &[ORDERS]),
        (SERVICE, ("error.type", "permission_denied"), &[SHELL]),
        (
            Authenticator::SERVICE,
            ("error.type", "not_on_record"),
            &[SHELL],
        ),
        (
            Authenticator::SERVICE,
            ("approzium.iam_arn", &arn),
            &[SHELL],
        ),
    ] {
        let link = query.search_link(service, &[tag]);
        let expected = expected.iter().map(|root| (*root).to_owned()).collect();
        eventually(&format!("{tag:?} at {service}"), PATIENCE, async || {
            (found(query, &link.as_str().into()).await == expected).then_some(())
        })
        .await;
    }
    // What the page says does not work. Should a newer Jaeger find them, the page is to say so.
    for tag in [("error", "true"), ("span.kind", "client")] {
        let link = query.search_link(SERVICE, &[tag]);
        let found = found(query, &link.into()).await;
        assert_eq!(found, BTreeSet::new(), "{tag:?}");
    }
}

/// What the command prints in the pod, of Jaeger.
fn links(house: &House, pod: &Pod, pages: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
    command.args(["attribution", "--json", "--budget", "60s"]);
    command.args(["--jaeger", pages, "--error-type", "23505"]);
    house.dress(&mut command, pod);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["jaeger"].take()
}

/// The names of the roots of what a link finds.
async fn found(query: &Query, link: &Value) -> BTreeSet<String> {
    let traces: Vec<Trace> = query.searched(link.as_str().unwrap()).await.unwrap();
    let spans = traces.into_iter().flat_map(|trace| trace.spans);
    let roots = spans.filter(|span| span.parent.is_none());
    roots.map(|root| root.name).collect()
}
