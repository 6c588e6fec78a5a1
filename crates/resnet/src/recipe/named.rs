//! The recipes with names.

use resnet_network::optim::{AdamWConfig, Average, Factors, GroupFactors, Muon, SgdConfig};

use super::{
    Length, Recipe, SizePhase, Whiten,
    finetune::{self, finetune},
    usual::sgd,
};
use crate::{
    data::{Augment, Flip, PaddingMode},
    models::{Arch, Family},
    network::Init,
    schedule::{Schedule, WarmUp},
};

/// What a recipe is made for: some recipes follow rules of these.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RunSize {
    /// Epochs of the run, not always whole.
    epochs: f64,
    /// Training images.
    images: usize,
}

impl RunSize {
    fn steps(&self, batch_size: usize) -> f64 {
        self.epochs * self.images as f64 / batch_size as f64
    }
}

/// Training images of CIFAR-10.
const CIFAR_IMAGES: usize = 50_000;

/// The fewest steps of a run for which batches are doubled, and weights averaged.
pub(super) const FEWEST_STEPS: f64 = 500.0;

/// The same for the batches of `sprint`, as measured on held-out images: runs of 2 to 10 epochs.
const FEWEST_STEPS_OF_SPRINT: f64 = 300.0;

impl Recipe {
    /// The names that [`Recipe::named`] knows, each with a description. The first is the default.
    pub const ALL: [(&'static str, &'static str); 5] = [
        ("sprint", "CIFAR-10 in minutes, with a network made for it"),
        ("fast", "the same ideas for any other network, by rules of the length of the run"),
        (
            finetune::NAME,
            "from the weights of another training, by rules of images and classes; here 2,000 and 10",
        ),
        ("walkthrough", "a tutorial's SGD at a constant 0.1, batch 32, 20 epochs"),
        ("paper", "He et al. 2015, section 4.2: 64k steps of 128 images, rate / 10 at 1/2 and 3/4"),
    ];

    /// The network of a recipe, where no other is given.
    pub fn default_arch(name: &str) -> &'static str {
        match name {
            "sprint" => "resnet11-sprint",
            "paper" => "resnet20",
            _ => "resnet18-cifar",
        }
    }

    /// A recipe of its usual length for an architecture; none if the name is unknown. Its dtype is fp32;
    /// [`Dtype::fastest`](crate::Dtype::fastest) is the fastest one on a machine.
    ///
    /// ```
    /// use resnet::recipe::Recipe;
    /// let recipe = Recipe::named("paper", "resnet20".parse().unwrap()).unwrap();
    /// assert_eq!(recipe.batch_size, 128);
    /// ```
    pub fn named(name: &str, arch: Arch) -> Option<Recipe> {
        match name {
            finetune::NAME => Some(finetune(arch, None, None)),
            name => Recipe::of_size(name, arch, None, [CIFAR_IMAGES, 10]),
        }
    }

    /// The same for a run of `epochs` epochs, or of the recipe's usual length, over so many training images and
    /// classes.
    pub fn of_size(
        name: &str,
        arch: Arch,
        epochs: Option<f64>,
        [images, classes]: [usize; 2],
    ) -> Option<Recipe> {
        let run = |usual: u64| {
            let length = match epochs {
                Some(epochs) => Length::Epochs(epochs.ceil() as u64),
                None => Length::Epochs(usual),
            };
            (length, RunSize { epochs: epochs.unwrap_or(usual as f64), images })
        };
        Some(match name {
            "sprint" => sprint(run(12)),
            "fast" => fast(arch, run(if arch.family == Family::ImageNet { 16 } else { 15 })),
            finetune::NAME => finetune(arch, epochs, Some((images, classes))),
            "walkthrough" => walkthrough(run(20).0),
            "paper" => paper(arch, epochs.map(|_| run(0))),
            _ => return None,
        })
    }

    /// The recipe with PyTorch's AdamW, at its usual rate, in the place of another optimiser. Factors by
    /// parameter group, the scale of the head and Muon, which belong to SGD, are left out.
    #[must_use]
    pub fn with_adamw(self) -> Recipe {
        let optimizer = AdamWConfig::default().into();
        Recipe { lr: 1e-3, optimizer, head_scale: 1.0, muon: None, ..self }
    }

    /// The recipe with SGD, at a usual rate for fine-tuning, in the place of another optimiser.
    #[must_use]
    pub fn with_sgd(self) -> Recipe {
        Recipe { lr: 1e-2, optimizer: sgd(1e-4).into(), muon: None, ..self }
    }
}

