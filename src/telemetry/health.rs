//! One answer to "may this process decide?", for gRPC health and `/readyz` alike.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as GrpcHealth, HealthServer},
    server::HealthReporter,
};

use crate::store::ReplicaState;

/// SERVING from the first successful poll of the store until drain begins, or until the store has been silent for
/// longer than `store.stale_grace`. A cache or a hint bus never changes it.
pub struct Health {
    view: Arc<ReplicaState>,
    stale_grace: Duration,
    draining: AtomicBool,
    serving: watch::Sender<bool>,
}

impl Health {
    /// Not serving yet.
    pub fn new(view: Arc<ReplicaState>, stale_grace: Duration) -> Self {
        Self { view, stale_grace, draining: AtomicBool::new(false), serving: watch::Sender::new(false) }
    }

    /// Judges anew; called after every poll.
    pub fn judge(&self, now: Instant) {
        self.serving.send_if_modified(|was| {
            // Under the lock, so that a poll that judges at the same time cannot undo a drain.
            let serving = !self.draining.load(Ordering::SeqCst) && self.view.is_fresh(now, self.stale_grace);
            std::mem::replace(was, serving) != serving
        });
    }

    /// Stops being ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.judge(Instant::now());
    }

    /// What health checks are told.
    pub fn is_serving(&self) -> bool {
        *self.serving.borrow()
    }

    fn detail(&self) -> Value {
        let since_poll = self.view.since_poll(Instant::now());
        json!({
            "serving": self.is_serving(),
            "draining": self.draining.load(Ordering::Relaxed),
            "store": {
                "fresh": self.view.is_fresh(Instant::now(), self.stale_grace),
                "since_poll_ms": since_poll.map(|since| since.as_millis() as u64),
                "applied_revision": self.view.applied().0,
            },
        })
    }
}

/// `grpc.health.v1`, for the whole server (`""`) and for the service named `service`, and the future that keeps it true.
pub async fn grpc(
    health: Arc<Health>,
    service: &'static str,
) -> (HealthServer<impl GrpcHealth>, impl Future<Output = ()> + Send) {
    let (reporter, server) = tonic_health::server::health_reporter();
    let mut serving = health.serving.subscribe();
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

/// `listen.http`: liveness, readiness and metrics, and nothing else.
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
    (status(&health), if health.is_serving() { "ok\n" } else { "not serving\n" })
}

async fn healthz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    (status(&health), Json(health.detail()))
}
