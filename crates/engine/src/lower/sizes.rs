//! The shapes of a graph's nodes for images of one size.

use resnet_kernels::{
    conv::{ConvShape, Source},
    layout::{ImageLayout, padded},
};
use resnet_network::graph::{Graph, Node, NodeId, Op, Shape};

use crate::error::{MAX_BATCH, PlanError};

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
        for (node, &shape) in graph.nodes().iter().zip(&shapes) {
            // Kernels address the values of an image in 32 bits; the border and the padding of
            // channels need some of them.
            let values = shape.height.checked_mul(shape.width);
            let values = values.and_then(|p| p.checked_mul(padded(shape.channels)));
            if values.is_none_or(|v| v > 1 << 30) {
                return Err(PlanError::TooLarge { node: node.name.clone(), shape });
            }
        }
        Ok(Sizes { shapes, batch })
    }

    /// Pixels of an image of a node's output.
    pub(super) fn pixels(&self, id: NodeId) -> usize {
        self.shapes[id].height * self.shapes[id].width
    }

    /// Stored values of an image of a node's output.
    pub(super) fn image_len(&self, id: NodeId) -> usize {
        self.pixels(id) * padded(self.shapes[id].channels)
    }

    /// The layout of the images, which the first convolution reads.
    pub(super) fn image(&self, graph: &Graph) -> ImageLayout {
        let mut nodes = graph.nodes().iter().enumerate();
        let first = nodes.find(|(_, node)| node.inputs.first() == Some(&Graph::INPUT));
        let (id, node) = first.expect("units are checked: a convolution reads the input");
        self.conv(id, node).0.image()
    }

    /// The dimensions of a convolution, and how its input is stored.
    pub(super) fn conv(&self, id: NodeId, node: &Node) -> (ConvShape, Source) {
        let Op::Conv2d { kernel, stride, padding } = node.op else {
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
        };
        let first = node.inputs[0] == Graph::INPUT;
        (shape, if first { Source::Image } else { Source::Activation })
    }
}
