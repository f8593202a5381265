//! What answers from a recording, and what does not answer at all.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, Method, StatusCode},
};
use tokio::{net::TcpListener, task::JoinSet};

/// Answers from a recording, and remembers what it was asked.
pub(super) struct Recorded {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Recorded {
    /// `answer` is asked with the method, the path and the headers.
    pub(super) async fn serve<A>(answer: A) -> Self
    where
        A: Fn(&Method, &str, &HeaderMap) -> (StatusCode, String) + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let router = Router::new().fallback(async move |request: Request| {
            let path = request.uri().path();
            let method = request.method();
            seen.lock().unwrap().push(format!("{method} {path}"));
            answer(method, path, request.headers())
        });
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Recorded {
            address,
            requests,
            _server: server,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.address
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Accepts connections and never answers; counts them.
pub(crate) struct BlackHole {
    address: String,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl BlackHole {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut held = Vec::new();
            loop {
                held.push(listener.accept().await.unwrap());
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        BlackHole {
            address,
            connections,
            _server: server,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.address
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
