//! `/v2`: state and metadata of the service and its models, and inference.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::Response,
};
use serde_json::json;
use tokio::task::block_in_place;

use super::{DATATYPE, INPUT, OUTPUT, inputs::Inference, outputs};
use crate::{
    handlers::{healthz, json as json_answer, readyz},
    problem::Problem,
    service::{Details, Service},
    work::{Failed, Image},
};

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
    Path(name): Path<String>,
) -> Result<Response<Body>, Problem> {
    let model = service.registry.get(Some(&name))?;
    let preparation = model.predictor.preparation();
    let (channels, side) = (preparation.channels, preparation.image_size);
    let classes = model.predictor.classes().len();
    Ok(json_answer(&json!({
        "name": model.name,
        "versions": ["1"],
        "platform": "resnet",
        "inputs": [{ "name": INPUT, "datatype": DATATYPE, "shape": [-1, channels, side, side] }],
        "outputs": [{ "name": OUTPUT, "datatype": DATATYPE, "shape": [-1, classes] }],
    })))
}

/// The model is loaded.
pub(crate) async fn model_ready(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Response<Body>, Problem> {
    let model = service.registry.get(Some(&name))?;
    Ok(json_answer(&json!({ "name": model.name, "ready": true })))
}

/// The logits of normalised images.
pub(crate) async fn infer(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let model = service.registry.get(Some(&name))?;
    let (parts, body) = service.read(request).await?;
    let (preparation, most) = (model.predictor.preparation(), service.settings.limits.images);
    let read = || Inference::read(&parts.headers, &body, preparation, most);
    let Inference { id, images, binary } = block_in_place(read)?;
    drop(body);
    let images: Vec<_> = images.into_iter().map(Image::Tensor).collect();
    let count = images.len();
    let answers = service.compute(&model, images).await?;
    let answers: Result<Vec<_>, Failed> = answers.into_iter().collect();
    let answers = answers.map_err(|_| Problem::internal())?;
    let logits: Vec<f32> =
        answers.iter().flat_map(|answer| answer.logits.iter().copied()).collect();
    let mut response = outputs::logits(&model.name, id.as_deref(), &logits, count, binary);
    response.extensions_mut().insert(Details::new(&model, count, answers.iter()));
    Ok(response)
}
