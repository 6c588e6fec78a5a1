//! Recipes for photos.

use super::{
    Length, Recipe, finetune,
    named::{FEWEST_STEPS, lookahead},
};
use crate::{
    data::{
        Augment,
        transform::{Crop, PcaNoise, RandomCrop, Shorter, Transform},
    },
    models::{Arch, Family},
};

/// Fewer images than this give batch norms unsteady statistics.
const SMALLEST_BATCH: usize = 32;

impl Recipe {
    /// The recipe [`Recipe::of_size`] for a folder of photos: with random resized crops and flips, and
    /// smaller batches where there are few photos, at the same rate for an image. It is for images of
    /// [`Arch::image_size`]: [`Recipe::for_image_size`] has others.
    pub fn for_photos(
        name: &str,
        arch: Arch,
        epochs: Option<f64>,
        [images, classes]: [usize; 2],
    ) -> Option<Recipe> {
        let mut recipe = Recipe::of_size(name, arch, epochs, [images, classes])?;
        recipe.augment = Augment::NONE;
        // Those of a recipe are for images of 32 pixels.
        recipe.image_sizes.clear();
        recipe.transform = Some(match name {
            finetune::NAME => finetune::transform(),
            "paper" if arch.family == Family::ImageNet => of_paper(),
            _ => Transform::default(),
        });
        if name == "fast" {
            let usual = match recipe.length {
                Length::Epochs(epochs) => epochs as f64,
                Length::Steps(_) => 1.0,
            };
            let images = epochs.unwrap_or(usual) * images as f64;
            let steps = |recipe: &Recipe| images / recipe.batch_size as f64;
            while recipe.batch_size > SMALLEST_BATCH && steps(&recipe) < FEWEST_STEPS {
                recipe.set_batch_size(recipe.batch_size / 2);
            }
            recipe.average = lookahead(steps(&recipe));
        }
        Some(recipe)
    }
}

/// The paper's augmentation of ImageNet (He et al. 2015, section 3.4).
fn of_paper() -> Transform {
    let resize = Some(Shorter::Between([256, 480]));
    Transform {
        crop: Crop::Random(RandomCrop { resize, padding: 0 }),
        pca_noise: Some(PcaNoise::default()),
        ..Transform::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_augmentation_is_of_its_imagenet_nets() {
        let of = |name: &str| {
            let arch: Arch = name.parse().unwrap();
            (arch, Recipe::for_photos("paper", arch, None, [5000, 10]).unwrap())
        };
        let crop = |recipe: &Recipe| match recipe.transform.as_ref().unwrap().crop {
            Crop::Random(RandomCrop { resize: Some(Shorter::Between(sides)), padding: 0 }) => sides,
            crop => panic!("{crop:?}"),
        };
        for name in ["resnet34", "plain18"] {
            let (arch, recipe) = of(name);
            assert_eq!(crop(&recipe), [256, 480]);
            let transform = recipe.transform.clone().unwrap();
            assert_eq!((transform.pca_noise.unwrap().std, transform.horizontal_flip), (0.1, 0.5));
            assert_eq!(crop(&recipe.for_image_size(arch, arch.image_size(), 112)), [128, 240]);
        }
        assert_eq!(of("resnet20").1.transform, Some(Transform::default()));
    }

    #[test]
    fn few_photos_are_trained_on_in_small_batches() {
        let of = |images| {
            let arch = "resnet18".parse().unwrap();
            let recipe = Recipe::for_photos("fast", arch, Some(16.0), [images, 10]).unwrap();
            (recipe.batch_size, (recipe.lr / recipe.batch_size as f64 * 1e6).round())
        };
        let (sizes, rates): (Vec<_>, Vec<_>) =
            [100, 1650, 3000, 50_000].map(of).into_iter().unzip();
        assert_eq!(sizes, [32, 32, 64, 512]);
        let resnet20 = "resnet20".parse().unwrap();
        let small = Recipe::for_photos("fast", resnet20, Some(16.0), [1650, 10]);
        assert!(small.unwrap().image_sizes.is_empty());
        assert!(rates.iter().all(|&rate| rate == rates[0]), "{rates:?}");
    }

    #[test]
    fn weights_are_averaged_where_the_small_batches_make_enough_steps() {
        let has_average = |images| {
            let arch = "resnet18".parse().unwrap();
            let recipe = Recipe::for_photos("fast", arch, Some(16.0), [images, 10]).unwrap();
            recipe.average.is_some()
        };
        // 999 and 1000 images make 499.5 and 500 steps of 32 images.
        assert_eq!([100, 999, 1000, 50_000].map(has_average), [false, false, true, true]);
    }
}
