//! Arguments for the size and crop of images.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use resnet::{
    data::photo::{CropMode, Interpolation},
    model_file::Model,
};
use resnet_formats::Shown;

use super::values;
use crate::error::Usage;

/// How a photo becomes a square.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct ResizingArgs {
    /// Side of the square input images, in pixels; the resize is in proportion to it [default: the
    /// model's; must be given where the network needs more than 512 MiB for one image]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
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

impl ResizingArgs {
    /// Whether any is given.
    pub(crate) fn is_given(self) -> bool {
        let ResizingArgs { image_size, resize, crop, crop_mode, interpolation } = self;
        image_size.or(resize).or(crop).is_some() || crop_mode.is_some() || interpolation.is_some()
    }

    /// Replaces a model's preprocessing by what the options say.
    pub(crate) fn apply(self, model: &mut Model) -> Result<(), Usage> {
        let ResizingArgs { image_size, resize, crop, crop_mode, interpolation } = self;
        model.interpolation = interpolation.unwrap_or(model.interpolation);
        if image_size.or(crop).or(resize).is_none() && crop_mode.is_none() {
            return Ok(());
        }
        if let Some(side) = image_size {
            // Keep the model's ratio of resize to crop.
            model.resize = model.resize.map(|resize| resize * side / model.image_size);
            model.image_size = side;
        }
        if model.resize.is_none() && (crop.or(resize).is_some() || crop_mode.is_some()) {
            // The model resizes whole photos to its square.
            let squash = if resize.is_none() { CropMode::Squash } else { CropMode::Center };
            (model.resize, model.crop_mode) = (Some(model.image_size), squash);
        }
        model.resize = resize.or(model.resize);
        model.image_size = crop.unwrap_or(model.image_size);
        model.crop_mode = crop_mode.unwrap_or(model.crop_mode);
        let side = model.image_size;
        if model.normalisation.as_ref().is_some_and(|images| !images.fits(side, side)) {
            return Err(Usage(format!(
                "{} subtracts a mean image, and its input has that size: leave out --image-size and \
                 --crop",
                model.path.shown()
            )));
        }
        match model.resize {
            Some(resize) if resize < model.image_size && model.crop_mode != CropMode::Border => {
                Err(Usage(format!(
                    "photos are resized to {resize} pixels, fewer than the {} of the network's input: give \
                 --resize {0} or more, or a smaller --crop",
                    model.image_size
                )))
            }
            _ => Ok(()),
        }
    }
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
