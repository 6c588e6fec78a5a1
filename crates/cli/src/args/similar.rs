//! Arguments of `resnet similar`.

use std::path::PathBuf;

use clap::Args;

use super::{model::ModelArgs, resizing::ResizingArgs, shared::Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct SimilarArgs {
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    /// Folder of photos, subfolders included, or a quoted glob pattern such as 'cats/*.jpg'
    #[arg(value_name = "FOLDER", help_heading = None)]
    pub(crate) folder: PathBuf,
    /// Photo that others are compared with, or - for one on standard input
    #[arg(value_name = "PHOTO", help_heading = None)]
    pub(crate) photo: PathBuf,
    #[command(flatten, next_help_heading = "Preprocessing")]
    pub(crate) resizing: ResizingArgs,
    /// Photos to print, the most similar first
    #[arg(
        long,
        value_name = "N",
        default_value = "10",
        value_parser = values::count,
        help_heading = "Output"
    )]
    pub(crate) top: usize,
    /// Print CSV, one line per photo
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) csv: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}
