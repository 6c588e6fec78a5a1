//! What several verbs take.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use resnet::{
    Cpu,
    data::{self, DataError},
};

use resnet_formats::printable;

use super::values::{self, Mean, Std};
use crate::print;

/// The architecture where none is named.
pub(crate) const DEFAULT_ARCH: &str = "resnet18-cifar";

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = values::threads)]
    pub(crate) threads: Option<usize>,
    /// Say nothing but errors and results
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// The processor that was asked for.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Cpu::new(self.threads.unwrap_or_else(cores))?)
    }

    /// Says what was concluded, or what to look out for, unless asked to be quiet.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.say(format!("note: {}", printable(text.as_ref())));
    }

    /// Says something on stderr, unless asked to be quiet.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            print::talk(text);
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Print JSON, one line a record
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where data sets are kept.
#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// Folder where data sets are kept [default: $RESNET_DATA, or else the user's cache folder]
    #[arg(long = "data-dir", value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// The folder in the configuration of a run. It may be a stranger's word: nothing is fetched
    /// into it.
    #[arg(skip)]
    pub(crate) of_run: Option<PathBuf>,
}

impl DataDir {
    /// The folder that was asked for, or else that of the run, or else the default one.
    pub(crate) fn folder(&self) -> Result<PathBuf, DataError> {
        self.path.clone().or(self.of_run.clone()).map_or_else(data::default_data_dir, Ok)
    }

    /// The folder, where it is the word of a run alone.
    pub(crate) fn of_run_alone(&self) -> Option<&Path> {
        if self.path.is_some() { None } else { self.of_run.as_deref() }
    }
}

/// How pixels are normalised.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NormalisationArgs {
    /// Mean of each channel of pixels in [0, 1], in place of the data set's
    #[arg(long, value_name = "R,G,B", requires = "std", allow_hyphen_values = true)]
    pub(crate) mean: Option<Mean>,
    /// Standard deviation of each channel, in place of the data set's
    #[arg(long, value_name = "R,G,B", requires = "mean", allow_hyphen_values = true)]
    pub(crate) std: Option<Std>,
}

/// How activations and their gradients are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    Fp32,
    Bf16,
}

impl From<Dtype> for resnet::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Fp32 => resnet::Dtype::Fp32,
            Dtype::Bf16 => resnet::Dtype::Bf16,
        }
    }
}

/// What is timed or planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Train,
    Eval,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Train => "train",
            Mode::Eval => "eval",
        }
    }
}
