//! An application that has a provider already.

use std::sync::{Arc, Mutex};

use approzium::opentelemetry::{Instrumentation, instrument_with};
use approzium_peers::peer;
use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

use super::{attribution, connect, run};
use crate::thread::House;

#[tokio::test]
async fn an_existing_provider_keeps_its_resource() {
    let house = peer!(House::open(None));
    run(&house, "tracing::providers::existing").await;
}

/// Keeps what would be exported.
#[derive(Clone, Debug, Default)]
struct Exporter(Arc<Mutex<(Option<Resource>, Vec<SpanData>)>>);

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().1.extend(batch);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.lock().unwrap().0 = Some(resource.clone());
    }
}

#[tokio::test]
#[ignore = "an application: an_existing_provider_keeps_its_resource runs it"]
async fn existing() {
    let resource = Resource::builder_empty()
        .with_service_name("shop")
        .with_attribute(KeyValue::new("team", "orders"))
        .build();
    let exporter = Exporter::default();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_simple_exporter(exporter.clone())
        .build();
    instrument_with(Instrumentation::new().tracer_provider(provider));
    let client = connect().await;
    client.query("SELECT 1", &[]).await.unwrap();

    let exported = exporter.0.lock().unwrap();
    assert_eq!(exported.0.as_ref(), Some(&resource));
    let queries: Vec<_> = exported
        .1
        .iter()
        .filter(|span| span.name == "SELECT")
        .collect();
    let [query] = queries[..] else {
        panic!("{queries:?}");
    };
    for (key, value) in attribution() {
        let expected = KeyValue::new(key, value);
        assert!(query.attributes.contains(&expected), "{key} in {query:?}");
    }
}
