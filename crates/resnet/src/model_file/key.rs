//! Keys of a file's metadata.

/// Version of this layout: see [`FORMAT_VERSION`](super::FORMAT_VERSION).
pub const FORMAT_VERSION: &str = "format_version";
/// Name of the architecture.
pub const ARCH: &str = "arch";
/// Class names, in label order.
pub const CLASSES: &str = "classes";
/// Rows and columns of an image.
pub const IMAGE_SIZE: &str = "image_size";
/// Length of an image's shorter side before the middle is cut out of it; absent where images
/// are resized to [`IMAGE_SIZE`] at once.
pub const RESIZE: &str = "resize";
/// Mean and standard deviation of each channel.
pub const NORMALISATION: &str = "normalisation";
/// The recipe, with every value.
pub const RECIPE: &str = "recipe";
/// Seed of the run.
pub const SEED: &str = "seed";
/// Instruction set of the kernels that it was trained with: on another one, results are not
/// equal to the bit.
pub const ISA: &str = "isa";
/// Where training stands: steps, epoch, batch, and the sums over the epoch so far.
pub const PROGRESS: &str = "progress";
/// Figures of every epoch so far, as in `metrics.jsonl`.
pub const METRICS: &str = "metrics";
/// In ONNX files: `num_batches_tracked` of every batch norm, which only training reads.
pub const BATCHES_TRACKED: &str = "num_batches_tracked";

/// What is said of the run that a model is from.
pub(super) const OF_RUN: [&str; 5] = [RECIPE, SEED, ISA, PROGRESS, METRICS];
