//! Answers of inference.

use axum::{
    body::Body,
    http::{HeaderName, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{DATATYPE, JSON_LENGTH, OUTPUT};
use crate::handlers::{answer, json as json_answer};

#[derive(Serialize)]
struct Json<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: [Output<'a>; 1],
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

/// The answer with these logits, `[images][classes]`.
pub(super) fn logits(
    model: &str,
    id: Option<&str>,
    logits: &[f32],
    images: usize,
    binary: bool,
) -> Response<Body> {
    let bytes = size_of_val(logits);
    let output = Output {
        name: OUTPUT,
        datatype: DATATYPE,
        shape: [images, logits.len() / images.max(1)],
        parameters: binary.then(|| json!({ "binary_data_size": bytes })),
        data: (!binary).then_some(logits),
    };
    let json = Json { model_name: model, model_version: "1", id, outputs: [output] };
    if !binary {
        return json_answer(&json);
    }
    let mut body = serde_json::to_vec(&json).expect("these types are always JSON");
    let length = body.len();
    body.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
    let mut response = answer("application/octet-stream", body);
    response.headers_mut().insert(HeaderName::from_static(JSON_LENGTH), length.into());
    response
}
