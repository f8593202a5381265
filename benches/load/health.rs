//! Health checks, one after the other, and how long each took.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::process::Server;

/// Between two checks.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct Health {
    end: CancellationToken,
    checks: [JoinHandle<Vec<Duration>>; 2],
}

impl Health {
    /// Begins to look: at gRPC's health, and at `/v1/health`.
    pub(crate) async fn look(server: &Server) -> Self {
        let end = CancellationToken::new();
        let channel = server.connect().await;
        let grpc = again_and_again(end.clone(), move || {
            let mut client = HealthClient::new(channel.clone());
            async move { drop(client.check(HealthCheckRequest::default()).await.unwrap()) }
        });
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(server.tls())
            .build()
            .unwrap();
        let url = format!("https://127.0.0.1:{}/v1/health", server.http_port);
        let http = again_and_again(end.clone(), move || {
            let request = http.get(&url);
            async move {
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_success());
                answer.bytes().await.unwrap();
            }
        });
        Health {
            end,
            checks: [grpc, http],
        }
    }

    pub(crate) async fn end(self) -> [Vec<Duration>; 2] {
        self.end.cancel();
        let [grpc, http] = self.checks;
        [grpc.await.unwrap(), http.await.unwrap()]
    }
}

fn again_and_again<F>(
    end: CancellationToken,
    mut check: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<Vec<Duration>>
where
    F: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        let mut took = Vec::new();
        while !end.is_cancelled() {
            let begun = Instant::now();
            check().await;
            took.push(begun.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
        took
    })
}
