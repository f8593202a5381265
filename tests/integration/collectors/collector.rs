//! Collectors that misbehave.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Server, ServerTlsConfig},
};

/// What a collector says to every batch.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Unavailable,
    ResourceExhausted,
    /// Takes it, but says so no sooner than the test lets it.
    WhenReleased,
}

/// A collector that speaks OTLP.
pub(super) struct Collector {
    url: String,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
    released: watch::Sender<bool>,
    _server: JoinSet<()>,
}

impl Collector {
    pub(super) async fn start(answer: Answer) -> Self {
        Collector::serve(answer, Server::builder(), "http").await
    }

    /// One that answers at once whom it knows by the client's certificate.
    pub(super) async fn behind_tls(tls: ServerTlsConfig) -> Self {
        let server = Server::builder().tls_config(tls).unwrap();
        let collector = Collector::serve(Answer::WhenReleased, server, "https").await;
        collector.release();
        collector
    }

    async fn serve(answer: Answer, mut server: Server, scheme: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (released, until) = watch::channel(false);
        let (asked, answered) = (Arc::default(), Arc::default());
        let service = TraceServiceServer::new(Service {
            answer,
            asked: Arc::clone(&asked),
            answered: Arc::clone(&answered),
            released: until,
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = server.add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Collector {
            url,
            asked,
            answered,
            released,
            _server: serving,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How often it was asked to take a batch.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many spans it said that it took.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// From now on it answers.
    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }
}

struct Service {
    answer: Answer,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
    released: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.answer {
            Answer::Unavailable => return Err(Status::unavailable("not now")),
            Answer::ResourceExhausted => return Err(Status::resource_exhausted("enough")),
            Answer::WhenReleased => {
                let mut released = self.released.clone();
                let _ = released.wait_for(|released| *released).await;
            }
        }
        let resources = request.get_ref().resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        self.answered.fetch_add(spans as u64, Ordering::SeqCst);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Accepts every connection, and resets it.
pub(super) struct Resets {
    url: String,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Resets {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                // Unread and closed at once: the other side hears RST instead of FIN.
                connection.set_zero_linger().unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Resets {
            url,
            connections,
            _server: server,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
