//! Checks the numbers of a configuration.

use super::{TrainConfig, lengths};
use crate::{
    data::{
        PaddingMode,
        transform::{Crop, Transform},
    },
    optim::{AdamWConfig, Average, Muon, OptimizerConfig, SgdConfig},
    recipe::{DataParallel, Recipe},
};

/// The most images of a batch.
pub const MAX_BATCH_SIZE: usize = 65_536;
/// The most channels of an image.
const MAX_CHANNELS: usize = 16;

impl TrainConfig {
    /// Checks that all numbers are in range.
    ///
    /// # Errors
    /// A message that names the number that is not, and its option.
    pub fn check(&self) -> Result<(), String> {
        let recipe = &self.recipe;
        let Recipe { lr, batch_size, label_smoothing, augment, parallel, .. } = recipe;
        let normalisation = &self.data.normalisation;
        let finite = |x: f64| x.is_finite() && x >= 0.0;
        // Other checks compare with it.
        if self.data.image_size == 0 {
            return Err("the image size is 0: --image-size must be at least 1".to_owned());
        }
        recipe.schedule.check()?;
        recipe.mix.map_or(Ok(()), |mix| mix.check())?;
        recipe.transform.as_ref().map_or(Ok(()), |transform| transform.check())?;
        lengths::check(&self.earlier_lengths)?;
        if !(recipe.image_sizes.is_empty() && recipe.freeze.is_empty()) {
            let graph = self.arch.graph(self.data.classes.len().max(1));
            recipe.check_image_sizes(&graph, self.data.image_size)?;
            recipe.check_freeze(&graph)?;
        }
        check_optimizer(&recipe.optimizer)?;
        if let Some(weights) = &recipe.class_weights {
            weights.check(self.data.classes.len())?;
        }
        if let Some(muon) = recipe.muon {
            check_muon(muon)?;
            if !matches!(recipe.optimizer, OptimizerConfig::Sgd(_)) {
                return Err("muon needs [sgd] as well: it keeps its momentum there".to_owned());
            }
        }
        let photos = self.data.photos.is_some();
        let is_resized =
            |transform: &Transform| matches!(transform.crop, Crop::RandomResized(_) | Crop::Whole);
        let rules = [
            (
                photos || recipe.transform.is_none(),
                "recipe.transform is the augmentation of photos: images of a data set have recipe.augment",
            ),
            (
                recipe.image_sizes.is_empty() || recipe.transform.as_ref().is_none_or(is_resized),
                "image_sizes of photos need crop.random_resized or crop = \"whole\": other crops would show \
                 less of a photo, not a smaller one",
            ),
            (
                self.total_steps > 0,
                "the run has no steps: --epochs or --budget must be more than 0",
            ),
            (
                self.first_epoch() <= self.epochs(),
                "the file that the run resumes from already has all its epochs: give more with \
                 --epochs",
            ),
            (
                self.continues_after.is_none() || self.init_from.is_some(),
                "continues_after needs init_from, the file that was trained for those epochs",
            ),
            (
                (1..=*batch_size.max(&1)).contains(&parallel.shards),
                "there must be 1 shard to as many as the images of a batch (--shards, --batch-size)",
            ),
            (
                parallel.shards > 1 || *parallel == DataParallel::default(),
                "sync_batch_norm and wire need several shards: give --shards, or start several processes \
                 (--sync-batch-norm, --wire)",
            ),
            (
                (1..=MAX_BATCH_SIZE).contains(batch_size),
                "the batch size must be from 1 to 65536 (--batch-size)",
            ),
            (
                finite(*lr) && (*lr as f32).is_finite(),
                "the learning rate must be 0 or more, and finite (--lr)",
            ),
            (
                recipe.warm_up.is_none_or(|warm_up| (0.0..=1.0).contains(&warm_up.factor)),
                "the warm-up's factor must be in [0, 1]",
            ),
            (recipe.patience != Some(0), "patience must be at least 1 epoch (--patience)"),
            (
                recipe.layer_decay > 0.0 && recipe.layer_decay <= 1.0,
                "layer_decay must be above 0 and at most 1 (--layer-decay)",
            ),
            (
                recipe.clip_grad.is_none_or(|norm| norm.is_finite() && norm > 0.0),
                "clip_grad must be above 0, and finite (--clip-grad)",
            ),
            (
                recipe.head_scale.is_finite() && recipe.head_scale > 0.0,
                "head_scale must be above 0, and finite",
            ),
            (
                recipe.batch_norm_momentum > 0.0 && recipe.batch_norm_momentum <= 1.0,
                "batch_norm_momentum must be above 0 and at most 1",
            ),
            (
                recipe.whiten.is_none_or(|whiten| whiten.eps.is_finite() && whiten.eps > 0.0),
                "whiten.eps must be above 0, and finite",
            ),
            (
                recipe.whiten.is_none_or(|whiten| whiten.images > 0),
                "whiten.images must be at least 1",
            ),
            (
                recipe.average.is_none_or(|average| {
                    let (Average::Lookahead { every, .. } | Average::Ema { every, .. }) = average;
                    every > 0
                }),
                "average.every must be at least 1 step",
            ),
            (
                recipe.average.is_none_or(|average| {
                    let (Average::Lookahead { decay, .. } | Average::Ema { decay, .. }) = average;
                    (0.0..=1.0).contains(&decay)
                }),
                "average.decay must be in [0, 1]",
            ),
            (
                !matches!(recipe.average, Some(Average::Lookahead { power, .. }) if !finite(power)),
                "average.power must be 0 or more, and finite",
            ),
            ((0.0..1.0).contains(label_smoothing), "the label smoothing must be in [0, 1)"),
            (
                self.data.limit_train != Some(0),
                "limit_train is 0, which leaves no images to train on: give more, or leave it out (--limit-train)",
            ),
            (
                self.data.train_images > 0,
                "there are no images to train on (--limit-train, --validation)",
            ),
            (
                normalisation.mean.len() <= MAX_CHANNELS,
                "the normalisation has more channels than images have",
            ),
            (
                normalisation.is_usable(normalisation.mean.len()),
                "the normalisation needs a mean and a deviation above 0 for each channel (--mean, --std)",
            ),
            (
                normalisation.fits(self.data.image_size, self.data.image_size),
                "normalisation.mean_image has another size than the images",
            ),
            (
                normalisation.mean_image.is_none() || self.data.photos.is_none(),
                "a mean image needs images in memory, not photos (--mean-image)",
            ),
            (
                normalisation.mean_image.is_none() || recipe.image_sizes.is_empty(),
                "a mean image needs images of one size, but the recipe has image_sizes (--mean-image)",
            ),
            (
                normalisation.mean_image.is_none() || recipe.whiten.is_none(),
                "a mean image and whiten exclude each other: choose another recipe (--mean-image)",
            ),
            (!self.data.classes.is_empty(), "the data has no classes"),
            (
                self.data.photos.is_none() || recipe.whiten.is_none(),
                "whiten needs images in memory, and photos stay on disk: choose another recipe, such as --recipe fast, \
                 or take [recipe.whiten] out of the configuration (--config)",
            ),
            (augment.pad <= self.data.image_size, "the crop's padding is larger than an image"),
            (
                augment.padding_mode == PaddingMode::Zeros || augment.pad < self.data.image_size,
                "augment.pad must be less than the image size with padding_mode = \"reflect\"",
            ),
            (augment.cutout <= self.data.image_size, "augment.cutout is larger than an image"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(message.to_owned()),
            None => Ok(()),
        }
    }
}

fn check_optimizer(optimizer: &OptimizerConfig) -> Result<(), String> {
    let finite = |x: f32| x.is_finite() && x >= 0.0;
    let name = optimizer.name().to_lowercase();
    for (group, factors) in optimizer.groups().by_name() {
        for (field, factor) in [("lr", factors.lr), ("weight_decay", factors.weight_decay)] {
            if !finite(factor) {
                return Err(format!(
                    "the factor {name}.groups.{group}.{field} must be 0 or more, and finite"
                ));
            }
        }
    }
    let rules = match optimizer {
        OptimizerConfig::Sgd(SgdConfig { momentum, .. }) => {
            vec![((0.0..1.0).contains(momentum), "the momentum must be in [0, 1) (--momentum)")]
        }
        OptimizerConfig::AdamW(AdamWConfig { betas, eps, .. }) => vec![
            (betas.iter().all(|beta| (0.0..1.0).contains(beta)), "adamw.betas must be in [0, 1)"),
            // Smaller ones are 0 in f32.
            (*eps >= 1e-30 && eps.is_finite(), "adamw.eps must be 1e-30 or more, and finite"),
        ],
    };
    let decay = (
        finite(optimizer.weight_decay()),
        "the weight decay must be 0 or more, and finite (--weight-decay)",
    );
    match rules.into_iter().chain([decay]).find(|(holds, _)| !holds) {
        Some((_, message)) => Err(message.to_owned()),
        None => Ok(()),
    }
}

/// The most Newton-Schulz iterations of a step: as many as `torch.optim.Muon` takes.
const MAX_ITERATIONS: usize = 99;

fn check_muon(muon: Muon) -> Result<(), &'static str> {
    let finite = |x: f32| x.is_finite() && x >= 0.0;
    let rules = [
        (
            muon.lr >= 0.0 && finite(muon.lr as f32),
            "muon.lr must be 0 or more, and finite (--lr scales it)",
        ),
        ((0.0..1.0).contains(&muon.momentum), "muon.momentum must be in [0, 1)"),
        (finite(muon.weight_decay), "muon.weight_decay must be 0 or more, and finite"),
        ((1..=MAX_ITERATIONS).contains(&muon.steps), "muon.steps must be in [1, 99]"),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, message)| Err(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::tests::sample,
        optim::Factors,
        recipe::{Recipe, SizePhase, Whiten},
    };

