//! A trained network, and the images that it is tried on: arguments of every verb that does so.

use std::path::PathBuf;

use clap::Args;
use resnet::{Arch, data::DataSource};

use super::{
    shared::{DataDir, Dtype, NormalisationArgs},
    values,
};

/// A trained network, and how it is run.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A run folder (its `best`, or `last` where no images were held out); a file: safetensors,
    /// PyTorch or ONNX; or `demo`, a trained ResNet-20
    #[arg(id = "model", value_name = "MODEL")]
    pub(crate) path: PathBuf,
    /// Architecture, for a file that does not say [default: what its tensors are of]
    #[arg(long, value_name = "NAME")]
    pub(crate) arch: Option<Arch>,
    /// Storage of activations, whatever the network was trained in
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Data set to test on: cifar10 or synthetic [default: the run's, or else cifar10]
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<DataSource>,
    /// Use the first N test images only
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_test: Option<usize>,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}
