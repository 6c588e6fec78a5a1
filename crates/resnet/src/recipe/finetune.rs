//! The recipe for training that starts from the weights of another training.
//!
//! Its order is that of fastai's `fine_tune`: first the new head alone, then all layers, the lower ones at
//! lower rates (discriminative rates, Howard and Ruder 2018, arXiv 1801.06146; timm's `layer_decay`).

use resnet_network::optim::AdamWConfig;

use super::{Freeze, Length, Recipe};
use crate::{
    data::{
        Augment,
        transform::{Crop, RandomResizedCrop, Transform},
    },
    models::{Arch, Family},
    schedule::Schedule,
};

/// The name of the recipe.
pub(super) const NAME: &str = "finetune";
/// Photos and classes of the recipe where they are not known.
const USUAL: (usize, usize) = (2000, 10);
/// Images of a batch, and the rate of the head for them: Adam's steps do not grow with the gradient, only their
/// noise falls with the root of the batch. With fewer than 16 images the statistics of batch norms are unsteady.
const BATCHES: [(usize, f64); 4] = [(128, 4e-3), (64, 2.8e-3), (32, 2e-3), (16, 1.4e-3)];
/// Steps of an epoch, at least, before batches are larger than the smallest.
const STEPS_OF_EPOCH: usize = 50;
/// Steps of a run are this times the root of the number of classes, as far as its epochs allow.
const STEPS: f64 = 200.0;
/// The fewest and the most epochs.
const EPOCHS: (f64, f64) = (5.0, 30.0);
/// The share of the epochs in which the head trains alone; at least one, and at most half of them.
const HEAD_ALONE: f64 = 0.15;
/// The least share of a photo's area that a crop shows, as in fastai's tutorials. From scratch it is less.
const LEAST_CROP: f64 = 0.35;

/// The recipe for a run of its own length, or of `epochs`, over so many images and classes.
pub(super) fn finetune(arch: Arch, epochs: Option<f64>, known: Option<(usize, usize)>) -> Recipe {
    let (images, classes) = known.unwrap_or(USUAL);
    let (batch_size, lr) = batch(images);
    let epochs = epochs.unwrap_or_else(|| usual_epochs(images.div_ceil(batch_size), classes));
    let alone = (HEAD_ALONE * epochs).round().max(1.0).min(epochs / 2.0);
    let backbone = Freeze::backbone(&arch.graph(classes));
    let usual = Recipe::usual(NAME, Length::Epochs(epochs.ceil() as u64));
    Recipe {
        batch_size,
        lr,
        label_smoothing: 0.1,
        optimizer: AdamWConfig { decay_norm_and_bias: false, ..AdamWConfig::default() }.into(),
        layer_decay: layer_decay(arch),
        schedule: Schedule::one_cycle(0.3),
        augment: Augment::default(),
        freeze: vec![Freeze { until: Some(alone / epochs), ..backbone }],
        ..usual
    }
}

impl Recipe {
    /// Whether it started from this recipe.
    pub(crate) fn is_finetune(&self) -> bool {
        self.name == NAME
    }
}

/// Crops of photos that show most of them, and flips.
pub(super) fn transform() -> Transform {
    let crop = RandomResizedCrop { scale: [LEAST_CROP, 1.0], ..RandomResizedCrop::default() };
    Transform { crop: Crop::RandomResized(crop), ..Transform::default() }
}

/// The stem of an ImageNet network has 1/32 of the rate of its head, whose photos are like those that it was trained
/// on. A network for small images is less general, and its stem has 1/4.
fn layer_decay(arch: Arch) -> f64 {
    if arch.family == Family::ImageNet { 0.5 } else { 0.7 }
}

/// The largest batch of which an epoch has enough steps, or the smallest.
fn batch(images: usize) -> (usize, f64) {
    let is_enough = |&(batch, _): &(usize, f64)| images / batch >= STEPS_OF_EPOCH;
    BATCHES.into_iter().find(is_enough).unwrap_or(BATCHES[BATCHES.len() - 1])
}

/// More epochs where an epoch has few steps, or there are many classes to tell apart.
fn usual_epochs(steps_of_epoch: usize, classes: usize) -> f64 {
    let steps = STEPS * (classes as f64).sqrt();
    (steps / steps_of_epoch.max(1) as f64).round().clamp(EPOCHS.0, EPOCHS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(epochs: Option<f64>, images: usize, classes: usize) -> Recipe {
        finetune("resnet18".parse().unwrap(), epochs, Some((images, classes)))
    }

    fn epochs(recipe: &Recipe) -> u64 {
        recipe.length.steps(1)
    }

    #[test]
    fn few_images_make_small_batches_and_many_epochs() {
        for (images, classes, batch, length) in [
            (20, 2, 16, 30),
            (100, 10, 16, 30),
            (500, 10, 16, 20),
            (1650, 10, 32, 12),
            (1650, 2, 32, 5),
            (6000, 37, 64, 13),
            (50_000, 10, 128, 5),
            (1_281_167, 1000, 128, 5),
        ] {
            let recipe = of(None, images, classes);
            assert_eq!((recipe.batch_size, epochs(&recipe)), (batch, length), "{images} {classes}");
        }
        assert!(of(None, 20, 2).lr < of(None, 1650, 2).lr);
    }

    #[test]
    fn the_head_trains_alone_first_whatever_the_length() {
        for (length, alone) in [(1.0, 0.5), (2.0, 1.0), (5.0, 1.0), (12.0, 2.0), (30.0, 5.0)] {
            let recipe = of(Some(length), 1650, 10);
            assert_eq!(epochs(&recipe), length as u64);
            let [freeze] = &recipe.freeze[..] else { panic!("{:?}", recipe.freeze) };
            assert_eq!(freeze.until, Some(alone / length), "{length}");
            assert!(freeze.eval && freeze.layers.contains(&"layer4".to_owned()));
        }
        // A --budget may plan a part of an epoch.
        let part = of(Some(0.3), 1650, 10);
        assert_eq!((epochs(&part), part.freeze[0].until), (1, Some(0.5)));
    }

    #[test]
    fn its_length_is_the_usual_one_for_the_images() {
        let usual = of(None, 1650, 10);
        assert_eq!(of(Some(epochs(&usual) as f64), 1650, 10), usual);
        let shown = Recipe::named(NAME, "resnet18".parse().unwrap()).unwrap();
        assert_eq!(shown, of(None, USUAL.0, USUAL.1));
    }
}
