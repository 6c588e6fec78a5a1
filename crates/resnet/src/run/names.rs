//! Names of the files of a run folder.

/// The configuration of a run.
pub const CONFIG: &str = "config.toml";
/// The metrics: one line of JSON per epoch.
pub const METRICS: &str = "metrics.jsonl";
/// Where and when the run was trained.
pub const RUN_INFO: &str = "run.json";
/// The text log.
pub const LOG: &str = "log.txt";
/// The folder of event files for TensorBoard, if requested.
pub const TENSORBOARD: &str = "tensorboard";
/// The photos of a run on a folder of them: part, label and path of each, a line for each.
pub const PHOTOS: &str = "photos.tsv";
/// The newest checkpoint.
pub const LAST: &str = "last.safetensors";
/// The checkpoint with the highest accuracy.
pub const BEST: &str = "best.safetensors";
/// The settings of an experiment, in a folder of run folders.
pub const EXPERIMENT: &str = "experiment.toml";
