//! `resnet predict`: what a trained network sees in photos.

mod inputs;
mod output;

use anyhow::{Context, bail};
use resnet::{
    Cpu,
    data::{
        Normalisation,
        photo::{self, Preparation},
    },
    engine::{EvalPlan, Input},
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

/// Images a batch, and a plan for so many whatever the number of photos: a photo's probabilities
/// are the same to the bit in any company.
const BATCH: usize = 32;

pub(crate) fn run(args: &PredictArgs, global: &Global) -> anyhow::Result<()> {
    let inputs = Inputs::find(&args.images);
    if let ([], [only]) = (&inputs.photos[..], &inputs.wrong[..]) {
        bail!("{only}");
    }
    let mut net = Net::new(args, global)?;
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
    for photos in inputs.photos.chunks(BATCH) {
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
    fn new(args: &PredictArgs, global: &Global) -> anyhow::Result<Net> {
        let cpu = global.cpu()?;
        let model = model::open(&args.model.path, args.model.arch, global)?;
        let path = model.path.shown();
        let graph = model.network.graph();
        let preparation = model.preparation().with_context(|| {
            format!("{path} takes {} channels, and photos have 1 or 3", graph.in_channels())
        })?;
        let normalisation = normalisation(args, &model, global)?;
        let side = model.image_size;
        let mut plan = EvalPlan::new(graph, args.model.dtype.into(), BATCH, side, side, &cpu)?;
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
