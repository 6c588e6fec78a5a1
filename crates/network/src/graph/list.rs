//! The graph: a list of nodes.

use super::{Activation, Epsilon, Node, NodeId, Op};

/// A network: nodes in topological order, the input first and the logits last.
///
/// Methods that append a node panic as [`Graph::push`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
    epsilon: Epsilon,
}

impl Graph {
    /// A graph with an input of `channels` channels and nothing else.
    pub fn new(channels: usize) -> Self {
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], channels };
        Graph { nodes: vec![input], epsilon: Epsilon::default() }
    }

    /// The same graph with this epsilon in every batch norm.
    #[must_use]
    pub fn with_epsilon(mut self, epsilon: Epsilon) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Epsilon of its batch norms.
    pub fn epsilon(&self) -> Epsilon {
        self.epsilon
    }

    /// The input node.
    pub const INPUT: NodeId = 0;

    /// Whether a node reads the images. Only convolutions do.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn reads_images(&self, node: NodeId) -> bool {
        self.nodes[node].inputs.contains(&Graph::INPUT)
    }

    /// Appends a node and returns its id.
    ///
    /// # Panics
    /// If an input does not exist yet, or a convolution has no groups. Other rules are those of [`Graph::shapes`] and
    /// [`Graph::check`].
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[NodeId],
        channels: usize,
    ) -> NodeId {
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "a node reads only earlier nodes");
        let has_groups = !matches!(op, Op::Conv2d { groups: 0, .. });
        assert!(has_groups, "a convolution has at least one group");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), channels });
        self.nodes.len() - 1
    }

    /// Appends a node with as many channels as its first input.
    fn push_like(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        let channels = self.nodes.get(inputs[0]).map_or(0, |node| node.channels);
        self.push(name, op, inputs, channels)
    }

    /// Appends a square convolution without bias (`torch.nn.Conv2d`), with `channels` output
    /// channels.
    pub fn conv2d(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> NodeId {
        self.grouped_conv2d(name, x, channels, [kernel, stride, padding], 1)
    }

    /// Appends a convolution in `groups` groups, with `[kernel, stride, padding]`.
    pub fn grouped_conv2d(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        channels: usize,
        [kernel, stride, padding]: [usize; 3],
        groups: usize,
    ) -> NodeId {
        self.push(name, Op::Conv2d { kernel, stride, padding, groups }, &[x], channels)
    }

    /// Appends a batch norm (`torch.nn.BatchNorm2d`).
    pub fn batch_norm2d(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push_like(name, Op::BatchNorm2d, &[x])
    }

    /// Appends a ReLU (`torch.nn.ReLU`).
    pub fn relu(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push_like(name, Op::Relu, &[x])
    }

    /// Appends an activation.
    pub fn activation(
        &mut self,
        name: impl Into<String>,
        activation: Activation,
        x: NodeId,
    ) -> NodeId {
        self.push_like(name, activation.into(), &[x])
    }

    /// Appends the sum of two nodes of equal shape.
    pub fn add(&mut self, name: impl Into<String>, a: NodeId, b: NodeId) -> NodeId {
        self.push_like(name, Op::Add, &[a, b])
    }

    /// Appends a max pool (`torch.nn.MaxPool2d`).
    pub fn max_pool2d(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> NodeId {
        self.push_like(name, Op::MaxPool2d { kernel, stride, padding }, &[x])
    }

    /// Appends an average pool
    /// (`torch.nn.AvgPool2d(kernel, ceil_mode=True, count_include_pad=False)`).
    pub fn avg_pool2d(&mut self, name: impl Into<String>, x: NodeId, kernel: usize) -> NodeId {
        self.push_like(name, Op::AvgPool2d { kernel }, &[x])
    }

    /// Appends a global average pool (`torch.nn.AdaptiveAvgPool2d(1)`).
    pub fn global_avg_pool(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push_like(name, Op::GlobalAvgPool, &[x])
    }

    /// Appends a global max pool (`torch.nn.AdaptiveMaxPool2d(1)`).
    pub fn global_max_pool(&mut self, name: impl Into<String>, x: NodeId) -> NodeId {
        self.push_like(name, Op::GlobalMaxPool, &[x])
    }

    /// Appends a linear layer with bias (`torch.nn.Linear`), with `outputs` outputs.
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

    /// Outputs of the last node, the logits.
    pub fn classes(&self) -> usize {
        self.nodes[self.nodes.len() - 1].channels
    }

    /// For each node, the nodes that read it.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| consumers[input].push(id));
        }
        consumers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a node reads only earlier nodes")]
    fn an_activation_of_no_node_is_refused() {
        Graph::new(3).relu("relu1", 7);
    }

    #[test]
    #[should_panic(expected = "a node reads only earlier nodes")]
    fn a_sum_with_no_node_is_refused() {
        Graph::new(3).add("sum", Graph::INPUT, 7);
    }

    #[test]
    #[should_panic(expected = "a convolution has at least one group")]
    fn a_convolution_without_groups_is_refused() {
        Graph::new(3).grouped_conv2d("conv1", Graph::INPUT, 8, [3, 1, 1], 0);
    }
}
