//! Arguments of `resnet predict`.

use std::path::PathBuf;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use resnet::data::photo::{CropMode, Interpolation};

use super::{model::ModelArgs, shared::Output, values};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PredictArgs {
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    /// Photos (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of photos, quoted glob patterns such as
    /// 'cats/*.jpg', or - for a photo on standard input
    #[arg(value_name = "IMAGE", required = true, help_heading = None)]
    pub(crate) images: Vec<PathBuf>,
    /// Side of the square input images, in pixels [default: the model's; above 512 MiB per image it
    /// must be given]
    #[arg(long, value_name = "N", value_parser = values::image_size, help_heading = "Model")]
    pub(crate) image_size: Option<usize>,
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

/// How a photo becomes a square.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ResizingArgs {
    /// Length that the shorter side is resized to before the crop, in pixels [default: the model's;
    /// with --image-size, in proportion to it]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) resize: Option<usize>,
    /// Side of the centre crop, which is the network's input; unlike --image-size, it does not
    /// change the resize
    #[arg(long, value_name = "N", value_parser = values::image_size, conflicts_with = "image_size")]
    pub(crate) crop: Option<usize>,
    /// What is resized: the shorter side, both sides to one length, or the longer side, with the mean
    /// colour around it (timm's crop_mode) [default: the model's]
    #[arg(long, value_name = "MODE", value_parser = crop_mode())]
    pub(crate) crop_mode: Option<CropMode>,
    /// Filter of the resize, as in Pillow [default: the model's, or bilinear]
    #[arg(long, value_name = "FILTER", value_parser = interpolation())]
    pub(crate) interpolation: Option<Interpolation>,
}

fn crop_mode() -> impl TypedValueParser<Value = CropMode> {
    PossibleValuesParser::new(["center", "squash", "border"]).map(|name| match &*name {
        "squash" => CropMode::Squash,
        "border" => CropMode::Border,
        _ => CropMode::Center,
    })
}

fn interpolation() -> impl TypedValueParser<Value = Interpolation> {
    let names = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];
    PossibleValuesParser::new(names).map(|name| match &*name {
        "nearest" => Interpolation::Nearest,
        "box" => Interpolation::Box,
        "hamming" => Interpolation::Hamming,
        "bicubic" => Interpolation::Bicubic,
        "lanczos" => Interpolation::Lanczos,
        _ => Interpolation::Bilinear,
    })
}
