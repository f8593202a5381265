//! What operators and their tools ask over HTTP.
//!
//! | path | answers |
//! |---|---|
//! | `/v1/live`, `/livez` | 200 while the process answers at all |
//! | `/v1/ready`, `/readyz` | 200 if records can be had, the certificate is valid and it is not draining; else 503, and which of them is not so |
//! | `/v1/health` | as the original's: its time and version; 503 while draining |
//! | `/v1/metrics/prometheus` | OpenMetrics |
//!
//! Where client certificates are demanded, the first two are for everybody, since probes have none to
//! show, and the others for who shows one.

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
    metrics::{CONTENT_TYPE as OPEN_METRICS, Metrics},
    readiness::Readiness,
};

/// For whoever comes.
pub(crate) fn probes(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/v1/live", get(live))
        .route("/livez", get(live))
        .route("/v1/ready", get(ready))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

const HEALTH: &str = "/v1/health";
const METRICS: &str = "/v1/metrics/prometheus";

/// For who shows a certificate, where certificates are demanded.
pub(crate) fn operators(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Router {
    let health = Router::new()
        .route(HEALTH, get(health))
        .with_state(readiness);
    let metrics = Router::new()
        .route(METRICS, get(prometheus))
        .with_state(metrics);
    health.merge(metrics)
}

/// The same for who shows none.
pub(crate) fn refused() -> Router {
    let refuse = || async {
        (
            StatusCode::FORBIDDEN,
            "a client certificate is demanded here\n",
        )
    };
    Router::new()
        .route(HEALTH, get(refuse))
        .route(METRICS, get(refuse))
}

#[derive(Serialize)]
struct Live {
    status: &'static str,
}

/// Nothing is looked at: what restarting does not mend is no reason to be restarted.
async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    let state = readiness.state().await;
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
async fn health(State(readiness): State<Arc<Readiness>>) -> Response {
    let (code, status) = if readiness.is_draining() {
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

async fn prometheus(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.exposition() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
