//! Costs of operations for the largest batch: floating-point operations, and the least memory
//! traffic, each byte read or written once.

use resnet_kernels::Activation;
use resnet_network::graph::{Graph, NodeId, Op};

use super::{fusion::FusionGroup, sizes::Sizes};

/// The costs of a graph's fusion groups, in bytes unless stated otherwise.
pub(super) struct Costs<'a> {
    pub(super) graph: &'a Graph,
    pub(super) sizes: &'a Sizes,
    /// Bytes of a stored value.
    pub(super) element: usize,
}

impl Costs<'_> {
    /// The conversion of the images.
    pub(super) fn images(&self) -> u64 {
        let pixels = self.sizes.batch * self.sizes.shapes[Graph::INPUT].len();
        (pixels + self.value(Graph::INPUT)) as u64
    }

    /// The loss, which reads logits and writes their gradient.
    pub(super) fn loss(&self) -> u64 {
        2 * self.value(self.graph.nodes().len() - 1) as u64
    }

    /// The forward pass. `stored` is whether its output is stored.
    pub(super) fn forward(&self, group: &FusionGroup, stored: bool) -> u64 {
        let read = self.read(group.head) + self.parameters(group.head);
        let written = group.residual.map_or(0, |r| self.value(r)) + self.value(group.output);
        (read + if stored { written } else { 0 }) as u64
    }

    /// The gradient of a convolution's weight.
    pub(super) fn backward_weight(&self, group: &FusionGroup) -> u64 {
        (self.read(group.head) + self.value(group.output) + self.parameters(group.head)) as u64
    }

    /// The gradient of a convolution's input.
    pub(super) fn backward_data(&self, group: &FusionGroup, accumulate: bool) -> u64 {
        let dx = self.gradient(self.input(group.head), accumulate);
        (self.value(group.output) + dx + self.parameters(group.head)) as u64
    }

    /// All gradients of any other operation. `accumulate`: whether the gradients of input and of
    /// residual are added to what is there.
    pub(super) fn backward(&self, group: &FusionGroup, stored: bool, accumulate: [bool; 2]) -> u64 {
        let op = self.graph.nodes()[group.head].op;
        let out = self.value(group.output);
        let max_pool = matches!(op, Op::MaxPool2d { .. } | Op::GlobalMaxPool);
        let smooth = matches!(op, Op::Gelu { .. } | Op::Silu);
        let reads_x = max_pool || smooth || matches!(op, Op::BatchNorm2d | Op::Linear);
        let x = if reads_x { self.read(group.head) } else { 0 };
        // Without a stored output, the ReLU mask is recomputed from the input.
        let mask = match group.activation {
            // Its input is computed again.
            Some(Activation::Smooth(_)) => group.residual.map_or(0, |r| self.value(r)),
            Some(Activation::Relu) if stored => out,
            _ if max_pool => out,
            _ => 0,
        };
        let dx = self.gradient(self.input(group.head), accumulate[0]);
        let d_residual = group.residual.map_or(0, |r| self.gradient(r, accumulate[1]));
        (x + out + mask + dx + d_residual + 2 * self.parameters(group.head)) as u64
    }

    /// Floating-point operations of one pass of a group.
    pub(super) fn flops(&self, group: &FusionGroup) -> u64 {
        let id = group.head;
        let inputs = self.sizes.shapes[self.input(id)].channels;
        let macs = self.graph.nodes()[id].macs(inputs, self.sizes.shapes[id]);
        2 * (self.sizes.batch * macs) as u64
    }

    /// Weights and biases of a node.
    pub(super) fn parameters(&self, id: NodeId) -> usize {
        let inputs = self.sizes.shapes[self.input(id)].channels;
        let (weights, biases) = self.graph.nodes()[id].parameters(inputs);
        (weights + biases) * size_of::<f32>()
    }

    fn gradient(&self, id: NodeId, accumulate: bool) -> usize {
        self.value(id) * (1 + usize::from(accumulate))
    }

    /// A node's output, as it is stored.
    fn value(&self, id: NodeId) -> usize {
        let batch = self.sizes.batch;
        match self.graph.nodes()[id].op {
            Op::Input => batch * self.sizes.image(self.graph).image_len() * size_of::<f32>(),
            Op::Linear => batch * self.graph.classes() * size_of::<f32>(),
            _ => batch * self.sizes.image_len(id) * self.element,
        }
    }

    /// What a node reads of its input: a window smaller than its stride skips pixels.
    fn read(&self, id: NodeId) -> usize {
        let x = self.input(id);
        let window = match self.graph.nodes()[id].op {
            Op::Conv2d { kernel, .. } | Op::MaxPool2d { kernel, .. } => kernel * kernel,
            Op::PadShortcut { .. } => 1,
            _ => return self.value(x),
        };
        let pixels = self.sizes.pixels(x);
        self.value(x) / pixels * pixels.min(window * self.sizes.pixels(id))
    }

    fn input(&self, id: NodeId) -> NodeId {
        self.graph.nodes()[id].inputs[0]
    }
}
