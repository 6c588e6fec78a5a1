//! Training recipes: all hyperparameters of a run (length, batch size, optimiser, schedule,
//! augmentation), without its data.
//!
//! Start from a named recipe, for the length and the data of the run, and change its fields. Rates, batch size and
//! augmentation follow the length, so it is given here, and a learning rate through [`Recipe::set_lr`]:
//!
//! ```
//! use resnet::{Arch, recipe::Recipe};
//!
//! let arch: Arch = "resnet20".parse()?;
//! let (epochs, images, classes) = (Some(10.0), 50_000, 10);
//! let recipe = Recipe::of_size("fast", arch, epochs, [images, classes]);
//! let mut recipe = recipe.expect("it is listed in Recipe::ALL");
//! recipe.set_lr(0.4); // Muon's in proportion
//! recipe.label_smoothing = 0.1;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;

use resnet_kernels::batch_norm::MOMENTUM;
use resnet_network::optim::{Average, Muon, MuonRate, OptimizerConfig, Rates};
use serde::{Deserialize, Serialize};

use crate::{
    Dtype,
    data::{
        Augment, Sampling,
        transform::{CenterCrop, Crop, Mix, RandomCrop, Shorter, Transform},
    },
    graph::{Graph, Op},
    metrics::Metric,
    models::Arch,
    network::Init,
    schedule::{Schedule, WarmUp},
};

pub use resnet_comm::Wire;

pub use self::{
    class_weights::ClassWeights,
    freeze::{Freeze, RunSteps},
    image_sizes::SizePhase,
    parallel::DataParallel,
};

mod class_weights;
mod depth;
mod finetune;
mod freeze;
mod image_sizes;
mod named;
mod parallel;
mod photos;
mod usual;

/// Length of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Epochs: passes over the training images.
    Epochs(u64),
    /// Steps: updates of the parameters. The last epoch may be incomplete.
    Steps(u64),
}

impl Length {
    /// The length in steps.
    pub fn steps(self, steps_per_epoch: u64) -> u64 {
        match self {
            Length::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
            Length::Steps(steps) => steps,
        }
    }
}

/// All hyperparameters of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the recipe that this one started from.
    pub name: String,
    /// Length of training. Another one here leaves what the recipe chose by its length: [`Recipe::of_size`] chooses for
    /// the new one.
    pub length: Length,
    /// Images per step. [`Recipe::set_batch_size`] changes the learning rate with it.
    pub batch_size: usize,
    /// Storage type of activations and their gradients.
    #[serde(default)]
    pub dtype: Dtype,
    /// Base learning rate, which the schedule scales. For one-cycle schedules it is the peak. Muon has a rate of its own:
    /// [`Recipe::set_lr`] changes both in proportion.
    pub lr: f64,
    /// Label smoothing in [0, 1) (`torch.nn.CrossEntropyLoss(label_smoothing=...)`).
    pub label_smoothing: f32,
    /// Weights of the classes in the loss, if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// How the images of an epoch are chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sampling: Sampling,
    /// What the best epoch is chosen by.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metric: Metric,
    /// The run ends after so many epochs that are no better than one before; none for the whole length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Initialisation of the parameters.
    pub init: Init,
    /// Whether the first filters of 3x3 convolutions start as the identity
    /// ([`Network::set_identity`](crate::network::Network::set_identity)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    /// Factor on the initial weight and bias of the head. With the factors `lr = s^2` and
    /// `weight_decay = 1 / s^2` of the [group](crate::optim::GroupFactors) `head`, a factor `s` is
    /// the same under SGD as logits that are multiplied by `s`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub head_scale: f32,
    /// Weight of a batch in the running statistics of batch norms, in (0, 1]
    /// (`torch.nn.BatchNorm2d(momentum=...)`).
    #[serde(default = "usual_momentum", skip_serializing_if = "is_usual_momentum")]
    pub batch_norm_momentum: f64,
    /// Initialisation of the stem from the training images, if any. Only new runs from random
    /// weights have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whiten: Option<Whiten>,
    /// Average of the weights, if any. An exponential moving average is what is evaluated and
    /// exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
    /// The optimiser with its settings: `[sgd]` or `[adamw]` in a file.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// Settings of the optimiser of all convolutions but the first, if it is Muon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muon: Option<Muon>,
    /// Rates by depth (timm's `layer_decay`): the rate of the last stage is this times that of the head, that
    /// of the stage before it this times that, and so on to the stem. 1 for equal rates.
    #[serde(default = "equal_rates", skip_serializing_if = "are_equal_rates")]
    pub layer_decay: f64,
    /// The largest total norm of the gradients: those of a step are scaled to it
    /// (`torch.nn.utils.clip_grad_norm_`); none for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad: Option<f64>,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Warm-up, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Data augmentation of training images in memory.
    pub augment: Augment,
    /// Data augmentation of photos, instead of `augment`; none for that of the library's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// Mixup and CutMix, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// Sizes of the training images in the first parts of the run, in order of time. After the last
    /// one, as in every evaluation, images have the data's own size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_sizes: Vec<SizePhase>,
    /// Layers that do not train for a part of the run, or all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
    /// How batches are cut for several processes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parallel: DataParallel,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> f32 {
    1.0
}

