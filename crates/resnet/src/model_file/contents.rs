//! What a file holds, whatever its form.

use std::fmt;

use resnet_formats::{NamedTensors, safetensors::Metadata, torch};

use super::OptimizerState;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A safetensors file.
    Safetensors,
    /// A PyTorch file that holds a model so.
    Torch(torch::TorchLayout),
    /// An ONNX file.
    Onnx,
    /// A folder as timm and the Hugging Face hub have it.
    Timm,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileFormat::Safetensors => "safetensors",
            FileFormat::Torch(torch::TorchLayout::StateDict) => "PyTorch state dict",
            FileFormat::Torch(torch::TorchLayout::Checkpoint) => "PyTorch checkpoint",
            FileFormat::Torch(torch::TorchLayout::Module) => "whole PyTorch module",
            FileFormat::Onnx => "ONNX",
            FileFormat::Timm => "timm folder",
        })
    }
}

/// A model's tensors, and what is beside them.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The form of the file.
    pub format: FileFormat,
    /// The state dict of the model, with names as they are in the file.
    pub tensors: NamedTensors,
    /// What the file says by the keys of [`key`](super::key); of others only what can be relied on.
    pub metadata: Metadata,
    /// Epochs that the model was trained, as far as the file says.
    pub epochs: Option<u64>,
    /// The optimiser, if there is one; or else why not.
    pub optimizer: Result<OptimizerState, String>,
    /// What was left out or concluded when it was read, for people to know.
    pub notes: Vec<String>,
}

/// Why a file without an optimiser has none.
pub(super) const NO_OPTIMIZER: &str = "it holds no optimizer";
