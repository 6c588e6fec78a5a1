//! Predicts the classes of photos: a model, how it takes photos, and plans that compute batches of them.
//!
//! ```
//! use resnet::{Cpu, Dtype, data::photo::PhotoDecoder, model_file::Model};
//! use resnet::predictor::{Computes, Predictor};
//!
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos/exif-1.jpg");
//! # let photo = std::fs::read(file)?;
//! let model = Model::demo();
//! let predictor = Predictor::new(model, None, Dtype::Fp32, &Cpu::new(2)?)?;
//! let mut plan = predictor.plan(Computes::Logits, 1)?;
//!
//! let (pixels, _) = PhotoDecoder::new(50_000_000).prepare(&photo, predictor.preparation())?;
//! let predictions = plan.predict(predictor.input(&pixels), 1)?;
//! for (class, probability) in predictions.top(0, 5) {
//!     println!("{:6.2}%  {}", 100.0 * probability, predictor.classes()[class]);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::PathBuf;

use resnet_formats::Shown;
use thiserror::Error;

use crate::{
    Device, Dtype,
    cam::ActivationMaps,
    data::Normalisation,
    engine::{DeviceEvalPlan, EngineError, EvalPlan, Input, PlanError, lower::Lowering},
    model_file::Model,
    predictions::Predictions,
    preprocess::Preparation,
    summary::Summary,
};

/// The largest batch. Its convolution algorithms serve any number of images, so that what is computed
/// for an image is bit-identical in every batch of every plan.
pub const BATCH: usize = 32;

/// Why a model cannot classify photos.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PredictorError {
    /// The network takes neither grey nor RGB images.
    #[error("{} expects {channels} input channels, but photos have 1 or 3", path.shown())]
    Channels {
        /// The model's file.
        path: PathBuf,
        /// Channels that it takes.
        channels: usize,
    },
    /// Nothing says how its pixels are normalised.
    #[error("{} does not state its normalisation: give it with --mean and --std", .0.shown())]
    NoNormalisation(PathBuf),
    /// The normalisation is of other channels, or its numbers cannot be used.
    #[error(
        "the normalisation does not fit {} (channels: {channels}): it needs a mean and a deviation above 0 for each \
         channel (--mean, --std)",
        path.shown()
    )]
    Normalisation {
        /// The model's file.
        path: PathBuf,
        /// Channels that it takes.
        channels: usize,
    },
    /// The mean image has another size than the network's input.
    #[error("{} subtracts a mean image, and its input has that size: leave out --image-size and --crop", .0.shown())]
    MeanImage(PathBuf),
    /// The network does not fit its image size, or there is not enough memory for it.
    #[error("the image size of {} is {side}x{side} (--image-size): {source}", path.shown())]
    Plan {
        /// The model's file.
        path: PathBuf,
        /// Rows and columns of its input.
        side: usize,
        /// Why.
        source: PlanError,
    },
    /// The GPU cannot do it, or was lost.
    #[error(transparent)]
    Engine(EngineError),
}

/// A model, and how it takes photos. It is shared: plans do the computing.
#[derive(Debug)]
pub struct Predictor {
    model: Model,
    classes: Vec<String>,
    normalisation: Normalisation,
    preparation: Preparation,
    dtype: Dtype,
    device: Device,
}

/// What a plan computes for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computes {
    /// Its logits.
    Logits,
    /// Also its features and class activation maps.
    Features,
}

/// Computes batches of images. It has memory of its own, and packed weights.
#[derive(Debug)]
pub enum PredictionPlan {
    /// Computes logits.
    Logits(DeviceEvalPlan),
    /// Also features and class activation maps.
    Features(ActivationMaps),
}

impl Predictor {
    /// Classifies photos by a model, in its image size, normalised by `normalisation`. Without one it is the model's own, or
    /// else the [usual](Model::usual_normalisation) one.
    ///
    /// # Errors
    /// If the network takes neither grey nor RGB images, or no normalisation is known that fits it.
    pub fn new(
        model: Model,
        normalisation: Option<Normalisation>,
        dtype: Dtype,
        device: impl Into<Device>,
    ) -> Result<Predictor, PredictorError> {
        Predictor::check_channels(&model)?;
        let usual = || model.usual_normalisation().map(|(_, usual)| usual);
        let known = normalisation.or_else(|| model.normalisation.clone()).or_else(usual);
        let normalisation =
            known.ok_or_else(|| PredictorError::NoNormalisation(model.path.clone()))?;
        let (channels, side) = (model.network.graph().in_channels(), model.image_size);
        if !normalisation.is_usable(channels) {
            return Err(PredictorError::Normalisation { path: model.path, channels });
        }
        if !normalisation.fits(side, side) {
            return Err(PredictorError::MeanImage(model.path));
        }
        let preparation = model.preparation(&normalisation).expect("1 or 3 channels");
        let (classes, device) = (model.class_names(), device.into());
        Ok(Predictor { model, classes, normalisation, preparation, dtype, device })
    }

