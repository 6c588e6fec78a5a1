//! Whether the service lives, what it serves, and what it has counted.

use std::sync::Arc;

use axum::{body::Body, extract::State, http::Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::{answer, json};
use crate::{problem::Problem, served::Served, service::Service};

#[derive(Serialize)]
struct Models<'a> {
    models: Vec<Model<'a>>,
    /// How many are not loaded yet.
    loading: usize,
    limits: Value,
}

/// What the page shows of a model.
#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    arch: String,
    image_size: usize,
    classes: &'a [String],
    heat_maps: bool,
}

impl Model<'_> {
    fn new(model: &Served) -> Model<'_> {
        Model {
            name: &model.name,
            arch: model.predictor.model().arch.to_string(),
            image_size: model.side(),
            classes: model.predictor.classes(),
            heat_maps: model.has_heat_maps(),
        }
    }
}

/// The service runs.
pub(crate) async fn healthz() -> Response<Body> {
    json(&json!({ "live": true }))
}

/// All models are loaded and have computed something, and the service is not about to end.
pub(crate) async fn readyz(State(service): State<Arc<Service>>) -> Result<Response<Body>, Problem> {
    match service.unready() {
        None => Ok(json(&json!({ "ready": true }))),
        Some(problem) => Err(problem),
    }
}

/// The models.
pub(crate) async fn models(State(service): State<Arc<Service>>) -> Result<Response<Body>, Problem> {
    let ready = service.registry.ready();
    let limits = &service.settings.limits;
    let models = Models {
        models: ready.iter().map(|model| Model::new(model)).collect(),
        loading: service.registry.loading(),
        limits: json!({ "body": limits.body, "images": limits.images, "pixels": limits.pixels }),
    };
    let text = serde_json::to_vec(&models).expect("these types are always JSON");
    Ok(answer("application/json", service.hold(text)?))
}

/// Prometheus reads this.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response<Body> {
    let ready = service.registry.ready().len();
    let text = service.metrics.text(ready, service.pending());
    answer("text/plain; version=0.0.4; charset=utf-8", text)
}
