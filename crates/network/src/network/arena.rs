//! The network and its arenas.

use std::ops::Range;

use super::{
    Param,
    init::{self, Init},
    inventory::{Stats, inventory},
    layout::import_into,
};
use crate::{
    graph::{Graph, NodeId},
    random::{Purpose, Random},
};

/// A graph with its parameters and running statistics.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) graph: Graph,
    pub(super) params: Vec<Param>,
    pub(super) stats: Vec<Stats>,
    pub(super) values: Vec<f32>,
    pub(super) running: Vec<f32>,
    pub(super) batches_tracked: Vec<i64>,
}

impl Network {
    /// A network with random parameters, running means 0 and running variances 1.
    ///
    /// ```
    /// use resnet_network::{Arch, Network, network::Init};
    /// let arch: Arch = "resnet18-cifar".parse().unwrap();
    /// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
    /// assert_eq!(net.values().len(), 11_173_962); // parameters
    /// assert_eq!(net.params()[0].name, "conv1.weight");
    /// ```
    pub fn new(graph: Graph, init: Init, seed: u64) -> Self {
        let mut net = Network::zeros(graph);
        for (index, param) in net.params.iter().enumerate() {
            let values = init::draw(
                param,
                &net.params,
                init,
                &mut Random::new(seed, Purpose::Init, &[index as u64]),
            );
            import_into(param, &values, &mut net.values[param.range.clone()]);
        }
        for stats in &net.stats {
            net.running[stats.var.clone()].fill(1.0);
        }
        net
    }

    /// A network of zeros, whose values are to be replaced.
    pub fn zeros(graph: Graph) -> Self {
        let (params, stats) = inventory(&graph);
        let length = params.last().map_or(0, |p| p.range.end);
        let running_len = stats.last().map_or(0, |s| s.var.end);
        let batches_tracked = vec![0; stats.len()];
        let (values, running) = (vec![0.0; length], vec![0.0; running_len]);
        Network { graph, params, stats, values, running, batches_tracked }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters' names, shapes and ranges, in PyTorch's order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The arena: all parameters one after the other, in the order of [`Network::params`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The arena, mutable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// `num_batches_tracked`, if it is the same for all batch norms.
    pub fn batches_tracked(&self) -> Option<i64> {
        let first = *self.batches_tracked.first()?;
        self.batches_tracked.iter().all(|&count| count == first).then_some(first)
    }

    /// The ranges of a node's parameters in the arena: weight, then bias.
    pub fn ranges(&self, node: NodeId) -> impl Iterator<Item = Range<usize>> {
        let first = self.params.partition_point(|p| p.node < node);
        self.params[first..].iter().take_while(move |p| p.node == node).map(|p| p.range.clone())
    }

    /// A batch norm's running mean and running variance, each `[channels]`.
    ///
    /// # Panics
    /// If the node is not a batch norm.
    pub fn running(&self, node: NodeId) -> (&[f32], &[f32]) {
        let stats = &self.stats[self.stats_index(node)];
        (&self.running[stats.mean.clone()], &self.running[stats.var.clone()])
    }

    /// The ranges of a batch norm's running mean and running variance among [`Network::running_values`].
    ///
    /// # Panics
    /// If the node is not a batch norm.
    pub fn running_ranges(&self, node: NodeId) -> [Range<usize>; 2] {
        let stats = &self.stats[self.stats_index(node)];
        [stats.mean.clone(), stats.var.clone()]
    }

    /// The running statistics of all batch norms, one after the other: means, then variances.
    pub fn running_values(&self) -> &[f32] {
        &self.running
    }

    /// The parameters in the order of [`Network::values`], and the running statistics in that of
    /// [`Network::running_values`], mutable.
    pub fn all_values_mut(&mut self) -> [&mut [f32]; 2] {
        [&mut self.values, &mut self.running]
    }

    /// The running statistics in the order of [`Network::running_values`], and the `num_batches_tracked` of each
    /// batch norm, mutable.
    pub fn running_mut(&mut self) -> (&mut [f32], &mut [i64]) {
        (&mut self.running, &mut self.batches_tracked)
    }

    /// The batch norms, in the order of their running statistics.
    pub fn norms(&self) -> impl Iterator<Item = NodeId> {
        self.stats.iter().map(|stats| stats.node)
    }

    /// The `num_batches_tracked` of each batch norm.
    pub fn all_batches_tracked(&self) -> &[i64] {
        &self.batches_tracked
    }

    /// Takes over the `num_batches_tracked` of a network of the same graph.
    ///
    /// # Panics
    /// If it has another number of batch norms.
    pub fn copy_batches_tracked(&mut self, from: &Network) {
        self.batches_tracked.copy_from_slice(&from.batches_tracked);
    }

    /// A batch norm's weight, bias, running mean and running variance, to be updated by a batch.
    /// Adds 1 to its `num_batches_tracked`.
    ///
    /// # Panics
    /// If the node is not a batch norm.
    pub fn norm_mut(&mut self, node: NodeId) -> [&mut [f32]; 4] {
        let [weight, bias] = self.weight_and_bias(node);
        let index = self.stats_index(node);
        // A file may contain any number.
        self.batches_tracked[index] = self.batches_tracked[index].wrapping_add(1);
        let stats = &self.stats[index];
        let disjoint = "the inventory's ranges are disjoint";
        let [weight, bias] = self.values.get_disjoint_mut([weight, bias]).expect(disjoint);
        let both = [stats.mean.clone(), stats.var.clone()];
        let [mean, var] = self.running.get_disjoint_mut(both).expect(disjoint);
        [weight, bias, mean, var]
    }

    /// The ranges of weight and bias of a batch norm or a linear layer.
    ///
    /// # Panics
    /// If the node has no bias.
    pub fn weight_and_bias(&self, node: NodeId) -> [Range<usize>; 2] {
        let mut ranges = self.ranges(node);
        let mut next = || ranges.next().expect("the node has a weight and a bias");
        [next(), next()]
    }

    pub(super) fn stats_index(&self, node: NodeId) -> usize {
        let found = self.stats.binary_search_by_key(&node, |s| s.node);
        found.expect("every batch norm has statistics")
    }
}
