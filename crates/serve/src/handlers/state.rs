//! Whether the service lives, what it serves, and what it has counted.

use std::sync::Arc;

use axum::{body::Body, extract::State, http::Response};
use serde_json::json;

use super::{answer, json};
use crate::{problem::Problem, service::Service};

/// The service runs.
pub(crate) async fn healthz() -> Response<Body> {
    json(&json!({ "live": true }))
}

/// All models are loaded and have computed something, and the service is not about to end.
pub(crate) async fn readyz(State(service): State<Arc<Service>>) -> Result<Response<Body>, Problem> {
    match service.is_ready() {
        true => Ok(json(&json!({ "ready": true }))),
        false => Err(Problem::unavailable(
            "not_ready",
            "models are being loaded, or the service ends",
            1,
        )),
    }
}

/// The models: what the page shows of them, and how many are not loaded yet.
pub(crate) async fn models(State(service): State<Arc<Service>>) -> Response<Body> {
    let models: Vec<_> = service
        .registry
        .ready()
        .iter()
        .map(|model| {
            json!({
                "name": model.name,
                "arch": model.predictor.model().arch.to_string(),
                "image_size": model.side(),
                "classes": model.predictor.classes(),
                "heat_maps": model.has_heat_maps(),
            })
        })
        .collect();
    let limits = &service.settings.limits;
    let limits = json!({ "body": limits.body, "images": limits.images, "pixels": limits.pixels });
    let loading = service.registry.names().count() - models.len();
    json(&json!({ "models": models, "loading": loading, "limits": limits }))
}

/// Prometheus reads this.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response<Body> {
    let ready = service.registry.ready().len();
    let text = service.metrics.text(ready, service.pending());
    answer("text/plain; version=0.0.4; charset=utf-8", text)
}
