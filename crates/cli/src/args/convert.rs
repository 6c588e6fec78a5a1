//! Arguments of `resnet convert`.

use std::path::PathBuf;

use clap::Args;
use resnet::Arch;

use super::shared::{NormalisationArgs, WeightsArg};
use crate::completion;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ConvertArgs {
    /// Model to convert: a run folder, `last` for the newest run, a file (safetensors, PyTorch,
    /// ONNX), or `demo`
    #[arg(value_name = "IN", add = completion::models())]
    pub(crate) input: PathBuf,
    /// File to write. Its suffix sets the format: .safetensors; .pt, .pth or .th (PyTorch state
    /// dict); .tar (PyTorch checkpoint with the optimizer); .onnx. A name that ends in / is a
    /// folder for timm
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Architecture of the model file [default: stated in the file, or inferred from its tensors]
    #[arg(long, value_name = "NAME", add = completion::archs())]
    pub(crate) arch: Option<Arch>,
    #[command(flatten)]
    pub(crate) weights: WeightsArg,
    /// Fold batch norms into the convolutions (.onnx only)
    #[arg(long)]
    pub(crate) fold: bool,
    /// Write a folder for timm, whatever the name of OUT
    #[arg(long, conflicts_with = "fold")]
    pub(crate) timm: bool,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
}
