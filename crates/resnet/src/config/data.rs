//! The data of a run, in its configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::Normalisation;

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Name of the data set, or an absolute path to a folder of images.
    pub name: String,
    /// Folder of data sets; none for the [default](crate::data::default_data_dir) one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// Rows and columns of an image, pixels.
    pub image_size: usize,
    /// Images that are trained on, without those of the validation set.
    pub train_images: usize,
    /// Training images that become the validation set, on which `best` is chosen; 0 for none.
    /// Files of version 0.1.0 call it `split`.
    #[serde(alias = "split")]
    pub validation: usize,
    /// Number of training images to use, before those of the validation set are taken; none for
    /// all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_train: Option<usize>,
    /// Number of test images to use; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_test: Option<usize>,
    /// Normalisation of pixels.
    pub normalisation: Normalisation,
    /// How photos are read, for a folder of them. Which ones they are is in the run's
    /// [`photos.tsv`](crate::run::PHOTOS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photos: Option<PhotosConfig>,
}

/// Photos as the data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotosConfig {
    /// Length of a photo's shorter side before the centre crop of evaluation, pixels.
    pub resize: usize,
    /// Whether the validation set is a part of the folder, rather than taken out of the training
    /// images.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_validation: bool,
    /// File with the paths and labels of the photos; none if their folders are their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
}
