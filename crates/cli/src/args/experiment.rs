//! Arguments of `resnet experiment`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use resnet::{Arch, experiment::Kind};

use super::{
    data::DataArg,
    shared::{DataDir, Dtype, Output},
    train::{ImagesArgs, Ui},
    values,
};
use crate::completion;

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ExperimentArgs {
    /// The experiment
    #[arg(value_enum, value_name = "NAME")]
    pub(crate) name: ExperimentName,
    /// Data set to train on: cifar10, cifar100, mnist, fashion-mnist or synthetic, or a folder of photos
    /// with a folder for each class [default: cifar10; with --model, that of the first run]
    #[arg(value_name = "DATA", value_parser = DataArg::parser(), add = completion::data_or_folder())]
    pub(crate) data: Option<DataArg>,
    /// Depths of the nets: 6n+2 for the paper's CIFAR nets, 18, 34, 50, 101 or 152 for its ImageNet nets
    /// [default: 20,56; shortcuts: 20; depth: 20,32,44,56,110]
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = values::count, help_heading = "Nets and length")]
    pub(crate) depths: Vec<usize>,
    /// The nets themselves, such as plain18,plain34,resnet18-a,resnet34-a
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', conflicts_with = "depths", add = completion::archs(), help_heading = "Nets and length")]
    pub(crate) nets: Vec<Arch>,
    /// Epochs of every run; the schedule is compressed to them [default: the paper's 64,000 steps]
    #[arg(long, value_name = "N", value_parser = values::count, conflicts_with = "budget", help_heading = "Nets and length")]
    pub(crate) epochs: Option<usize>,
    /// Time of all runs together, such as 90m or 8h: each net's speed is measured, and all get the same
    /// number of epochs
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Nets and length")]
    pub(crate) budget: Option<Duration>,
    /// Train each net with the seeds 0 to K - 1; an experiment can be continued with more of them
    #[arg(long, value_name = "K", default_value = "1", value_parser = values::seeds, help_heading = "Nets and length")]
    pub(crate) seeds: usize,
    /// Images per batch [default: the paper's 128]
    #[arg(long, value_name = "N", value_parser = values::batch_size, help_heading = "Nets and length")]
    pub(crate) batch_size: Option<usize>,
    /// Data type of activations and their gradients; weights are always fp32 [default: bf16 if the
    /// CPU has bfloat16 dot products, otherwise fp32]
    #[arg(long, value_enum, ignore_case = true, help_heading = "Nets and length")]
    pub(crate) dtype: Option<Dtype>,
    /// For responses: measure this model instead of training: a run folder, a model file, or the folder of
    /// an experiment for all its nets with seed 0. Can be given several times
    #[arg(long = "model", value_name = "PATH", add = completion::models(), help_heading = "Nets and length")]
    pub(crate) models: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
    /// Folder of the experiment, for its run folders, table and figure. The same command continues it
    /// [default: runs/experiment-<name>-<data>]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Show a progress bar per epoch, a full-screen dashboard, or log lines [default: bar in a
    /// terminal, otherwise log]
    #[arg(long, value_enum, help_heading = "Output")]
    pub(crate) ui: Option<Ui>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}

/// The experiments by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExperimentName {
    /// Plain and residual nets of two depths: figures 1, 4 and 6
    Degradation,
    /// Shortcuts of options A, B and C: section 4.1, table 3
    Shortcuts,
    /// Residual nets of many depths: table 6
    Depth,
    /// Standard deviations of the layers' responses: figure 7
    Responses,
}

impl From<ExperimentName> for Kind {
    fn from(name: ExperimentName) -> Kind {
        match name {
            ExperimentName::Degradation => Kind::Degradation,
            ExperimentName::Shortcuts => Kind::Shortcuts,
            ExperimentName::Depth => Kind::Depth,
            ExperimentName::Responses => Kind::Responses,
        }
    }
}
