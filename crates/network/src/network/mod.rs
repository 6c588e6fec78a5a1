//! A network's parameters and running statistics, each in one flat arena.

mod init;
mod state_dict;

use std::ops::Range;

use crate::{
    graph::{Graph, Node, NodeId, Op},
    random::{Purpose, Random},
};

pub use init::Init;
pub use state_dict::StateDictError;
pub use state_dict::check_state_dict;

/// What a parameter is, for initialisation and for the optimiser's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Weight of a convolution; in the arena `[out][row][column][in]`, PyTorch's `channels_last`.
    ConvWeight,
    /// Scale of a batch norm.
    NormWeight,
    /// Shift of a batch norm.
    NormBias,
    /// Weight of a linear layer.
    LinearWeight,
    /// Bias of a linear layer.
    LinearBias,
}

impl ParamKind {
    /// Whether it is a weight of a convolution or a linear layer, rather than a bias or a batch
    /// norm's parameter.
    pub fn is_weight(self) -> bool {
        matches!(self, ParamKind::ConvWeight | ParamKind::LinearWeight)
    }
}

/// A parameter's entry in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// State-dict key.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParamKind,
    /// The node it belongs to.
    pub node: NodeId,
    /// Its place in the arena.
    pub range: Range<usize>,
}

/// The running statistics of a batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stats {
    node: NodeId,
    mean: Range<usize>,
    var: Range<usize>,
}

/// A graph with its parameters and running statistics.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Graph,
    params: Vec<Param>,
    stats: Vec<Stats>,
    values: Vec<f32>,
    running: Vec<f32>,
    batches_tracked: Vec<i64>,
}

impl Network {
    /// A network with random parameters.
    ///
    /// ```
    /// use resnet_network::{Arch, Network, network::Init};
    /// let arch: Arch = "resnet18-cifar".parse().unwrap();
    /// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
    /// assert_eq!(net.values().len(), 11_173_962); // parameters
    /// assert_eq!(net.params()[0].name, "conv1.weight");
    /// ```
    pub fn new(graph: Graph, init: Init, seed: u64) -> Self {
        let (params, stats) = inventory(&graph);
        let length = params.last().map_or(0, |p| p.range.end);
        let running_len = stats.last().map_or(0, |s| s.var.end);
        let batches_tracked = vec![0; stats.len()];
        let mut net = Network {
            graph,
            params,
            stats,
            values: vec![0.0; length],
            running: vec![0.0; running_len],
            batches_tracked,
        };
        for (index, param) in net.params.iter().enumerate() {
            let values = init::draw(
                param,
                &net.params,
                init,
                &mut Random::new(seed, Purpose::Init, &[index as u64]),
            );
            state_dict::import_into(param, &values, &mut net.values[param.range.clone()]);
        }
        for stats in &net.stats {
            net.running[stats.var.clone()].fill(1.0);
        }
        net
    }

    /// Its graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The inventory of parameters, in PyTorch's order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The arena of parameters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The arena of parameters, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Batches that the running statistics are of, if that is one number for all of them.
    pub fn batches_tracked(&self) -> Option<i64> {
        let first = *self.batches_tracked.first()?;
        self.batches_tracked.iter().all(|&count| count == first).then_some(first)
    }

    /// The places of a node's parameters in the arena: weight, then bias.
    pub fn ranges(&self, node: NodeId) -> impl Iterator<Item = Range<usize>> {
        let first = self.params.partition_point(|p| p.node < node);
        self.params[first..].iter().take_while(move |p| p.node == node).map(|p| p.range.clone())
    }

    /// Mean and variance that a batch norm uses in inference.
    pub fn running(&self, node: NodeId) -> (&[f32], &[f32]) {
        let stats = &self.stats[self.stats_index(node)];
        (&self.running[stats.mean.clone()], &self.running[stats.var.clone()])
    }

    /// A batch norm's parameters and its running statistics, which are to be updated by one more
    /// batch.
    pub fn norm_mut(&mut self, node: NodeId) -> [&mut [f32]; 4] {
        let [weight, bias] = self.weight_and_bias(node);
        let index = self.stats_index(node);
        // A file may hold any number.
        self.batches_tracked[index] = self.batches_tracked[index].wrapping_add(1);
        let stats = &self.stats[index];
        let disjoint = "the inventory's ranges are disjoint";
        let [weight, bias] = self.values.get_disjoint_mut([weight, bias]).expect(disjoint);
        let both = [stats.mean.clone(), stats.var.clone()];
        let [mean, var] = self.running.get_disjoint_mut(both).expect(disjoint);
        [weight, bias, mean, var]
    }

    /// The places of weight and bias of a batch norm or a linear layer.
    pub fn weight_and_bias(&self, node: NodeId) -> [Range<usize>; 2] {
        let mut ranges = self.ranges(node);
        let mut next = || ranges.next().expect("the node has a weight and a bias");
        [next(), next()]
    }

    fn stats_index(&self, node: NodeId) -> usize {
        let found = self.stats.binary_search_by_key(&node, |s| s.node);
        found.expect("every batch norm has statistics")
    }
}

/// Parameters and statistics of a graph, in the order of its nodes.
fn inventory(graph: &Graph) -> (Vec<Param>, Vec<Stats>) {
    let (mut params, mut stats) = (Vec::<Param>::new(), Vec::<Stats>::new());
    for (node, Node { name, op, channels, .. }) in graph.nodes().iter().enumerate() {
        for (suffix, shape, kind) in parameters(graph, node) {
            let start = params.last().map_or(0, |p| p.range.end);
            let range = start..start + shape.iter().product::<usize>();
            params.push(Param { name: format!("{name}.{suffix}"), shape, kind, node, range });
        }
        if *op == Op::BatchNorm2d {
            let start = stats.last().map_or(0, |s| s.var.end);
            let middle = start + channels;
            stats.push(Stats { node, mean: start..middle, var: middle..middle + channels });
        }
    }
    (params, stats)
}

/// The parameters of a node: what follows its name, the shape, and what they are.
fn parameters(graph: &Graph, id: NodeId) -> Vec<(&'static str, Vec<usize>, ParamKind)> {
    let node = &graph.nodes()[id];
    let inputs = node.inputs.first().map_or(0, |&i| graph.nodes()[i].channels);
    let out = node.channels;
    match node.op {
        Op::Conv2d { kernel, .. } => {
            vec![("weight", vec![out, inputs, kernel, kernel], ParamKind::ConvWeight)]
        }
        Op::BatchNorm2d => vec![
            ("weight", vec![out], ParamKind::NormWeight),
            ("bias", vec![out], ParamKind::NormBias),
        ],
        Op::Linear => vec![
            ("weight", vec![out, inputs], ParamKind::LinearWeight),
            ("bias", vec![out], ParamKind::LinearBias),
        ],
        _ => vec![],
    }
}
