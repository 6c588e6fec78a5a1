//! `resnet predict`: predicts the classes of photos.

mod inputs;
mod output;

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use resnet::{
    Cpu,
    data::{
        Normalisation,
        photo::{self, Preparation},
    },
    engine::{EvalPlan, Input, MICRO_BATCH_BYTES, lower::Lowering},
    model_file::Model,
    models::Family,
    predictions::Predictions,
};
use resnet_formats::Shown;

use self::{
    inputs::Inputs,
    output::{Format, Printer},
};
use crate::{
    args::{Global, PredictArgs},
    config,
    error::Usage,
    model,
};

/// The largest batch. Its convolution algorithms serve any number of photos, so that the
/// probabilities of a photo are bit-identical in every batch.
const BATCH: usize = 32;

pub(crate) fn run(args: &PredictArgs, global: &Global) -> anyhow::Result<()> {
    let inputs = Inputs::find(&args.images);
    inputs.notes.iter().for_each(|note| global.note(note));
    if let ([], [only]) = (&inputs.photos[..], &inputs.errors[..]) {
        bail!("{only}");
    }
    let mut classifier = Classifier::new(args, inputs.photos.len(), global)?;
    let format = match (args.output.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let (images, classes) = (inputs.len(), classifier.model.class_names());
    let printer = Printer::new(format, &inputs.photos, images, classes, args.top, global.quiet);
    printer.begin()?;
    let mut errors = inputs.errors;
    errors.iter().for_each(|error| printer.skip(error));
    for photos in inputs.photos.chunks(classifier.plan.batch()) {
        let prepared = photo::prepare(photos, classifier.preparation, classifier.cpu.threads());
        let good: Vec<&[u8]> = prepared.iter().flatten().map(Vec::as_slice).collect();
        let predictions = classifier.predict(&good);
        let mut image = 0;
        for (path, photo) in photos.iter().zip(&prepared) {
            match photo {
                Ok(_) => {
                    printer.print(path, &predictions.top(image, args.top))?;
                    image += 1;
                }
                Err(error) if images == 1 => bail!("{error}"),
                Err(error) => {
                    printer.skip(error);
                    errors.push(error.to_string());
                }
            }
        }
    }
    printer.end();
    match errors.len() {
        0 => Ok(()),
        n => bail!("{n} of {images} images could not be read"),
    }
}

/// A network, prepared for batches of photos.
struct Classifier {
    model: Model,
    normalisation: Normalisation,
    preparation: Preparation,
    plan: EvalPlan,
    cpu: Cpu,
}

impl Classifier {
    /// Prepares the network for this many photos.
    fn new(args: &PredictArgs, photos: usize, global: &Global) -> anyhow::Result<Classifier> {
        let cpu = global.cpu()?;
        let mut model = model::open_named(&args.model, global)?;
        args.resizing.apply(&mut model)?;
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
        let (side, dtype) = (model.image_size, args.model.dtype.into());
        let lowering = Lowering { graph, dtype, batch: BATCH, height: side, width: side };
        let stated = || format!("the image size of {path} is {side}x{side} (--image-size)");
        let (tables, image) = EvalPlan::bytes(lowering, &cpu).with_context(stated)?;
        let needed = tables.saturating_add(image);
        if needed > MICRO_BATCH_BYTES && args.resizing.image_size.or(args.resizing.crop).is_none() {
            bail!(
                "the image size of {path} is {side}x{side}, and one image needs {} of memory: \
                 confirm with --image-size {side}, or give a smaller size",
                HumanBytes(needed as u64)
            );
        }
        let mut plan = EvalPlan::micro_batched(photos, graph, dtype, BATCH, side, side, &cpu)?;
        plan.load(&model.network);
        Ok(Classifier { model, normalisation, preparation, plan, cpu })
    }

    fn predict(&mut self, images: &[&[u8]]) -> Predictions {
        let logits = match images.len() {
            0 => Vec::new(),
            n => self.plan.forward(Input::Bytes(&images.concat(), &self.normalisation), n).to_vec(),
        };
        Predictions::new(logits, self.model.network.graph().classes())
    }
}

/// The normalisation: `--mean` and `--std`, else the model's, else the usual one of its data set.
fn normalisation(
    args: &PredictArgs,
    model: &Model,
    global: &Global,
) -> anyhow::Result<Normalisation> {
    let channels = model.network.graph().in_channels();
    if let Some(mut given) = config::given_normalisation(args.model.normalisation) {
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
