//! Where both processes send their spans, and the Authenticator its metrics.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector that keeps what it is sent.
pub(super) struct Collector {
    url: String,
    exports: Exports,
    metrics: Metrics,
    _server: JoinSet<()>,
}

type Exports = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;
type Metrics = Arc<Mutex<Vec<ExportMetricsServiceRequest>>>;

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let exports = Exports::default();
        let metrics = Metrics::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&exports)));
        let of_metrics = MetricsServiceServer::new(OfMetrics(Arc::clone(&metrics)));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder()
                .add_service(service)
                .add_service(of_metrics)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Collector {
            url,
            exports,
            metrics,
            _server: server,
        }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The names of all spans.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let exports = self.exports.lock().unwrap();
        let scopes = exports
            .iter()
            .flat_map(|export| &export.resource_spans)
            .flat_map(|resource| &resource.scope_spans);
        scopes
            .flat_map(|scope| &scope.spans)
            .map(|span| span.name.clone())
            .collect()
    }

    /// All metrics that were sent, as they were on the wire, and as a person would print them.
    pub(super) fn metrics(&self) -> Vec<u8> {
        everything(&self.metrics)
    }

    /// All spans that were sent, the same.
    pub(super) fn spans(&self) -> Vec<u8> {
        everything(&self.exports)
    }
}

fn everything(exports: &Mutex<Vec<impl Message + Debug>>) -> Vec<u8> {
    let mut all = Vec::new();
    for export in exports.lock().unwrap().iter() {
        all.extend(export.encode_to_vec());
        all.extend(format!("{export:?}\n").into_bytes());
    }
    all
}

struct Service(Exports);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

struct OfMetrics(Metrics);

#[tonic::async_trait]
impl MetricsService for OfMetrics {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
