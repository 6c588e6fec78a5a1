//! Run folders: `config.toml`, `metrics.jsonl`, `run.json`, `log.txt`, `last.safetensors` and
//! `best.safetensors`.
//!
//! [`RunFolder::create`] makes the folder of a new run, [`RunFolder::resume`] opens one to resume,
//! and [`train`](crate::train::train()) trains in it. [`load_model`] reads the model of a run. The photos of a run on a
//! folder of them are in `photos.tsv`, which `train` writes and [`open_photos`] reads.

mod error;
mod folder;
mod history;
mod lock;
mod model;
mod names;
mod photos;
mod place;

pub use error::RunError;
pub use folder::RunFolder;
pub use history::history;
pub use lock::is_training;
pub use model::{load_model, model_path};
pub use names::{BEST, CONFIG, EXPERIMENT, LAST, LOG, METRICS, PHOTOS, RUN_INFO, TENSORBOARD};
pub(crate) use photos::RunPhotos;
pub use photos::{named_photos, open_photos, photo_names};
pub use place::Place;
