//! A dead collector costs spans, and nothing else.

use approzium_peers::{free_port, peer};

use super::{House, PATIENCE, application::BUSY};
use crate::attribution::BlackHole;

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
    let ended = house.authenticator.terminate(PATIENCE).await.unwrap();
    assert!(ended.success(), "{}", house.authenticator.log());
}
