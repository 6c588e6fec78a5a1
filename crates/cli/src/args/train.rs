//! Arguments of `resnet train`.

use std::{path::PathBuf, time::Duration};

use clap::{
    Arg, ArgMatches, Args, Command, ValueEnum, builder::PossibleValuesParser, parser::ValueSource,
};
use resnet::{Arch, data::DataSource, recipe::Recipe};

use super::{
    shared::{DEFAULT_ARCH, DataDir, Dtype, NormalisationArgs, Output},
    values,
};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct TrainArgs {
    /// Data set to train on: cifar10 or synthetic; what is missing is fetched
    #[arg(value_name = "DATA", default_value = "cifar10")]
    pub(crate) data: DataSource,
    /// Architecture (`resnet archs` lists them); where a run starts from a file, that of the file
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH)]
    pub(crate) arch: Arch,
    /// Folder of the run [default: runs/<arch>-<data>-<time>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also write PyTorch's files each epoch: <arch>_<data>_state_dict.pt, and
    /// <arch>_<data>_all.tar with the optimizer
    #[arg(long)]
    pub(crate) save_torch: bool,
    /// Show a bar an epoch, a dashboard that fills the terminal, or lines of text [default: bar at a
    /// terminal, log elsewhere]
    #[arg(long, value_enum)]
    pub(crate) ui: Option<Ui>,
    /// Also write event files for TensorBoard into the folder `tensorboard` of the run
    #[arg(long)]
    pub(crate) tensorboard: bool,
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
    /// Names of the settings that were given, rather than left to their defaults.
    #[arg(skip)]
    pub(crate) given: Vec<String>,
}

impl TrainArgs {
    /// Whether an option was given, by its name with dashes.
    pub(crate) fn is_given(&self, option: &str) -> bool {
        self.given.iter().any(|given| given == option)
    }

    /// The settings of a run among what was given to `resnet train`. A run that is continued keeps
    /// its own.
    pub(super) fn settings(command: &Command, matches: &ArgMatches) -> Vec<String> {
        const OTHERS: [&str; 7] =
            ["resume", "ui", "tensorboard", "json", "data-dir", "threads", "quiet"];
        let given = command.get_arguments().filter(|argument| {
            let long = argument.get_long().unwrap_or_default();
            let source = matches.value_source(argument.get_id().as_str());
            source == Some(ValueSource::CommandLine) && !OTHERS.contains(&long)
        });
        let name = |argument: &Arg| match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_id().to_string().to_uppercase(),
        };
        given.map(name).collect()
    }
}

/// What a run starts from. A run that is continued keeps its own settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Start")]
pub(crate) struct StartArgs {
    /// Continue a run as it was set up: its folder, a checkpoint in it, or `last` for the newest.
    /// Or continue what another file holds, with its weights, momentum and epochs, as a new run
    /// with the settings given here
    #[arg(long, value_name = "DIR|FILE|last", conflicts_with_all = ["init", "budget"])]
    pub(crate) resume: Option<PathBuf>,
    /// Start from the weights of this file, in any form; a head for another number of classes
    /// starts from random values
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
    /// Take N training images as the validation set, and choose `best` on it
    #[arg(long, visible_alias = "split", value_name = "N", value_parser = values::count)]
    pub(crate) validation: Option<usize>,
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
    Full,
    Log,
}