    #[test]
    fn a_mean_image_must_suit_the_run() {
        let mut config = sample();
        config.data.normalisation.mean_image = Some(vec![0.5; 32 * 32 * 3]);
        assert_eq!(config.check(), Ok(()));
        let refused = |change: &dyn Fn(&mut TrainConfig), part| {
            let mut config = config.clone();
            change(&mut config);
            let message = config.check().unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        refused(&|c| c.data.normalisation.mean_image = Some(vec![0.5; 48]), "another size");
        refused(&|c| c.data.normalisation.mean_image = Some(vec![2.0; 3072]), "normalisation");
        refused(&|c| c.recipe.whiten = Some(Whiten::default()), "whiten");
        refused(
            &|c| c.recipe.image_sizes = vec![SizePhase { until: 0.5, size: 16 }],
            "images of one size",
        );
    }

    #[test]
    fn images_of_a_part_must_not_be_too_small() {
        let mut config = sample();
        config.arch = "resnet11-sprint".parse().unwrap();
        let mut check = |size| {
            config.recipe.image_sizes = vec![SizePhase { until: 0.5, size }];
            config.check()
        };
        assert_eq!(check(8), Ok(()));
        let message = check(7).unwrap_err();
        assert!(message.contains("image_sizes has images of 7x7"), "{message}");
        assert!(message.contains("--image-size"), "{message}");
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        type Change = fn(&mut Recipe, f64);
        let cases: &[(&str, &[f64], &[f64], Change)] = &[
            ("sgd.groups.stem.lr", &[-1.0, f64::NAN, f64::INFINITY], &[0.0, 64.0], |r, x| {
                r.optimizer.groups_mut().stem.lr = x as f32;
            }),
            ("sgd.groups.norm_scale.lr", &[-1.0], &[0.0], |r, x| {
                r.optimizer.groups_mut().norm_scale.lr = x as f32;
            }),
            ("sgd.groups.norm_bias.weight_decay", &[-1.0, f64::NAN], &[0.0, 64.0], |r, x| {
                r.optimizer.groups_mut().norm_bias =
                    Factors { weight_decay: x as f32, ..Factors::default() };
            }),
            ("sgd.groups.head.weight_decay", &[f64::INFINITY], &[64.0], |r, x| {
                r.optimizer.groups_mut().head.weight_decay = x as f32;
            }),
            ("adamw.betas", &[-0.1, 1.0, f64::NAN], &[0.0, 0.999], |r, x| {
                r.optimizer = AdamWConfig { betas: [0.9, x], ..AdamWConfig::default() }.into();
            }),
            ("adamw.eps", &[0.0, -1.0, f64::NAN, f64::INFINITY], &[1e-8, 0.1], |r, x| {
                r.optimizer = AdamWConfig { eps: x, ..AdamWConfig::default() }.into();
            }),
            ("weight decay", &[-1.0, f64::NAN, f64::INFINITY], &[0.0, 0.1], |r, x| {
                *r.optimizer.weight_decay_mut() = x as f32;
            }),
            ("batch_norm_momentum", &[0.0, 1.01, -0.1, f64::NAN], &[0.01, 1.0], |r, x| {
                r.batch_norm_momentum = x;
            }),
            ("patience", &[0.0], &[1.0], |r, x| r.patience = Some(x as u64)),
            ("layer_decay", &[0.0, -1.0, 1.01, f64::NAN], &[0.5, 1.0], |r, x| r.layer_decay = x),
            ("clip_grad", &[0.0, -1.0, f64::NAN, f64::INFINITY], &[1e-3, 10.0], |r, x| {
                r.clip_grad = Some(x);
            }),
            ("head_scale", &[0.0, -1.0, f64::NAN, f64::INFINITY], &[0.125, 2.0], |r, x| {
                r.head_scale = x as f32;
            }),
            ("whiten.eps", &[0.0, -1.0, f64::NAN, f64::INFINITY], &[1e-9], |r, x| {
                r.whiten = Some(Whiten { eps: x, ..Whiten::default() });
            }),
            ("whiten.images", &[0.0], &[1.0, 1e9], |r, x| {
                r.whiten = Some(Whiten { images: x as usize, ..Whiten::default() });
            }),
            ("muon.lr", &[-1.0, f64::NAN, f64::INFINITY, 1e300], &[0.0, 0.24], |r, x| {
                r.muon = Some(Muon { lr: x, ..Muon::default() });
            }),
            ("muon.momentum", &[-0.1, 1.0, f64::NAN], &[0.0, 0.95], |r, x| {
                r.muon = Some(Muon { momentum: x as f32, ..Muon::default() });
            }),
            ("muon.weight_decay", &[-1.0, f64::NAN, f64::INFINITY], &[0.0, 1.0], |r, x| {
                r.muon = Some(Muon { weight_decay: x as f32, ..Muon::default() });
            }),
            ("muon.steps", &[0.0, 100.0, 1e19], &[1.0, 99.0], |r, x| {
                r.muon = Some(Muon { steps: x as usize, ..Muon::default() });
            }),
            ("average.every", &[0.0], &[1.0], |r, x| {
                r.average = Some(Average::Ema { every: x as u64, decay: 0.9 });
            }),
            ("average.decay", &[-0.1, 1.1, f64::NAN], &[0.0, 1.0], |r, x| {
                r.average = Some(Average::Ema { every: 1, decay: x });
            }),
            ("average.decay", &[-0.1, 1.1, f64::NAN], &[0.0, 1.0], |r, x| {
                r.average = Some(Average::Lookahead { every: 1, decay: x, power: 1.0 });
            }),
            ("average.power", &[-1.0, f64::NAN, f64::INFINITY], &[0.0, 3.0], |r, x| {
                r.average = Some(Average::Lookahead { every: 1, decay: 0.9, power: x });
            }),
        ];
        for (field, wrong, right, change) in cases {
            let check = |&x: &f64| {
                let mut config = sample();
                change(&mut config.recipe, x);
                config.check()
            };
            for x in *wrong {
                let message = check(x).unwrap_err();
                assert!(message.contains(field), "{field} = {x}: {message}");
            }
            for x in *right {
                assert_eq!(check(x), Ok(()), "{field} = {x}");
            }
        }
    }
}
