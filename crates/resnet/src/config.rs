//! The configuration of a run: everything needed to run it again (`config.toml`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{data::Normalisation, models::Arch, recipe::Recipe};

/// What to train, on what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The architecture.
    #[serde(with = "arch_name")]
    pub arch: Arch,
    /// Seed of every random choice.
    pub seed: u64,
    /// Updates in the whole run: the recipe's length, or what was fitted to a time budget.
    pub total_steps: u64,
    /// File with the weights to start from, if not random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// The data.
    pub data: DataConfig,
    /// The recipe, with every changed value in it.
    pub recipe: Recipe,
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Name of the data set, or an absolute path to a folder of images.
    pub name: String,
    /// Where data sets are kept, if not in the default place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// Rows and columns of an image.
    pub image_size: usize,
    /// Images that are trained on, after limit and split.
    pub train_images: usize,
    /// Training images held out to choose `best` by; 0 for none.
    pub split: usize,
    /// Only so many of the training images, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_train: Option<usize>,
    /// Only so many of the test images, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_test: Option<usize>,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
}

impl TrainConfig {
    /// Updates in one pass over the training images; the last batch may be smaller.
    pub fn steps_per_epoch(&self) -> u64 {
        self.data.train_images.div_ceil(self.recipe.batch_size.max(1)).max(1) as u64
    }

    /// Epochs in the whole run, a started one included.
    pub fn epochs(&self) -> u64 {
        self.total_steps.div_ceil(self.steps_per_epoch())
    }

    /// The learning rate at a step, counted from 0.
    pub fn lr_at(&self, step: u64) -> f64 {
        self.recipe.lr_at(step, self.steps_per_epoch(), self.total_steps)
    }
}

/// An architecture as its name.
mod arch_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::models::Arch;

    pub(super) fn serialize<S: Serializer>(arch: &Arch, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(arch)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arch, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