    /// Checks that a model takes grey or RGB images.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_channels(model: &Model) -> Result<(), PredictorError> {
        match model.network.graph().in_channels() {
            1 | 3 => Ok(()),
            channels => Err(PredictorError::Channels { path: model.path.clone(), channels }),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Names of the classes, in label order; their numbers if names are unknown.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How a photo becomes the network's input.
    pub fn preparation(&self) -> Preparation {
        self.preparation
    }

    /// Threads that prepare and compute.
    pub fn threads(&self) -> usize {
        self.device.cpu().threads()
    }

    /// Prepared photos, `[n][image_size][image_size][channels]`, as an input.
    pub fn input<'a>(&'a self, pixels: &'a [u8]) -> Input<'a> {
        Input::Bytes(pixels, &self.normalisation)
    }

    /// Bytes of memory that any plan for one image needs, next to its weights.
    ///
    /// # Errors
    /// If the network does not fit its image size.
    pub fn image_bytes(&self) -> Result<usize, PredictorError> {
        let (tables, image) = EvalPlan::bytes(self.lowering(), self.device.cpu())
            .map_err(|source| self.error(source))?;
        Ok(tables.saturating_add(image))
    }

    /// Multiply-accumulates for one image.
    ///
    /// # Errors
    /// If the network does not fit its image size.
    pub fn macs(&self) -> Result<u64, PredictorError> {
        let (graph, side) = (self.model.network.graph(), self.model.image_size);
        let summary = Summary::new(graph, side, side).map_err(|source| self.error(source))?;
        Ok(summary.macs)
    }

    /// What computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// [`Predictor::plan`] on the thread that calls [`PredictionPlan::predict`], and no other: several of these
    /// compute at the same time.
    ///
    /// # Errors
    /// As [`Predictor::plan`].
    pub fn plan_on_one_thread(
        &self,
        computes: Computes,
        images: usize,
    ) -> Result<PredictionPlan, PredictorError> {
        self.plan_on(computes, images, &self.device.on_one_thread())
    }

    /// A plan for up to `images` images at a time, at most [`BATCH`], or fewer where these would take more
    /// than [`MICRO_BATCH_BYTES`](crate::engine::MICRO_BATCH_BYTES), but at least one. What is computed for
    /// an image is bit-identical in every plan.
    ///
    /// # Errors
    /// If the network does not fit its image size, there is not enough memory, or it does not end in a
    /// global pool and a linear layer, which features need.
    pub fn plan(
        &self,
        computes: Computes,
        images: usize,
    ) -> Result<PredictionPlan, PredictorError> {
        self.plan_on(computes, images, &self.device)
    }

    fn plan_on(
        &self,
        computes: Computes,
        images: usize,
        device: &Device,
    ) -> Result<PredictionPlan, PredictorError> {
        let (net, side, dtype) = (&self.model.network, self.model.image_size, self.dtype);
        let plan = match computes {
            Computes::Logits => {
                let plan = DeviceEvalPlan::micro_batched(self.lowering(), images, &[], device);
                plan.and_then(|mut plan| {
                    plan.load(net)?;
                    Ok(PredictionPlan::Logits(plan))
                })
            }
            Computes::Features => {
                ActivationMaps::micro_batched(images, net, dtype, BATCH, side, side, device)
                    .map(PredictionPlan::Features)
            }
        };
        plan.map_err(|source| self.error(source))
    }

    fn lowering(&self) -> Lowering<'_> {
        let (graph, side) = (self.model.network.graph(), self.model.image_size);
        let (dtype, batch) = (self.dtype, BATCH);
        Lowering { graph, dtype, batch, height: side, width: side, frozen: &[], eval: &[] }
    }

    /// For `map_err`: a plan of this model cannot be made, or cannot go on.
    pub fn error(&self, source: impl Into<EngineError>) -> PredictorError {
        let source = match source.into() {
            EngineError::Plan(source) => source,
            error => return PredictorError::Engine(error),
        };
        let (path, side) = (self.model.path.clone(), self.model.image_size);
        PredictorError::Plan { path, side, source }
    }
}

impl PredictionPlan {
    /// Images of the largest batch.
    pub fn batch(&self) -> usize {
        match self {
            PredictionPlan::Logits(plan) => plan.batch(),
            PredictionPlan::Features(maps) => maps.batch(),
        }
    }

    /// Bytes of its buffers and packed weights.
    pub fn memory(&self) -> usize {
        match self {
            PredictionPlan::Logits(plan) => plan.memory(),
            PredictionPlan::Features(maps) => maps.memory(),
        }
    }

