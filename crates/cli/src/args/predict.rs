//! Arguments of `resnet predict`.

use std::path::PathBuf;

use clap::Args;

use super::{shared::Output, test::ModelArgs, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Photos (JPEG, PNG, WebP, GIF, BMP), folders of them, quoted patterns such as 'cats/*.jpg',
    /// or - for a photo on standard input
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Side of the square that each photo becomes, in pixels [default: as the model says, unless one
    /// photo would take more than 512 MiB]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
    /// Classes to list for an image, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = values::count)]
    pub(crate) top: usize,
    /// Print CSV, a line an image
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
