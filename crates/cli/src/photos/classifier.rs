//! Classifies the photos in files.

use std::path::{Path, PathBuf};

use resnet::{
    cam::{ActivationMap, ActivationMaps},
    data::photo::{self, PhotoFileError},
    predictions::Predictions,
    predictor::{Computes, PredictionPlan, Predictor},
};

use super::predictor::predictor;
use crate::args::{Global, ModelArgs, ResizingArgs};

/// A network, prepared for batches of photos.
pub(crate) struct Classifier {
    pub(crate) predictor: Predictor,
    plan: PredictionPlan,
}

/// A photo and what the network computes for it.
pub(crate) struct Classified<'a> {
    /// What enters the network, before normalisation: `[rows][columns][channels]`.
    pub(crate) pixels: &'a [u8],
    predictions: &'a Predictions,
    /// Its place in the batch.
    image: usize,
    plan: &'a PredictionPlan,
}

/// Is called with each photo, or with why it cannot be read.
type Visit<'v> =
    dyn FnMut(&Path, Result<Classified<'_>, &PhotoFileError>) -> anyhow::Result<()> + 'v;

impl Classifier {
    /// Prepares the network for this many photos.
    pub(crate) fn new(
        args: &ModelArgs,
        resizing: ResizingArgs,
        photos: usize,
        computes: Computes,
        global: &Global,
    ) -> anyhow::Result<Classifier> {
        let note = |text: &str| global.note(text);
        let predictor =
            predictor(&args.path, &args.network, resizing, &|work| global.device(work), &note)?;
        let plan = predictor.plan(computes, photos)?;
        Ok(Classifier { predictor, plan })
    }

    /// Calls `each` with every photo in order, or with why it cannot be read.
    pub(crate) fn run(&mut self, photos: &[PathBuf], each: &mut Visit<'_>) -> anyhow::Result<()> {
        let Classifier { predictor, plan } = self;
        for photos in photos.chunks(plan.batch()) {
            let prepared = photo::prepare(photos, predictor.preparation(), predictor.threads());
            let good: Vec<&[u8]> = prepared.iter().flatten().map(Vec::as_slice).collect();
            let predictions = &plan.predict(predictor.input(&good.concat()), good.len())?;
            let mut image = 0;
            for (path, photo) in photos.iter().zip(&prepared) {
                match photo {
                    Ok(pixels) => {
                        each(path, Ok(Classified { pixels, predictions, image, plan }))?;
                        image += 1;
                    }
                    Err(error) => each(path, Err(error))?,
                }
            }
        }
        Ok(())
    }
}

impl Classified<'_> {
    /// The `k` most probable classes and their probabilities.
    pub(crate) fn top(&self, k: usize) -> Vec<(usize, f32)> {
        self.predictions.top(self.image, k)
    }

    /// The features, `[channels]`.
    pub(crate) fn features(&self) -> Vec<f32> {
        self.maps().features(self.image)
    }

    /// The class activation map of the predicted class.
    pub(crate) fn map(&self) -> ActivationMap {
        self.maps().map(self.image, self.predictions.class(self.image))
    }

    fn maps(&self) -> &ActivationMaps {
        self.plan.maps().expect("the classifier computes features")
    }
}
