//! The command line: what can be said, and what each value must look like. Nothing is opened or
//! computed here.

mod convert;
mod predict;
mod report;
mod shared;
mod show;
mod test;
mod train;
mod values;

use std::{env, path::PathBuf, process};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use resnet::{Arch, data::DataSource};

use crate::print;

pub(crate) use convert::ConvertArgs;
pub(crate) use predict::PredictArgs;
pub(crate) use report::ReportArgs;
pub(crate) use shared::{DEFAULT_ARCH, DataDir, Dtype, Global, Mode, NormalisationArgs, Output};
pub(crate) use show::{PictureFormat, ShowArgs};
pub(crate) use test::{ModelArgs, TestArgs};
pub(crate) use train::{RecipeArgs, TrainArgs, Ui};

/// Trains, evaluates and inspects residual networks on the CPU.
#[derive(Debug, Parser)]
#[command(name = "resnet", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// What was said on the command line; ends the process where it means nothing.
    pub(crate) fn from_command_line() -> Cli {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(env::args_os()).unwrap_or_else(|e| end(&e));
        let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| end(&error));
        if let (Verb::Train(args), Some((name, matches))) = (&mut cli.verb, matches.subcommand())
            && let Some(command) = command.find_subcommand(name)
        {
            args.given = TrainArgs::settings(command, matches);
        }
        cli
    }
}

/// Says why arguments mean nothing, or what was asked of them (`--help`), and ends the process.
fn end(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    // It repeats words of the command line, where the shell may have put names of strangers' files.
    print::talk(error.render().ansi().to_string().trim_end());
    process::exit(error.exit_code())
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted (state saved).";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Train a network
    Train(Box<TrainArgs>),
    /// Measure a trained network on a data set's test images
    Eval(EvalArgs),
    /// Draw what a network learned: predictions, confusions, mistakes, filters
    Show(ShowArgs),
    /// Write one HTML page on a run, or on several beside each other
    Report(ReportArgs),
    /// Say what a trained network sees in photos
    Predict(PredictArgs),
    /// Write a network in another form, by the suffix of its file
    Convert(ConvertArgs),
    /// Show a network's layers, shapes, parameters, operations and memory
    Summary(SummaryArgs),
    /// List the architectures
    Archs(Output),
    /// Print the training recipes in full
    Recipes(Output),
    /// Time training steps or inference on random images
    Bench(BenchArgs),
    /// Fetch, verify or describe a data set
    #[command(subcommand)]
    Data(DataVerb),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the man page or the reference, or write a page for each command
    Man(ManArgs),
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) test: TestArgs,
    /// Also write the logits to this file, for NumPy: float32 [images, classes]
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) logits: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct SummaryArgs {
    /// An architecture (`resnet archs` lists them), a run folder or a file: safetensors, PyTorch or
    /// ONNX
    #[arg(value_name = "ARCH|MODEL")]
    pub(crate) what: String,
    /// Architecture, for a file that does not say [default: what its tensors are of]
    #[arg(long, value_name = "NAME")]
    pub(crate) arch: Option<Arch>,
    /// Side of the images, in pixels [default: what the network was designed for]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
    /// Classes [default: 10, or 1000 for ImageNet nets]
    #[arg(long, value_name = "N", value_parser = values::classes)]
    pub(crate) classes: Option<usize>,
    /// Images in a batch
    #[arg(
        long,
        visible_alias = "batch-size",
        value_name = "N",
        default_value = "128",
        value_parser = values::batch_size
    )]
    pub(crate) batch: usize,
    /// Show how the network runs here: what is computed together, the algorithm of each
    /// convolution, memory
    #[arg(long)]
    pub(crate) plan: bool,
    /// Show the plan of training or of inference
    #[arg(long, value_enum, default_value = "train", requires = "plan")]
    pub(crate) mode: Mode,
    /// Storage of activations and their gradients in the plan
    #[arg(long, value_enum, default_value = "fp32", requires = "plan")]
    pub(crate) dtype: Dtype,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct BenchArgs {
    /// Architecture (`resnet archs` lists them)
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH)]
    pub(crate) arch: Arch,
    /// What is timed: training steps (input conversion, forward, loss, backward, update) or
    /// inference
    #[arg(long, value_enum, default_value = "train")]
    pub(crate) mode: Mode,
    /// Images in a batch
    #[arg(
        long,
        visible_alias = "batch-size",
        value_name = "N",
        default_value = "128",
        value_parser = values::batch_size
    )]
    pub(crate) batch: usize,
    /// Storage of activations and their gradients
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) dtype: Dtype,
    /// How long to measure, after two steps of warm-up
    #[arg(long, value_name = "S", default_value = "5", value_parser = values::seconds)]
    pub(crate) seconds: f64,
    /// Also print where a step goes, by operation and by kind, against what the machine does at
    /// best
    #[arg(long)]
    pub(crate) profile: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataVerb {
    /// Download a data set and check it
    Fetch(DataArgs),
    /// Check a data set's files
    Verify(DataCheckArgs),
    /// Describe a data set: images, classes, normalisation, place
    Info(DataCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Data set: cifar10 or synthetic
    #[arg(value_name = "NAME")]
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
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write resnet.1 and a page for each verb into this folder
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
    fn definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
