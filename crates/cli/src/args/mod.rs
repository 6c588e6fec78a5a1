//! The command line: verbs, options and the valid range of each value. Nothing is opened or
//! computed here.

mod convert;
mod data;
mod experiment;
mod fine_tuning;
mod init;
mod lr_find;
mod model;
mod optimizer;
mod parallel;
mod predict;
mod preview;
mod report;
mod resizing;
mod selection;
mod serve;
mod shared;
mod show;
mod similar;
mod suspects;
mod train;
mod values;

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use resnet::{Arch, data::DataSource};

use crate::{completion, error, print};

pub(crate) use convert::ConvertArgs;
pub(crate) use data::{CachePlace, DataArg, PhotoReadingArgs, Share};
pub(crate) use experiment::ExperimentArgs;
pub(crate) use fine_tuning::FineTuningArgs;
pub(crate) use init::InitArg;
pub(crate) use lr_find::LrFindArgs;
pub(crate) use model::{EvaluationArgs, ModelArgs, NetworkArgs};
pub(crate) use optimizer::{OptimizerArgs, OptimizerName};
pub(crate) use parallel::CommArgs;
pub(crate) use predict::PredictArgs;
pub(crate) use preview::PreviewArgs;
pub(crate) use report::ReportArgs;
pub(crate) use resizing::ResizingArgs;
pub(crate) use selection::{ClassWeightsArg, MetricName, SamplingName, SelectionArgs};
pub(crate) use serve::{HostPort, NamedPath, ServeArgs, is_name};
pub(crate) use shared::{
    DEFAULT_ARCH, DataDir, Dtype, Global, Mode, NormalisationArgs, Output, Tta, WeightsArg,
};
pub(crate) use show::{PictureFormat, ShowArgs};
pub(crate) use similar::SimilarArgs;
pub(crate) use suspects::{PartArg, SuspectsArgs};
pub(crate) use train::{AugmentName, AugmentationArgs, ImagesArgs, RecipeArgs, TrainArgs, Ui};

/// Trains, evaluates and inspects residual networks on the CPU or a GPU.
#[derive(Debug, Parser)]
#[command(name = "resnet", version, max_term_width = 100, after_help = EXAMPLES_AND_EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// Parses the command line. `--help` and wrong usage are answered here, with an exit code.
    pub(crate) fn from_command_line() -> Result<Cli, ExitCode> {
        Cli::parsed(env::args_os()).map_err(|answer| end(&answer))
    }

    /// Parses the words of a command line, the name of the program first.
    pub(crate) fn parsed(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(words)?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            match &mut cli.verb {
                Verb::Train(args) => args.given = TrainArgs::settings(command, matches),
                Verb::LrFind(args) => args.given = TrainArgs::settings(command, matches),
                _ => {}
            }
        }
        Ok(cli)
    }

    /// The arguments of `resnet train` without any.
    pub(crate) fn train() -> TrainArgs {
        let cli = Cli::parsed(["resnet", "train"]).expect("no argument is needed");
        let Verb::Train(args) = cli.verb else { unreachable!("the verb is `train`") };
        *args
    }
}

/// Prints a usage error, or the text of `--help` or `--version`.
fn end(answer: &clap::Error) -> ExitCode {
    // A usage error quotes the command line, in which the shell may have expanded untrusted file
    // names.
    let text = answer.render().ansi().to_string();
    if answer.use_stderr() {
        print::status(text.trim_end());
        return ExitCode::from(2);
    }
    match print::line(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error.into()),
    }
}

const EXAMPLES_AND_EXIT_CODES: &str = "\
Examples:
  resnet train cifar10 --epochs 10     Train on CIFAR-10, which is downloaded if missing
  resnet train --resume last           Resume the newest run
  resnet eval runs/NAME                Evaluate a run on its test images
  resnet predict demo cat.jpg          Predict the class of a photo
  resnet convert runs/NAME model.onnx  Export a run to ONNX

