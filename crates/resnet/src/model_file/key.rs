//! Keys of a model file's metadata. Values are JSON unless stated otherwise.

/// Version of this layout: see [`FORMAT_VERSION`](super::FORMAT_VERSION).
pub const VERSION: &str = "format_version";
/// Name of the architecture, as text.
pub const ARCH: &str = "arch";
/// Class names, in label order.
pub const CLASSES: &str = "classes";
/// Rows and columns of an image, pixels.
pub const IMAGE_SIZE: &str = "image_size";
/// Length of an image's shorter side before the centre crop, pixels ([`CROP_MODE`] may choose another
/// side). Absent if images are resized to [`IMAGE_SIZE`] without a crop.
pub const RESIZE: &str = "resize";
/// Filter of the resize: `nearest`, `box`, `bilinear` (if absent), `hamming`, `bicubic` or `lanczos`.
pub const INTERPOLATION: &str = "interpolation";
/// Which part of a photo is used: `center` (if absent), `squash` or `border`, as in timm.
pub const CROP_MODE: &str = "crop_mode";
/// Mean and standard deviation of each channel.
pub const NORMALISATION: &str = "normalisation";
/// The recipe.
pub const RECIPE: &str = "recipe";
/// Seed of the run.
pub const SEED: &str = "seed";
/// Instruction set of the kernels that it was trained with, as text. On another one, results are
/// not bit-identical.
pub const ISA: &str = "isa";
/// Progress of training: steps, epoch, batch, and the sums over the epoch so far.
pub const PROGRESS: &str = "progress";
/// Metrics of every epoch so far, as in `metrics.jsonl`.
pub const METRICS: &str = "metrics";
/// In ONNX files: `num_batches_tracked` of all batch norms, which only training uses.
pub const BATCHES_TRACKED: &str = "num_batches_tracked";

/// The keys that describe the run of a model.
pub(super) const OF_RUN: [&str; 5] = [RECIPE, SEED, ISA, PROGRESS, METRICS];
