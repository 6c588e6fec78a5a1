//! The images and targets that a network takes, and the result of a training step.

use resnet_kernels::loss::{Target, total_weight};
use resnet_network::{crops::Crops, preprocess::Normalisation};

/// Images, as an engine or a plan takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes `[n][height][width][channels]`. The plan converts them to
    /// `(byte / 255 - mean) / std`, by channel, or with the mean of the pixel if there is a mean image.
    Bytes(&'a [u8], &'a Normalisation),
    /// Crops of the images that an engine on a GPU keeps, normalised as bytes are: for training.
    Crops(&'a Crops, &'a Normalisation),
    /// Normalised values `[n][channels][height][width]`, as a PyTorch tensor holds them.
    Nchw(&'a [f32]),
    /// In place of images what enters the head, `[n][features]`, as a plan or an engine returned it: nothing
    /// before the head is computed.
    Features(&'a [f32]),
}

impl<'a> Input<'a> {
    /// The input without its first `values` bytes or values.
    ///
    /// # Panics
    /// If it has fewer, or is crops.
    pub fn skip(self, values: usize) -> Self {
        match self {
            Input::Bytes(bytes, normalisation) => Input::Bytes(&bytes[values..], normalisation),
            Input::Crops(..) => panic!("crops are for training"),
            Input::Nchw(images) => Input::Nchw(&images[values..]),
            Input::Features(features) => Input::Features(&features[values..]),
        }
    }
}

/// A micro-batch to train on: a whole batch or a part of one. It may be empty.
#[derive(Clone, Copy, Debug)]
pub struct MicroBatch<'a> {
    /// The images.
    pub input: Input<'a>,
    /// Their labels, or probabilities of their classes.
    pub targets: Targets<'a>,
    /// Images in the whole batch. The loss is a mean over these, so the gradients of the
    /// micro-batches add up to the gradient of the batch.
    pub batch_size: usize,
    /// The weights of the classes of all images of the batch together, if the targets are labels and have
    /// [weights](Targets::with_class_weights): the loss is a mean over these then.
    pub batch_weight: Option<f64>,
}

impl<'a> MicroBatch<'a> {
    /// A whole batch as one micro-batch.
    pub fn whole(input: Input<'a>, targets: Targets<'a>) -> Self {
        let batch_weight = targets.class_weights.map(|_| targets.total_weight());
        MicroBatch { input, targets, batch_size: targets.len(), batch_weight }
    }

    /// What the losses of its images are divided by.
    pub fn divisor(&self) -> f64 {
        self.batch_weight.unwrap_or(self.batch_size as f64)
    }
}

/// What images show, and how sure the loss is of it.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Labels, or probabilities of the classes.
    pub target: Target<'a>,
    /// Label smoothing in [0, 1), as in `torch.nn.CrossEntropyLoss(label_smoothing=...)`: this
    /// share of a target's probability is spread evenly over all classes.
    pub label_smoothing: f32,
    /// A weight of each class in the loss, as in `torch.nn.CrossEntropyLoss(weight=...)`; none for equal
    /// ones.
    pub class_weights: Option<&'a [f32]>,
}

impl<'a> Targets<'a> {
    /// The class of each image, from 0.
    pub fn labels(labels: &'a [u32], label_smoothing: f32) -> Self {
        Targets { target: Target::Labels(labels), label_smoothing, class_weights: None }
    }

    /// How likely each class of each image is, `[n][classes]`: soft targets, as those of mixed images.
    pub fn probabilities(values: &'a [f32], classes: usize, label_smoothing: f32) -> Self {
        let target = Target::Probabilities { values, classes };
        Targets { target, label_smoothing, class_weights: None }
    }

    /// The same with a weight of each class in the loss, if there are any.
    #[must_use]
    pub fn with_class_weights(self, class_weights: Option<&'a [f32]>) -> Self {
        Targets { class_weights, ..self }
    }

    /// What the losses of a whole batch of these are divided by ([`total_weight`]).
    ///
    /// # Panics
    /// If a label has no weight.
    pub fn total_weight(&self) -> f64 {
        total_weight(self.target, self.class_weights)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.target.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }
}

/// Loss and accuracy of a micro-batch, before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Cross entropy, summed over the micro-batch and divided by the images of the whole batch.
    pub loss: f64,
    /// Images whose largest logit is the label's, or that of the most likely class
    /// ([`Loss::correct`](resnet_kernels::loss::Loss::correct)).
    pub correct: usize,
}
