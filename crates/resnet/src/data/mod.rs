//! Data sets, augmentation and the loader.
//!
//! ```
//! use resnet::data::{self, LoadOptions};
//! let options = LoadOptions { limit_train: Some(100), ..LoadOptions::default() };
//! let dataset = data::load("synthetic", &options)?;
//! assert_eq!(dataset.train.len(), 100);
//! assert_eq!(dataset.classes.len(), 10);
//! # Ok::<(), data::DataError>(())
//! ```

mod augment;
mod cifar10;
mod digest;
mod error;
mod fetch;
mod images;
mod loader;
pub mod photo;
mod source;
mod synthetic;

pub use augment::Augment;
pub use error::DataError;
pub use fetch::{FetchEvent, Stage, fetch};
pub use images::{Batch, Dataset, Images};
pub use loader::{Epoch, Loader};
pub use resnet_network::preprocess::Normalisation;
pub use source::{
    DataSource, DatasetInfo, FileCheck, FileState, LoadOptions, default_data_dir, info, load,
    verify,
};
