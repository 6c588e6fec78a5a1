//! Builds the configuration of a run from the arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use resnet::{
    Cpu,
    config::{DataConfig, TrainConfig},
    data::{Augment, ImageSet, Parts},
    model_file::DEMO,
};
use resnet_formats::Shown;

use crate::{
    args::{AugmentName, Global, TrainArgs},
    error::Usage,
    overrides,
};

pub(crate) use self::{
    memory::{check_memory, fit_memory},
    normalisation::{given_normalisation, given_normalisation_of},
    settings::{Settings, StartingPoint},
};
use self::{
    normalisation::{mean_image, of_model_or_data},
    settings::Base,
};

mod memory;
mod normalisation;
mod settings;

/// The configuration of a new run with these settings on this data. Its length is the recipe's,
/// `--epochs` or that of `--config`; its recipe is one for `planned` epochs, if they are known.
pub(crate) fn build(
    settings: &Settings,
    start: &StartingPoint,
    data: &Parts,
    planned: Option<f64>,
    cpu: &Cpu,
    global: &Global,
) -> anyhow::Result<TrainConfig> {
    let Settings { args, base } = settings;
    let images = data.train.len();
    let (validation, train_images) = match (&data.train, &data.validation) {
        (ImageSet::Photos(_), validation) => (validation.as_ref().map_or(0, ImageSet::len), images),
        (ImageSet::Memory(_), _) => {
            let validation = args.images.validation.map_or(0, |share| share.of(images));
            let left = images.checked_sub(validation).filter(|&n| n > 0).ok_or_else(|| {
                Usage(format!(
                    "--validation {validation} leaves no images to train on: the training set has \
                     {images}"
                ))
            })?;
            (validation, left)
        }
    };
    let mut recipe = settings.recipe(start.arch, &data.classes, train_images, planned, cpu)?;
    let [image_size, ..] = data.train.size();
    match &data.train {
        ImageSet::Memory(_) => {
            if args.images.image_size.is_some() {
                recipe = recipe.for_image_size(start.arch, settings.recipe_size()?, image_size);
            }
            match args.recipe.augmentation.augment {
                None => {}
                Some(AugmentName::None) => recipe.augment = Augment::NONE,
                Some(_) => {
                    let message = "--augment is for folders of photos, but for --augment none";
                    return Err(Usage(message.into()).into());
                }
            }
            if args.images.labels.is_some() {
                return Err(Usage("--labels is for folders of photos".into()).into());
            }
        }
        ImageSet::Photos(photos) => {
            let resize = photos.preparation().resize.unwrap_or(image_size);
            if args.images.image_size.is_some() {
                recipe = recipe.for_image_size(start.arch, settings.recipe_size()?, image_size);
            }
            if let Some(name) = args.recipe.augmentation.augment {
                recipe.transform = Some(name.of(recipe.transform.take(), resize));
            }
        }
    }
    // The facts of the same data that a configuration states.
    let stated = base.as_ref().filter(|base| base.config.data.name == data.name);
    if let Some(base) = stated {
        check_stated(args, base, data, train_images, global)?;
    }
    let known = stated.map(|base| base.config.data.normalisation.clone());
    let normalisation =
        given_normalisation(args.images.normalisation).or(known).unwrap_or_else(|| {
            of_model_or_data(start.normalisation.as_ref(), data, image_size, global)
        });
    let dir = args.data_dir.path.as_ref().or(args.data_dir.from_run.as_ref());
    let length = settings.length(&recipe);
    let mut config = TrainConfig {
        init_from: start.checkpoint.as_ref().map(absolute).transpose()?,
        init_weights: start.weights.clone(),
        continues_after: start.finished_epochs,
        save_torch: args.save_torch,
        ..TrainConfig::new(start.arch, recipe, data, args.recipe.seed)
    };
    config.data = DataConfig {
        dir: dir.map(absolute).transpose()?,
        train_images,
        validation,
        limit_train: args.images.limit_train,
        limit_test: args.images.limit_test,
        normalisation,
        ..config.data
    };
    if let Some(photos) = &mut config.data.photos {
        photos.labels = args.images.labels.as_ref().map(absolute).transpose()?;
    }
    if args.images.mean_image {
        config.data.normalisation.mean_image = Some(mean_image(data, &config)?);
    }
    config.total_steps = length.steps(config.steps_per_epoch());
    let same = |base: &&TrainConfig| {
        let length = |config: &TrainConfig| (config.total_steps, config.steps_per_epoch());
        length(base) == length(&config)
    };
    if let Some(base) = settings.base().filter(same) {
        config.earlier_lengths.clone_from(&base.earlier_lengths);
    }
    if args.recipe.budget.is_some() {
        overrides::freeze_within(&args.recipe, &mut config);
    } else {
        overrides::end_freeze(&args.recipe, &mut config)?;
    }
    Ok(config)
}

/// Compares the data with what a configuration states about it.
fn check_stated(
    args: &TrainArgs,
    base: &Base,
    data: &Parts,
    train_images: usize,
    global: &Global,
) -> anyhow::Result<()> {
    let (file, stated) = (base.file.shown(), &base.config.data);
    if stated.classes != data.classes {
        bail!("{file}: data.classes are not the classes of {}", data.name);
    }
    let overridden = ["--validation", "--limit-train"].iter().any(|option| args.is_given(option));
    if stated.train_images != train_images && !overridden {
        global.note(format!(
            "{file}: data.train_images is {}, but limit_train and validation leave {train_images}",
            stated.train_images
        ));
    }
    Ok(())
}

/// A path for `config.toml`.
pub(crate) fn absolute(path: impl AsRef<Path>) -> anyhow::Result<PathBuf> {
    let path = path.as_ref();
    let is_file = path != Path::new(DEMO);
    let path = if is_file { std::path::absolute(path) } else { Ok(path.to_owned()) }
        .context("the working folder does not exist")?;
    if path.to_str().is_none() {
        bail!("{} is not UTF-8: config.toml cannot store this path, rename the file", path.shown());
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
