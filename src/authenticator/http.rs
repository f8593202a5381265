//! What operators and their tools ask over HTTP: `/v1/health` and `/v1/metrics/prometheus`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_util::sync::CancellationToken;

use super::metrics::{self, Metrics};

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    drain: CancellationToken,
}

pub(crate) fn router(metrics: Arc<Metrics>, drain: CancellationToken) -> Router {
    Router::new()
        .route("/v1/health", get(health))
        .route("/v1/metrics/prometheus", get(prometheus))
        .with_state(Shared { metrics, drain })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    server_time_utc: String,
    version: &'static str,
}

/// 200 while requests are taken, 503 while draining.
async fn health(State(shared): State<Shared>) -> Response {
    let (code, status) = if shared.drain.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        (StatusCode::OK, "serving")
    };
    let now = OffsetDateTime::now_utc();
    let health = Health {
        status,
        server_time_utc: now.format(&Rfc3339).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
    };
    (code, Json(health)).into_response()
}

async fn prometheus(State(shared): State<Shared>) -> Response {
    match shared.metrics.exposition() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
