//! The arguments of `resnet data suspects`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::{DataDir, Output};
use crate::completion;

#[derive(Debug, Args)]
pub(crate) struct SuspectsArgs {
    /// A run folder, a checkpoint in one, or `last` for the newest run
    #[arg(value_name = "RUN", add = completion::runs())]
    pub(crate) run: PathBuf,
    /// Only the images of this part of the data [default: all]
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) part: Option<PartArg>,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}

/// A part of the data of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartArg {
    /// The images that it was trained on
    Train,
    /// The images on which `best` was chosen
    Validation,
    /// The test images
    Test,
}

impl PartArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            PartArg::Train => "train",
            PartArg::Validation => "validation",
            PartArg::Test => "test",
        }
    }
}
