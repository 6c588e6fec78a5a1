//! Muon, the optimiser of convolutions.

use std::ops::Range;

use resnet_kernels::{
    Buffer, Cpu, OutOfMemory,
    muon::{Shape, Update, update},
};
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
    optim::{self, MuonRate},
};

/// Muon for the weights of convolutions: its settings, and memory for a step. The momentum is in the
/// buffer of SGD, whose rate of these weights is 0.
#[derive(Debug)]
pub(crate) struct Muon {
    settings: optim::Muon,
    weights: Vec<Weight>,
    scratch: Buffer,
}

/// The weight of a convolution.
#[derive(Debug)]
struct Weight {
    node: NodeId,
    range: Range<usize>,
    shape: Shape,
    /// Factor on the learning rate; 0 if it is frozen.
    factor: f32,
}

/// The weights that Muon trains, as matrices.
fn shapes(graph: &Graph) -> impl Iterator<Item = (NodeId, Shape)> {
    let nodes = graph.nodes();
    (0..nodes.len()).filter(|&node| optim::Muon::trains(graph, node)).map(|id| {
        let node = &nodes[id];
        let (values, _) = node.parameters(nodes[node.inputs[0]].channels);
        (id, Shape { rows: node.channels, columns: values / node.channels })
    })
}

/// Values of scratch for the weights of a graph.
pub(crate) fn scratch_len(graph: &Graph, cpu: &Cpu) -> usize {
    shapes(graph).map(|(_, shape)| shape.scratch_len(cpu)).max().unwrap_or(0)
}

impl Muon {
    /// # Errors
    /// If the system refuses the memory.
    pub(crate) fn new(
        net: &Network,
        settings: optim::Muon,
        cpu: &Cpu,
    ) -> Result<Self, OutOfMemory> {
        let range = |node| {
            let param = net.params().iter().find(|param| param.node == node);
            param.expect("a convolution has a weight").range.clone()
        };
        let weights = shapes(net.graph())
            .map(|(node, shape)| Weight { node, range: range(node), shape, factor: 1.0 })
            .collect();
        let scratch = Buffer::zeroed(scratch_len(net.graph(), cpu))?;
        Ok(Muon { settings, weights, scratch })
    }

    /// From now on, the rate of a node's weight is that of a step times `factor`; with 0 it stays as it
    /// is.
    pub(crate) fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        self.weights.iter_mut().for_each(|weight| weight.factor = factor(weight.node));
    }

    /// The ranges of the weights that it updates.
    pub(crate) fn trained(&self) -> impl Iterator<Item = Range<usize>> {
        let trained = self.weights.iter().filter(|weight| weight.factor != 0.0);
        trained.map(|weight| weight.range.clone())
    }

    /// One update of the weights. `momentum` and `gradients` are in the order of [`Network::values`].
    pub(crate) fn step(
        &mut self,
        cpu: &Cpu,
        net: &mut Network,
        momentum: &mut [f32],
        gradients: &[f32],
        MuonRate { lr, rescale }: MuonRate,
    ) {
        let optim::Muon { momentum: decay, weight_decay, steps, .. } = self.settings;
        for &Weight { ref range, shape, factor, .. } in &self.weights {
            if factor == 0.0 {
                continue;
            }
            update(
                cpu,
                Update { lr: lr * factor, momentum: decay, weight_decay, steps, rescale },
                shape,
                &mut net.values_mut()[range.clone()],
                &mut momentum[range.clone()],
                &gradients[range.clone()],
                &mut self.scratch,
            );
        }
    }
}
