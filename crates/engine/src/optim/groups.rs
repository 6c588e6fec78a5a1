//! Which parameters an update changes alike.

use std::ops::Range;

use resnet_network::{Network, graph::NodeId, optim::OptimizerConfig};

/// The parameter groups of an optimiser, as PyTorch's `param_groups`.
#[derive(Clone, Debug)]
pub(crate) struct ParamGroups {
    config: OptimizerConfig,
    groups: Vec<ParamGroup>,
}

/// Consecutive parameters of the arena with equal settings.
#[derive(Clone, Debug)]
struct ParamGroup {
    /// The index of the first in [`Network::params`].
    first: usize,
    /// The place of each in [`Network::values`].
    ranges: Vec<Range<usize>>,
    /// Factor on the learning rate; 0 if the parameters are frozen.
    lr: f32,
    weight_decay: f32,
}

/// What one update does to some parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Update {
    /// Their place in [`Network::values`].
    pub(crate) range: Range<usize>,
    pub(crate) lr: f32,
    pub(crate) weight_decay: f32,
    /// How many updates they have had, with this one, if the optimiser
    /// [counts](OptimizerConfig::counts_steps) them.
    pub(crate) step: u64,
}

impl ParamGroups {
    pub(crate) fn new(net: &Network, config: OptimizerConfig) -> Self {
        let mut groups = ParamGroups { config, groups: Vec::new() };
        groups.set_rates(net, |_| 1.0);
        groups
    }

    /// The settings of the optimiser.
    pub(crate) fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// From now on, the rate of a node's parameters is that of the settings times `factor`.
    pub(crate) fn set_rates(&mut self, net: &Network, factor: impl Fn(NodeId) -> f32) {
        let mut groups: Vec<ParamGroup> = Vec::new();
        for (index, param) in net.params().iter().enumerate() {
            let factors = self.config.factors(net.graph(), param.node, param.kind);
            let lr = factors.lr * factor(param.node);
            let weight_decay = self.config.weight_decay_of(net.graph(), param.node, param.kind);
            match groups.last_mut() {
                Some(last) if (last.lr, last.weight_decay) == (lr, weight_decay) => {
                    last.ranges.push(param.range.clone());
                }
                _ => {
                    let ranges = vec![param.range.clone()];
                    groups.push(ParamGroup { first: index, ranges, lr, weight_decay });
                }
            }
        }
        self.groups = groups;
    }

    /// The groups that are not frozen.
    fn trained_groups(&self) -> impl Iterator<Item = &ParamGroup> {
        self.groups.iter().filter(|group| group.lr != 0.0)
    }

    /// The ranges of the parameters that are updated, in the order of [`Network::values`].
    pub(crate) fn trained(&self) -> impl Iterator<Item = Range<usize>> {
        self.trained_groups().map(|group| all(&group.ranges))
    }

    /// Calls `each` with the parts of an update at a learning rate, and counts it in the `steps` of the
    /// parameters, which are none if the optimiser does not count them.
    pub(crate) fn updates(&self, lr: f32, steps: &mut [u64], mut each: impl FnMut(Update)) {
        for ParamGroup { first, ranges, lr: factor, weight_decay } in self.trained_groups() {
            let (lr, weight_decay) = (lr * factor, *weight_decay);
            if steps.is_empty() {
                each(Update { range: all(ranges), lr, weight_decay, step: 0 });
                continue;
            }
            let steps = &mut steps[*first..][..ranges.len()];
            steps.iter_mut().for_each(|step| *step += 1);
            // Parameters that were frozen for a while have had fewer steps.
            let mut ranges = &ranges[..];
            for equal in steps.chunk_by(|a, b| a == b) {
                let (alike, rest) = ranges.split_at(equal.len());
                each(Update { range: all(alike), lr, weight_decay, step: equal[0] });
                ranges = rest;
            }
        }
    }
}

/// The place of consecutive parameters together.
fn all(ranges: &[Range<usize>]) -> Range<usize> {
    ranges[0].start..ranges[ranges.len() - 1].end
}
