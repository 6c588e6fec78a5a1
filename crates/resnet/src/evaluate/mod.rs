//! Evaluates a model: accuracy, loss and calibration on labelled images.
//!
//! [`evaluate`] takes a [`Model`] and [`Images`] and returns an [`Evaluation`]. [`probabilities`] averages
//! over views of each image, as a [`Protocol`] says, and [`Probabilities::mean`] over models.

use std::io;

use resnet_formats::{Destination, npy};

use crate::{
    Device, Dtype,
    data::{
        DataError, Images, Normalisation, Photos,
        photo::{Preparation, prepare_images},
    },
    model_file::Model,
};

use self::{evaluator::Evaluator, images::check};

pub(crate) use self::{
    accumulator::Accumulator,
    images::{BATCH, check_channels, check_size},
};
pub use self::{
    images::EvaluateError,
    probabilities::{Probabilities, class_order},
    protocol::{Protocol, ProtocolImages, probabilities},
    result::{ClassResult, Evaluation, Score},
    tta::{Tta, TtaResult},
};

mod accumulator;
mod evaluator;
mod images;
mod probabilities;
mod protocol;
mod result;
mod tta;

/// Options of an evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvaluateOptions {
    /// Storage type of activations.
    pub dtype: Dtype,
    /// How the images are resized and cropped first, as photos are; none if they are used as they are.
    pub preparation: Option<Preparation>,
    /// Test-time augmentation, whose accuracy is given next to the plain one.
    pub tta: Option<Tta>,
}

/// Evaluates a model on images, in batches. After each batch, `progress` is called with the number
/// of images done and the batch's logits `[images][classes]`, which are those of the plain images.
///
/// ```
/// use resnet::{Cpu, data::{LoadOptions, load}, model_file::Model};
/// use resnet::evaluate::{EvaluateOptions, Tta, evaluate};
///
/// let limits = LoadOptions { limit_train: Some(1), limit_test: Some(10), ..Default::default() };
/// let data = load("synthetic", &limits)?;
/// let (model, cpu) = (Model::demo(), Cpu::new(2)?);
/// let options = EvaluateOptions { tta: Some(Tta::Flip), ..Default::default() };
/// let result =
///     evaluate(&model, &options, &data.test, &data.normalisation, &cpu, &mut |_, _| {})?;
/// println!("{:.1}% of {} images", result.accuracy, result.images);
/// println!("{:.1}% by the mean over mirror images", result.tta.unwrap().accuracy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If there are no images, they lack pixels or do not fit the network, or a GPU was lost.
pub fn evaluate(
    model: &Model,
    options: &EvaluateOptions,
    images: &Images,
    normalisation: &Normalisation,
    device: impl Into<Device>,
    progress: &mut dyn FnMut(usize, &[f32]),
) -> Result<Evaluation, EvaluateError> {
    let device = device.into();
    let EvaluateOptions { dtype, preparation, tta } = *options;
    check(model.network.graph(), &images.labels, images.channels, normalisation)?;
    images.check()?;
    let own = [images.height, images.width];
    let size = preparation.map_or(own, |preparation| [preparation.image_size; 2]);
    let mut evaluator =
        Evaluator::new(model, dtype, tta, images.len(), size, normalisation, &device)?;
    let mut done = 0;
    for (pixels, labels) in images.batches(evaluator.batch()) {
        let prepared;
        let pixels = match preparation {
            Some(preparation) => {
                prepared = prepare_images(images, pixels, preparation, device.cpu().threads())?;
                &prepared
            }
            None => pixels,
        };
        let logits = evaluator.add(pixels, labels)?;
        done += labels.len();
        progress(done, &logits);
    }
    evaluator.finish()
}

/// Writes logits `[images][classes]` as a NumPy file, float32 `[images, classes]` (`np.load`).
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If the number of logits is not a multiple of `classes`.
pub fn save_logits<'p>(
    destination: impl Into<Destination<'p>>,
    logits: &[f32],
    classes: usize,
) -> io::Result<()> {
    npy::write(destination, &[logits.len() / classes, classes], logits)
}

/// Evaluates a model on photos, prepared as [`Photos::preparation`] says. The results are in the order of
/// the photos; those that cannot be used are missing, and `progress` gets the labels of the batch with its
/// logits.
///
/// # Errors
/// If there are no photos that can be used, or they do not fit the network.
pub fn evaluate_photos(
    model: &Model,
    dtype: Dtype,
    tta: Option<Tta>,
    photos: &Photos,
    normalisation: &Normalisation,
    device: impl Into<Device>,
    progress: &mut dyn FnMut(&[u32], &[f32]),
) -> Result<Evaluation, EvaluateError> {
    let Preparation { image_size, channels, .. } = photos.preparation();
    check(model.network.graph(), photos.labels(), channels, normalisation)?;
    let (images, size) = (photos.len(), [image_size; 2]);
    let device = device.into();
    let mut evaluator = Evaluator::new(model, dtype, tta, images, size, normalisation, &device)?;
    let mut batches = photos.batches(evaluator.batch()).map_err(DataError::Threads)?;
    while let Some(batch) = batches.next() {
        if !batch.labels.is_empty() {
            let logits = evaluator.add(&batch.pixels, &batch.labels)?;
            progress(&batch.labels, &logits);
        }
        batches.recycle(batch);
    }
    batches.take_error().map_or(Ok(()), Err)?;
    evaluator.finish()
}
