//! Class names and preprocessing of a model file, with defaults for ImageNet networks.

use std::{
    fmt::{self, Display, Formatter},
    path::Path,
};

use resnet_formats::{Shown, safetensors::Metadata};
use serde::de::DeserializeOwned;

use super::{ModelFileError, key, metadata::entry};
use crate::{
    graph::Graph,
    models::{Arch, Family},
    preprocess::{CropMode, Interpolation, Normalisation},
};

/// Class names, and how an image becomes the network's input.
pub(super) struct Preprocessing {
    pub(super) classes: Option<Vec<String>>,
    pub(super) image_size: usize,
    pub(super) states_image_size: bool,
    pub(super) resize: Option<usize>,
    pub(super) interpolation: Interpolation,
    pub(super) crop_mode: CropMode,
    pub(super) normalisation: Option<Normalisation>,
}

impl Preprocessing {
    /// The values of the metadata. A 1000-class ImageNet network without class names gets
    /// ImageNet's names and preprocessing, and a note about that.
    pub(super) fn new(
        path: &Path,
        metadata: &Metadata,
        arch: Arch,
        graph: &Graph,
        notes: &mut Vec<String>,
    ) -> Result<Preprocessing, ModelFileError> {
        let mut classes: Option<Vec<String>> = entry(path, metadata, key::CLASSES)?;
        if let Some(names) = classes.as_ref().filter(|names| names.len() != graph.classes()) {
            let message = format!("has {} names for {} classes", names.len(), graph.classes());
            return Err(ModelFileError::metadata(path, key::CLASSES, message));
        }
        let mut normalisation: Option<Normalisation> = entry(path, metadata, key::NORMALISATION)?;
        if normalisation.as_ref().is_some_and(|n| !n.is_usable(graph.in_channels())) {
            let message = "is not a finite mean and a positive deviation for each channel";
            return Err(ModelFileError::metadata(path, key::NORMALISATION, message));
        }
        let image_size = side(path, metadata, key::IMAGE_SIZE)?;
        let size = image_size.unwrap_or(arch.image_size());
        if normalisation.as_ref().is_some_and(|n| !n.fits(size, size)) {
            let message = format!("has a mean image that is not {size}x{size} pixels");
            return Err(ModelFileError::metadata(path, key::NORMALISATION, message));
        }
        let mut resize = side(path, metadata, key::RESIZE)?;
        let interpolation = entry(path, metadata, key::INTERPOLATION)?.unwrap_or_default();
        let crop_mode = entry(path, metadata, key::CROP_MODE)?.unwrap_or_default();
        if classes.is_none() && is_imagenet(arch, graph) {
            classes = Some(IMAGENET_CLASSES.lines().map(str::to_owned).collect());
            let mut note = format!("{} has no class names: using ImageNet's", path.shown());
            if normalisation.is_none() {
                normalisation = Some(Normalisation::imagenet());
                note += ", and its normalisation";
            }
            if image_size.is_none() && resize.is_none() {
                let usual = UsualResize::to(arch.image_size());
                resize = Some(usual.resize);
                note += &format!("; {usual}");
            }
            notes.push(note);
        }
        Ok(Preprocessing {
            classes,
            image_size: size,
            states_image_size: image_size.is_some(),
            resize,
            interpolation,
            crop_mode,
            normalisation,
        })
    }
}

/// ImageNet's class names, in the usual order.
const IMAGENET_CLASSES: &str = include_str!("imagenet.txt");

/// Their ids in WordNet, which are the names of the folders that ImageNet comes in.
const WORDNET_IDS: &str = include_str!("imagenet_synsets.txt");

/// The ids in WordNet of these classes, in their order, if they are those of ImageNet: if most have its names, which may
/// have synonyms behind a comma.
pub(super) fn wordnet_ids(classes: &[String]) -> Option<Vec<String>> {
    let is_same = |(name, usual): &(&String, &str)| {
        name.split(',').next().is_some_and(|name| name.eq_ignore_ascii_case(usual))
    };
    let same = classes.iter().zip(IMAGENET_CLASSES.lines()).filter(is_same).count();
    (classes.len() == 1000 && same > 500).then(|| WORDNET_IDS.lines().map(str::to_owned).collect())
}

/// Whether a network has ImageNet's images and number of classes.
pub(super) fn is_imagenet(arch: Arch, graph: &Graph) -> bool {
    arch.family == Family::ImageNet && (graph.classes(), graph.in_channels()) == (1000, 3)
}

/// torchvision's preprocessing for ImageNet: 256 and 224 pixels, or others of the same ratio.
pub(super) struct UsualResize {
    /// Shorter side of a photo before the centre crop.
    pub(super) resize: usize,
    crop: usize,
}

impl UsualResize {
    pub(super) fn to(crop: usize) -> UsualResize {
        UsualResize { resize: crop.saturating_mul(256) / 224, crop }
    }
}

impl Display for UsualResize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let UsualResize { resize, crop } = self;
        write!(f, "photos are resized to {resize} and cropped to {crop} (--resize, --crop)")
    }
}

/// Leaves out the entries of another program's file that are not in this program's format, and what
/// describes a run. Returns a note about the former.
pub(super) fn leave_out_unreadable(metadata: &mut Metadata) -> Option<String> {
    fn parses<T: DeserializeOwned>(text: &str) -> bool {
        serde_json::from_str::<T>(text).is_ok()
    }
    let is_side = |text: &str| {
        serde_json::from_str(text).is_ok_and(|side: usize| (1..=MAX_IMAGE_SIZE).contains(&side))
    };
    let mut left = Vec::new();
    metadata.retain(|name, text| {
        let is_read = match name.as_str() {
            key::CLASSES => parses::<Vec<String>>(text),
            key::IMAGE_SIZE | key::RESIZE => is_side(text),
            key::INTERPOLATION => parses::<Interpolation>(text),
            key::CROP_MODE => parses::<CropMode>(text),
            key::NORMALISATION => parses::<Normalisation>(text),
            other => return !key::OF_RUN.contains(&other),
        };
        if !is_read {
            left.push(format!("'{name}'"));
        }
        is_read
    });
    let left = (!left.is_empty()).then(|| left.join(", "))?;
    Some(format!("left out of its metadata, which another program wrote: {left}"))
}

/// Larger than any network's images.
const MAX_IMAGE_SIZE: usize = 1 << 14;

fn side(
    path: &Path,
    metadata: &Metadata,
    key: &'static str,
) -> Result<Option<usize>, ModelFileError> {
    match entry(path, metadata, key)? {
        Some(size) if !(1..=MAX_IMAGE_SIZE).contains(&size) => {
            let message = format!("is {size}, not 1 to {MAX_IMAGE_SIZE}");
            Err(ModelFileError::metadata(path, key, message))
        }
        size => Ok(size),
    }
}
