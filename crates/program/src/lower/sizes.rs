//! The shapes of a graph's nodes for images of one size.

use resnet_kernels::{
    conv::{ConvShape, Mode, Source},
    layout::{CHANNEL_BLOCK, ImageLayout, padded},
};
use resnet_network::graph::{Graph, Node, NodeId, Op, Shape};

use crate::error::{MAX_BATCH, PlanError};

/// Bytes of all values of a batch, at most: 256 TiB.
const MAX_BYTES: usize = 1 << 48;

/// Values of a convolution's weight, at most.
const MAX_WEIGHT: usize = 1 << 31;

/// Values of an image with a border, channels padded; none if the kernels cannot address as many.
fn stored(shape: Shape, border: usize) -> Option<usize> {
    let side = |n: usize| border.checked_mul(2)?.checked_add(n);
    let pixels = side(shape.height)?.checked_mul(side(shape.width)?)?;
    let channels = shape.channels.checked_next_multiple_of(CHANNEL_BLOCK)?;
    pixels.checked_mul(channels).filter(|&values| values <= 1 << 30)
}

/// The shapes of a graph's nodes, and the largest batch.
pub(super) struct Sizes {
    pub(super) shapes: Vec<Shape>,
    pub(super) batch: usize,
}

impl Sizes {
    pub(super) fn new(
        graph: &Graph,
        batch: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, PlanError> {
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(PlanError::Batch(batch));
        }
        let shapes = graph.shapes(height, width)?;
        let mut all = 0_usize;
        for (node, &shape) in graph.nodes().iter().zip(&shapes) {
            let too_large = |shape| PlanError::TooLarge { node: node.name.clone(), shape };
            // Kernels address the values of an image in 32 bits, and those of a convolution's input
            // within its border.
            all += stored(shape, 0).ok_or_else(|| too_large(shape))?;
            if let Op::Conv2d { kernel, padding, .. } = node.op {
                let input = shapes[node.inputs[0]];
                stored(input, padding).ok_or_else(|| too_large(input))?;
                let weight = [kernel, kernel, padded(input.channels), padded(shape.channels)];
                let values = weight.iter().try_fold(1, |all: usize, n| all.checked_mul(*n));
                if values.is_none_or(|values| values > MAX_WEIGHT) {
                    return Err(PlanError::TooWide { node: node.name.clone() });
                }
            }
        }
        // Far above any machine's memory. Below it no length and no cost overflows.
        let bytes = all.saturating_mul(batch).saturating_mul(size_of::<f32>());
        if bytes > MAX_BYTES {
            return Err(PlanError::Memory { bytes, available: None });
        }
        Ok(Sizes { shapes, batch })
    }

    /// Pixels per image of a node's output.
    pub(super) fn pixels(&self, id: NodeId) -> usize {
        self.shapes[id].height * self.shapes[id].width
    }

    /// Values per image of a node's output, channels padded.
    pub(super) fn image_len(&self, id: NodeId) -> usize {
        self.pixels(id) * padded(self.shapes[id].channels)
    }

    /// The layout of the images, which the first convolution reads.
    pub(super) fn image(&self, graph: &Graph) -> ImageLayout {
        let mut nodes = graph.nodes().iter().enumerate();
        let first = nodes.find(|(_, node)| node.inputs.first() == Some(&Graph::INPUT));
        let (id, node) = first.expect("the graph is checked: a convolution reads the input");
        self.conv(id, node, Mode::Inference).0.image()
    }

    /// A convolution's dimensions, the storage of its input, and the passes that it needs. The
    /// images have no gradient.
    pub(super) fn conv(&self, id: NodeId, node: &Node, mode: Mode) -> (ConvShape, Source, Mode) {
        let Op::Conv2d { kernel, stride, padding, groups } = node.op else {
            unreachable!("called for convolutions");
        };
        let input = self.shapes[node.inputs[0]];
        let shape = ConvShape {
            in_channels: input.channels,
            out_channels: self.shapes[id].channels,
            height: input.height,
            width: input.width,
            kernel,
            stride,
            padding,
            groups,
        };
        match (node.inputs[0], mode) {
            (Graph::INPUT, Mode::Train) => (shape, Source::Image, Mode::TrainFirst),
            (Graph::INPUT, _) => (shape, Source::Image, mode),
            _ => (shape, Source::Activation, mode),
        }
    }
}
