//! What a training run tells its listeners.

use std::path::PathBuf;

use crate::metrics::EpochMetrics;

/// Something that happened in a run, in the order of the variants.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Training begins, or continues.
    Started(Started),
    /// Something about what the run starts from.
    Note(String),
    /// The run goes on with another instruction set: its results will not be equal to the bit to
    /// those of a run on one of them.
    OtherIsa {
        /// The set so far.
        before: String,
        /// The set from now on.
        now: String,
    },
    /// A batch was trained on.
    Batch(BatchEvent),
    /// Images have been evaluated.
    Evaluating {
        /// So many.
        done: usize,
        /// Of so many.
        images: usize,
    },
    /// An epoch has ended and was evaluated.
    EpochEnd {
        /// Its figures.
        metrics: EpochMetrics,
        /// Whether it was better than all before it: on held-out images if there are any, on test
        /// images otherwise.
        best: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Its file.
        path: PathBuf,
    },
    /// The run was asked to stop, and its state is saved.
    Stopped {
        /// The run folder.
        folder: PathBuf,
        /// The epoch it is in, from 1.
        epoch: u64,
        /// Batches done in that epoch.
        batch: u64,
    },
    /// The run is complete.
    Finished {
        /// The last epoch's figures.
        last: EpochMetrics,
    },
}

/// What a run is about to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// The run folder.
    pub folder: PathBuf,
    /// Name of the architecture.
    pub arch: String,
    /// Name of the data set.
    pub data: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Trainable parameters.
    pub parameters: usize,
    /// Images trained on.
    pub train_images: usize,
    /// Images tested on.
    pub test_images: usize,
    /// Images held out to choose `best` by.
    pub held_out_images: usize,
    /// Images a batch: the recipe's, or all where there are fewer.
    pub batch_size: usize,
    /// Batches an epoch.
    pub steps_per_epoch: u64,
    /// Batches in the whole run.
    pub total_steps: u64,
    /// Epochs in the whole run, a started one included.
    pub epochs: u64,
    /// Batches already done by the run that is continued; 0 for a new one.
    pub step: u64,
    /// Figures of the epochs already done.
    pub history: Vec<EpochMetrics>,
    /// How activations are stored, and why that is fast here or not.
    pub dtype: String,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Threads of the kernels.
    pub threads: usize,
}

/// Figures after one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchEvent {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs in the whole run.
    pub epochs: u64,
    /// The batch within the epoch, from 1.
    pub batch: u64,
    /// Batches of this epoch.
    pub batches: u64,
    /// Steps done in the whole run.
    pub step: u64,
    /// Steps in the whole run.
    pub total_steps: u64,
    /// Mean loss an image in the epoch so far.
    pub loss: f64,
    /// Accuracy in the epoch so far, percent.
    pub accuracy: f64,
    /// Mean loss an image of this batch.
    pub batch_loss: f64,
    /// Accuracy of this batch, percent.
    pub batch_accuracy: f64,
    /// Learning rate of this batch's update.
    pub learning_rate: f32,
    /// Images a second in the epoch so far.
    pub images_per_second: f64,
}
