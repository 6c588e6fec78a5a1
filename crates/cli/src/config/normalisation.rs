//! How pixels are normalised: `--mean`, `--std` and `--mean-image`.

use resnet::{
    Network,
    config::TrainConfig,
    data::{ImageSet, Normalisation, Parts},
};

use crate::{
    args::{Global, NormalisationArgs},
    error::Usage,
};

/// The normalisation of the model that a run starts from, if these images can have it: its weights know no other.
/// Otherwise that of the data.
pub(super) fn of_model_or_data(
    of_model: Option<&Normalisation>,
    data: &Parts,
    image_size: usize,
    global: &Global,
) -> Normalisation {
    let usual = &data.normalisation;
    let channels = usual.mean.len();
    let fits = |normalisation: &&Normalisation| {
        let mean_image = normalisation.mean_image.as_ref();
        normalisation.mean.len() == channels
            && mean_image.is_none_or(|image| image.len() == channels * image_size * image_size)
    };
    let of_model = of_model.filter(fits).unwrap_or(usual);
    if of_model != usual {
        global.note(
            "pixels are normalised as the model that the run starts from states, not as is usual for the data: --mean \
             and --std choose others",
        );
    }
    of_model.clone()
}

/// The mean of the images to train on, without those of the validation set.
pub(super) fn mean_image(data: &Parts, config: &TrainConfig) -> anyhow::Result<Vec<f32>> {
    let ImageSet::Memory(images) = &data.train else {
        return Err(Usage("--mean-image needs images in memory, not photos".into()).into());
    };
    let mut images = images.clone();
    if config.data.validation > 0 {
        images.random_split(config.data.validation, config.seed)?;
    }
    Ok(images.mean_image())
}

/// The normalisation of `--mean` and `--std` of colour images, if given.
pub(crate) fn given_normalisation(args: NormalisationArgs) -> Option<Normalisation> {
    let (mean, std) = args.mean.zip(args.std)?;
    Some(Normalisation::new(mean.0.to_vec(), std.0.to_vec()))
}

/// The same for a network: one of grey images has the first number of each.
pub(crate) fn given_normalisation_of(
    args: NormalisationArgs,
    network: &Network,
) -> Result<Option<Normalisation>, Usage> {
    let Some(given) = given_normalisation(args) else {
        return Ok(None);
    };
    let channels = network.graph().in_channels();
    if !matches!(channels, 1 | 3) {
        return Err(Usage(format!(
            "--mean and --std are for grey and colour images, but the network takes {channels} channels: \
             leave them out"
        )));
    }
    Ok(Some(given.for_channels(channels)))
}
