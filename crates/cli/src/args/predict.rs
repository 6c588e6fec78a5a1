//! Arguments of `resnet predict`.

use std::path::PathBuf;

use clap::Args;
use resnet::Arch;

use super::{Dtype, NormalisationArgs, Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PredictArgs {
    /// A run folder (its `best`, or `last` where no images were held out); a file: safetensors,
    /// PyTorch or ONNX; or `demo`, a trained ResNet-20
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Photos (JPEG, PNG, WebP, GIF, BMP), folders of them, quoted patterns such as 'cats/*.jpg',
    /// or - for a photo on standard input
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Classes to list for an image, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = values::count)]
    pub(crate) top: usize,
    /// Print CSV, a line an image
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Architecture, for a file that does not say [default: what its tensors are of]
    #[arg(long, value_name = "NAME")]
    pub(crate) arch: Option<Arch>,
    /// Storage of activations, whatever the network was trained in
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}
