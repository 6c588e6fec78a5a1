//! Arguments of `resnet convert`.

use std::path::PathBuf;

use clap::Args;
use resnet::Arch;

use super::shared::NormalisationArgs;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ConvertArgs {
    /// A run folder; a file: safetensors, PyTorch or ONNX; or `demo`
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// What to write, by its suffix: .safetensors; .pt, .pth or .th for a PyTorch state dict; .tar
    /// for a dict with the optimizer as well; .onnx; or a folder (ending in /) for timm
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Architecture, for a file that does not say [default: what its tensors are of]
    #[arg(long, value_name = "NAME")]
    pub(crate) arch: Option<Arch>,
    /// Fold batch norms into convolutions (.onnx)
    #[arg(long)]
    pub(crate) fold: bool,
    /// Write a folder for timm, whatever OUT is called
    #[arg(long, conflicts_with = "fold")]
    pub(crate) timm: bool,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
}
