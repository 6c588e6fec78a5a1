//! Arguments of `resnet train`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use resnet::{Arch, data::DataSource, recipe::Recipe};

use super::{DEFAULT_ARCH, DataDir, Dtype, NormalisationArgs, Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct TrainArgs {
    /// Data set to train on: cifar10 or synthetic; what is missing is fetched
    #[arg(value_name = "DATA", default_value = "cifar10")]
    pub(crate) data: DataSource,
    /// Architecture (`resnet archs` lists them)
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH)]
    pub(crate) arch: Arch,
    /// Folder of the run [default: runs/<arch>-<data>-<time>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Show a bar an epoch, or lines of text [default: bar at a terminal, log elsewhere]
    #[arg(long, value_enum)]
    pub(crate) ui: Option<Ui>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

/// What a run starts from. A run that is continued keeps its own settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Start")]
pub(crate) struct StartArgs {
    /// Continue a run as it was set up: its folder, a checkpoint in it, or `last` for the newest
    #[arg(
        long,
        value_name = "DIR|FILE|last",
        conflicts_with_all = [
            "data", "arch", "out", "init", "RecipeArgs", "ImagesArgs", "NormalisationArgs"
        ],
    )]
    pub(crate) resume: Option<PathBuf>,
    /// Start from the weights of this checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) init: Option<PathBuf>,
}

/// A recipe and changes to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recipe")]
pub(crate) struct RecipeArgs {
    /// Recipe (`resnet recipes` prints each in full)
    #[arg(
        long,
        value_name = "NAME",
        default_value = Recipe::ALL[0].0,
        value_parser = PossibleValuesParser::new(Recipe::ALL.map(|(name, _)| name)),
    )]
    pub(crate) recipe: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", value_parser = values::count, conflicts_with = "budget")]
    pub(crate) epochs: Option<usize>,
    /// Time that the schedule is fitted to, such as 30m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) budget: Option<Duration>,
    /// Images in a batch
    #[arg(long, value_name = "N", value_parser = values::batch_size)]
    pub(crate) batch_size: Option<usize>,
    /// Learning rate (its peak, where the schedule has one)
    #[arg(long, value_name = "X", value_parser = values::rate)]
    pub(crate) lr: Option<f64>,
    /// Momentum
    #[arg(long, value_name = "X", value_parser = values::fraction)]
    pub(crate) momentum: Option<f32>,
    /// Weight decay
    #[arg(long, value_name = "X", value_parser = values::decay)]
    pub(crate) weight_decay: Option<f32>,
    /// Label smoothing
    #[arg(long, value_name = "X", value_parser = values::fraction)]
    pub(crate) label_smoothing: Option<f32>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Storage of activations and their gradients; weights are fp32 [default: bf16 where the
    /// machine has products of bfloat16, else fp32]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<Dtype>,
}

/// The images of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images")]
pub(crate) struct ImagesArgs {
    /// Hold N training images out, and choose `best` on them
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) split: Option<usize>,
    /// Train on the first N images only
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_train: Option<usize>,
    /// Test on the first N images only
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_test: Option<usize>,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ui {
    Bar,
    Log,
}
