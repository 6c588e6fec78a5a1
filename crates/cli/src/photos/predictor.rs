//! A model of the command line, ready to classify photos.

use std::path::Path;

use anyhow::bail;
use indicatif::HumanBytes;
use resnet::{
    Device,
    engine::MICRO_BATCH_BYTES,
    predictor::{Predictor, PredictorError},
};
use resnet_formats::Shown;

use crate::{
    args::{NetworkArgs, ResizingArgs},
    config,
    device::Work,
    error::Usage,
    model,
};

/// The predictor of the model at `path`, which may be `last`, on the device for it. `note` is called with what was
/// assumed.
pub(crate) fn predictor(
    path: &Path,
    args: &NetworkArgs,
    resizing: ResizingArgs,
    device: &dyn Fn(Work<'_>) -> anyhow::Result<Device>,
    note: &dyn Fn(&str),
) -> anyhow::Result<Predictor> {
    let mut model = model::read_named(path, args)?;
    model.notes.iter().for_each(|text| note(text));
    resizing.apply(&mut model)?;
    let path = model.path.shown().to_string();
    model::note_preprocessing(&model, note);
    Predictor::check_channels(&model)?;
    if model.network.graph().classes() == 1 {
        note(&format!(
            "{path} has one output: its probability is that of label 1 (a sigmoid, as of \
             BCEWithLogitsLoss)"
        ));
    }
    let normalisation = config::given_normalisation_of(args.normalisation, &model.network)?;
    if normalisation.is_none()
        && model.normalisation.is_none()
        && let Some((whose, _)) = model.usual_normalisation()
    {
        note(&format!(
            "{path} does not state its normalisation: using the values of {whose} (override them with \
             --mean and --std)"
        ));
    }
    let side = model.image_size;
    let dtype = args.dtype.into();
    let device = device(Work::evaluation(model.network.graph(), dtype, [side; 2]))?;
    let predictor = Predictor::new(model, normalisation, dtype, device).map_err(usage)?;
    let needed = predictor.image_bytes()?;
    if needed > MICRO_BATCH_BYTES && resizing.image_size.or(resizing.crop).is_none() {
        bail!(
            "the image size of {path} is {side}x{side}, and one image needs {} of memory: \
             confirm with --image-size {side}, or give a smaller size",
            HumanBytes(needed as u64)
        );
    }
    Ok(predictor)
}

/// An option is missing where no normalisation is known.
fn usage(error: PredictorError) -> anyhow::Error {
    match error {
        PredictorError::NoNormalisation(_) => Usage(error.to_string()).into(),
        error => error.into(),
    }
}