fn is_one(&x: &f32) -> bool {
    x == 1.0
}

fn equal_rates() -> f64 {
    1.0
}

fn are_equal_rates(&decay: &f64) -> bool {
    decay == 1.0
}

fn usual_momentum() -> f64 {
    MOMENTUM
}

fn is_usual_momentum(&x: &f64) -> bool {
    x == MOMENTUM
}

/// Whitening of the first convolution, as in airbench (Jordan 2024, arXiv 2404.00498): its filters
/// start as the eigenvectors of the covariance of the images' patches, each divided by the standard
/// deviation along it, and their negatives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whiten {
    /// Added to the eigenvalues.
    pub eps: f64,
    /// Training images of the covariance, the first ones.
    pub images: usize,
}

/// airbench's numbers.
impl Default for Whiten {
    fn default() -> Self {
        Whiten { eps: 5e-4, images: 5000 }
    }
}

impl Recipe {
    /// The size of the training images at a step, which counts from 0; none for the data's own size.
    pub fn image_size_at(&self, step: u64, total_steps: u64) -> Option<usize> {
        image_sizes::size_at(&self.image_sizes, step, total_steps)
    }

    /// The recipe for images of `to` rows and columns in place of `from`: padding, cutout, the sizes of its first parts,
    /// and those that photos are resized to before a crop, are in proportion. It has no parts whose images are too small
    /// for the architecture.
    #[must_use]
    pub fn for_image_size(mut self, arch: Arch, from: usize, to: usize) -> Recipe {
        let scale = |pixels: &mut usize| {
            *pixels = (pixels.saturating_mul(to) + from / 2) / from.max(1);
        };
        scale(&mut self.augment.pad);
        scale(&mut self.augment.cutout);
        for phase in &mut self.image_sizes {
            scale(&mut phase.size);
        }
        if !self.image_sizes.is_empty() {
            let graph = arch.graph(1);
            self.image_sizes.retain(|phase| image_sizes::fits(&graph, phase.size));
        }
        match self.transform.as_mut().map(|transform| &mut transform.crop) {
            Some(Crop::Random(RandomCrop { resize, padding })) => {
                scale(padding);
                match resize {
                    Some(Shorter::To(side)) => scale(side),
                    Some(Shorter::Between(sides)) => sides.iter_mut().for_each(scale),
                    None => {}
                }
            }
            Some(Crop::Center(CenterCrop { resize: Some(side) })) => scale(side),
            _ => {}
        }
        self
    }

    /// Checks the image sizes, of a network of this graph.
    pub(crate) fn check_image_sizes(&self, graph: &Graph, image_size: usize) -> Result<(), String> {
        image_sizes::check(&self.image_sizes, image_size)?;
        image_sizes::check_fit(&self.image_sizes, graph)
    }

    /// The factor of [`Recipe::freeze`] on the rate of a node's parameters at a step, which counts from 0: 0
    /// while they are frozen.
    pub fn freeze_factor(&self, node: &str, step: u64, steps: impl Into<RunSteps>) -> f32 {
        freeze::factor(&self.freeze, node, step, steps) as f32
    }

    /// The factor of [`Recipe::layer_decay`] on the rate of each node's parameters.
    pub fn depth_factors(&self, graph: &Graph) -> Vec<f32> {
        let groups = depth::groups_from_head(graph).into_iter();
        groups.map(|groups| self.layer_decay.powi(groups) as f32).collect()
    }

