//! A network as data: nodes in topological order.
//!
//! Everything else reads this one list: the parameter inventory, the plan, the summary and the
//! state-dict names. A node's `name` is the PyTorch module path (`layer1.0.conv1`), so that
//! `name + ".weight"` is a state-dict key.

use thiserror::Error;

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// What a node computes. Activations are images of `channels` x height x width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The batch of images. Always node 0.
    Input,
    /// `torch.nn.Conv2d(bias=False)` with a square kernel.
    Conv2d {
        /// Side of the kernel.
        kernel: usize,
        /// Step between output pixels.
        stride: usize,
        /// Zeros around the image.
        padding: usize,
    },
    /// `torch.nn.BatchNorm2d` (eps 1e-5, momentum 0.1).
    BatchNorm2d,
    /// `torch.nn.ReLU`.
    Relu,
    /// Sum of two activations of equal shape.
    Add,
    /// `torch.nn.MaxPool2d`.
    MaxPool2d {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Border that never wins.
        padding: usize,
    },
    /// Mean over height and width: `torch.nn.AdaptiveAvgPool2d(1)`.
    GlobalAvgPool,
    /// `torch.nn.Linear` with bias, on a 1x1 image.
    Linear,
    /// The paper's parameter-free shortcut (option A, section 3.3): every `stride`-th pixel, and
    /// zero channels on both sides up to the node's channel count.
    PadShortcut {
        /// Step between the pixels that are kept.
        stride: usize,
    },
}

/// One operation of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The PyTorch module path, or a descriptive path where PyTorch has no module.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all earlier in the list.
    pub inputs: Vec<NodeId>,
    /// Channels of its output (classes, for the last linear node).
    pub channels: usize,
}

impl Node {
    /// Weights and biases of a node that reads so many channels.
    pub fn parameters(&self, inputs: usize) -> (usize, usize) {
        match self.op {
            Op::Conv2d { kernel, .. } => (self.channels * inputs * kernel * kernel, 0),
            Op::BatchNorm2d => (self.channels, self.channels),
            Op::Linear => (self.channels * inputs, self.channels),
            Op::Input
            | Op::Relu
            | Op::Add
            | Op::MaxPool2d { .. }
            | Op::GlobalAvgPool
            | Op::PadShortcut { .. } => (0, 0),
        }
    }

    /// Multiply-accumulates for one image, as torchvision counts them: of convolutions and linear
    /// layers.
    pub fn macs(&self, inputs: usize, output: Shape) -> usize {
        match self.op {
            Op::Conv2d { .. } | Op::Linear => {
                self.parameters(inputs).0 * output.height * output.width
            }
            _ => 0,
        }
    }
}

/// Extent of an activation, without the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Values of one image.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the shape holds nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Why a graph cannot be run on an image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// A window does not fit in its input.
    #[error(
        "{node}: a {kernel}x{kernel} window with padding {padding} does not fit in {input}; \
         use larger images"
    )]
    TooSmall {
        /// The node.
        node: String,
        /// Side of its window.
        kernel: usize,
        /// Its padding.
        padding: usize,
        /// The shape it was given.
        input: Shape,
    },
    /// The two sides of an addition differ.
    #[error("{node}: cannot add {left} and {right}")]
    Mismatch {
        /// The node.
        node: String,
        /// First input.
        left: Shape,
        /// Second input.
        right: Shape,
    },
    /// A structural rule is broken.
    #[error("{node}: {rule}")]
    Structure {
        /// The node.
        node: String,
        /// What must hold.
        rule: &'static str,
    },
}

