//! Files of a run folder.

/// The configuration of a run.
pub const CONFIG: &str = "config.toml";
/// A line of JSON an epoch.
pub const METRICS: &str = "metrics.jsonl";
/// Where and when it was trained.
pub const RUN_INFO: &str = "run.json";
/// What was told while it ran.
pub const LOG: &str = "log.txt";
/// Event files for TensorBoard, where they are asked for.
pub const TENSORBOARD: &str = "tensorboard";
/// The newest checkpoint.
pub const LAST: &str = "last.safetensors";
/// The checkpoint of the highest accuracy.
pub const BEST: &str = "best.safetensors";
