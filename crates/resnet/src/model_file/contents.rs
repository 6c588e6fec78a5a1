//! The contents of a model file, in any format.

use std::fmt;

use resnet_formats::{NamedTensors, safetensors::Metadata, torch};

use super::OptimizerState;

/// The format of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A safetensors file.
    Safetensors,
    /// A PyTorch file, with the layout of its pickle.
    Torch(torch::TorchLayout),
    /// An ONNX file.
    Onnx,
    /// A folder for timm, as on the Hugging Face hub.
    Timm,
    /// A folder for Hugging Face transformers.
    Transformers,
}

impl FileFormat {
    /// Whether a configuration of known keys comes with the weights.
    pub(super) fn is_folder(self) -> bool {
        matches!(self, FileFormat::Timm | FileFormat::Transformers)
    }
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
            FileFormat::Transformers => "transformers folder",
        })
    }
}

/// A model's tensors, metadata and optimiser.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// The format of the file.
    pub(crate) format: FileFormat,
    /// The state dict of the model, with the names of the file.
    pub(crate) tensors: NamedTensors,
    /// The file's metadata, under the keys of [`key`](super::key). Of other programs' files, only
    /// the entries that are unambiguous.
    pub(crate) metadata: Metadata,
    /// Epochs that the model was trained for, if the file states them.
    pub(crate) epochs: Option<u64>,
    /// The optimiser's state, or why there is none.
    pub(crate) optimizer: Result<OptimizerState, String>,
    /// In a checkpoint of this library, the average that training goes on with.
    pub(crate) average: Option<NamedTensors>,
    /// What was left out or concluded when it was read, for people to know.
    pub(crate) notes: Vec<String>,
    /// Of several sets of weights, the key of the one that was read.
    pub(crate) key: Option<String>,
    /// The modules of a whole pickled one.
    pub(crate) modules: Vec<torch::Submodule>,
}

impl Contents {
    /// Contents of tensors and metadata alone.
    pub(super) fn new(format: FileFormat, tensors: NamedTensors, metadata: Metadata) -> Contents {
        Contents {
            format,
            tensors,
            metadata,
            epochs: None,
            optimizer: Err(NO_OPTIMIZER.to_owned()),
            average: None,
            notes: Vec::new(),
            key: None,
            modules: Vec::new(),
        }
    }
}

/// Why there is no optimiser's state.
pub(super) const NO_OPTIMIZER: &str = "it holds no optimizer";
