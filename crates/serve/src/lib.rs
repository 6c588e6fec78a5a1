//! Serves image classifiers over HTTP.
//!
//! [`run`] serves until a signal ends it, [`Server`] inside another program. A [`ModelSource`] says where a
//! model comes from; it is loaded again when its file changes. [`Settings`] and [`Limits`] bound what the
//! service takes: past a limit a request is refused at once, as a JSON problem (RFC 9457).
//!
//! | path | what it does |
//! |---|---|
//! | `POST /v1/predict`, `/v1/models/{name}/predict` | classes of photos: an image, a form, or JSON with base64 |
//! | `/v2` | the Open Inference Protocol: metadata, state, `POST /v2/models/{name}/infer` |
//! | `/healthz`, `/readyz`, `/metrics` | for what watches over it |
//! | `/openapi.json` | the interface for programs |
//! | `/` | a page for people |
//!
//! Photos become answers on threads of their own (`work`): some decode, one computes what is ready, in
//! batches. What is computed for an image is bit-identical in every batch.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod app;
mod details;
mod handlers;
mod held;
mod infer;
mod log;
mod metrics;
mod problem;
mod registry;
mod request;
mod run;
mod served;
mod server;
mod service;
mod settings;
mod unread;
mod work;
mod write_timeout;

#[cfg(test)]
mod tests;

pub use log::Log;
pub use registry::{LoadError, ModelSource};
pub use run::run;
pub use server::{ServeError, Server};
pub use settings::{Limits, Settings};