/// Stochastic gradient descent as all fast recipes have it: the decay of a step is the same in every
/// group, so factors on rate and decay are inverse.
fn groups(norm_bias: f32, head_scale: f32) -> GroupFactors {
    let inverse = |lr: f32| Factors { lr, weight_decay: 1.0 / lr };
    GroupFactors {
        norm_bias: inverse(norm_bias),
        // The same as logits times this scale.
        head: inverse(head_scale * head_scale),
        ..GroupFactors::default()
    }
}

/// A residual relative of airbench (Jordan 2024, arXiv 2404.00498), whose ingredients it takes.
fn sprint((length, run): (Length, RunSize)) -> Recipe {
    let usual = Recipe::usual("sprint", length);
    let head_scale = 1.0 / 9.0;
    let (norm_scale, stem) =
        (Factors { lr: 0.0, ..Factors::default() }, Factors { lr: 0.0, ..Factors::default() });
    let batch_size = batch_size(1024, FEWEST_STEPS_OF_SPRINT, run);
    Recipe {
        batch_size,
        lr: batch_size as f64 / 1024.0,
        label_smoothing: 0.2,
        identity: true,
        head_scale,
        batch_norm_momentum: 0.4,
        whiten: Some(Whiten::default()),
        average: lookahead(run.steps(batch_size)),
        muon: Some(Muon { lr: 0.2, ..Muon::default() }),
        optimizer: SgdConfig {
            momentum: 0.85,
            weight_decay: 1.33e-3,
            nesterov: true,
            decay_norm_and_bias: true,
            groups: GroupFactors { norm_scale, stem, ..groups(64.0, head_scale) },
        }
        .into(),
        schedule: Schedule::OneCycle { peak: 0.1, start: 0.2, end: 0.07 },
        augment: augment(if run.epochs < 10.0 { 2 } else { 4 }, 0),
        image_sizes: image_sizes(run),
        ..usual
    }
}

fn fast(arch: Arch, (length, run): (Length, RunSize)) -> Recipe {
    let usual = Recipe::usual("fast", length);
    let RunSize { epochs, .. } = run;
    // Measured on networks for small images.
    let has_muon = arch.family != Family::ImageNet;
    let batch_size = batch_size(if has_muon { 1024 } else { 512 }, FEWEST_STEPS, run);
    let by_length = |short, medium, long| match epochs {
        ..10.0 => short,
        ..20.0 => medium,
        _ => long,
    };
    let head_scale = 1.0 / 6.0;
    Recipe {
        batch_size,
        lr: match has_muon {
            true => 0.8 * batch_size as f64 / 1024.0,
            false => by_length(0.8, 0.6, 0.4) * batch_size as f64 / 512.0,
        },
        label_smoothing: if epochs < 20.0 { 0.2 } else { 0.1 },
        identity: true,
        head_scale,
        batch_norm_momentum: 0.4,
        average: lookahead(run.steps(batch_size)),
        muon: has_muon.then(|| Muon {
            // Of every batch: on 2,000 images, too, a lower rate is worse.
            lr: by_length(0.24, 0.16, 0.12),
            ..Muon::default()
        }),
        optimizer: SgdConfig {
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: true,
            decay_norm_and_bias: true,
            groups: groups(16.0, head_scale),
        }
        .into(),
        schedule: match has_muon {
            true => Schedule::OneCycle { peak: 0.1, start: 0.2, end: 0.0 },
            false => Schedule::one_cycle(0.2),
        },
        augment: augment(
            if epochs < 15.0 { 2 } else { 4 },
            match epochs {
                ..20.0 => 0,
                ..30.0 => 8,
                _ => 12,
            },
        ),
        image_sizes: if arch.family == Family::ImageNet { Vec::new() } else { image_sizes(run) },
        ..usual
    }
}

