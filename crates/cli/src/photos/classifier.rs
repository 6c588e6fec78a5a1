//! A network, prepared for batches of photos.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use resnet::{
    Cpu,
    cam::{ActivationMap, ActivationMaps},
    data::{
        Normalisation,
        photo::{self, PhotoFileError, Preparation},
    },
    engine::{EvalPlan, Input, MICRO_BATCH_BYTES, lower::Lowering},
    model_file::Model,
    models::Family,
    predictions::Predictions,
};
use resnet_formats::Shown;

use crate::{
    args::{Global, ModelArgs, ResizingArgs},
    config,
    error::Usage,
    model,
};

/// The largest batch. Its convolution algorithms serve any number of photos, so that what is computed
/// for a photo is bit-identical in every batch.
const BATCH: usize = 32;

/// A network, prepared for batches of photos.
pub(crate) struct Classifier {
    pub(crate) model: Model,
    normalisation: Normalisation,
    pub(crate) preparation: Preparation,
    plan: Plan,
    cpu: Cpu,
}

/// What is computed for each photo.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Computes {
    /// Its logits.
    Logits,
    /// Also its features and class activation maps.
    Features,
}

enum Plan {
    Logits(EvalPlan),
    Features(ActivationMaps),
}

/// A photo and what the network computes for it.
pub(crate) struct Classified<'a> {
    /// What enters the network, before normalisation: `[rows][columns][channels]`.
    pub(crate) pixels: &'a [u8],
    predictions: &'a Predictions,
    /// Its place in the batch.
    image: usize,
    plan: &'a Plan,
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
        let cpu = global.cpu()?;
        let mut model = model::open_named(args, global)?;
        resizing.apply(&mut model)?;
        if model.normalisation.is_none()
            && model.resize.is_none()
            && model.arch.family == Family::ImageNet
        {
            global.note(format!(
                "{} does not state its preprocessing: photos are resized to {side}x{side} without a \
                 crop (--resize 256 --crop 224 does as torchvision)",
                model.path.shown(),
                side = model.image_size
            ));
        }
        let path = model.path.shown();
        let graph = model.network.graph();
        let channels = graph.in_channels();
        if !matches!(channels, 1 | 3) {
            bail!("{path} expects {channels} input channels, but photos have 1 or 3");
        }
        if graph.classes() == 1 {
            global.note(format!(
                "{path} has one output: its probability is that of label 1 (a sigmoid, as of \
                 BCEWithLogitsLoss)"
            ));
        }
        let normalisation = normalisation(args, &model, global)?;
        let preparation = model.preparation(&normalisation).expect("1 or 3 channels");
        let (side, dtype) = (model.image_size, args.dtype.into());
        let lowering = Lowering {
            graph,
            dtype,
            batch: BATCH,
            height: side,
            width: side,
            frozen: &[],
            eval: &[],
        };
        let stated = || format!("the image size of {path} is {side}x{side} (--image-size)");
        let (tables, image) = EvalPlan::bytes(lowering, &cpu).with_context(stated)?;
        let needed = tables.saturating_add(image);
        if needed > MICRO_BATCH_BYTES && resizing.image_size.or(resizing.crop).is_none() {
            bail!(
                "the image size of {path} is {side}x{side}, and one image needs {} of memory: \
                 confirm with --image-size {side}, or give a smaller size",
                HumanBytes(needed as u64)
            );
        }
        let net = &model.network;
        let plan = match computes {
            Computes::Logits => {
                let mut plan =
                    EvalPlan::micro_batched(photos, graph, dtype, BATCH, side, side, &cpu)?;
                plan.load(net);
                Plan::Logits(plan)
            }
            Computes::Features => {
                Plan::Features(ActivationMaps::micro_batched(net, dtype, BATCH, side, side, &cpu)?)
            }
        };
        Ok(Classifier { model, normalisation, preparation, plan, cpu })
    }

    /// Calls `each` with every photo in order, or with why it cannot be read.
    pub(crate) fn run(&mut self, photos: &[PathBuf], each: &mut Visit<'_>) -> anyhow::Result<()> {
        let batch = match &self.plan {
            Plan::Logits(plan) => plan.batch(),
            Plan::Features(maps) => maps.batch(),
        };
        for photos in photos.chunks(batch) {
            let prepared = photo::prepare(photos, self.preparation, self.cpu.threads());
            let good: Vec<&[u8]> = prepared.iter().flatten().map(Vec::as_slice).collect();
            let predictions = &self.predict(&good);
            let mut image = 0;
            for (path, photo) in photos.iter().zip(&prepared) {
                match photo {
                    Ok(pixels) => {
                        each(
                            path,
                            Ok(Classified { pixels, predictions, image, plan: &self.plan }),
                        )?;
                        image += 1;
                    }
                    Err(error) => each(path, Err(error))?,
                }
            }
        }
        Ok(())
    }

    fn predict(&mut self, images: &[&[u8]]) -> Predictions {
        let pixels = images.concat();
        let input = Input::Bytes(&pixels, &self.normalisation);
        let logits = match (images.len(), &mut self.plan) {
            (0, _) => Vec::new(),
            (n, Plan::Logits(plan)) => plan.forward(input, n).to_vec(),
            (n, Plan::Features(maps)) => maps.forward(input, n).to_vec(),
        };
        Predictions::new(logits, self.model.network.graph().classes())
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
        match self.plan {
            Plan::Features(maps) => maps,
            Plan::Logits(_) => unreachable!("the classifier computes features"),
        }
    }
}

/// The normalisation: `--mean` and `--std`, else the model's, else the usual one of its data set.
fn normalisation(
    args: &ModelArgs,
    model: &Model,
    global: &Global,
) -> anyhow::Result<Normalisation> {
    let channels = model.network.graph().in_channels();
    if let Some(mut given) = config::given_normalisation(args.normalisation) {
        // A network for grey images has one channel.
        given.mean.truncate(channels);
        given.std.truncate(channels);
        return Ok(given);
    }
    if let Some(known) = &model.normalisation {
        return Ok(known.clone());
    }
    let path = model.path.shown();
    let Some((whose, usual)) = model.usual_normalisation() else {
        return Err(Usage(format!(
            "{path} does not state its normalisation: give it with --mean and --std"
        ))
        .into());
    };
    global.note(format!(
        "{path} does not state its normalisation: using the values of {whose} (override them with \
         --mean and --std)"
    ));
    Ok(usual)
}
