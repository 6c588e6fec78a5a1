//! Evaluates a model: accuracy, loss and calibration on labelled images.
//!
//! [`evaluate`] takes a [`Model`] and [`Images`] and returns an [`Evaluation`]. [`probabilities`] averages
//! over views of each image, as a [`Protocol`] says, and [`Probabilities::mean`] over models.

use std::{io, time::Instant};

use resnet_formats::{Destination, npy};

use crate::{
    Device, Dtype,
    data::{
        DataError, Images, Normalisation, Photos,
        photo::{Preparation, prepare_images},
    },
    engine::{DeviceEvalPlan, Input, lower::Lowering},
    model_file::Model,
};

use self::images::{check, check_size};

pub(crate) use self::{accumulator::Accumulator, images::BATCH};
pub use self::{
    images::EvaluateError,
    probabilities::{Probabilities, class_order},
    protocol::{Protocol, ProtocolImages, probabilities},
    result::{ClassResult, Evaluation, Score},
    tta::{Tta, TtaResult},
};

mod accumulator;
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
/// If there are no images, they do not fit the network, or a GPU was lost.
pub fn evaluate(
    model: &Model,
    options: &EvaluateOptions,
    images: &Images,
    normalisation: &Normalisation,
    device: impl Into<Device>,
    progress: &mut dyn FnMut(usize, &[f32]),
) -> Result<Evaluation, EvaluateError> {
    let device = device.into();
    let start = Instant::now();
    let graph = model.network.graph();
    check(graph, &images.labels, images.channels, normalisation)?;
    let EvaluateOptions { dtype, preparation, tta } = *options;
    let batch = BATCH.min(images.len());
    let (mut height, mut width) = (images.height, images.width);
    if let Some(preparation) = preparation {
        (height, width) = (preparation.image_size, preparation.image_size);
    }
    check_size(normalisation, height, width)?;
    let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
    let mut plan = DeviceEvalPlan::micro_batched(lowering, batch, &[], &device)?;
    plan.load(&model.network)?;
    let mut accumulator = Accumulator::new(graph.classes());
    let mut of_views = Accumulator::new(graph.classes());
    let mut done = 0;
    for (pixels, labels) in images.batches(plan.batch()) {
        let prepared;
        let pixels = match preparation {
            Some(preparation) => {
                prepared = prepare_images(images, pixels, preparation, device.cpu().threads())?;
                &prepared
            }
            None => pixels,
        };
        let mut forward = |pixels: &[u8]| {
            let logits = plan.forward(Input::Bytes(pixels, normalisation), labels.len())?;
            Ok::<_, EvaluateError>(logits.to_vec())
        };
        let logits = forward(pixels)?;
        if let Some(tta) = tta {
            let size = [height, width, graph.in_channels()];
            of_views.add_batch(&tta.logits(&logits, pixels, size, &mut forward)?, labels);
        }
        accumulator.add_batch(&logits, labels);
        done += labels.len();
        progress(done, &logits);
    }
    let tta = tta.map(|views| TtaResult { views, accuracy: of_views.accuracy() });
    let seconds = start.elapsed().as_secs_f64();
    Ok(Evaluation { tta, ..accumulator.evaluation(&model.class_names(), seconds) })
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
    let start = Instant::now();
    let graph = model.network.graph();
    let Preparation { image_size, channels, .. } = photos.preparation();
    check(graph, photos.labels(), channels, normalisation)?;
    check_size(normalisation, image_size, image_size)?;
    let batch = BATCH.min(photos.len());
    let (height, width) = (image_size, image_size);
    let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
    let mut plan = DeviceEvalPlan::micro_batched(lowering, batch, &[], device)?;
    plan.load(&model.network)?;
    let [mut accumulator, mut of_views] = [0, 1].map(|_| Accumulator::new(graph.classes()));
    let size = [image_size, image_size, channels];
    let mut batches = photos.batches(batch).map_err(DataError::Threads)?;
    while let Some(batch) = batches.next() {
        let labels = &batch.labels;
        if labels.is_empty() {
            continue;
        }
        let mut forward = |pixels: &[u8]| {
            let logits = plan.forward(Input::Bytes(pixels, normalisation), labels.len())?;
            Ok::<_, EvaluateError>(logits.to_vec())
        };
        let logits = forward(&batch.pixels)?;
        if let Some(tta) = tta {
            let logits = tta.logits(&logits, &batch.pixels, size, &mut forward)?;
            of_views.add_batch(&logits, labels);
        }
        accumulator.add_batch(&logits, labels);
        progress(labels, &logits);
        batches.recycle(batch);
    }
    batches.take_error().map_or(Ok(()), Err)?;
    if accumulator.images() == 0 {
        return Err(EvaluateError::NoImages);
    }
    let tta = tta.map(|views| TtaResult { views, accuracy: of_views.accuracy() });
    let seconds = start.elapsed().as_secs_f64();
    Ok(Evaluation { tta, ..accumulator.evaluation(&model.class_names(), seconds) })
}
