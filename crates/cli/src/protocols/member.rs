//! A model of an ensemble, or the only one, and its probabilities.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use resnet::{
    Device, Dtype,
    data::{ImageSet, Normalisation, photo::Preparation},
    evaluate::{self, EvaluateOptions, Probabilities, Protocol, ProtocolImages, class_order},
    model_file::Model,
    predictions::Predictions,
};
use resnet_formats::Shown;

use super::results::Timed;
use crate::{
    args::{EvalArgs, Global, ResizingArgs},
    delayed_progress::DelayedProgress,
    device::Work,
    error,
    evaluation::{self, Evaluated},
    model, photo_folder,
};

/// What a model is evaluated on.
pub(super) struct Member<'a> {
    pub(super) model: &'a Model,
    pub(super) images: ImageSet,
    pub(super) normalisation: Normalisation,
    /// How images in memory are resized, if they are.
    pub(super) preparation: Option<Preparation>,
    /// Where it has the classes of the first model.
    pub(super) order: Vec<usize>,
    /// How many of the photos it was trained on, if any.
    pub(super) trained_on: Option<usize>,
}

impl<'a> Member<'a> {
    /// Another model on the images of the first, prepared as its own file says.
    pub(super) fn new(
        model: &'a Model,
        first: &Evaluated,
        resizing: ResizingArgs,
        global: &Global,
    ) -> anyhow::Result<Member<'a>> {
        let graph = model.network.graph();
        let classes = first.model.class_names();
        let order = class_order(&classes, model.classes.as_deref(), graph.classes())?;
        let normalisation = model.normalisation.clone().unwrap_or_else(|| {
            global.note(format!(
                "{} does not state its normalisation: using that of {}",
                model.path.shown(),
                first.model.path.shown()
            ));
            first.normalisation.clone()
        });
        let preparation = model.preparation(&normalisation);
        let preparation = preparation.context("it takes neither grey nor colour images")?;
        let (images, preparation) = match &first.images {
            ImageSet::Photos(photos) => {
                (ImageSet::Photos(photos.prepared_as(preparation)), Some(preparation))
            }
            ImageSet::Memory(images) => {
                let size = [images.height, images.width];
                let data = (&*first.data, size);
                let preparation =
                    evaluation::preparation(model, resizing, data, &normalisation, global);
                (first.images.clone(), preparation)
            }
        };
        let trained_on = trained_on(model, &first.images, global);
        if let Some(trained) = trained_on {
            global.note(format!(
                "{} was trained on {trained} of these {} photos: its results, and those of the ensemble, are too good \
                 (a folder of other photos after the first model is fair to all)",
                model.path.shown(),
                first.images.len()
            ));
        }
        Ok(Member { model, images, normalisation, preparation, order, trained_on })
    }

    /// How the images are prepared, also if they are used as they are.
    pub(super) fn preparation(&self) -> Preparation {
        evaluation::preparation_of(self.preparation, self.images.size(), self.model)
    }

    /// Evaluates each image once.
    pub(super) fn single_view(&self, args: &EvalArgs, global: &Global) -> anyhow::Result<Single> {
        let dtype = args.evaluation.model.network.dtype.into();
        let (device, began) = (self.device(dtype, global)?, Instant::now());
        let progress = self.progress("", global);
        let (mut logits, mut done) = (Vec::new(), 0);
        // The labels are those of the first model: nothing but the logits is used.
        let result = match &self.images {
            ImageSet::Memory(images) => {
                let options =
                    EvaluateOptions { dtype, preparation: self.preparation, ..Default::default() };
                let mut listen = |done, batch: &[f32]| {
                    logits.extend_from_slice(batch);
                    progress.set(done);
                };
                let normalisation = &self.normalisation;
                evaluate::evaluate(
                    self.model,
                    &options,
                    images,
                    normalisation,
                    &device,
                    &mut listen,
                )
            }
            ImageSet::Photos(photos) => {
                let mut listen = |labels: &[u32], batch: &[f32]| {
                    logits.extend_from_slice(batch);
                    done += labels.len();
                    progress.set(done);
                };
                let normalisation = &self.normalisation;
                evaluate::evaluate_photos(
                    self.model,
                    dtype,
                    None,
                    photos,
                    normalisation,
                    &device,
                    &mut listen,
                )
            }
        };
        progress.clear();
        let evaluated = self.named(result)?.images;
        anyhow::ensure!(
            evaluated == self.images.len(),
            "photos have changed during the evaluation: {} of {} are left",
            evaluated,
            self.images.len()
        );
        let logits = Predictions::new(logits, self.model.network.graph().classes());
        let single = Single::of_logits(&logits, began.elapsed().as_secs_f64());
        Ok(Single { probabilities: single.probabilities.reordered(&self.order), ..single })
    }

    /// Evaluates the views of a protocol.
    pub(super) fn views(
        &self,
        protocol: &Protocol,
        args: &EvalArgs,
        global: &Global,
    ) -> anyhow::Result<Single> {
        let dtype = args.evaluation.model.network.dtype.into();
        let (device, began) = (self.device(dtype, global)?, Instant::now());
        let name = match protocol {
            Protocol::TenCrop => " ten crops",
            Protocol::Scales(_) => " at several scales",
        };
        let progress = self.progress(name, global);
        let of = ProtocolImages {
            images: &self.images,
            preparation: self.preparation(),
            normalisation: &self.normalisation,
        };
        let mut listen = |done| progress.set(done);
        let result = evaluate::probabilities(self.model, dtype, protocol, of, &device, &mut listen);
        progress.clear();
        let probabilities = self.named(result)?.reordered(&self.order);
        let images = self.images.len();
        let left_out = (0..images).filter(|&image| probabilities.of(image).is_none()).count();
        if left_out > 0 {
            global.note(format!(
                "evaluating{name} ({}): {left_out} of {images} images are left out, which are damaged or too large",
                self.model.path.shown()
            ));
        }
        let (not_finite, seconds) = (probabilities.not_finite(), began.elapsed().as_secs_f64());
        Ok(Single { probabilities, not_finite, seconds })
    }

    /// What computes it.
    fn device(&self, dtype: Dtype, global: &Global) -> anyhow::Result<Device> {
        let size = [self.preparation().image_size; 2];
        global.device(Work::evaluation(self.model.network.graph(), dtype, size))
    }

    fn progress(&self, what: &str, global: &Global) -> DelayedProgress {
        let name = self.model.path.file_name().unwrap_or(self.model.path.as_os_str());
        let activity = format!("evaluating{what} ({})", PathBuf::from(name).shown());
        DelayedProgress::new(&activity, self.images.len(), global.quiet)
    }

    /// Why results are of no use, if some of them are no numbers.
    pub(super) fn not_finite(&self, single: &Single) -> Option<String> {
        let bad = single.not_finite;
        (bad > 0).then(|| {
            format!(
                "{}: the network's output is NaN or infinite for {bad} of {} images",
                self.model.path.shown(),
                self.images.len()
            )
        })
    }

    /// The error, with the name of the model.
    fn named<T>(&self, result: Result<T, evaluate::EvaluateError>) -> anyhow::Result<T> {
        result.with_context(|| format!("cannot evaluate {}", self.model.path.shown()))
    }
}

