//! The two endpoints at work: gRPC for applications, HTTP for operators.

use std::{sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    http,
    listener::{Acceptor, GrpcListener, MAX_STREAMS},
    metrics::Metrics,
    readiness::Readiness,
    service::{Admitting, MAX_MESSAGE_SIZE, MAX_V1_MESSAGE_SIZE, Service, V1Service},
    timely::Timely,
    token::MAX_SESSION_LIFETIME,
};
use crate::{
    error::printable,
    proto::{
        v1::authenticator_server::AuthenticatorServer as V1Server,
        v2::authenticator_server::AuthenticatorServer,
    },
};

/// The service as gRPC's health protocol knows it; the empty name stands for the whole server.
const NAMES: [&str; 2] = ["", "approzium.v2.Authenticator"];

const MAX_HEADERS: u32 = 16 << 10;

/// The name of a service.
const MAX_HEALTH_MESSAGE_SIZE: usize = 1 << 10;

/// What a peer may send of requests that nobody reads yet: as much as one message, of all streams of a
/// connection together. Without a word HTTP/2's library takes a megabyte.
const WINDOW: u32 = 65_535;

/// Streams at a time of one connection of an operator's, of whom few ask for little.
const OPERATORS_STREAMS: u32 = 16;

/// After so long without a word a client of HTTP/2 is asked whether it is there, and has as long to
/// say so. One of HTTP/1 has as long for the headers of its next request.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How often gRPC's health is made what readiness is.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn serve_grpc(
    acceptor: Acceptor,
    listener: TcpListener,
    service: Service,
    v1: Option<V1Service>,
    readiness: Arc<Readiness>,
) -> JoinHandle<()> {
    let within = acceptor.handshake_timeout;
    let (health, health_service) = tonic_health::server::health_reporter();
    let shared = service.0.clone();
    let health_service = Admitting {
        service: Timely {
            service: health_service.max_decoding_message_size(MAX_HEALTH_MESSAGE_SIZE),
            within,
        },
        shared: shared.clone(),
    };
    let is_ready = readiness.state().await.is_ready();
    report(&health, is_ready).await;
    let service = Admitting {
        service: AuthenticatorServer::new(service)
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE),
        shared: shared.clone(),
    };
    let v1 = v1.map(|v1| Admitting {
        service: Timely {
            service: V1Server::new(v1)
                .max_decoding_message_size(MAX_V1_MESSAGE_SIZE)
                .max_encoding_message_size(MAX_V1_MESSAGE_SIZE),
            within,
        },
        shared,
    });
    let drain = acceptor.drain.clone();
    // A task of its own: tonic forgets what it waits for when it gets no more connections.
    tokio::spawn(tell(health, readiness, drain.clone()));
    let draining = drain.cancelled_owned();
    let mut server = tonic::transport::Server::builder();
    if acceptor.is_mutual() {
        // An authority that is taken off would else be trusted for as long as a connection is open.
        server = server.max_connection_age(MAX_SESSION_LIFETIME);
    }
    let server = server
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(service)
        .add_optional_service(v1)
        .add_service(health_service)
        .serve_with_incoming_shutdown(GrpcListener(acceptor.listen(listener)), draining);
    tokio::spawn(async move {
        if let Err(error) = server.await {
            ::tracing::error!(error = ?printable(&error.to_string()), "the gRPC server ended");
        }
    })
}

/// Makes gRPC's health what readiness is, until it drains.
async fn tell(mut health: HealthReporter, readiness: Arc<Readiness>, drain: CancellationToken) {
    let follow = async {
        loop {
            tokio::time::sleep(LOOK).await;
            report(&health, readiness.state().await.is_ready()).await;
        }
    };
    tokio::select! {
        () = follow => {}
        () = readiness.leaving().cancelled() => {}
        // It never began.
        () = drain.cancelled() => {}
    }
    report(&health, false).await;
    drain.cancelled().await;
    // Whoever watches it was told so, and would else be waited for like a login.
    for name in NAMES {
        health.clear_service_status(name).await;
    }
}

async fn report(health: &HealthReporter, is_ready: bool) {
    let status = if is_ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}

pub(super) fn serve_http(
    acceptor: Acceptor,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
) -> JoinHandle<()> {
    let (drain, is_mutual) = (acceptor.drain.clone(), acceptor.is_mutual());
    let probes = http::probes(readiness.clone());
    let all = TowerToHyperService::new(probes.clone().merge(http::operators(metrics, readiness)));
    let probes = TowerToHyperService::new(probes.merge(http::refused()));
    let mut accepted = acceptor.listen(listener);
    tokio::spawn(async move {
        let (server, open) = (http_server(), GracefulShutdown::new());
        while let Some(Some(connection)) = drain.run_until_cancelled(accepted.recv()).await {
            let service = match connection.shows_certificate() || !is_mutual {
                true => all.clone(),
                false => probes.clone(),
            };
            let served = server.serve_connection(TokioIo::new(connection), service);
            let served = open.watch(served.into_owned());
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    ::tracing::debug!(error = ?printable(&error.to_string()), "a connection ended");
                }
            });
        }
        open.shutdown().await;
    })
}

/// Whoever is slow to say what he wants is not waited for.
fn http_server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEPALIVE)
        .max_buf_size(MAX_HEADERS as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(OPERATORS_STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .max_header_list_size(MAX_HEADERS);
    server
}
