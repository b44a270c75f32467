//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::families::Families;

/// What Prometheus calls the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A daemon that can be looked at from another thread, without waiting for any of its own.
pub trait Observed: Send + Sync + 'static {
    /// Everything that is measured.
    fn families(&self, families: &mut Families);

    /// Whether it works.
    ///
    /// # Errors
    /// Why a restart would do it good.
    fn health(&self) -> Result<String, String>;

    /// Whether it does what it is there for.
    ///
    /// # Errors
    /// What it waits for.
    fn readiness(&self) -> Result<String, String>;
}

/// The routes that every daemon has.
pub fn routes<O: Observed>(observed: Arc<O>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::<O>))
        .route("/healthz", get(health::<O>))
        .route("/readyz", get(readiness::<O>))
        .with_state(observed)
}

async fn metrics<O: Observed>(State(observed): State<Arc<O>>) -> impl IntoResponse {
    let mut families = Families::default();
    observed.families(&mut families);
    ([(header::CONTENT_TYPE, OPEN_METRICS)], families.into_text())
}

async fn health<O: Observed>(State(observed): State<Arc<O>>) -> impl IntoResponse {
    said(observed.health())
}

async fn readiness<O: Observed>(State(observed): State<Arc<O>>) -> impl IntoResponse {
    said(observed.readiness())
}

fn said(outcome: Result<String, String>) -> (StatusCode, String) {
    match outcome {
        Ok(line) => (StatusCode::OK, line + "\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}
