//! Arguments of `resnet predict`.

use std::path::PathBuf;

use clap::Args;

use super::{
    model::ModelArgs, resizing::ResizingArgs, shared::Output, show::PictureFormat, values,
};

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
    /// Also draw each image with the class activation map (Grad-CAM heat map) of its predicted class
    #[arg(long, help_heading = "Heat maps")]
    pub(crate) cam: bool,
    /// File format: raster on white, vector that follows the viewer's dark mode, or both
    #[arg(long, value_enum, default_value = "png", requires = "cam", help_heading = "Heat maps")]
    pub(crate) format: PictureFormat,
    /// Folder for the heat maps [default: `cam` in the run folder, or a new NAME-cam, NAME-cam-2, ...]
    #[arg(long, value_name = "DIR", requires = "cam", help_heading = "Heat maps")]
    pub(crate) out: Option<PathBuf>,
    /// Also save what enters the head of the network: float32, [images, features], in a file .npy,
    /// with the names of the images in a .txt next to it, or .safetensors, with the names as JSON in
    /// its metadata `files`
    #[arg(long, value_name = "FILE", value_parser = values::features(), help_heading = "Output")]
    pub(crate) features: Option<PathBuf>,
    /// Print CSV, one line per image
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) csv: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}
