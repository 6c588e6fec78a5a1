//! What the service answers, but for the Open Inference Protocol.

mod page;
mod predict;
mod state;

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use serde::Serialize;

pub(crate) use page::{openapi, page};
pub(crate) use predict::{predict, predict_named};
pub(crate) use state::{healthz, metrics, models, readyz};

/// An answer of JSON.
pub(crate) fn json(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("these types are always JSON");
    answer("application/json", text)
}

/// An answer of this type.
pub(crate) fn answer(kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
