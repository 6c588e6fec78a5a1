//! A trained network and the data set to evaluate it on: arguments that several verbs share.

use std::path::PathBuf;

use clap::Args;
use resnet::{Arch, model_file::LoadOptions};

use super::{
    data::DataArg,
    shared::{DataDir, Dtype, NormalisationArgs, WeightsArg},
    values,
};
use crate::completion;

/// A trained network, and how to read and run it.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A run folder (its `best`, or `last` where there was no validation set); a file: safetensors,
    /// PyTorch or ONNX; `last`, the newest run in runs; or `demo`, a trained ResNet-20
    #[arg(id = "model", value_name = "MODEL", help_heading = None, add = completion::models())]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// How to read and run a trained network.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Architecture of the model file [default: stated in the file, or inferred from its tensors]
    #[arg(long, value_name = "NAME", add = completion::archs())]
    pub(crate) arch: Option<Arch>,
    #[command(flatten)]
    pub(crate) weights: WeightsArg,
    /// Data type of activations, whatever the network was trained in
    #[arg(long, value_enum, ignore_case = true, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    /// Names of the classes: a file with one on each line, a JSON list, or a JSON object of numbers
    /// and names [default: the model's]
    #[arg(long, value_name = "FILE")]
    pub(crate) class_names: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
}

impl NetworkArgs {
    /// What to load of the file.
    pub(crate) fn options(&self) -> LoadOptions {
        self.weights.options(self.arch)
    }
}

#[derive(Debug, Args)]
pub(crate) struct EvaluationArgs {
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    /// Data set to evaluate on: cifar10, cifar100, mnist, fashion-mnist or synthetic, or a folder of
    /// photos with a folder for each class [default: the run's, or cifar10]
    #[arg(value_name = "DATA", help_heading = None, value_parser = DataArg::parser(), add = completion::data_or_folder())]
    pub(crate) data: Option<DataArg>,
    /// CSV or TSV file with the paths and labels of the photos [default: their folders]
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub(crate) labels: Option<PathBuf>,
    /// Evaluate on the first N test images only, or, of photos, on N random ones, of each class the
    /// same share
    #[arg(long, value_name = "N", value_parser = values::count, help_heading = "Data")]
    pub(crate) limit_test: Option<usize>,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
}
