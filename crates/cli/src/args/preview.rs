//! The arguments of `resnet data preview`.

use std::path::PathBuf;

use clap::Args;
use resnet::Arch;

use super::{
    data::DataArg,
    shared::{DataDir, Output},
    train::{AugmentationArgs, ImagesArgs},
    values,
};
use crate::completion;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PreviewArgs {
    /// Data set: cifar10, cifar100, mnist, fashion-mnist or synthetic, or a folder of photos with a folder for
    /// each class [default: that of --config, or cifar10]
    #[arg(value_name = "DATA", value_parser = DataArg::parser(), add = completion::data_or_folder())]
    pub(crate) data: Option<DataArg>,
    /// As a run with the settings of this config.toml sees it, or one with those of a run folder or `last`
    #[arg(long, value_name = "FILE|DIR|last", add = completion::runs())]
    pub(crate) config: Option<PathBuf>,
    /// As a run with this architecture sees it [default: as `resnet train` with the same arguments]
    #[arg(long, value_name = "NAME", add = completion::archs())]
    pub(crate) arch: Option<Arch>,
    #[command(flatten, next_help_heading = "Augmentation")]
    pub(crate) augmentation: AugmentationArgs,
    /// Seed of the run [default: that of --config, or 0]
    #[arg(long, value_name = "N", value_parser = values::seed, help_heading = "Augmentation")]
    pub(crate) seed: Option<u64>,
    /// The epoch whose first images are shown
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::count, help_heading = "Augmentation")]
    pub(crate) epoch: usize,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
    /// Images in the picture
    #[arg(long, value_name = "N", default_value = "32", value_parser = values::pictures, help_heading = "Output")]
    pub(crate) count: usize,
    /// The picture, PNG or SVG by its suffix [default: a new preview.png, preview-2.png, ...]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Open the picture in the default viewer
    #[arg(long, help_heading = "Output")]
    pub(crate) open: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}
