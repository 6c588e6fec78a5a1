//! Labelled images for residual networks: data sets and their download, photos, augmentation and
//! the data loader. This crate does not depend on graphs, engines, model files or training.
//!
//! ```
//! use resnet_data::LoadOptions;
//! let options = LoadOptions { limit_train: Some(100), ..LoadOptions::default() };
//! let dataset = resnet_data::load("synthetic", &options)?;
//! assert_eq!(dataset.train.len(), 100);
//! assert_eq!(dataset.classes.len(), 10);
//! # Ok::<(), resnet_data::DataError>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod augment;
pub mod check;
mod cifar10;
mod cifar100;
mod digest;
mod epoch;
mod error;
mod fetch;
mod folder;
mod idx;
mod images;
mod loader;
mod options;
mod output;
mod parts;
pub mod photo;
mod photo_names;
mod photo_parts;
mod photos;
mod plan;
mod published;
mod sampling;
mod shards;
mod shrink;
mod source;
mod synthetic;
pub mod transform;

pub use augment::{Augment, Flip, PaddingMode, View};
pub use epoch::Epoch;
pub use error::{DataError, PhotoSetError};
pub use fetch::{FetchEvent, RemoteFile, Stage, fetch, fetch_file};
pub use folder::{PhotoList, PhotoSet};
pub use images::{Batch, Dataset, Images};
pub use loader::Loader;
pub use options::{LoadOptions, default_data_dir};
pub use output::{is_output, mark_output};
pub use parts::{ImageSet, Parts};
pub use photo_names::{
    NamedPhotos, format_photo_names, missing_photos, parse_photo_names, read_photo_names,
    unread_photos, write_photo_names,
};
pub use photo_parts::resize_for;
pub use photos::{CacheOptions, PhotoOptions, Photos};
pub use published::FileState;
pub use resnet_network::preprocess::Normalisation;
pub use sampling::Sampling;
pub use shards::Shards;
pub use source::{DataSource, DatasetInfo, FileCheck, info, load, verify};
