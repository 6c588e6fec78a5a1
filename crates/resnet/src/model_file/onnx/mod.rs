//! Networks as ONNX files, for ONNX Runtime and whatever else reads them; and back.
//!
//! The graph goes out node for node under its own names, which are PyTorch's: `layer1.0.conv1` is
//! a `Conv` that reads the initialiser `layer1.0.conv1.weight`. The input is `input`, normalised
//! images `[batch, channels, height, width]`, the output `logits`, `[batch, classes]`; batch,
//! height and width are free.

mod constant;
mod export;
mod fold;
mod import;
mod walk;

pub use export::{ExportError, ExportOptions, export, model};
pub use import::{Import, from_model, import};
