//! What operators and their tools ask over HTTP.
//!
//! | path | answers |
//! |---|---|
//! | `/v1/live`, `/livez` | 200 while the process answers at all |
//! | `/v1/ready`, `/readyz` | 200 if records can be had, the certificate is valid and it is not draining; else 503, and which of them is not so |
//! | `/v1/health` | as the original's: its time and version; 503 while draining |
//! | `/v1/metrics/prometheus` | OpenMetrics |

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

use super::{
    metrics::{self, Metrics},
    readiness::Readiness,
};

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

pub(crate) fn router(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/v1/live", get(live))
        .route("/livez", get(live))
        .route("/v1/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/v1/health", get(health))
        .route("/v1/metrics/prometheus", get(prometheus))
        .with_state(Shared { metrics, readiness })
}

#[derive(Serialize)]
struct Live {
    status: &'static str,
}

/// Nothing is looked at: what restarting does not mend is no reason to be restarted.
async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

async fn ready(State(shared): State<Shared>) -> Response {
    let state = shared.readiness.state().await;
    let code = if state.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(state)).into_response()
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    server_time_utc: String,
    version: &'static str,
}

/// 200 while requests are taken, 503 while draining.
async fn health(State(shared): State<Shared>) -> Response {
    let (code, status) = if shared.readiness.is_draining() {
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
