//! A trained network and the images that it is tried on: arguments of every verb that does so.

use std::path::PathBuf;

use clap::Args;
use resnet::{Arch, data::DataSource};

use super::{DataDir, Dtype, NormalisationArgs, values};

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// A run folder (its `best`, or `last` where no images were held out); a file: safetensors,
    /// PyTorch or ONNX; or `demo`, a trained ResNet-20
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Data set to test on: cifar10 or synthetic [default: the run's, or else cifar10]
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<DataSource>,
    /// Architecture, for a file that does not say [default: what its tensors are of]
    #[arg(long, value_name = "NAME")]
    pub(crate) arch: Option<Arch>,
    /// Use the first N test images only
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_test: Option<usize>,
    /// Storage of activations, whatever the network was trained in
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}
