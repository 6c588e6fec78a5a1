//! Arguments of `resnet lr-find`.

use std::path::PathBuf;

use clap::Args;
use resnet::Arch;

use super::{
    data::DataArg,
    shared::{DEFAULT_ARCH, DataDir, Output},
    train::{ImagesArgs, RecipeArgs, StartArgs},
    values,
};
use crate::completion;

/// The options of `train` that change its first steps, and the range of rates.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    mut_arg("resume", |arg| arg.hide(true)),
    mut_arg("lr", |arg| arg.hide(true)),
    mut_arg("budget", |arg| arg.hide(true)),
)]
pub(crate) struct LrFindArgs {
    /// Data set to train on: cifar10, cifar100, mnist, fashion-mnist or synthetic, or a folder of photos
    /// with a folder for each class. A missing data set is downloaded
    #[arg(value_name = "DATA", default_value = "cifar10", value_parser = DataArg::parser(), add = completion::data_or_folder())]
    pub(crate) data: DataArg,
    /// Network architecture (`resnet archs` lists them) [default: as `resnet train` with the same arguments]
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH, hide_default_value = true, add = completion::archs())]
    pub(crate) arch: Arch,
    /// The first learning rate
    #[arg(long, value_name = "X", default_value = "1e-7", value_parser = values::rate, help_heading = "Learning rates")]
    pub(crate) from: f64,
    /// The learning rate after the last step
    #[arg(long, value_name = "X", default_value = "10", value_parser = values::rate, help_heading = "Learning rates")]
    pub(crate) to: f64,
    /// Steps, each with a rate larger by the same factor
    #[arg(long, value_name = "N", default_value = "100", value_parser = values::count, help_heading = "Learning rates")]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
    /// The picture, PNG or SVG by its suffix [default: a new lr-find.png, lr-find-2.png, ...]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Open the picture in the default viewer
    #[arg(long, help_heading = "Output")]
    pub(crate) open: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
    /// Names of the settings given on the command line.
    #[arg(skip)]
    pub(crate) given: Vec<String>,
}
