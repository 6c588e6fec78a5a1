//! `/v2`: state and metadata of the service and its models, and inference.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Response, StatusCode},
};
use serde::Deserialize;
use serde_json::json;

use super::{DATATYPE, INPUT, OUTPUT, VERSION, inputs::Inference, outputs};
use crate::{
    blocking::blocking,
    handlers::{healthz, json as json_answer, readyz},
    problem::Problem,
    served::{Prepared, Served},
    service::Service,
    work::{Answer, Failed, Image},
};

/// What a path names, unless it is no text.
type Name = Result<Path<Named>, PathRejection>;

/// The model that a path names.
#[derive(Deserialize)]
pub(crate) struct Named {
    name: String,
    version: Option<String>,
}

impl Named {
    fn find(&self, service: &Service) -> Result<Arc<Served>, Problem> {
        let model = service.registry.get(Some(&self.name))?;
        if self.version.as_ref().is_some_and(|version| version != VERSION) {
            let detail = format!("each model has one version: {VERSION}");
            return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_version", detail));
        }
        Ok(model)
    }
}

/// The service, and which extensions it has.
pub(crate) async fn server() -> Response<Body> {
    json_answer(&json!({
        "name": "resnet",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    }))
}

pub(crate) async fn live() -> Response<Body> {
    healthz().await
}

pub(crate) async fn ready(service: State<Arc<Service>>) -> Result<Response<Body>, Problem> {
    readyz(service).await
}

/// Inputs and outputs of a model.
pub(crate) async fn model(
    State(service): State<Arc<Service>>,
    named: Name,
) -> Result<Response<Body>, Problem> {
    let model = named?.find(&service)?;
    let preparation = model.predictor.preparation();
    let (channels, side) = (preparation.channels, preparation.image_size);
    let classes = model.predictor.classes().len();
    Ok(json_answer(&json!({
        "name": model.name,
        "versions": [VERSION],
        "platform": "resnet",
        "inputs": [{ "name": INPUT, "datatype": DATATYPE, "shape": [-1, channels, side, side] }],
        "outputs": [{ "name": OUTPUT, "datatype": DATATYPE, "shape": [-1, classes] }],
    })))
}

/// The model is loaded.
pub(crate) async fn model_ready(
    State(service): State<Arc<Service>>,
    named: Name,
) -> Result<Response<Body>, Problem> {
    let model = named?.find(&service)?;
    Ok(json_answer(&json!({ "name": model.name, "ready": true })))
}

/// The logits of images.
pub(crate) async fn infer(
    State(service): State<Arc<Service>>,
    named: Name,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let named = named?;
    // As for photos: the model is that of when the body has arrived.
    named.find(&service)?;
    let (parts, body) = service.read(request).await?;
    let model = named.find(&service)?;
    let (preparation, most) = (model.predictor.preparation(), service.settings.limits.images);
    let read = || Inference::read(&parts.headers, &body, preparation, most);
    let Inference { id, images, binary } = blocking(body.len(), read)?;
    drop(body);
    let are_values = matches!(images[..], [Prepared::Values(_), ..]);
    let images: Vec<_> = images.into_iter().map(Image::Prepared).collect();
    let count = images.len();
    let (answers, details) = service.compute(&model, images).await?;
    let read = |(index, answer): (usize, Result<Answer, Failed>)| {
        answer.map_err(|failed| {
            let problem = match failed {
                Failed::NotFinite if are_values => not_finite(index),
                Failed::NotFinite => Problem::not_finite(),
                Failed::Lost => Problem::gpu_lost(&model.name),
                Failed::Internal | Failed::Photo(_) => Problem::internal(),
            };
            problem.with(details.clone())
        })
    };
    let answers = answers.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let logits: Vec<f32> =
        answers.iter().flat_map(|answer| answer.logits.iter().copied()).collect();
    let output = outputs::Logits { model: &model.name, id: id.as_deref(), logits: &logits, count };
    let answer = blocking(16 * logits.len(), || match binary {
        false => output.as_json(&service),
        true => output.as_bytes(&service),
    });
    Problem::with_details(answer, details)
}

/// Values are the client's, and so may be an overflow.
fn not_finite(image: usize) -> Problem {
    let detail = format!(
        "the network's output for image {image} is NaN or infinite: its values are too large, or the network overflows \
         by itself (try zeros)"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_finite", detail)
}
