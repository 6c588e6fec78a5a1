//! Arguments of `resnet show`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{shared::Output, test::TestArgs, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) test: TestArgs,
    /// Folder for the pictures [default: `pictures` in the run's folder, or else NAME-pictures]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Images in the grid of predictions, and at most in that of mistakes
    #[arg(long, value_name = "N", default_value = "32", value_parser = values::pictures)]
    pub(crate) count: usize,
    /// Draw the images of the grid with this seed, in place of the first ones
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Also draw class activation maps (Grad-CAM) of the first 16 images of the grid
    #[arg(long)]
    pub(crate) cam: bool,
    /// What to write
    #[arg(long, value_enum, default_value = "png")]
    pub(crate) format: PictureFormat,
    /// Open the grid of predictions when it is written
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// The forms of a picture's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PictureFormat {
    /// Pixels, on white
    Png,
    /// Scalable, dark on a dark screen
    Svg,
    /// Both of them
    Both,
}
