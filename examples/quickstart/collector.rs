//! Where spans go when there is no Jaeger: into this process, to be drawn in the terminal.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use approzium_peers::jaeger::{Span, Trace};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span as Exported, status::StatusCode},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector that keeps what it is sent.
pub(crate) struct Collector {
    address: SocketAddr,
    spans: Spans,
}

type Spans = Arc<Mutex<BTreeMap<String, Vec<Span>>>>;

impl Collector {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let spans = Spans::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&spans)));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Ok(Collector { address, spans })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A trace, as far as it has arrived.
    pub(crate) fn trace(&self, id: &str) -> Option<Trace> {
        let traces = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = traces.get(id)?.clone();
        Some(Trace {
            id: id.to_owned(),
            spans,
        })
    }
}

struct Service(Spans);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = tags(resource.resource.unwrap_or_default().attributes);
            for exported in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let trace = hex(&exported.trace_id);
                traces
                    .entry(trace)
                    .or_default()
                    .push(span(exported, &attributes));
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// As Jaeger would return it.
fn span(exported: Exported, resource: &BTreeMap<String, String>) -> Span {
    let failed = exported
        .status
        .is_some_and(|status| status.code() == StatusCode::Error);
    let mut tags = tags(exported.attributes);
    if failed {
        tags.insert("error".to_owned(), "true".to_owned());
    }
    let nanoseconds = exported
        .end_time_unix_nano
        .saturating_sub(exported.start_time_unix_nano);
    Span {
        id: hex(&exported.span_id),
        parent: (!exported.parent_span_id.is_empty()).then(|| hex(&exported.parent_span_id)),
        name: exported.name,
        service: resource.get("service.name").cloned().unwrap_or_default(),
        tags,
        resource: resource.clone(),
        start: exported.start_time_unix_nano / 1000,
        duration: nanoseconds / 1000,
    }
}

fn tags(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .filter_map(|attribute| Some((attribute.key, text(attribute.value?)?)))
        .collect()
}

fn text(value: AnyValue) -> Option<String> {
    match value.value? {
        Value::StringValue(value) => Some(value),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(value.to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
