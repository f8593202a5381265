//! A dead collector costs spans, and nothing else.

use approzium_peers::{Authenticator, eventually, free_port, peer};

use super::{House, PATIENCE, application::BUSY};
use crate::{attribution::BlackHole, authenticator::process::https};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_nobody_waits() {
    dead(&format!("http://127.0.0.1:{}", free_port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_answers_nobody_waits() {
    let hole = BlackHole::open().await;
    dead(hole.url()).await;
    assert!(
        hole.connections() >= 2,
        "the application and the Authenticator"
    );
}

/// The application compares itself with what it is without spans; both it and the Authenticator end
/// when they are to.
async fn dead(otlp_endpoint: &str) {
    let mut house = peer!(House::open(otlp_endpoint));
    house.run(&BUSY).await;
    let lost = async || {
        dropped(&house.authenticator)
            .await
            .filter(|spans| *spans > 0)
    };
    eventually("spans that it counts as lost", PATIENCE, lost).await;
    let ended = house.authenticator.terminate(PATIENCE).await.unwrap();
    assert!(ended.success(), "{}", house.authenticator.log());
}

/// How many of its own spans the Authenticator says that it lost.
async fn dropped(authenticator: &Authenticator) -> Option<u64> {
    let authority = std::fs::read(authenticator.ca_path()).unwrap();
    let address = authenticator.http_address();
    let url = format!("https://{address}/v1/metrics/prometheus");
    let answer = https(&authority).get(url).send().await.unwrap();
    let metrics = answer.text().await.unwrap();
    let mut lines = metrics.lines();
    lines.find_map(|line| {
        line.strip_prefix("approzium_spans_dropped_total ")?
            .parse()
            .ok()
    })
}