/// Airbench's lookahead, in runs of enough steps for it: at the end it undoes some.
pub(super) fn lookahead(steps: f64) -> Option<Average> {
    let average = Average::Lookahead { every: 5, decay: 0.95, power: 3.0 };
    (steps >= FEWEST_STEPS).then_some(average)
}

/// Images of a step: half as many while a run has fewer steps than `fewest`, but at least 128.
fn batch_size(most: usize, fewest: f64, run: RunSize) -> usize {
    let mut size = most;
    while size > 128 && run.steps(size) < fewest {
        size /= 2;
    }
    size
}

fn augment(pad: usize, cutout: usize) -> Augment {
    Augment { pad, padding_mode: PaddingMode::Reflect, flip: Flip::Alternating, cutout }
}

/// Progressive sizes for images of 32x32: multiples of 16, whose maps fill whole tiles.
fn image_sizes(run: RunSize) -> Vec<SizePhase> {
    if run.epochs < 6.0 {
        return Vec::new();
    }
    vec![SizePhase { until: 0.25, size: 16 }, SizePhase { until: 0.5, size: 24 }]
}

fn walkthrough(length: Length) -> Recipe {
    let usual = Recipe::usual("walkthrough", length);
    Recipe {
        batch_size: 32,
        optimizer: sgd(2e-4).into(),
        schedule: Schedule::MultiStep { milestones: vec![100, 150], gamma: 0.1 },
        ..usual
    }
}

/// Steps of the paper's runs.
const PAPER_STEPS: u64 = 64_000;

