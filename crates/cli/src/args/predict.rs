//! Arguments of `resnet predict`.

use std::path::PathBuf;

use clap::Args;

use super::{model::ModelArgs, resizing::ResizingArgs, shared::Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PredictArgs {
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    /// Photos (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of photos, quoted glob patterns such as
    /// 'cats/*.jpg', or - for a photo on standard input
    #[arg(value_name = "IMAGE", required = true, help_heading = None)]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Preprocessing")]
    pub(crate) resizing: ResizingArgs,
    /// Classes to print per image, the most probable first
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        value_parser = values::count,
        help_heading = "Output"
    )]
    pub(crate) top: usize,
    /// Print CSV, one line per image
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) csv: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}
