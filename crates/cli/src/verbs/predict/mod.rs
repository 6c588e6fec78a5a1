//! `resnet predict`: predicts the classes of photos.

mod features;
mod heat_maps;
mod output;

use anyhow::{Context, bail};
use resnet::predictor::Computes;
use resnet_formats::Shown;

use self::{
    features::FeatureFile,
    heat_maps::HeatMaps,
    output::{Format, Printer},
};
use crate::{
    args::{Global, PredictArgs},
    interrupt::Interrupt,
    photos::{Classifier, Inputs},
};

pub(crate) fn run(args: &PredictArgs, global: &Global) -> anyhow::Result<()> {
    let inputs = Inputs::find(&args.images);
    let mut features = args.features.as_deref().map(FeatureFile::new).transpose()?;
    inputs.notes.iter().for_each(|note| global.note(note));
    if let ([], [only]) = (&inputs.photos[..], &inputs.errors[..]) {
        bail!("{only}");
    }
    let computes = match args.cam || args.features.is_some() {
        true => Computes::Features,
        false => Computes::Logits,
    };
    let mut classifier =
        Classifier::new(&args.model, args.resizing, inputs.photos.len(), computes, global)?;
    let format = match (args.output.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let (images, classes) = (inputs.len(), classifier.predictor.classes().to_vec());
    let mut heat_maps = args.cam.then(|| HeatMaps::new(args, &classifier));
    let printer = Printer::new(format, &inputs.photos, images, classes, args.top, global.quiet);
    let mut printed: anyhow::Result<()> = printer.begin().map_err(Into::into);
    let mut errors = inputs.errors;
    errors.iter().for_each(|error| printer.skip(error));
    // Files are needed whether or not anyone reads stdout.
    let prints_only = heat_maps.is_none() && features.is_none();
    // Features are written together, so Ctrl-C must not lose those that are computed.
    let interrupt = match features {
        Some(_) => Some(Interrupt::catch().context("cannot catch Ctrl-C")?),
        None => None,
    };
    let ran = classifier.run(&inputs.photos, &mut |path, photo| {
        if prints_only && printed.is_err() {
            bail!("nobody reads the results");
        }
        match photo {
            Ok(photo) => {
                let top = photo.top(args.top);
                if top.iter().any(|(_, probability)| !probability.is_finite()) {
                    bail!("{}: the network's output is NaN or infinite", path.shown());
                }
                let pictures = match &mut heat_maps {
                    Some(maps) => maps.draw(path, &photo)?,
                    None => Vec::new(),
                };
                if let Some(features) = &mut features {
                    features.add(path, photo.features());
                }
                if let Err(error) = printer.print(path, &top, &pictures) {
                    printed = Err(error);
                }
            }
            Err(error) if images == 1 => bail!("{error}"),
            Err(error) => {
                printer.skip(error);
                errors.push(error.to_string());
            }
        }
        if let Some(interrupt) = &interrupt {
            interrupt.check()?;
        }
        Ok(())
    });
    printer.end();
    // What there is, also if the rest failed.
    let written = features.map_or(Ok(()), |features| features.write(global));
    if let Some(maps) = heat_maps {
        maps.say_where(global);
    }
    if !prints_only || printed.is_ok() {
        ran?;
    }
    written?;
    match errors.len() {
        0 => printed,
        n => bail!("{n} of {images} images could not be read"),
    }
}
