//! Arguments of `resnet show`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{model::EvaluationArgs, shared::Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) evaluation: EvaluationArgs,
    /// Images in the grid of predictions; the grid of mistakes has at most as many
    #[arg(
        long,
        value_name = "N",
        default_value = "32",
        value_parser = values::pictures,
        help_heading = "Pictures"
    )]
    pub(crate) count: usize,
    /// Choose the images of the grid at random, with this seed [default: the first test images]
    #[arg(long, value_name = "N", value_parser = values::seed, help_heading = "Pictures")]
    pub(crate) seed: Option<u64>,
    /// Also draw class activation maps (Grad-CAM heat maps) of the first 16 images of the grid, and of the
    /// first 16 mistakes
    #[arg(long, help_heading = "Pictures")]
    pub(crate) cam: bool,
    /// File format: raster on white, vector that follows the viewer's dark mode, or both
    #[arg(long, value_enum, default_value = "png", help_heading = "Pictures")]
    pub(crate) format: PictureFormat,
    /// Folder for the pictures [default: `pictures` in the run folder, or a new
    /// NAME-pictures, NAME-pictures-2, ...]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Open the grid of predictions in the default viewer
    #[arg(long, help_heading = "Output")]
    pub(crate) open: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}

// Without help texts of their own: they would make `--help` twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PictureFormat {
    Png,
    Svg,
    Both,
}