/// How many of these images the run of a model was trained on, if any: photos without a part of their own for tests
/// or validation are split by the run's seed.
pub(super) fn trained_on(model: &Model, images: &ImageSet, global: &Global) -> Option<usize> {
    let (ImageSet::Photos(photos), Some(run)) = (images, model::run_of(&model.path)) else {
        return None;
    };
    match photo_folder::trained_on(photos.list(), run) {
        Ok(trained) => (trained > 0).then_some(trained),
        Err(error) => {
            global.note(format!(
                "whether {} was trained on these photos is not known: {}",
                model.path.shown(),
                error::message(&error)
            ));
            None
        }
    }
}

/// Probabilities, and how long they took.
pub(super) struct Single {
    probabilities: Probabilities,
    /// Images for which the output is NaN or infinite.
    not_finite: usize,
    seconds: f64,
}

impl Single {
    pub(super) fn of_logits(logits: &Predictions, seconds: f64) -> Single {
        let not_finite = logits.not_finite();
        Single { probabilities: Probabilities::of_logits(logits), not_finite, seconds }
    }

    pub(super) fn timed(&self, labels: &[u32]) -> Timed {
        Timed { score: self.probabilities.score(labels), seconds: self.seconds }
    }
}

/// The score of the mean of models.
pub(super) fn mean(models: Vec<Single>, labels: &[u32]) -> Option<Timed> {
    let seconds = models.iter().map(|model| model.seconds).sum();
    let probabilities = Probabilities::mean(models.into_iter().map(|model| model.probabilities))?;
    Some(Timed { score: probabilities.score(labels), seconds })
}
