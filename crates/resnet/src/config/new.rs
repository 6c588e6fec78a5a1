//! Makes the configuration of a new run.

use super::{DataConfig, PhotosConfig, TrainConfig};
use crate::{
    data::{ImageSet, Parts},
    models::Arch,
    recipe::Recipe,
};

impl TrainConfig {
    /// The configuration of a run of an architecture by a recipe on these data, from random weights; `init_from` names
    /// a file with others. Its length is the recipe's.
    ///
    /// What a resumed run needs to load the data again is not in `data`: if the data set was loaded with other
    /// [options](crate::data::LoadOptions) than the default ones, set `dir`, `limit_train` and `limit_test` of
    /// [`DataConfig`].
    ///
    /// ```
    /// use resnet::{Arch, config::TrainConfig, data::{LoadOptions, Parts, load}, recipe::Recipe};
    ///
    /// let options = LoadOptions { limit_train: Some(100), ..LoadOptions::default() };
    /// let data: Parts = load("synthetic", &options)?.into();
    /// let arch: Arch = "resnet8".parse()?;
    /// let recipe = Recipe::of_size("fast", arch, Some(5.0), [80, data.classes.len()]);
    /// let config = TrainConfig::new(arch, recipe.expect("it is listed"), &data, 0);
    /// let mut config = config.with_validation(20);
    /// config.data.limit_train = options.limit_train;
    /// assert_eq!((config.data.train_images, config.epochs()), (80, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(arch: Arch, recipe: Recipe, data: &Parts, seed: u64) -> TrainConfig {
        let [image_size, ..] = data.train.size();
        let photos = match &data.train {
            ImageSet::Memory(_) => None,
            ImageSet::Photos(photos) => Some(PhotosConfig {
                resize: photos.preparation().resize.unwrap_or(image_size),
                own_validation: data.own_validation,
                labels: None,
            }),
        };
        let data = DataConfig {
            name: data.name.clone(),
            dir: None,
            classes: data.classes.clone(),
            image_size,
            train_images: data.train.len(),
            validation: data.validation.as_ref().map_or(0, ImageSet::len),
            limit_train: None,
            limit_test: None,
            normalisation: data.normalisation.clone(),
            photos,
        };
        let config = TrainConfig {
            arch,
            seed,
            total_steps: 0,
            init_from: None,
            init_weights: None,
            continues_after: None,
            earlier_lengths: Vec::new(),
            save_torch: false,
            data,
            recipe,
        };
        config.of_length()
    }

    /// The same with so many of the images in memory held out for validation, which training takes out of those
    /// to train on. Photos are held out when they are [opened](crate::data::PhotoSet::into_parts).
    #[must_use]
    pub fn with_validation(mut self, images: usize) -> TrainConfig {
        let all = self.data.train_images + self.data.validation;
        self.data.validation = images;
        self.data.train_images = all.saturating_sub(images);
        self.of_length()
    }

    /// The same with the recipe's length.
    fn of_length(mut self) -> TrainConfig {
        self.total_steps = self.recipe.length.steps(self.steps_per_epoch());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LoadOptions, load};

    #[test]
    fn a_new_run_has_the_facts_of_its_data() {
        let sample = crate::config::tests::sample();
        let options =
            LoadOptions { limit_train: Some(12), limit_test: Some(1), ..LoadOptions::default() };
        let data: Parts = load("synthetic", &options).unwrap().into();
        let config = TrainConfig::new(sample.arch, sample.recipe.clone(), &data, 7);
        assert_eq!(config.data.classes, data.classes);
        assert_eq!(config.data.normalisation, data.normalisation);
        assert_eq!((config.data.image_size, config.data.train_images), (32, 12));
        assert_eq!((config.steps_per_epoch(), config.total_steps), (3, 60));
        let config = config.with_validation(8);
        assert_eq!((config.data.train_images, config.data.validation), (4, 8));
        assert_eq!(config.total_steps, 20);
        config.check().unwrap();
        assert!(config.with_validation(12).check().is_err(), "nothing is left to train on");
    }
}
