//! Endpoints for health and metrics: gRPC health, and `listen.http`.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as GrpcHealth, HealthServer},
    server::HealthReporter,
};

use super::health::Health;

/// The longest message of a health check, in bytes: the name of a service. Any caller may send one, and memory is kept for
/// a message that has not arrived completely.
const HEALTH_MESSAGE: usize = 1_024;

/// `grpc.health.v1`, for the whole server (`""`) and for the service `service`, and the future that keeps its status up
/// to date.
pub async fn grpc(
    health: Arc<Health>,
    service: &'static str,
) -> (HealthServer<impl GrpcHealth>, impl Future<Output = ()> + Send) {
    let (reporter, server) = tonic_health::server::health_reporter();
    let server = server.max_decoding_message_size(HEALTH_MESSAGE);
    let mut serving = health.subscribe();
    report(&reporter, service, health.is_serving()).await;
    let keep = async move {
        while serving.changed().await.is_ok() {
            let now = *serving.borrow_and_update();
            report(&reporter, service, now).await;
        }
    };
    (server, keep)
}

async fn report(reporter: &HealthReporter, service: &str, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in ["", service] {
        reporter.set_service_status(name, status).await;
    }
}

/// `listen.http`: liveness, readiness and metrics only.
pub fn http(health: Arc<Health>, exposition: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/health", get(healthz))
        .with_state(health)
        .route("/metrics", get(move || std::future::ready(metrics(&exposition))))
}

fn metrics(exposition: &PrometheusHandle) -> impl IntoResponse + use<> {
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], exposition.render())
}

fn status(health: &Health) -> StatusCode {
    if health.is_serving() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let body = match health.unwritable() {
        _ if !health.is_serving() => "not serving\n".to_owned(),
        Some(why) => {
            format!(
                "ok, but degraded: the store cannot be written: {why}; known keys are decided, new keys are denied\n"
            )
        }
        None => "ok\n".to_owned(),
    };
    (status(&health), body)
}

async fn healthz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    (status(&health), Json(health.detail()))
}
