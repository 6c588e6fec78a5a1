//! Events of a training run.

use std::path::PathBuf;

use crate::metrics::EpochMetrics;

use super::Machine;

/// An event of a run, in the order of the variants.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Training starts or resumes.
    Started(Started),
    /// A message about the run: where it starts from, its photos, how it ends.
    Note(String),
    /// The run resumes with another instruction set, GPU or driver: its results will not be bit-identical to
    /// those of an uninterrupted run.
    DeviceChanged {
        /// The instruction set or the GPU so far.
        before: String,
        /// That from now on.
        now: String,
    },
    /// A batch was trained on.
    Batch(BatchEvent),
    /// Some images were evaluated.
    Evaluating {
        /// Images evaluated so far.
        done: usize,
        /// Images to evaluate.
        images: usize,
    },
    /// An epoch ended and was evaluated.
    EpochEnd {
        /// Its metrics.
        metrics: EpochMetrics,
        /// Whether it is the best epoch so far: by accuracy on the validation set if there is one,
        /// else on the test set.
        best: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Its file.
        path: PathBuf,
    },
    /// The run was stopped, and its state is saved.
    Stopped {
        /// What to resume: the run folder, or the checkpoint that was resumed.
        resume: PathBuf,
        /// The current epoch, from 1.
        epoch: u64,
        /// Batches done in that epoch.
        batch: u64,
    },
    /// The run is complete.
    Finished {
        /// Metrics of the last epoch.
        last: EpochMetrics,
        /// Metrics of the best epoch, where there are images to choose by.
        best: Option<EpochMetrics>,
    },
}

/// A description of the run that starts.
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
    /// Number of parameters.
    pub parameters: usize,
    /// Training images.
    pub train_images: usize,
    /// Test images; 0 without any.
    pub test_images: usize,
    /// Images of the validation set, on which `best` is chosen; 0 without one.
    pub validation_images: usize,
    /// Images per batch: the recipe's batch size, or all images if there are fewer.
    pub batch_size: usize,
    /// Batches per epoch.
    pub steps_per_epoch: u64,
    /// Batches in the whole run.
    pub total_steps: u64,
    /// Epochs in the whole run, an incomplete last one included.
    pub epochs: u64,
    /// Steps done before; 0 for a new run.
    pub step: u64,
    /// Metrics of the epochs done before.
    pub history: Vec<EpochMetrics>,
    /// The machine and the dtype.
    pub machine: Machine,
}

/// Metrics after one batch.
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
    /// Steps of the run so far.
    pub step: u64,
    /// Steps in the whole run.
    pub total_steps: u64,
    /// Mean loss per image in the epoch so far.
    pub loss: f64,
    /// Accuracy in the epoch so far, percent.
    pub accuracy: f64,
    /// Mean loss per image of this batch.
    pub batch_loss: f64,
    /// Accuracy of this batch, percent.
    pub batch_accuracy: f64,
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Images per second in the epoch so far.
    pub images_per_second: f64,
    /// How much of the time of the epoch so far process 0 waited for others, percent. None of a process alone.
    pub waiting: Option<f64>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Dtype;

    /// A run of two epochs after `step` steps.
    pub(crate) fn started(step: u64) -> Event {
        Event::Started(Started {
            folder: "runs/a".into(),
            arch: "resnet8".into(),
            data: "synthetic".into(),
            recipe: "fast".into(),
            parameters: 78_042,
            train_images: 1000,
            test_images: 200,
            validation_images: 0,
            batch_size: 4,
            steps_per_epoch: 250,
            total_steps: 500,
            epochs: 2,
            step,
            history: Vec::new(),
            machine: Machine {
                cpu: Some("a processor".into()),
                gpu: None,
                isa: "portable".into(),
                threads: 2,
                processes: 1,
                machines: 1,
                dtype: Dtype::Fp32,
                dtype_reason: "portable has no native bfloat16 dot products".into(),
            },
        })
    }

    pub(crate) fn batch(batch: u64) -> Event {
        Event::Batch(BatchEvent {
            epoch: 1,
            epochs: 2,
            batch,
            batches: 250,
            step: batch,
            total_steps: 500,
            loss: 2.0,
            accuracy: 30.0,
            batch_loss: 1.5,
            batch_accuracy: 50.0,
            learning_rate: 0.1,
            images_per_second: 280.4,
            waiting: None,
        })
    }

    pub(crate) fn epoch() -> EpochMetrics {
        EpochMetrics {
            epoch: 1,
            step: 391,
            train_loss: 0.1 + 0.2,
            train_accuracy: 100.0 / 3.0,
            test_loss: Some(1e-9),
            test_accuracy: Some(10.0),
            validation_loss: None,
            validation_accuracy: None,
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.1,
            seconds: 1.5,
            images_per_second: 281.3,
            communication_seconds: None,
        }
    }

    #[test]
    fn metrics_round_trip_as_json() {
        let line = serde_json::to_string(&epoch()).unwrap();
        assert!(line.contains("\"learning_rate\":0.1,") && !line.contains("validation"), "{line}");
        assert_eq!(serde_json::from_str::<EpochMetrics>(&line).unwrap(), epoch());
    }

    #[test]
    fn metrics_of_version_0_1_0_are_read() {
        let (validation_loss, validation_accuracy) = (Some(0.5), Some(75.0));
        let metrics = EpochMetrics { validation_loss, validation_accuracy, ..epoch() };
        let line = serde_json::to_string(&metrics).unwrap();
        assert!(line.contains("\"validation_loss\":0.5,\"validation_accuracy\":75.0"), "{line}");
        let old = line.replace("validation_", "held_out_");
        assert_eq!(serde_json::from_str::<EpochMetrics>(&old).unwrap(), metrics);
    }
}
