//! What an application's own subscriber writes.
//!
//! Each application is a test of this binary, run once more in a process of its own: who a process
//! is, and its subscriber, are the process's.

mod events;
mod identities;
mod layers;
mod lines;
mod orphans;
mod output;
mod providers;
mod secrets;

use approzium::postgres::Client;
use serde_json::Value;

use crate::thread::{
    House,
    application::{CHECKOUT, NAMESPACE},
};

/// Runs the application that is this test; returns what it wrote.
async fn run(house: &House, application: &str) -> String {
    house.run_test(application, &CHECKOUT).await
}

/// The default client's connection: from here on it is verified who this process is, and known
/// where it runs.
async fn connect() -> Client {
    let database = std::env::var("DATABASE").unwrap();
    let client = approzium::postgres::connect(&database).await.unwrap();
    approzium::attribution::current().await;
    client
}

/// Attribution as it stands on lines of this process, in order.
fn attribution() -> Vec<(&'static str, String)> {
    let client = approzium::default_auth_client().unwrap();
    vec![
        ("approzium.iam_arn", client.iam_arn().unwrap()),
        ("approzium.iam_role", CHECKOUT.role.to_owned()),
        ("approzium.k8s.namespace.name", NAMESPACE.to_owned()),
        ("approzium.k8s.pod.name", CHECKOUT.name.to_owned()),
    ]
}

#[track_caller]
fn assert_attributed(object: &Value) {
    for (key, value) in attribution() {
        assert_eq!(object[key], *value, "{key} in {object}");
    }
}

#[track_caller]
fn assert_not_attributed(object: &Value) {
    assert!(!object.to_string().contains("approzium.iam"), "{object}");
}
