//! The images and labels that a network takes, and the result of a training step.

use resnet_network::preprocess::Normalisation;

/// Images, as an engine or a plan takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes `[n][height][width][channels]`. The plan converts them to
    /// `(byte / 255 - mean) / std`, by channel.
    Bytes(&'a [u8], &'a Normalisation),
    /// Normalised values `[n][channels][height][width]`, as a PyTorch tensor holds them.
    Nchw(&'a [f32]),
}

impl<'a> Input<'a> {
    /// The input without its first `values` bytes or values.
    pub(crate) fn skip(self, values: usize) -> Self {
        match self {
            Input::Bytes(bytes, normalisation) => Input::Bytes(&bytes[values..], normalisation),
            Input::Nchw(images) => Input::Nchw(&images[values..]),
        }
    }
}

/// A micro-batch to train on: a whole batch or a part of one. It may be empty.
#[derive(Clone, Copy, Debug)]
pub struct MicroBatch<'a> {
    /// The images.
    pub input: Input<'a>,
    /// Their labels.
    pub targets: Targets<'a>,
    /// Images in the whole batch. The loss is a mean over these, so the gradients of the
    /// micro-batches add up to the gradient of the batch.
    pub batch_size: usize,
}

impl<'a> MicroBatch<'a> {
    /// A whole batch as one micro-batch.
    pub fn whole(input: Input<'a>, targets: Targets<'a>) -> Self {
        MicroBatch { input, targets, batch_size: targets.len() }
    }
}

/// The labels of images.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The class of each image, from 0.
    pub labels: &'a [u32],
    /// Label smoothing in [0, 1), as in `torch.nn.CrossEntropyLoss(label_smoothing=...)`: this
    /// share of a label's probability is spread evenly over all classes.
    pub label_smoothing: f32,
}

impl Targets<'_> {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Loss and accuracy of a micro-batch, before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Cross entropy, summed over the micro-batch and divided by the images of the whole batch.
    pub loss: f64,
    /// Images whose largest logit is the label's.
    pub correct: usize,
}
