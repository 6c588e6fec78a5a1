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

/// The weights that Muon trains, with its settings. Their momentum is in the buffer of SGD, whose rate of
/// these weights is 0.
#[derive(Debug)]
pub(crate) struct MuonWeights {
    settings: optim::Muon,
    weights: Vec<Weight>,
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

/// The rate of SGD, as a factor, where Muon may train some nodes: 0 for those.
pub(crate) fn rate_of_others(
    graph: &Graph,
    has_muon: bool,
    factor: impl Fn(NodeId) -> f32,
) -> impl Fn(NodeId) -> f32 {
    move |node| if has_muon && optim::Muon::trains(graph, node) { 0.0 } else { factor(node) }
}

impl MuonWeights {
    pub(crate) fn new(net: &Network, settings: optim::Muon) -> Self {
        let range = |node| {
            let param = net.params().iter().find(|param| param.node == node);
            param.expect("a convolution has a weight").range.clone()
        };
        let weights = shapes(net.graph())
            .map(|(node, shape)| Weight { node, range: range(node), shape, factor: 1.0 })
            .collect();
        MuonWeights { settings, weights }
    }

    /// From now on, the rate of a node's weight is that of a step times `factor`; with 0 it stays as it
    /// is.
    pub(crate) fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        self.weights.iter_mut().for_each(|weight| weight.factor = factor(weight.node));
    }

    /// The ranges of the weights that it updates.
    pub(crate) fn trained(&self) -> impl Iterator<Item = Range<usize>> {
        self.of_trained().map(|weight| weight.range.clone())
    }

    /// The updates of a step: the range of each weight, in the order of [`Network::values`], its shape, and
    /// what to do.
    ///
    /// # Panics
    /// If the rate is missing.
    pub(crate) fn updates(
        &self,
        rate: Option<MuonRate>,
    ) -> impl Iterator<Item = (Range<usize>, Shape, Update)> {
        let MuonRate { lr, rescale } = rate.expect("the rate of Muon");
        let optim::Muon { momentum, weight_decay, steps, .. } = self.settings;
        self.of_trained().map(move |weight| {
            let update = Update { lr: lr * weight.factor, momentum, weight_decay, steps, rescale };
            (weight.range.clone(), weight.shape, update)
        })
    }

    fn of_trained(&self) -> impl Iterator<Item = &Weight> {
        self.weights.iter().filter(|weight| weight.factor != 0.0)
    }
}

/// Muon on the processor: its weights, and memory for a step.
#[derive(Debug)]
pub(crate) struct Muon {
    pub(crate) weights: MuonWeights,
    scratch: Buffer,
}

impl Muon {
    /// # Errors
    /// If the system refuses the memory.
    pub(crate) fn new(
        net: &Network,
        settings: optim::Muon,
        cpu: &Cpu,
    ) -> Result<Self, OutOfMemory> {
        let scratch = Buffer::zeroed(scratch_len(net.graph(), cpu))?;
        Ok(Muon { weights: MuonWeights::new(net, settings), scratch })
    }

    /// One update of the weights. `momentum` and `gradients` are in the order of [`Network::values`].
    pub(crate) fn step(
        &mut self,
        cpu: &Cpu,
        net: &mut Network,
        momentum: &mut [f32],
        gradients: &[f32],
        rate: Option<MuonRate>,
    ) {
        for (range, shape, of_weight) in self.weights.updates(rate) {
            update(
                cpu,
                of_weight,
                shape,
                &mut net.values_mut()[range.clone()],
                &mut momentum[range.clone()],
                &gradients[range],
                &mut self.scratch,
            );
        }
    }
}
