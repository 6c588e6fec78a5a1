//! What the recipes have in common.

use resnet_kernels::batch_norm::MOMENTUM;
use resnet_network::optim::SgdConfig;

use super::{DataParallel, Length, Recipe};
use crate::{
    Dtype,
    data::{Augment, Sampling},
    metrics::Metric,
    network::Init,
    schedule::Schedule,
};

impl Recipe {
    /// What the recipes have in common.
    pub(super) fn usual(name: &str, length: Length) -> Recipe {
        Recipe {
            name: name.into(),
            length,
            batch_size: 128,
            dtype: Dtype::Fp32,
            lr: 0.1,
            label_smoothing: 0.0,
            class_weights: None,
            sampling: Sampling::Shuffle,
            metric: Metric::Accuracy,
            patience: None,
            init: Init::PyTorch,
            identity: false,
            head_scale: 1.0,
            batch_norm_momentum: MOMENTUM,
            whiten: None,
            average: None,
            optimizer: sgd(0.0).into(),
            muon: None,
            layer_decay: 1.0,
            clip_grad: None,
            schedule: Schedule::one_cycle(0.2),
            warm_up: None,
            augment: Augment::default(),
            transform: None,
            mix: None,
            image_sizes: Vec::new(),
            freeze: Vec::new(),
            parallel: DataParallel::default(),
        }
    }
}

/// SGD with the usual momentum.
pub(super) fn sgd(weight_decay: f32) -> SgdConfig {
    SgdConfig { momentum: 0.9, weight_decay, ..SgdConfig::default() }
}
