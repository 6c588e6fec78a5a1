//! Run folders: `config.toml`, `metrics.jsonl`, `run.json`, `log.txt`, `last.safetensors`
//! and `best.safetensors`.

mod error;
mod folder;
mod lock;
mod model;
mod names;

pub use error::RunError;
pub use folder::RunFolder;
pub use lock::is_training;
pub use model::load_model;
pub use names::{BEST, CONFIG, LAST, LOG, METRICS, RUN_INFO, TENSORBOARD};
