//! Exports networks to ONNX ([`export`]) and imports them ([`import`]).
//!
//! Every node of the graph becomes an operator with PyTorch's name: `layer1.0.conv1` is a `Conv`
//! that reads the initialiser `layer1.0.conv1.weight`. The input `input` is normalised images
//! `[batch, channels, height, width]`, the output `logits` is `[batch, classes]`. Batch, height and
//! width are dynamic.

mod attributes;
mod constant;
mod export;
mod fold;
mod import;
mod integers;
mod layers;
mod part;
mod shaping;
mod smooth;
mod walk;

pub use export::{ExportError, ExportOptions, export, model};
pub use import::{Import, from_model, import};
