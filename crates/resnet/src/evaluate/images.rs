//! The images that a network is evaluated on, and why it cannot be.

use thiserror::Error;

use crate::{
    data::{DataError, Normalisation, photo::PhotoError},
    engine::{EngineError, PlanError},
    graph::Graph,
};

/// Images per batch.
pub(crate) const BATCH: usize = 128;

/// Why a model cannot be evaluated on images.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The network does not fit the size of the images, or its device failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network does not fit this size of images, or there is not enough memory for it.
    #[error("images of {height}x{width} pixels: {source}")]
    OfSize {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Why.
        source: EngineError,
    },
    /// The images have another size than the mean image.
    #[error(
        "the network subtracts a mean image, which no image of {height}x{width} pixels has the size of: \
         evaluate it in its own image size"
    )]
    MeanImage {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Ten crops would be one and the same.
    #[error(
        "ten crops need images that are resized to more than the crop of {image_size} pixels, and not into a \
         border: give --resize and --crop, such as --resize {} --crop {image_size}", image_size + image_size.div_ceil(7)
    )]
    NoRoom {
        /// Side of the crop, pixels.
        image_size: usize,
    },
    /// Two models have different classes.
    #[error("its classes are others: {0}")]
    OtherClasses(String),
    /// There are no images.
    #[error("there are no images to evaluate on: give at least one")]
    NoImages,
    /// The images, the normalisation and the network have different numbers of channels.
    #[error(
        "the network takes {network} channels, the images have {images}, the normalisation \
         {normalisation}: use images with as many channels, and one mean and deviation per channel"
    )]
    Channels {
        /// Channels that the network takes.
        network: usize,
        /// Channels of the images.
        images: usize,
        /// Channels of the normalisation.
        normalisation: usize,
    },
    /// Resizing the images failed.
    #[error("an image {0}")]
    Resize(#[from] PhotoError),
    /// Images lack pixels, or photos cannot be read.
    #[error(transparent)]
    Images(#[from] DataError),
    /// A label is not a class of the network.
    #[error(
        "an image has label {label}, but the network has {classes} classes: use the data that it was \
         trained on"
    )]
    Label {
        /// The label, from 0.
        label: u32,
        /// Classes of the network.
        classes: usize,
    },
}

impl EvaluateError {
    /// Whether images of one size need more memory than there is, or are larger than a kernel takes.
    pub(super) fn is_of_size(&self) -> bool {
        let EvaluateError::OfSize { source, .. } = self else { return false };
        let is_too_large = matches!(source, EngineError::Plan(PlanError::TooLarge { .. }));
        is_too_large || source.lacks_memory()
    }
}

/// Checks that a network takes these images, and has their classes.
pub(super) fn check(
    graph: &Graph,
    labels: &[u32],
    channels: usize,
    normalisation: &Normalisation,
) -> Result<(), EvaluateError> {
    check_channels(graph, labels.len(), channels, normalisation)?;
    let classes = graph.classes();
    match labels.iter().find(|&&label| label as usize >= classes) {
        Some(&label) => Err(EvaluateError::Label { label, classes }),
        None => Ok(()),
    }
}

/// Checks that there are images, and that the network takes their channels.
pub(crate) fn check_channels(
    graph: &Graph,
    images: usize,
    channels: usize,
    normalisation: &Normalisation,
) -> Result<(), EvaluateError> {
    if images == 0 {
        return Err(EvaluateError::NoImages);
    }
    let network = graph.in_channels();
    let Normalisation { mean, std, .. } = normalisation;
    if [channels, mean.len(), std.len()] != [network; 3] {
        let (images, normalisation) = (channels, mean.len().min(std.len()));
        return Err(EvaluateError::Channels { network, images, normalisation });
    }
    Ok(())
}

/// Checks that images of a size can be normalised.
pub(crate) fn check_size(
    normalisation: &Normalisation,
    height: usize,
    width: usize,
) -> Result<(), EvaluateError> {
    let fits = normalisation.fits(height, width);
    if fits { Ok(()) } else { Err(EvaluateError::MeanImage { height, width }) }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::data::Images;

    #[test]
    fn images_must_suit_the_network() {
        let graph = "resnet8".parse::<crate::Arch>().unwrap().graph(2);
        let images = |channels, labels: &[u32]| Images {
            height: 1,
            width: 1,
            channels,
            pixels: vec![0; channels * labels.len()],
            labels: labels.to_vec(),
        };
        let normalisation = |n| Normalisation::new(vec![0.5; n], vec![0.25; n]);
        let check =
            |images: Images, n| check(&graph, &images.labels, images.channels, &normalisation(n));
        check(images(3, &[0, 1]), 3).unwrap();
        let error = |images, n| check(images, n).unwrap_err().to_string();
        assert!(error(images(3, &[]), 3).contains("no images"));
        assert!(error(images(1, &[0]), 3).contains("3 channels, the images have 1"));
        assert!(error(images(3, &[0]), 1).contains("the normalisation 1"));
        assert!(error(images(3, &[0, 2]), 3).contains("label 2, but the network has 2"));
    }

    #[test]
    fn why_an_image_cannot_be_resized_is_the_source_and_in_the_text() {
        let error = EvaluateError::from(PhotoError::Empty);
        assert_eq!(error.to_string(), "an image is empty");
        assert!(error.source().is_some_and(|source| source.is::<PhotoError>()));
    }
}