Exit codes: 0 success, 1 failure, 2 wrong usage, 75 no answer\nfrom another process of a run, 129, 130, 138 or 143 interrupted (the run is saved).";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Train a network
    Train(Box<TrainArgs>),
    /// Find a learning rate: the loss of a run's first steps at rates that grow from step to step
    LrFind(Box<LrFindArgs>),
    /// Run an experiment of the paper: train several nets, compare them in a table and a figure
    Experiment(Box<ExperimentArgs>),
    /// Evaluate a trained network on a data set's test images
    Eval(EvalArgs),
    /// Draw predictions, confusion matrix, mistakes, filters and class activation maps
    Show(ShowArgs),
    /// Write an HTML report of a training run, or a comparison of several
    Report(ReportArgs),
    /// Predict the classes of photos
    Predict(PredictArgs),
    /// Find the photos that a network finds most similar to a photo
    Similar(SimilarArgs),
    /// Serve networks over HTTP, with a page
    Serve(Box<ServeArgs>),
    /// Convert a model to another file format
    Convert(ConvertArgs),
    /// Show a network's layers, output shapes, parameters, multiply-accumulates and memory
    Summary(SummaryArgs),
    /// List the architectures
    Archs(Output),
    /// List what can compute here: the CPU and GPUs, with their speed
    Devices(Output),
    /// Print the training recipes with all their hyperparameters
    Recipes(Output),
    /// Benchmark training steps or inference on random images
    Bench(BenchArgs),
    /// Download, verify or describe a data set, or check a folder of photos
    #[command(subcommand)]
    Data(DataVerb),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the man page or the reference, or write a page for each command
    Man(ManArgs),
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) evaluation: EvaluationArgs,
    #[command(flatten, next_help_heading = "Preprocessing")]
    pub(crate) resizing: ResizingArgs,
    /// Also evaluate test-time augmentation: the mean of the logits over views of each image. Not with --with
    #[arg(long, value_enum, value_name = "VIEWS", help_heading = "Preprocessing")]
    pub(crate) tta: Option<Tta>,
    /// Also evaluate ten crops: the mean of the softmax probabilities of the four corners and the
    /// centre of the resized image and of its mirror image
    #[arg(long, help_heading = "Preprocessing")]
    pub(crate) ten_crop: bool,
    /// Also evaluate whole images at several scales: the mean of the softmax probabilities of the image
    /// and its mirror image, with the shorter side resized to each of these lengths
    #[arg(
        long,
        value_name = "N,N,...",
        value_delimiter = ',',
        value_parser = values::image_size,
        help_heading = "Preprocessing"
    )]
    pub(crate) scales: Vec<usize>,
    /// Also evaluate an ensemble with this model: the mean of the probabilities of all models. May be
    /// given several times. Options of preprocessing hold for all of them; --mean, --std and the options of a
    /// model are those of the first
    #[arg(
        long,
        value_name = "MODEL",
        help_heading = "Model",
        add = completion::models()
    )]
    pub(crate) with: Vec<PathBuf>,
    /// Also save the logits as a NumPy array: float32, [images, classes]
    #[arg(
        long,
        value_name = "FILE.npy",
        value_parser = values::file_of("npy"),
        help_heading = "Output"
    )]
    pub(crate) logits: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct SummaryArgs {
    /// An architecture (`resnet archs` lists them), a run folder, `last` for the newest run, or a
    /// model file (safetensors, PyTorch, ONNX)
    #[arg(value_name = "ARCH|MODEL", add = completion::archs_and_models())]
    pub(crate) what: String,
    /// Architecture of the model file [default: stated in the file, or inferred from its tensors]
    #[arg(long, value_name = "NAME", add = completion::archs())]
    pub(crate) arch: Option<Arch>,
    #[command(flatten)]
    pub(crate) weights: WeightsArg,
    /// Side of the square input images, in pixels [default: the network's]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
    /// Number of classes [default: 10, or 1000 for ImageNet networks]
    #[arg(long, value_name = "N", value_parser = values::classes)]
    pub(crate) classes: Option<usize>,
    /// Images per batch
    #[arg(
        long,
        visible_alias = "batch-size",
        value_name = "N",
        default_value = "128",
        value_parser = values::batch_size
    )]
    pub(crate) batch: usize,
    /// Show the execution plan on this CPU: fused operations, the algorithm of each convolution,
    /// memory
    #[arg(long, help_heading = "Execution plan")]
    pub(crate) plan: bool,
    /// Plan training steps or inference
    #[arg(
        long,
        value_enum,
        default_value = "train",
        requires = "plan",
        help_heading = "Execution plan"
    )]
    pub(crate) mode: Mode,
    /// Data type of activations and their gradients in the plan
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "fp32",
        requires = "plan",
        help_heading = "Execution plan"
    )]
    pub(crate) dtype: Dtype,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct BenchArgs {
    /// Architecture (`resnet archs` lists them)
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH, add = completion::archs())]
    pub(crate) arch: Arch,
    /// Benchmark training steps (input conversion, forward, loss, backward, update) or inference
    #[arg(long, value_enum, default_value = "train")]
    pub(crate) mode: Mode,
    /// Images per batch; under mpirun or srun, of all processes together
    #[arg(
        long,
        visible_alias = "batch-size",
        value_name = "N",
        default_value = "128",
        value_parser = values::batch_size
    )]
    pub(crate) batch: usize,
    /// Rows and columns of the images, pixels [default: those that the architecture was designed for]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
    /// Data type of activations and their gradients
    #[arg(long, value_enum, ignore_case = true, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    /// Seconds to measure, after two warm-up steps
    #[arg(long, value_name = "S", default_value = "5", value_parser = values::seconds)]
    pub(crate) seconds: f64,
    /// Also print the time of each operation and of each kind, and its throughput relative to the
    /// machine's peak
    #[arg(long)]
    pub(crate) profile: bool,
    #[command(flatten)]
    pub(crate) comm: CommArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataVerb {
    /// Download a data set and verify its checksums
    Fetch(DataArgs),
    /// Verify the checksums of a data set's files
    Verify(DataCheckArgs),
    /// Describe a data set: images, classes, normalisation, folder
    Info(DataCheckArgs),
    /// Check a folder of photos: damaged files, duplicates within and between its parts and classes,
    /// single-colour and tiny photos, classes of very different size
    Check(PhotoCheckArgs),
    /// Draw what a network will see in training: augmented images with their labels
    Preview(Box<PreviewArgs>),
    /// List labels that are probably wrong, by what a run's network predicts
    Suspects(SuspectsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PhotoCheckArgs {
    /// Folder with a folder of photos for each class, or with such folders train, val and test
    #[arg(value_name = "PHOTOS")]
    pub(crate) photos: PathBuf,
    /// Take the labels from a table instead: CSV or TSV with columns path, label and, if you like, split
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Fail if photos are damaged, in several parts or with several labels
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also write a page that shows the photos
    #[arg(
        long,
        value_name = "FILE",
        value_parser = values::file_of("html"),
        help_heading = "Output"
    )]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Data set: cifar10, cifar100, mnist, fashion-mnist or synthetic
    #[arg(value_name = "NAME", add = completion::data())]
    pub(crate) name: DataSource,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct DataCheckArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete commands in
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write resnet.1 and a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the reference of every command and option as Markdown
    #[arg(long, conflicts_with = "out")]
    pub(crate) markdown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definitions() {
        Cli::command().debug_assert();
    }
}
