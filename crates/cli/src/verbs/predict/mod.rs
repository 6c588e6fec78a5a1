//! `resnet predict`: what a trained network sees in photos.

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

/// Images a batch at most, by whose algorithms all photos are predicted, however many there are: a
/// photo's probabilities are the same to the bit in any company.
const BATCH: usize = 32;

pub(crate) fn run(args: &PredictArgs, global: &Global) -> anyhow::Result<()> {
    let inputs = Inputs::find(&args.images);
    inputs.notes.iter().for_each(|note| global.note(note));
    if let ([], [only]) = (&inputs.photos[..], &inputs.wrong[..]) {
        bail!("{only}");
    }
    let mut net = Net::new(args, inputs.photos.len(), global)?;
    let format = match (args.output.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let (images, classes) = (inputs.len(), net.model.class_names());
    let printer = Printer::new(format, &inputs.photos, images, classes, args.top, global.quiet);
    printer.begin()?;
    let mut wrong = inputs.wrong;
    wrong.iter().for_each(|what| printer.skip(what));
    for photos in inputs.photos.chunks(net.plan.batch()) {
        let prepared = photo::prepare(photos, net.preparation, net.cpu.threads());
        let good: Vec<&[u8]> = prepared.iter().flatten().map(Vec::as_slice).collect();
        let predictions = net.predict(&good);
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
                    wrong.push(error.to_string());
                }
            }
        }
    }
    printer.end();
    match wrong.len() {
        0 => Ok(()),
        n => bail!("{n} of {images} images could not be read"),
    }
}

/// A network, ready for batches of photos.
struct Net {
    model: Model,
    normalisation: Normalisation,
    preparation: Preparation,
    plan: EvalPlan,
    cpu: Cpu,
}

impl Net {
    /// For so many photos.
    fn new(args: &PredictArgs, photos: usize, global: &Global) -> anyhow::Result<Net> {
        let cpu = global.cpu()?;
        let mut model = model::open(&args.model.path, args.model.arch, global)?;
        if let Some(side) = args.image_size {
            // As much of the photo's border is cut off as the model says.
            model.resize = model.resize.map(|resize| resize * side / model.image_size);
            model.image_size = side;
        }
        let path = model.path.shown();
        let graph = model.network.graph();
        let preparation = model.preparation().with_context(|| {
            format!("{path} takes {} channels, and photos have 1 or 3", graph.in_channels())
        })?;
        let normalisation = normalisation(args, &model, global)?;
        let (side, dtype) = (model.image_size, args.model.dtype.into());
        let lowering = Lowering { graph, dtype, batch: BATCH, height: side, width: side };
        let stated = || format!("{path} is for images of {side}x{side} pixels (--image-size)");
        let (tables, image) = EvalPlan::bytes(lowering, &cpu).with_context(stated)?;
        let needed = tables.saturating_add(image);
        if needed > MICRO_BATCH_BYTES && args.image_size.is_none() {
            bail!(
                "{path} is for images of {side}x{side} pixels, and one takes {} of memory: say \
                 --image-size {side} if that is meant, or less",
                HumanBytes(needed as u64)
            );
        }
        let mut plan = EvalPlan::micro_batched(photos, graph, dtype, BATCH, side, side, &cpu)?;
        plan.load(&model.network);
        Ok(Net { model, normalisation, preparation, plan, cpu })
    }

    fn predict(&mut self, images: &[&[u8]]) -> Predictions {
        let logits = match images.len() {
            0 => Vec::new(),
            n => self.plan.forward(Input::Bytes(&images.concat(), &self.normalisation), n).to_vec(),
        };
        Predictions::new(logits, self.model.network.graph().classes())
    }
}

/// What was asked for, else what the model says, else what is usual.
fn normalisation(
    args: &PredictArgs,
    model: &Model,
    global: &Global,
) -> anyhow::Result<Normalisation> {
    let channels = model.network.graph().in_channels();
    if let Some(mut asked) = config::asked(args.model.normalisation) {
        // Of a network for grey images.
        asked.mean.truncate(channels);
        asked.std.truncate(channels);
        return Ok(asked);
    }
    if let Some(known) = &model.normalisation {
        return Ok(known.clone());
    }
    let path = model.path.shown();
    let Some((whose, usual)) = model.usual_normalisation() else {
        return Err(Usage(format!(
            "{path} does not say how its images are normalised: say it with --mean and --std"
        ))
        .into());
    };
    global.note(format!(
        "{path} does not say how its images are normalised: it is taken to be as usual for {whose} \
         (--mean, --std)"
    ));
    Ok(usual)
}
