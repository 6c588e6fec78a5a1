//! Answers of inference.

use axum::{
    body::Body,
    http::{HeaderName, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{DATATYPE, JSON_LENGTH, OUTPUT, VERSION};
use crate::{handlers::answer, problem::Problem, service::Service};

/// The logits of a request.
pub(super) struct Logits<'a> {
    pub(super) model: &'a str,
    pub(super) id: Option<&'a str>,
    /// `[images][classes]`
    pub(super) logits: &'a [f32],
    /// Images.
    pub(super) count: usize,
}

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

impl Logits<'_> {
    /// In JSON.
    pub(super) fn as_json(&self, service: &Service) -> Result<Response<Body>, Problem> {
        Ok(answer("application/json", service.hold(self.json(None, Some(self.logits)))?))
    }

    /// As bytes behind the JSON.
    pub(super) fn as_bytes(&self, service: &Service) -> Result<Response<Body>, Problem> {
        let size = json!({ "binary_data_size": size_of_val(self.logits) });
        let mut body = self.json(Some(size), None);
        let length = body.len();
        body.extend(self.logits.iter().flat_map(|logit| logit.to_le_bytes()));
        let mut response = answer("application/octet-stream", service.hold(body)?);
        response.headers_mut().insert(HeaderName::from_static(JSON_LENGTH), length.into());
        Ok(response)
    }

    fn json(&self, parameters: Option<Value>, data: Option<&[f32]>) -> Vec<u8> {
        let shape = [self.count, self.logits.len() / self.count.max(1)];
        let output = Output { name: OUTPUT, datatype: DATATYPE, shape, parameters, data };
        let json =
            Json { model_name: self.model, model_version: VERSION, id: self.id, outputs: [output] };
        serde_json::to_vec(&json).expect("these types are always JSON")
    }
}
