//! Attribution against a metadata service that enforces tokens, recorded documents, and the file
//! trees of containers.

mod ec2;
mod ecs;
mod files;
mod process;
mod servers;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use approzium::attribution::{Attribution, Collector, CollectorBuilder};
use opentelemetry::{KeyValue, Value};

pub(crate) use servers::BlackHole;

/// So generous that only a hang reaches it.
const AMPLE: Duration = Duration::from_secs(60);

fn fixture(path: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/attribution");
    [fixtures, path].iter().collect()
}

/// A collector that sees nothing of this machine.
fn nowhere() -> CollectorBuilder {
    let none: [(&str, &str); 0] = [];
    Collector::builder()
        .budget(AMPLE)
        .root(fixture("container/bare"))
        .environment(none)
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .map(|KeyValue { key, value, .. }| {
            let value = match value {
                Value::Array(array) => array.to_string(),
                other => other.as_str().into_owned(),
            };
            (key.to_string(), value)
        })
        .collect()
}

fn expected<const N: usize>(attributes: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    attributes.into_iter().map(owned).collect()
}

fn why_not<'a>(attribution: &'a Attribution, name: &str) -> &'a str {
    let mut probes = attribution.probes().iter();
    let probe = probes.find(|probe| probe.name() == name).unwrap();
    probe.why_not().unwrap_or_default()
}
