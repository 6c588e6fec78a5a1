//! What a network is given, and what a step says of it.

use resnet_network::preprocess::Normalisation;

/// Images as an engine takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes `[n][height][width][channels]`, scaled to [0, 1] and normalised on the way in.
    Bytes(&'a [u8], &'a Normalisation),
    /// Ready values `[n][channels][height][width]`, as PyTorch has them.
    Nchw(&'a [f32]),
}

impl<'a> Input<'a> {
    /// What is left behind so many bytes or values.
    pub(crate) fn skip(self, values: usize) -> Self {
        match self {
            Input::Bytes(bytes, normalisation) => Input::Bytes(&bytes[values..], normalisation),
            Input::Nchw(images) => Input::Nchw(&images[values..]),
        }
    }
}

/// A part of a batch to train on; it may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The images.
    pub input: Input<'a>,
    /// What they are.
    pub targets: Targets<'a>,
    /// Images of the whole batch, over which the loss is a mean: gradients of parts add up to those
    /// of the batch.
    pub of: usize,
}

impl<'a> Part<'a> {
    /// A whole batch.
    pub fn whole(input: Input<'a>, targets: Targets<'a>) -> Self {
        Part { input, targets, of: targets.len() }
    }
}

/// What images are.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The class of each.
    pub labels: &'a [u32],
    /// Part of a label's probability that is spread over all classes
    /// (`torch.nn.CrossEntropyLoss(label_smoothing)`).
    pub label_smoothing: f32,
}

impl Targets<'_> {
    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// What a part of a batch came to, before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Sum of its images' losses, divided by the images of the whole batch.
    pub loss: f64,
    /// Images whose largest logit was the label's.
    pub correct: usize,
}