    /// The predictions for the first `images` images of an input; none for no images.
    ///
    /// # Errors
    /// If a GPU was lost.
    ///
    /// # Panics
    /// If `images` is above [`PredictionPlan::batch`], or the input has fewer.
    pub fn predict(&mut self, input: Input<'_>, images: usize) -> Result<Predictions, EngineError> {
        let (logits, classes) = match (images, &mut *self) {
            (0, _) => (Vec::new(), 1),
            (_, PredictionPlan::Logits(plan)) => {
                (plan.forward(input, images)?.to_vec(), plan.classes())
            }
            (_, PredictionPlan::Features(maps)) => {
                (maps.forward(input, images)?.to_vec(), maps.classes())
            }
        };
        Ok(Predictions::new(logits, classes))
    }

    /// The features and class activation maps of the last batch, if the plan computes them.
    pub fn maps(&self) -> Option<&ActivationMaps> {
        match self {
            PredictionPlan::Features(maps) => Some(maps),
            PredictionPlan::Logits(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    /// The demo network, and `n` inputs of one kind or another.
    fn demo(n: usize) -> (Predictor, Vec<u8>) {
        let cpu = Cpu::new(2).unwrap();
        let predictor = Predictor::new(Model::demo(), None, Dtype::Fp32, &cpu).unwrap();
        let len = n * predictor.preparation().image_len();
        (predictor, (0..len).map(|i| (i * i / 7 % 251) as u8).collect())
    }

    #[test]
    fn an_image_has_the_same_bits_in_every_batch_of_every_plan() {
        let (predictor, pixels) = demo(BATCH);
        let len = predictor.preparation().image_len();
        let mut logits = predictor.plan(Computes::Logits, BATCH).unwrap();
        let whole = logits.predict(predictor.input(&pixels), BATCH).unwrap();
        assert_eq!((logits.batch(), whole.len()), (BATCH, BATCH));
        for computes in [Computes::Logits, Computes::Features] {
            let mut plans = [BATCH, 5].map(|images| predictor.plan(computes, images).unwrap());
            assert_eq!(plans[1].batch(), 5);
            for plan in &mut plans {
                for (first, n) in [(0, 1), (31, 1), (7, 2), (3, 5)] {
                    let part = plan.predict(predictor.input(&pixels[first * len..]), n).unwrap();
                    for i in 0..n {
                        assert_eq!(part.logits(i), whole.logits(first + i), "{computes:?}");
                    }
                }
            }
            assert_eq!(plans[0].maps().is_some(), computes == Computes::Features);
            assert!(plans[0].memory() > plans[0].batch() * len);
        }
    }

    /// A model without normalisation.
    fn model(channels: usize) -> Model {
        let arch: crate::Arch = "resnet8".parse().unwrap();
        let graph = arch.graph_with(channels, 10, 4);
        let network = crate::Network::new(graph, crate::network::Init::PyTorch, 0);
        Model { path: "net.pt".into(), ..Model::new(arch, network) }
    }

    fn refusal(model: Model, normalisation: Option<Normalisation>) -> String {
        let cpu = Cpu::new(1).unwrap();
        Predictor::new(model, normalisation, Dtype::Fp32, &cpu).unwrap_err().to_string()
    }

    #[test]
    fn a_network_of_other_images_is_refused() {
        let normalisation = Normalisation::new(vec![0.5; 4], vec![0.5; 4]);
        let text = "net.pt expects 4 input channels, but photos have 1 or 3";
        assert_eq!(refusal(model(4), Some(normalisation)), text);
    }

    #[test]
    fn the_normalisation_is_the_given_one_else_the_models_else_the_usual_one() {
        let [given, own] = [0.1, 0.2].map(|mean| Normalisation::new(vec![mean; 3], vec![0.5; 3]));
        let used = |own: Option<&Normalisation>, given: Option<&Normalisation>| {
            let model = Model { normalisation: own.cloned(), ..model(3) };
            let cpu = Cpu::new(1).unwrap();
            Predictor::new(model, given.cloned(), Dtype::Fp32, &cpu).unwrap().normalisation
        };
        assert_eq!(used(Some(&own), Some(&given)), given);
        assert_eq!(used(Some(&own), None), own);
        assert_eq!(used(None, None), Normalisation::cifar10());
        assert!(refusal(model(1), None).contains("net.pt does not state its normalisation"));
    }

    #[test]
    fn a_normalisation_that_does_not_fit_is_refused() {
        let refused = refusal(model(1), Some(Normalisation::imagenet()));
        assert!(refused.contains("does not fit net.pt (channels: 1)"), "{refused}");
        let mean_image = Some(vec![0.5; 24 * 24 * 3]);
        let normalisation = Normalisation { mean_image, ..Normalisation::cifar10() };
        let refused = refusal(model(3), Some(normalisation));
        assert!(refused.contains("net.pt subtracts a mean image"), "{refused}");
    }
}