fn paper(arch: Arch, run: Option<(Length, RunSize)>) -> Recipe {
    let length = run.map_or(Length::Steps(PAPER_STEPS), |(length, _)| length);
    let usual = Recipe::usual("paper", length);
    let steps = run.map_or(PAPER_STEPS as f64, |(_, run)| {
        run.epochs * run.images.div_ceil(usual.batch_size) as f64
    });
    // "0.01 to warm up the training until the training error is below 80% (about 400 iterations)", for 110
    // layers; as much of a shorter run.
    let warm_up = WarmUp {
        steps: (steps * 400.0 / PAPER_STEPS as f64).round().clamp(1.0, 400.0) as u64,
        factor: 0.1,
    };
    Recipe {
        init: Init::He,
        optimizer: sgd(1e-4).into(),
        schedule: Schedule::MultiStepFraction { milestones: vec![0.5, 0.75], gamma: 0.1 },
        warm_up: (arch.family == Family::Paper && arch.depth >= 110).then_some(warm_up),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, epochs: f64, images: usize) -> Recipe {
        let arch = Recipe::default_arch(name).parse().unwrap();
        Recipe::of_size(name, arch, Some(epochs), [images, 10]).unwrap()
    }

    #[test]
    fn steps_are_enough_for_large_batches() {
        for (epochs, images, of_sprint, of_fast) in [
            (12.0, 50_000, 1024, 1024),
            (10.0, 50_000, 1024, 512),
            (4.0, 50_000, 512, 256),
            (2.0, 50_000, 256, 128),
            (0.7, 50_000, 128, 128),
            (100.0, 100, 128, 128),
            (0.01, 50_000, 128, 128),
        ] {
            for (name, batch) in [("sprint", of_sprint), ("fast", of_fast)] {
                let recipe = of(name, epochs, images);
                assert_eq!(recipe.batch_size, batch, "{name}, {epochs} epochs of {images}");
                // The rate of an image is that of a large batch.
                let large = of(name, epochs, 1 << 40);
                let rates = [&recipe, &large].map(|r| r.lr / r.batch_size as f64);
                assert!((rates[0] / rates[1] - 1.0).abs() < 1e-12, "{name}");
            }
        }
    }

    #[test]
    fn longer_runs_have_lower_rates_and_more_augmentation() {
        let fast: Vec<Recipe> =
            [4.0, 8.0, 12.0, 16.0, 25.0, 40.0].map(|n| of("fast", n, 50_000)).into();
        assert!(fast.is_sorted_by(|a, b| a.augment.pad <= b.augment.pad));
        assert!(fast.is_sorted_by(|a, b| a.augment.cutout <= b.augment.cutout));
        assert!(fast[0].image_sizes.is_empty() && !fast[1].image_sizes.is_empty());
        let photos =
            Recipe::of_size("fast", "resnet18".parse().unwrap(), Some(16.0), [2000, 10]).unwrap();
        assert!(photos.image_sizes.is_empty());
    }

    #[test]
    fn muon_trains_networks_for_small_images() {
        let rates = [4.0, 12.0, 25.0]
            .map(|epochs| of("fast", epochs, 50_000))
            .map(|recipe| recipe.muon.unwrap().lr);
        assert!(rates.is_sorted_by(|a, b| a > b), "{rates:?}");
        let few = of("fast", 15.0, 1650);
        assert_eq!((few.batch_size, few.muon.unwrap().lr), (128, 0.16));
        let mut halved = few.clone();
        halved.set_batch_size(64);
        assert_eq!((halved.lr, halved.muon), (few.lr / 2.0, few.muon));
        let mut recipe = of("fast", 15.0, CIFAR_IMAGES);
        assert_eq!((recipe.batch_size, recipe.lr, recipe.muon.unwrap().lr), (1024, 0.8, 0.16));
        recipe.set_lr(0.4);
        assert_eq!((recipe.lr, recipe.muon.unwrap().lr), (0.4, 0.08));
        assert_eq!(recipe.clone().with_adamw().muon, None);
        assert_eq!(recipe.with_sgd().muon, None);
        assert_eq!(Recipe::named("fast", "resnet50".parse().unwrap()).unwrap().muon, None);
    }

    #[test]
    fn the_papers_warm_up_is_as_much_of_any_run() {
        let steps = |net: &str, epochs: Option<f64>, images: usize| {
            let recipe = Recipe::of_size("paper", net.parse().unwrap(), epochs, [images, 10]);
            recipe.unwrap().warm_up.map(|warm_up| (warm_up.steps, warm_up.factor))
        };
        for (epochs, images, expected) in [
            (None, 50_000, 400),
            (Some(64_000.0 / 391.0), 50_000, 400),
            (Some(1000.0), 50_000, 400),
            (Some(2.0), 50_000, 5),
            (Some(1.0), 48, 1),
        ] {
            assert_eq!(steps("resnet110", epochs, images), Some((expected, 0.1)), "{epochs:?}");
            assert_eq!(steps("resnet56", epochs, images), None);
            // Deep, but none of the networks for CIFAR.
            assert_eq!(steps("resnet152", epochs, images), None);
        }
    }

    #[test]
    fn factors_leave_the_decay_of_a_step() {
        for name in ["sprint", "fast"] {
            let groups = *of(name, 12.0, 50_000).optimizer.groups();
            for Factors { lr, weight_decay } in [groups.norm_bias, groups.head] {
                assert!((lr * weight_decay - 1.0).abs() < 1e-6, "{name}: {lr} {weight_decay}");
            }
        }
    }

    #[test]
    fn a_usual_recipe_is_one_for_its_own_length() {
        for (name, _) in Recipe::ALL {
            let arch = Recipe::default_arch(name).parse().unwrap();
            let usual = Recipe::named(name, arch).unwrap();
            assert_eq!(usual.name, name);
            if let Length::Epochs(epochs) = usual.length
                && name != finetune::NAME
            {
                assert_eq!(of(name, epochs as f64, CIFAR_IMAGES), usual);
            }
        }
        assert!(Recipe::named("slow", Recipe::default_arch("fast").parse().unwrap()).is_none());
    }
}