/// A network: nodes in topological order, the input first and the logits last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// A graph that holds just its input, of so many channels.
    pub fn new(channels: usize) -> Self {
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], channels };
        Graph { nodes: vec![input] }
    }

    /// The input node.
    pub const INPUT: NodeId = 0;

    /// Appends a node and returns its id.
    ///
    /// # Panics
    /// If an input does not exist yet.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[NodeId],
        channels: usize,
    ) -> NodeId {
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "a node reads only earlier nodes");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), channels });
        self.nodes.len() - 1
    }

    /// Appends a convolution of `channels` outputs.
    pub fn conv2d(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> NodeId {
        self.push(name, Op::Conv2d { kernel, stride, padding }, &[x], channels)
    }

    /// Appends a batch norm.
    pub fn batch_norm2d(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push(name, Op::BatchNorm2d, &[x], self.nodes[x].channels)
    }

    /// Appends a ReLU.
    pub fn relu(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push(name, Op::Relu, &[x], self.nodes[x].channels)
    }

    /// Appends a sum.
    pub fn add(&mut self, name: impl Into<String>, a: NodeId, b: NodeId) -> NodeId {
        self.push(name, Op::Add, &[a, b], self.nodes[a].channels)
    }

    /// Appends a max pool.
    pub fn max_pool2d(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> NodeId {
        self.push(name, Op::MaxPool2d { kernel, stride, padding }, &[x], self.nodes[x].channels)
    }

    /// Appends a global average pool.
    pub fn global_avg_pool(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push(name, Op::GlobalAvgPool, &[x], self.nodes[x].channels)
    }

    /// Appends a linear layer.
    pub fn linear(&mut self, name: impl Into<String>, x: NodeId, outputs: usize) -> NodeId {
        self.push(name, Op::Linear, &[x], outputs)
    }

    /// The nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Channels of the input images.
    pub fn in_channels(&self) -> usize {
        self.nodes[Self::INPUT].channels
    }

    /// Outputs of the last node.
    pub fn classes(&self) -> usize {
        self.nodes[self.nodes.len() - 1].channels
    }

    /// The output shape of every node for images of this size.
    ///
    /// # Errors
    /// Where a window does not fit, the sides of an addition differ, or a rule of the family is
    /// broken (a linear layer needs a 1x1 image, and so on).
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, GraphError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |i: usize| shapes[node.inputs[i]];
            let rule = |rule| GraphError::Structure { node: node.name.clone(), rule };
            let arity = match node.op {
                Op::Input => 0,
                Op::Add => 2,
                _ => 1,
            };
            if node.inputs.len() != arity {
                return Err(rule("has the wrong number of inputs"));
            }
            if node.channels == 0 {
                return Err(rule("needs at least one channel"));
            }
            let window = |kernel: usize, stride: usize, padding: usize| {
                if kernel == 0 || stride == 0 {
                    return Err(rule("needs a window and a stride of at least 1"));
                }
                let input = of(0);
                let side = |n: usize| {
                    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(n))?;
                    Some(padded.checked_sub(kernel)? / stride + 1)
                };
                match (side(input.height), side(input.width)) {
                    (Some(height), Some(width)) => {
                        Ok(Shape { channels: node.channels, height, width })
                    }
                    _ => Err(GraphError::TooSmall {
                        node: node.name.clone(),
                        kernel,
                        padding,
                        input,
                    }),
                }
            };
            let shape = match node.op {
                Op::Input => {
                    if height == 0 || width == 0 {
                        return Err(rule("needs images of at least 1x1"));
                    }
                    Shape { channels: node.channels, height, width }
                }
                Op::Conv2d { kernel, stride, padding } => window(kernel, stride, padding)?,
                Op::MaxPool2d { kernel, stride, padding } => {
                    if 2 * padding > kernel {
                        return Err(rule("needs padding of at most half its window"));
                    }
                    window(kernel, stride, padding)?
                }
                Op::BatchNorm2d | Op::Relu => of(0),
                Op::Add => {
                    if of(0) != of(1) {
                        return Err(GraphError::Mismatch {
                            node: node.name.clone(),
                            left: of(0),
                            right: of(1),
                        });
                    }
                    of(0)
                }
                Op::GlobalAvgPool => Shape { channels: of(0).channels, height: 1, width: 1 },
                Op::Linear => {
                    if (of(0).height, of(0).width) != (1, 1) {
                        return Err(rule("reads a 1x1 image: put a global average pool before it"));
                    }
                    Shape { channels: node.channels, height: 1, width: 1 }
                }
                Op::PadShortcut { stride } => {
                    if stride == 0 {
                        return Err(rule("needs a stride of at least 1"));
                    }
                    if node.channels < of(0).channels {
                        return Err(rule("can only add channels"));
                    }
                    Shape {
                        channels: node.channels,
                        height: of(0).height.div_ceil(stride),
                        width: of(0).width.div_ceil(stride),
                    }
                }
            };
            if shape.channels != node.channels {
                return Err(rule("must keep the channels of its input"));
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }
    /// The nodes that read each node.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| consumers[input].push(id));
        }
        consumers
    }

    /// The rules beyond [`Graph::shapes`] that whoever runs a network relies on: one convolution
    /// alone reads the images, a linear layer alone ends the network, and every value is read.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), GraphError> {
        let (nodes, consumers) = (&self.nodes, self.consumers());
        let rule =
            |id: NodeId, rule| Err(GraphError::Structure { node: nodes[id].name.clone(), rule });
        let is_conv = |id: NodeId| matches!(nodes[id].op, Op::Conv2d { .. });
        if !matches!(consumers[Self::INPUT][..], [only] if is_conv(only)) {
            return rule(Self::INPUT, "must be read by one convolution and by nothing else");
        }
        let last = nodes.len() - 1;
        for (id, node) in nodes.iter().enumerate() {
            if (node.op == Op::Linear) != (id == last) {
                return rule(id, "a network ends in a linear layer, its only one");
            }
            if id != last && consumers[id].is_empty() {
                return rule(id, "is read by nothing");
            }
            if node.op == Op::Input && id != Self::INPUT {
                return rule(id, "is a second input");
            }
            if node.op == Op::Add && node.inputs[0] == node.inputs[1] {
                return rule(id, "cannot add a value to itself");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_follow_pytorch() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 64, 7, 2, 3);
        let p = g.max_pool2d("maxpool", c, 3, 2, 1);
        let a = g.global_avg_pool("avgpool", p);
        g.linear("fc", a, 1000);
        let s = g.shapes(224, 224).unwrap();
        assert_eq!(s[c], Shape { channels: 64, height: 112, width: 112 });
        assert_eq!(s[p], Shape { channels: 64, height: 56, width: 56 });
        assert_eq!(s[4], Shape { channels: 1000, height: 1, width: 1 });
    }

    #[test]
    fn says_what_is_wrong() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 8, 3, 2, 1);
        g.add("sum", c, Graph::INPUT);
        assert_eq!(g.shapes(8, 8).unwrap_err().to_string(), "sum: cannot add 8x4x4 and 3x8x8");
        let mut g = Graph::new(3);
        g.conv2d("conv1", Graph::INPUT, 8, 7, 2, 0);
        assert!(g.shapes(4, 4).unwrap_err().to_string().contains("does not fit in 3x4x4"));
    }
}
