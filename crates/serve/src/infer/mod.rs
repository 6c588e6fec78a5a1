//! The Open Inference Protocol (KServe's version 2), with Triton's extension for binary tensors.
//!
//! The input is `input`, `[images, channels, height, width]`: normalised values in FP32, or pixels in UINT8,
//! which are normalised as those of photos are. The output is `logits`, FP32 `[images, classes]`.

mod handlers;
mod inputs;
mod outputs;
mod tensor;

pub(crate) use handlers::{infer, live, model, model_ready, ready, server};

/// The one input.
const INPUT: &str = "input";
/// The one output.
const OUTPUT: &str = "logits";
/// The type of the output, and of the input in the metadata, which has room for one.
const DATATYPE: &str = "FP32";
/// The one version of each model.
const VERSION: &str = "1";
/// The length of the JSON in front of binary tensors, in requests and answers.
const JSON_LENGTH: &str = "inference-header-content-length";
