//! The Open Inference Protocol (KServe's version 2), with Triton's extension for binary tensors.
//!
//! The input is `input`, FP32 `[images, channels, height, width]`, normalised; the output is `logits`, FP32
//! `[images, classes]`.

mod handlers;
mod inputs;
mod outputs;

pub(crate) use handlers::{infer, live, model, model_ready, ready, server};

/// The one input.
const INPUT: &str = "input";
/// The one output.
const OUTPUT: &str = "logits";
/// The one type of tensors.
const DATATYPE: &str = "FP32";
/// The length of the JSON in front of binary tensors, in requests and answers.
const JSON_LENGTH: &str = "inference-header-content-length";