    /// Whether a batch norm uses its running statistics at a step, which counts from 0, and does not move
    /// them.
    pub(crate) fn is_in_eval(&self, norm: &str, step: u64, steps: impl Into<RunSteps>) -> bool {
        freeze::is_in_eval(&self.freeze, norm, step, steps)
    }

    /// The parts of a run, as fractions of its steps, in which a step takes the same time: images have one
    /// size, and the same layers train. In order; each ends where the next begins, the last at 1.
    pub fn parts(&self) -> Vec<Range<f64>> {
        let sizes = self.image_sizes.iter().map(|phase| phase.until);
        let frozen = self.freeze.iter().flat_map(|freeze| [Some(freeze.from), freeze.until]);
        let mut ends: Vec<f64> = sizes.chain(frozen.flatten()).collect();
        ends.push(1.0);
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        let starts = std::iter::once(0.0).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| start..end).filter(|part| !part.is_empty()).collect()
    }

    /// Whether only the head of a network trains, from the first step to the last, and everything before it
    /// computes the same in every step.
    pub(crate) fn trains_only_the_head(&self, graph: &Graph) -> bool {
        let nodes = graph.nodes().iter();
        let backbone = nodes.filter(|node| node.has_parameters() && node.op != Op::Linear);
        freeze::is_for_good(&self.freeze, backbone.map(|node| &*node.name))
    }

    /// Whether [`Recipe::freeze`] has a node's parameters frozen in every step.
    pub(crate) fn never_trains(&self, node: &str) -> bool {
        freeze::never_trains(&self.freeze, node)
    }

    /// Checks the layers to freeze, of a network of this graph.
    pub(crate) fn check_freeze(&self, graph: &Graph) -> Result<(), String> {
        let nodes = graph.nodes().iter().filter(|node| node.has_parameters());
        freeze::check(&self.freeze, &nodes.map(|node| node.name.as_str()).collect::<Vec<_>>())
    }

    /// Replaces the batch size, with a rate for it: SGD's in proportion, AdamW's by the root. Muon's stays: its steps
    /// have one length, and what counts is how many there are.
    pub fn set_batch_size(&mut self, batch_size: usize) {
        let part = batch_size as f64 / self.batch_size as f64;
        self.batch_size = batch_size;
        self.lr *= match self.optimizer {
            OptimizerConfig::Sgd(_) => part,
            OptimizerConfig::AdamW(_) => part.sqrt(),
        };
    }

    /// Replaces the learning rate. Muon's stays in proportion.
    pub fn set_lr(&mut self, lr: f64) {
        self.muon = self.muon_at(lr);
        self.lr = lr;
    }

    /// Muon with a rate in proportion to another learning rate. Nothing is in proportion to a rate of 0: it stays then.
    pub(crate) fn muon_at(&self, lr: f64) -> Option<Muon> {
        let part = if self.lr > 0.0 { lr / self.lr } else { 1.0 };
        self.muon.map(|muon| Muon { lr: muon.lr * part, ..muon })
    }

    /// The learning rate of a step, which counts from 0.
    pub fn lr_at(&self, step: u64, steps_per_epoch: u64, total_steps: u64) -> f32 {
        (self.lr * self.factor_at(step, steps_per_epoch, total_steps)) as f32
    }

    /// The learning rates of a step, which counts from 0: the schedule and the warm-up scale both.
    pub fn rates_at(&self, step: u64, steps_per_epoch: u64, total_steps: u64) -> Rates {
        let factor = self.factor_at(step, steps_per_epoch, total_steps);
        let of_muon = |muon: Muon| MuonRate {
            lr: (muon.lr * factor) as f32,
            rescale: muon.rescales_at(step),
        };
        Rates { lr: (self.lr * factor) as f32, muon: self.muon.map(of_muon) }
    }

    fn factor_at(&self, step: u64, steps_per_epoch: u64, total_steps: u64) -> f64 {
        match self.warm_up {
            Some(warm_up) if step < warm_up.steps => warm_up.factor,
            _ => self.schedule.factor(step, steps_per_epoch, total_steps),
        }
    }
}

#[cfg(test)]
mod tests;
