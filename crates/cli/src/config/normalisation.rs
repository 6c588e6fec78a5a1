//! How pixels are normalised: `--mean`, `--std` and `--mean-image`.

use resnet::{
    Network,
    config::TrainConfig,
    data::{ImageSet, Normalisation, Parts},
};

use crate::{args::NormalisationArgs, error::Usage};

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
    let Some(Normalisation { mut mean, mut std, .. }) = given_normalisation(args) else {
        return Ok(None);
    };
    let channels = network.graph().in_channels();
    if !matches!(channels, 1 | 3) {
        return Err(Usage(format!(
            "--mean and --std are for grey and colour images, but the network takes {channels} channels: \
             leave them out"
        )));
    }
    mean.truncate(channels);
    std.truncate(channels);
    Ok(Some(Normalisation::new(mean, std)))
}
