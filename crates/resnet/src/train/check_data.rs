//! Whether a run's configuration is valid, and the data is that of it.

use super::TrainError;
use crate::{
    config::{DataConfig, TrainConfig},
    data::{ImageSet, Parts},
    run::RunError,
};

/// Checks that the classes of a data set are those of a run's configuration. They are known before
/// the data is loaded.
///
/// # Errors
/// [`TrainError::Data`] if they differ.
pub fn check_classes(config: &TrainConfig, classes: &[impl AsRef<str>]) -> Result<(), TrainError> {
    let TrainConfig { data: DataConfig { name, classes: expected, .. }, .. } = config;
    if classes.iter().map(AsRef::as_ref).eq(expected.iter().map(String::as_str)) {
        return Ok(());
    }
    let message = "its classes are not those of the run's configuration";
    Err(TrainError::Data(format!("{name}: {message}")))
}

/// The data of a run, with the validation set taken out of images in memory. That of photos was chosen with them.
///
/// # Errors
/// If the configuration is invalid, or the data is not that of it.
pub(super) fn checked(config: &TrainConfig, mut data: Parts) -> Result<Parts, TrainError> {
    config.check().map_err(RunError::Invalid)?;
    data.check()?;
    if let (ImageSet::Memory(train), None, images @ 1..) =
        (&mut data.train, &data.validation, config.data.validation)
    {
        data.validation = Some(ImageSet::Memory(train.random_split(images, config.seed)?));
    }
    check_data(config, &data)?;
    Ok(data)
}

/// Checks that the data is that of the configuration.
fn check_data(config: &TrainConfig, data: &Parts) -> Result<(), TrainError> {
    let Parts { classes, train, validation, test, .. } = data;
    let [validation, test] = [validation.as_ref(), test.as_ref()];
    let expected = &config.data;
    let error = |message: String| Err(TrainError::Data(format!("{}: {message}", expected.name)));
    check_classes(config, classes)?;
    if train.len() != expected.train_images {
        let (found, expected) = (train.len(), expected.train_images);
        return error(format!(
            "it has {found} training images, but the configuration has {expected}"
        ));
    }
    let validation_images = validation.map_or(0, ImageSet::len);
    if validation_images != expected.validation {
        return error(format!(
            "it has {validation_images} validation images, but the configuration has {}",
            expected.validation
        ));
    }
    if config.recipe.patience.is_some() && validation.or(test).is_none() {
        return error(
            "--patience needs images for validation or testing (--validation)".to_owned(),
        );
    }
    let sets = [("training", Some(train)), ("test", test), ("validation", validation)];
    for (what, images) in sets.into_iter().filter_map(|(what, set)| Some((what, set?))) {
        if images.is_empty() {
            return error(format!("there are no {what} images"));
        }
        let (size, channels) = (expected.image_size, expected.normalisation.mean.len());
        let [height, width, found] = images.size();
        if [height, width, found] != [size, size, channels] {
            return error(format!(
                "its {what} images are {height}x{width}x{found}, the configuration's \
                 {size}x{size}x{channels}"
            ));
        }
        if what == "training" && found != 3 && matches!(images, ImageSet::Photos(_)) {
            return error(
                "its training photos are grey, but photos are trained on in colour".to_owned(),
            );
        }
        if let Some(label) = images.labels().iter().find(|&&label| label as usize >= classes.len())
        {
            return error(format!("label {label} of its {what} images is not a class"));
        }
    }
    Ok(())
}
